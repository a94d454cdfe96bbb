//! A due bucket: the bodies of timers that outlive their segment, copied out of it when it was sealed.
//!
//! An [envelope](crate::envelope) around header and directory; the records behind them have checksums of their own.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 20 | 4 | entries | how many timers |
//! | 24 | 8 | segment | first offset of the segment that they were scheduled in |
//! | 32 | 8 | stream length | bytes of the whole stream, records included |
//!
//! The directory follows, 32 bytes an entry in order of (due, schedule offset), then the records.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | due | owner milliseconds |
//! | 8 | 8 | schedule | the timer: position of its record in the log |
//! | 16 | 8 | position | first byte of the record in this stream |
//! | 24 | 4 | size | bytes of the record |
//! | 28 | 4 | checksum | CRC-32C of the record |

use std::sync::Arc;

use backends::StreamReader;
use bytes::Bytes;

use crate::codec::{Malformed, Reader, Writer, fill};
use crate::envelope::{Envelope, HEAD_BYTES};
use crate::error::{Error, Result};
use crate::hash::checksum;
use crate::offset::Offset;
use crate::record::layout::RECORD_BYTES_MAX;

/// `MSD1`.
pub const MAGIC: u32 = u32::from_be_bytes(*b"MSD1");
/// The format version of buckets.
pub const VERSION: u32 = 1;
/// Bytes of the header, envelope included.
pub const HEADER_BYTES: usize = 40;
/// Bytes of a directory entry.
pub const ENTRY_BYTES: usize = 32;

/// Header and directory together, bytes at most: they are read into memory whole.
pub const DIRECTORY_BYTES_MAX: u64 = 1 << 30;

/// `(field, offset, size)` of the header behind the envelope's head, in order.
pub const HEADER_FIELDS: &[(&str, usize, usize)] =
    &[("entries", 20, 4), ("segment", 24, 8), ("stream length", 32, 8)];
/// `(field, offset, size)` of a directory entry, in order.
pub const ENTRY_FIELDS: &[(&str, usize, usize)] =
    &[("due", 0, 8), ("schedule", 8, 8), ("position", 16, 8), ("size", 24, 4), ("checksum", 28, 4)];

const _: () = assert!(fill(HEADER_FIELDS, HEAD_BYTES, HEADER_BYTES) && fill(ENTRY_FIELDS, 0, ENTRY_BYTES));

/// What header and directory are wrapped in.
pub const ENVELOPE: Envelope<'_> =
    Envelope { what: "due bucket", magic: MAGIC, version: VERSION, bytes_max: DIRECTORY_BYTES_MAX };

/// One timer of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it is due, owner milliseconds.
    pub due_ms: i64,
    /// The timer.
    pub schedule: Offset,
    /// First byte of its record in the stream.
    pub position: u64,
    /// Bytes of its record.
    pub size: u32,
    checksum: u32,
}

/// Builds a bucket's bytes from the timers of one segment: (due, schedule offset, record).
#[must_use]
pub fn encode(segment: Offset, mut timers: Vec<(i64, Offset, Bytes)>) -> Vec<u8> {
    timers.sort_by_key(|(due, schedule, _)| (*due, *schedule));
    let mut position = (HEADER_BYTES + timers.len() * ENTRY_BYTES) as u64;
    let total: u64 = position + timers.iter().map(|t| t.2.len() as u64).sum::<u64>();
    let mut rest = Writer::default();
    let count = u32::try_from(timers.len()).unwrap_or(u32::MAX);
    rest.u32(count).u64(segment.0).u64(total);
    for (due, schedule, record) in &timers {
        let size = u32::try_from(record.len()).unwrap_or(u32::MAX);
        rest.i64(*due).u64(schedule.0).u64(position).u32(size).u32(checksum(record));
        position += u64::from(size);
    }
    let mut out = ENVELOPE.seal(&rest.0);
    for (_, _, record) in &timers {
        out.extend_from_slice(record);
    }
    out
}

/// A bucket that can be read.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The segment that its timers were scheduled in.
    pub segment: Offset,
    /// How many timers it holds, fired ones included.
    pub entries: u32,
    reader: Arc<dyn StreamReader>,
}

impl Bucket {
    /// Opens a bucket and checks its header and directory.
    ///
    /// # Errors
    /// As [`Envelope::open`]; `Corrupt` too if a length differs; or the medium's.
    pub fn open(reader: Arc<dyn StreamReader>) -> Result<Self> {
        let head = read(&reader, 0, HEAD_BYTES as u64)?;
        let checked = read(&reader, 0, ENVELOPE.length(&head)?)?;
        let mut r = Reader::new(ENVELOPE.open(&checked)?);
        let fields = (|| Ok::<_, Malformed>((r.u32()?, r.u64()?, r.u64()?)))();
        let (entries, segment, stream_len) = fields.map_err(|Malformed| corrupt("header cut short"))?;
        if r.rest().len() as u64 != u64::from(entries) * ENTRY_BYTES as u64 {
            return Err(corrupt("length of the directory differs"));
        }
        if stream_len != reader.published() {
            return Err(corrupt("length of the stream differs"));
        }
        Ok(Self { segment: Offset(segment), entries, reader })
    }

    /// Its timers, in order of (due, schedule offset).
    ///
    /// # Errors
    /// The medium's.
    pub fn directory(&self) -> Result<Vec<Entry>> {
        self.part(0, self.entries)
    }

    /// Up to `count` timers of the directory from `slot` on.
    ///
    /// # Errors
    /// The medium's.
    pub fn part(&self, slot: u32, count: u32) -> Result<Vec<Entry>> {
        let count = count.min(self.entries.saturating_sub(slot));
        let at = HEADER_BYTES as u64 + u64::from(slot) * ENTRY_BYTES as u64;
        let bytes = read(&self.reader, at, u64::from(count) * ENTRY_BYTES as u64)?;
        let mut r = Reader::new(&bytes);
        let entries = std::iter::from_fn(|| entry(&mut r).ok());
        Ok(entries.collect())
    }

    /// The first slot whose timer is this one or behind it in order of (due, schedule offset); reads a few entries.
    ///
    /// # Errors
    /// The medium's.
    pub fn slot_at(&self, due_ms: i64, schedule: Offset) -> Result<u32> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            if (entry.due_ms, entry.schedule) < (due_ms, schedule) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// What the directory says of the timer in `slot`.
    ///
    /// # Errors
    /// `Corrupt` if there is no such slot, or the medium's.
    pub fn entry(&self, slot: u32) -> Result<Entry> {
        if slot >= self.entries {
            return Err(corrupt("no such slot"));
        }
        let at = HEADER_BYTES as u64 + u64::from(slot) * ENTRY_BYTES as u64;
        let bytes = read(&self.reader, at, ENTRY_BYTES as u64)?;
        entry(&mut Reader::new(&bytes)).map_err(|Malformed| corrupt("entry cut short"))
    }

    /// The record of the timer in `slot`, checked.
    ///
    /// # Errors
    /// `Corrupt` if it fails its checksum, or the medium's.
    pub fn record(&self, slot: u32) -> Result<Bytes> {
        let entry = self.entry(slot)?;
        if entry.size as usize > RECORD_BYTES_MAX {
            return Err(corrupt("length of a record").at(entry.schedule));
        }
        let record = read(&self.reader, entry.position, u64::from(entry.size))?;
        if checksum(&record) != entry.checksum {
            return Err(corrupt("record checksum differs").at(entry.schedule));
        }
        Ok(record)
    }
}

fn entry(r: &mut Reader<'_>) -> std::result::Result<Entry, Malformed> {
    Ok(Entry {
        due_ms: r.i64()?,
        schedule: Offset(r.u64()?),
        position: r.u64()?,
        size: r.u32()?,
        checksum: r.u32()?,
    })
}

fn read(reader: &Arc<dyn StreamReader>, at: u64, len: u64) -> Result<Bytes> {
    let end = at.checked_add(len).filter(|end| *end <= reader.published());
    let end = end.ok_or_else(|| corrupt("cut short"))?;
    reader.read(at..end).map_err(|e| Error::io("cannot read a due bucket", e))
}

fn corrupt(what: &str) -> Error {
    ENVELOPE.corrupt(what)
}
