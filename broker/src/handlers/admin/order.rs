//! The namespace of the name service's key-value settings that clients look at: the topics whose messages are in one
//! global order, with the queues of each broker. It is a view of the topics' settings.

use std::sync::Arc;

use mainspring::TopicConfig;

use super::reply;
use crate::{
    broker::{Broker, blocking},
    handlers::{namesrv, topics},
    remoting::{Handled, Reply, Response},
};

/// The namespace of topics in global order.
pub(super) const NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// A topic gets a global order. The value says `broker:queues`, which must be what the topic has.
pub(super) fn put(broker: &Arc<Broker>, topic: &str, value: &str) -> Handled {
    let config = broker.store.topic(topic).ok_or_else(|| topics::missing(topic))?;
    let wanted = namesrv::order_of(broker, &TopicConfig { order: true, ..(*config).clone() });
    if wanted.as_deref() != Some(value) {
        let wanted = wanted.unwrap_or_default();
        return Err(reply::invalid(format!("the order of {topic} can only be {wanted}: its queues here")));
    }
    set(broker, &config, true)
}

/// A topic's global order ends.
pub(super) fn delete(broker: &Arc<Broker>, topic: &str) -> Handled {
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

/// The queues of a topic in global order.
pub(super) fn get(broker: &Broker, topic: &str) -> Option<String> {
    namesrv::order_of(broker, &*broker.store.topic(topic)?)
}

/// All topics in global order, each with its queues.
pub(super) fn list(broker: &Broker) -> Vec<(String, String)> {
    let topics = broker.store.topics().into_iter();
    topics.filter_map(|config| Some((config.name.clone(), namesrv::order_of(broker, &config)?))).collect()
}
