//! Progress as a whole: 43, 314.

use std::sync::Arc;

use serde_json::{Map, json};

use super::reply;
use crate::{
    broker::{Broker, Maker, blocking},
    handlers::offsets,
    names,
    remoting::{Handled, Reply, Request, Response},
};

/// Code 43: the progress of all groups.
pub(super) fn all(broker: &Arc<Broker>) -> Handled {
    reply::read(broker, |broker| {
        let mut table = Map::new();
        for group in broker.store.groups() {
            for entry in broker.store.progress(&group.name) {
                let of_topic =
                    table.entry(format!("{}@{}", entry.topic, group.name)).or_insert_with(|| json!({}));
                of_topic[entry.queue.to_string()] = json!(entry.offset);
            }
        }
        Ok(reply::body(&json!({ "offsetTable": table })))
    })
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
    let mut wanted = broker.store.progress(source);
    wanted.retain(|entry| only.is_none_or(|only| only == entry.topic));
    let (broker, target) = (Arc::clone(broker), target.to_owned());
    Ok(Reply::later(async move {
        if let Err(refusal) = broker.ensure_group(&target, Maker::Administrator).await {
            return refusal;
        }
        let set = blocking(move || broker.store.set_progress(&target, &wanted)?.wait());
        set.await.map_or_else(|refusal| refusal, |()| Response::ok())
    }))
}
