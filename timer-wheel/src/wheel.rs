//! The wheel itself.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use crate::arena::{Arena, Key};
use crate::chunk::{CHUNK, Pool, Stack};
use crate::level::{LEVELS, Levels, Place, SLOTS, SPARE_DEAD};

/// A timer wheel holding items of type `T`; see the [crate documentation](crate).
///
/// Times are ticks counted from any epoch, one millisecond each by convention; the wheel only compares them.
pub struct Wheel<T> {
    /// Latest time the owner has told.
    now: u64,
    /// Position of the wheel: at most `now`, and no timer in `levels` is due before it.
    base: u64,
    /// Timers waiting.
    len: usize,
    arena: Arena<T>,
    levels: Levels,
    pool: Pool,
    free: Stack,
    overdue: Overdue,
    /// Slots visited and entries walked over.
    #[cfg(test)]
    pub(crate) steps: u64,
}

/// A cascade of at most so many timers brings their cells into cache, since they fire soon.
const TOUCH: u32 = 1024;

/// Timers inserted with a due time that the position had already left behind.
///
/// They come before everything in the levels, ordered by (due, insertion).
#[derive(Debug, Default)]
struct Overdue {
    /// (due, insertion, index); the top is never dead.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    inserted: u64,
    dead: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel at time `now`.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self::build(now, 0, 0)
    }

    /// An empty wheel at time `now` that will not allocate while at most `timers` timers wait, not counting
    /// those inserted overdue.
    ///
    /// Reserves address space for half as many again, since that many cancelled timers may still be queued;
    /// what is never used is never touched.
    #[must_use]
    pub fn with_capacity(now: u64, timers: usize) -> Self {
        let cells = timers + timers / 2 + LEVELS * SLOTS * (SPARE_DEAD as usize + 1);
        // Every slot may hold one chunk partly filled; the slot being drained, the free list and a walk in
        // progress hold another.
        let chunks = cells.div_ceil(usize::from(CHUNK)) + LEVELS * SLOTS + 4;
        Self::build(now, cells, chunks)
    }

    fn build(now: u64, cells: usize, chunks: usize) -> Self {
        Self {
            now,
            base: now,
            len: 0,
            arena: Arena::with_capacity(cells),
            levels: Levels::new(),
            pool: Pool::with_capacity(chunks),
            free: Stack::default(),
            overdue: Overdue::default(),
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

    /// Adds a timer due at tick `due`. O(1), or O(log n) in the number of overdue timers for a timer that
    /// is due before one that already fired or before the time last drained.
    ///
    /// With `due` at or before [`now`](Self::now) the timer is due at once and takes its place, in order of
    /// (due, insertion), among all that wait.
    ///
    /// # Panics
    ///
    /// With 2³² − 1 timers in memory.
    #[inline]
    pub fn insert(&mut self, due: u64, item: T) -> Key {
        if let Some(next) = self.free.fresh_chunk(&self.pool) {
            self.arena.touch(next.iter().copied());
        }
        let key = match self.free.pop(&mut self.pool) {
            Some(index) => self.arena.reuse(index, due, item),
            None => self.arena.push(due, item),
        };
        if due < self.base {
            self.overdue.push(due, key.index);
        } else {
            self.levels.push(&mut self.pool, Place::of(due, self.base), due, key.index);
        }
        self.len += 1;
        key
    }

    /// Takes a timer out before it fires; `None` if it fired or was cancelled already.
    ///
    /// O(1) amortised: the item is returned at once, its queue entry stays until the slot is next walked,
    /// and a slot of which a third is dead is walked at once. A single call may thus cost O(timers that
    /// share the slot).
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let (due, item) = self.arena.cancel(key)?;
        self.len -= 1;
        if due < self.base {
            self.overdue.dead += 1;
            self.tidy_overdue();
        } else {
            let place = Place::of(due, self.base);
            let slot = self.levels.slot_mut(place);
            slot.live -= 1;
            slot.dead += 1;
            slot.exact &= due != slot.earliest;
            self.tidy(place);
        }
        Some(item)
    }

    /// Due time and item of a waiting timer; `None` if it fired or was cancelled. O(1).
    #[must_use]
    pub fn get(&self, key: Key) -> Option<(u64, &T)> {
        self.arena.get(key)
    }

    /// The earliest due time, exactly; `None` if no timer waits.
    ///
    /// O(1), except after the earliest timer was cancelled: then, until the next
    /// [`pop`](Self::pop), O(timers in the earliest slot). That is at most the timers due in the same
    /// 64ᵏ ticks if the earliest is due in less than 64ᵏ⁺¹.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        if let Some(Reverse((due, _, _))) = self.overdue.heap.peek() {
            return Some(*due);
        }
        self.levels.first().map(|place| self.earliest(place))
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
        if !self.overdue.heap.is_empty() {
            return self.pop_overdue(now);
        }
        if now < self.base {
            return None;
        }
        loop {
            self.count_step();
            let Some(place) = self.levels.first() else { break };
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
            let timer = self.arena.take(entry.index);
            self.free.push(&mut self.pool, entry.index);
            if timer.is_some() {
                slot.live -= 1;
                self.len -= 1;
                self.tidy(place);
                return timer;
            }
            slot.dead -= 1;
            self.arena.reap(entry.index);
            self.count_step();
        }
    }

    /// Moves the timers of a slot that the position has entered to lower levels.
    fn cascade(&mut self, place: Place, start: u64) {
        let mut slot = self.levels.detach(place);
        let any_dead = slot.dead > 0;
        if slot.live <= TOUCH {
            self.arena.touch(slot.queue.iter(&self.pool));
        }
        while let Some(entry) = slot.queue.pop(&mut self.pool) {
            self.count_step();
            if any_dead && self.arena.reap(entry.index) {
                self.free.push(&mut self.pool, entry.index);
                continue;
            }
            let due = place.due(start, entry).or_else(|| self.arena.due(entry.index)).unwrap_or(start);
            self.levels.push(&mut self.pool, Place::of(due, self.base), due, entry.index);
        }
    }

    /// After `live` or `dead` changed: frees a slot with nothing live in it, compacts one with much dead.
    #[inline]
    fn tidy(&mut self, place: Place) {
        let slot = self.levels.slot(place);
        if slot.live == 0 {
            let mut slot = self.levels.detach(place);
            while let Some(entry) = slot.queue.pop(&mut self.pool) {
                self.count_step();
                self.arena.reap(entry.index);
                self.free.push(&mut self.pool, entry.index);
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
        while let Some(entry) = queue.pop(&mut self.pool) {
            if self.arena.reap(entry.index) {
                self.free.push(&mut self.pool, entry.index);
            } else {
                slot.queue.push(&mut self.pool, entry);
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
        let live = slot.queue.iter(&self.pool).filter(|entry| !self.arena.is_dead(entry.index));
        let dues = live.filter_map(|entry| place.due(start, entry).or_else(|| self.arena.due(entry.index)));
        dues.min().unwrap_or(slot.earliest)
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
        // Nothing in the levels is due before the position, and all of these are.
        let Reverse((_, _, index)) = *self.overdue.heap.peek().filter(|top| top.0.0 <= now)?;
        self.overdue.heap.pop();
        let timer = self.arena.take(index);
        self.free.push(&mut self.pool, index);
        self.len -= 1;
        self.tidy_overdue();
        timer
    }

    /// Frees dead timers at the top of the heap, and all of them once they are many.
    #[cold]
    fn tidy_overdue(&mut self) {
        let Overdue { heap, dead, .. } = &mut self.overdue;
        while *dead > 0 {
            let Some(Reverse((_, _, index))) = heap.peek().copied() else { break };
            if !self.arena.reap(index) {
                break;
            }
            heap.pop();
            *dead -= 1;
            self.free.push(&mut self.pool, index);
        }
        if *dead > (heap.len() - *dead) / 2 + SPARE_DEAD as usize {
            *dead = 0;
            heap.retain(|Reverse((_, _, index))| {
                let reaped = self.arena.reap(*index);
                if reaped {
                    self.free.push(&mut self.pool, *index);
                }
                !reaped
            });
        }
    }

    #[inline]
    fn count_step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

impl Overdue {
    #[cold]
    fn push(&mut self, due: u64, index: u32) {
        self.heap.push(Reverse((due, self.inserted, index)));
        self.inserted += 1;
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now", &self.now)
            .field("len", &self.len)
            .field("next_due", &self.next_due())
            .finish_non_exhaustive()
    }
}
