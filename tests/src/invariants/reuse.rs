//! Log positions and queue offsets that somebody holds never come to name other bytes.

use super::{Verdict, place, require};
use crate::model::Model;
use crate::raw::{RawLog, RawOp};

const PROPERTY: &str = "reuse";

/// Every frame on the medium is the one that was first seen at its position.
///
/// # Errors
/// If one is not.
pub fn segments(model: &Model, raw: &RawLog) -> Verdict {
    for frame in raw.segments.iter().flat_map(|segment| &segment.frames) {
        let same = model.known.get(&frame.at).is_none_or(|known| known.crc == frame.crc);
        require(same, PROPERTY, || format!("another frame stands at {} now", place(frame.at)))?;
    }
    Ok(())
}

/// Records of frames that are new, from number `from` on, take no queue offset that is held.
///
/// # Errors
/// If one does.
pub fn offsets(model: &Model, from: usize) -> Verdict {
    for op in model.chain.iter().skip(from).flat_map(|frame| frame.ops()) {
        let (RawOp::Append(record) | RawOp::Fire { record, .. }) = op else { continue };
        let key = (record.topic.clone(), record.queue, record.queue_offset);
        let held = model.given.get(&key);
        require(held.is_none_or(|at| *at == record.at), PROPERTY, || {
            format!("{key:?} named {:?} and now {}", held.map(|at| place(*at)), place(record.at))
        })?;
    }
    Ok(())
}
