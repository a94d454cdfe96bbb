//! Codes about offsets of queues and of consumer groups: 14, 15, 29, 30, 31, 32.

use std::sync::Arc;

use crate::{
    broker::{Broker, look_up, when_decided},
    handlers::topics,
    names,
    remoting::{Fields, Handled, Reply, Request, Response, codes::response},
};

fn queue<'a>(fields: &'a Fields<'_>) -> Result<(&'a str, u32), Response> {
    Ok((fields.required("topic")?, fields.required_number("queueId")?))
}

fn offset(value: u64) -> Handled {
    Ok(Response::ok().with("offset", value).into())
}

/// Code 14: how far a group has come, with every commit that came before the question: a consumer that takes a queue
/// over goes on where the last one said that it was.
pub(crate) fn query(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let group = fields.required("consumerGroup")?.to_owned();
    let (topic, queue) = queue(fields)?;
    let topic = topic.to_owned();
    let zero_if_absent = fields.get("setZeroIfNotFound").is_none() || fields.truth("setZeroIfNotFound");
    let committed = broker.store.barrier();
    let broker = Arc::clone(broker);
    // A store that stopped answers with what it has.
    Ok(when_decided(committed, move |_| progress(&broker, &group, &topic, queue, zero_if_absent)))
}

/// A group's offset. Unknown to a queue whose first message is still there means 0: a new group on a young topic misses
/// nothing.
fn progress(broker: &Broker, group: &str, topic: &str, queue: u32, zero_if_absent: bool) -> Response {
    if let Some(committed) = broker.store.committed_offset(group, topic, queue) {
        return Response::ok().with("offset", committed);
    }
    let exists = broker.topic(topic).is_some_and(|config| queue < config.read_queues);
    let young = broker.store.queue_range(topic, queue).is_none_or(|range| range.start == 0);
    if zero_if_absent && exists && young {
        return Response::ok().with("offset", 0u64);
    }
    Response::refuse(response::QUERY_NOT_FOUND, "the group has no offset for this queue yet")
}

/// Code 15: how far a group has come, mostly one-way. Where an administrator has just set that, a consumer that does not
/// know it yet is not heard.
pub(crate) fn update(broker: &Broker, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let group = fields.required("consumerGroup")?;
    let (topic, queue) = queue(fields)?;
    let reached = fields.required_number("commitOffset")?;
    if broker.store.group(group).is_none() {
        return Err(no_group(group));
    }
    let config = broker.topic(topic).ok_or_else(|| topics::missing(topic))?;
    if queue >= config.read_queues.max(config.write_queues) {
        // Progress is kept for ever, so none is of a queue that cannot be.
        let text = format!("the topic {topic} has no queue {queue}");
        return Err(Response::refuse(response::INVALID_PARAMETER, text));
    }
    if broker.resets.is_pending(group, topic, queue) {
        return Ok(Response::ok().into());
    }
    let pending = broker.store.commit_offset(group, topic, queue, reached)?;
    Ok(when_decided(pending, |result| match result {
        Ok(()) => Response::ok(),
        Err(error) => error.into(),
    }))
}

/// The answer where a consumer group does not exist.
pub(crate) fn no_group(group: &str) -> Response {
    Response::refuse(
        response::SUBSCRIPTION_GROUP_NOT_EXIST,
        format!("the consumer group {} does not exist on this broker", names::shown(group)),
    )
}

/// Code 30: the end of a queue.
pub(crate) fn max(broker: &Broker, request: &Request<'_>) -> Handled {
    let (topic, queue) = queue(request.fields())?;
    offset(broker.store.queue_range(topic, queue).map_or(0, |range| range.end))
}

/// Code 31: the oldest message of a queue.
pub(crate) fn min(broker: &Broker, request: &Request<'_>) -> Handled {
    let (topic, queue) = queue(request.fields())?;
    offset(broker.store.queue_range(topic, queue).map_or(0, |range| range.start))
}

/// Code 29: the first message stored at a time or later; with the boundary `UPPER` the last one stored until then. Where
/// there is none, that is the queue's end, or its start.
pub(crate) fn by_time(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let (topic, queue) = queue(request.fields())?;
    let ms: i64 = request.fields().required_number("timestamp")?;
    let upper = request.fields().get("boundaryType").is_some_and(|kind| kind.eq_ignore_ascii_case("UPPER"));
    let (store, topic) = (broker.store.clone(), topic.to_owned());
    let find = move || {
        if !upper {
            return Ok(store.offset_by_time(&topic, queue, ms)?.unwrap_or(0));
        }
        let start = store.queue_range(&topic, queue).map_or(0, |range| range.start);
        let behind = store.offset_by_time(&topic, queue, ms.saturating_add(1))?.unwrap_or(0);
        Ok(behind.saturating_sub(1).max(start))
    };
    Ok(Reply::later(async move {
        look_up(find).await.map_or_else(|refusal| refusal, |found| Response::ok().with("offset", found))
    }))
}

/// Code 32: when the oldest message was stored; -1 where there is none.
pub(crate) fn earliest_time(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let (topic, queue) = queue(request.fields())?;
    let (store, topic) = (broker.store.clone(), topic.to_owned());
    let find = move || {
        let range = store.queue_range(&topic, queue).filter(|range| !range.is_empty());
        let ms = range.map(|range| store.store_time_at(&topic, queue, range.start)).transpose()?.flatten();
        Ok(ms.unwrap_or(-1))
    };
    Ok(Reply::later(async move {
        look_up(find).await.map_or_else(|refusal| refusal, |ms| Response::ok().with("timestamp", ms))
    }))
}
