//! Progress as a whole: 43, 314.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{progress, reply};
use crate::{
    broker::{Broker, blocking},
    handlers::{membership, offsets},
    names,
    remoting::{Handled, Reply, Request, Response},
};

/// Code 43: the progress of all groups.
pub(super) fn all(broker: &Broker) -> Handled {
    let mut table = Map::new();
    for group in broker.store.groups() {
        for (topic, queues) in progress::of(broker, &group.name) {
            let queues: Map<String, Value> =
                queues.into_iter().map(|(queue, reached)| (queue.to_string(), json!(reached))).collect();
            table.insert(format!("{topic}@{}", group.name), Value::Object(queues));
        }
    }
    Ok(reply::body(&json!({ "offsetTable": table })).into())
}

/// Code 314: a group goes on where another one is, in one topic or in all.
pub(super) fn copy(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let (source, target) = (fields.required("srcGroup")?, fields.required("destGroup")?);
    if broker.store.group(source).is_none() {
        return Err(offsets::no_group(source));
    }
    if !names::is_group(target) {
        return Err(reply::invalid(format!("{:?} cannot be a group's name", names::shown(target))));
    }
    let only = fields.get("topic").filter(|topic| !topic.is_empty());
    let mut wanted = progress::of(broker, source);
    wanted.retain(|topic, _| only.is_none_or(|only| only == topic));
    let (broker, target) = (Arc::clone(broker), target.to_owned());
    Ok(Reply::later(async move {
        if let Err(refusal) = membership::ensure_group(&broker, &target).await {
            return refusal;
        }
        let set = blocking(move || {
            for (topic, queues) in wanted {
                for (queue, reached) in queues {
                    broker.store.commit_offset(&target, &topic, queue, reached)?.wait()?;
                }
            }
            Ok(())
        });
        set.await.map_or_else(|refusal| refusal, |()| Response::ok())
    }))
}
