//! How far groups have come: 208, 300, 317, 343.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use serde_json::json;

use super::{
    queues::consumed_ms,
    reply::{self, OfQueue, put_queue_map},
};
use crate::{
    broker::Broker,
    clients::heartbeat::MessageModel,
    handlers::offsets,
    remoting::{Handled, Request, Response, outbox::put_json_text},
    traffic::Window,
};

/// What a group has left to do on some queues.
#[derive(Default)]
struct Lag {
    entries: Vec<OfQueue>,
    messages: u64,
    /// Messages handed out a second.
    tps: f64,
}

impl Lag {
    /// The rows of one topic: every queue that can be read, be it begun or not.
    fn of_topic(broker: &Broker, group: &str, topic: &str) -> mainspring::Result<Self> {
        let mut lag = Self::default();
        let Some(config) = broker.topic(topic) else { return Ok(lag) };
        let counted = broker.traffic.groups.find(group, topic);
        if let Some(counted) = &counted {
            let rate = counted.out.over(Window::Now);
            lag.tps = rate.per_second(rate.passed.messages);
        }
        // What members hold is known only while they commit here: not where nobody is online, nor in a broadcast.
        let holds = broker.clients.model(group) == Some(MessageModel::Clustering);
        let holder = counted.filter(|_| holds);
        for queue in 0..config.read_queues {
            let range = broker.store.queue_range(topic, queue).unwrap_or_default();
            let reached = broker.store.committed_offset(group, topic, queue).unwrap_or(range.start);
            let pulled = holder.as_ref().and_then(|counted| counted.pulled.get(queue)).unwrap_or(reached);
            let consumed = consumed_ms(&broker.store, topic, queue, reached)?;
            lag.messages += range.end.saturating_sub(reached);
            lag.entries.push(OfQueue {
                topic: topic.to_owned(),
                queue,
                value: json!({
                    "brokerOffset": range.end,
                    "consumerOffset": reached,
                    "lastTimestamp": consumed.unwrap_or(0),
                    "pullOffset": pulled.clamp(reached, range.end.max(reached)),
                }),
            });
        }
        Ok(lag)
    }

    fn put(&self, out: &mut BytesMut, broker_name: &str) {
        out.put_slice(format!("{{\"consumeTps\":{:?},\"offsetTable\":", self.tps).as_bytes());
        put_queue_map(out, broker_name, &self.entries);
        out.put_u8(b'}');
    }
}

/// Code 208: how far a group has come in the topics that it reads, or in those that are named.
pub(super) fn of_group(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let group = fields.required("consumerGroup")?.to_owned();
    if broker.store.group(&group).is_none() {
        return Err(offsets::no_group(&group));
    }
    let named = |name| fields.get(name).filter(|text: &&str| !text.is_empty());
    let listed = named("topicList").unwrap_or_default().split(';').filter(|topic| !topic.is_empty());
    let mut topics: Vec<String> = named("topic").into_iter().chain(listed).map(str::to_owned).collect();
    topics.sort_unstable();
    topics.dedup();
    reply::read(broker, move |broker| {
        if topics.is_empty() {
            topics = topics_read(broker, &group);
        }
        let mut all = Lag::default();
        for topic in &topics {
            let lag = Lag::of_topic(broker, &group, topic)?;
            all.tps += lag.tps;
            all.entries.extend(lag.entries);
        }
        let mut body = BytesMut::new();
        all.put(&mut body, &broker.settings.broker_name);
        Ok(Response::ok().with_body(body.freeze()))
    })
}

/// Code 317: how far all groups have come.
pub(super) fn of_all(broker: &Arc<Broker>) -> Handled {
    reply::read(broker, |broker| {
        let mut body = BytesMut::new();
        body.put_slice(b"{\"brokerAddr\":");
        put_json_text(&mut body, &broker.settings.advertised.to_string());
        body.put_slice(b",\"consumeStatsList\":[");
        let (mut messages, mut first) = (0, true);
        for group in broker.store.groups() {
            body.put_slice(if first { b"{" } else { b",{" });
            put_json_text(&mut body, &group.name);
            body.put_slice(b":[");
            for (at, topic) in topics_read(broker, &group.name).iter().enumerate() {
                let lag = Lag::of_topic(broker, &group.name, topic)?;
                body.put_slice(if at == 0 { b"" } else { b"," });
                lag.put(&mut body, &broker.settings.broker_name);
                messages += lag.messages;
            }
            body.put_slice(b"]}");
            first = false;
        }
        body.put_slice(format!("],\"totalDiff\":{messages}}}").as_bytes());
        Ok(Response::ok().with_body(body.freeze()))
    })
}

/// The topics in which a group has progress.
fn topics_read(broker: &Broker, group: &str) -> Vec<String> {
    let mut topics: Vec<String> = broker.store.progress(group).into_iter().map(|entry| entry.topic).collect();
    topics.dedup();
    topics
}

/// Code 300: the groups that read a topic: they have progress there, or want it now.
pub(super) fn groups_of_topic(broker: &Broker, request: &Request<'_>) -> Handled {
    let topic = request.fields().required("topic")?;
    let mut groups = broker.clients.subscribed_to(topic);
    groups.extend(broker.store.groups_of(topic));
    groups.sort_unstable();
    groups.dedup();
    Ok(reply::body(&json!({ "groupList": groups })).into())
}

/// Code 343: the topics that a group reads.
pub(super) fn topics_of_group(broker: &Broker, request: &Request<'_>) -> Handled {
    let group = request.fields().required("group")?;
    let mut topics = topics_read(broker, group);
    if let Some(online) = broker.clients.consumer_group(group) {
        topics.extend(online.subscriptions.into_keys());
    }
    topics.sort_unstable();
    topics.dedup();
    Ok(reply::body(&json!({ "topicList": topics })).into())
}
