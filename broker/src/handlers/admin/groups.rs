//! Consumer groups: 200, 201, 225, 352, 401.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use mainspring::{GroupConfig, QUEUES_MAX};

use super::{reply, topics::LIST_MAX};
use crate::{
    broker::{Broker, Maker, blocking},
    handlers::{offsets, topics},
    loose, names,
    remoting::{Handled, Reply, Request, Response, codes::response},
};

/// A group's settings as tools write them. What is absent has RocketMQ's default. Of the rest of RocketMQ's settings,
/// those that only choose between a master and its slaves, or nothing at all, are not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupBody {
    #[serde(deserialize_with = "loose::text")]
    group_name: String,
    consume_enable: bool,
    consume_broadcast_enable: bool,
    retry_queue_nums: i64,
    retry_max_times: i32,
    consume_message_orderly: bool,
    notify_consumer_ids_changed_enable: bool,
    group_retry_policy: RetryPolicy,
    attributes: Map<String, Value>,
}

impl Default for GroupBody {
    fn default() -> Self {
        Self {
            group_name: String::new(),
            consume_enable: true,
            consume_broadcast_enable: true,
            retry_queue_nums: 1,
            retry_max_times: 16,
            consume_message_orderly: false,
            notify_consumer_ids_changed_enable: true,
            group_retry_policy: RetryPolicy::default(),
            attributes: Map::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RetryPolicy {
    #[serde(rename = "type", deserialize_with = "loose::text")]
    kind: String,
    customized_retry_policy: Option<Value>,
}

impl GroupBody {
    /// The settings, unless they ask for something that would silently not happen.
    fn config(self) -> Result<GroupConfig, Response> {
        let name = self.group_name;
        if !names::is_group(&name) {
            return Err(reply::invalid(format!("{:?} cannot be a group's name", names::shown(&name))));
        }
        let refuse = |what: &str| Err(reply::invalid(format!("the group {name}: {what}")));
        let retry_queues = u32::try_from(self.retry_queue_nums).ok().filter(|queues| *queues <= QUEUES_MAX);
        let Some(retry_queues) = retry_queues else {
            return refuse(&format!(
                "retryQueueNums is {}, and can be 0 to {QUEUES_MAX}",
                self.retry_queue_nums
            ));
        };
        if self.consume_message_orderly {
            return refuse("consumeMessageOrderly is about pop consumers, which are not served yet");
        }
        if !self.notify_consumer_ids_changed_enable {
            return refuse("notices of changed members cannot be switched off");
        }
        let policy = self.group_retry_policy;
        if !matches!(policy.kind.as_str(), "" | "CUSTOMIZED") || policy.customized_retry_policy.is_some() {
            return refuse("delays between retries are the broker's delay levels, not a group's own");
        }
        if !self.attributes.is_empty() {
            return refuse("none of RocketMQ's attributes of groups means anything here");
        }
        Ok(GroupConfig {
            consume: self.consume_enable,
            broadcast: self.consume_broadcast_enable,
            retry_queues,
            attempts_max: self.retry_max_times,
            ..GroupConfig::new(name)
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupListBody {
    group_config_list: Vec<GroupBody>,
}

fn unreadable(error: &serde_json::Error) -> Response {
    reply::invalid(format!("the group's settings do not parse: {error}"))
}

/// Code 200: creates or changes a group.
pub(super) fn update(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let body: GroupBody = serde_json::from_slice(&request.body).map_err(|e| unreadable(&e))?;
    put(broker, vec![body.config()?])
}

/// Code 225: creates or changes several groups. All are checked before the first is changed.
pub(super) fn update_list(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let body: GroupListBody = serde_json::from_slice(&request.body).map_err(|e| unreadable(&e))?;
    if body.group_config_list.len() > LIST_MAX {
        return Err(reply::invalid(format!("one request changes {LIST_MAX} groups at most")));
    }
    let configs = body.group_config_list.into_iter().map(GroupBody::config);
    put(broker, configs.collect::<Result<_, _>>()?)
}

/// Stores groups, and makes their retry topics as their first heartbeats would: tools look for a group by it.
fn put(broker: &Arc<Broker>, configs: Vec<GroupConfig>) -> Handled {
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        for config in configs {
            if let Err(refusal) = put_one(&broker, config).await {
                return refusal;
            }
        }
        Response::ok()
    }))
}

async fn put_one(broker: &Broker, mut config: GroupConfig) -> Result<(), Response> {
    if let Some(current) = broker.store.group(&config.name) {
        config.attributes = current.attributes.clone();
    }
    broker.check_groups(&config.name, Maker::Administrator)?;
    let retry = (config.retry_queues > 0).then(|| topics::retry_topic(&config));
    let store = broker.store.clone();
    blocking(move || store.put_group(&config)).await?;
    if let Some(retry) = retry {
        broker.ensure_topic(retry, Maker::Administrator).await?;
    }
    Ok(())
}

/// Code 207: deletes a group, with its progress where the request says so. Its retry and dead-letter topics are
/// deleted by requests of their own.
pub(super) fn delete(broker: &Broker, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let name = fields.required("groupName")?;
    // 4.x calls it by the second name.
    let with_progress = fields.truth("cleanOffset") || fields.truth("removeOffset");
    if !names::is_group(name) || (broker.store.group(name).is_none() && !with_progress) {
        return Ok(Response::ok().into());
    }
    if let Some(unsaid) = broker.warnings.deleting.pass() {
        let group = names::shown(name);
        tracing::info!(group = group.as_ref(), with_progress, unsaid, "an administrator deletes a group");
    }
    let (store, name) = (broker.store.clone(), name.to_owned());
    Ok(Reply::later(async move {
        let gone = blocking(move || store.delete_group(&name, with_progress)).await;
        gone.map_or_else(|refusal| refusal, |()| Response::ok())
    }))
}

/// Code 201: the settings of all groups, a page of them where the request asks for one.
pub(super) fn all(broker: &Broker, request: &Request<'_>) -> Handled {
    let groups = broker.store.groups();
    let table: Map<String, Value> = groups.iter().map(|group| (group.name.clone(), shown(group))).collect();
    let total = table.len();
    let (table, version) = reply::page(table, request.fields(), ("groupSeq", "maxGroupNum"))?;
    let body = json!({ "dataVersion": version, "forbiddenTable": {}, "subscriptionGroupTable": table });
    Ok(reply::body(&body).with("totalGroupNum", total as u64).into())
}

/// Code 352: the settings of one group.
pub(super) fn get(broker: &Broker, request: &Request<'_>) -> Handled {
    let name = request.fields().required("group")?;
    let group = broker.store.group(name).ok_or_else(|| offsets::no_group(name))?;
    Ok(reply::body(&shown(&group)).into())
}

/// A group's settings in RocketMQ's words; those that are not kept here have the value that holds here.
fn shown(group: &GroupConfig) -> Value {
    json!({
        "attributes": group.attributes,
        "brokerId": 0,
        "consumeBroadcastEnable": group.broadcast,
        "consumeEnable": group.consume,
        "consumeFromMinEnable": true,
        "consumeMessageOrderly": false,
        "consumeTimeoutMinute": 15,
        "groupName": group.name,
        "groupRetryPolicy": { "type": "CUSTOMIZED" },
        "groupSysFlag": 0,
        "notifyConsumerIdsChangedEnable": true,
        "retryMaxTimes": group.attempts_max,
        "retryQueueNums": group.retry_queues,
        "whichBrokerWhenConsumeSlowly": 0,
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModeBody {
    #[serde(deserialize_with = "loose::text")]
    mode: String,
}

/// Code 401: whether the members of a group pull, as all do here, or pop.
pub(super) fn set_mode(request: &Request<'_>) -> Handled {
    let body: ModeBody = serde_json::from_slice(&request.body).map_err(|e| unreadable(&e))?;
    if body.mode == "PULL" {
        return Ok(Response::ok().into());
    }
    let text = format!("the mode {} is not served, only PULL", names::shown(&body.mode));
    Err(Response::refuse(response::REQUEST_CODE_NOT_SUPPORTED, text))
}
