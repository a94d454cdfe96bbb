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
    /// The sum of what expired and was cancelled, the same for all structures.
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
        n * n.saturating_sub(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
fn per(timing: Timing, timers: usize) -> f64 {
    timing.cpu.as_nanos() as f64 / timers as f64
}

/// The wheel: hopping from due time to due time.
#[must_use]
pub fn wheel(dues: &Dues) -> PerTimer {
    let timers = dues.due.len();
    let mut wheel: Wheel<u64> = Wheel::with_capacity(START, timers);
    let mut keys: Vec<Key> = Vec::with_capacity(timers);
    let fill = |wheel: &mut Wheel<u64>, keys: &mut Vec<Key>| {
        keys.extend((0..).zip(&dues.due).map(|(item, due)| wheel.insert(*due, item)));
    };
    let (insert, ()) = Timing::of(|| fill(&mut wheel, &mut keys));
    let mut sum = 0;
    let (expire, ()) = Timing::of(|| {
        while let Some(due) = wheel.next_due() {
            wheel.advance(due, |_, item| sum += item);
        }
    });
    keys.clear();
    let mut wheel: Wheel<u64> = Wheel::with_capacity(START, timers);
    fill(&mut wheel, &mut keys);
    // Who cancels has the key at hand: fetching it is not what is measured.
    let keys: Vec<Key> = dues.order.iter().map(|i| keys[*i]).collect();
    let (cancel, ()) = Timing::of(|| {
        sum += keys.iter().filter_map(|key| wheel.cancel(*key)).sum::<u64>();
    });
    PerTimer {
        insert: per(insert, timers),
        expire: per(expire, timers),
        cancel: Some(per(cancel, timers)),
        sum,
    }
}

/// A tree of (due, item).
#[must_use]
pub fn tree(dues: &Dues) -> PerTimer {
    let timers = dues.due.len();
    let fill = |tree: &mut BTreeSet<(u64, u64)>| tree.extend(dues.due.iter().copied().zip(0..));
    let mut tree = BTreeSet::new();
    let (insert, ()) = Timing::of(|| fill(&mut tree));
    let mut sum = 0;
    let (expire, ()) = Timing::of(|| {
        while let Some((_, item)) = tree.pop_first() {
            sum += item;
        }
    });
    fill(&mut tree);
    let keys: Vec<(u64, u64)> = dues.order.iter().map(|i| (dues.due[*i], *i as u64)).collect();
    let (cancel, ()) = Timing::of(|| {
        sum += keys.iter().filter(|key| tree.remove(key)).map(|(_, item)| item).sum::<u64>();
    });
    PerTimer {
        insert: per(insert, timers),
        expire: per(expire, timers),
        cancel: Some(per(cancel, timers)),
        sum,
    }
}

/// A heap of (due, item), which cannot cancel.
#[must_use]
pub fn heap(dues: &Dues) -> PerTimer {
    let timers = dues.due.len();
    let mut heap = BinaryHeap::new();
    let (insert, ()) = Timing::of(|| {
        for (due, item) in dues.due.iter().zip(0_u64..) {
            heap.push(Reverse((*due, item)));
        }
    });
    let mut sum = 0;
    let (expire, ()) = Timing::of(|| {
        while let Some(Reverse((_, item))) = heap.pop() {
            sum += 2 * item;
        }
    });
    PerTimer { insert: per(insert, timers), expire: per(expire, timers), cancel: None, sum }
}
