//! A cancel is answered truthfully: by what stood before it in the log.

use mainspring::Cancel;

use super::{Verdict, place, require};
use crate::fold::{Ended, Fold};
use crate::model::CancelAnswer;

/// The answer is what the log's order says.
///
/// # Errors
/// If it is not.
pub fn truthful(fold: &Fold, given: &CancelAnswer) -> Verdict {
    let timer = fold.timers.get(&given.schedule).filter(|t| t.due_ms == given.due_ms);
    let trimmed = given.schedule < fold.start;
    let ended_before = timer.and_then(|t| t.ended).filter(|(at, _)| *at < given.position);
    let expected = match (timer, ended_before) {
        (None, _) => Cancel::NotFound,
        (Some(timer), _) if timer.frame.at >= given.position => Cancel::NotFound,
        (Some(_), None | Some((_, Ended::Cancelled))) => Cancel::Cancelled,
        (Some(_), Some((_, Ended::Fired))) => Cancel::AlreadyFired,
    };
    // What was scheduled below the log's start is answered for only while it pends.
    let forgotten = trimmed && ended_before.is_some() && given.answer == Cancel::NotFound;
    // With another due time it is no handle; that the timer was cancelled is true all the same.
    let cancelled =
        fold.timers.get(&given.schedule).and_then(|t| t.ended).is_some_and(|e| e.1 == Ended::Cancelled);
    let near = timer.is_none() && cancelled && given.answer == Cancel::Cancelled;
    require(given.answer == expected || forgotten || near, "cancels", || {
        let name = place(given.schedule);
        format!("cancel of {name} at {}: {:?}, not {expected:?}", place(given.position), given.answer)
    })
}
