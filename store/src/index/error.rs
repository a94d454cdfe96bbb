//! What can be wrong with an index file.

use std::{fmt, io};

/// Names the position in the file and the check that failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum IndexError {
    /// The medium failed.
    Io(io::Error),
    /// The file is not what was written: it is to be built again.
    Corrupt {
        /// Where, in bytes from the start of the file.
        at: u64,
        /// The check that failed.
        check: &'static str,
    },
    /// The file has a version that is not known here.
    Version {
        /// The version it has.
        found: u32,
    },
    /// The caller asked for units that the file does not have.
    Range {
        /// Number of the first unit asked for.
        position: u32,
        /// Units asked for.
        count: u32,
        /// Units in the file.
        units: u32,
    },
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => write!(f, "index file cannot be read"),
            Self::Corrupt { at, check } => write!(f, "index file is corrupt at byte {at}: {check}"),
            Self::Version { found } => {
                write!(f, "index file has version {found}, {} is known", super::layout::VERSION)
            }
            Self::Range { position, count, units } => {
                write!(f, "{count} units from {position} asked for, the index file has {units}")
            }
        }
    }
}

impl std::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
