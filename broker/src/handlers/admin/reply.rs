//! Bodies as administrators' tools read them.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use serde_json::{Map, Value, json};

use mainspring::hash;

use crate::{
    broker::{Broker, look_up},
    remoting::{
        Fields, Handled, Reply, Response,
        codes::response,
        fastjson::{QueueName, put_queue},
    },
};

/// A queue and what is said of it.
pub(super) struct OfQueue {
    pub(super) topic: String,
    pub(super) queue: u32,
    pub(super) value: Value,
}

/// Writes a map from queues to what is said of them, as Java's tools read it.
pub(super) fn put_queue_map(out: &mut BytesMut, broker_name: &str, entries: &[OfQueue]) {
    out.put_u8(b'{');
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        put_queue(out, QueueName { broker: broker_name, topic: &entry.topic, queue: entry.queue });
        out.put_u8(b':');
        out.put_slice(entry.value.to_string().as_bytes());
    }
    out.put_u8(b'}');
}

/// An answer whose body is this.
pub(super) fn body(value: &Value) -> Response {
    Response::ok().with_body(value.to_string())
}

/// An answer that takes reading the log, so it is made outside of the runtime's own threads.
pub(super) fn read(
    broker: &Arc<Broker>,
    work: impl FnOnce(&Broker) -> mainspring::Result<Response> + Send + 'static,
) -> Handled {
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move { look_up(move || work(&broker)).await.unwrap_or_else(|refusal| refusal) }))
}

/// One page of a table of settings: `from` and `most` name the fields that ask for it. Without them all is given.
///
/// # Errors
///
/// If a field is no number.
pub(super) fn page(
    table: Map<String, Value>,
    fields: &Fields<'_>,
    (from, most): (&str, &str),
) -> Result<(Map<String, Value>, Value), Response> {
    let version = version_of(&table);
    let from: usize = fields.number(from)?.unwrap_or(0);
    let most: usize = fields.number(most)?.filter(|most| *most > 0).unwrap_or(usize::MAX);
    Ok((table.into_iter().skip(from).take(most).collect(), version))
}

/// The version of settings: other settings have another one.
fn version_of(table: &Map<String, Value>) -> Value {
    let text = serde_json::to_vec(table).unwrap_or_default();
    json!({ "counter": hash::checksum(&text), "stateVersion": 0, "timestamp": 0 })
}

/// A refusal of what a request says.
pub(super) fn invalid(why: impl Into<String>) -> Response {
    Response::refuse(response::INVALID_PARAMETER, why.into())
}
