//! The wheel in memory, against the ordered structures of the standard library that can do the same.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use timer_wheel::{Key, Wheel};

use crate::measure::Timing;
use crate::workload::Random;

/// Where time starts.
const START: u64 = 1_700_000_000_000;
/// Milliseconds over which due times are spread.
const SPAN: u64 = 3_600_000;

/// Nanoseconds of processor time per timer; `None` where the structure cannot.
#[derive(Debug, Clone, Copy)]
pub struct PerTimer {
    /// To insert it.
    pub insert: f64,
    /// To take it out when it is due, in order.
    pub expire: f64,
    /// To cancel it, in random order.
    pub cancel: Option<f64>,
    /// The sum of the items that expired, the same for all structures.
    pub sum: u64,
}

/// Due times and the order in which timers are cancelled.
#[derive(Debug)]
pub struct Dues {
    due: Vec<u64>,
    order: Vec<usize>,
}

impl Dues {
    /// So many timers within an hour, by seed.
    #[must_use]
    pub fn new(seed: u64, timers: usize) -> Self {
        let mut random = Random::new(seed);
        let due = (0..timers).map(|_| START + 1 + random.below(SPAN)).collect();
        let mut order: Vec<usize> = (0..timers).collect();
        for i in (1..timers).rev() {
            let j = usize::try_from(random.below(i as u64 + 1)).unwrap_or(0);
            order.swap(i, j);
        }
        Self { due, order }
    }

    /// The sum that every structure has to come to.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let n = self.due.len() as u64;
        n * n.saturating_sub(1) / 2
    }
}

/// What is measured of a structure. Items come out in order of their due times.
trait Structure {
    /// What the caller keeps in order to cancel.
    type Key: Copy;
    /// Whether it can cancel.
    const CANCELS: bool;

    fn empty(timers: usize) -> Self;
    fn insert(&mut self, due: u64, item: u64) -> Self::Key;
    /// Takes everything out; the sum of the items.
    fn drain(&mut self) -> u64;
    /// Whether the timer was there.
    fn cancel(&mut self, key: Self::Key) -> bool;
}

impl Structure for Wheel<u64> {
    type Key = Key;
    const CANCELS: bool = true;

    fn empty(timers: usize) -> Self {
        Self::with_capacity(START, timers)
    }

    fn insert(&mut self, due: u64, item: u64) -> Key {
        self.insert(due, item)
    }

    fn drain(&mut self) -> u64 {
        let mut sum = 0;
        while let Some(due) = self.next_due() {
            self.advance(due, |_, item| sum += item);
        }
        sum
    }

    fn cancel(&mut self, key: Key) -> bool {
        self.cancel(key)
    }
}

impl Structure for BTreeSet<(u64, u64)> {
    type Key = (u64, u64);
    const CANCELS: bool = true;

    fn empty(_timers: usize) -> Self {
        Self::new()
    }

    fn insert(&mut self, due: u64, item: u64) -> (u64, u64) {
        self.insert((due, item));
        (due, item)
    }

    fn drain(&mut self) -> u64 {
        std::iter::from_fn(|| self.pop_first()).map(|(_, item)| item).sum()
    }

    fn cancel(&mut self, key: (u64, u64)) -> bool {
        self.remove(&key)
    }
}

impl Structure for BinaryHeap<Reverse<(u64, u64)>> {
    type Key = ();
    const CANCELS: bool = false;

    fn empty(_timers: usize) -> Self {
        Self::new()
    }

    fn insert(&mut self, due: u64, item: u64) {
        self.push(Reverse((due, item)));
    }

    fn drain(&mut self) -> u64 {
        std::iter::from_fn(|| self.pop()).map(|Reverse((_, item))| item).sum()
    }

    fn cancel(&mut self, (): ()) -> bool {
        false
    }
}

fn fill<S: Structure>(structure: &mut S, dues: &Dues, keys: &mut Vec<S::Key>) {
    keys.clear();
    keys.extend((0..).zip(&dues.due).map(|(item, due)| structure.insert(*due, item)));
}

/// Nanoseconds for each of so many timers.
#[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
fn per(timing: Timing, timers: usize) -> f64 {
    timing.cpu.as_nanos() as f64 / timers as f64
}

fn run<S: Structure>(dues: &Dues) -> PerTimer {
    let timers = dues.due.len();
    // The caller's memory for keys is not what is measured: it is touched before.
    let mut keys = vec![S::empty(1).insert(START, 0); timers];
    let mut structure = S::empty(timers);
    let (insert, ()) = Timing::of(|| fill(&mut structure, dues, &mut keys));
    let (expire, sum) = Timing::of(|| structure.drain());
    drop(structure);
    let cancel = S::CANCELS.then(|| {
        let mut structure = S::empty(timers);
        fill(&mut structure, dues, &mut keys);
        // Who cancels has the key at hand: fetching it is not what is measured.
        let keys: Vec<S::Key> = dues.order.iter().map(|i| keys[*i]).collect();
        let (cancel, cancelled) = Timing::of(|| keys.iter().filter(|key| structure.cancel(**key)).count());
        assert_eq!(cancelled, timers, "every timer was there");
        per(cancel, timers)
    });
    PerTimer { insert: per(insert, timers), expire: per(expire, timers), cancel, sum }
}

/// The wheel: hopping from due time to due time.
#[must_use]
pub fn wheel(dues: &Dues) -> PerTimer {
    run::<Wheel<u64>>(dues)
}

/// A tree of (due, item).
#[must_use]
pub fn tree(dues: &Dues) -> PerTimer {
    run::<BTreeSet<(u64, u64)>>(dues)
}

/// A heap of (due, item), which cannot cancel.
#[must_use]
pub fn heap(dues: &Dues) -> PerTimer {
    run::<BinaryHeap<Reverse<(u64, u64)>>>(dues)
}
