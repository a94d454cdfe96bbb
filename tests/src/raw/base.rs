//! A base generation and a due bucket, as far as the simulator looks into them.

use super::Bytes;

/// What a base says.
#[derive(Debug, Clone)]
pub struct RawBase {
    /// First offset that is not folded in.
    pub at: u64,
    /// First offset of the log that it may refer to.
    pub start: u64,
    /// Schedules of pending timers whose record it refers to in the log.
    pub logged: Vec<u64>,
    /// Positions of refused records.
    pub voids: Vec<u64>,
    /// Segments whose buckets it names.
    pub buckets: Vec<u64>,
}

impl RawBase {
    /// Reads a base; `None` if it is none, or damaged.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Bytes(bytes);
        let (magic, version) = (r.take(4)?, r.u32()?);
        let (len, crc) = (usize::try_from(r.u64()?).ok()?, r.u32()?);
        let covered = [bytes.get(..16)?, bytes.get(20..len)?].concat();
        if magic != b"MSB1" || !(1..=2).contains(&version) || crc32c::crc32c(&covered) != crc {
            return None;
        }
        let (at, start, _digest) = (r.u64()?, r.u64()?, r.u64()?);
        r.take(9 + 12)?;
        for _ in 0..r.u64()? {
            r.text()?;
            if r.u8()? != 0 {
                r.take(14)?;
            }
            for _ in 0..r.u32()? {
                r.u64()?;
            }
        }
        for _ in 0..r.u64()? {
            r.text()?;
            r.take(10)?;
        }
        for _ in 0..r.u64()? {
            r.text()?;
            r.text()?;
            r.take(12)?;
        }
        let mut voids = Vec::new();
        for _ in 0..r.u64()? {
            voids.push(r.u64()?);
        }
        for _ in 0..r.u64()? {
            r.take(16)?;
        }
        let mut logged = Vec::new();
        for _ in 0..r.u64()? {
            logged.push(r.u64()?);
            r.take(12)?;
        }
        let mut buckets = Vec::new();
        for _ in 0..r.u64()? {
            buckets.push(r.u64()?);
            let entries = r.u32()? as usize;
            r.take(entries.div_ceil(8))?;
        }
        Some(Self { at, start, logged, voids, buckets })
    }
}

/// The schedules in the directory of a due bucket.
#[must_use]
pub fn bucket_schedules(bytes: &[u8]) -> Vec<u64> {
    let read = || {
        let mut r = Bytes(bytes);
        if r.take(4)? != b"MSD1" {
            return None;
        }
        r.take(16)?;
        let entries = r.u32()?;
        r.take(16)?;
        let mut found = Vec::new();
        for _ in 0..entries {
            r.i64()?;
            found.push(r.u64()?);
            r.take(16)?;
        }
        Some(found)
    };
    read().unwrap_or_default()
}
