//! What must hold in every history, one file a property.

pub mod availability;
pub mod base;
pub mod cancels;
pub mod durable;
pub mod failstop;
pub mod invented;
pub mod once;
pub mod order;
pub mod progress;
pub mod rebuild;
pub mod requests;
pub mod reuse;
pub mod sealed;
pub mod space;
pub mod timers;
pub mod views;

use std::fmt;

/// A property that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The property.
    pub property: &'static str,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.text)
    }
}

/// Whether a property holds.
pub type Verdict<T = ()> = Result<T, Violation>;

/// A log position for people.
#[must_use]
pub fn place(at: u64) -> String {
    format!("{}:{}", at >> 40, at & ((1 << 40) - 1))
}

/// The property holds if `ok`; else `text` says how it does not.
///
/// # Errors
/// The violation.
pub fn require(ok: bool, property: &'static str, text: impl FnOnce() -> String) -> Verdict {
    if ok { Ok(()) } else { Err(Violation { property, text: text() }) }
}
