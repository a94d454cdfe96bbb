//! Codes by which clients come, stay, ask for each other and go: 34, 35, 38, 46.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::{
    broker::{Broker, Maker},
    clients::{
        Software,
        heartbeat::{ExpressionType, Heartbeat, MessageModel, SubscriptionData},
        peer::Peer,
    },
    handlers::topics,
    names,
    remoting::{Handled, Reply, Request, Response, codes::response},
    sql::{Expression, SqlError},
};

/// What is kept of a language's name, once for each group of the client.
const LANGUAGE_CHARS_MAX: usize = 32;

/// Code 34: a client says that it lives and what it wants. Groups and their retry topics are made here, so that a
/// consumer's route exists before its first failure.
pub(crate) fn heartbeat(broker: &Arc<Broker>, peer: &Arc<Peer>, request: &Request<'_>) -> Handled {
    let beat = Heartbeat::parse(&request.body).map_err(|e| {
        Response::refuse(response::SYSTEM_ERROR, format!("the heartbeat does not parse: {e}"))
    })?;
    if beat.client_id.is_empty() {
        return Err(Response::refuse(response::SYSTEM_ERROR, "the heartbeat has no clientID"));
    }
    let missing: Vec<(String, MessageModel)> = beat
        .consumers
        .iter()
        .filter(|data| names::is_group(&data.group_name))
        .filter(|data| !is_set_up(broker, &data.group_name, data.message_model))
        .map(|data| (data.group_name.clone(), data.message_model))
        .collect();
    let answer = taken_in(broker, peer, &beat, request)?;
    if missing.is_empty() {
        return Ok(answer.into());
    }
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        for (group, model) in missing {
            if let Err(refusal) = set_up(&broker, group, model).await {
                return refusal;
            }
        }
        answer
    }))
}

/// Takes a heartbeat in and says what the client wants to know: whether it must name its subscriptions next time.
///
/// Clients of 5.x may leave the subscriptions out once this broker has seen them, on this connection and with the same
/// fingerprint; else the client's groups have it among their members all the same, and the client is asked for the rest.
fn taken_in(
    broker: &Broker,
    peer: &Arc<Peer>,
    beat: &Heartbeat,
    request: &Request<'_>,
) -> Result<Response, Response> {
    let header = &request.header;
    let language = header.language.chars().take(LANGUAGE_CHARS_MAX).collect();
    let software = Software { language, version: header.version };
    let taken = broker.clients.heartbeat(peer, beat, &software, broker.clock.elapsed_ms());
    let changed = taken.map_err(|why| {
        if let Some(unsaid) = broker.warnings.heartbeat.pass() {
            tracing::warn!(client = %peer.address, %why, unsaid, "a heartbeat is refused");
        }
        Response::refuse(response::SYSTEM_ERROR, format!("the heartbeat is refused: {why}"))
    })?;
    let unknown = if beat.without_subscriptions {
        !peer.still_wants(beat.fingerprint)
    } else {
        peer.wants(beat.fingerprint) || beat.fingerprint == 0
    };
    let name_them = unknown || (changed && !beat.without_subscriptions);
    Ok(Response::ok().with("IS_SUPPORT_HEART_BEAT_V2", true).with("IS_SUB_CHANGE", name_them))
}

fn is_set_up(broker: &Broker, group: &str, model: MessageModel) -> bool {
    broker.store.group(group).is_some_and(|config| {
        model == MessageModel::Broadcasting
            || config.retry_queues == 0
            || broker.store.topic(&names::retry_topic(group)).is_some()
    })
}

async fn set_up(broker: &Broker, group: String, model: MessageModel) -> Result<(), Response> {
    let config = broker.ensure_group(&group, Maker::Client).await?;
    // A broadcast group never retries, so it gets no retry topic.
    if model == MessageModel::Clustering && config.retry_queues > 0 {
        broker.ensure_topic(topics::retry_topic(&config), Maker::Administrator).await?;
    }
    Ok(())
}

/// Code 35: a client leaves its groups.
pub(crate) fn unregister(broker: &Broker, peer: &Peer, request: &Request<'_>) -> Handled {
    let named = |name| request.fields().get(name).filter(|group: &&str| !group.is_empty());
    broker.clients.unregister(peer, named("producerGroup"), named("consumerGroup"));
    Ok(Response::ok().into())
}

/// Code 38: the client ids of a consumer group. An empty list makes C++ clients throw, so nobody online is an error.
pub(crate) fn consumer_list(broker: &Broker, request: &Request<'_>) -> Handled {
    let group = request.fields().required("consumerGroup")?;
    let ids = broker.clients.consumer_ids(group);
    if ids.is_empty() {
        let text = format!("no consumer of the group {} is online", names::shown(group));
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(Response::ok().with_body(json!({ "consumerIdList": ids }).to_string()).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct CheckClient {
    subscription_data: SubscriptionData,
}

/// Code 46: whether this broker can serve a subscription.
pub(crate) fn check_client(request: &Request<'_>) -> Handled {
    let check: CheckClient = serde_json::from_slice(&request.body)
        .map_err(|e| Response::refuse(response::SYSTEM_ERROR, format!("the request does not parse: {e}")))?;
    match check.subscription_data.expression_type() {
        ExpressionType::Tag => Ok(Response::ok().into()),
        ExpressionType::Sql92 => match Expression::parse(&check.subscription_data.sub_string) {
            Ok(_) => Ok(Response::ok().into()),
            Err(error) => Err(no_expression(&error)),
        },
        ExpressionType::Other(kind) => Err(no_filter(&kind)),
    }
}

/// The answer to an expression that cannot be read.
pub(crate) fn no_expression(error: &SqlError) -> Response {
    let text = format!("the SQL92 expression cannot be read: {error}");
    Response::refuse(response::SUBSCRIPTION_PARSE_FAILED, text)
}

/// The answer to a subscription in another language.
pub(crate) fn no_filter(kind: &str) -> Response {
    Response::refuse(
        response::SYSTEM_ERROR,
        format!("this broker filters by TAG and SQL92, not by {}", names::shown(kind)),
    )
}
