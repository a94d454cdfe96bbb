//! The timers that are pending: one view of schedules, fires and cancels.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};

use timer_wheel::{Key, Wheel};
use xxhash_rust::xxh3::xxh3_64;

use crate::hash::OffsetHasher;
use crate::offset::Offset;

/// Where a pending timer's record can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the log, where it was scheduled.
    Log,
    /// In a due bucket.
    Bucket {
        /// The segment that the bucket is of.
        segment: Offset,
        /// Its slot there.
        slot: u32,
    },
}

/// A pending timer.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// When it is due, owner milliseconds.
    pub due_ms: i64,
    /// Bytes of its record.
    pub size: u32,
    /// Where its record is.
    pub place: Place,
    key: Key,
}

/// All pending timers, and the cancelled ones that are still answered for.
#[derive(Debug)]
pub struct Timers {
    pending: HashMap<Offset, Pending, BuildHasherDefault<OffsetHasher>>,
    wheel: Wheel<Offset>,
    /// Those of `pending` whose record is only in the log.
    logged: BTreeSet<Offset>,
    /// How many of `pending` each bucket holds, by its segment; none is zero.
    bucketed: BTreeMap<Offset, usize>,
    /// Their due times, owner milliseconds: a handle with another one names no timer.
    cancelled: BTreeMap<Offset, i64>,
    /// How many times a record came to be somewhere else; whoever looks at timers in parts compares it.
    moves: u64,
    digest: u64,
    /// What [`next_due_ms`](Self::next_due_ms) found last, or `UNKNOWN`: finding it may mean looking at a whole
    /// slot, and it is asked for at every step.
    next_ms: AtomicI64,
}

const UNKNOWN: i64 = i64::MIN;
const NEVER: i64 = i64::MAX;

impl Timers {
    /// No timers; `now_ms` is the owner's time.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self {
            pending: HashMap::default(),
            wheel: Wheel::new(tick(now_ms)),
            logged: BTreeSet::new(),
            bucketed: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            moves: 0,
            digest: 0,
            next_ms: AtomicI64::new(NEVER),
        }
    }

    /// How many are pending.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pending.len()
    }

    /// A pending timer.
    #[must_use]
    pub fn get(&self, schedule: Offset) -> Option<&Pending> {
        self.pending.get(&schedule)
    }

    /// Adds a timer. A schedule offset is never used twice.
    pub fn insert(&mut self, schedule: Offset, due_ms: i64, size: u32, place: Place) {
        let key = self.wheel.insert(tick(due_ms), schedule);
        let before = self.pending.insert(schedule, Pending { due_ms, size, place, key });
        debug_assert!(before.is_none(), "a schedule offset is never used twice");
        self.note(schedule, place);
        let next_ms = self.next_ms.get_mut();
        *next_ms = (*next_ms).min(due_ms); // an unknown one stays unknown
        self.digest ^= fingerprint(schedule, due_ms, size);
    }

    /// Ends a timer; `None` if it is not pending or `due_ms` is not its due time.
    pub fn remove(&mut self, schedule: Offset, due_ms: i64) -> Option<Pending> {
        let pending = *self.pending.get(&schedule).filter(|p| p.due_ms == due_ms)?;
        self.pending.remove(&schedule);
        self.wheel.cancel(pending.key);
        self.forget(schedule, pending.place);
        if due_ms <= *self.next_ms.get_mut() {
            *self.next_ms.get_mut() = UNKNOWN;
        }
        self.digest ^= fingerprint(schedule, pending.due_ms, pending.size);
        Some(pending)
    }

    /// Ends a timer and remembers that it was cancelled.
    pub fn cancel(&mut self, schedule: Offset, due_ms: i64) -> bool {
        let ended = self.remove(schedule, due_ms).is_some();
        if ended {
            self.cancelled.insert(schedule, due_ms);
        }
        ended
    }

    /// Whether this timer was cancelled, as far back as the log goes.
    #[must_use]
    pub fn was_cancelled(&self, schedule: Offset, due_ms: i64) -> bool {
        self.cancelled.get(&schedule) == Some(&due_ms)
    }

    pub(crate) fn remember_cancelled(&mut self, schedule: Offset, due_ms: i64) {
        self.cancelled.insert(schedule, due_ms);
    }

    /// The cancelled ones and their due times, in order.
    pub fn cancelled(&self) -> impl ExactSizeIterator<Item = (Offset, i64)> + '_ {
        self.cancelled.iter().map(|(schedule, due_ms)| (*schedule, *due_ms))
    }

    /// The next due time, owner milliseconds.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<i64> {
        let mut next_ms = self.next_ms.load(Ordering::Relaxed);
        if next_ms == UNKNOWN {
            next_ms = self.wheel.next_due().map_or(NEVER, |t| i64::try_from(t).unwrap_or(NEVER));
            self.next_ms.store(next_ms, Ordering::Relaxed);
        }
        (next_ms != NEVER).then_some(next_ms)
    }

    /// Hands out the next timer that is due at `now_ms`, once. It stays pending until its fire is applied.
    pub fn pop_due(&mut self, now_ms: i64) -> Option<Offset> {
        *self.next_ms.get_mut() = UNKNOWN;
        loop {
            let (_, schedule) = self.wheel.pop(tick(now_ms))?;
            if self.pending.contains_key(&schedule) {
                return Some(schedule);
            }
        }
    }

    /// All pending ones, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Offset, &Pending)> {
        self.pending.iter().map(|(schedule, pending)| (*schedule, pending))
    }

    /// The pending ones in a part of the log whose record is only there, in order.
    pub fn logged(&self, range: Range<Offset>) -> impl Iterator<Item = (Offset, &Pending)> {
        self.logged.range(range).filter_map(|schedule| Some((*schedule, self.pending.get(schedule)?)))
    }

    /// How many of the pending ones have their record only in the log.
    #[must_use]
    pub fn logged_count(&self) -> usize {
        self.logged.len()
    }

    /// The first pending one whose record is only in the log.
    #[must_use]
    pub fn first_logged(&self) -> Option<Offset> {
        self.logged.first().copied()
    }

    /// The segments whose buckets hold pending ones, in order.
    pub fn buckets(&self) -> impl Iterator<Item = Offset> + '_ {
        self.bucketed.keys().copied()
    }

    /// Says that a timer's record is also in a bucket, if it pends; readers use that from now on.
    pub fn moved(&mut self, schedule: Offset, segment: Offset, slot: u32) {
        let Some(pending) = self.pending.get_mut(&schedule) else { return };
        let place = Place::Bucket { segment, slot };
        let before = std::mem::replace(&mut pending.place, place);
        self.moves += 1;
        self.forget(schedule, before);
        self.note(schedule, place);
    }

    /// How many times a pending timer's record came to be somewhere else.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves
    }

    fn note(&mut self, schedule: Offset, place: Place) {
        match place {
            Place::Log => drop(self.logged.insert(schedule)),
            Place::Bucket { segment, .. } => *self.bucketed.entry(segment).or_default() += 1,
        }
    }

    fn forget(&mut self, schedule: Offset, place: Place) {
        let Place::Bucket { segment, .. } = place else {
            self.logged.remove(&schedule);
            return;
        };
        if let Some(count) = self.bucketed.get_mut(&segment) {
            *count -= 1;
            if *count == 0 {
                self.bucketed.remove(&segment);
            }
        }
    }

    /// Forgets cancelled timers that were scheduled below `start`.
    pub fn trim(&mut self, start: Offset) {
        self.cancelled = self.cancelled.split_off(&start);
    }

    /// The same for the same set of timers, in whatever order it came to be.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// The wheel's tick of an owner time: one a millisecond, and nothing was ever due before 1970.
fn tick(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

fn fingerprint(schedule: Offset, due_ms: i64, size: u32) -> u64 {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&schedule.0.to_be_bytes());
    bytes[8..16].copy_from_slice(&due_ms.to_be_bytes());
    bytes[16..].copy_from_slice(&size.to_be_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_due_time_is_the_wheels_whatever_happened() {
        let mut timers = Timers::new(1_000);
        let mut random = 7_u64;
        let mut handles: Vec<(Offset, i64)> = Vec::new();
        for step in 0..4_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = (random >> 33) as usize;
            match pick % 5 {
                0..=2 => {
                    let due_ms = 500 + i64::try_from(pick % 90_000).unwrap();
                    timers.insert(Offset(step), due_ms, 1, Place::Log);
                    handles.push((Offset(step), due_ms));
                }
                3 if !handles.is_empty() => {
                    let (at, due_ms) = handles.swap_remove(pick % handles.len());
                    timers.cancel(at, due_ms);
                }
                _ => drop(timers.pop_due(1_000 + i64::try_from(step).unwrap())),
            }
            let exact = timers.wheel.next_due().map(|due| i64::try_from(due).unwrap());
            assert_eq!(timers.next_due_ms(), exact, "step {step}");
        }
    }
}
