//! Nothing is invented: each operation in the log was asked for, or is one of the store's own and makes sense.

use super::{Verdict, Violation, place, require};
use crate::model::{Asked, Model};
use crate::raw::{RawFrame, RawOp, RawRecord};

const PROPERTY: &str = "invented";

/// Everything in a new frame was asked for; messages are noted as placed, once each.
///
/// # Errors
/// If something was not.
pub fn frame(model: &mut Model, frame: &RawFrame) -> Verdict {
    let end = model.end();
    for op in frame.ops() {
        match op {
            RawOp::Append(record) => message(model, record, None)?,
            RawOp::Schedule { due_ms, record } => message(model, record, Some(*due_ms))?,
            RawOp::Cancel { due_ms, schedule } => {
                let asked = model.cancels_asked.contains(&(*due_ms, *schedule));
                require(asked, PROPERTY, || {
                    format!("a cancel of {} at {}", place(*schedule), place(frame.at))
                })?;
            }
            RawOp::Offset { group, topic, queue, offset } => {
                let key = (group.clone(), topic.clone(), *queue, *offset);
                let by_consumer = group == crate::history::CONSUMER_GROUP;
                let asked = by_consumer || model.offsets_asked.contains(&key);
                require(asked, PROPERTY, || format!("progress {key:?} at {}", place(frame.at)))?;
            }
            RawOp::Open { previous_end, .. } | RawOp::Segment { previous_end } => {
                require(*previous_end == end, PROPERTY, || {
                    let named = place(*previous_end);
                    format!("{} names {named} as the end before it, not {}", place(frame.at), place(end))
                })?;
            }
            RawOp::Trim { start } => {
                let real = model.chain.iter().any(|f| f.at == *start && f.segment == *start);
                require(real, PROPERTY, || format!("{} trims to {}", place(frame.at), place(*start)))?;
            }
            RawOp::Digest { at, .. } => {
                let real = model.frame_ending(*at).is_some();
                require(real, PROPERTY, || format!("{} has a digest of {}", place(frame.at), place(*at)))?;
            }
            RawOp::Lock { group, client, queues, .. } | RawOp::Unlock { group, client, queues } => {
                let asked = (group.clone(), client.clone(), queues.clone());
                require(model.locks_asked.contains(&asked), PROPERTY, || {
                    format!("a lock or unlock {asked:?} at {}", place(frame.at))
                })?;
            }
            RawOp::Attributes { .. } | RawOp::Clear { .. } | RawOp::Once { .. } => {}
            RawOp::Fire { .. } | RawOp::Topic { .. } | RawOp::Group { .. } | RawOp::ClockStep { .. } => {}
        }
    }
    Ok(())
}

/// An open found the log up to where its frames end on the medium.
///
/// # Errors
/// If it found less, or more: bytes that are no frame of this place and epoch.
pub fn ends(found: u64, end: u64) -> Verdict {
    require(found == end, PROPERTY, || {
        format!("the store found a log up to {}, the medium has frames up to {}", place(found), place(end))
    })
}

fn message(model: &mut Model, record: &RawRecord, due_ms: Option<i64>) -> Verdict {
    let invented = |why: &str| {
        let text = format!("the record at {} of {}: {why}", place(record.at), record.topic);
        Violation { property: PROPERTY, text }
    };
    let id = record.id().ok_or_else(|| invented("nobody sent it"))?;
    let asked = model.asked.get(&id).ok_or_else(|| invented("nobody sent it"))?;
    let prefixes = ["%RETRY%", "%DLQ%"];
    if let Some(group) = prefixes.iter().find_map(|prefix| record.topic.strip_prefix(prefix)) {
        require(record.body() == asked.body, PROPERTY, || invented("the copy has another body").text)?;
        let copy = (group.to_owned(), id, record.reconsume);
        let most = model.copies_asked.get(&copy).copied().unwrap_or(0);
        let all = model.copies.entry(copy).or_default();
        all.push(record.at);
        return require(all.len() <= most as usize, "retries", || {
            format!(
                "copy {} of message {id} with {} failures, asked {most} times",
                all.len(),
                record.reconsume
            )
        });
    }
    matches(asked, record, due_ms).map_err(|why| invented(&why))?;
    let before = model.placed.insert(id, record.at);
    require(before.is_none(), PROPERTY, || invented("it stands in the log twice").text)
}

fn matches(asked: &Asked, record: &RawRecord, due_ms: Option<i64>) -> Result<(), String> {
    let mut properties = asked.properties.clone();
    if due_ms.is_some() {
        properties.extend_from_slice(format!("FIRE_ID\u{1}{:016x}\u{2}", record.at).as_bytes());
    }
    let checks = [
        (asked.topic == record.topic, "another topic"),
        (asked.queue.is_none_or(|queue| queue == record.queue), "another queue"),
        (asked.body == record.body(), "another body"),
        (properties == record.properties, "other properties"),
        (record.reconsume == 0, "failures before the first delivery"),
        (asked.due_ms == due_ms, "another due time"),
    ];
    checks.iter().find(|(right, _)| !right).map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
}
