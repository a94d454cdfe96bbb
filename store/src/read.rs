//! Reading queues: slices of the log, found through the views.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::commitlog::{Records, Wanted};
use crate::engine::{InMemory, build_index};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexFile, Unit};
use crate::offset::Offset;
use crate::record::{Record, TagFilter, layout};
use crate::store::Store;
use crate::views::Located;

/// Units looked at in one read, at most.
pub(crate) const SCAN_MAX: usize = 16_000;

/// Bytes of records that a predicate is asked about in one read, at most; one read of the log more may come on top.
const SCAN_BYTES: usize = 32 << 20;
/// Records, and bytes of them, that a predicate is asked about between two looks at the views.
const SELECT_RECORDS: usize = 256;
const SELECT_BYTES: usize = 1 << 20;

/// The queue offset that a stored record carries.
fn queue_offset(record: &[u8]) -> u64 {
    let field = record.get(layout::QUEUE_OFFSET..).and_then(<[u8]>::first_chunk::<8>);
    field.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue: u32,
    /// The first queue offset.
    pub from: u64,
    /// Messages at most.
    pub max_records: usize,
    /// Bytes of records at most; the first message always comes.
    pub max_bytes: usize,
    /// Which tags.
    pub filter: &'a TagFilter,
}

/// How a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadStatus {
    /// There are messages.
    Found,
    /// What was looked at are blanks or other tags; go on at `next`.
    NoMatch,
    /// The offset is the queue's end.
    AtEnd,
    /// The offset lies beyond the queue's end.
    BeyondEnd,
    /// The offset lies below the queue's oldest message.
    BelowStart,
    /// There is no such topic or queue.
    NoQueue,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadResult {
    /// How it went.
    pub status: ReadStatus,
    /// Whole records, slices of the log where the medium allows it.
    pub records: Records,
    /// Where to go on.
    pub next: u64,
    /// The queue's oldest offset.
    pub min: u64,
    /// The queue's end.
    pub max: u64,
}

/// Units that a read looks at first.
fn first_units(request: &ReadRequest<'_>) -> usize {
    request.max_records.clamp(least_units(request), SCAN_MAX)
}

/// Units worth looking at in one go: some more than are wanted, where tags leave some out.
fn least_units(request: &ReadRequest<'_>) -> usize {
    if request.filter.is_all() { 1 } else { 64 }
}

/// The units at some place of a queue, and the queue offset of the first.
struct Batch {
    first: u64,
    units: Vec<Unit>,
}

impl Store {
    /// The oldest offset and the end of a queue; `None` if there is no such topic, 0..0 for a queue that was
    /// never used.
    #[must_use]
    pub fn queue_range(&self, topic: &str, queue: u32) -> Option<Range<u64>> {
        self.core().views.read().queue_range(topic, queue)
    }

    /// Reads messages of a queue.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the log offset if stored bytes fail a check, or the medium's.
    pub fn read(&self, request: &ReadRequest<'_>) -> Result<ReadResult> {
        let none = |status, range: Range<u64>, next| {
            Ok(ReadResult { status, records: Records::default(), next, min: range.start, max: range.end })
        };
        let (range, mut located) = {
            let views = self.core().views.read();
            let Some(range) = views.queue_range(request.topic, request.queue) else {
                return none(ReadStatus::NoQueue, 0..0, 0);
            };
            let there = (range.start..range.end).contains(&request.from);
            let queue = views.queue(request.topic, request.queue).filter(|_| there);
            (range, queue.map(|queue| queue.locate(request.from, first_units(request))))
        };
        if request.from > range.end {
            return none(ReadStatus::BeyondEnd, range.clone(), range.end);
        }
        if request.from < range.start {
            return none(ReadStatus::BelowStart, range.clone(), range.start);
        }
        if request.from == range.end {
            return none(ReadStatus::AtEnd, range.clone(), range.end);
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        let (mut bytes, mut looked, mut next) = (0, 0, request.from);
        'batches: while wanted.len() < request.max_records && looked < SCAN_MAX {
            let want = (request.max_records - wanted.len()).max(least_units(request)).min(SCAN_MAX - looked);
            let located = located.take().or_else(|| self.locate(request.topic, request.queue, next, want));
            let batch = match self.batch((request.topic, request.queue), located, want) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    next = range.end.max(next);
                    break;
                }
                // What stands before something damaged can be read; the next read tells.
                Err(_) if !wanted.is_empty() => break,
                Err(error) => return Err(error),
            };
            next = batch.first;
            wanted.reserve(batch.units.len().min(want));
            for unit in batch.units {
                if request.filter.matches(unit.tags) {
                    let size = unit.size as usize;
                    let full = wanted.len() == request.max_records || bytes + size > request.max_bytes;
                    if !wanted.is_empty() && full {
                        break 'batches;
                    }
                    bytes += size;
                    let at = Offset(unit.physical_offset);
                    wanted.push(Wanted { at, size: unit.size, queue_offset: next });
                }
                next += 1;
                looked += 1;
            }
        }
        // What stands before something damaged can be read; the next read tells.
        let records = self.core().log.records(&wanted)?;
        if let Some(unread) = wanted.get(records.len()) {
            next = unread.queue_offset;
        }
        let status = if records.is_empty() { ReadStatus::NoMatch } else { ReadStatus::Found };
        Ok(ReadResult { status, records, next, min: range.start, max: range.end.max(next) })
    }

    /// Reads messages of a queue that a predicate over their whole records selects, besides the tags.
    ///
    /// It looks at 16,000 records or 32 MiB of them at most; [`ReadStatus::NoMatch`] then says where to go on.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_where(
        &self,
        request: &ReadRequest<'_>,
        selects: &dyn Fn(&[u8]) -> bool,
    ) -> Result<ReadResult> {
        let (mut kept, mut bytes) = (Records::default(), 0);
        let (mut looked, mut looked_bytes) = (0, 0);
        let mut from = request.from;
        loop {
            let (max_records, max_bytes) = (SELECT_RECORDS, SELECT_BYTES);
            let found = match self.read(&ReadRequest { from, max_records, max_bytes, ..*request }) {
                Err(error) if from == request.from => return Err(error),
                // What stands before something damaged can be read; the next read tells.
                Err(_) => break,
                Ok(found) if from == request.from && found.status != ReadStatus::Found => return Ok(found),
                Ok(found) => found,
            };
            from = found.next;
            for record in found.records.slices() {
                looked_bytes += record.len();
                if !selects(&record) {
                    continue;
                }
                let full = kept.len() == request.max_records || bytes + record.len() > request.max_bytes;
                if !kept.is_empty() && full {
                    let next = queue_offset(&record);
                    return Ok(ReadResult { status: ReadStatus::Found, records: kept, next, ..found });
                }
                bytes += record.len();
                kept.push_slice(record);
            }
            looked += found.records.len();
            let enough =
                looked >= SCAN_MAX || looked_bytes >= SCAN_BYTES || kept.len() == request.max_records;
            if enough || found.status != ReadStatus::Found {
                break;
            }
        }
        let status = if kept.is_empty() { ReadStatus::NoMatch } else { ReadStatus::Found };
        let range = self.queue_range(request.topic, request.queue).unwrap_or(0..from);
        Ok(ReadResult { status, records: kept, next: from, min: range.start, max: range.end.max(from) })
    }

    /// The units at the first filled offset from `from` on; `None` if only blanks follow.
    fn units(&self, topic: &str, queue: u32, from: u64, max: usize) -> Result<Option<Batch>> {
        self.batch((topic, queue), self.locate(topic, queue, from, max), max)
    }

    fn locate(&self, topic: &str, queue: u32, from: u64, max: usize) -> Option<Located> {
        self.core().views.read().queue(topic, queue).map(|queue| queue.locate(from, max))
    }

    /// The units that were located in a queue, at most `max`.
    fn batch(&self, of: (&str, u32), mut located: Option<Located>, max: usize) -> Result<Option<Batch>> {
        let mut built = None;
        loop {
            let (first, index, segment, run) = match located {
                None | Some(Located::End(_)) => return Ok(None),
                Some(Located::Memory { first, units }) => return Ok(Some(Batch { first, units })),
                Some(Located::File { first, index, segment, run }) => (first, index, segment, run),
            };
            let count = run.count.min(u32::try_from(max).unwrap_or(u32::MAX));
            match index.units(run.position, count) {
                Ok(units) => {
                    let units = (0..count as usize).filter_map(|i| units.get(i)).collect();
                    return Ok(Some(Batch { first, units }));
                }
                Err(error) if built == Some(segment) => {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        format!("index of segment {segment}: {error}"),
                    ));
                }
                Err(error) => {
                    tracing::error!(%segment, %error, "an index file is damaged; it is built again");
                    self.rebuild_index(segment)?;
                    built = Some(segment);
                    // Anew, for where state was lost its places may be others than the file's.
                    located = self.locate(of.0, of.1, first, max);
                }
            }
        }
    }

    /// Serves a segment from an index built again in memory: its file is damaged, the log is the truth.
    pub(crate) fn rebuild_index(&self, segment: Offset) -> Result<Arc<IndexFile>> {
        let core = self.core();
        let gone = || Error::new(ErrorKind::NotFound, "the segment was trimmed").at(segment);
        let found = core.log.find(segment).ok_or_else(gone)?;
        let end = found.end().ok_or_else(gone)?;
        let voids: BTreeSet<Offset> = core.views.read().voids_in(segment, end);
        let bytes = build_index(core.log.secret(), &found, &voids)?;
        let unusable = |e| Error::new(ErrorKind::Corrupt, format!("index of segment {segment}: {e}"));
        let index = Arc::new(IndexFile::open(Arc::new(InMemory(bytes.into()))).map_err(unusable)?);
        core.views.write().install_index(segment, &index);
        Ok(index)
    }

    /// The record at a log position that a client names: only one that a queue shows at exactly that position.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for anything else, or the log's errors.
    pub fn record_at(&self, offset: Offset) -> Result<Bytes> {
        let unknown = || Error::new(ErrorKind::NotFound, "no message stands at this offset").at(offset);
        let slice = |len| match self.core().log.slice(offset, len) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(unknown()),
            other => other,
        };
        let size = slice(4)?.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b));
        let record = slice(u64::from(size))?;
        let parsed = Record::parse(&record).map_err(|_| unknown())?;
        let batch =
            self.units(parsed.topic(), parsed.queue(), parsed.queue_offset(), 1)?.ok_or_else(unknown)?;
        let unit = batch.units.first().filter(|_| batch.first == parsed.queue_offset());
        if unit.is_some_and(|u| u.physical_offset == offset.0) { Ok(record) } else { Err(unknown()) }
    }

    /// The queue offset of the first message stored at or after `ms`; the queue's end if there is none.
    ///
    /// # Errors
    /// The log's.
    pub fn offset_by_time(&self, topic: &str, queue: u32, ms: i64) -> Result<Option<u64>> {
        let Some(range) = self.queue_range(topic, queue) else { return Ok(None) };
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.time_from(topic, queue, middle)? {
                Some((at, stored)) if at < high && stored < ms => low = at + 1,
                _ => high = middle,
            }
        }
        Ok(Some(low))
    }

    /// When the message at a queue offset was stored, milliseconds; `None` if there is none.
    ///
    /// # Errors
    /// The log's.
    pub fn store_time_at(&self, topic: &str, queue: u32, offset: u64) -> Result<Option<i64>> {
        Ok(self.time_from(topic, queue, offset)?.filter(|(at, _)| *at == offset).map(|(_, ms)| ms))
    }

    /// The first filled offset from `from` on, and its store time.
    pub(crate) fn time_from(&self, topic: &str, queue: u32, from: u64) -> Result<Option<(u64, i64)>> {
        let Some(batch) = self.units(topic, queue, from, 1)? else { return Ok(None) };
        let Some(unit) = batch.units.first() else { return Ok(None) };
        let record = self.core().log.slice(Offset(unit.physical_offset), u64::from(unit.size))?;
        let damaged = |e| Error::new(ErrorKind::Corrupt, format!("{e}")).at(Offset(unit.physical_offset));
        let stored = Record::parse(&record).map_err(damaged)?.store_ms();
        Ok(Some((batch.first, stored)))
    }
}
