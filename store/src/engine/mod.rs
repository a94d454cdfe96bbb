//! The engine: two single-threaded halves that take events and the time, and return actions.
//!
//! The [`Appender`] owns the tail, the owner's time and the next offset of each queue; producers encode their
//! frames in it, in memory only. The [`Applier`] owns views, wheel and commit; it reads published frames and
//! decides what follows from them. Everything that may block is an [`Action`]: a shell performs it and hands
//! the [`Event`] back. Neither half has a thread, a lock or a clock.

mod action;
mod appender;
mod applier;
mod copier;
mod draft;
mod fold;
mod queues;
mod upkeep;
mod whole;

pub use action::{Action, Event, Failure, perform};
pub(crate) use action::{InMemory, build_index, index_segment};
pub(crate) use appender::EpochPlan;
pub use appender::{Appended, Appender, FlushJob, Limits, Need};
pub use applier::{Applier, Step};
pub(crate) use draft::{FIRE_ID, FIRE_ID_ROOM};
pub use draft::{OpDraft, Placement, RecordDraft};
pub use fold::{Fold, Folded};
pub use queues::QueueChoice;
pub(crate) use upkeep::FoundFiles;
pub use upkeep::{UpkeepCounts, UpkeepOptions};
