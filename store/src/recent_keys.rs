//! The keys of segments that have no index file yet: the open one, and those that ended just now.
//!
//! Nothing is kept for them on the way of a message: hashing two keys of each would cost every append what only a query
//! needs. The first query reads the frames once and keeps 16 bytes a key; later ones read what came since.

use std::collections::BTreeMap;

use crate::commitlog::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Op};
use crate::hash::key_hash;
use crate::offset::Offset;
use crate::record::Record;

/// Keys that are kept, all segments together: 64 MiB. What lies behind them is read by each query.
const KEYS_MAX: usize = 4 << 20;

/// Keys of segments without an index file, by the first offset of the segment.
#[derive(Debug)]
pub(crate) struct RecentKeys {
    segments: BTreeMap<Offset, Keys>,
    /// Keys that are kept at most.
    max: usize,
}

impl Default for RecentKeys {
    fn default() -> Self {
        Self { segments: BTreeMap::new(), max: KEYS_MAX }
    }
}

#[derive(Debug, Default)]
struct Keys {
    /// Key hash and record position, in log order.
    found: Vec<(u64, Offset)>,
    /// Everything below is in `found`; `None` before anything was read.
    upto: Option<Offset>,
}

impl RecentKeys {
    /// Forgets segments up to one that has an index file: index files are written in order.
    pub(crate) fn indexed(&mut self, segment: Offset) {
        self.segments = self.segments.split_off(&segment.plus(1));
    }

    /// Positions below `applied` of records in `segment` with a key of this hash, ascending; refused records may be
    /// among them, and records with another key.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a frame or record fails a check, or the medium's.
    pub(crate) fn find(
        &mut self,
        log: &Log,
        segment: Offset,
        applied: Offset,
        hash: u64,
    ) -> Result<Vec<Offset>> {
        let others: usize =
            self.segments.iter().filter(|(at, _)| **at != segment).map(|s| s.1.found.len()).sum();
        let room = self.max.saturating_sub(others);
        let keys = self.segments.entry(segment).or_default();
        let from = keys.upto.unwrap_or(segment);
        let (mut matching, mut upto) = (Vec::new(), from);
        walk(log, segment, from..applied, |frame, found| {
            if keys.found.len() + found.len() <= room && upto == frame.start {
                keys.found.extend_from_slice(found);
                upto = frame.end;
            } else {
                matching.extend(found.iter().filter(|(other, _)| *other == hash).map(|(_, at)| *at));
            }
        })?;
        keys.upto = Some(upto);
        let kept = keys.found.iter().filter(|(other, _)| *other == hash).map(|(_, at)| *at);
        let mut all: Vec<Offset> = kept.chain(matching).collect();
        all.dedup();
        Ok(all)
    }
}

/// Shows the keys of each frame of `segment` that starts within `range`, in order.
fn walk(
    log: &Log,
    segment: Offset,
    range: std::ops::Range<Offset>,
    mut each: impl FnMut(std::ops::Range<Offset>, &[(u64, Offset)]),
) -> Result<()> {
    let Some(part) = log.find(segment).filter(|part| part.start == segment) else { return Ok(()) };
    let end = segment.plus(part.len_bytes()).min(range.end);
    if range.start >= end {
        return Ok(());
    }
    let bytes = part.slice(range.start, end.0 - range.start.0)?;
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let start = range.start.plus(at as u64);
        let damaged = |why: String| Error::new(ErrorKind::Corrupt, format!("damaged log: {why}")).at(start);
        let frame =
            Frame::parse(&bytes[at..], log.secret(), start).map_err(|bad| damaged(bad.to_string()))?;
        found.clear();
        for op in frame.ops() {
            let (record_at, record) = match op.map_err(|bad| damaged(format!("operation {}", bad.at)))? {
                Op::Append { at, record, .. } | Op::Fire { at, record, .. } => (at, record),
                _ => continue,
            };
            let record = Record::parse(record).map_err(|e| damaged(e.to_string()))?;
            let place = start.plus(u64::from(record_at));
            found.extend(record.index_keys().map(|key| (key_hash(record.topic(), key), place)));
        }
        at += frame.bytes.len();
        each(start..range.start.plus(at as u64), &found);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backends::MemoryBackend;

    use super::*;
    use crate::{ManualClock, Message, Options, Store};

    #[test]
    fn what_there_is_no_room_to_keep_is_found_all_the_same() {
        let options = Options { threads: false, segment_bytes: 1 << 20, ..Options::default() };
        let clock = Arc::new(ManualClock::new(1));
        let store = Store::open_on(Arc::new(MemoryBackend::new()), clock, options).unwrap();
        let mut keys = RecentKeys { max: 25, ..RecentKeys::default() };
        let mut sent = Vec::new();
        for i in 0..50 {
            let message = Message::new("t", "x").property("KEYS", format!("k{} only{i}", i % 2));
            let offset = store.append(message).unwrap().wait().unwrap().offset;
            sent.push(offset);
            let (log, applied) = (&store.core().log, store.stats().applied);
            let segment = log.find(offset).unwrap().start;
            let mut find = |key: &str| keys.find(log, segment, applied, key_hash("t", key)).unwrap();
            let even: Vec<Offset> = sent.iter().copied().step_by(2).collect();
            assert_eq!((find("k0"), find(&format!("only{i}"))), (even, vec![offset]));
            assert!(keys.segments[&segment].found.len() <= 25);
        }
        let segment = *keys.segments.keys().next().unwrap();
        keys.indexed(segment);
        assert!(keys.segments.is_empty());
    }
}
