//! Pulls: codes 11 and 361. Answers at once where there is something to say, else holds the request until a message
//! arrives, a re-check every five seconds, or the client's own limit.
//!
//! All four offsets stand in every answer: C++ clients throw without them.
//!
//! # A subscription that is not known here
//!
//! Java stamps its subscriptions anew on every rebalance and announces that by a heartbeat, which it skips while another
//! is under way. Its pulls then name a version that is not known here, until the next heartbeat half a minute later.
//! RocketMQ answers 25 to them, and the consumer stands still for as long. But nothing is wrong: mostly the expression is
//! the same, and clients look at the tags of what they get once more anyway. So such a pull gets every message, whatever
//! its tag: nothing is skipped that the newer expression may want, nobody waits, and for a while some messages travel in
//! vain.
//!
//! The same holds after a restart, when nobody has sent a heartbeat yet: RocketMQ answers 24, and the consumer stands
//! still until its next one. Only a group that is not stored at all, or a topic that its members do not name, is a 24.
//!
//! SQL92 expressions are not looked at once more by clients. So pulls by one get what RocketMQ answers: 25 for a version
//! that is not known here, 24 while nobody of the group is known, and the consumer waits for its next heartbeat.

use std::{sync::Arc, time::Duration};

use mainspring::{PERM_READ, ReadRequest, ReadResult, ReadStatus, Result as StoreResult};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    broker::{Broker, Maker, look_up},
    clients::{
        heartbeat::{ExpressionType, MessageModel},
        holds::Wanted,
        peer::Peer,
        resets::Way,
    },
    filter::{Filter, selects},
    handlers::{membership, offsets, topics},
    names,
    remoting::{Body, Fields, Handled, Reply, Request, Response, codes::response},
    traffic::Consumption,
};

/// The request commits an offset too.
const FLAG_COMMIT: i32 = 1;
/// The request may be held.
const FLAG_SUSPEND: i32 = 2;
/// The request says what it wants.
const FLAG_SUBSCRIPTION: i32 = 4;

/// A class at the client is the filter, so everything is handed out.
const FLAG_CLASS_FILTER: i32 = 8;

/// Most records in one answer.
const RECORDS_MAX: usize = 1024;
/// Bytes in one answer where the client does not say.
const BYTES_DEFAULT: usize = 256 * 1024;
/// Most bytes in one answer.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Held requests look again this often.
const RECHECK: Duration = Duration::from_secs(5);
/// Longest hold; a connection without traffic is closed after two minutes.
const SUSPEND_MAX: Duration = Duration::from_secs(90);
/// A consumer that is about to leave its place waits so long for its answer, so that it does not ask again and again.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Pull {
    /// The connection that it came by.
    by: u64,
    wanted: Wanted,
    max_records: usize,
    max_bytes: usize,
    suspend: Option<Duration>,
    counted: Arc<Consumption>,
}

impl Pull {
    fn read(&self, broker: &Broker) -> StoreResult<ReadResult> {
        let request = ReadRequest {
            topic: &self.wanted.topic,
            queue: self.wanted.queue,
            from: self.wanted.from,
            max_records: self.max_records,
            max_bytes: self.max_bytes,
            filter: self.wanted.filter.by_tag(),
        };
        match &*self.wanted.filter {
            Filter::Tags(_) => broker.store.read(&request),
            Filter::Sql(expression) => {
                broker.store.read_where(&request, &|record| selects(expression, record))
            }
        }
    }

    /// Whether a read may look at many records, so that it is none of a runtime thread's work.
    fn is_long(&self) -> bool {
        matches!(*self.wanted.filter, Filter::Sql(_))
    }

    /// Whether a read found nothing that is worth an answer.
    fn is_waiting(&self, result: &ReadResult) -> bool {
        match result.status {
            ReadStatus::AtEnd => true,
            ReadStatus::NoQueue => self.wanted.from == 0,
            _ => false,
        }
    }
}

/// Serves codes 11 and 361.
pub(crate) fn handle(broker: &Arc<Broker>, peer: &Peer, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let group = fields.required("consumerGroup")?;
    let pull = read_fields(broker, peer, request, group)?;
    match broker.store.group(group) {
        Some(config) if !config.consume => {
            let text = format!("the consumer group {group} may not consume");
            Err(Response::refuse(response::NO_PERMISSION, text))
        }
        Some(config) if !config.broadcast && is_broadcast(broker, group) => {
            let text = format!("the consumer group {group} may not consume as a broadcast");
            Err(Response::refuse(response::NO_PERMISSION, text))
        }
        Some(_) => {
            commit(broker, fields, group, &pull)?;
            serve(broker, group, pull)
        }
        None if group == names::TOOLS_GROUP => serve(broker, group, pull),
        None if names::is_group(group) => {
            // A pull may come before the first heartbeat of its group.
            let (broker, group) = (Arc::clone(broker), group.to_owned());
            Ok(Reply::later(async move {
                if let Err(refusal) = broker.ensure_group(&group, Maker::Client).await {
                    // Reading must go on where nothing can be written; the heartbeat makes the group later.
                    if let Some(unsaid) = broker.warnings.group.pass() {
                        let (code, remark) = (refusal.code, refusal.remark);
                        tracing::warn!(group, code, ?remark, unsaid, "a group cannot be made");
                    }
                }
                match serve(&broker, &group, pull) {
                    Ok(reply) => reply.settled().await,
                    Err(refusal) => refusal,
                }
            }))
        }
        None => Err(offsets::no_group(group)),
    }
}

fn is_broadcast(broker: &Broker, group: &str) -> bool {
    broker.clients.model(group) == Some(MessageModel::Broadcasting)
}

fn read_fields(broker: &Broker, peer: &Peer, request: &Request<'_>, group: &str) -> Result<Pull, Response> {
    let fields = request.fields();
    let topic = fields.required("topic")?;
    let queue: i32 = fields.required_number("queueId")?;
    let config = broker.topic(topic).ok_or_else(|| topics::missing(topic))?;
    if config.perm & PERM_READ == 0 {
        let text = format!("reading the topic {topic} is not allowed");
        return Err(Response::refuse(response::NO_PERMISSION, text));
    }
    let Some(queue) = u32::try_from(queue).ok().filter(|queue| *queue < config.read_queues) else {
        let text = format!("the topic {topic} has no queue {queue} to read");
        return Err(Response::refuse(response::INVALID_PARAMETER, text));
    };
    let sys_flag: i32 = fields.number("sysFlag")?.unwrap_or(0);
    let suspend_ms: u64 = fields.number("suspendTimeoutMillis")?.unwrap_or(0);
    let max_records = fields.number::<i64>("maxMsgNums")?.unwrap_or(32).max(1);
    let max_bytes = fields.number::<i64>("maxMsgBytes")?.filter(|bytes| *bytes > 0);
    let at_most = |n: i64, most: usize| usize::try_from(n).unwrap_or(most).min(most);
    Ok(Pull {
        by: peer.id,
        wanted: Wanted {
            topic: topic.to_owned(),
            queue,
            from: fields.number::<i64>("queueOffset")?.map_or(0, |from| u64::try_from(from).unwrap_or(0)),
            filter: filter(broker, fields, group, sys_flag)?,
        },
        max_records: at_most(max_records, RECORDS_MAX),
        max_bytes: max_bytes.map_or(BYTES_DEFAULT, |bytes| at_most(bytes, BYTES_MAX)),
        suspend: (sys_flag & FLAG_SUSPEND != 0 && suspend_ms > 0)
            .then(|| Duration::from_millis(suspend_ms).min(SUSPEND_MAX)),
        counted: broker.traffic.groups.get(group, topic),
    })
}

/// What is wanted: as the request says, else as the group's heartbeats said.
fn filter(broker: &Broker, fields: &Fields<'_>, group: &str, sys_flag: i32) -> Result<Arc<Filter>, Response> {
    let topic = fields.required("topic")?;
    let asked = fields.get("expressionType").map(|name| ExpressionType::parse(Some(name)));
    if sys_flag & FLAG_SUBSCRIPTION != 0 {
        broker.clients.pulls(group, topic);
    }
    if sys_flag & FLAG_CLASS_FILTER != 0 {
        return Ok(Arc::new(Filter::all()));
    }
    if sys_flag & FLAG_SUBSCRIPTION != 0 {
        let text = fields.get("subscription").unwrap_or_default();
        return match asked.unwrap_or(ExpressionType::Tag) {
            ExpressionType::Tag => Ok(Arc::new(Filter::tags(text))),
            ExpressionType::Sql92 => expression(broker, (group, topic), text),
            ExpressionType::Other(kind) => Err(membership::no_filter(&kind)),
        };
    }
    let unknown = |what: &str| {
        let text = format!("{what} of the consumer group {}", names::shown(group));
        Response::refuse(response::SUBSCRIPTION_NOT_EXIST, text)
    };
    let by_tag = matches!(asked, None | Some(ExpressionType::Tag));
    let found = match broker.clients.subscription(group, topic) {
        Ok(found) => found,
        Err(_) if by_tag && broker.store.group(group).is_some() => return Ok(Arc::new(Filter::all())),
        Err(_) => return Err(unknown("no consumer is online")),
    };
    let subscription = found.ok_or_else(|| unknown("the topic is in no subscription"))?;
    let newer = fields.number::<i64>("subVersion")?.is_some_and(|version| version > subscription.version);
    let kind = asked.filter(|_| newer).unwrap_or_else(|| subscription.kind.clone());
    match kind {
        ExpressionType::Tag if newer => Ok(Arc::new(Filter::all())),
        ExpressionType::Sql92 if newer => {
            let text = "the heartbeat with this version of the SQL92 expression has not come yet";
            Err(Response::refuse(response::SUBSCRIPTION_NOT_LATEST, text))
        }
        ExpressionType::Tag | ExpressionType::Sql92 => {
            subscription.filter().map_err(|error| membership::no_expression(&error))
        }
        ExpressionType::Other(kind) => Err(membership::no_filter(&kind)),
    }
}

/// An expression that came with a pull: mostly the one that the heartbeats named, which was read already.
fn expression(broker: &Broker, of: (&str, &str), text: &str) -> Result<Arc<Filter>, Response> {
    let filter = match broker.clients.subscription(of.0, of.1) {
        Ok(Some(known)) if known.kind == ExpressionType::Sql92 && known.expression == text => known.filter(),
        _ => Filter::sql(text).map(Arc::new),
    };
    filter.map_err(|error| membership::no_expression(&error))
}

/// Keeps the offset that came with a pull; mostly it is the one that is known already.
fn commit(broker: &Broker, fields: &Fields<'_>, group: &str, pull: &Pull) -> Result<(), Response> {
    let sys_flag: i32 = fields.number("sysFlag")?.unwrap_or(0);
    let offset = fields.number::<i64>("commitOffset")?.and_then(|offset| u64::try_from(offset).ok());
    let Some(offset) = offset.filter(|_| sys_flag & FLAG_COMMIT != 0) else { return Ok(()) };
    let Wanted { topic, queue, .. } = &pull.wanted;
    let known = broker.store.committed_offset(group, topic, *queue) == Some(offset);
    if known || broker.resets.is_pending(group, topic, *queue) {
        return Ok(());
    }
    // Losing it means a redelivery, so nobody waits for it, and a full disk does not keep anybody from reading.
    if let Err(error) = broker.store.commit_offset(group, topic, *queue, offset) {
        tracing::debug!(group, topic, queue, %error, "an offset that came with a pull is not kept");
    }
    Ok(())
}

fn serve(broker: &Arc<Broker>, group: &str, pull: Pull) -> Handled {
    match way(broker, group, &pull) {
        Way::On => {}
        Way::To(target) => return Ok(moved(broker, &pull, target).into()),
        Way::Wait => {
            let answer = stays(broker, &pull);
            return Ok(Reply::later(async move {
                sleep(PAUSE).await;
                answer
            }));
        }
    }
    let own = || (Arc::clone(broker), group.to_owned());
    if pull.is_long() {
        let (broker, group) = own();
        return Ok(Reply::later(async move {
            match read(&broker, &pull).await {
                Ok(result) => match pull.suspend {
                    Some(limit) if pull.is_waiting(&result) => held(&broker, &group, pull, limit).await,
                    _ => answer(&broker, &pull, result),
                },
                Err(refusal) => refusal,
            }
        }));
    }
    let result = pull.read(broker)?;
    match pull.suspend {
        Some(limit) if pull.is_waiting(&result) => {
            let (broker, group) = own();
            Ok(Reply::later(async move { held(&broker, &group, pull, limit).await }))
        }
        _ => Ok(answer(broker, &pull, result).into()),
    }
}

async fn read(broker: &Arc<Broker>, pull: &Pull) -> Result<ReadResult, Response> {
    if pull.is_long() {
        let (broker, pull) = (Arc::clone(broker), pull.clone());
        return look_up(move || pull.read(&broker)).await;
    }
    Ok(pull.read(broker)?)
}

/// Where an administrator wants this reader to go on.
fn way(broker: &Broker, group: &str, pull: &Pull) -> Way {
    let Wanted { topic, queue, from, .. } = &pull.wanted;
    broker.resets.way(group, (topic, *queue), (*from, pull.by), broker.clock.elapsed_ms())
}

/// The answer to a consumer whose progress was set to another place than it reads at.
fn moved(broker: &Broker, pull: &Pull, target: u64) -> Response {
    beside(broker, pull, (response::PULL_OFFSET_MOVED, "OFFSET_RESET"), target)
}

/// The answer to one that will leave this place by itself: nothing of it any more.
fn stays(broker: &Broker, pull: &Pull) -> Response {
    beside(broker, pull, (response::PULL_NOT_FOUND, "OFFSET_RESET"), pull.wanted.from)
}

/// An answer without looking at the queue's messages.
fn beside(broker: &Broker, pull: &Pull, (code, remark): (i32, &'static str), next: u64) -> Response {
    let range = broker.store.queue_range(&pull.wanted.topic, pull.wanted.queue).unwrap_or_default();
    with_offsets(Response::refuse(code, remark), next, range.start, range.end)
}

async fn held(broker: &Arc<Broker>, group: &str, pull: Pull, limit: Duration) -> Response {
    Response { held: true, ..hold(broker, group, pull, limit).await }
}

async fn hold(broker: &Arc<Broker>, group: &str, mut pull: Pull, limit: Duration) -> Response {
    let deadline = Instant::now() + limit;
    let asked = pull.wanted.from;
    loop {
        let mut hold = broker.holds.hold(&pull.wanted);
        let last = Instant::now() >= deadline || broker.holds.is_stopped();
        match way(broker, group, &pull) {
            Way::On => {}
            Way::To(target) => return moved(broker, &pull, target),
            Way::Wait => return stays(broker, &pull),
        }
        let result = match read(broker, &pull).await {
            Ok(result) => result,
            Err(refusal) => return refusal,
        };
        if !last && pull.is_long() && result.status == ReadStatus::NoMatch {
            // Each message ends the wait of an expression; this one was not selected, so it waits behind it.
            pull.wanted.from = result.next;
            continue;
        }
        if last && result.status == ReadStatus::AtEnd && pull.wanted.from > asked {
            let (status, next) = (ReadStatus::NoMatch, pull.wanted.from);
            return answer(broker, &pull, ReadResult { status, next, ..result });
        }
        if last || !pull.is_waiting(&result) {
            return answer(broker, &pull, result);
        }
        tokio::select! {
            () = hold.woken() => {}
            () = sleep_until(deadline.min(Instant::now() + RECHECK)) => {}
        }
    }
}

fn answer(broker: &Broker, pull: &Pull, result: ReadResult) -> Response {
    let from = pull.wanted.from;
    let (code, remark, next) = match result.status {
        ReadStatus::Found => (response::SUCCESS, "FOUND", result.next),
        ReadStatus::NoMatch => (response::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE", result.next),
        ReadStatus::AtEnd => (response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", from),
        ReadStatus::BeyondEnd => (response::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", result.max),
        ReadStatus::BelowStart => (response::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", result.min),
        ReadStatus::NoQueue if from == 0 => (response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0),
        ReadStatus::NoQueue => (response::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0),
    };
    if matches!(result.status, ReadStatus::Found | ReadStatus::NoMatch) {
        pull.counted.pulled.note(pull.wanted.queue, next);
    }
    let mut response = Response { code, remark: Some(remark.into()), ..Response::ok() };
    if result.records.is_empty() {
        broker.traffic.missed();
    } else {
        let bytes = result.records.len_bytes();
        broker.traffic.handed_out(&pull.counted, result.records.len(), bytes);
        response.body = Body::Slices(result.records.slices().collect());
    }
    with_offsets(response, next, result.min, result.max)
}

fn with_offsets(mut response: Response, next: u64, min: u64, max: u64) -> Response {
    response.fields.reserve_exact(6);
    response
        .with("suggestWhichBrokerId", 0u32)
        .with("nextBeginOffset", next)
        .with("minOffset", min)
        .with("maxOffset", max)
        .with("topicSysFlag", 0u32)
        .with("groupSysFlag", 0u32)
}
