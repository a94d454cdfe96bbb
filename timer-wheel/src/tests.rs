//! Named cases, and random programs run by the wheel and its model side by side.

use proptest::prelude::*;

use crate::model::{self, Model};
use crate::{Key, Wheel};

fn drain(wheel: &mut Wheel<u32>, now: u64) -> Vec<(u64, u32)> {
    let mut fired = Vec::new();
    wheel.advance(now, |due, item| fired.push((due, item)));
    fired
}

#[test]
fn never_early() {
    for due in [1, 255, 256, 257, 65_535, 65_536, 65_537, 1 << 24, 1 << 36, 1 << 40, (1 << 40) + 1, u64::MAX]
    {
        let mut wheel = Wheel::new(0);
        wheel.insert(due, 0);
        for early in [0, due / 2, due - 1] {
            assert_eq!(wheel.pop(early), None, "due {due}, asked at {early}");
            assert_eq!(wheel.next_due(), Some(due));
        }
        assert_eq!(wheel.pop(due), Some((due, 0)));
    }
}

#[test]
fn cascade_keeps_order() {
    for due in [64, 5000, 300_000, 20_000_000, (1 << 40) + 77] {
        let mut wheel = Wheel::new(0);
        let mut expected = Vec::new();
        // The same due time from nearer and nearer, so that it is inserted at every level.
        for item in 0..1000 {
            wheel.insert(due, item);
            wheel.insert(due + 1, item + 1000);
            expected.push((due, item));
            let now = wheel.now();
            assert_eq!(wheel.pop(now + (due - 1 - now) / 50), None);
        }
        expected.extend((1000..2000).map(|item| (due + 1, item)));
        assert_eq!(drain(&mut wheel, due + 1), expected);
    }
}

#[test]
fn reuse_of_keys_is_refused() {
    let mut wheel = Wheel::new(0);
    let stale: Vec<Key> = (0..64).map(|item| wheel.insert(u64::from(item), item)).collect();
    for key in stale.iter().skip(1).step_by(2) {
        assert!(wheel.cancel(*key));
    }
    assert_eq!(drain(&mut wheel, 63).len(), 32);
    let keys: Vec<Key> = (0..100).map(|item| wheel.insert(100, item)).collect();
    for old in stale {
        assert!(keys.iter().any(|key| key.index == old.index));
        assert!(!wheel.contains(old));
        assert!(!wheel.cancel(old));
    }
    assert_eq!(wheel.len(), 100);
    assert!(!Wheel::<u32>::new(0).cancel(keys[0]));
}

#[test]
fn an_empty_jump_costs_nothing() {
    const YEAR: u64 = 365 * 24 * 3_600_000;
    let mut wheel = Wheel::new(1_700_000_000_000);
    let start = wheel.now();
    assert_eq!(wheel.pop(start + YEAR), None);
    assert!(wheel.steps <= 1, "{} steps over an empty year", wheel.steps);

    wheel.insert(start + 3 * YEAR, 1);
    wheel.insert(start + 3 * YEAR, 2);
    wheel.steps = 0;
    assert_eq!(wheel.pop(start + 3 * YEAR - 1), None);
    assert_eq!(drain(&mut wheel, start + 4 * YEAR), [(start + 3 * YEAR, 1), (start + 3 * YEAR, 2)]);
    assert!(wheel.steps <= 4 * 5, "{} steps", wheel.steps);
}

#[test]
fn every_timer_moves_at_most_once_per_level() {
    let mut wheel = Wheel::new(0);
    for item in 0..10_000_u32 {
        wheel.insert(u64::from(item) * 7919 % 1_000_000, item);
    }
    for now in 0..1_000_000 {
        wheel.advance(now, |_, _| ());
    }
    // 20 bits are three levels; one step more for each call and each slot that is entered.
    assert!(wheel.steps <= 10_000 * 6 + 1_000_000 + 62_500, "{} steps", wheel.steps);
}

#[test]
fn sixty_four_bit_edges() {
    let mut wheel = Wheel::new(0);
    wheel.insert(u64::MAX, 3);
    wheel.insert(u64::MAX - 1, 2);
    wheel.insert(0, 0);
    wheel.insert(1 << 63, 1);
    assert_eq!(wheel.pop(0), Some((0, 0)));
    assert_eq!(wheel.pop((1 << 63) - 1), None);
    assert_eq!(wheel.pop(u64::MAX), Some((1 << 63, 1)));
    assert_eq!(wheel.pop(u64::MAX), Some((u64::MAX - 1, 2)));
    wheel.insert(u64::MAX, 4);
    assert_eq!(drain(&mut wheel, u64::MAX), [(u64::MAX, 3), (u64::MAX, 4)]);
    wheel.insert(u64::MAX, 5);
    wheel.insert(7, 6);
    assert_eq!(drain(&mut wheel, u64::MAX), [(7, 6), (u64::MAX, 5)]);
    assert!(wheel.is_empty());
}

#[test]
fn an_overdue_timer_takes_its_place_among_the_undrained() {
    let mut wheel = Wheel::new(100);
    for due in [110, 120, 130] {
        wheel.insert(due, 0);
    }
    assert_eq!(wheel.pop(200), Some((110, 0)));
    wheel.insert(105, 1);
    wheel.insert(120, 2);
    wheel.insert(5, 3);
    wheel.insert(125, 4);
    wheel.insert(105, 5);
    let rest = [(5, 3), (105, 1), (105, 5), (120, 0), (120, 2), (125, 4), (130, 0)];
    assert_eq!(wheel.next_due(), Some(5));
    assert_eq!(drain(&mut wheel, 200), rest);
}

#[test]
fn time_never_goes_back() {
    let mut wheel = Wheel::new(100);
    wheel.insert(150, 1);
    assert_eq!(wheel.pop(140), None);
    assert_eq!(wheel.pop(120), None);
    assert_eq!(wheel.now(), 140);
    wheel.insert(130, 2);
    assert_eq!(wheel.pop(129), None);
    assert_eq!(wheel.pop(130), Some((130, 2)));
    assert_eq!(wheel.pop(150), Some((150, 1)));
}

#[test]
fn whatever_is_cancelled_memory_is_bounded() {
    const EACH: u64 = 20;
    // A slot of every level, beyond the last level, and 0 for overdue.
    let spans = [0, 200, 50_000, 10_000_000, 1 << 31, 1 << 38, 1 << 50];
    let mut wheel = Wheel::new(1 << 20);
    let start = wheel.now();
    let due =
        |span: u64, part: u64| if span == 0 { start - part } else { start + span + part * (span / EACH) };
    let mut stay = Vec::new();
    for (span, part) in spans.into_iter().flat_map(|span| (0..EACH).map(move |part| (span, part + 1))) {
        // In front of those that come and go, so that nothing but compaction frees them; and each alone in its
        // block.
        stay.push(wheel.insert(due(span, part), 0));
        for _ in 0..40 {
            let key = wheel.insert(start + 5, 1);
            assert!(wheel.cancel(key));
        }
    }
    let settled = wheel.memory();
    for round in 0..300_000 {
        let key = wheel.insert(due(spans[round % spans.len()], round as u64 * 7919 % EACH + 1), 2);
        assert!(wheel.cancel(key));
    }
    assert_eq!(wheel.len(), stay.len());
    // One dead entry per two live ones, and nine in each slot and heap.
    let queues = 5 * 20 + 2;
    let dead = stay.len() / 2 + 9 * queues;
    let (chunks, blocks) = wheel.memory();
    assert!(chunks <= settled.0 + queues, "{chunks} chunks");
    assert!(blocks <= settled.1 + dead, "{blocks} blocks, {} before", settled.1);
    assert!(stay.into_iter().all(|key| wheel.cancel(key)));
    assert_eq!(wheel.next_due(), None);
}

#[test]
fn a_chain_of_cancelled_next_timers_costs_no_memory() {
    let mut wheel = Wheel::new(0);
    let keep = wheel.insert(1_000_000, 0);
    for item in 0..100_000_u32 {
        let key = wheel.insert(1_000_001 + u64::from(item) % 5000, item);
        assert!(wheel.cancel(key));
        assert_eq!(wheel.next_due(), Some(1_000_000));
    }
    for item in 0..100_000 {
        let now = wheel.now();
        wheel.pop(now + 1);
        wheel.insert(0, item);
        let key = wheel.insert(1, item);
        wheel.cancel(key);
        assert_eq!(wheel.pop(0), Some((0, item)));
    }
    // Ten dead entries in each of the 20 slots, each in a block of its own.
    let (chunks, blocks) = wheel.memory();
    assert!(chunks <= 30 && blocks <= 250, "{chunks} chunks and {blocks} blocks");
    assert!(wheel.contains(keep));
}

#[test]
fn timers_decades_apart_keep_order() {
    let mut wheel = Wheel::new((1 << 40) - 3);
    let mut expected = Vec::new();
    for item in 0..3000_u32 {
        let due =
            [(1 << 40) - 1, 1 << 40, (1 << 40) + 700, 1 << 41, (1 << 41) + 1, 1 << 63][item as usize % 6];
        let key = wheel.insert(due, item);
        if item % 5 == 0 {
            assert!(wheel.cancel(key));
        } else {
            expected.push((due, item));
        }
        if item == 1500 {
            assert_eq!(wheel.pop((1 << 40) - 2), None);
        }
    }
    expected.sort_unstable();
    let (before, after) = expected.split_at(expected.partition_point(|(due, _)| *due < 1 << 40));
    assert_eq!(drain(&mut wheel, (1 << 40) - 1), before);
    assert_eq!(wheel.next_due(), Some(1 << 40));
    assert_eq!(drain(&mut wheel, u64::MAX), after);
}

#[test]
fn debug_says_what_matters() {
    let mut wheel = Wheel::new(5);
    wheel.insert(9, "x");
    assert_eq!(format!("{wheel:?}"), "Wheel { now: 5, len: 1, next_due: Some(9), .. }");
}

/// One operation of a random program. Times are relative to the wheel's, indices to the keys handed out.
#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    InsertAt(u64),
    InsertOverdue(u64),
    InsertMany(u64, u8),
    Cancel(usize),
    CancelMany(usize, u8),
    CancelNext,
    Pop(u64, u8),
    PopBack(u64),
    Advance(u64),
    AdvanceToNext,
}

fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..4_u64,
        4 => 0..200_u64,
        3 => 0..20_000_u64,
        2 => 0..(1_u64 << 32),
        1 => (0..64_u32, 0..3_u64).prop_map(|(bit, off)| (1_u64 << bit).wrapping_add(off).wrapping_sub(1)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => distance().prop_map(Op::Insert),
        1 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()].prop_map(Op::InsertAt),
        3 => distance().prop_map(Op::InsertOverdue),
        2 => (distance(), 1..60_u8).prop_map(|(due, count)| Op::InsertMany(due, count)),
        6 => any::<usize>().prop_map(Op::Cancel),
        2 => (any::<usize>(), 1..60_u8).prop_map(|(at, count)| Op::CancelMany(at, count)),
        2 => Just(Op::CancelNext),
        3 => (distance(), 1..6_u8).prop_map(|(step, bound)| Op::Pop(step, bound)),
        1 => distance().prop_map(Op::PopBack),
        3 => prop_oneof![Just(1_u64), 0..70_u64, 0..10_000_u64].prop_map(Op::Advance),
        1 => distance().prop_map(Op::Advance),
        2 => Just(Op::AdvanceToNext),
    ]
}

/// Wheel and model side by side.
struct Pair {
    wheel: Wheel<u32>,
    model: Model<u32>,
    keys: Vec<(Key, model::Key)>,
    /// Keys of timers by item, to find the next one's.
    inserted: u32,
}

impl Pair {
    fn insert(&mut self, due: u64) {
        let item = self.inserted;
        self.inserted += 1;
        self.keys.push((self.wheel.insert(due, item), self.model.insert(due, item)));
    }

    fn cancel(&mut self, at: usize) {
        let (key, model_key) = self.keys[at];
        assert_eq!(self.wheel.contains(key), self.model.contains(model_key));
        assert_eq!(self.wheel.cancel(key), self.model.cancel(model_key));
        assert!(!self.wheel.cancel(key));
    }

    fn pop(&mut self, now: u64, bound: usize) {
        for _ in 0..bound {
            let popped = self.wheel.pop(now);
            assert_eq!(popped, self.model.pop(now));
            if popped.is_none() {
                return;
            }
        }
    }

    fn run(&mut self, op: &Op) {
        let now = self.wheel.now();
        match *op {
            Op::Insert(ahead) => self.insert(now.saturating_add(ahead)),
            Op::InsertAt(due) => self.insert(due),
            Op::InsertOverdue(behind) => self.insert(now.saturating_sub(behind)),
            Op::InsertMany(ahead, count) => {
                (0..count)
                    .for_each(|i| self.insert(now.saturating_add(ahead).saturating_add(u64::from(i % 3))));
            }
            Op::Cancel(at) if !self.keys.is_empty() => self.cancel(at % self.keys.len()),
            Op::CancelMany(at, count) if !self.keys.is_empty() => {
                (0..usize::from(count)).for_each(|i| self.cancel((at.wrapping_add(i)) % self.keys.len()));
            }
            Op::CancelNext => {
                if let Some(due) = self.model.next_due() {
                    let next = |pair: &(Key, model::Key)| self.model.contains(pair.1) && pair.0.due() == due;
                    self.cancel(self.keys.iter().position(next).unwrap());
                }
            }
            Op::Cancel(_) | Op::CancelMany(..) => {}
            Op::Pop(ahead, bound) => self.pop(now.saturating_add(ahead), usize::from(bound)),
            Op::PopBack(behind) => self.pop(now.saturating_sub(behind), 1),
            Op::Advance(ahead) => self.pop(now.saturating_add(ahead), usize::MAX),
            Op::AdvanceToNext => self.pop(self.model.next_due().unwrap_or(now), usize::MAX),
        }
        assert_eq!(self.wheel.now(), self.model.now());
        assert_eq!(self.wheel.len(), self.model.len());
        assert_eq!(self.wheel.is_empty(), self.model.is_empty());
        assert_eq!(self.wheel.next_due(), self.model.next_due());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_the_model_does(
        start in prop_oneof![Just(0), Just(1_700_000_000_000), Just((1 << 40) - 5), Just(u64::MAX - 500), any::<u64>()],
        ops in prop::collection::vec(op(), 1..400),
    ) {
        let mut pair = Pair { wheel: Wheel::new(start), model: Model::new(start), keys: Vec::new(), inserted: 0 };
        for op in &ops {
            pair.run(op);
        }
        pair.pop(u64::MAX, usize::MAX);
        prop_assert!(pair.wheel.is_empty());
    }
}
