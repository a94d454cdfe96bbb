//! Code 77005, of our own tools: every group, who of it is online, and how far it is in each queue. The answer is JSON.

use std::sync::Arc;

use serde_json::{Value, json};

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
            let mut queues = Vec::new();
            for topic in &topics {
                for queue in 0..topic.read_queues {
                    let Some(offset) = broker.store.committed_offset(&group.name, &topic.name, queue) else {
                        continue;
                    };
                    let range = broker.store.queue_range(&topic.name, queue).unwrap_or_default();
                    queues.push(json!({
                        "topic": topic.name, "queue": queue, "offset": offset,
                        "min": range.start, "end": range.end,
                        "lag": range.end.saturating_sub(offset.max(range.start)),
                    }));
                }
            }
            json!({
                "group": group.name,
                "online": broker.clients.consumer_ids(&group.name).len(),
                "queues": queues,
            })
        })
        .collect()
}
