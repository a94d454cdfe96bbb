//! The frame: unit of append, checksum, replication and recovery.
//!
//! A frame is a 64-byte header and a list of operations that apply together or not at all. It starts at a
//! multiple of 8 and never crosses a segment.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | magic | `MSF1` |
//! | 4 | 1 | version | 1 |
//! | 5 | 1 | wait | what the caller waits for: 0 committed, 1 flushed, 2 appended |
//! | 6 | 2 | feature level | rules of `apply` that this frame needs |
//! | 8 | 4 | length | bytes of the whole frame, header included, a multiple of 8 |
//! | 12 | 4 | checksum | CRC-32C of the whole frame without this field |
//! | 16 | 8 | secret | the log's 64 random bits |
//! | 24 | 4 | epoch | the epoch that wrote it |
//! | 28 | 4 | operations | how many operations follow |
//! | 32 | 8 | offset | its own position in the log |
//! | 40 | 8 | owner time | milliseconds since the Unix epoch |
//! | 48 | 8 | flushed | the owner's `flushed` cursor at that moment |
//! | 56 | 8 | committed | the owner's `committed` cursor at that moment |

mod op;

use std::fmt;

use byteorder::{BigEndian, ByteOrder};

use crate::codec::fill;
use crate::error::{Error, ErrorKind};
use crate::hash;
use crate::offset::{Epoch, Offset};
use crate::planted::{self, Bug};

pub(crate) use op::write_head;
pub use op::{
    BadOp, OP_FIELDS, OP_HEAD_BYTES, Once, Op, OpKind, OpReader, Opening, RECORD_AT_APPEND, RECORD_AT_FIRE,
    RECORD_AT_SCHEDULE,
};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// `MSF1`.
pub const MAGIC: u32 = u32::from_be_bytes(*b"MSF1");
/// The format version of frames.
pub const VERSION: u8 = 1;
/// Frames start and end at multiples of this.
pub const ALIGN: usize = 8;
/// The longest frame of any store, bytes.
pub const FRAME_BYTES_MAX: usize = 8 << 20;
/// The highest feature level that this version knows. A frame names the one that its operations need, not this.
pub const FEATURE_LEVEL: u16 = 2;

/// `(field, offset, size)` of the header, in order.
pub const FIELDS: &[(&str, usize, usize)] = &[
    ("magic", 0, 4),
    ("version", 4, 1),
    ("wait", 5, 1),
    ("feature level", 6, 2),
    ("length", 8, 4),
    ("checksum", 12, 4),
    ("secret", 16, 8),
    ("epoch", 24, 4),
    ("operations", 28, 4),
    ("offset", 32, 8),
    ("owner time", 40, 8),
    ("flushed", 48, 8),
    ("committed", 56, 8),
];

const _: () = assert!(fill(FIELDS, 0, HEADER_BYTES));

/// What the caller of an append waits for; says nothing about the store's commit rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Until it is safe by the store's commit rule, and applied.
    #[default]
    Committed,
    /// Until it is on this node's disk.
    Flushed,
    /// Until it stands in the log.
    Appended,
}

/// The fields of a frame's header that its writer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the caller waits for.
    pub wait: Wait,
    /// Rules of `apply` that the frame needs.
    pub feature_level: u16,
    /// Bytes of the whole frame.
    pub len: u32,
    /// How many operations follow.
    pub ops: u32,
    /// Its own position.
    pub at: Offset,
    /// The owner's time, milliseconds.
    pub owner_ms: i64,
    /// The owner's `flushed` at that moment.
    pub flushed: Offset,
    /// The owner's `committed` at that moment.
    pub committed: Offset,
}

/// Which check a frame fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// Fewer bytes are left than a header or the frame needs.
    Short,
    /// It does not start with the magic.
    Magic,
    /// A version that is not known.
    Version(u8),
    /// It lacks the log's secret.
    Secret,
    /// It names another position than where it stands.
    Position,
    /// Its epoch is not the one that owns its position.
    Epoch,
    /// Its length is not acceptable.
    Length,
    /// The checksum differs.
    Checksum,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the frame is cut short"),
            Self::Magic => f.write_str("no frame starts here"),
            Self::Version(v) => write!(f, "frame version {v} is not known (this is {VERSION})"),
            Self::Secret => f.write_str("the frame is not of this log"),
            Self::Position => f.write_str("the frame belongs to another position"),
            Self::Epoch => f.write_str("the frame belongs to another epoch"),
            Self::Length => f.write_str("the frame's length is not possible"),
            Self::Checksum => f.write_str("the frame's checksum differs"),
        }
    }
}

impl BadFrame {
    /// The error for a bad frame at `at`, where a good one was.
    pub(crate) fn error(self, at: Offset) -> Error {
        Error::new(ErrorKind::Corrupt, format!("damaged log: {self}")).at(at)
    }
}

impl Header {
    /// Writes the header in front of `frame`, whose operations are in place, and the checksum of it all.
    ///
    /// # Panics
    /// If `frame` is not `self.len` bytes long.
    pub fn seal(&self, secret: u64, frame: &mut [u8]) {
        assert_eq!(frame.len(), self.len as usize, "the header states the frame's length");
        BigEndian::write_u32(&mut frame[0..4], MAGIC);
        frame[4] = VERSION;
        frame[5] = match self.wait {
            Wait::Committed => 0,
            Wait::Flushed => 1,
            Wait::Appended => 2,
        };
        BigEndian::write_u16(&mut frame[6..8], self.feature_level);
        BigEndian::write_u32(&mut frame[8..12], self.len);
        BigEndian::write_u64(&mut frame[16..24], secret);
        BigEndian::write_u32(&mut frame[24..28], self.at.epoch().0);
        BigEndian::write_u32(&mut frame[28..32], self.ops);
        BigEndian::write_u64(&mut frame[32..40], self.at.0);
        BigEndian::write_i64(&mut frame[40..48], self.owner_ms);
        BigEndian::write_u64(&mut frame[48..56], self.flushed.0);
        BigEndian::write_u64(&mut frame[56..64], self.committed.0);
        let sum = checksum(frame);
        BigEndian::write_u32(&mut frame[12..16], sum);
    }

    /// Reads the header of the frame that should stand at `at`, without its checksum.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(bytes: &[u8], secret: u64, at: Offset) -> Result<Self, BadFrame> {
        let head = bytes.get(..HEADER_BYTES).ok_or(BadFrame::Short)?;
        if BigEndian::read_u32(&head[0..4]) != MAGIC {
            return Err(BadFrame::Magic);
        }
        if head[4] != VERSION {
            return Err(BadFrame::Version(head[4]));
        }
        if BigEndian::read_u64(&head[16..24]) != secret && !planted::is(Bug::ForgedFrame) {
            return Err(BadFrame::Secret);
        }
        let stale_accepted = planted::is(Bug::StaleEpochFrame);
        if BigEndian::read_u64(&head[32..40]) != at.0 && !stale_accepted {
            return Err(BadFrame::Position);
        }
        if Epoch(BigEndian::read_u32(&head[24..28])) != at.epoch() && !stale_accepted {
            return Err(BadFrame::Epoch);
        }
        let len = BigEndian::read_u32(&head[8..12]);
        let len_ok = (HEADER_BYTES..=FRAME_BYTES_MAX).contains(&(len as usize))
            && (len as usize).is_multiple_of(ALIGN);
        if !len_ok {
            return Err(BadFrame::Length);
        }
        let wait = match head[5] {
            1 => Wait::Flushed,
            2 => Wait::Appended,
            _ => Wait::Committed,
        };
        Ok(Self {
            wait,
            feature_level: BigEndian::read_u16(&head[6..8]),
            len,
            ops: BigEndian::read_u32(&head[28..32]),
            at,
            owner_ms: BigEndian::read_i64(&head[40..48]),
            flushed: Offset(BigEndian::read_u64(&head[48..56])),
            committed: Offset(BigEndian::read_u64(&head[56..64])),
        })
    }
}

/// The checksum of a whole frame: CRC-32C of everything but the checksum field.
fn checksum(frame: &[u8]) -> u32 {
    hash::checksum_more(hash::checksum(&frame[..12]), &frame[16..])
}

/// A frame that passed every check.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// All its bytes.
    pub bytes: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks the frame at the start of `bytes`, which stands at `at` in the log.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(bytes: &'a [u8], secret: u64, at: Offset) -> Result<Self, BadFrame> {
        let header = Header::parse(bytes, secret, at)?;
        let bytes = bytes.get(..header.len as usize).ok_or(BadFrame::Short)?;
        if checksum(bytes) != BigEndian::read_u32(&bytes[12..16]) {
            return Err(BadFrame::Checksum);
        }
        Ok(Self { header, bytes })
    }

    /// The position behind the frame.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.header.at.plus(u64::from(self.header.len))
    }

    /// The stored checksum.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        BigEndian::read_u32(&self.bytes[12..16])
    }

    /// Its operations, in order.
    #[must_use]
    pub fn ops(&self) -> OpReader<'a> {
        OpReader::new(self.bytes)
    }
}

/// Rounds up to the alignment of frames and operations.
#[must_use]
pub const fn aligned(len: usize) -> usize {
    len.div_ceil(ALIGN) * ALIGN
}

#[cfg(test)]
mod tests;
