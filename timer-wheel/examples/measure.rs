//! Measures insert, cancel and expiry:
//! `cargo run --release -p timer-wheel --example measure [timers [rounds]]`.
//!
//! Five rounds unless said otherwise, the shapes interleaved; prints the median of the rounds as nanoseconds per timer, first by
//! the thread's CPU time (where the system tells it), then by the clock on the wall.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
#![allow(clippy::unwrap_used, reason = "a measurement that goes wrong is to stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use timer_wheel::{Key, Wheel};

const START: u64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;
const WEEK: u64 = 7 * 24 * HOUR;

/// A small generator (xorshift), so that rounds repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Nanoseconds this thread has run, from the scheduler.
fn thread_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[derive(Default)]
struct Figures(BTreeMap<String, Vec<(f64, f64)>>);

impl Figures {
    #[allow(clippy::cast_precision_loss, reason = "figures, not accounts")]
    fn time<R>(&mut self, name: &str, operations: usize, work: impl FnOnce() -> R) -> R {
        let (wall, cpu) = (Instant::now(), thread_ns());
        let result = work();
        let wall = wall.elapsed().as_nanos() as f64;
        let cpu = cpu.zip(thread_ns()).map_or(f64::NAN, |(from, to)| (to - from) as f64);
        let per = operations as f64;
        self.0.entry(name.to_owned()).or_default().push((cpu / per, wall / per));
        result
    }
}

fn fill(wheel: &mut Wheel<u64>, dues: &[u64], keys: &mut Vec<Key>) {
    for (item, &due) in (0..).zip(dues) {
        keys.push(wheel.insert(wheel.now() + due, item));
    }
}

fn round(figures: &mut Figures, shape: &str, span: u64, timers: usize, seed: u64) {
    let mut random = Random(seed);
    let dues: Vec<u64> = (0..timers).map(|_| 1 + random.below(span)).collect();
    let mut keys = Vec::with_capacity(timers);
    keys.extend(std::iter::repeat_n(Wheel::new(0).insert(0, 0), timers));
    keys.clear();
    let mut wheel = Wheel::with_capacity(START, timers);

    figures.time(&format!("{shape} insert, new memory"), timers, || fill(&mut wheel, &dues, &mut keys));
    let mut sum = 0;
    figures.time(&format!("{shape} expire, hopping to next_due"), timers, || {
        while let Some(due) = wheel.next_due() {
            wheel.advance(due, |_, item| sum += item);
        }
    });

    keys.clear();
    figures.time(&format!("{shape} insert, used memory"), timers, || fill(&mut wheel, &dues, &mut keys));
    let (from, tick) = (wheel.now(), if span == HOUR { 100 } else { 1000 });
    figures.time(&format!("{shape} expire, {tick} ms steps"), timers, || {
        for now in (from..=from + span).step_by(tick) {
            wheel.advance(now, |_, item| sum += item);
        }
        wheel.advance(from + span, |_, item| sum += item);
    });
    assert!(wheel.is_empty());

    for order in ["random", "insertion"] {
        keys.clear();
        fill(&mut wheel, &dues, &mut keys);
        if order == "random" {
            for i in (1..timers).rev() {
                keys.swap(i, usize::try_from(random.below(i as u64 + 1)).unwrap());
            }
        }
        figures.time(&format!("{shape} cancel, {order} order"), timers, || {
            for &key in &keys {
                sum += u64::from(wheel.cancel(key));
            }
        });
    }
    black_box(sum);
}

fn main() {
    let timers = std::env::args().nth(1).map_or(10_000_000, |text| text.parse().unwrap());
    let rounds = std::env::args().nth(2).map_or(5, |text| text.parse().unwrap());
    let mut figures = Figures::default();
    for seed in 1..=rounds {
        round(&mut figures, "hour", HOUR, timers, seed * 0x9E37_79B9);
        round(&mut figures, "week", WEEK, timers, seed * 0x9E37_79B9);
    }
    println!("{timers} timers, median of {rounds} rounds, ns per timer: cpu (wall) [cpu of all rounds]");
    for (name, mut rounds) in figures.0 {
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: Vec<String> = rounds.iter().map(|round| format!("{:.1}", round.0)).collect();
        let (cpu, wall) = rounds[rounds.len() / 2];
        println!("{name:<36} {cpu:>6.1} ({wall:.1}) [{}]", all.join(" "));
    }
}
