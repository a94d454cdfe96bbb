//! Frames and records stand where they say, and a queue's offsets follow each other without a gap.

use std::rc::Rc;

use super::{Verdict, place, require};
use crate::fold::Fold;
use crate::raw::{RawFrame, RawRecord};

const PROPERTY: &str = "order";

/// A frame's operations can be read, and the owner's time does not go back.
///
/// # Errors
/// If not.
pub fn frame(before: &Fold, frame: &Rc<RawFrame>) -> Verdict {
    let at = place(frame.at);
    require(frame.ops.is_some(), PROPERTY, || format!("the operations of the frame at {at} cannot be read"))?;
    require(frame.owner_ms >= before.owner_ms, PROPERTY, || {
        format!("owner time goes back from {} to {} at {at}", before.owner_ms, frame.owner_ms)
    })?;
    require(frame.flushed <= frame.at && frame.committed <= frame.at, PROPERTY, || {
        format!("the frame at {at} has cursors beyond itself: {} {}", frame.flushed, frame.committed)
    })
}

/// A record names its own position and its frame's time.
///
/// # Errors
/// If not.
pub fn record(record: &RawRecord, frame: &RawFrame) -> Verdict {
    let right = record.physical == record.at && record.store_ms == frame.owner_ms;
    require(right, PROPERTY, || {
        format!(
            "the record at {} says {} and {} ms",
            place(record.at),
            place(record.physical),
            record.store_ms
        )
    })
}

/// A record takes the next offset of its queue.
///
/// # Errors
/// If not.
pub fn arrival(next: u64, record: &RawRecord) -> Verdict {
    require(record.queue_offset == next, PROPERTY, || {
        let (topic, queue, found) = (&record.topic, record.queue, record.queue_offset);
        format!("the record at {} has offset {found} of {topic}/{queue}, not {next}", place(record.at))
    })
}
