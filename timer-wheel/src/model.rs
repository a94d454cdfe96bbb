//! The naive model: a sorted map with the wheel's API. What it does is what the wheel has to do.

use std::collections::BTreeMap;

/// Names one timer of one model; the counterpart of [`Key`](crate::Key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    due: u64,
    inserted: u64,
}

/// The counterpart of [`Wheel`](crate::Wheel): same operations, same order, O(log n) each.
#[derive(Debug)]
pub struct Model<T> {
    now: u64,
    inserted: u64,
    timers: BTreeMap<(u64, u64), T>,
}

impl<T> Model<T> {
    /// An empty model at time `now`.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { now, inserted: 0, timers: BTreeMap::new() }
    }

    /// The latest time given to [`pop`](Self::pop) or [`advance`](Self::advance), or the initial one.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Timers waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether no timer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Adds a timer due at tick `due`, however long ago that is.
    pub fn insert(&mut self, due: u64, item: T) -> Key {
        let key = Key { due, inserted: self.inserted };
        self.inserted += 1;
        self.timers.insert((key.due, key.inserted), item);
        key
    }

    /// Ends a timer before it fires; `false` if it fired or was cancelled already.
    pub fn cancel(&mut self, key: Key) -> bool {
        self.timers.remove(&(key.due, key.inserted)).is_some()
    }

    /// Whether the timer of `key` waits.
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.timers.contains_key(&(key.due, key.inserted))
    }

    /// The earliest due time; `None` if no timer waits.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.timers.first_key_value().map(|(&(due, _), _)| due)
    }

    /// Takes the next timer due at or before `now`, in order of (due, insertion).
    pub fn pop(&mut self, now: u64) -> Option<(u64, T)> {
        self.now = self.now.max(now);
        let first = self.timers.first_entry().filter(|first| first.key().0 <= now)?;
        let ((due, _), item) = first.remove_entry();
        Some((due, item))
    }

    /// Pops every timer due at or before `now` and hands each to `fire` with its due time.
    pub fn advance(&mut self, now: u64, mut fire: impl FnMut(u64, T)) {
        while let Some((due, item)) = self.pop(now) {
            fire(due, item);
        }
    }
}
