//! What can be wrong with a record, a draft or a batch.

use std::fmt;
use std::ops::RangeInclusive;

/// Names the field, the position in bytes and the check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end inside of a field.
    Short {
        /// The field.
        field: &'static str,
        /// Where it starts, in bytes.
        at: usize,
        /// Bytes that it needs.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The declared size of the whole is not that of its parts, or of the bytes given.
    Size {
        /// What is declared.
        declared: usize,
        /// What is there.
        actual: usize,
    },
    /// No record starts here.
    Magic {
        /// The four bytes at [`super::layout::MAGIC`].
        found: u32,
    },
    /// A length or number is outside of its range.
    Range {
        /// The field.
        field: &'static str,
        /// Where it stands, in bytes; 0 in a draft.
        at: usize,
        /// Its value.
        found: u64,
        /// The smallest value that is allowed.
        min: u64,
        /// The largest value that is allowed.
        max: u64,
    },
    /// A byte that the field must not hold, or text that is not UTF-8.
    Text {
        /// The field.
        field: &'static str,
        /// Where the bad byte is, counted from the start of the field.
        at: usize,
    },
    /// The body does not have the checksum that the record says.
    BodyCrc {
        /// The checksum in the record.
        stored: u32,
        /// The checksum of the body.
        computed: u32,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { field, at, need, have } => {
                write!(f, "{field} at byte {at} needs {need} bytes, {have} are left")
            }
            Self::Size { declared, actual } => {
                write!(f, "declared size is {declared} bytes, actual size {actual}")
            }
            Self::Magic { found } => write!(f, "magic at byte 4 is {found:#010X}, no record"),
            Self::Range { field, at, found, min, max } => {
                write!(f, "{field} at byte {at} is {found}, must be {min} to {max}")
            }
            Self::Text { field, at } => write!(f, "{field} holds a forbidden byte at {at}"),
            Self::BodyCrc { stored, computed } => {
                write!(f, "body checksum is {computed:#010X}, the record says {stored:#010X}")
            }
        }
    }
}

impl std::error::Error for RecordError {}

/// A length that was read at `at`, if it is in `range`.
pub(super) fn length(
    field: &'static str,
    at: usize,
    found: u32,
    range: RangeInclusive<usize>,
) -> Result<usize, RecordError> {
    match usize::try_from(found) {
        Ok(found) if range.contains(&found) => Ok(found),
        _ => {
            let (min, max) = (*range.start() as u64, *range.end() as u64);
            Err(RecordError::Range { field, at, found: u64::from(found), min, max })
        }
    }
}
