//! A segment that ended is sealed sooner or later: without that it has no index file, and is never trimmed.

use backends::StreamInfo;

use super::{Verdict, place, require};
use crate::raw::log::numbered;

/// At rest, each segment of the log but the last is sealed; `is_frame` knows where frames of the log start, since
/// segments without one belong to nobody, or are prepared.
///
/// # Errors
/// If one is not.
pub fn all_that_ended(streams: &[StreamInfo], is_frame: impl Fn(u64) -> bool) -> Verdict {
    let starts = streams.iter().filter_map(|info| Some((numbered(&info.name, "log")?, info.sealed)));
    let mut segments: Vec<_> = starts.filter(|(start, _)| is_frame(*start)).collect();
    let last = segments.pop();
    let left = segments.into_iter().find(|(_, sealed)| !sealed);
    require(left.is_none(), "sealed", || {
        let places = [left, last].map(|at| at.map(|(start, _)| place(start)));
        format!("segment and the one that the log is in: {places:?}; the first is not sealed")
    })
}
