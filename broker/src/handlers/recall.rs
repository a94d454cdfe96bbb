//! Code 370: a producer takes a delayed message back.
//!
//! The answer to a delayed send carries `recallHandle`, which clients open only for the broker's name:
//! base64url of `v1 TOPIC BROKER DUE_MS UNIQUE_KEY:SCHEDULE`. The last part is more than RocketMQ puts there: with the
//! due time it is the timer's handle, so nothing has to be looked up by key.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE};
use mainspring::{Cancel, Handle, Offset};

use crate::{
    broker::{Broker, when_decided},
    names,
    remoting::{Handled, Request, Response, codes::response},
};

const VERSION: &str = "v1";
/// No handle that was given is longer: it holds two names, two numbers, and a key as long as properties may be.
const HANDLE_BYTES_MAX: usize = 64 << 10;

/// A handle as producers know it.
#[must_use]
pub fn encode(topic: &str, broker: &str, timer: Handle, unique_key: &str) -> String {
    let Handle { due_ms, schedule } = timer;
    URL_SAFE.encode(format!("{VERSION} {topic} {broker} {due_ms} {unique_key}:{:016x}", schedule.0))
}

/// What a producer's handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// The topic that the message goes to.
    pub topic: String,
    /// The broker that has it.
    pub broker: String,
    /// The timer.
    pub timer: Handle,
    /// The message's unique key.
    pub unique_key: String,
}

/// Reads a producer's handle; `None` if it is none of ours.
#[must_use]
pub fn decode(handle: &str) -> Option<Recall> {
    if handle.len() > HANDLE_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE.decode(handle).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    // A producer's own unique key may hold spaces too.
    let mut parts = text.splitn(5, ' ');
    let [version, topic, broker, due, rest] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let (unique_key, schedule) = rest.rsplit_once(':').filter(|_| version == VERSION)?;
    let schedule = Offset(u64::from_str_radix(schedule, 16).ok()?);
    Some(Recall {
        topic: topic.to_owned(),
        broker: broker.to_owned(),
        timer: Handle { due_ms: due.parse().ok()?, schedule },
        unique_key: unique_key.to_owned(),
    })
}

/// Serves code 370.
pub(crate) fn handle(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let topic = fields.required("topic")?;
    let text = fields.required("recallHandle")?;
    let illegal = |why: String| Response::refuse(response::ILLEGAL_OPERATION, why);
    let recall =
        decode(text).ok_or_else(|| illegal(String::from("the recall handle is not one of this broker")))?;
    if recall.topic != topic || recall.broker != broker.settings.broker_name {
        let why = format!("the recall handle is of another topic or broker than {}", names::shown(topic));
        return Err(illegal(why));
    }
    let pending = broker.store.cancel_start(&recall.timer)?;
    Ok(when_decided(pending, move |result| match result {
        Ok(Cancel::Cancelled) => Response::ok().with("msgId", recall.unique_key),
        Ok(Cancel::AlreadyFired { .. }) => illegal(String::from("the message was delivered already")),
        Ok(Cancel::NotFound) => illegal(String::from("no such message waits to be delivered")),
        Err(error) => error.into(),
    }))
}

#[cfg(test)]
mod tests {
    use mainspring::record::layout::PROPERTIES_BYTES_MAX;

    use super::*;

    #[test]
    fn handles_read_back_as_clients_read_them() {
        let timer = Handle { due_ms: 1_795_321_365_001, schedule: Offset((3 << 40) + 77) };
        let text = encode("T", "broker-a", timer, "7F000001");
        let plain = String::from_utf8(URL_SAFE.decode(&text).unwrap()).unwrap();
        let parts: Vec<&str> = plain.split(' ').collect();
        assert_eq!((parts.len(), parts[0], parts[2], parts[3]), (5, "v1", "broker-a", "1795321365001"));
        let recall = decode(&text).unwrap();
        assert_eq!(
            (recall.timer, recall.topic.as_str(), recall.unique_key.as_str()),
            (timer, "T", "7F000001")
        );
        for bad in
            ["", "v1 T b 1 k:1", "!", &URL_SAFE.encode("v2 T b 1 k:1"), &URL_SAFE.encode("v1 T b x k:1")]
        {
            assert_eq!(decode(bad), None, "{bad}");
        }
        for key in ["a b:c", "", &"k".repeat(PROPERTIES_BYTES_MAX)] {
            let recall = decode(&encode("T", "broker-a", timer, key)).unwrap();
            assert_eq!((recall.timer, recall.unique_key.as_str()), (timer, key));
        }
        for bad in ["v1 T b 1 k", "v1 T b 1 k:g", "v1", "v1 T b 99999999999999999999 k:1"] {
            assert_eq!(decode(&URL_SAFE.encode(bad)), None, "{bad}");
        }
        assert_eq!(decode(&"A".repeat(1 << 20)), None);
    }
}
