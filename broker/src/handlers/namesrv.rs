//! The name service: where topics are. Codes 105, 106 and 206, on both ports.
//!
//! Clients parse this JSON by several hands: C++ and Go cut it at commas, old Java wants broker ids without quotes,
//! strict parsers want them quoted. So it is compact, keys are in fastjson's order, and the version decides on quotes.

use std::sync::atomic::Ordering;

use bytes::{BufMut, BytesMut};
use serde_json::json;

use mainspring::{PERM_WRITE, TopicConfig};

use crate::{
    broker::Broker,
    names,
    remoting::{
        Handled, Request, Response,
        codes::{VERSION_STANDARD_JSON, response},
        outbox::put_json_text,
    },
};

/// Code 105: the route of one topic.
pub(crate) fn route(broker: &Broker, request: &Request<'_>) -> Handled {
    let topic = request.fields().required("topic")?;
    let Some(config) = broker.topic(topic) else {
        let text = format!("No topic route info in name server for the topic: {}", names::shown(topic));
        return Err(Response::refuse(response::TOPIC_NOT_EXIST, text));
    };
    let mut out = BytesMut::with_capacity(384);
    out.put_slice(b"{\"brokerDatas\":[");
    put_broker(&mut out, broker, wants_quotes(request));
    out.put_slice(b"],\"filterServerTable\":{},");
    if let Some(order) = order_of(broker, &config) {
        out.put_slice(b"\"orderTopicConf\":");
        put_json_text(&mut out, &order);
        out.put_u8(b',');
    }
    out.put_slice(b"\"queueDatas\":[{\"brokerName\":");
    put_json_text(&mut out, &broker.settings.broker_name);
    let closed = broker.closed_to_producers.load(Ordering::Relaxed);
    let perm = if closed { config.perm & !PERM_WRITE } else { config.perm };
    let numbers = format!(
        ",\"perm\":{},\"readQueueNums\":{},\"topicSysFlag\":{},\"writeQueueNums\":{}}}]}}",
        perm, config.read_queues, config.sys_flag, config.write_queues
    );
    out.put_slice(numbers.as_bytes());
    Ok(Response::ok().with_body(out.freeze()).into())
}

/// The queues of a topic in global order, as `broker:queues`.
#[must_use]
pub(crate) fn order_of(broker: &Broker, config: &TopicConfig) -> Option<String> {
    config.order.then(|| format!("{}:{}", broker.settings.broker_name, config.write_queues))
}

/// Code 106: all brokers.
pub(crate) fn cluster(broker: &Broker, request: &Request<'_>) -> Handled {
    let mut out = BytesMut::with_capacity(384);
    out.put_slice(b"{\"brokerAddrTable\":{");
    put_json_text(&mut out, &broker.settings.broker_name);
    out.put_u8(b':');
    put_broker(&mut out, broker, wants_quotes(request));
    out.put_slice(b"},\"clusterAddrTable\":{");
    put_json_text(&mut out, &broker.settings.cluster_name);
    out.put_slice(b":[");
    put_json_text(&mut out, &broker.settings.broker_name);
    out.put_slice(b"]}}");
    Ok(Response::ok().with_body(out.freeze()).into())
}

/// Code 206: the names of all topics.
pub(crate) fn topic_list(broker: &Broker) -> Handled {
    Ok(Response::ok().with_body(json!({ "topicList": topics(broker) }).to_string()).into())
}

/// The names of all topics, sorted.
#[must_use]
pub(crate) fn topics(broker: &Broker) -> Vec<String> {
    let mut topics: Vec<String> = broker.store.topics().into_iter().map(|topic| topic.name).collect();
    if let Some(default) = broker.topic(names::DEFAULT_TOPIC) {
        topics.push(default.name.clone());
    }
    topics.sort_unstable();
    topics.dedup();
    topics
}

fn wants_quotes(request: &Request<'_>) -> bool {
    request.header.version >= VERSION_STANDARD_JSON || request.fields().truth("acceptStandardJsonOnly")
}

fn put_broker(out: &mut BytesMut, broker: &Broker, quoted: bool) {
    out.put_slice(if quoted { b"{\"brokerAddrs\":{\"0\":" } else { b"{\"brokerAddrs\":{0:" });
    put_json_text(out, &broker.settings.advertised.to_string());
    out.put_slice(b"},\"brokerName\":");
    put_json_text(out, &broker.settings.broker_name);
    out.put_slice(b",\"cluster\":");
    put_json_text(out, &broker.settings.cluster_name);
    out.put_slice(b",\"enableActingMaster\":false}");
}
