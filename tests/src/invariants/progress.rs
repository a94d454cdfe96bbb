//! A consumer's progress passes no message that was neither acked nor sent back, whatever became of the answers.

use super::{Verdict, place, require};
use crate::history::CONSUMER_GROUP;
use crate::model::{Copy, Model};
use crate::raw::{RawFrame, RawOp};

const PROPERTY: &str = "progress";

/// Progress in `frame`, which is the next to be folded in, passes only what an ack was asked for, or a copy of which
/// is in the log by then. What lies below the log's start is passed in any case.
///
/// # Errors
/// If it passes anything else.
pub fn passes(model: &Model, frame: &RawFrame) -> Verdict {
    for op in frame.ops() {
        let RawOp::Offset { group, topic, queue, offset } = op else { continue };
        let Some(found) = model.fold.queues.get(&(topic.clone(), *queue)) else { continue };
        if group != CONSUMER_GROUP {
            continue;
        }
        let before = model.fold.offsets.get(&(group.clone(), topic.clone(), *queue)).copied().unwrap_or(0);
        let readable = &found.items[model.fold.readable(found)..];
        let from = readable.partition_point(|item| item.queue_offset < before);
        for item in readable[from..].iter().take_while(|item| item.queue_offset < *offset) {
            let record = item.record();
            let copy = (group.clone(), record.id().unwrap_or(0), record.reconsume + 1);
            let copied = model.copies.get(&copy).is_some_and(|all| all.iter().any(|at| *at < frame.end));
            require(copied || model.acked.contains(&item.at), PROPERTY, || {
                let (at, item) = (place(frame.at), place(item.at));
                format!("{group} goes on to {offset} of {topic}/{queue} at {at}; {item} was not decided")
            })?;
        }
    }
    Ok(())
}

/// A failure that was answered has its copy in the log.
///
/// # Errors
/// If not.
pub fn copied(model: &Model, copy: &Copy) -> Verdict {
    require(model.copies.contains_key(copy), PROPERTY, || {
        format!("a nack was answered without a copy: {copy:?}")
    })
}
