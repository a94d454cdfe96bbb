//! Which timers still wait: one bit each, and the keys that are checked against it.

use std::num::NonZeroU32;

use crate::chunk::Entry;

/// Names one timer of one wheel; 16 bytes, also inside an `Option`.
///
/// A key is good for one timer only: once that timer has fired or was cancelled, the key is refused, also
/// after its place has been given to another timer. (The generation is 32 bits wide: a key would have to
/// be kept while its place is reused 2³² − 1 times to be taken for another.) A key means nothing to a wheel
/// that did not hand it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Kept here, so that a cancellation finds the slot without reading anything about the timer.
    due: u64,
    pub(crate) index: u32,
    generation: NonZeroU32,
}

impl Key {
    /// Due time of its timer, in ticks.
    #[must_use]
    pub fn due(self) -> u64 {
        self.due
    }
}

/// Timers of one block: inserted one after the other, with one generation.
///
/// A block is used again only once all of its timers have left, so one that waits long pins all of it. Many
/// more timers in a block would let few long ones use up the 2³² indices; fewer take more memory for each,
/// and this table is to stay in cache.
const BLOCK: u32 = 32;
/// The same as a count of [`Waiting::held`].
const BLOCK_HELD: u8 = 32;
/// "No block".
const NIL: u32 = u32::MAX;

/// All blocks: 2.3 bits a timer as long as its neighbours live, 9 bytes if all of them are gone.
#[derive(Debug)]
pub(crate) struct Waiting {
    generations: Vec<NonZeroU32>,
    /// Bit per timer: it waits. Of a free block: the next free one, or [`NIL`]. Apart from the generations, as
    /// most work needs these only.
    waiting: Vec<u32>,
    /// Timers not handed out yet, waiting, or cancelled but still queued. At 0 the block is free.
    held: Vec<u8>,
    /// The block freed last, or [`NIL`].
    free: u32,
    /// The index that comes next; at a multiple of [`BLOCK`] a block has to be opened first.
    next: u32,
}

impl Waiting {
    /// Memory reserved for `timers` timers, each of which pins a block, and for the block being handed out.
    pub(crate) fn with_capacity(timers: usize) -> Self {
        let blocks = if timers == 0 { 0 } else { timers + 1 };
        Self {
            generations: Vec::with_capacity(blocks),
            waiting: Vec::with_capacity(blocks),
            held: Vec::with_capacity(blocks),
            free: NIL,
            next: 0,
        }
    }

    /// Adds a timer due at `due`. O(1).
    ///
    /// # Panics
    ///
    /// With 2²⁷ blocks in use: there is no index left.
    #[inline]
    pub(crate) fn add(&mut self, due: u64) -> Key {
        if self.next.is_multiple_of(BLOCK) {
            self.open();
        }
        let index = self.next;
        self.next = index.wrapping_add(1);
        self.waiting[at(index)] |= 1 << (index % BLOCK);
        Key { due, index, generation: self.generations[at(index)] }
    }

    /// Sets `next` to the first index of a free block.
    fn open(&mut self) {
        let number = if self.free == NIL {
            let number = u32::try_from(self.waiting.len()).unwrap_or(NIL);
            assert!(number <= u32::MAX / BLOCK, "timer wheel: no index left");
            self.generations.push(NonZeroU32::MIN);
            self.waiting.push(0);
            self.held.push(0);
            number
        } else {
            let number = self.free;
            self.free = std::mem::take(&mut self.waiting[number as usize]);
            number
        };
        self.held[number as usize] = BLOCK_HELD;
        self.next = number * BLOCK;
    }

    /// Whether the timer of `key` waits.
    #[inline]
    pub(crate) fn holds(&self, key: Key) -> bool {
        let generation = self.generations.get(at(key.index));
        generation == Some(&key.generation) && !self.is_dead(key.index)
    }

    /// Ends the wait of `key`'s timer, whose entry stays queued; `false` if it did not wait.
    #[inline]
    pub(crate) fn cancel(&mut self, key: Key) -> bool {
        let holds = self.holds(key);
        if holds {
            self.end(key.index);
        }
        holds
    }

    #[inline]
    fn end(&mut self, index: u32) {
        self.waiting[at(index)] &= !(1 << (index % BLOCK));
    }

    /// Whether the queued timer `index` was cancelled.
    #[inline]
    pub(crate) fn is_dead(&self, index: u32) -> bool {
        self.waiting[at(index)] >> (index % BLOCK) & 1 == 0
    }

    /// Brings what is known of these timers into cache.
    ///
    /// Each of these reads is independent of the others, so the processor has many under way at once; where
    /// a branch hangs on each of them, it waits for one after the other.
    pub(crate) fn touch<T>(&self, entries: &[Entry<T>]) {
        let sum = entries.iter().fold(0, |sum, entry| sum ^ self.waiting[at(entry.index)]);
        std::hint::black_box(sum);
    }

    /// Lets go of a timer that was taken off its queue.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) {
        self.end(index);
        self.release(index, 1);
    }

    /// Lets go of the timer if it was cancelled; says whether it waits.
    #[inline]
    pub(crate) fn reap(&mut self, index: u32) -> bool {
        let dead = self.is_dead(index);
        self.release(index, u8::from(dead));
        !dead
    }

    /// Blocks, in use or free.
    #[cfg(test)]
    pub(crate) fn blocks(&self) -> usize {
        self.waiting.len()
    }

    #[inline]
    fn release(&mut self, index: u32, timers: u8) {
        let held = &mut self.held[at(index)];
        *held -= timers;
        if *held == 0 {
            self.free(index / BLOCK);
        }
    }

    /// Frees a block of which all have left; from now on their keys are refused by generation.
    fn free(&mut self, number: u32) {
        let generation = &mut self.generations[number as usize];
        *generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.waiting[number as usize] = std::mem::replace(&mut self.free, number);
    }
}

/// Which block an index is in.
#[inline]
fn at(index: u32) -> usize {
    (index / BLOCK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(u32::from(BLOCK_HELD), BLOCK);
        assert_eq!(size_of::<Key>(), 16);
        assert_eq!(size_of::<Option<Key>>(), 16);
    }

    #[test]
    fn a_block_is_used_again_once_all_of_it_has_left() {
        let mut waiting = Waiting::with_capacity(0);
        let keys: Vec<Key> = (0..2 * BLOCK).map(|due| waiting.add(due.into())).collect();
        let (last, first) = keys[..BLOCK as usize].split_last().unwrap();
        for key in first {
            assert!(waiting.cancel(*key));
            waiting.remove(key.index);
        }
        assert_eq!(waiting.add(0).index, 2 * BLOCK, "the last timer of the first block is still there");
        waiting.remove(last.index);
        let rest: Vec<u32> = (0..BLOCK).map(|due| waiting.add(due.into()).index).collect();
        assert!(rest.ends_with(&[3 * BLOCK - 1, 0]));
        assert!(!waiting.holds(keys[0]));
        assert!(!waiting.cancel(keys[0]));
    }

    #[test]
    fn generations_skip_zero_when_they_wrap() {
        let mut waiting = Waiting::with_capacity(0);
        let old = waiting.add(1);
        waiting.generations[0] = NonZeroU32::MAX;
        let rest: Vec<Key> = (1..BLOCK).map(|due| waiting.add(due.into())).collect();
        assert!(rest.iter().all(|key| waiting.holds(*key)));
        (0..BLOCK).for_each(|index| waiting.remove(index));
        let new = waiting.add(1);
        assert_eq!((new.index, new.generation), (old.index, NonZeroU32::MIN));
    }
}
