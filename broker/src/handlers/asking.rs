//! What an administrator wants to know of a consumer: 307 how it is, 309 what it makes of one message, 223 how far it has
//! come by its own count. The broker asks the consumer and passes on what that answers.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use futures_util::future::join_all;
use mainspring::{Offset, record::MessageId};

use crate::{
    broker::{Broker, look_up},
    clients::{
        Contact,
        questions::{Told, Unanswered},
    },
    names,
    remoting::{
        Fields, Handled, Reply, Request, Response,
        codes::{VERSION_CLIENT_RESET, VERSION_RUNNING_INFO, request as codes, response},
        fastjson,
        outbox::put_json_text,
    },
};

/// How long one consumer may take over an answer, as in RocketMQ.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The same where all members of a group are asked at once.
const STATUS_MAX: Duration = Duration::from_secs(5);

/// Code 307: what a consumer tells of itself; its answer is passed on as it is.
pub(crate) fn running_info(broker: &Broker, request: &Request<'_>) -> Handled {
    let contact = consumer(broker, request.fields())?;
    let mut question = question(codes::GET_CONSUMER_RUNNING_INFO, request.fields())?;
    question = question.with("jstackEnable", request.fields().truth("jstackEnable"));
    Ok(Reply::later(told_by(contact, question)))
}

/// Code 309: a consumer consumes one message at once, beside its queues, and says how that went.
pub(crate) fn consume_directly(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let contact = consumer(broker, fields)?;
    let text = fields.required("msgId")?;
    let no_message = |why: String| Response::refuse(response::SYSTEM_ERROR, why);
    let id: MessageId = text.parse().map_err(|e| {
        no_message(format!("{} is no message id with an offset in it: {e}", names::shown(text)))
    })?;
    let mut question = question(codes::CONSUME_MESSAGE_DIRECTLY, fields)?
        .with("brokerName", broker.settings.broker_name.clone())
        .with("msgId", text.to_owned())
        .with("topicSysFlag", 0u32)
        .with("groupSysFlag", 0u32);
    if let Some(topic) = fields.get("topic") {
        question = question.with("topic", topic.to_owned());
    }
    let store = broker.store.clone();
    Ok(Reply::later(async move {
        match look_up(move || Ok(store.record_at(Offset(id.physical_offset)))).await {
            Ok(Ok(record)) => told_by(contact, question.with_body(record)).await,
            Ok(Err(error)) => no_message(error.to_string()),
            Err(refusal) => refusal,
        }
    }))
}

/// The consumer that a request names, if it can be asked.
fn consumer(broker: &Broker, fields: &Fields<'_>) -> Result<Contact, Response> {
    let (group, client) = (fields.required("consumerGroup")?, fields.required("clientId")?);
    let found = broker.clients.member(group, client).ok_or_else(|| {
        let text = format!("the consumer {} {} is not online", names::shown(group), names::shown(client));
        Response::refuse(response::CONSUMER_NOT_ONLINE, text)
    })?;
    if found.software.version < VERSION_RUNNING_INFO {
        let text = format!(
            "the consumer {client} is older than 3.1.8 and cannot be asked",
            client = names::shown(client)
        );
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(found)
}

fn question(code: i32, fields: &Fields<'_>) -> Result<Response, Response> {
    let question = Response { code, ..Response::ok() };
    Ok(question
        .with("consumerGroup", fields.required("consumerGroup")?.to_owned())
        .with("clientId", fields.required("clientId")?.to_owned()))
}

/// Asks a consumer and answers with what it says, code, text and body.
async fn told_by(contact: Contact, question: Response) -> Response {
    match contact.peer.ask(question, ANSWER_MAX).await {
        Ok(Told { code, remark, body }) => {
            Response { code, remark: remark.map(Into::into), ..Response::ok() }.with_body(body)
        }
        Err(why) => unanswered(&contact.client_id, why),
    }
}

/// The answer where a client did not give one.
pub(crate) fn unanswered(client: &str, why: Unanswered) -> Response {
    let code = match why {
        Unanswered::TimedOut(_) => response::CONSUME_MSG_TIMEOUT,
        Unanswered::Gone => response::CONSUMER_NOT_ONLINE,
        Unanswered::Busy => response::SYSTEM_BUSY,
    };
    Response::refuse(code, format!("no answer of the client {}: {why}", names::shown(client)))
}

/// Code 223: where the members of a group, or one of them, stand in the queues that they have.
pub(crate) fn consumer_status(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let (topic, group) = (fields.required("topic")?.to_owned(), fields.required("group")?.to_owned());
    // The field is called an address, and holds a client id.
    let only = fields.get("clientAddr").filter(|id| !id.is_empty()).map(str::to_owned);
    let mut members = broker.clients.members(&group);
    members.retain(|member| only.as_ref().is_none_or(|id| member.client_id == *id));
    if members.is_empty() {
        let text = format!("no such consumer of the group {} is online", names::shown(&group));
        return Err(Response::refuse(response::CONSUMER_NOT_ONLINE, text));
    }
    if let Some(old) = members.iter().find(|member| member.software.version < VERSION_CLIENT_RESET) {
        let text =
            format!("the consumer {} is older than 3.0.7 and cannot be asked", names::shown(&old.client_id));
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(Reply::later(async move {
        let asked = members.iter().map(|member| async {
            let question = Response { code: codes::GET_CONSUMER_STATUS_FROM_CLIENT, ..Response::ok() }
                .with("topic", topic.clone())
                .with("group", group.clone());
            (&member.client_id, member.peer.ask(question, STATUS_MAX).await)
        });
        status(join_all(asked).await)
    }))
}

/// Puts the answers of several clients into one table; those that gave none are left out, unless nobody did.
fn status(answers: Vec<(&String, Result<Told, Unanswered>)>) -> Response {
    let (mut out, mut failure) = (BytesMut::from(&b"{\"consumerTable\":{"[..]), None);
    let mut first = true;
    for (client, answer) in answers {
        let told = match answer {
            Ok(told) if told.code == response::SUCCESS => told,
            Ok(told) => {
                let text = format!("the client {} answered {}", names::shown(client), told.code);
                failure = Some(Response::refuse(response::SYSTEM_ERROR, text));
                continue;
            }
            Err(why) => {
                failure = Some(unanswered(client, why));
                continue;
            }
        };
        let body = str::from_utf8(&told.body).unwrap_or_default();
        let table = fastjson::value_of(body, "messageQueueTable").filter(|table| table.starts_with('{'));
        if !std::mem::take(&mut first) {
            out.put_u8(b',');
        }
        put_json_text(&mut out, client);
        out.put_u8(b':');
        out.put_slice(table.unwrap_or("{}").as_bytes());
    }
    match failure {
        Some(failure) if first => failure,
        _ => {
            out.put_slice(b"}}");
            Response::ok().with_body(out.freeze())
        }
    }
}
