//! Code 36: a consumer could not handle a message. The store applies RocketMQ's rule; here it is asked and its answer
//! translated.
//!
//! Clients send 36 to the name-service port when they know no master (RocketMQ #8963). There it is served only where
//! this broker surely owns the record; any doubt is answered with "not supported", which makes the client send a copy
//! of the message to the retry topic. Success is never answered without an append, for the message would be lost.

use std::sync::Arc;

use mainspring::{ErrorKind, Failed, Failure, Offset, Result};

use crate::{
    broker::{Broker, Counters, unsupported, when_decided},
    names, offsets,
    peer::Peer,
    remoting::{
        Handled, Reply, Request, Response,
        codes::{VERSION_CLIENT_ATTEMPTS_MAX, request as codes, response},
    },
};

/// On the broker port.
pub(crate) fn handle(broker: &Broker, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let group = fields.required("group")?;
    if broker.store.group(group).is_none() {
        return Err(offsets::no_group(group));
    }
    // Clients before 3.4.9 send a limit that means nothing.
    let honoured = request.header.version >= VERSION_CLIENT_ATTEMPTS_MAX;
    let named = |name| fields.get(name).filter(|text: &&str| !text.is_empty());
    let failure = Failure {
        group,
        offset: Offset(fields.required_number("offset")?),
        delay_level: fields.number("delayLevel")?.unwrap_or(0),
        attempts_max: fields.number("maxReconsumeTimes")?.filter(|_| honoured),
        origin_message_id: named("originMsgId"),
        origin_topic: named("originTopic"),
    };
    let pending = broker.store.consume_failed(&failure).map_err(refusal)?;
    Ok(when_decided(pending, answer))
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
    let group = names::shown(fields.get("group").unwrap_or_default()).into_owned();
    Counters::count(&broker.counters.misdirected_send_backs);
    tracing::warn!(
        client = %peer.address, group, language = %names::shown(&request.header.language),
        version = request.header.version,
        "a client sent a failed message to the name-service port; clients from 5.3.2 on do not"
    );
    let ours = fields.get("bname").is_none_or(|name| name.is_empty() || name == broker.settings.broker_name);
    if !ours {
        return Err(unsupported(codes::CONSUMER_SEND_MSG_BACK));
    }
    let doubt =
        |answer: Response| if answer.code == 0 { answer } else { unsupported(codes::CONSUMER_SEND_MSG_BACK) };
    match handle(broker, request) {
        Ok(Reply::Now(answer)) => Ok(Reply::Now(doubt(answer))),
        Ok(Reply::Later(answer)) => Ok(Reply::later(async move { doubt(answer.await) })),
        Err(refusal) => Err(doubt(refusal)),
    }
}
