//! Requests are answered as the log's order decides: no two clients hold a queue at one time of the log, and a message
//! that asks to be stored once is there once within its window, with the same answer for every repeat.

use mainspring::{Once, Stored};

use super::{Verdict, place, require};
use crate::fold::Fold;
use crate::requests::{Decided, Place, Queues};

const PROPERTY: &str = "requests";

/// An answer that was given.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Which queues a client holds.
    Locked(Vec<bool>),
    /// Where messages stand, and whether they were there before.
    Stored(Vec<(Place, bool)>),
}

/// The place that an answer names.
#[must_use]
pub fn placed(once: &Once) -> Place {
    let due_ms = match once.stored {
        Stored::Message(_) => None,
        Stored::Timer(timer) => Some(timer.due_ms),
    };
    let stored = &once.stored;
    Place { at: stored.offset().0, queue: stored.queue(), queue_offset: stored.queue_offset(), due_ms }
}

/// The answer is what the frame that ends at `end` came to.
///
/// # Errors
/// If it is not.
pub fn decided(fold: &Fold, end: u64, heard: &Heard) -> Verdict {
    let found = fold.requests.decided.get(&end);
    let same = match (heard, found) {
        (Heard::Locked(heard), Some(Decided::Locked(found))) => heard == found,
        (Heard::Stored(heard), Some(Decided::Stored(found))) => {
            let as_said = |((said, repeated), first): (&(Place, bool), &Option<Place>)| {
                *repeated == first.is_some() && first.is_none_or(|first| first == *said)
            };
            heard.len() == found.len() && heard.iter().zip(found).all(as_said)
        }
        _ => false,
    };
    require(same, PROPERTY, || format!("{heard:?} for the frame up to {}, not {found:?}", place(end)))
}

/// An answer without a frame is what was decided before: every lock has half of its lease to run at `now_ms`.
///
/// # Errors
/// If it is not.
pub fn known_locks(
    fold: &Fold,
    (group, client): (&str, &str),
    queues: &Queues,
    (now_ms, lease_ms): (i64, i64),
    heard: &[bool],
) -> Verdict {
    for (queue, held) in queues.iter().zip(heard) {
        let lock = fold.requests.holder(group, queue);
        let own = lock.is_some_and(|l| l.client == client && l.until_ms - now_ms > lease_ms / 2);
        let others = lock.is_some_and(|l| l.client != client && l.until_ms > now_ms);
        require(if *held { own } else { others }, PROPERTY, || {
            format!("{client} of {group} is told {held} for {queue:?} at {now_ms}, there is {lock:?}")
        })?;
    }
    Ok(())
}

/// An answer without a frame is the first message of its key, which is remembered at `now_ms`.
///
/// # Errors
/// If it is not.
pub fn known_once(fold: &Fold, key: (String, String), now_ms: i64, heard: &Once) -> Verdict {
    let first = fold.requests.firsts.get(&key).filter(|(until_ms, _)| *until_ms > now_ms);
    let same = heard.repeated && first.is_some_and(|(_, first)| *first == placed(heard));
    require(same, PROPERTY, || format!("{heard:?} for {key:?} at {now_ms}, there is {first:?}"))
}
