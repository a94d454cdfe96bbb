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
    /// The medium's space is limited.
    pub full: bool,
    /// Few bytes may wait for a flush.
    pub narrow: bool,
    /// Durable bytes were damaged.
    pub damaged: bool,
}

/// A call was refused.
///
/// # Errors
/// If there is no reason for it.
pub fn refused(reasons: Reasons, kind: ErrorKind, what: &str, error: &mainspring::Error) -> Verdict {
    let reason = reasons.crashed
        || match kind {
            ErrorKind::Poisoned => reasons.poisoned,
            ErrorKind::Full => reasons.full,
            ErrorKind::Busy => reasons.narrow,
            ErrorKind::ReadOnly | ErrorKind::Corrupt | ErrorKind::Version => reasons.damaged,
            ErrorKind::TooLarge => what == "batch",
            _ => false,
        };
    require(reason, PROPERTY, || format!("{what} was refused for no reason: {error:?}"))
}
