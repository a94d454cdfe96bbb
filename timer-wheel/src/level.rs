//! The levels: slots, which of them are occupied, and which slot a due time belongs to.

use crate::chunk::{Entry, Pool, Queue};

/// Bits of the due time that one level looks at.
const BITS: u32 = 6;
/// Slots per level.
pub(crate) const SLOTS: usize = 1 << BITS;
/// Levels: 11 × 6 bits cover 64 (the last one uses 16 of its slots).
pub(crate) const LEVELS: usize = 11;
/// Levels whose slots span at most 2³² ticks, so that a slot and the low half of a due time give all of it.
const SHORT_LEVELS: usize = 6;

/// Place of a slot: level × 64 + digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

impl Place {
    /// The slot that holds `due` while the wheel stands at `base` (`base <= due`): the level is that of the
    /// highest bit in which they differ, the digit is `due`'s at that level.
    #[inline]
    pub(crate) fn of(due: u64, base: u64) -> Self {
        let level = (63 - ((due ^ base) | 1).leading_zeros()) / BITS;
        let digit = (due >> (level * BITS)) & (SLOTS as u64 - 1);
        Self(((level as usize) << BITS) | digit_index(digit))
    }

    /// 0 to 10.
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

    /// Due time of an entry in this slot, where slot and entry suffice to tell.
    #[inline]
    pub(crate) fn due(self, start: u64, entry: Entry) -> Option<u64> {
        (self.level() < SHORT_LEVELS).then(|| start & !u64::from(u32::MAX) | u64::from(entry.due_low))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a digit is below 64")]
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
    /// Bit per level: some slot is occupied.
    summary: u32,
    /// Bit per slot: it holds a live entry.
    occupied: [u64; LEVELS],
    slots: Box<[Slot]>,
}

impl Levels {
    pub(crate) fn new() -> Self {
        let slots = (0..LEVELS * SLOTS).map(|_| Slot::empty()).collect();
        Self { summary: 0, occupied: [0; LEVELS], slots }
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
        let level = self.summary.trailing_zeros() as usize;
        Some(Place((level << BITS) | self.occupied[level].trailing_zeros() as usize))
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
    pub(crate) fn push(&mut self, pool: &mut Pool, place: Place, due: u64, index: u32) {
        let slot = &mut self.slots[place.0];
        if slot.live == 0 {
            self.summary |= 1 << place.level();
            self.occupied[place.level()] |= 1 << place.digit();
            slot.earliest = due;
            slot.exact = true;
        } else if due <= slot.earliest {
            slot.earliest = due;
            slot.exact = true;
        }
        slot.live += 1;
        slot.queue.push(pool, Entry { index, due_low: low_half(due) });
    }

    /// Empties a slot and hands over what it held. O(1).
    #[inline]
    pub(crate) fn detach(&mut self, place: Place) -> Slot {
        let level = place.level();
        self.occupied[level] &= !(1 << place.digit());
        if self.occupied[level] == 0 {
            self.summary &= !(1 << level);
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
        assert_eq!(Place::of(0, 0), Place(0));
        assert_eq!(Place::of(63, 0), Place(63));
        assert_eq!(Place::of(64, 0), Place(65));
        assert_eq!(Place::of(64, 63), Place(65));
        assert_eq!(Place::of(u64::MAX, 0), Place(10 * 64 + 15));
        assert_eq!(Place::of(u64::MAX, u64::MAX), Place(63));
        assert_eq!(Place::of(1 << 60, (1 << 60) - 1), Place(10 * 64 + 1));
    }

    #[test]
    fn a_slot_starts_at_its_first_tick() {
        for (due, base) in [(5, 5), (70, 3), (4096 + 70, 4096), (u64::MAX, 1), (1 << 36, (1 << 36) - 1)] {
            let place = Place::of(due, base);
            let shift = place.level() * BITS as usize;
            assert_eq!(place.start(base), due >> shift << shift);
        }
    }

    #[test]
    fn a_slot_is_half_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 32);
    }
}
