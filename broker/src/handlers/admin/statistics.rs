//! Counts over a minute, an hour and a day: 315.

use std::sync::Arc;

use serde_json::{Value, json};

use super::reply;
use crate::{
    broker::Broker,
    names,
    remoting::{Handled, Request, Response, codes::response},
    traffic::{Flow, Rate, Totals, Window},
};

/// Which number of a flow is asked for.
type Number = fn(Totals) -> u64;

const MESSAGES: Number = |totals| totals.messages;
const BYTES: Number = |totals| totals.bytes;

/// Code 315: one statistic by RocketMQ's names. What never happened is not there, as with RocketMQ.
pub(super) fn get(broker: &Broker, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let (name, key) = (fields.required("statsName")?, fields.required("statsKey")?);
    let of_broker =
        |over: &dyn Fn(Window) -> Rate| (key == broker.settings.cluster_name).then(|| shown(over, MESSAGES));
    let found = match name {
        "TOPIC_PUT_NUMS" => of_topic(broker, key, MESSAGES),
        "TOPIC_PUT_SIZE" => of_topic(broker, key, BYTES),
        "GROUP_GET_NUMS" => of_group(broker, key, |entry| &entry.out, MESSAGES),
        "GROUP_GET_SIZE" => of_group(broker, key, |entry| &entry.out, BYTES),
        "SNDBCK_PUT_NUMS" => of_group(broker, key, |entry| &entry.failed, MESSAGES),
        "DLQ_PUT_NUMS" => of_group(broker, key, |entry| &entry.dead, MESSAGES),
        "BROKER_PUT_NUMS" => of_broker(&|window| broker.traffic.put_over(window)),
        "BROKER_GET_NUMS" => of_broker(&|window| broker.traffic.get_over(window)),
        _ => None,
    };
    let found = found.ok_or_else(|| {
        let text = format!("there is no statistic {} of {}", names::shown(name), names::shown(key));
        Response::refuse(response::SYSTEM_ERROR, text)
    })?;
    Ok(reply::body(&found).into())
}

fn of_topic(broker: &Broker, topic: &str, number: Number) -> Option<Value> {
    let traffic = &broker.traffic;
    let counted = traffic.topic_put(topic).messages > 0;
    counted.then(|| shown(&|window| traffic.topic_put_over(topic, window), number))
}

fn of_group(
    broker: &Broker,
    key: &str,
    flow: impl Fn(&crate::traffic::Consumption) -> &Flow,
    number: Number,
) -> Option<Value> {
    let (topic, group) = key.rsplit_once('@')?;
    let entry: Arc<_> = broker.traffic.groups.find(group, topic)?;
    let flow = flow(&entry);
    (flow.totals().messages > 0).then(|| shown(&|window| flow.over(window), number))
}

fn shown(over: &dyn Fn(Window) -> Rate, number: Number) -> Value {
    let item = |window| {
        let rate = over(window);
        let sum = number(rate.passed);
        json!({ "avgpt": average(sum, rate.passed.requests), "sum": sum, "tps": rate.per_second(sum) })
    };
    json!({ "statsDay": item(Window::Day), "statsHour": item(Window::Hour), "statsMinute": item(Window::Minute) })
}

#[expect(clippy::cast_precision_loss, reason = "an average is shown with a few digits")]
fn average(sum: u64, of: u64) -> f64 {
    if of > 0 { sum as f64 / of as f64 } else { 0.0 }
}
