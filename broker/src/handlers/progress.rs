//! Code 77005, of our own tools: every group, who of it is online, and how far it is in each queue. The answer is JSON.

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};

use mainspring::TopicConfig;

use crate::{
    broker::{Broker, blocking},
    remoting::{Handled, Reply, Request, Response},
};

/// Serves code 77005; with `group`, only that one.
pub(crate) fn groups(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let only = request.fields().get("group").filter(|name| !name.is_empty()).map(str::to_owned);
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        let read = move || Ok(all(&broker, only.as_deref()));
        match blocking(read).await {
            Ok(groups) => Response::ok().with_body(json!({ "groups": groups }).to_string()),
            Err(refusal) => refusal,
        }
    }))
}

fn all(broker: &Broker, only: Option<&str>) -> Vec<Value> {
    let topics = broker.store.topics();
    let groups = broker.store.groups().into_iter().filter(|group| only.is_none_or(|only| group.name == only));
    groups
        .map(|group| {
            let queues: Vec<Value> =
                topics.iter().flat_map(|topic| of_topic(broker, &group.name, topic)).collect();
            json!({
                "group": group.name,
                "online": broker.clients.consumer_ids(&group.name).len(),
                "queues": queues,
            })
        })
        .collect()
}

/// How far a group is in the queues of a topic; nothing where it never consumed any.
fn of_topic(broker: &Broker, group: &str, topic: &TopicConfig) -> Vec<Value> {
    let at = |queue| broker.store.committed_offset(group, &topic.name, queue);
    let offsets: Vec<Option<u64>> = (0..topic.read_queues).map(at).collect();
    if offsets.iter().all(Option::is_none) {
        return Vec::new();
    }
    let range = |queue| broker.store.queue_range(&topic.name, queue).unwrap_or_default();
    (0..).zip(offsets).map(|(queue, offset)| queue_json(&topic.name, queue, offset, &range(queue))).collect()
}

/// How far a group is in a queue. Without progress it will begin at 0 where the first message is still there, else at the
/// end: as code 14 answers.
#[must_use]
pub fn queue_json(topic: &str, queue: u32, offset: Option<u64>, range: &Range<u64>) -> Value {
    let begins = if range.start == 0 { 0 } else { range.end };
    let lag = range.end.saturating_sub(offset.unwrap_or(begins).max(range.start));
    json!({ "topic": topic, "queue": queue, "offset": offset, "min": range.start, "end": range.end, "lag": lag })
}
