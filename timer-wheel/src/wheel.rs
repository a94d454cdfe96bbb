//! The wheel itself.

use std::fmt;

use crate::chunk::{CHUNK, Pool};
use crate::heap::Heap;
use crate::level::{ALL_SLOTS, Levels, Place, SPARE_DEAD, due};
use crate::waiting::{Key, Waiting};

/// A timer wheel holding items of type `T`; see the [crate documentation](crate).
///
/// Times are ticks counted from any epoch, one millisecond each by convention; the wheel only compares them.
pub struct Wheel<T> {
    /// Latest time the owner has told.
    now: u64,
    /// Position of the wheel: at most `now`, and no timer outside `overdue` is due before it.
    base: u64,
    /// Timers waiting.
    len: usize,
    waiting: Waiting,
    levels: Levels,
    pool: Pool<T>,
    /// Timers inserted with a due time that the position had already left behind.
    overdue: Heap<T>,
    /// Timers for which [`Place::of`] knows no slot yet.
    far: Heap<T>,
    /// Slots visited and entries walked over.
    #[cfg(test)]
    pub(crate) steps: u64,
}

/// A cascade of at most so many timers looks up their bits, many at a time: they fire before what was looked
/// up leaves the cache.
const TOUCH: u32 = 2048;

impl<T: Copy> Wheel<T> {
    /// An empty wheel at time `now`.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self::build(now, 0, 0)
    }

    /// An empty wheel at time `now` that will not allocate while at most `timers` timers wait, not counting
    /// those inserted overdue or beyond the last level.
    ///
    /// Reserves address space for half as many again, since that many cancelled timers may still be queued;
    /// what is never used is never touched.
    #[must_use]
    pub fn with_capacity(now: u64, timers: usize) -> Self {
        let queued = timers + timers / 2 + ALL_SLOTS * (SPARE_DEAD as usize + 1);
        // Every slot may hold one chunk partly filled; the slot being drained and a walk in progress hold
        // another.
        let chunks = queued.div_ceil(usize::from(CHUNK)) + ALL_SLOTS + 4;
        Self::build(now, queued, chunks)
    }

    fn build(now: u64, queued: usize, chunks: usize) -> Self {
        Self {
            now,
            base: now,
            len: 0,
            waiting: Waiting::with_capacity(queued),
            levels: Levels::new(),
            pool: Pool::with_capacity(chunks),
            overdue: Heap::new(),
            far: Heap::new(),
            #[cfg(test)]
            steps: 0,
        }
    }

    /// The latest time given to [`pop`](Self::pop) or [`advance`](Self::advance), or the initial one.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Timers waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the timer of `key` waits, that is, has neither fired nor been cancelled. O(1).
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.waiting.holds(key)
    }

    /// Adds a timer due at tick `due`. O(1), but O(log n) in the number of their like for a timer that is due
    /// before one that already fired or before the time last drained, and for one due beyond the last level
    /// (see the [crate documentation](crate)).
    ///
    /// With `due` at or before [`now`](Self::now) the timer is due at once and takes its place, in order of
    /// (due, insertion), among all that wait.
    ///
    /// # Panics
    ///
    /// With 2³² timers in memory, or from 2²⁷ on if all others inserted near them have left.
    #[inline]
    pub fn insert(&mut self, due: u64, item: T) -> Key {
        let key = self.waiting.add(due);
        if due < self.base {
            self.overdue.push(due, key.index, item);
        } else if let Some(place) = Place::of(due, self.base) {
            self.levels.push(&mut self.pool, place, due, (key.index, item));
        } else {
            self.far.push(due, key.index, item);
        }
        self.len += 1;
        key
    }

    /// Ends a timer before it fires; `false` if it fired or was cancelled already.
    ///
    /// O(1) amortised: its entry stays queued until the slot is next walked, and a slot of which a third is
    /// dead is walked at once. A single call may thus cost O(timers that share the slot).
    #[inline]
    pub fn cancel(&mut self, key: Key) -> bool {
        if !self.waiting.cancel(key) {
            return false;
        }
        self.len -= 1;
        if key.due() < self.base {
            self.overdue.cancelled(&mut self.waiting);
        } else if let Some(place) = Place::of(key.due(), self.base) {
            let slot = self.levels.slot_mut(place);
            slot.live -= 1;
            slot.dead += 1;
            slot.exact &= key.due() != slot.earliest;
            self.tidy(place);
        } else {
            self.far.cancelled(&mut self.waiting);
        }
        true
    }

    /// The earliest due time, exactly; `None` if no timer waits.
    ///
    /// O(1), except after the earliest timer was cancelled: then, until the next
    /// [`pop`](Self::pop), O(timers in the earliest slot). That is at most the timers due in the same
    /// 256ᵏ ticks if the earliest is due in less than 256ᵏ⁺¹.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let in_levels = || self.levels.first().map(|place| self.earliest(place));
        self.overdue.first_due().or_else(in_levels).or_else(|| self.far.first_due())
    }

    /// Takes the next timer due at or before `now`, in order of (due, insertion), and moves the wheel's time
    /// to `now`; `None` if none is due. A bounded drain calls it in a loop.
    ///
    /// Time never goes back: a `now` before [`Wheel::now`] does not move it, and yields only timers due at
    /// or before that smaller `now`.
    ///
    /// Each timer is moved at most once per level between insertion and expiry, so this is O(1) amortised;
    /// empty time costs nothing, however long. A call that enters a new slot of a higher level pays for all
    /// timers in that slot.
    #[inline]
    pub fn pop(&mut self, now: u64) -> Option<(u64, T)> {
        self.now = self.now.max(now);
        if self.overdue.first_due().is_some() {
            return self.pop_overdue(now);
        }
        if now < self.base {
            return None;
        }
        loop {
            self.count_step();
            let Some(place) = self.levels.first() else {
                if self.enter_far(now) {
                    continue;
                }
                break;
            };
            let start = place.start(self.base);
            if start > now {
                self.refresh(place);
                break;
            }
            if place.level() == 0 {
                self.base = start;
                return self.take_first(place);
            }
            self.refresh(place);
            let slot = self.levels.slot(place);
            let (earliest, live) = (slot.earliest, slot.live);
            if earliest <= now && live == 1 {
                self.base = earliest;
                return self.take_first(place);
            }
            self.base = earliest.min(now);
            self.cascade(place, start);
            if earliest > now {
                break;
            }
        }
        self.base = now;
        None
    }

    /// Pops every timer due at or before `now` and hands each to `fire` with its due time.
    ///
    /// If `fire` panics, the timer it was given is gone and all others still wait.
    pub fn advance(&mut self, now: u64, mut fire: impl FnMut(u64, T)) {
        while let Some((due, item)) = self.pop(now) {
            fire(due, item);
        }
    }

    /// Takes the first live timer of a slot whose earliest due time is the position.
    #[inline]
    fn take_first(&mut self, place: Place) -> Option<(u64, T)> {
        loop {
            let slot = self.levels.slot_mut(place);
            // A slot in use holds a live entry, so the queue does not run out.
            let entry = slot.queue.pop(&mut self.pool)?;
            let dead = slot.dead > 0 && self.waiting.is_dead(entry.index);
            self.waiting.remove(entry.index);
            if !dead {
                slot.live -= 1;
                self.len -= 1;
                self.tidy(place);
                return Some((self.base, entry.item));
            }
            slot.dead -= 1;
            self.count_step();
        }
    }

    /// Moves the timers of a slot that the position has entered to lower levels.
    fn cascade(&mut self, place: Place, start: u64) {
        let mut slot = self.levels.detach(place);
        while let Some(mut run) = slot.queue.pop_run(&mut self.pool) {
            if slot.dead > 0 || slot.live <= TOUCH {
                self.waiting.touch(run.entries());
            }
            if slot.dead > 0 {
                run.retain(|index| self.waiting.reap(index));
            }
            for entry in run.entries() {
                self.count_step();
                let due = due(start, entry);
                // A slot's timers share all digits above it with the position that entered it.
                if let Some(place) = Place::of(due, self.base) {
                    self.levels.push(&mut self.pool, place, due, (entry.index, entry.item));
                }
            }
        }
    }

    /// If the levels are empty and `now` has come as far as the first of the far timers, moves the position
    /// there and all timers that then have a slot into the levels.
    #[cold]
    fn enter_far(&mut self, now: u64) -> bool {
        let Some(first) = self.far.first_due().filter(|due| *due <= now || Place::of(*due, now).is_some())
        else {
            return false;
        };
        self.base = first.min(now);
        while let Some(place) = self.far.first_due().and_then(|due| Place::of(due, self.base)) {
            let Some(timer) = self.far.pop(&mut self.waiting) else { break };
            self.count_step();
            self.levels.push(&mut self.pool, place, timer.due, (timer.index, timer.item));
        }
        true
    }

    /// After `live` or `dead` changed: frees a slot with nothing live in it, compacts one with much dead.
    #[inline]
    fn tidy(&mut self, place: Place) {
        let slot = self.levels.slot(place);
        if slot.live == 0 {
            let mut slot = self.levels.detach(place);
            while let Some(entry) = slot.queue.pop(&mut self.pool) {
                self.count_step();
                self.waiting.remove(entry.index);
            }
        } else if slot.wants_compaction() {
            self.compact(place);
        }
    }

    /// Walks over a slot and lets go of what is dead; what lives keeps its order.
    #[cold]
    fn compact(&mut self, place: Place) {
        let slot = self.levels.slot_mut(place);
        slot.dead = 0;
        let mut queue = std::mem::take(&mut slot.queue);
        while let Some(mut run) = queue.pop_run(&mut self.pool) {
            self.waiting.touch(run.entries());
            run.retain(|index| self.waiting.reap(index));
            for entry in run.entries() {
                slot.queue.push(&mut self.pool, *entry);
            }
        }
    }

    /// Earliest due time of an occupied slot.
    #[inline]
    fn earliest(&self, place: Place) -> u64 {
        let slot = self.levels.slot(place);
        if slot.exact { slot.earliest } else { self.find_earliest(place) }
    }

    #[cold]
    fn find_earliest(&self, place: Place) -> u64 {
        let start = place.start(self.base);
        if place.level() == 0 {
            return start;
        }
        let slot = self.levels.slot(place);
        let live = slot.queue.iter(&self.pool).filter(|entry| !self.waiting.is_dead(entry.index));
        live.map(|entry| due(start, &entry)).min().unwrap_or(slot.earliest)
    }

    /// Makes a slot's earliest due time exact.
    #[inline]
    fn refresh(&mut self, place: Place) {
        if !self.levels.slot(place).exact {
            let earliest = self.find_earliest(place);
            let slot = self.levels.slot_mut(place);
            slot.earliest = earliest;
            slot.exact = true;
        }
    }

    #[cold]
    fn pop_overdue(&mut self, now: u64) -> Option<(u64, T)> {
        // Nothing else is due before the position, and all of these are.
        self.overdue.first_due().filter(|due| *due <= now)?;
        let timer = self.overdue.pop(&mut self.waiting)?;
        self.waiting.remove(timer.index);
        self.len -= 1;
        Some((timer.due, timer.item))
    }

    /// Chunks and blocks ever used.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> (usize, usize) {
        (self.pool.chunks(), self.waiting.blocks())
    }

    #[inline]
    fn count_step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

impl<T: Copy> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now", &self.now)
            .field("len", &self.len)
            .field("next_due", &self.next_due())
            .finish_non_exhaustive()
    }
}
