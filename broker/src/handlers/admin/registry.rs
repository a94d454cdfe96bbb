//! The name service for administrators: 205, 216, 224, 304, 327.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::reply;
use crate::{
    broker::Broker,
    handlers::namesrv,
    names,
    remoting::{Handled, Request, Response, codes::response},
};

/// Codes 205 and 327: whether producers are sent here. Without it, routes show every topic as not writable, so that
/// producers go elsewhere and this broker drains. Lasts until the process ends.
pub(super) fn close_to_producers(broker: &Broker, request: &Request<'_>, closed: bool) -> Handled {
    let named = request.fields().required("brokerName")?;
    if named != broker.settings.broker_name {
        let text = format!("this is the broker {}, not {}", broker.settings.broker_name, names::shown(named));
        return Err(reply::invalid(text));
    }
    let changed = broker.closed_to_producers.swap(closed, Ordering::Relaxed) != closed;
    let topics = if changed { namesrv::topics(broker).len() } else { 0 };
    tracing::info!(closed, topics, "an administrator changed whether routes lead producers here");
    let count = if closed { "wipeTopicCount" } else { "addTopicCount" };
    Ok(Response::ok().with(count, topics as u64).into())
}

/// Code 216: the routes follow the broker's topics, so there is nothing left to forget.
pub(super) fn forget_topic(request: &Request<'_>) -> Handled {
    request.fields().required("topic")?;
    Ok(Response::ok().into())
}

/// Code 224: the topics of a cluster.
pub(super) fn topics_of_cluster(broker: &Broker, request: &Request<'_>) -> Handled {
    let cluster = request.fields().required("cluster")?;
    if cluster != broker.settings.cluster_name {
        let text = format!("there is no cluster {}", names::shown(cluster));
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(reply::body(&json!({ "topicList": namesrv::topics(broker) })).into())
}

/// Code 304: names that stand for brokers and clusters, and who knows the rest.
pub(super) fn system_topics(broker: &Broker) -> Handled {
    let topics = [&broker.settings.cluster_name, &broker.settings.broker_name];
    let body = json!({ "brokerAddr": broker.settings.advertised.to_string(), "topicList": topics });
    Ok(reply::body(&body).into())
}
