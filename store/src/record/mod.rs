//! One message as bytes: RocketMQ's record layout, so that a pull answer is slices of the log.
//!
//! - [`layout`]: the byte table and its constants.
//! - [`Draft`] is what a producer decides; [`Draft::prepare`] checks it, hashes it and fixes its length
//!   before any lock is taken; [`Prepared::encode`] writes it in place with what the append decides ([`Stamp`]).
//! - [`Record`] is the view of encoded bytes; [`patch`] restamps them when a timer fires.
//! - [`properties`], [`tags`], [`message_id`], [`batch`]: the texts and encodings that clients put around it.
//!
//! Invariants:
//! - What `prepare` accepts, `encode` writes whole and `parse` reads back, field by field.
//! - Bytes that `parse` accepts have lengths that agree to the byte.
//! - The body checksum is over the body alone; everything else is covered by the frame that holds the record.
//!
//! This module knows nothing of queues, frames or time.

pub mod batch;
mod cursor;
mod draft;
mod error;
pub mod layout;
pub mod message_id;
mod patch;
pub mod properties;
pub mod tags;
mod view;

#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchMessage};
pub(crate) use cursor::Cursor;
pub use draft::{Draft, Limits, Prepared, Stamp, check_topic};
pub use error::RecordError;
pub use message_id::MessageId;
pub use patch::{patch, patch_store_host};
pub use tags::TagFilter;
pub use view::Record;
