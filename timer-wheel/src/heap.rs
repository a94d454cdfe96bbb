//! A heap beside the levels, for timers whose due time has no slot.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::level::SPARE_DEAD;
use crate::waiting::Waiting;

/// A timer, ordered by (due, insertion).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer<T> {
    pub(crate) due: u64,
    inserted: u64,
    pub(crate) index: u32,
    pub(crate) item: T,
}

impl<T> Ord for Timer<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.inserted).cmp(&(other.due, other.inserted))
    }
}

impl<T> PartialOrd for Timer<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Timer<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Timer<T> {}

/// The heap. Its top is never dead, and of the rest at most one in three (plus 8).
#[derive(Debug)]
pub(crate) struct Heap<T> {
    timers: BinaryHeap<Reverse<Timer<T>>>,
    inserted: u64,
    dead: usize,
}

impl<T: Copy> Heap<T> {
    pub(crate) fn new() -> Self {
        Self { timers: BinaryHeap::new(), inserted: 0, dead: 0 }
    }

    /// O(log n).
    #[cold]
    pub(crate) fn push(&mut self, due: u64, index: u32, item: T) {
        self.timers.push(Reverse(Timer { due, inserted: self.inserted, index, item }));
        self.inserted += 1;
    }

    /// Due time of the first timer. O(1).
    #[inline]
    pub(crate) fn first_due(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse(timer)| timer.due)
    }

    /// Takes the first timer, which the caller lets go of or queues elsewhere. O(log n) amortised.
    #[cold]
    pub(crate) fn pop(&mut self, waiting: &mut Waiting) -> Option<Timer<T>> {
        let Reverse(timer) = self.timers.pop()?;
        self.tidy(waiting);
        Some(timer)
    }

    /// Says that a timer in here was cancelled. O(log n) amortised.
    #[cold]
    pub(crate) fn cancelled(&mut self, waiting: &mut Waiting) {
        self.dead += 1;
        self.tidy(waiting);
    }

    /// Frees dead timers at the top, and all of them once they are many.
    fn tidy(&mut self, waiting: &mut Waiting) {
        while self.dead > 0 {
            let dead = self.timers.peek().filter(|Reverse(timer)| waiting.is_dead(timer.index));
            let Some(Reverse(timer)) = dead else { break };
            waiting.remove(timer.index);
            self.timers.pop();
            self.dead -= 1;
        }
        if self.dead > (self.timers.len() - self.dead) / 2 + SPARE_DEAD as usize {
            self.dead = 0;
            self.timers.retain(|Reverse(timer)| {
                let dead = waiting.is_dead(timer.index);
                if dead {
                    waiting.remove(timer.index);
                }
                !dead
            });
        }
    }
}
