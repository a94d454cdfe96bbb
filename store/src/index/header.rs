//! The header of an index file.

use super::IndexError;
use super::layout::{
    DIRECTORY_BYTES_MAX, HEADER_BYTES, HEADER_CRC, KEY_BYTES, MAGIC, QUEUE_BYTES_MIN, UNIT_BYTES, VERSION,
};
use crate::hash::checksum;
use crate::record::Cursor;

/// What an index file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Checksum of the segment's last frame, as the writer of the segment knows it.
    pub last_frame_crc: u32,
    /// Log offset of the segment's first byte.
    pub segment_start: u64,
    /// Log offset behind the segment's last frame.
    pub segment_end: u64,
    /// Smallest owner time of a frame, and so of a record's store time, ms since 1970.
    pub first_store_ms: i64,
    /// Largest owner time of a frame, and so of a record's store time, ms since 1970.
    pub last_store_ms: i64,
    /// Queues in the directory.
    pub queues: u32,
    /// Units in the file.
    pub units: u32,
    /// Keys in the file.
    pub keys: u32,
    /// Checksum of the directory.
    pub directory_crc: u32,
    /// Position of the units in bytes; the directory ends there.
    pub units_at: u64,
    /// Position of the keys in bytes; the units end there.
    pub keys_at: u64,
    /// Bytes of the whole file; the keys end there.
    pub file_len: u64,
    /// Checksum of the units.
    pub units_crc: u32,
    /// Checksum of the keys.
    pub keys_crc: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.last_frame_crc.to_be_bytes());
        out.extend_from_slice(&self.segment_start.to_be_bytes());
        out.extend_from_slice(&self.segment_end.to_be_bytes());
        out.extend_from_slice(&self.first_store_ms.to_be_bytes());
        out.extend_from_slice(&self.last_store_ms.to_be_bytes());
        out.extend_from_slice(&self.queues.to_be_bytes());
        out.extend_from_slice(&self.units.to_be_bytes());
        out.extend_from_slice(&self.keys.to_be_bytes());
        out.extend_from_slice(&self.directory_crc.to_be_bytes());
        out.extend_from_slice(&self.units_at.to_be_bytes());
        out.extend_from_slice(&self.keys_at.to_be_bytes());
        out.extend_from_slice(&self.file_len.to_be_bytes());
        out.extend_from_slice(&self.units_crc.to_be_bytes());
        out.extend_from_slice(&self.keys_crc.to_be_bytes());
        out.extend_from_slice(&checksum(&out).to_be_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&out);
        header
    }

    /// Reads the header of a file of `file_len` bytes.
    pub(super) fn decode(bytes: &[u8], file_len: u64) -> Result<Self, IndexError> {
        let (covered, crc) =
            bytes.split_at_checked(HEADER_CRC).ok_or(corrupt(0, "too short for a header"))?;
        let mut fields = Cursor::new(covered);
        if fields.take(MAGIC.len()) != Some(&MAGIC) {
            return Err(corrupt(0, "magic"));
        }
        if crc != checksum(covered).to_be_bytes() {
            return Err(corrupt(HEADER_CRC as u64, "header checksum"));
        }
        let header = Self::fields(&mut fields)?;
        header.check(file_len)?;
        Ok(header)
    }

    /// The fields from the version on.
    fn fields(fields: &mut Cursor<'_>) -> Result<Self, IndexError> {
        let short = || corrupt(0, "too short for a header");
        match fields.u32().ok_or_else(short)? {
            VERSION => {}
            found => return Err(IndexError::Version { found }),
        }
        Ok(Self {
            last_frame_crc: fields.u32().ok_or_else(short)?,
            segment_start: fields.u64().ok_or_else(short)?,
            segment_end: fields.u64().ok_or_else(short)?,
            first_store_ms: fields.i64().ok_or_else(short)?,
            last_store_ms: fields.i64().ok_or_else(short)?,
            queues: fields.u32().ok_or_else(short)?,
            units: fields.u32().ok_or_else(short)?,
            keys: fields.u32().ok_or_else(short)?,
            directory_crc: fields.u32().ok_or_else(short)?,
            units_at: fields.u64().ok_or_else(short)?,
            keys_at: fields.u64().ok_or_else(short)?,
            file_len: fields.u64().ok_or_else(short)?,
            units_crc: fields.u32().ok_or_else(short)?,
            keys_crc: fields.u32().ok_or_else(short)?,
        })
    }

    /// Compares what the header says with the file's length and with itself.
    fn check(&self, file_len: u64) -> Result<(), IndexError> {
        let checks = [
            (self.file_len == file_len, 80, "file length"),
            (self.segment_start <= self.segment_end, 24, "segment ends before it starts"),
            (self.units_at >= HEADER_BYTES as u64, 64, "directory ends before it starts"),
            (self.units_at <= file_len, 64, "directory ends behind the file"),
            (self.units_at <= DIRECTORY_BYTES_MAX, 64, "directory is too long"),
            (after(self.units_at, self.units, UNIT_BYTES) == Some(self.keys_at), 72, "length of the units"),
            (after(self.keys_at, self.keys, KEY_BYTES) == Some(self.file_len), 80, "length of the keys"),
            (
                after(HEADER_BYTES as u64, self.queues, QUEUE_BYTES_MIN) <= Some(self.units_at),
                48,
                "more queues than the directory can hold",
            ),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            Some((_, at, check)) => Err(corrupt(at, check)),
            None => Ok(()),
        }
    }
}

/// The position behind `count` things of `bytes` each; `None` if there is none.
fn after(at: u64, count: u32, bytes: usize) -> Option<u64> {
    at.checked_add(u64::from(count).checked_mul(bytes as u64)?)
}

pub(super) const fn corrupt(at: u64, check: &'static str) -> IndexError {
    IndexError::Corrupt { at, check }
}
