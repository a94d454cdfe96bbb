//! A short campaign, the same seed twice, and some of the planted bugs. The long ones are run by `simulate`.

use mainspring::planted::Bug;
use mainspring_sim::campaign::{self, Campaign, Report};
use mainspring_sim::history;
use mainspring_sim::plan::Class;

fn run(seeds: std::ops::Range<u64>, class: Option<Class>, bug: Option<Bug>) -> Report {
    campaign::run(&Campaign { from: seeds.start, to: seeds.end, class, bug, threads: 2 })
}

fn holds(seeds: std::ops::Range<u64>, class: Option<Class>) {
    let report = run(seeds, class, None);
    if let Some(failure) = report.failure {
        let steps = failure.steps.join("\n  ");
        panic!("seed {} breaks {:?}\n  {steps}", failure.seed, failure.verdict);
    }
}

#[test]
fn three_hundred_histories_hold() {
    let report = run(0..300, None, None);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.counts.seeds, 300);
    assert_eq!(report.counts.too_few(20), []);
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [0, 7, 10, 12, 14, 16, 19, 39, 59] {
        let (once, again) = (history::run(seed, None, None, false), history::run(seed, None, None, false));
        assert_eq!((once.hash, once.steps), (again.hash, again.steps), "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    for bug in [
        Bug::AckBeforeFlush,
        Bug::ForgedFrame,
        Bug::DamageCutAsTail,
        Bug::HoleTakenForRoll,
        Bug::FiresTwice,
        Bug::DroppedTooEarly,
        Bug::FailedFlushRetried,
    ] {
        assert!(run(0..300, None, Some(bug)).failure.is_some(), "{bug:?} was not found");
    }
}

// ---- histories that once showed a bug ------------------------------------------------------

#[test]
fn a_burst_of_timers_fires_in_small_segments() {
    holds(0..2, Some(Class::Crash));
}

#[test]
fn a_half_written_index_file_is_written_again() {
    holds(20..21, Some(Class::Clock));
    holds(64..65, Some(Class::Flush));
}

#[test]
fn a_bucket_outlives_the_base_that_names_it() {
    holds(81..82, Some(Class::Full));
}

#[test]
fn what_stands_before_damage_is_served() {
    holds(5..6, Some(Class::Damage));
    holds(826..827, Some(Class::Damage));
}
