//! Consume queues: for each queue the units of its visible messages, in order.
//!
//! A queue is a list of parts, one a segment that holds messages of it: units in memory while the segment
//! has no index file, the runs of its index file afterwards. Between runs lie blanks: offsets that were given
//! and whose record was refused, or that a queue skip passed over. Readers go over them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::index::{IndexFile, Run, Unit};
use crate::offset::Offset;

/// Units at consecutive queue offsets, in memory.
#[derive(Debug, Clone, Default)]
struct MemoryRun {
    first: u64,
    units: Vec<Unit>,
}

#[derive(Debug)]
enum Source {
    Memory(Vec<MemoryRun>),
    File(Arc<IndexFile>, Vec<Run>),
}

#[derive(Debug)]
struct Part {
    segment: Offset,
    source: Source,
}

impl Part {
    fn first(&self) -> u64 {
        match &self.source {
            Source::Memory(runs) => runs.first().map_or(u64::MAX, |r| r.first),
            Source::File(_, runs) => runs.first().map_or(u64::MAX, |r| r.first),
        }
    }

    fn end(&self) -> u64 {
        match &self.source {
            Source::Memory(runs) => runs.last().map_or(0, |r| r.first + r.units.len() as u64),
            Source::File(_, runs) => runs.last().map_or(0, |r| r.end()),
        }
    }
}

/// One queue.
#[derive(Debug, Default)]
pub struct Queue {
    /// The next offset that it gives. Outlives the deletion of its topic.
    pub end: u64,
    parts: VecDeque<Part>,
}

/// Where the units from some queue offset on are.
#[derive(Debug, Clone)]
pub enum Located {
    /// Units in memory, copied.
    Memory {
        /// Queue offset of the first of them.
        first: u64,
        /// The units.
        units: Vec<Unit>,
    },
    /// Units in an index file.
    File {
        /// Queue offset of the first of them.
        first: u64,
        /// The file.
        index: Arc<IndexFile>,
        /// The segment that the file is of.
        segment: Offset,
        /// The run, from that first unit on.
        run: Run,
    },
    /// There is nothing at or above that offset; the queue ends here.
    End(u64),
}

impl Queue {
    /// A queue that was never used; `first` is the offset that it gives first.
    pub(super) fn new(first: u64) -> Self {
        Self { end: first, parts: VecDeque::new() }
    }

    /// The offset of its oldest message; its end where it has none.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.parts.front().map_or(self.end, |p| p.first().min(self.end))
    }

    /// Adds the unit of a message in `segment`.
    pub fn push(&mut self, segment: Offset, at: u64, unit: Unit) {
        self.end = self.end.max(at + 1);
        if self.parts.back().is_none_or(|p| p.segment != segment) {
            self.parts.push_back(Part { segment, source: Source::Memory(Vec::new()) });
        }
        let Some(Part { source: Source::Memory(runs), .. }) = self.parts.back_mut() else {
            return; // the segment's index file holds it already
        };
        match runs.last_mut() {
            Some(run) if run.first + run.units.len() as u64 == at => run.units.push(unit),
            _ => runs.push(MemoryRun { first: at, units: vec![unit] }),
        }
    }

    /// An offset that was given and has no message.
    pub fn blank(&mut self, at: u64) {
        self.end = self.end.max(at + 1);
    }

    /// Serves `segment` from its index file from now on.
    pub fn serve_from(&mut self, segment: Offset, index: &Arc<IndexFile>, runs: &[Run]) {
        let part = Part { segment, source: Source::File(Arc::clone(index), runs.to_vec()) };
        if let Some(last) = runs.last() {
            self.end = self.end.max(last.end());
        }
        let i = self.parts.partition_point(|p| p.segment < segment);
        match self.parts.get_mut(i) {
            Some(present) if present.segment == segment => *present = part,
            _ => self.parts.insert(i, part),
        }
    }

    /// Forgets what lies in segments below `start`.
    pub fn trim(&mut self, start: Offset) {
        while self.parts.front().is_some_and(|p| p.segment < start) {
            self.parts.pop_front();
        }
    }

    /// The segments with messages of it, in order, and the index file of each that has one.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Offset, Option<&Arc<IndexFile>>)> {
        self.parts.iter().map(|part| match &part.source {
            Source::Memory(_) => (part.segment, None),
            Source::File(index, _) => (part.segment, Some(index)),
        })
    }

    /// The first units at or above `from`, at most `max` of them where they have to be copied.
    #[must_use]
    pub fn locate(&self, from: u64, max: usize) -> Located {
        let i = self.parts.partition_point(|p| p.end() <= from);
        let Some(part) = self.parts.get(i) else {
            return Located::End(self.end);
        };
        match &part.source {
            Source::Memory(runs) => {
                let r = runs.partition_point(|r| r.first + r.units.len() as u64 <= from);
                let Some(run) = runs.get(r) else {
                    return Located::End(self.end);
                };
                let first = from.max(run.first);
                let skip = usize::try_from(first - run.first).unwrap_or(usize::MAX);
                Located::Memory { first, units: run.units.iter().skip(skip).take(max).copied().collect() }
            }
            Source::File(index, runs) => {
                let r = runs.partition_point(|r| r.end() <= from);
                let Some(run) = runs.get(r) else {
                    return Located::End(self.end);
                };
                let first = from.max(run.first);
                let skip = u32::try_from(first - run.first).unwrap_or(u32::MAX);
                let run = Run { first, count: run.count - skip, position: run.position + skip };
                Located::File { first, index: Arc::clone(index), segment: part.segment, run }
            }
        }
    }
}
