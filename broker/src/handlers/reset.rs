//! Code 222: an administrator sets a group's progress on a topic to a time, or in one queue to an offset.
//!
//! Three things happen. The progress is set in the log, of all queues in one frame, so that whoever comes later goes on
//! there. Members that are online are told by 220. And the next pull of each queue, a held one at once, is answered with the
//! new place, which serves consumers that know no 220; see [`crate::clients::resets`] for those that go by it alone.
//!
//! C++ clients get both, 220 first. After 220 they drop the queue for some ten milliseconds, and a pull that is answered in
//! between ends quietly; one that stayed would go on beside the new one and move its place. If the answer comes too early
//! or too late, they get messages once more, but miss none.

use std::{ops::Range, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use mainspring::Progress;

use crate::{
    broker::{Broker, look_up},
    clients::Contact,
    handlers::{offsets, topics},
    names,
    remoting::{
        Handled, Reply, Request, Response,
        codes::{VERSION_CLIENT_RESET, request as codes, response},
        fastjson::{QueueName, put_offsets, put_queue},
    },
};

/// Queues whose progress is set in one frame: all of a usual topic's, and few enough for a small segment.
const QUEUES_AT_ONCE: usize = 1024;

/// What an administrator asks for.
struct Asked {
    group: String,
    topic: String,
    timestamp: i64,
    force: bool,
    for_cpp: bool,
    queues: Range<u32>,
    /// The offset itself, of the one queue; else that of the time.
    offset: Option<u64>,
}

/// What is to become of a group's progress.
struct Plan {
    group: String,
    topic: String,
    /// As the administrator gave it: -1 is the end.
    timestamp: i64,
    /// Also forward, which skips messages.
    force: bool,
    /// The administrator means C++ clients.
    for_cpp: bool,
    /// Queue and offset.
    targets: Vec<(u32, u64)>,
}

/// Serves code 222.
pub(crate) fn handle(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let asked = asked(broker, request)?;
    let members = broker.clients.members(&asked.group);
    if let Some(old) = members.iter().find(|member| member.software.version < VERSION_CLIENT_RESET) {
        let text =
            format!("the consumer {} is older than 3.0.7 and cannot be reset", names::shown(&old.client_id));
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        match plan_and_carry_out(&broker, asked, &members).await {
            Ok(plan) => Response::ok().with_body(java_body(&broker, &plan)),
            Err(refusal) => refusal,
        }
    }))
}

/// What the request says; its targets are found later, since that reads the store.
fn asked(broker: &Broker, request: &Request<'_>) -> Result<Asked, Response> {
    let fields = request.fields();
    let (topic, group) = (fields.required("topic")?, fields.required("group")?);
    let config = broker.store.topic(topic).ok_or_else(|| topics::missing(topic))?;
    if broker.store.group(group).is_none() {
        return Err(offsets::no_group(group));
    }
    let queue: i64 = fields.number("queueId")?.unwrap_or(-1);
    let queues = match u32::try_from(queue) {
        Ok(queue) if queue < config.read_queues => queue..queue + 1,
        Ok(queue) => {
            let text = format!("the topic {topic} has no queue {queue}");
            return Err(Response::refuse(response::INVALID_PARAMETER, text));
        }
        Err(_) => 0..config.read_queues,
    };
    let offset = match u64::try_from(fields.number::<i64>("offset")?.unwrap_or(-1)) {
        Ok(offset) if queue >= 0 => Some(in_queue(broker, topic, queues.start, offset)?),
        _ => None,
    };
    Ok(Asked {
        group: group.to_owned(),
        topic: topic.to_owned(),
        timestamp: fields.required_number("timestamp")?,
        force: fields.truth("isForce"),
        for_cpp: request.header.language == "CPP",
        queues,
        offset,
    })
}

/// An offset that there is in a queue.
fn in_queue(broker: &Broker, topic: &str, queue: u32, offset: u64) -> Result<u64, Response> {
    let range = broker.store.queue_range(topic, queue).unwrap_or_default();
    if (range.start..=range.end).contains(&offset) {
        return Ok(offset);
    }
    let text =
        format!("queue {queue} of {topic} holds offsets {} to {}, not {offset}", range.start, range.end);
    Err(Response::refuse(response::INVALID_PARAMETER, text))
}

async fn plan_and_carry_out(
    broker: &Arc<Broker>,
    asked: Asked,
    members: &[Contact],
) -> Result<Plan, Response> {
    let own = Arc::clone(broker);
    let plan = look_up(move || plan(&own, asked)).await?;
    carry_out(broker, &plan, members).await?;
    Ok(plan)
}

fn plan(broker: &Broker, asked: Asked) -> mainspring::Result<Plan> {
    let mut targets = Vec::with_capacity(asked.queues.len());
    for queue in asked.queues.clone() {
        let target = match asked.offset {
            Some(offset) => offset,
            None => by_time(broker, &asked.topic, queue, asked.timestamp)?,
        };
        // Without force, a group is only ever sent back.
        let reached =
            broker.store.committed_offset(&asked.group, &asked.topic, queue).filter(|_| !asked.force);
        targets.push((queue, reached.map_or(target, |reached| reached.min(target))));
    }
    let Asked { group, topic, timestamp, force, for_cpp, .. } = asked;
    Ok(Plan { group, topic, timestamp, force, for_cpp, targets })
}

fn by_time(broker: &Broker, topic: &str, queue: u32, ms: i64) -> mainspring::Result<u64> {
    let end = broker.store.queue_range(topic, queue).map_or(0, |range| range.end);
    if ms < 0 {
        return Ok(end);
    }
    Ok(broker.store.offset_by_time(topic, queue, ms)?.unwrap_or(end))
}

async fn carry_out(broker: &Broker, plan: &Plan, members: &[Contact]) -> Result<(), Response> {
    let Plan { group, topic, targets, .. } = plan;
    if let Some(unsaid) = broker.warnings.reset.pass() {
        let (timestamp, members) = (plan.timestamp, members.len());
        tracing::info!(group, topic, timestamp, members, unsaid, "setting a group's progress");
    }
    if !members.is_empty() {
        let told = followers(broker, group, members);
        let now_ms = broker.clock.elapsed_ms();
        for (queue, target) in targets {
            broker.resets.set(group, (topic, *queue, *target), &told, now_ms);
        }
    }
    if let Err(error) = set_progress(broker, plan).await {
        // The administrator is told that nothing was set, so members are to be heard again.
        for (queue, _) in targets {
            broker.resets.take_back(group, topic, *queue);
        }
        return Err(error.into());
    }
    if let Some(counted) = broker.traffic.groups.find(group, topic) {
        counted.pulled.forget();
    }
    for member in members {
        tell(broker, plan, member);
    }
    for (queue, _) in targets {
        broker.holds.wake(topic, *queue);
    }
    Ok(())
}

async fn set_progress(broker: &Broker, plan: &Plan) -> mainspring::Result<()> {
    let entry =
        |(queue, offset): &(u32, u64)| Progress { topic: plan.topic.clone(), queue: *queue, offset: *offset };
    let progress: Vec<Progress> = plan.targets.iter().map(entry).collect();
    for part in progress.chunks(QUEUES_AT_ONCE) {
        broker.store.set_progress(&plan.group, part)?.await?;
    }
    Ok(())
}

/// The connections whose clients go by 220 alone: push consumers of Java and Go. Java's others do not heed it.
fn followers(broker: &Broker, group: &str, members: &[Contact]) -> Arc<[u64]> {
    if !broker.clients.is_pushed(group) {
        return Arc::default();
    }
    let heeds = |member: &&Contact| matches!(member.software.language.as_str(), "JAVA" | "GO");
    members.iter().filter(heeds).map(|member| member.peer.id).collect()
}

/// Code 220, in the form that the member reads.
fn tell(broker: &Broker, plan: &Plan, member: &Contact) {
    let as_list = match member.software.language.as_str() {
        "CPP" => true,
        "JAVA" | "GO" => false,
        _ => plan.for_cpp,
    };
    let body = if as_list { cpp_body(broker, plan) } else { java_body(broker, plan) };
    let push = Response { code: codes::RESET_CONSUMER_CLIENT_OFFSET, ..Response::ok() }
        .with("topic", plan.topic.clone())
        .with("group", plan.group.clone())
        .with("timestamp", plan.timestamp)
        .with("isForce", plan.force)
        .with_body(body);
    if !member.peer.push(push) {
        // Its next pull tells it too, at once or when patience ends.
        tracing::debug!(client = member.client_id, "a client does not read its notifications");
    }
}

fn named<'a>(broker: &'a Broker, plan: &'a Plan) -> impl Iterator<Item = (QueueName<'a>, u64)> {
    let name = |queue| QueueName { broker: &broker.settings.broker_name, topic: &plan.topic, queue };
    plan.targets.iter().map(move |(queue, target)| (name(*queue), *target))
}

/// A map with queues as its keys.
fn java_body(broker: &Broker, plan: &Plan) -> Bytes {
    let mut out = BytesMut::from(&b"{\"offsetTable\":"[..]);
    put_offsets(&mut out, named(broker, plan));
    out.put_u8(b'}');
    out.freeze()
}

/// A list of queues, each with its offset.
fn cpp_body(broker: &Broker, plan: &Plan) -> Bytes {
    let mut out = BytesMut::from(&b"{\"offsetTable\":["[..]);
    for (i, (name, target)) in named(broker, plan).enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        put_queue(&mut out, name);
        out.truncate(out.len() - 1);
        out.put_slice(format!(",\"offset\":{target}}}").as_bytes());
    }
    out.put_slice(b"]}");
    out.freeze()
}
