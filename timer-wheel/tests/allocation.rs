//! No operation of a warm wheel allocates.
#![allow(unsafe_code, reason = "a global allocator cannot be implemented without; it only counts")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use timer_wheel::{Key, Wheel};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down is not measured.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is handed to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn calls() -> u64 {
    CALLS.with(Cell::get)
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Fills the wheel to `keys.capacity()`, cancels some, drains some, over and over.
fn churn(wheel: &mut Wheel<u64>, keys: &mut Vec<Key>, random: &mut Random, rounds: u64) {
    for round in 0..rounds {
        keys.clear();
        while wheel.len() < keys.capacity() {
            let span = 1 << (random.next() % 31);
            keys.push(wheel.insert(wheel.now() + random.next() % span, round));
        }
        let cancelled = random.below(keys.len() + 1);
        for _ in 0..cancelled {
            let key = keys.swap_remove(random.below(keys.len()));
            wheel.cancel(key);
        }
        let span = 1 << (random.next() % 31);
        let now = wheel.now() + span;
        while wheel.pop(now).is_some() {}
    }
}

#[test]
fn a_wheel_with_capacity_never_allocates() {
    for timers in [1, 100, 5_000] {
        let mut wheel = Wheel::with_capacity(0, timers);
        let mut keys = Vec::with_capacity(timers);
        let before = calls();
        churn(&mut wheel, &mut keys, &mut Random(timers as u64), 300);
        assert_eq!(calls(), before, "{timers} timers");
    }
}

#[test]
fn a_warm_wheel_does_not_allocate_for_far_timers() {
    let mut wheel = Wheel::new(0);
    let mut turn = |turn: u64| {
        for item in 0..500 {
            let key = wheel.insert((turn << 40) + item % 7, item);
            if item % 3 == 0 {
                wheel.cancel(key);
            }
        }
        let mut fired = 0;
        wheel.advance(((turn + 1) << 40) - 1, |_, _| fired += 1);
        assert_eq!(fired, 333);
    };
    (1..4).for_each(&mut turn);
    let before = calls();
    (4..100).for_each(turn);
    assert_eq!(calls(), before);
}

#[test]
fn a_warm_wheel_does_not_allocate_for_overdue_timers() {
    let mut wheel = Wheel::new(1_000);
    let mut turn = || {
        for due in 0..500 {
            let key = wheel.insert(due, due);
            if due % 3 == 0 {
                wheel.cancel(key);
            }
        }
        let mut last = 0;
        wheel.advance(1_000, |due, _| last = due);
        assert_eq!(last, 499);
    };
    (0..3).for_each(|_| turn());
    let before = calls();
    (0..100).for_each(|_| turn());
    assert_eq!(calls(), before);
}
