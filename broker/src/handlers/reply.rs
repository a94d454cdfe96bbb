//! Request and reply: codes 324 and 325. A consumer answers a message by a send that names the requester; the broker
//! stores it as any other message and hands it to the requester by 326.
//!
//! The requester is a producer on this broker, found by the client id that stands in the reply. Only its own answer makes
//! the replier's a success, whatever became of the stored copy: a reply is worth something only while somebody waits.

use std::{sync::Arc, time::Duration};

use mainspring::record::properties::{VALUE_END, get, put};

use crate::{
    broker::Broker,
    clients::{Contact, peer::Peer},
    handlers::{outgoing, send},
    names,
    remoting::{
        Handled, Reply, Request, Response,
        codes::{request as codes, response},
    },
};

/// How long the requester may take to acknowledge.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Property with the requester's client id.
const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// Property with the time at which the broker handed the reply on.
const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";

/// Serves codes 324 and 325.
pub(crate) fn handle(broker: &Arc<Broker>, peer: &Arc<Peer>, request: &Request<'_>) -> Handled {
    let push = push(broker, peer, request);
    let queue: i64 = request.fields().number(send::names_of(request).queue)?.unwrap_or(0);
    let stored = match send::handle(broker, peer, request) {
        Ok(reply) => reply,
        Err(refusal) if refusal.not_yet || !is_of_the_store(&refusal) => return Err(refusal),
        Err(refusal) => Reply::Now(refusal),
    };
    Ok(Reply::later(async move {
        let stored = stored.settled().await;
        if stored.code != response::SUCCESS && !is_of_the_store(&stored) {
            return stored;
        }
        match hand_on(push).await {
            Err(refusal) => refusal,
            Ok(()) if stored.code == response::SUCCESS => stored,
            Ok(()) => {
                tracing::debug!(code = stored.code, remark = ?stored.remark, "a reply was handed on, not stored");
                not_stored(queue.max(0))
            }
        }
    }))
}

/// Whether the message is right and the store cannot take it now.
fn is_of_the_store(refusal: &Response) -> bool {
    [response::SYSTEM_BUSY, response::SERVICE_NOT_AVAILABLE].contains(&refusal.code)
}

/// What clients need in the answer to a send, for a message that is in no queue.
fn not_stored(queue: i64) -> Response {
    Response::ok()
        .with("msgId", "0")
        .with("queueId", queue)
        .with("queueOffset", 0u32)
        .with("MSG_REGION", outgoing::REGION)
        .with("TRACE_ON", "true")
}

/// The request to the requester, or why there can be none.
fn push(broker: &Broker, peer: &Peer, request: &Request<'_>) -> Result<(Contact, Response), Response> {
    let refuse = |text: String| Response::refuse(response::SYSTEM_ERROR, text);
    let (fields, names) = (request.fields(), send::names_of(request));
    let given = fields.get(names.properties).unwrap_or_default();
    let Some(requester) = get(given.as_bytes(), REPLY_TO_CLIENT).filter(|id| !id.is_empty()) else {
        return Err(refuse(format!("the reply has no property {REPLY_TO_CLIENT}")));
    };
    let contact = broker.clients.producer(requester).ok_or_else(|| {
        refuse(format!(
            "the requester {} is not online: nobody waits for this reply",
            names::shown(requester)
        ))
    })?;
    let now_ms = broker.store.now_ms();
    let mut properties = given.as_bytes().to_vec();
    // Java 4.9 leaves the last separator out.
    if properties.last() != Some(&VALUE_END) {
        properties.push(VALUE_END);
    }
    put(&mut properties, PUSH_REPLY_TIME, &now_ms.to_string());
    let properties = String::from_utf8(properties)
        .map_err(|_| Response::refuse(response::MESSAGE_ILLEGAL, "the properties are not UTF-8"))?;
    let text = |name| fields.get(name).unwrap_or_default().to_owned();
    let number = |name| Ok::<i64, Response>(fields.number(name)?.unwrap_or(0));
    let push = Response { code: codes::PUSH_REPLY_MESSAGE_TO_CLIENT, ..Response::ok() }
        .with("bornHost", peer.born_host().to_string())
        .with("storeHost", broker.settings.advertised.to_string())
        .with("storeTimestamp", now_ms)
        .with("producerGroup", text(names.group))
        .with("topic", text(names.topic))
        .with("defaultTopic", text(names.default_topic))
        .with("defaultTopicQueueNums", number(names.default_queues)?)
        .with("queueId", number(names.queue)?)
        .with("sysFlag", number(names.sys_flag)?)
        .with("bornTimestamp", number(names.born)?)
        .with("flag", number(names.flag)?)
        .with("properties", properties)
        .with("reconsumeTimes", number(names.reconsume_times)?)
        .with("unitMode", fields.truth(names.unit_mode))
        .with_body(request.body.clone());
    Ok((contact, push))
}

async fn hand_on(push: Result<(Contact, Response), Response>) -> Result<(), Response> {
    let (contact, push) = push?;
    let refuse = |text: String| Response::refuse(response::SYSTEM_ERROR, text);
    let client = names::shown(&contact.client_id);
    match contact.peer.ask(push, ANSWER_MAX).await {
        Ok(told) if told.code == response::SUCCESS => Ok(()),
        Ok(told) => Err(refuse(format!("the requester {client} answered {}", told.code))),
        Err(why) => Err(refuse(format!("the requester {client} did not take the reply: {why}"))),
    }
}
