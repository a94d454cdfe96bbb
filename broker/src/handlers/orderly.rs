//! Codes of orderly consumers: 41 locks queues, 42 gives them up.
//!
//! A lock is a lease of a minute that its client renews, as in RocketMQ; it is state of the store, so it survives a
//! restart. A client that unregisters or goes away keeps what it holds until then, unless it unlocks. While a group holds
//! a lock, what it sends to its retry topic has been given up on, and is a dead letter.

use std::time::Duration;

use mainspring::QueueLock;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    broker::{Broker, when_decided},
    loose,
    remoting::{Handled, Request, Response, codes::response},
};

/// How long a lock holds without being asked for again. Clients renew after 20 s, and after 30 s without an answer
/// they stop believing in it.
const LEASE: Duration = Duration::from_secs(60);

/// A queue as clients name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MessageQueue {
    #[serde(deserialize_with = "loose::text")]
    broker_name: String,
    #[serde(deserialize_with = "loose::number")]
    queue_id: i64,
    #[serde(deserialize_with = "loose::text")]
    topic: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LockBody {
    #[serde(deserialize_with = "loose::text")]
    consumer_group: String,
    #[serde(deserialize_with = "loose::text")]
    client_id: String,
    #[serde(deserialize_with = "loose::list")]
    mq_set: Vec<MessageQueue>,
}

impl LockBody {
    /// Reads a request; queues that there are not are left out, since locks are few.
    fn parse(broker: &Broker, request: &Request<'_>) -> Result<Self, Response> {
        let mut body: Self = serde_json::from_slice(&request.body).map_err(|e| {
            Response::refuse(response::SYSTEM_ERROR, format!("the request does not parse: {e}"))
        })?;
        body.mq_set.retain(|queue| {
            let queues =
                broker.topic(&queue.topic).map_or(0, |topic| topic.read_queues.max(topic.write_queues));
            (0..i64::from(queues)).contains(&queue.queue_id)
        });
        Ok(body)
    }

    fn queues(&self) -> Vec<(&str, u32)> {
        let queue = |queue: &MessageQueue| u32::try_from(queue.queue_id).unwrap_or(u32::MAX);
        self.mq_set.iter().map(|wanted| (wanted.topic.as_str(), queue(wanted))).collect()
    }
}

/// Code 41.
pub(crate) fn lock(broker: &Broker, request: &Request<'_>) -> Handled {
    let body = LockBody::parse(broker, request)?;
    let wanted = QueueLock { group: &body.consumer_group, client: &body.client_id, queues: &body.queues() };
    let pending = broker.store.lock_queues(&wanted, LEASE)?;
    Ok(when_decided(pending, move |result| match result {
        Ok(held) => {
            let held = body.mq_set.iter().zip(held).filter(|(_, held)| *held);
            let held: Vec<_> = held.map(|(queue, _)| queue).collect();
            Response::ok().with_body(json!({ "lockOKMQSet": held }).to_string())
        }
        Err(error) => error.into(),
    }))
}

/// Code 42.
pub(crate) fn unlock(broker: &Broker, request: &Request<'_>) -> Handled {
    let body = LockBody::parse(broker, request)?;
    let given_up = QueueLock { group: &body.consumer_group, client: &body.client_id, queues: &body.queues() };
    let pending = broker.store.unlock_queues(&given_up)?;
    Ok(when_decided(pending, |result| match result {
        Ok(()) => Response::ok(),
        Err(error) => error.into(),
    }))
}
