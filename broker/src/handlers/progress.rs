//! Code 77005, of our own tools: every group, who of it is online, and how far it is in each queue. The answer is JSON.

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};

use mainspring::Progress;

use crate::{
    broker::{Broker, look_up},
    remoting::{Handled, Reply, Request, Response},
};

/// Serves code 77005; with `group`, only that one.
pub(crate) fn groups(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let only = request.fields().get("group").filter(|name| !name.is_empty()).map(str::to_owned);
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        let read = move || Ok(all(&broker, only.as_deref()));
        match look_up(read).await {
            Ok(groups) => Response::ok().with_body(json!({ "groups": groups }).to_string()),
            Err(refusal) => refusal,
        }
    }))
}

fn all(broker: &Broker, only: Option<&str>) -> Vec<Value> {
    let groups = broker.store.groups().into_iter().filter(|group| only.is_none_or(|only| group.name == only));
    groups
        .map(|group| {
            let progress = broker.store.progress(&group.name);
            let topics = progress.chunk_by(|a, b| a.topic == b.topic);
            let queues: Vec<Value> = topics.flat_map(|of_topic| queues_of(broker, of_topic)).collect();
            json!({
                "group": group.name,
                "online": broker.clients.consumer_ids(&group.name).len(),
                "queues": queues,
            })
        })
        .collect()
}

/// How far a group is in all queues of the one topic that these are of; nothing where that is gone.
fn queues_of(broker: &Broker, progress: &[Progress]) -> Vec<Value> {
    let Some(config) = progress.first().and_then(|first| broker.store.topic(&first.topic)) else {
        return Vec::new();
    };
    let reached = |queue| progress.binary_search_by_key(&queue, |entry| entry.queue).ok();
    let range = |queue| broker.store.queue_range(&config.name, queue).unwrap_or_default();
    (0..config.read_queues)
        .map(|queue| {
            let offset = reached(queue).map(|at| progress[at].offset);
            queue_json(&config.name, queue, offset, &range(queue))
        })
        .collect()
}

/// How far a group is in a queue. Without progress it will begin at 0 where the first message is still there, else at the
/// end: as code 14 answers.
#[must_use]
pub fn queue_json(topic: &str, queue: u32, offset: Option<u64>, range: &Range<u64>) -> Value {
    let begins = if range.start == 0 { 0 } else { range.end };
    let lag = range.end.saturating_sub(offset.unwrap_or(begins).max(range.start));
    json!({ "topic": topic, "queue": queue, "offset": offset, "min": range.start, "end": range.end, "lag": lag })
}
