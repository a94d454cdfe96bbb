//! What stands in queues: 202, 303, 321.

use std::{ops::Range, sync::Arc};

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use mainspring::{ReadRequest, Store, TagFilter, TopicConfig, record::Record};

use super::reply::{self, OfQueue, put_queue_map};
use crate::{
    broker::Broker,
    filter::Filter,
    handlers::topics,
    remoting::{Handled, Request, Response},
    traffic::Window,
};

/// Most units of a queue in one answer.
const UNITS_MAX: i64 = 1024;
/// Most bytes of messages that are read for them.
const UNIT_BYTES_MAX: usize = 16 << 20;

/// Code 202: where the queues of a topic begin and end, and when they last got a message.
pub(super) fn status(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let topic = request.fields().required("topic")?;
    let config = broker.topic(topic).ok_or_else(|| topics::missing(topic))?;
    reply::read(broker, move |broker| {
        let mut entries = Vec::new();
        for queue in 0..queues(&config) {
            let range = broker.store.queue_range(&config.name, queue).unwrap_or_default();
            let last = newest(&broker.store, &config.name, queue, &range)?;
            entries.push(OfQueue {
                topic: config.name.clone(),
                queue,
                value: json!({
                    "lastUpdateTimestamp": last.unwrap_or(0),
                    "maxOffset": range.end,
                    "minOffset": range.start,
                }),
            });
        }
        let mut body = BytesMut::new();
        body.put_slice(b"{\"offsetTable\":");
        put_queue_map(&mut body, &broker.settings.broker_name, &entries);
        let rate = broker.traffic.topic_put_over(&config.name, Window::Now);
        let tps = rate.per_second(rate.passed.messages);
        body.put_slice(format!(",\"topicPutTps\":{tps:?}}}").as_bytes());
        Ok(Response::ok().with_body(body.freeze()))
    })
}

/// Queues of a topic in either direction.
pub(super) fn queues(config: &TopicConfig) -> u32 {
    config.read_queues.max(config.write_queues)
}

/// When the newest message of a queue was stored; `None` where there is none, or its place is a blank.
fn newest(store: &Store, topic: &str, queue: u32, range: &Range<u64>) -> mainspring::Result<Option<i64>> {
    if range.is_empty() { Ok(None) } else { store.store_time_at(topic, queue, range.end - 1) }
}

/// Code 303: from when to when the messages of a topic's queues are, and up to when a group consumed them.
pub(super) fn time_spans(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let (topic, group) = (fields.required("topic")?, fields.required("group")?.to_owned());
    let config = broker.topic(topic).ok_or_else(|| topics::missing(topic))?;
    reply::read(broker, move |broker| {
        let mut spans = Vec::new();
        for queue in 0..config.read_queues {
            spans.push(time_span(broker, &group, &config.name, queue)?);
        }
        Ok(reply::body(&json!({ "consumeTimeSpanSet": spans })))
    })
}

fn time_span(broker: &Broker, group: &str, topic: &str, queue: u32) -> mainspring::Result<Value> {
    let store = &broker.store;
    let range = store.queue_range(topic, queue).unwrap_or_default();
    let oldest = if range.is_empty() { None } else { store.store_time_at(topic, queue, range.start)? };
    let newest = newest(store, topic, queue, &range)?;
    let reached = store.committed_offset(group, topic, queue).unwrap_or(range.start);
    let consumed = consumed_ms(store, topic, queue, reached)?;
    // How old the next message to be consumed is; nothing is late where there is none.
    let next = store.store_time_at(topic, queue, reached)?;
    Ok(json!({
        "consumeTimeStamp": consumed.unwrap_or(-1),
        "delayTime": next.map_or(0, |ms| store.now_ms().saturating_sub(ms).max(0)),
        "maxTimeStamp": newest.unwrap_or(-1),
        "messageQueue": { "brokerName": broker.settings.broker_name, "queueId": queue, "topic": topic },
        "minTimeStamp": oldest.unwrap_or(-1),
    }))
}

/// When the last message before `reached` was stored.
pub(super) fn consumed_ms(
    store: &Store,
    topic: &str,
    queue: u32,
    reached: u64,
) -> mainspring::Result<Option<i64>> {
    reached.checked_sub(1).map_or(Ok(None), |last| store.store_time_at(topic, queue, last))
}

/// Code 321: the units of a queue: where its messages stand in the log.
pub(super) fn units(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let topic = fields.required("topic")?;
    let queue: u32 = fields.required_number("queueId")?;
    let config = broker.topic(topic).ok_or_else(|| topics::missing(topic))?;
    if queue >= queues(&config) {
        return Err(reply::invalid(format!("the topic {topic} has no queue {queue}")));
    }
    let index: i64 = fields.number("index")?.unwrap_or(-1);
    let count = fields.number::<i64>("count")?.unwrap_or(10).clamp(1, UNITS_MAX);
    let wanted = fields.get("consumerGroup").and_then(|group| broker.clients.subscription(group, topic).ok());
    let filter = wanted.flatten().and_then(|wanted| wanted.filter().ok());
    reply::read(broker, move |broker| {
        let range = broker.store.queue_range(&config.name, queue).unwrap_or_default();
        // A negative index asks for the newest units.
        let from = u64::try_from(index).unwrap_or_else(|_| range.end.saturating_sub(count.unsigned_abs()));
        let read = broker.store.read(&ReadRequest {
            topic: &config.name,
            queue,
            from: from.max(range.start),
            max_records: usize::try_from(count).unwrap_or(1),
            max_bytes: UNIT_BYTES_MAX,
            filter: &TagFilter::all(),
        })?;
        let units = read.records.iter().filter_map(|bytes| Record::parse(bytes).ok());
        let units: Vec<Value> = units.map(|record| unit(&record, filter.as_deref())).collect();
        let body = json!({ "maxQueueIndex": range.end, "minQueueIndex": range.start, "queueData": units });
        Ok(reply::body(&body))
    })
}

fn unit(record: &Record<'_>, filter: Option<&Filter>) -> Value {
    let wanted = match filter {
        None => true,
        Some(Filter::Tags(tags)) => tags.matches(record.tags_code()),
        Some(Filter::Sql(expression)) => expression.selects(record.raw_properties()),
    };
    json!({
        "eval": wanted,
        "msg": record.message_id().to_string(),
        "physicOffset": record.physical_offset(),
        "physicSize": record.bytes().len(),
        "tagsCode": record.tags_code(),
    })
}
