//! The store in figures: flushes, lateness, lags.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use mainspring::{CommitRule, ManualClock, Message, Options, Store};

const NOW_MS: i64 = 1_700_000_000_000;

fn open(clock: &Arc<ManualClock>) -> Store {
    let options = Options {
        threads: false,
        commit: CommitRule::Flushed,
        segment_bytes: 1 << 20,
        reserve_bytes: 1 << 20,
        default_queues: 2,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    Store::open_on(Arc::new(MemoryBackend::new()), clock.clone(), options).unwrap()
}

#[test]
fn flushes_and_what_waits_for_them_are_told() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let store = open(&clock);
    store.append(Message::new("t", "first")).unwrap().wait().unwrap();
    let before = store.stats();
    assert_eq!((before.epoch, before.now_ms), (1, NOW_MS));
    assert_eq!((before.uncommitted_bytes, before.unapplied_bytes, before.unflushed_bytes), (0, 0, 0));
    assert_eq!(before.flush_us.count(), before.flush_frames.count());

    let pending: Vec<_> = (0..5).map(|_| store.append(Message::new("t", "x")).unwrap()).collect();
    clock.advance(7);
    let waiting = store.stats();
    assert!(waiting.unflushed_bytes > 0);
    assert_eq!(waiting.uncommitted_bytes, waiting.unflushed_bytes);
    assert_eq!(waiting.unapplied_bytes, waiting.unflushed_bytes);
    assert_eq!(waiting.unflushed_since_ms, Some(NOW_MS));
    store.step();
    drop(pending);
    let after = store.stats();
    assert_eq!((after.uncommitted_bytes, after.unapplied_bytes, after.unflushed_since_ms), (0, 0, None));
    assert_eq!(after.flush_frames.count(), before.flush_frames.count() + 1);
    assert_eq!(after.flush_frames.sum(), before.flush_frames.sum() + 5);
    assert!(!after.poisoned && after.stopped.is_none());
}

#[test]
fn lateness_is_told_by_class() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let store = open(&clock);
    for delay in [10, 20] {
        let scheduled = store.schedule(Message::new("t", "x"), Duration::from_millis(delay)).unwrap();
        scheduled.wait().unwrap();
    }
    clock.advance(10);
    store.step();
    clock.advance(40);
    store.step();
    let late = store.stats().late_ms;
    assert_eq!((late.count(), late.sum()), (2, 30));
    let filled: Vec<_> = late.classes().filter(|(_, count)| *count > 0).collect();
    assert_eq!(filled, [(Some(1), 1), (Some(50), 1)]);
}

#[test]
fn a_group_is_behind_by_what_it_has_not_consumed() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let store = open(&clock);
    let send = || store.append(Message::new("t", "x")).unwrap().wait().unwrap();
    for _ in 0..6 {
        send();
    }
    clock.advance(1_000);
    for _ in 0..4 {
        send();
    }
    assert!(store.lags().is_empty());
    store.commit_offset("a", "t", 0, 5).unwrap().wait().unwrap();
    store.commit_offset("a", "t", 1, 3).unwrap().wait().unwrap();
    store.commit_offset("b", "t", 0, 0).unwrap().wait().unwrap();
    store.commit_offset("b", "gone", 0, 0).unwrap().wait().unwrap();
    store.step();
    let lags = store.lags();
    let told: Vec<_> =
        lags.iter().map(|l| (&l.group[..], &l.topic[..], l.messages, l.behind.len())).collect();
    assert_eq!(told, [("a", "t", 2, 1), ("b", "t", 5, 1)]);
    let oldest = |n: usize| store.oldest_unconsumed_ms(&lags[n]).unwrap();
    assert_eq!((oldest(0), oldest(1)), (Some(NOW_MS + 1_000), Some(NOW_MS)));
}

/// More queues than are looked at under one lock.
#[test]
fn many_queues_are_looked_at_in_parts() {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let store = open(&clock);
    store.append(Message::new("t", "x")).unwrap().wait().unwrap();
    for group in 0..2_000 {
        let pending = store.commit_offset(&format!("g{group:04}"), "t", 0, 0).unwrap();
        if group % 500 == 499 {
            pending.wait().unwrap();
        }
    }
    store.step();
    let lags = store.lags();
    assert_eq!(lags.len(), 2_000);
    assert!(lags.iter().enumerate().all(|(n, lag)| lag.group == format!("g{n:04}")));
}
