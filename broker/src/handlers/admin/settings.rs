//! Key-value settings of the name service: 100, 101, 102, 219.
//!
//! As in RocketMQ, any text is kept by namespace and key, for tools of its users; brokers and clients read none but
//! `ORDER_TOPIC_CONFIG`, see [`order`]. They stand in the log as attributes of one topic that nobody may read or write,
//! so that they are as durable as topics are and follow them to replicas.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use mainspring::{ATTRIBUTES_BYTES_MAX, Attributes, TopicConfig};

use super::{order, reply};
use crate::{
    broker::Broker,
    names,
    remoting::{Handled, Reply, Request, Response, codes::response},
};

/// Stands between namespace and key in the name of an attribute, and in neither of them.
const SEPARATOR: char = '\t';

struct Named<'a> {
    namespace: &'a str,
    key: &'a str,
}

impl<'a> Named<'a> {
    fn of(request: &'a Request<'_>) -> Result<Self, Response> {
        let fields = request.fields();
        let named = Self { namespace: fields.required("namespace")?, key: fields.required("key")? };
        if [named.namespace, named.key].iter().any(|text| text.contains(char::is_control)) {
            return Err(reply::invalid("a namespace and a key are texts without control characters"));
        }
        Ok(named)
    }

    fn is_order(&self) -> bool {
        self.namespace == order::NAMESPACE
    }

    fn attribute(&self) -> String {
        format!("{}{SEPARATOR}{}", self.namespace, self.key)
    }
}

fn absent(text: String) -> Response {
    Response::refuse(response::QUERY_NOT_FOUND, text)
}

/// Code 100: keeps a value.
pub(super) fn put(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let named = Named::of(request)?;
    let value = request.fields().required("value")?;
    if named.is_order() {
        return order::put(broker, named.key, value);
    }
    let (name, value) = (named.attribute(), value.to_owned());
    Ok(change(broker, move |settings| {
        settings.insert(name, value);
        let bytes: usize = settings.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes <= ATTRIBUTES_BYTES_MAX {
            return Ok(());
        }
        let text =
            format!("all settings together would take {bytes} bytes, and {ATTRIBUTES_BYTES_MAX} are kept");
        Err(reply::invalid(text))
    }))
}

/// Code 102: forgets a value, be it there or not.
pub(super) fn delete(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let named = Named::of(request)?;
    if named.is_order() {
        return order::delete(broker, named.key);
    }
    let name = named.attribute();
    Ok(change(broker, move |settings| {
        settings.remove(&name);
        Ok(())
    }))
}

fn change(
    broker: &Arc<Broker>,
    change: impl FnOnce(&mut Attributes) -> Result<(), Response> + Send + 'static,
) -> Reply {
    let broker = Arc::clone(broker);
    Reply::later(async move {
        let topic = TopicConfig { perm: 0, ..TopicConfig::new(names::SETTINGS_TOPIC, 1) };
        let changed = broker.change_attributes(topic, change).await;
        changed.map_or_else(|refusal| refusal, |()| Response::ok())
    })
}

fn kept(broker: &Broker) -> Attributes {
    broker.store.topic(names::SETTINGS_TOPIC).map(|topic| topic.attributes.clone()).unwrap_or_default()
}

/// Code 101: one value.
pub(super) fn get(broker: &Broker, request: &Request<'_>) -> Handled {
    let named = Named::of(request)?;
    let found = if named.is_order() {
        order::get(broker, named.key)
    } else {
        kept(broker).remove(&named.attribute())
    };
    let (namespace, key) = (names::shown(named.namespace), names::shown(named.key));
    let missing = || absent(format!("nothing is kept for {key} in the namespace {namespace}"));
    Ok(Response::ok().with("value", found.ok_or_else(missing)?).into())
}

/// Code 219: all keys of a namespace, with their values.
pub(super) fn list(broker: &Broker, request: &Request<'_>) -> Handled {
    let namespace = request.fields().required("namespace")?;
    let table: Map<String, Value> = if namespace == order::NAMESPACE {
        order::list(broker).into_iter().map(|(topic, queues)| (topic, Value::String(queues))).collect()
    } else {
        let mine = kept(broker).into_iter().filter_map(|(name, value)| {
            let (of, key) = name.split_once(SEPARATOR)?;
            (of == namespace).then(|| (key.to_owned(), Value::String(value)))
        });
        mine.collect()
    };
    if table.is_empty() {
        return Err(absent(format!("nothing is kept in the namespace {}", names::shown(namespace))));
    }
    Ok(reply::body(&json!({ "table": table })).into())
}
