//! A short campaign, the same seed twice, and some of the planted bugs. The long ones are run by `simulate`.

use mainspring::planted::Bug;
use mainspring_sim::campaign::{self, Campaign, Report};
use mainspring_sim::exhaustive;
use mainspring_sim::history;

fn run(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Report {
    campaign::run(&Campaign { from: seeds.start, to: seeds.end, class: None, bug, threads: 2 })
}

#[test]
fn three_hundred_histories_hold() {
    let report = run(0..300, None);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.counts.seeds, 300);
    assert_eq!(report.counts.too_few(20), []);
}

#[test]
fn small_scripts_hold_wherever_they_are_cut() {
    let report = exhaustive::run(1, None);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert!(report.points > 300, "{report:?}");
    for bug in [Bug::AckBeforeFlush, Bug::ShownBeforeReflush, Bug::FiresTwice, Bug::DroppedTooEarly] {
        assert!(exhaustive::run(1, Some(bug)).failure.is_some(), "{bug:?} was not found");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [0, 7, 10, 12, 14, 16, 19, 20, 21, 23, 47, 71] {
        let (once, again) = (history::run(seed, None, None, false), history::run(seed, None, None, false));
        assert_eq!((once.hash, once.steps), (again.hash, again.steps), "seed {seed}");
    }
}

/// In it all bases are lost and an index file is damaged: built again without the voids that went with the state, it has
/// other places for its units, and a queue served the messages of its neighbours.
#[test]
fn a_history_that_failed_once_holds() {
    let report = run(143_363_182..143_363_183, None);
    assert!(report.failure.is_none(), "{:?}", report.failure);
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
        Bug::LockTaken,
        Bug::LocksForgotten,
        Bug::RepeatStored,
        Bug::KeysForgotten,
    ] {
        assert!(run(0..300, Some(bug)).failure.is_some(), "{bug:?} was not found");
    }
}
