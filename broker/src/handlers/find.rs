//! Codes by which somebody looks for messages: 12 by key, 33 by message id.

use std::sync::Arc;

use mainspring::{ErrorKind, KeyQuery, Offset};

use crate::{
    broker::{Broker, look_up},
    remoting::{Body, Fields, Handled, Reply, Request, Response, codes::response},
};

/// Messages in one answer where the client does not say, and always for a unique key.
const RECORDS_DEFAULT: i64 = 32;
/// Most messages in one answer.
const RECORDS_MAX: usize = 64;
/// Most bytes in one answer with more than one message: clients close at a frame of 16 MiB.
const BYTES_MAX: usize = 12 << 20;

/// Code 12: messages of a topic by key or unique key, newest first, within a range of store times.
pub(crate) fn by_key(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let (topic, key) = (fields.required("topic")?.to_owned(), fields.required("key")?.to_owned());
    let from_ms = fields.number("beginTimestamp")?.unwrap_or(0);
    let to_ms = fields.number("endTimestamp")?.unwrap_or(i64::MAX);
    let unique = is_unique(fields)?;
    let max_records = match fields.number("maxNum")?.filter(|_| !unique).unwrap_or(RECORDS_DEFAULT) {
        ..1 => 0,
        number => usize::try_from(number).map_or(RECORDS_MAX, |number| number.min(RECORDS_MAX)),
    };
    let store = broker.store.clone();
    Ok(Reply::later(async move {
        let find = move || {
            let (topic, key, max_bytes) = (topic.as_str(), key.as_str(), BYTES_MAX);
            store.find_by_key(&KeyQuery { topic, key, unique, from_ms, to_ms, max_records, max_bytes })
        };
        let found = match look_up(find).await {
            Ok(found) => found,
            Err(refusal) => return refusal,
        };
        let answer = if found.records.is_empty() {
            Response::refuse(
                response::QUERY_NOT_FOUND,
                "no message of this topic has this key within these times",
            )
        } else {
            Response { body: Body::Slices(found.records), ..Response::ok() }
        };
        answer
            .with("indexLastUpdateTimestamp", found.through_ms)
            .with("indexLastUpdatePhyoffset", found.through.0)
    }))
}

/// Whether the key is a unique key: older clients say so with a flag, newer ones with a type of index too.
fn is_unique(fields: &Fields<'_>) -> Result<bool, Response> {
    match fields.get("indexType") {
        Some("T") => {
            Err(Response::refuse(response::QUERY_NOT_FOUND, "messages are not indexed by their tag"))
        }
        other => Ok(other == Some("U") || fields.truth("_UNIQUE_KEY_QUERY")),
    }
}

/// Code 33: one message by the log position in its id. That of a timed message names its timer: while that pends the
/// answer is the message as it will be delivered, afterwards the delivered message has an id of its own.
pub(crate) fn by_position(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let position: i64 = request.fields().required_number("offset")?;
    let unknown = move || {
        let text = format!("no message stands at the offset {position}");
        Response::refuse(response::SYSTEM_ERROR, text)
    };
    let at = Offset(u64::try_from(position).map_err(|_| unknown())?);
    let store = broker.store.clone();
    Ok(Reply::later(async move {
        let find = move || match store.message_at(at) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        match look_up(find).await {
            Ok(Some(record)) => Response::ok().with_body(record),
            Ok(None) => unknown(),
            Err(refusal) => refusal,
        }
    }))
}
