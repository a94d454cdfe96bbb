//! The store in figures, as values.

use crate::error::ErrorKind;
use crate::histogram::Histogram;
use crate::offset::Offset;
use crate::store::Store;

/// A snapshot of a store's figures. Counters start at zero when the store is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// The owner's time, milliseconds.
    pub now_ms: i64,
    /// The epoch that is or will be written.
    pub epoch: u64,
    /// First position of the log.
    pub start: Offset,
    /// First position not applied.
    pub applied: Offset,
    /// First position not committed.
    pub committed: Offset,
    /// First position not flushed.
    pub flushed: Offset,
    /// First unwritten position.
    pub tail: Offset,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes appended and not flushed.
    pub unflushed_bytes: u64,
    /// Bytes appended and not committed.
    pub uncommitted_bytes: u64,
    /// Bytes appended and not applied.
    pub unapplied_bytes: u64,
    /// Since when something waits for a flush to begin, owner milliseconds.
    pub unflushed_since_ms: Option<i64>,
    /// How long flushes took, microseconds.
    pub flush_us: Histogram,
    /// How many frames each flush made durable.
    pub flush_frames: Histogram,
    /// Segments of the log.
    pub segments: usize,
    /// Topics that have settings.
    pub topics: usize,
    /// Consumer groups.
    pub groups: usize,
    /// Timers that are pending, exactly.
    pub timers_pending: usize,
    /// Timers that are due and not fired yet.
    pub timers_overdue: usize,
    /// Timers whose record cannot be read; they are among the pending ones.
    pub timers_quarantined: usize,
    /// Timers that fired.
    pub fires: u64,
    /// By how much they fired after they were due, milliseconds.
    pub late_ms: Histogram,
    /// Fires that were void because a cancel stands before them.
    pub voids: u64,
    /// When the next timer is due, owner milliseconds.
    pub next_due_ms: Option<i64>,
    /// By how much a wall clock that was not adopted is ahead, milliseconds.
    pub clock_held_ms: Option<i64>,
    /// Why appends are refused, if they are.
    pub stopped: Option<String>,
    /// Whether that is a failed flush: what is on disk is unknown until the store is opened again.
    pub poisoned: bool,
    /// Whether the medium had no space when it was last asked for some.
    pub full: bool,
    /// Segments that ended within an epoch.
    pub rolls: u64,
    /// Index files written.
    pub indexes: u64,
    /// Due buckets written.
    pub buckets: u64,
    /// Base generations written.
    pub bases: u64,
    /// Trims appended.
    pub trims: u64,
}

impl Store {
    /// The store in figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = self.core();
        let mut stats = Stats {
            committed: core.cursors.committed(),
            flushed: core.cursors.flushed(),
            tail: core.cursors.tail(),
            log_bytes: core.log.len_bytes(),
            segments: core.log.segments().len(),
            ..Stats::default()
        };
        {
            let applier = core.applier.lock();
            let counts = applier.upkeep().counts;
            (stats.fires, stats.voids) = applier.fire_counts();
            stats.late_ms = applier.late_ms().clone();
            stats.timers_overdue = applier.overdue();
            stats.timers_quarantined = applier.quarantined().len();
            (stats.rolls, stats.indexes, stats.buckets) = (counts.rolls, counts.indexes, counts.buckets);
            (stats.bases, stats.trims) = (counts.bases, counts.trims);
        }
        core.serve_missed();
        {
            let mut appender = core.appender.lock();
            stats.now_ms = appender.owner_ms(core.clock.now());
            stats.epoch = appender.epoch().epoch.0.into();
            stats.unflushed_bytes = appender.unflushed_bytes();
            stats.unflushed_since_ms = appender.unflushed_since_ms();
            let (flush_us, flush_frames) = appender.flush_histograms();
            (stats.flush_us, stats.flush_frames) = (flush_us.clone(), flush_frames.clone());
            stats.clock_held_ms = appender.clock_held_ms();
            let stopped = appender.stopped();
            stats.poisoned = stopped.as_ref().is_some_and(|e| e.kind() == ErrorKind::Poisoned);
            stats.stopped = stopped.map(|e| e.to_string());
            stats.full = appender.is_full();
        }
        {
            let views = core.views.read();
            (stats.start, stats.applied) = (views.start, views.applied);
            stats.topics = views.topics().filter(|t| t.config.is_some()).count();
            stats.groups = views.groups().count();
            stats.timers_pending = views.timers.count();
            stats.next_due_ms = views.timers.next_due_ms();
        }
        (stats.uncommitted_bytes, stats.unapplied_bytes) =
            (behind(stats.tail, stats.committed), behind(stats.tail, stats.applied));
        stats
    }
}

/// Bytes of the log from `at` to the tail, gaps between segments included. Epochs leave none: each begins once the one
/// before it is committed.
fn behind(tail: Offset, at: Offset) -> u64 {
    let from = at.0.max(tail.epoch().first().0);
    tail.0.saturating_sub(from)
}
