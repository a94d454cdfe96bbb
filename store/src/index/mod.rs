//! Index files: the consume queues and keys of one sealed segment, beside it.
//!
//! Written once, immutable, checksummed, and a pure function of what was added: rebuilt from the same segment
//! it is the same bytes. Nothing in it is ever truncated, flushed again or repaired.
//!
//! - [`layout`]: the byte tables and their constants.
//! - [`IndexBuilder`] takes the records of a segment in log order and gives the file's bytes.
//! - [`IndexFile`] opens one: it reads header and directory, keeps the directory in memory, and checks units
//!   and keys when they are first used.
//!
//! Invariants:
//! - Every byte of the file is covered by one of its four checksums.
//! - No number from the file is used before it was compared with the file's length.
//! - Units of one run have consecutive queue offsets; what lies between two runs are blanks.
//!
//! This module knows neither frames nor where its streams are kept.

mod builder;
mod directory;
mod error;
mod file;
mod header;
pub mod layout;

#[cfg(test)]
mod tests;

pub use builder::{IndexBuilder, IndexEntry};
pub use directory::Run;
pub use error::IndexError;
pub use file::{IndexFile, Units};
pub use header::Header;

/// One place of a consume queue: which record stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Position of the record's first byte in the log.
    pub physical_offset: u64,
    /// Length of the record in bytes.
    pub size: u32,
    /// Code of its tag; see [`crate::record::tags`].
    pub tags: i64,
}

impl Unit {
    /// The unit's bytes.
    pub fn encode(&self) -> [u8; layout::UNIT_BYTES] {
        let mut out = [0; layout::UNIT_BYTES];
        let (offset, rest) = out.split_at_mut(layout::UNIT_SIZE);
        let (size, tags) = rest.split_at_mut(layout::UNIT_TAGS - layout::UNIT_SIZE);
        offset.copy_from_slice(&self.physical_offset.to_be_bytes());
        size.copy_from_slice(&self.size.to_be_bytes());
        tags.copy_from_slice(&self.tags.to_be_bytes());
        out
    }

    /// Reads a unit; `None` unless `bytes` are exactly one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = crate::record::Cursor::new(bytes);
        let unit = Self { physical_offset: fields.u64()?, size: fields.u32()?, tags: fields.i64()? };
        fields.rest().is_empty().then_some(unit)
    }
}
