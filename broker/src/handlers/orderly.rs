//! Codes of orderly consumers: 41 locks queues, 42 gives them up.

use serde::Deserialize;
use serde_json::json;

use crate::{
    broker::Broker,
    clients::locks::MessageQueue,
    loose,
    remoting::{Handled, Request, Response, codes::response},
};

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
    fn parse(request: &Request<'_>) -> Result<Self, Response> {
        serde_json::from_slice(&request.body)
            .map_err(|e| Response::refuse(response::SYSTEM_ERROR, format!("the request does not parse: {e}")))
    }
}

/// Code 41.
pub(crate) fn lock(broker: &Broker, request: &Request<'_>) -> Handled {
    let body = LockBody::parse(request)?;
    let now_ms = broker.clock.elapsed_ms();
    let held = broker.locks.lock(&body.consumer_group, &body.client_id, body.mq_set, now_ms);
    Ok(Response::ok().with_body(json!({ "lockOKMQSet": held }).to_string()).into())
}

/// Code 42.
pub(crate) fn unlock(broker: &Broker, request: &Request<'_>) -> Handled {
    let body = LockBody::parse(request)?;
    broker.locks.unlock(&body.consumer_group, &body.client_id, &body.mq_set);
    Ok(Response::ok().into())
}
