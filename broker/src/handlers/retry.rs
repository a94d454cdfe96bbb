//! Code 36: a consumer could not handle a message. The store applies RocketMQ's rule; here it is asked and its answer
//! translated.
//!
//! Clients send 36 to the name-service port when they know no master (RocketMQ #8963). There it is served only where
//! this broker surely owns the record; any doubt is answered with "not supported", which makes the client send a copy
//! of the message to the retry topic. Success is never answered without an append, for the message would be lost.
//!
//! A client may name any position of the log. One that is no message's is refused by the store; one of a topic that the
//! group never read is refused here. What a group reads is known from its heartbeats, its pulls and its progress; where
//! all three may have a gap, the request is served, since C++ clients lose a message whose 36 is refused.

use std::sync::Arc;

use mainspring::{
    ErrorKind, Failed, Failure, Offset, Pending, Result,
    record::{Record, properties},
};
use tokio::time::sleep_until;

use crate::{
    broker::{Broker, Counters, blocking},
    clients::{heartbeat::MessageModel, peer::Peer},
    handlers::offsets,
    names,
    patience::Patience,
    remoting::{
        Handled, Reply, Request, Response,
        codes::{VERSION_CLIENT_ATTEMPTS_MAX, request as codes, response},
    },
};

/// On the broker port.
pub(crate) fn handle(broker: &Arc<Broker>, peer: &Arc<Peer>, request: &Request<'_>) -> Handled {
    consume_failed(broker, Some(peer), request)
}

/// What the request says.
struct Asked {
    group: String,
    offset: Offset,
    delay_level: i32,
    attempts_max: Option<i32>,
    origin_message_id: Option<String>,
    origin_topic: Option<String>,
}

/// `member` is the connection that must belong to the group for its word on what it reads to count.
fn consume_failed(broker: &Arc<Broker>, member: Option<&Arc<Peer>>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let group = fields.required("group")?;
    if broker.store.group(group).is_none() {
        return Err(offsets::no_group(group));
    }
    if broker.clients.model(group) == Some(MessageModel::Broadcasting) {
        let text = format!("the consumer group {group} is a broadcast: what failed there is not sent again");
        return Err(Response::refuse(response::BROADCAST_CONSUMPTION, text));
    }
    // Clients before 3.4.9 send a limit that means nothing.
    let honoured = request.header.version >= VERSION_CLIENT_ATTEMPTS_MAX;
    let named = |name| fields.get(name).filter(|text: &&str| !text.is_empty()).map(str::to_owned);
    let asked = Asked {
        group: group.to_owned(),
        offset: Offset(fields.required_number("offset")?),
        delay_level: fields.number("delayLevel")?.unwrap_or(0),
        attempts_max: fields.number("maxReconsumeTimes")?.filter(|_| honoured),
        origin_message_id: named("originMsgId"),
        origin_topic: named("originTopic"),
    };
    let (broker, member) = (Arc::clone(broker), member.map(Arc::clone));
    Ok(Reply::later(
        async move { again_or_not(&broker, asked, member).await.unwrap_or_else(|refusal| refusal) },
    ))
}

async fn again_or_not(
    broker: &Arc<Broker>,
    asked: Asked,
    member: Option<Arc<Peer>>,
) -> std::result::Result<Response, Response> {
    // The record may be an old one, so it is read outside of the runtime's threads; the append finds it in memory.
    let (own, group, offset) = (Arc::clone(broker), asked.group.clone(), asked.offset);
    let failed = blocking(move || Ok(check_reader(&own, &group, offset, member.as_deref()))).await??;
    let result = append(broker, &asked).await?.await;
    if let Ok(outcome @ (Failed::Again(_) | Failed::DeadLetter)) = result {
        let dead = outcome == Failed::DeadLetter;
        broker.traffic.failed(&asked.group, &failed.topic, dead, failed.body_bytes);
    }
    Ok(answer(result))
}

/// Appends what becomes of the message; waits while the store prepares space.
async fn append(broker: &Broker, asked: &Asked) -> std::result::Result<Pending<Failed>, Response> {
    let failure = Failure {
        group: &asked.group,
        offset: asked.offset,
        delay_level: asked.delay_level,
        attempts_max: asked.attempts_max,
        origin_message_id: asked.origin_message_id.as_deref(),
        origin_topic: asked.origin_topic.as_deref(),
    };
    let mut patience = Patience::begin();
    loop {
        match broker.store.consume_failed(&failure).map_err(refusal) {
            Err(refusal) if refusal.not_yet => match patience.next_try() {
                Some(at) => sleep_until(at).await,
                None => return Err(refusal),
            },
            other => return other,
        }
    }
}

/// The message that a group failed to consume.
struct FailedMessage {
    /// The topic that it was first sent to.
    topic: String,
    body_bytes: usize,
}

/// The record at `offset`; one of a topic that the group surely never read is refused.
fn check_reader(
    broker: &Broker,
    group: &str,
    offset: Offset,
    member: Option<&Peer>,
) -> std::result::Result<FailedMessage, Response> {
    let bytes = broker.store.record_at(offset).map_err(refusal)?;
    let refuse = |text| Response::refuse(response::SYSTEM_ERROR, text);
    let record = Record::parse(&bytes).map_err(|e| refuse(format!("no message at {offset}: {e}")))?;
    let topic = record.topic();
    let its_own = names::group_of_retry_topic(topic) == Some(group);
    if its_own || !broker.clients.never_read(group, topic, member) || has_progress(broker, group, topic) {
        let topic = record.property(properties::RETRY_TOPIC).unwrap_or(topic).to_owned();
        return Ok(FailedMessage { topic, body_bytes: record.body().len() });
    }
    Err(refuse(format!(
        "the message at {offset} is of the topic {topic}, which the consumer group {group} never read"
    )))
}

fn has_progress(broker: &Broker, group: &str, topic: &str) -> bool {
    let queues = broker.store.topic(topic).map_or(0, |config| config.read_queues);
    (0..queues).any(|queue| broker.store.committed_offset(group, topic, queue).is_some())
}

fn answer(result: Result<Failed>) -> Response {
    match result {
        Ok(Failed::Again(_) | Failed::DeadLetter | Failed::Dropped) => Response::ok(),
        Err(error) => refusal(error),
    }
}

fn refusal(error: mainspring::Error) -> Response {
    match error.kind() {
        // The record is not there, or not this group's: 1 makes clients send a copy of the message instead.
        ErrorKind::NotFound | ErrorKind::Invalid => {
            Response::refuse(response::SYSTEM_ERROR, error.to_string())
        }
        _ => error.into(),
    }
}

/// On the name-service port.
pub(crate) fn misdirected(broker: &Arc<Broker>, peer: &Peer, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    Counters::count(&broker.counters.misdirected_send_backs);
    warn(broker, peer, request);
    let ours = fields.get("bname").is_none_or(|name| name.is_empty() || name == broker.settings.broker_name);
    if !ours {
        return Err(Response::unsupported(codes::CONSUMER_SEND_MSG_BACK));
    }
    let doubt = |answer: Response| {
        if answer.code == 0 || answer.not_yet {
            return answer;
        }
        Response::unsupported(codes::CONSUMER_SEND_MSG_BACK)
    };
    match consume_failed(broker, None, request) {
        Ok(Reply::Now(answer)) => Ok(Reply::Now(doubt(answer))),
        Ok(reply) => Ok(Reply::later(async move { doubt(reply.settled().await) })),
        Err(refusal) => Err(doubt(refusal)),
    }
}

/// Says once for each connection which client does this; the counter has how often.
fn warn(broker: &Broker, peer: &Peer, request: &Request<'_>) {
    if !peer.first_warning() {
        return;
    }
    let group = request.fields().get("group").unwrap_or_default();
    let clients = broker.clients.consumer_ids_at(group, peer.address.ip()).join(",");
    tracing::warn!(
        address = %peer.address, client = %names::shown(&clients), group = %names::shown(group),
        language = %names::shown(&request.header.language), version = request.header.version,
        "a client sent a failed message to the name-service port; clients from 5.3.2 on do not"
    );
}
