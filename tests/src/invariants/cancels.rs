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
        (Some(_), Some((_, Ended::Fired))) => Cancel::AlreadyFired { at_ms: None },
    };
    // What was scheduled below the log's start is answered for only while it pends.
    let forgotten = trimmed && ended_before.is_some() && given.answer == Cancel::NotFound;
    // When it fired need not be known; it was not early.
    let answer = match given.answer {
        Cancel::AlreadyFired { at_ms } if at_ms.is_none_or(|at| at >= given.due_ms) => {
            Cancel::AlreadyFired { at_ms: None }
        }
        other => other,
    };
    require(answer == expected || forgotten, "cancels", || {
        let name = place(given.schedule);
        format!("cancel of {name} at {}: {:?}, not {expected:?}", place(given.position), given.answer)
    })
}
