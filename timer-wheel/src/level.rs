//! The levels: slots, which of them are occupied, and which slot a due time belongs to.

use crate::chunk::{Entry, Pool, Queue};

/// Bits of the due time that one level looks at.
const BITS: u32 = 8;
/// Slots per level.
const SLOTS: usize = 1 << BITS;
/// Levels. A slot of the last one spans 2³² ticks, so that slot and low half of a due time give all of it.
const LEVELS: usize = 5;
/// Slots of all levels.
pub(crate) const ALL_SLOTS: usize = LEVELS * SLOTS;

/// Place of a slot: level × 256 + digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

impl Place {
    /// The slot that holds `due` while the wheel stands at `base` (`base <= due`): the level is that of the
    /// highest bit in which they differ, the digit is `due`'s at that level. `None` beyond the last level.
    #[inline]
    pub(crate) fn of(due: u64, base: u64) -> Option<Self> {
        let level = (63 - ((due ^ base) | 1).leading_zeros()) / BITS;
        let digit = (due >> (level * BITS)) & (SLOTS as u64 - 1);
        let place = ((level as usize) << BITS) | digit_index(digit);
        (place < ALL_SLOTS).then_some(Self(place))
    }

    /// 0 to 4.
    #[inline]
    pub(crate) fn level(self) -> usize {
        self.0 >> BITS
    }

    #[inline]
    fn digit(self) -> usize {
        self.0 & (SLOTS - 1)
    }

    /// First tick of this slot while the wheel stands at `base`.
    #[inline]
    pub(crate) fn start(self, base: u64) -> u64 {
        let shift = self.level() * BITS as usize;
        ((base >> shift) & !(SLOTS as u64 - 1) | self.digit() as u64) << shift
    }
}

/// Due time of an entry in a slot that starts at `start`.
#[inline]
pub(crate) fn due<T>(start: u64, entry: &Entry<T>) -> u64 {
    start & !u64::from(u32::MAX) | u64::from(entry.due_low)
}

#[expect(clippy::cast_possible_truncation, reason = "a digit is below 256")]
#[inline]
fn digit_index(digit: u64) -> usize {
    digit as usize
}

/// One slot: its queue, how much of it still counts, and its earliest due time.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Earliest due time of the live entries if `exact`, else a lower bound; stale while `live` is 0.
    pub(crate) earliest: u64,
    pub(crate) queue: Queue,
    /// Entries whose timer waits.
    pub(crate) live: u32,
    /// Entries whose timer was cancelled.
    pub(crate) dead: u32,
    /// Whether `earliest` is a live entry's due time.
    pub(crate) exact: bool,
}

impl Slot {
    fn empty() -> Self {
        Self { earliest: u64::MAX, queue: Queue::default(), live: 0, dead: 0, exact: true }
    }

    /// Whether so many entries are dead that walking over all of them is paid by those cancellations.
    #[inline]
    pub(crate) fn wants_compaction(&self) -> bool {
        self.dead > self.live / 2 + SPARE_DEAD
    }
}

/// Dead entries that a slot may hold however few are live.
pub(crate) const SPARE_DEAD: u32 = 8;

/// All slots and their occupancy.
#[derive(Debug)]
pub(crate) struct Levels {
    /// Bit per 64 slots: one of them is occupied.
    summary: u32,
    /// Bit per slot: it holds a live entry.
    occupied: [u64; ALL_SLOTS / 64],
    slots: Box<[Slot]>,
}

impl Levels {
    pub(crate) fn new() -> Self {
        let slots = (0..ALL_SLOTS).map(|_| Slot::empty()).collect();
        Self { summary: 0, occupied: [0; ALL_SLOTS / 64], slots }
    }

    /// The occupied slot with the earliest start. O(1).
    ///
    /// It is the first slot of the lowest occupied level: at each level all entries share the wheel
    /// position's higher digits, so digits compare as times do, and everything on a lower level is due
    /// before the position's slot one level up ends.
    #[inline]
    pub(crate) fn first(&self) -> Option<Place> {
        if self.summary == 0 {
            return None;
        }
        let word = self.summary.trailing_zeros() as usize;
        Some(Place((word << 6) | self.occupied[word].trailing_zeros() as usize))
    }

    #[inline]
    pub(crate) fn slot(&self, place: Place) -> &Slot {
        &self.slots[place.0]
    }

    #[inline]
    pub(crate) fn slot_mut(&mut self, place: Place) -> &mut Slot {
        &mut self.slots[place.0]
    }

    /// Appends an entry for a timer due at `due`. O(1).
    #[inline]
    pub(crate) fn push<T: Copy>(
        &mut self,
        pool: &mut Pool<T>,
        place: Place,
        due: u64,
        (index, item): (u32, T),
    ) {
        let slot = &mut self.slots[place.0];
        if slot.live == 0 {
            self.summary |= 1 << (place.0 / 64);
            self.occupied[place.0 / 64] |= 1 << (place.0 % 64);
            slot.earliest = due;
            slot.exact = true;
        } else if due <= slot.earliest {
            slot.earliest = due;
            slot.exact = true;
        }
        slot.live += 1;
        slot.queue.push(pool, Entry { item, index, due_low: low_half(due) });
    }

    /// Empties a slot and hands over what it held. O(1).
    #[inline]
    pub(crate) fn detach(&mut self, place: Place) -> Slot {
        let word = place.0 / 64;
        self.occupied[word] &= !(1 << (place.0 % 64));
        if self.occupied[word] == 0 {
            self.summary &= !(1 << word);
        }
        std::mem::replace(&mut self.slots[place.0], Slot::empty())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
#[inline]
fn low_half(due: u64) -> u32 {
    due as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_at_the_edges() {
        assert_eq!(Place::of(0, 0), Some(Place(0)));
        assert_eq!(Place::of(255, 0), Some(Place(255)));
        assert_eq!(Place::of(256, 0), Some(Place(257)));
        assert_eq!(Place::of(256, 255), Some(Place(257)));
        assert_eq!(Place::of((1 << 40) - 1, 0), Some(Place(4 * 256 + 255)));
        assert_eq!(Place::of(1 << 40, (1 << 40) - 1), None);
        assert_eq!(Place::of(u64::MAX, 0), None);
        assert_eq!(Place::of(u64::MAX, u64::MAX), Some(Place(255)));
    }

    #[test]
    fn a_slot_starts_at_its_first_tick() {
        for (due, base) in [(5, 5), (300, 3), (65_536 + 300, 65_536), (1 << 39, 1), (1 << 36, (1 << 36) - 1)]
        {
            let place = Place::of(due, base).unwrap();
            let shift = place.level() * BITS as usize;
            assert_eq!(place.start(base), due >> shift << shift);
        }
    }

    #[test]
    fn a_slot_is_half_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 32);
    }
}
