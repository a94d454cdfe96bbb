//! Where timers live: one cell per timer, found by index, checked by generation.

use std::num::NonZeroU32;

use crate::chunk::Entry;

/// Names one timer of one wheel; eight bytes, also inside an `Option`.
///
/// A key is good for one timer only: once that timer has fired or was cancelled, the key is refused, also
/// after its memory has been given to another timer. (The generation is 32 bits wide: a key would have to
/// be kept while its cell is reused 2³² − 1 times to be taken for another.) A key means nothing to a wheel
/// that did not hand it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) index: u32,
    pub(crate) generation: NonZeroU32,
}

/// One cell. For an eight-byte `T` it takes 24 bytes: the generation's forbidden zero is the tag.
#[derive(Debug)]
enum Cell<T> {
    Live { generation: NonZeroU32, due: u64, item: T },
    Vacant { generation: NonZeroU32 },
}

/// All cells. Which of the vacant ones may be reused is the wheel's knowledge, not the arena's: a cancelled
/// timer stays queued in its slot until somebody walks over it, and until then its cell is *dead*.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    cells: Vec<Cell<T>>,
    /// One bit per cell: cancelled, but still queued. 1/192 of the cells' size, so that a walk over a slot
    /// finds it in cache where it would not find the cells.
    dead: Vec<u64>,
}

impl<T> Arena<T> {
    /// An arena with memory reserved for `cells` cells.
    pub(crate) fn with_capacity(cells: usize) -> Self {
        Self { cells: Vec::with_capacity(cells), dead: Vec::with_capacity(cells.div_ceil(64)) }
    }

    /// Stores a timer in the vacant cell `index`.
    #[inline]
    pub(crate) fn reuse(&mut self, index: u32, due: u64, item: T) -> Key {
        let cell = &mut self.cells[index as usize];
        let (Cell::Vacant { generation } | Cell::Live { generation, .. }) = *cell;
        *cell = Cell::Live { generation, due, item };
        Key { index, generation }
    }

    /// Stores a timer in a new cell.
    ///
    /// # Panics
    ///
    /// With 2³² − 1 cells in use: there is no index left.
    #[inline]
    pub(crate) fn push(&mut self, due: u64, item: T) -> Key {
        let index = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        assert!(index != u32::MAX, "timer wheel: more than 2^32 - 1 timers");
        if index.is_multiple_of(64) {
            self.dead.push(0);
        }
        let generation = NonZeroU32::MIN;
        self.cells.push(Cell::Live { generation, due, item });
        Key { index, generation }
    }

    /// The timer of `key`, if it is still waiting.
    pub(crate) fn get(&self, key: Key) -> Option<(u64, &T)> {
        match self.cells.get(key.index as usize)? {
            Cell::Live { generation, due, item } if *generation == key.generation => Some((*due, item)),
            _ => None,
        }
    }

    /// Removes the timer of `key` and marks its cell dead.
    #[inline]
    pub(crate) fn cancel(&mut self, key: Key) -> Option<(u64, T)> {
        match self.cells.get(key.index as usize)? {
            Cell::Live { generation, .. } if *generation == key.generation => {}
            _ => return None,
        }
        let timer = self.take(key.index);
        self.dead[key.index as usize / 64] |= 1 << (key.index % 64);
        timer
    }

    /// Removes the timer in cell `index`; `None` if the cell is vacant.
    #[inline]
    pub(crate) fn take(&mut self, index: u32) -> Option<(u64, T)> {
        let cell = &mut self.cells[index as usize];
        let Cell::Live { generation, .. } = *cell else { return None };
        let generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        match std::mem::replace(cell, Cell::Vacant { generation }) {
            Cell::Live { due, item, .. } => Some((due, item)),
            Cell::Vacant { .. } => None,
        }
    }

    /// Whether cell `index` is dead: cancelled, but still queued.
    #[inline]
    pub(crate) fn is_dead(&self, index: u32) -> bool {
        self.dead[index as usize / 64] >> (index % 64) & 1 == 1
    }

    /// If cell `index` is dead, ends that: the caller has taken it off its queue. Says whether it was.
    #[inline]
    pub(crate) fn reap(&mut self, index: u32) -> bool {
        let word = &mut self.dead[index as usize / 64];
        let was = *word >> (index % 64) & 1 == 1;
        *word &= !(1 << (index % 64));
        was
    }

    /// Brings the cells of `entries` into cache.
    ///
    /// Each of these reads is independent of the others, so the processor has many under way at once; the
    /// operations on the cells would have a handful.
    pub(crate) fn touch(&self, entries: impl Iterator<Item = Entry>) {
        let alive = |cell: Option<&Cell<T>>| u64::from(matches!(cell, Some(Cell::Live { .. })));
        let mut sum = 0;
        for entry in entries {
            // A cell may begin in one cache line and end in the next, where the next cell begins.
            let index = entry.index as usize;
            sum += alive(self.cells.get(index)) + alive(self.cells.get(index + 1));
        }
        std::hint::black_box(sum);
    }

    /// Due time of the live timer in cell `index`.
    pub(crate) fn due(&self, index: u32) -> Option<u64> {
        match &self.cells[index as usize] {
            Cell::Live { due, .. } => Some(*due),
            Cell::Vacant { .. } => None,
        }
    }

    /// Bytes of one cell.
    #[cfg(test)]
    pub(crate) const CELL: usize = size_of::<Cell<T>>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Key>(), 8);
        assert_eq!(size_of::<Option<Key>>(), 8);
        assert_eq!(Arena::<u64>::CELL, 24);
        assert_eq!(Arena::<u32>::CELL, 16);
    }

    #[test]
    fn generations_skip_zero_when_they_wrap() {
        let mut arena = Arena::with_capacity(1);
        arena.push(1, 'a');
        arena.cells[0] = Cell::Live { generation: NonZeroU32::MAX, due: 1, item: 'a' };
        assert_eq!(arena.take(0), Some((1, 'a')));
        assert_eq!(arena.reuse(0, 2, 'b').generation, NonZeroU32::MIN);
    }
}
