//! A timer fires at most once, never early, as it was scheduled; and none is forgotten.

use super::{Verdict, Violation, place, require};
use crate::fold::{Ended, Fold, Timer};
use crate::raw::{RawFrame, RawOp, RawRecord};

const PROPERTY: &str = "timers";

/// A schedule carries its fire id.
///
/// # Errors
/// If not.
pub fn scheduled(due_ms: i64, record: &RawRecord) -> Verdict {
    let id = format!("{:016x}", record.at);
    require(due_ms >= 0 && record.property("FIRE_ID") == Some(&id), PROPERTY, || {
        format!("the schedule at {} has fire id {:?}", place(record.at), record.property("FIRE_ID"))
    })
}

/// A fire names a timer that was scheduled, is not early, fires what was scheduled, and is no second one.
///
/// # Errors
/// If not.
pub fn fires<'a>(
    timer: Option<&'a mut Timer>,
    (schedule, due_ms): (u64, i64),
    frame: &RawFrame,
    record: &RawRecord,
) -> Verdict<&'a mut Timer> {
    let at = place(frame.at);
    let name = place(schedule);
    let Some(timer) = timer else {
        let text = format!("the fire at {at} is of {name}, which was never scheduled");
        return Err(Violation { property: PROPERTY, text });
    };
    require(timer.due_ms == due_ms && frame.owner_ms >= due_ms, PROPERTY, || {
        format!("{name}, due at {}, fires at {at} at {} ms", timer.due_ms, frame.owner_ms)
    })?;
    let twice = matches!(timer.ended, Some((_, Ended::Fired)));
    require(!twice, PROPERTY, || format!("{name} fires a second time at {at}"))?;
    let scheduled = timer.frame.ops().find_map(|op| match op {
        RawOp::Schedule { record, .. } if record.at == schedule => Some(record),
        _ => None,
    });
    let same = scheduled.is_some_and(|s| s.without_stamp() == record.without_stamp());
    require(same, PROPERTY, || format!("what {name} fires at {at} is not what was scheduled"))?;
    Ok(timer)
}

/// Once everything is due and had its time, nothing pends any more.
///
/// # Errors
/// If something does.
pub fn none_forgotten(fold: &Fold) -> Verdict {
    let mut left: Vec<_> = fold.timers.iter().filter(|(_, timer)| timer.ended.is_none()).collect();
    left.sort_unstable_by_key(|(at, _)| **at);
    require(left.is_empty(), PROPERTY, || {
        let first = left.first().map(|(at, timer)| (place(**at), timer.due_ms));
        format!("{} timers were forgotten, first {first:?}, at {} ms", left.len(), fold.owner_ms)
    })
}

/// No frame is ahead of the time that the clock's rules allow.
///
/// # Errors
/// If it is.
pub fn not_ahead(frame: &RawFrame, bound_ms: i64) -> Verdict {
    require(frame.owner_ms <= bound_ms, PROPERTY, || {
        format!("owner time {} at {}, where at most {bound_ms} is due", frame.owner_ms, place(frame.at))
    })
}
