//! A store refuses only for a reason that exists.

use mainspring::ErrorKind;

use super::{Verdict, require};

const PROPERTY: &str = "available";

/// What can be a reason to refuse.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reasons {
    /// The machine has crashed.
    pub crashed: bool,
    /// A flush failed.
    pub poisoned: bool,
    /// A call other than a flush failed.
    pub io: bool,
    /// One of them was a call that the log cannot do without.
    pub stops: bool,
    /// One of them was the seal of a segment of the log.
    pub unsealed: bool,
    /// The medium's space is limited.
    pub full: bool,
    /// Few bytes may wait for a flush.
    pub narrow: bool,
    /// Durable bytes were damaged.
    pub damaged: bool,
}

/// A store that runs has stopped.
///
/// # Errors
/// If nothing failed that the log cannot do without.
pub fn stopped(reasons: Reasons, why: Option<&str>) -> Verdict {
    let reason = reasons.stops || reasons.unsealed || reasons.poisoned || reasons.damaged;
    require(why.is_none() || reason, PROPERTY, || format!("the store stopped for no reason: {why:?}"))
}

/// A call was refused.
///
/// # Errors
/// If there is no reason for it.
pub fn refused(reasons: Reasons, kind: ErrorKind, what: &str, error: &mainspring::Error) -> Verdict {
    let reason = reasons.crashed
        || match kind {
            ErrorKind::Poisoned => reasons.poisoned || reasons.unsealed,
            ErrorKind::Io => reasons.io || reasons.poisoned,
            ErrorKind::Full => reasons.full,
            ErrorKind::Busy => reasons.narrow,
            ErrorKind::ReadOnly | ErrorKind::Corrupt | ErrorKind::Version => reasons.damaged,
            ErrorKind::TooLarge => matches!(what, "batch" | "store_once"),
            _ => false,
        };
    require(reason, PROPERTY, || format!("{what} was refused for no reason: {error:?}"))
}
