//! A base refers to log bytes at or above its own start only.

use super::{Verdict, place, require};
use crate::raw::base::RawBase;

/// Every record that the base refers to in the log is at or above its start, and every void too.
///
/// # Errors
/// If one is not.
pub fn refers_above_start(base: &RawBase, number: u64) -> Verdict {
    let below = base.logged.iter().chain(&base.voids).find(|at| **at < base.start);
    require(below.is_none() && base.start <= base.at, "base", || {
        let start = place(base.start);
        format!("base {number} with start {start} refers to {:?}", below.map(|at| place(*at)))
    })
}
