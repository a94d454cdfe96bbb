//! Histories made for one purpose.

use crate::Verdict;
use crate::history::History;

/// Runs the scenario that the seed falls on.
///
/// # Errors
/// The property that breaks.
pub fn run(history: &mut History) -> Verdict {
    history.open(false).map(drop)
}
