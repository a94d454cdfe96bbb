//! Known bugs that can be switched on, one at a time, to prove that the simulator finds them.
//!
//! Without the feature `planted` every check is the constant `false` and no bug exists in the binary.

/// A planted bug; each is the smallest change that breaks one rule of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// An append is acknowledged as committed before its flush.
    AckBeforeFlush,
    /// Frames are applied, and shown, ahead of `committed`.
    ViewAheadOfCommit,
    /// The checkpoint covers bytes that were not flushed.
    CheckpointCoversUnflushed,
    /// A frame of an older epoch is accepted in a newer segment.
    StaleEpochFrame,
    /// A frame without the log's secret is accepted, so one in a message body is.
    ForgedFrame,
    /// Damage below the durable mark is cut like a tail.
    DamageCutAsTail,
    /// A segment that ends before the end that its successor names is accepted.
    HoleTakenForRoll,
    /// The first offset of an epoch is used again after its opening segment was lost, over what is left of it.
    FirstOffsetReused,
    /// What was found at open is shown before it is flushed again.
    ShownBeforeReflush,
    /// Timers that fired are pending again after a reopen.
    FiresTwice,
    /// A wall clock far ahead is adopted without a witness.
    EarlyAfterClockStep,
    /// A fire that stands after a cancel wins against it.
    CancelLoses,
    /// The slot of a refused record is shown.
    BlankShown,
    /// An index file is built again without the void set.
    IndexWithoutVoids,
    /// An index file is used without its checksum.
    IndexUnchecked,
    /// A file goes once one base generation has passed it.
    DroppedTooEarly,
    /// A base refers to log bytes below its start.
    BaseBelowStart,
    /// The retry count starts again with every failure.
    RetryCountReset,
    /// The last consumer offset of a store is forgotten at reopen.
    OffsetBelowPromised,
    /// A failed flush is tried again as if nothing had happened.
    FailedFlushRetried,
    /// A consumer's progress passes what it handed out and nobody decided on.
    ProgressPassesOpen,
    /// A lock is granted while another client holds it.
    LockTaken,
    /// Order locks are forgotten at reopen.
    LocksForgotten,
    /// A message that is to be stored once is stored again while the first is remembered.
    RepeatStored,
    /// The keys of messages that are stored once are forgotten at reopen.
    KeysForgotten,
    /// A segment may end at the very offset where the next one starts, and is then never sealed.
    SegmentFilled,
    /// What waits for a second base is forgotten until the next open.
    TrimmedKept,
}

/// All of them, in order.
pub const ALL: [Bug; 27] = [
    Bug::AckBeforeFlush,
    Bug::ViewAheadOfCommit,
    Bug::CheckpointCoversUnflushed,
    Bug::StaleEpochFrame,
    Bug::ForgedFrame,
    Bug::DamageCutAsTail,
    Bug::HoleTakenForRoll,
    Bug::FirstOffsetReused,
    Bug::ShownBeforeReflush,
    Bug::FiresTwice,
    Bug::EarlyAfterClockStep,
    Bug::CancelLoses,
    Bug::BlankShown,
    Bug::IndexWithoutVoids,
    Bug::IndexUnchecked,
    Bug::DroppedTooEarly,
    Bug::BaseBelowStart,
    Bug::RetryCountReset,
    Bug::OffsetBelowPromised,
    Bug::FailedFlushRetried,
    Bug::ProgressPassesOpen,
    Bug::LockTaken,
    Bug::LocksForgotten,
    Bug::RepeatStored,
    Bug::KeysForgotten,
    Bug::SegmentFilled,
    Bug::TrimmedKept,
];

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Switches one bug on, or all off, for this thread.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.with(|cell| cell.set(bug));
}

/// The bug of the whole process, for a broker whose store runs on many threads.
#[cfg(feature = "planted")]
static EVERYWHERE: std::sync::OnceLock<Bug> = std::sync::OnceLock::new();

/// Switches one bug on for every thread and for good; the first call counts.
#[cfg(feature = "planted")]
pub fn plant_everywhere(bug: Bug) {
    EVERYWHERE.get_or_init(|| bug);
}

/// Whether `bug` is switched on.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.with(|cell| cell.get() == Some(bug)) || EVERYWHERE.get() == Some(&bug)
}

/// Whether `bug` is switched on: never, in this build.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn is(_bug: Bug) -> bool {
    false
}
