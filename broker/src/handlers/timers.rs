//! Requests of our own tools about timers: 77001 list, 77002 show, 77003 cancel, 77004 forecast. Answers are JSON.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use mainspring::{Cancel, Explained, Handle, Place, TimerInfo, TimerQuery};

use crate::{
    broker::{Broker, blocking, look_up, when_decided},
    remoting::{Handled, Reply, Request, Response, codes::response},
};

/// Most times that a forecast divides the future by.
const TIMES_MAX: usize = 256;
/// Timers in a page where the request does not say.
const LIMIT_DEFAULT: usize = 100;

/// Whoever asks for timers has a look at all of them: one such request at a time, so that none holds up the others'
/// threads.
static WALKS: Semaphore = Semaphore::const_new(1);

/// Code 77001: pending timers in order of (due, log position), by `topic`, `keyPrefix`, `fromMs`, `toMs`, `limit`, `after`.
pub(crate) fn list(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let fields = request.fields();
    let owned = |name| fields.get(name).filter(|text: &&str| !text.is_empty()).map(str::to_owned);
    let (topic, key_prefix) = (owned("topic"), owned("keyPrefix"));
    let from_ms = fields.number("fromMs")?.unwrap_or(i64::MIN);
    let to_ms = fields.number("toMs")?.unwrap_or(i64::MAX);
    let limit = fields.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    let after = owned("after").map(|text| handle(&text)).transpose()?;
    Ok(walk(broker, move |broker| {
        let (topic, key_prefix) = (topic.as_deref(), key_prefix.as_deref());
        let query = TimerQuery { from_ms, to_ms, topic, key_prefix, after, limit };
        let page = broker.store.timers(&query)?;
        Ok(json!({
            "now_ms": broker.store.now_ms(),
            "pending": broker.store.timers_pending(),
            "timers": page.timers.iter().map(timer_json).collect::<Vec<_>>(),
            "next": page.next.map(|next| next.to_string()),
        }))
    }))
}

/// Code 77004: how many timers are due between each two of the `times` (owner milliseconds, ascending, by commas).
pub(crate) fn forecast(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let given = request.fields().required("times")?;
    let times: Option<Vec<i64>> = given.split(',').map(|time| time.trim().parse().ok()).collect();
    let sorted = times.filter(|times| times.len() <= TIMES_MAX && times.is_sorted());
    let wrong = || format!("times are at most {TIMES_MAX} ascending numbers of milliseconds, by commas");
    let times = sorted.ok_or_else(|| Response::refuse(response::INVALID_PARAMETER, wrong()))?;
    Ok(walk(broker, move |broker| {
        Ok(json!({
            "now_ms": broker.store.now_ms(),
            "pending": broker.store.timers_pending(),
            "counts": broker.store.timer_forecast(&times)?,
        }))
    }))
}

/// Answers with what a walk over all timers gives.
fn walk(
    broker: &Arc<Broker>,
    walk: impl FnOnce(&Broker) -> mainspring::Result<Value> + Send + 'static,
) -> Reply {
    let broker = Arc::clone(broker);
    Reply::later(async move {
        let _one_at_a_time = WALKS.acquire().await;
        match blocking(move || walk(&broker)).await {
            Ok(body) => Response::ok().with_body(body.to_string()),
            Err(refusal) => refusal,
        }
    })
}

/// Code 77002: what is known of the timer `handle`.
pub(crate) fn show(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let handle = handle(request.fields().required("handle")?)?;
    let broker = Arc::clone(broker);
    Ok(Reply::later(async move {
        let now_ms = broker.store.now_ms();
        match look_up(move || broker.store.explain(&handle)).await {
            Ok(found) => Response::ok().with_body(explained_json(&handle, &found, now_ms).to_string()),
            Err(refusal) => refusal,
        }
    }))
}

/// Code 77003: the timer `handle` shall not fire.
pub(crate) fn cancel(broker: &Arc<Broker>, request: &Request<'_>) -> Handled {
    let handle = handle(request.fields().required("handle")?)?;
    let pending = broker.store.cancel_start(&handle)?;
    Ok(when_decided(pending, move |result| {
        let (name, fired_ms) = match result {
            Ok(Cancel::Cancelled) => ("cancelled", None),
            Ok(Cancel::AlreadyFired { at_ms }) => ("already_fired", at_ms),
            Ok(Cancel::NotFound) => ("not_found", None),
            Err(error) => return error.into(),
        };
        let body = json!({ "handle": handle.to_string(), "result": name, "fired_ms": fired_ms });
        Response::ok().with_body(body.to_string())
    }))
}

fn handle(text: &str) -> Result<Handle, Response> {
    text.parse()
        .map_err(|error: mainspring::Error| Response::refuse(response::INVALID_PARAMETER, error.to_string()))
}

/// What is known of a timer, as tools print it.
#[must_use]
pub fn explained_json(handle: &Handle, found: &Explained, now_ms: i64) -> Value {
    let mut json = match found {
        Explained::Pending(timer) => timer_json(timer),
        _ => json!({ "handle": handle.to_string(), "due_ms": handle.due_ms }),
    };
    let (state, fired_ms) = match found {
        Explained::Pending(_) => ("pending", None),
        Explained::Fired { at_ms } => ("fired", *at_ms),
        Explained::Cancelled => ("cancelled", None),
        Explained::Unknown => ("unknown", None),
    };
    json["state"] = state.into();
    json["now_ms"] = now_ms.into();
    if let Some(fired_ms) = fired_ms {
        json["fired_ms"] = fired_ms.into();
    }
    json
}

/// A pending timer, as tools print it.
#[must_use]
pub fn timer_json(timer: &TimerInfo) -> Value {
    let mut json = json!({
        "handle": timer.handle.to_string(),
        "due_ms": timer.handle.due_ms,
        "record_bytes": timer.record_bytes,
    });
    match timer.place {
        Place::Log => json["place"] = format!("log at {}", timer.handle.schedule).into(),
        Place::Bucket { segment, slot } => {
            json["place"] = format!("due bucket of segment {segment}, slot {slot}").into();
        }
    }
    if let Some(message) = &timer.message {
        json["topic"] = message.topic.as_str().into();
        json["queue"] = message.queue.into();
        json["keys"] = json!(message.keys);
        json["body_bytes"] = message.body_bytes.into();
        json["scheduled_ms"] = message.scheduled_ms.into();
    }
    json
}
