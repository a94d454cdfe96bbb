//! Key-value settings of the name service: 100, 101, 102, 219.
//!
//! RocketMQ keeps any texts there, and uses one namespace: the topics whose messages are in one global order, with the
//! queues of each broker. Here that is a setting of the topic, stored with it, so this namespace is a view of it, and
//! there are no others.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use mainspring::TopicConfig;

use super::reply;
use crate::{
    broker::{Broker, blocking},
    handlers::{namesrv, topics},
    names,
    remoting::{Handled, Reply, Request, Response, codes::response},
};

/// The namespace of topics in global order.
const NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// The topic that a request is about.
fn key<'a>(request: &'a Request<'_>) -> Result<&'a str, Response> {
    let namespace = request.fields().required("namespace")?;
    if namespace == NAMESPACE {
        return Ok(request.fields().required("key")?);
    }
    let text =
        format!("no settings are kept in the namespace {}, only in {NAMESPACE}", names::shown(namespace));
    Err(Response::refuse(response::QUERY_NOT_FOUND, text))
}

fn not_ordered(topic: &str) -> Response {
    let text = format!("the topic {} has no global order", names::shown(topic));
    Response::refuse(response::QUERY_NOT_FOUND, text)
}

/// Code 100: a topic gets a global order. The value says `broker:queues`, which must be what the topic has.
pub(super) fn put(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let topic = key(request)?;
    let value = request.fields().required("value")?;
    let config = broker.store.topic(topic).ok_or_else(|| topics::missing(topic))?;
    let wanted = namesrv::order_of(broker, &TopicConfig { order: true, ..(*config).clone() });
    if wanted.as_deref() != Some(value) {
        let wanted = wanted.unwrap_or_default();
        return Err(reply::invalid(format!("the order of {topic} can only be {wanted}: its queues here")));
    }
    set(broker, &config, true)
}

/// Code 102: a topic's global order ends.
pub(super) fn delete(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let topic = key(request)?;
    match broker.store.topic(topic) {
        Some(config) => set(broker, &config, false),
        None => Ok(Response::ok().into()),
    }
}

fn set(broker: &Broker, config: &TopicConfig, order: bool) -> Handled {
    if config.order == order {
        return Ok(Response::ok().into());
    }
    let (store, config) = (broker.store.clone(), TopicConfig { order, ..config.clone() });
    Ok(Reply::later(async move {
        let put = blocking(move || store.put_topic(&config)).await;
        put.map_or_else(|refusal| refusal, |()| Response::ok())
    }))
}

/// Code 101: the queues of a topic in global order.
pub(super) fn get(broker: &Broker, request: &Request<'_>) -> Handled {
    let topic = key(request)?;
    let config = broker.store.topic(topic);
    let order = config.and_then(|config| namesrv::order_of(broker, &config));
    Ok(Response::ok().with("value", order.ok_or_else(|| not_ordered(topic))?).into())
}

/// Code 219: all topics in global order.
pub(super) fn list(broker: &Broker, request: &Request<'_>) -> Handled {
    let namespace = request.fields().required("namespace")?;
    let all = if namespace == NAMESPACE { broker.store.topics() } else { Vec::new() };
    let ordered = all.into_iter().filter_map(|config| {
        let order = namesrv::order_of(broker, &config)?;
        Some((config.name, Value::String(order)))
    });
    let table: Map<String, Value> = ordered.collect();
    if table.is_empty() {
        let text = format!("nothing is kept in the namespace {}", names::shown(namespace));
        return Err(Response::refuse(response::QUERY_NOT_FOUND, text));
    }
    Ok(reply::body(&json!({ "table": table })).into())
}
