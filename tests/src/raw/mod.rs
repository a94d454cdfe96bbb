//! The bytes on the medium, read by parsers of the simulator's own.
//!
//! They are written from the tables of the formats, not from the store's code, so that an error there cannot
//! hide itself here.

pub mod base;
pub mod frame;
pub mod log;
pub mod record;

pub use frame::{RawFrame, RawOp};
pub use log::RawLog;
pub use record::RawRecord;

/// Big endian, checked reads of untrusted bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn int(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<usize> {
        usize::try_from(self.int(2)?).ok()
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.int(4)?).ok()
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.int(8)
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Option<i64> {
        self.int(8).map(u64::cast_signed)
    }

    /// A text behind its length in two bytes.
    pub fn text(&mut self) -> Option<&'a str> {
        let len = self.u16()?;
        std::str::from_utf8(self.take(len)?).ok()
    }
}

/// A hash of bytes.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
