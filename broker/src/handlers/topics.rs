//! Topics: created by a first send or by an administrator.

use std::sync::Arc;

use serde_json::{Value, json};

use mainspring::{Attributes, GroupConfig, PERM_READ, PERM_WRITE, TopicConfig};

use crate::{
    broker::{Broker, Maker, PERM_INHERIT, blocking},
    handlers::attributes,
    names,
    remoting::{Handled, Reply, Request, Response, codes::response},
};

/// Most queues of a topic, for each direction.
const QUEUES_MAX: u32 = 65_535;

/// What a first send makes of `topic`.
///
/// # Errors
///
/// 17 where nothing may be made.
pub(crate) fn plan(
    broker: &Broker,
    topic: &str,
    default: &str,
    wanted_queues: u32,
) -> Result<TopicConfig, Response> {
    if names::is_of_failures(topic) {
        return Ok(TopicConfig::new(topic, 1));
    }
    if let Some(known) = broker.topic(topic).filter(|_| topic != names::DEFAULT_TOPIC) {
        return Ok(TopicConfig::clone(&known));
    }
    let found = broker.topic(default).filter(|config| config.perm & PERM_INHERIT != 0);
    let Some(default) = found.filter(|_| broker.settings.auto_create_topics) else {
        return Err(missing(topic));
    };
    let queues = wanted_queues.clamp(1, default.write_queues.max(1));
    Ok(TopicConfig { perm: default.perm & !PERM_INHERIT, ..TopicConfig::new(topic, queues) })
}

/// The answer where a topic does not exist.
#[must_use]
pub(crate) fn missing(topic: &str) -> Response {
    Response::refuse(
        response::TOPIC_NOT_EXIST,
        format!("the topic {} does not exist on this broker", names::shown(topic)),
    )
}

/// The retry topic of a group.
#[must_use]
pub(crate) fn retry_topic(group: &GroupConfig) -> TopicConfig {
    TopicConfig::new(names::retry_topic(&group.name), group.retry_queues.max(1))
}

/// A topic's attributes as they are now; none where it does not exist.
#[must_use]
pub(crate) fn attributes_of(broker: &Broker, topic: &str) -> Attributes {
    broker.store.topic(topic).map(|config| config.attributes.clone()).unwrap_or_default()
}

/// Checks what an administrator wants of a topic.
///
/// # Errors
///
/// The refusal to send.
pub(crate) fn check(config: &TopicConfig) -> Result<(), Response> {
    let name = &config.name;
    names::check_topic(name)?;
    if names::is_reserved(name) {
        let text = format!("the topic {name} belongs to the system");
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    let queues = 1..=QUEUES_MAX;
    if !queues.contains(&config.read_queues) || !queues.contains(&config.write_queues) || config.perm > 7 {
        let text = format!("a topic has 1 to {QUEUES_MAX} queues and permission bits 0 to 7");
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    Ok(())
}

/// A topic's settings in RocketMQ's words.
#[must_use]
pub(crate) fn shown(config: &TopicConfig) -> Value {
    json!({
        "attributes": config.attributes,
        "order": config.order,
        "perm": config.perm,
        "readQueueNums": config.read_queues,
        "topicFilterType": "SINGLE_TAG",
        "topicName": config.name,
        "topicSysFlag": config.sys_flag,
        "writeQueueNums": config.write_queues,
    })
}

/// Code 17: an administrator creates or changes a topic.
pub(crate) fn update(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let name = fields.required("topic")?;
    let changes = fields.get("attributes").unwrap_or_default();
    let config = TopicConfig {
        read_queues: fields.required_number("readQueueNums")?,
        write_queues: fields.required_number("writeQueueNums")?,
        perm: fields.number("perm")?.unwrap_or(PERM_READ | PERM_WRITE),
        sys_flag: fields.number("topicSysFlag")?.unwrap_or(0),
        order: fields.truth("order"),
        attributes: attributes::changed(attributes_of(broker, name), changes)?,
        ..TopicConfig::new(name, 1)
    };
    check(&config)?;
    broker.check_topics(name, Maker::Administrator)?;
    let store = broker.store.clone();
    Ok(Reply::later(async move {
        match blocking(move || store.put_topic(&config)).await {
            Ok(()) => Response::ok(),
            Err(refusal) => refusal,
        }
    }))
}

/// Code 351: the settings of one topic.
pub(crate) fn get(broker: &Broker, request: &Request<'_>) -> Handled {
    let name = request.fields().required("topic")?;
    let config = broker.topic(name).ok_or_else(|| missing(name))?;
    Ok(Response::ok().with_body(shown(&config).to_string()).into())
}
