//! Moving timers' bodies out of a segment that ended: find those that will still pend, have their bucket
//! written, tell the timers where they are.
//!
//! One segment at a time, and some of its timers at a time: all of it happens under the views' lock.

use std::collections::VecDeque;
use std::ops::Range;

use crate::bucket::Entry;
use crate::offset::Offset;
use crate::views::Timers;

/// How many timers are looked at before readers get a chance.
const AT_ONCE: usize = 1024;

/// What is looked for in a segment, and what was found.
#[derive(Debug)]
pub(super) struct Search {
    /// The segment.
    pub(super) segment: Offset,
    /// What was not looked at.
    rest: Range<Offset>,
    /// Timers due later than this are moved, owner milliseconds.
    far_ms: i64,
    /// The timers to be moved: (due, schedule offset, size).
    pub(super) timers: Vec<(i64, Offset, u32)>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Searching(Search),
    Writing,
    /// The bucket is there; entries before the number are told.
    Telling(Offset, Vec<Entry>, usize),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Copier {
    waiting: VecDeque<Offset>,
    stage: Stage,
}

impl Copier {
    /// Takes a segment whose index file is there.
    pub(super) fn push(&mut self, segment: Offset) {
        self.waiting.push_back(segment);
    }

    /// The next segment to be searched; `None` while another is at work.
    pub(super) fn next(&mut self) -> Option<Offset> {
        self.is_idle().then(|| self.waiting.pop_front()).flatten()
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Whether timers are to be told of a bucket.
    pub(super) fn is_telling(&self) -> bool {
        matches!(self.stage, Stage::Telling(..))
    }

    /// Starts on a segment's timers; the ones due later than `far_ms`, owner milliseconds, are moved.
    pub(super) fn search(&mut self, segment: Range<Offset>, far_ms: i64) {
        let search = Search { segment: segment.start, rest: segment, far_ms, timers: Vec::new() };
        self.stage = Stage::Searching(search);
    }

    /// Searches on. What is to be written, which may be nothing, once the whole segment was looked at.
    pub(super) fn found(&mut self, timers: &Timers) -> Option<Search> {
        let Stage::Searching(search) = &mut self.stage else { return None };
        let mut seen = 0;
        for (at, pending) in timers.logged(search.rest.clone()).take(AT_ONCE) {
            seen += 1;
            search.rest.start = at.plus(1);
            if pending.due_ms > search.far_ms {
                search.timers.push((pending.due_ms, at, pending.size));
            }
        }
        if seen == AT_ONCE {
            return None;
        }
        let next = if search.timers.is_empty() { Stage::Idle } else { Stage::Writing };
        match std::mem::replace(&mut self.stage, next) {
            Stage::Searching(search) => Some(search),
            _ => None,
        }
    }

    /// The bucket is there.
    pub(super) fn written(&mut self, segment: Offset, entries: Vec<Entry>) {
        self.stage = Stage::Telling(segment, entries, 0);
    }

    /// The bucket could not be written; the segment has another turn.
    pub(super) fn failed(&mut self, segment: Offset) {
        self.stage = Stage::Idle;
        self.waiting.push_back(segment);
    }

    /// Tells some timers that their records are in the bucket. The segment, once all were told.
    pub(super) fn tell(&mut self, timers: &mut Timers) -> Option<Offset> {
        let Stage::Telling(segment, entries, told) = &mut self.stage else { return None };
        let segment = *segment;
        for (slot, entry) in entries.iter().enumerate().skip(*told).take(AT_ONCE) {
            timers.moved(entry.schedule, segment, u32::try_from(slot).unwrap_or(u32::MAX));
        }
        *told += AT_ONCE;
        if *told < entries.len() {
            return None;
        }
        self.stage = Stage::Idle;
        Some(segment)
    }

    /// Whether it can go on without waiting for anything.
    pub(super) fn has_work(&self) -> bool {
        match self.stage {
            Stage::Idle => !self.waiting.is_empty(),
            Stage::Writing => false,
            Stage::Searching(_) | Stage::Telling(..) => true,
        }
    }
}
