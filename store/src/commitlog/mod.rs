//! The log as readers see it: an ordered map of segments, and cursors over it.
//!
//! Segments and epochs leave gaps between their ends and the next start; this module alone knows of them.

mod records;
pub mod scan;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use backends::{StreamControl, StreamReader};
use bytes::Bytes;
use parking_lot::RwLock;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::BadFrame;
use crate::offset::Offset;

pub use records::Records;

/// The cursors of a store. `committed <= tail`, `flushed <= tail`, `applied <= committed`; none ever goes back.
#[derive(Debug, Default)]
pub struct Cursors {
    tail: AtomicU64,
    flushed: AtomicU64,
    committed: AtomicU64,
    applied: AtomicU64,
    stopped: AtomicBool,
}

macro_rules! cursor {
    ($get:ident, $set:ident, $doc:literal) => {
        #[doc = $doc]
        pub fn $get(&self) -> Offset {
            Offset(self.$get.load(Ordering::Acquire))
        }

        pub(crate) fn $set(&self, to: Offset) {
            // Each is moved by one thread at a time.
            debug_assert!(self.$get.load(Ordering::Relaxed) <= to.0, "cursors never go back");
            self.$get.store(to.0, Ordering::Release);
        }
    };
}

impl Cursors {
    /// All cursors at the end of a log that was opened.
    #[must_use]
    pub fn at(end: Offset) -> Self {
        let cursors = Self::default();
        cursors.set_tail(end);
        cursors.set_flushed(end);
        cursors.set_committed(end);
        cursors.set_applied(end);
        cursors
    }

    /// Whether none of them will move any more.
    pub(crate) fn are_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    cursor!(tail, set_tail, "First unwritten position.");
    cursor!(flushed, set_flushed, "First position not known to be durable on this node.");
    cursor!(committed, set_committed, "First position not safe by the commit rule.");
    cursor!(applied, set_applied, "First position not folded into the views.");
}

/// One segment of the log.
#[derive(Debug)]
pub struct Segment {
    /// Its first offset.
    pub start: Offset,
    end: AtomicU64,
    reader: Arc<dyn StreamReader>,
    control: Option<Arc<dyn StreamControl>>,
    /// Once every frame was checked: the first bad one, and what is wrong with it.
    checked: OnceLock<Option<(Offset, BadFrame)>>,
}

const OPEN: u64 = u64::MAX;

impl Segment {
    /// The segment that is being written.
    pub(crate) fn open(
        start: Offset,
        reader: Arc<dyn StreamReader>,
        control: Arc<dyn StreamControl>,
    ) -> Self {
        Self {
            start,
            end: AtomicU64::new(OPEN),
            reader,
            control: Some(control),
            checked: OnceLock::from(None),
        }
    }

    /// A segment that ended at `end`; `checked` says whether its frames were checked since the store opened.
    pub(crate) fn ended(start: Offset, end: Offset, reader: Arc<dyn StreamReader>, checked: bool) -> Self {
        let checked = if checked { OnceLock::from(None) } else { OnceLock::new() };
        Self { start, end: AtomicU64::new(end.0), reader, control: None, checked }
    }

    /// Where its last frame ends, `None` while it is written.
    pub fn end(&self) -> Option<Offset> {
        let end = self.end.load(Ordering::Acquire);
        (end != OPEN).then_some(Offset(end))
    }

    pub(crate) fn set_end(&self, end: Offset) {
        self.end.store(end.0, Ordering::Release);
    }

    pub(crate) fn control(&self) -> Option<&Arc<dyn StreamControl>> {
        self.control.as_ref()
    }

    /// Bytes of it that belong to frames.
    pub fn len_bytes(&self) -> u64 {
        self.end().map_or_else(|| self.reader.published(), |end| end.0 - self.start.0)
    }

    /// Bytes `[from, from + len)` of the log, which must lie within this segment's frames.
    pub(crate) fn slice(&self, from: Offset, len: u64) -> Result<Bytes> {
        let at = from.0 - self.start.0;
        let end = at.checked_add(len).filter(|end| *end <= self.len_bytes());
        let end = end.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such bytes in the log").at(from))?;
        self.reader
            .read(at..end)
            .map_err(|e| Error::io(format!("cannot read the log segment {}", self.start), e).at(from))
    }

    /// All its frames' bytes.
    pub(crate) fn bytes(&self) -> Result<Bytes> {
        self.slice(self.start, self.len_bytes())
    }

    /// Bytes `[from, from + len)`; every frame of the segment is checked first, once since the store opened. What
    /// stands in front of the first bad one can be read.
    fn checked(&self, secret: u64, from: Offset, len: u64) -> Result<Bytes> {
        let bad = match self.checked.get() {
            Some(bad) => *bad,
            None => {
                let walk = scan::walk(&self.bytes()?, secret, self.start);
                *self.checked.get_or_init(|| walk.bad.map(|bad| (walk.end, bad)))
            }
        };
        match bad {
            Some((at, bad)) if from.0.saturating_add(len) > at.0 => Err(bad.error(at)),
            _ => self.slice(from, len),
        }
    }
}

/// Bytes between two records that are read with them rather than left out.
const GAP_BYTES: u64 = 16 << 10;
/// Bytes of one slice with several records, at most.
const RUN_BYTES_MAX: u64 = 1 << 30;

/// A record that is wanted: its log position, its size, its offset in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) at: Offset,
    pub(crate) size: u32,
    pub(crate) queue_offset: u64,
}

impl Wanted {
    fn end(&self) -> Offset {
        self.at.plus(u64::from(self.size))
    }
}

/// How many of these, at least one, follow each other closely and end by `limit`; and where the last ends.
fn run(wanted: &[Wanted], limit: Offset) -> (usize, Offset) {
    let mut end = wanted.first().map_or(limit, Wanted::end);
    let follows = wanted.iter().skip(1).take_while(|next| {
        let close = next.at >= end && next.at.0 - end.0 <= GAP_BYTES && next.end() <= limit;
        if close {
            end = next.end();
        }
        close
    });
    (1 + follows.count(), end)
}

type Segments = Arc<Vec<Arc<Segment>>>;

/// The ordered segments of the log. Cheap to read; changed on roll and trim only.
#[derive(Debug)]
pub struct Log {
    secret: u64,
    segments: RwLock<Segments>,
}

impl Log {
    pub(crate) fn new(secret: u64, segments: Vec<Arc<Segment>>) -> Self {
        Self { secret, segments: RwLock::new(Arc::new(segments)) }
    }

    /// The log's secret.
    pub(crate) fn secret(&self) -> u64 {
        self.secret
    }

    /// A snapshot of the segments, in order.
    pub fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read())
    }

    pub(crate) fn push(&self, segment: Arc<Segment>) {
        let mut guard = self.segments.write();
        let mut segments = guard.as_ref().clone();
        segments.push(segment);
        *guard = Arc::new(segments);
    }

    /// Takes the segments below `start` out of the map.
    pub(crate) fn drop_below(&self, start: Offset) -> Vec<Arc<Segment>> {
        let mut guard = self.segments.write();
        let (gone, kept): (Vec<_>, Vec<_>) =
            guard.iter().cloned().partition(|s| s.end().is_some_and(|end| end <= start) && s.start < start);
        *guard = Arc::new(kept);
        gone
    }

    /// The segment that holds position `at`.
    pub fn find(&self, at: Offset) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let i = segments.partition_point(|s| s.start <= at);
        segments.get(i.checked_sub(1)?).cloned()
    }

    /// The first segment that starts at or above `at`.
    fn next(&self, at: Offset) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        segments.get(segments.partition_point(|s| s.start < at)).cloned()
    }

    /// Where a reader that stands at `at` goes on: `at` itself, or the next segment's start where one ended here.
    pub fn onward(&self, at: Offset) -> Offset {
        match self.find(at) {
            Some(s) if s.end() != Some(at) => at,
            _ => self.next(at).map_or(at, |s| s.start),
        }
    }

    /// `len` bytes from `at`, owned; a segment not checked since the store opened is checked first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where they are not in the log, [`ErrorKind::Corrupt`] where they fail a check.
    pub fn slice(&self, at: Offset, len: u64) -> Result<Bytes> {
        let gone = || Error::new(ErrorKind::NotFound, "the log does not hold this position").at(at);
        self.find(at).ok_or_else(gone)?.checked(self.secret, at, len)
    }

    /// The records that are wanted, in their order; ones that stand close together are parts of one slice. Fewer
    /// where one cannot be had: those before it.
    ///
    /// # Errors
    /// As [`slice`](Self::slice), where the first cannot be had.
    pub(crate) fn records(&self, wanted: &[Wanted]) -> Result<Records> {
        let mut records = Records::with_capacity(wanted.len());
        let mut rest = wanted;
        while !rest.is_empty() {
            match self.next_run(rest, &mut records) {
                Ok(later) => rest = later,
                Err(error) if records.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(records)
    }

    /// Adds the first record, of which there is one, and those that stand close to it; gives those that are left.
    fn next_run<'a>(&self, wanted: &'a [Wanted], records: &mut Records) -> Result<&'a [Wanted]> {
        let Wanted { at, size, .. } = wanted[0];
        let gone = || Error::new(ErrorKind::NotFound, "the log does not hold this position").at(at);
        let segment = self.find(at).ok_or_else(gone)?;
        let limit = segment.start.plus(segment.len_bytes()).min(at.plus(RUN_BYTES_MAX));
        let (mut count, end) = run(wanted, limit);
        let whole = segment.checked(self.secret, at, end.0 - at.0).or_else(|_| {
            count = 1; // one that cannot be read does not take those before it along
            segment.checked(self.secret, at, u64::from(size))
        })?;
        records.push_run(whole);
        let (these, later) = wanted.split_at(count);
        these.iter().for_each(|record| records.push(record.at.0 - at.0, record.size));
        Ok(later)
    }

    /// Published frames from `at` on: the bytes up to `limit` or the segment's end, and where they start.
    pub(crate) fn published(&self, at: Offset, limit: Offset) -> Result<Option<(Offset, Bytes)>> {
        let at = self.onward(at);
        if at >= limit {
            return Ok(None);
        }
        let Some(segment) = self.find(at) else {
            return Ok(None);
        };
        let end = segment.end().unwrap_or(limit).min(limit);
        Ok(Some((at, segment.slice(at, end.0 - at.0)?)))
    }

    /// Bytes of all segments together.
    pub fn len_bytes(&self) -> u64 {
        self.segments.read().iter().map(|s| s.len_bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_close_together_are_read_as_one_run() {
        let at = |from: u64, size| Wanted { at: Offset(from), size, queue_offset: 0 };
        let far = 300 + GAP_BYTES + 1;
        let places = [at(0, 100), at(100, 50), at(200, 100), at(far, 100)];
        assert_eq!(run(&places, Offset(u64::MAX)), (3, Offset(300)));
        assert_eq!(run(&places, Offset(299)), (2, Offset(150)), "the segment ends within the third");
        assert_eq!(run(&places[2..], Offset(u64::MAX)), (1, Offset(300)));
        assert_eq!(run(&[at(100, 50), at(0, 100)], Offset(1000)), (1, Offset(150)), "never backwards");
    }
}
