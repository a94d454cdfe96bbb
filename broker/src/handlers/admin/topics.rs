//! Topics: 18, 21, 215, 305.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use mainspring::{Attributes, PERM_READ, PERM_WRITE, TopicConfig};

use super::reply;
use crate::{
    broker::{Broker, Maker, blocking},
    handlers::{attributes, topics},
    loose, names,
    remoting::{Handled, Reply, Request, Response, codes::response},
};

/// Most topics or groups that one request may change.
pub(super) const LIST_MAX: usize = 4096;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TopicBody {
    #[serde(deserialize_with = "loose::text")]
    topic_name: String,
    read_queue_nums: Option<u32>,
    write_queue_nums: Option<u32>,
    perm: Option<u8>,
    topic_sys_flag: Option<i32>,
    order: bool,
    attributes: Attributes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicListBody {
    topic_config_list: Vec<TopicBody>,
}

impl TopicBody {
    /// The settings; attributes are changes of those that the topic has.
    fn config(self, broker: &Broker) -> Result<TopicConfig, Response> {
        let current = topics::attributes_of(broker, &self.topic_name);
        let config = TopicConfig {
            name: self.topic_name,
            read_queues: self.read_queue_nums.unwrap_or(16),
            write_queues: self.write_queue_nums.unwrap_or(16),
            perm: self.perm.unwrap_or(PERM_READ | PERM_WRITE),
            sys_flag: self.topic_sys_flag.unwrap_or(0),
            order: self.order,
            attributes: attributes::merged(current, &self.attributes)?,
        };
        topics::check(&config)?;
        Ok(config)
    }
}

/// Code 18: creates or changes several topics. All are checked before the first is changed.
pub(super) fn update_list(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let body: TopicListBody = serde_json::from_slice(&request.body)
        .map_err(|e| reply::invalid(format!("the list of topics does not parse: {e}")))?;
    if body.topic_config_list.len() > LIST_MAX {
        return Err(reply::invalid(format!("one request changes {LIST_MAX} topics at most")));
    }
    let configs = body.topic_config_list.into_iter().map(|topic| topic.config(broker));
    let configs = configs.collect::<Result<Vec<_>, _>>()?;
    if let Some(first_new) = configs.iter().find(|config| broker.store.topic(&config.name).is_none()) {
        broker.check_topics(&first_new.name, Maker::Administrator)?;
    }
    let store = broker.store.clone();
    Ok(Reply::later(async move {
        let put = blocking(move || configs.iter().try_for_each(|config| store.put_topic(config)));
        put.await.map_or_else(|refusal| refusal, |()| Response::ok())
    }))
}

/// Code 21: the settings of all topics, a page of them where the request asks for one.
pub(super) fn all(broker: &Broker, request: &Request<'_>) -> Handled {
    let mut configs: Vec<TopicConfig> = broker.store.topics();
    if let Some(default) = broker.topic(names::DEFAULT_TOPIC)
        && broker.store.topic(names::DEFAULT_TOPIC).is_none()
    {
        configs.push((*default).clone());
    }
    let table: Map<String, Value> =
        configs.iter().map(|config| (config.name.clone(), topics::shown(config))).collect();
    let total = table.len();
    let (table, version) = reply::page(table, request.fields(), ("topicSeq", "maxTopicNum"))?;
    let body = json!({ "dataVersion": version, "topicConfigTable": table });
    Ok(reply::body(&body).with("totalTopicNum", total as u64).into())
}

/// Code 215: deletes a topic. Its messages go by the retention rule, and the ends of its queues are kept, so that no
/// offset ever comes again.
pub(super) fn delete(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let name = request.fields().required("topic")?;
    names::check_topic(name)?;
    if names::is_reserved(name) || name == names::DEFAULT_TOPIC {
        let text = format!("the topic {name} belongs to the system and cannot be deleted");
        return Err(Response::refuse(response::SYSTEM_ERROR, text));
    }
    if broker.store.topic(name).is_none() {
        return Ok(Response::ok().into());
    }
    if let Some(unsaid) = broker.warnings.deleting.pass() {
        tracing::info!(topic = name, unsaid, "an administrator deletes a topic");
    }
    let (store, name) = (broker.store.clone(), name.to_owned());
    Ok(Reply::later(async move {
        let gone = blocking(move || store.delete_topic(&name)).await;
        gone.map_or_else(|refusal| refusal, |()| Response::ok())
    }))
}

/// Code 305: the topics that the broker has for its own ends.
pub(super) fn of_the_system(broker: &Broker) -> Handled {
    let stored = broker.store.topics().into_iter().map(|config| config.name);
    let own = stored.filter(|name| names::is_reserved(name) || name == names::TRACE_TOPIC);
    let default = broker.topic(names::DEFAULT_TOPIC).map(|config| config.name.clone());
    let topics: Vec<String> = default.into_iter().chain(own).collect();
    Ok(reply::body(&json!({ "topicList": topics })).into())
}
