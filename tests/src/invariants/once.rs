//! What was acknowledged or seen is in the log: once, byte for byte, where the answer said.

use super::{Verdict, Violation, place, require};
use crate::model::{Model, Told};
use crate::raw::{RawFrame, RawLog, RawOp};

const PROPERTY: &str = "present";

/// What stands in the log below trimmed segments is known; what is read begins where it may.
///
/// # Errors
/// If frames are missing at the front.
pub fn no_gap(model: &Model, raw: &RawLog, first: usize) -> Verdict {
    if raw.chain.is_empty() {
        return Ok(()); // `whole` says whether that may be
    }
    let Some(start) = model.chain.get(first).map(|frame| frame.at) else { return Ok(()) };
    let trimmed = model.chain.iter().chain(raw.frames()).flat_map(|f| f.ops()).filter_map(|op| match op {
        RawOp::Trim { start } => Some(*start),
        _ => None,
    });
    let allowed = trimmed.max().unwrap_or(0).max(model.chain.first().map_or(0, |f| f.at));
    require(start <= allowed, PROPERTY, || {
        format!("the log on the medium begins at {}, trimmed up to {}", place(start), place(allowed))
    })
}

/// A frame that is published never changes.
///
/// # Errors
/// If it did.
pub fn same(known: &RawFrame, found: &RawFrame) -> Verdict {
    let same = known.at == found.at && known.crc == found.crc && known.end == found.end;
    require(same, PROPERTY, || {
        format!("the frame at {} is followed or replaced by one at {}", place(known.at), place(found.at))
    })
}

/// No frame that was published is missing while its process lives.
///
/// # Errors
/// If one is.
pub fn whole(model: &Model, raw: &RawLog, found: usize) -> Verdict {
    require(found >= model.chain.len(), PROPERTY, || {
        let missing = model.chain.get(found).map(|frame| place(frame.at));
        let there: Vec<_> = raw.segments.iter().map(|s| (place(s.start), place(s.end()))).collect();
        format!("the log ends at {}, a frame at {missing:?} is gone; there are {there:?}", place(raw.end()))
    })
}

/// The position up to which a store says it applied is one up to which the log has frames.
///
/// # Errors
/// If not.
pub fn applied(there: bool, end: u64, applied: u64) -> Verdict {
    require(there, PROPERTY, || {
        format!("the store applied up to {}, the log has frames up to {}", place(applied), place(end))
    })
}

/// What a client was told stands in the frame that it was told of.
///
/// # Errors
/// If not.
pub fn told(model: &Model, end: u64, told: &Told) -> Verdict {
    let missing = || Violation { property: PROPERTY, text: format!("{told:?} is not in the log") };
    let frame = model.frame_ending(end).ok_or_else(missing)?;
    let found = match told {
        Told::Append { id, at, queue, queue_offset, store_ms } => frame.ops().any(|op| match op {
            RawOp::Append(r) => {
                let named = (r.at, r.queue, r.queue_offset, r.store_ms);
                r.id() == Some(*id) && named == (*at, *queue, *queue_offset, *store_ms)
            }
            _ => false,
        }),
        Told::Schedule { id, at, due_ms } => frame.ops().any(|op| match op {
            RawOp::Schedule { due_ms: due, record } => {
                record.id() == Some(*id) && (record.at, *due) == (*at, *due_ms)
            }
            _ => false,
        }),
        Told::Failed { group, id, reconsume, dead } => frame.ops().any(|op| match op {
            RawOp::Append(r) if *dead => {
                r.topic == format!("%DLQ%{group}") && r.id() == Some(*id) && r.reconsume == *reconsume
            }
            RawOp::Schedule { record: r, .. } if !*dead => {
                r.topic == format!("%RETRY%{group}") && r.id() == Some(*id) && r.reconsume == *reconsume
            }
            _ => false,
        }),
        Told::Offset { group, topic, queue, offset } => frame.ops().any(|op| match op {
            RawOp::Offset { group: g, topic: t, queue: q, offset: o } => {
                (g, t, q, o) == (group, topic, queue, offset)
            }
            _ => false,
        }),
    };
    require(found, PROPERTY, || format!("{told:?} is not in the frame at {}", place(frame.at)))
}
