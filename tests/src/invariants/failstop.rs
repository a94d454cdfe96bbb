//! After a failed flush nothing more is acknowledged until the store is opened again.

use super::{Verdict, require};

const PROPERTY: &str = "failstop";

/// Something was acknowledged or accepted.
///
/// # Errors
/// If a flush failed before.
pub fn acknowledged(poisoned: bool, what: &str) -> Verdict {
    require(!poisoned, PROPERTY, || format!("{what} was acknowledged after a failed flush"))
}
