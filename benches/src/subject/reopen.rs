//! Opening a store that a kill left behind.

use mainspring::{CommitRule, Options, Report, Store, Wait};

use crate::Result;
use crate::bed::Bed;
use crate::measure::Timing;
use crate::workload::Workload;

/// What an open found, and how long it took.
#[derive(Debug, Clone)]
pub struct Reopened {
    /// The open alone.
    pub timing: Timing,
    /// What it found and did.
    pub report: Report,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Messages visible afterwards.
    pub messages: u64,
}

/// Writes the workload, lets the store go as a kill would, and opens it again.
///
/// # Errors
/// The store's.
pub fn ours(load: &Workload, segment_bytes: u64) -> Result<Reopened> {
    let options =
        Options { commit: CommitRule::Appended, segment_bytes, retention_ms: None, ..Options::default() };
    let bed = Bed::open(options.clone())?;
    bed.append(load, 0..load.messages, 32, Wait::Appended)?;
    bed.settle();
    let Bed { store, dir } = bed;
    store.abandon();
    let (timing, store) = Timing::of(|| Store::open_with(dir.path(), options));
    let bed = Bed { store: store?, dir };
    let stats = bed.store.stats();
    let reopened = Reopened {
        timing,
        report: bed.store.report().clone(),
        log_bytes: stats.log_bytes,
        messages: bed.count(),
    };
    bed.store.abandon();
    Ok(reopened)
}
