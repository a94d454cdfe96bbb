//! An open index file.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backends::StreamReader;
use bytes::Bytes;

use super::directory::{Directory, Run};
use super::header::{Header, corrupt};
use super::layout::{HEADER_BYTES, KEY_BYTES, UNIT_BYTES};
use super::{IndexError, Unit};
use crate::hash::checksum_more;
use crate::planted::{self, Bug};
use crate::record::Cursor;

/// Bytes read at once when a section is checked.
const CHECK_BYTES: u64 = 1 << 20;
/// Keys among which a search stops asking the medium and reads all of them.
const KEYS_READ: u64 = 256;

/// The index file of one sealed segment. Only its directory is kept in memory; many threads may read.
#[derive(Debug)]
pub struct IndexFile {
    reader: Arc<dyn StreamReader>,
    header: Header,
    directory: Directory,
    units_checked: AtomicBool,
    keys_checked: AtomicBool,
}

impl IndexFile {
    /// Opens an index file: reads and checks header and directory, and nothing else.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Io`] if the medium fails;
    /// - [`IndexError::Version`] if the file is of another version;
    /// - [`IndexError::Corrupt`] otherwise; the file is to be built again.
    pub fn open(reader: Arc<dyn StreamReader>) -> Result<Self, IndexError> {
        let file_len = reader.published();
        if file_len < HEADER_BYTES as u64 {
            return Err(corrupt(file_len, "too short for a header"));
        }
        let header = Header::decode(&reader.read(0..HEADER_BYTES as u64)?, file_len)?;
        let directory = Directory::decode(&reader.read(HEADER_BYTES as u64..header.units_at)?, &header)?;
        let (units_checked, keys_checked) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { reader, header, directory, units_checked, keys_checked })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The queues with a unit in the segment, sorted by topic, then queue, and their runs in order.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = (&str, u32, &[Run])> {
        self.directory.queues()
    }

    /// The runs of one queue in order; `None` if it has no unit in the segment.
    pub fn runs(&self, topic: &str, queue: u32) -> Option<&[Run]> {
        self.directory.find(topic, queue)
    }

    /// `count` units from number `position` of the file on; a [`Run`] says where its own are.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Range`] if the file has no such units;
    /// - [`IndexError::Corrupt`] if the units do not have their checksum, looked at until it is found right;
    /// - [`IndexError::Io`] if the medium fails.
    pub fn units(&self, position: u32, count: u32) -> Result<Units, IndexError> {
        let units = self.header.units;
        if position.checked_add(count).is_none_or(|end| end > units) {
            return Err(IndexError::Range { position, count, units });
        }
        let section = self.header.units_at..self.header.keys_at;
        self.check(&self.units_checked, section, self.header.units_crc, "units checksum")?;
        let at = self.header.units_at + u64::from(position) * UNIT_BYTES as u64;
        let bytes = self.reader.read(at..at + u64::from(count) * UNIT_BYTES as u64)?;
        Ok(Units { bytes })
    }

    /// Positions of the records with a key of this hash ([`crate::hash::key_hash`]), ascending, each once.
    ///
    /// Different keys may share a hash: who asks compares the record's own keys.
    ///
    /// # Errors
    ///
    /// - [`IndexError::Corrupt`] if the keys do not have their checksum, looked at until it is found right;
    /// - [`IndexError::Io`] if the medium fails.
    pub fn find_key(&self, hash: u64) -> Result<Vec<u64>, IndexError> {
        let section = self.header.keys_at..self.header.file_len;
        self.check(&self.keys_checked, section, self.header.keys_crc, "keys checksum")?;
        let keys = u64::from(self.header.keys);
        let (mut low, mut high) = (0, keys);
        while high - low > KEYS_READ {
            let middle = low.midpoint(high);
            match self.keys(middle..middle + 1)?.next() {
                Some((found, _)) if found < hash => low = middle + 1,
                _ => high = middle,
            }
        }
        // Everything below `low` is smaller; what is read from there on is sorted.
        let mut found = Vec::new();
        while low < keys {
            let to = keys.min(low + KEYS_READ);
            for (other, offset) in self.keys(low..to)? {
                if other > hash {
                    return Ok(found);
                }
                if other == hash {
                    found.push(offset);
                }
            }
            low = to;
        }
        Ok(found)
    }

    /// The keys with these numbers.
    fn keys(&self, range: Range<u64>) -> Result<impl Iterator<Item = (u64, u64)> + use<>, IndexError> {
        let at = |number| self.header.keys_at + number * KEY_BYTES as u64;
        let bytes = self.reader.read(at(range.start)..at(range.end))?;
        let count = bytes.len() / KEY_BYTES;
        Ok((0..count).map_while(move |number| {
            let mut fields = Cursor::new(bytes.get(number * KEY_BYTES..)?);
            Some((fields.u64()?, fields.u64()?))
        }))
    }

    /// Compares a section with its checksum, until that was right once.
    fn check(
        &self,
        checked: &AtomicBool,
        section: Range<u64>,
        crc: u32,
        check: &'static str,
    ) -> Result<(), IndexError> {
        if checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (mut at, mut computed) = (section.start, 0);
        while at < section.end {
            let to = section.end.min(at + CHECK_BYTES);
            computed = checksum_more(computed, &self.reader.read(at..to)?);
            at = to;
        }
        if computed != crc && !planted::is(Bug::IndexUnchecked) {
            return Err(corrupt(section.start, check));
        }
        checked.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Units of an index file, in order; they stay readable after the file is removed.
#[derive(Debug, Clone)]
pub struct Units {
    bytes: Bytes,
}

impl Units {
    /// The unit with this number among these.
    pub fn get(&self, number: usize) -> Option<Unit> {
        let at = number.checked_mul(UNIT_BYTES)?;
        Unit::decode(self.bytes.get(at..at.checked_add(UNIT_BYTES)?)?)
    }
}

impl Iterator for Units {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let unit = self.get(0)?;
        bytes::Buf::advance(&mut self.bytes, UNIT_BYTES);
        Some(unit)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.bytes.len() / UNIT_BYTES;
        (len, Some(len))
    }
}

impl ExactSizeIterator for Units {}
