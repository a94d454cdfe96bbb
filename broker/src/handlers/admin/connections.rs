//! Who is connected: 203, 204, 328, 345.

use serde_json::{Value, json};

use super::reply;
use crate::{
    broker::Broker,
    clients::{
        Contact,
        heartbeat::{ExpressionType, MessageModel},
        listing::Connected,
        subscription::Subscription,
    },
    names,
    remoting::{Handled, Request, Response, codes::response},
};

/// Code 203: the consumers of a group and what they want.
pub(super) fn consumers(broker: &Broker, request: &Request<'_>) -> Handled {
    let name = request.fields().required("consumerGroup")?;
    let Some(group) = broker.clients.consumer_group(name) else {
        let text = format!("no consumer of the group {} is online", names::shown(name));
        return Err(Response::refuse(response::CONSUMER_NOT_ONLINE, text));
    };
    let wanted = group.subscriptions.iter().map(|(topic, wanted)| (topic.clone(), subscribed(topic, wanted)));
    let model = match group.model {
        MessageModel::Broadcasting => "BROADCASTING",
        MessageModel::Clustering => "CLUSTERING",
    };
    let body = json!({
        "connectionSet": group.members.iter().map(connection).collect::<Vec<_>>(),
        "consumeFromWhere": group.from_where,
        "consumeType": group.consume_type,
        "messageModel": model,
        "subscriptionTable": wanted.collect::<serde_json::Map<_, _>>(),
    });
    Ok(reply::body(&body).into())
}

/// Code 204: the producers of a group.
pub(super) fn producers(broker: &Broker, request: &Request<'_>) -> Handled {
    let name = request.fields().required("producerGroup")?;
    let members = broker.clients.producer_group(name);
    if members.is_empty() {
        let text = format!("no producer of the group {} is online", names::shown(name));
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(reply::body(&json!({ "connectionSet": members.iter().map(connection).collect::<Vec<_>>() })).into())
}

/// Code 328: all producers by group.
pub(super) fn all_producers(broker: &Broker) -> Handled {
    let (now_ms, elapsed_ms) = (broker.store.now_ms(), broker.clock.elapsed_ms());
    let info = |member: &Connected| {
        let silent_ms = elapsed_ms.saturating_sub(member.heard_ms);
        let Contact { peer, client_id, software } = &member.contact;
        json!({
            "clientId": client_id,
            "language": language(&software.language),
            "lastUpdateTimestamp": now_ms.saturating_sub_unsigned(silent_ms),
            "remoteIP": peer.address.to_string(),
            "version": software.version,
        })
    };
    let groups = broker.clients.producers().into_iter();
    let data: serde_json::Map<String, Value> =
        groups.map(|(name, members)| (name, members.iter().map(info).collect())).collect();
    Ok(reply::body(&json!({ "data": data })).into())
}

/// Code 345: what a group wants of one topic; without a subscription where nobody of it is online.
pub(super) fn subscription(broker: &Broker, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let (group, topic) = (fields.required("group")?, fields.required("topic")?);
    let found = broker.clients.subscription(group, topic).ok().flatten();
    let shown = found.map(|wanted| subscribed(topic, &wanted));
    let mut body = json!({ "group": group, "topic": topic });
    if let Some(shown) = shown {
        body["subscriptionData"] = shown;
    }
    Ok(reply::body(&body).into())
}

/// The languages that tools know; they give up on others.
const LANGUAGES: [&str; 13] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS",
    "RUST",
];

fn language(named: &str) -> &'static str {
    LANGUAGES.iter().find(|known| **known == named).copied().unwrap_or("OTHER")
}

fn connection(member: &Connected) -> Value {
    let Contact { peer, client_id, software } = &member.contact;
    json!({
        "clientAddr": peer.address.to_string(),
        "clientId": client_id,
        "language": language(&software.language),
        "version": software.version,
    })
}

/// A subscription as clients write it; the codes of its tags follow from the tags.
fn subscribed(topic: &str, wanted: &Subscription) -> Value {
    let (kind, by_tag) = match &wanted.kind {
        ExpressionType::Tag => ("TAG", true),
        ExpressionType::Sql92 => ("SQL92", false),
        ExpressionType::Other(name) => (name.as_str(), false),
    };
    let tags = wanted.expression.split("||").map(str::trim).filter(|tag| !tag.is_empty() && *tag != "*");
    let tags: Vec<&str> = if by_tag { tags.collect() } else { Vec::new() };
    json!({
        "classFilterMode": false,
        "codeSet": tags.iter().map(|tag| mainspring::record::tags::code(tag)).collect::<Vec<_>>(),
        "expressionType": kind,
        "subString": wanted.expression,
        "subVersion": wanted.version,
        "tagsSet": tags,
        "topic": topic,
    })
}
