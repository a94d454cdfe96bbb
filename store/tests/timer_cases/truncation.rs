//! What is cut off, lost or damaged.

use std::collections::{BTreeMap, BTreeSet};

use backends::{Damage, Streams};
use mainspring::{Cancel, CommitRule, Message};

use crate::rig::{HOUR, Rig, SECOND, SEGMENT, bodies, body_set, fill, numbered, seen, timer, timers};

/// T01, <https://github.com/apache/rocketmq/issues/10668>. On one machine the cut is a power cut's.
#[test]
fn t01_timers_of_a_tail_that_was_cut_name_nothing_that_is_written_later() {
    let mut cut = 0;
    for seed in 0..12 {
        let mut rig = Rig::with(|options| options.commit = CommitRule::Appended);
        let store = rig.open();
        let before: Vec<_> = (0..10).map(|i| timer(&store, numbered(i, 1_000), HOUR)).collect();
        store.flush().unwrap();
        let after: Vec<_> = (10..30).map(|i| timer(&store, numbered(i, 1_000), HOUR)).collect();
        store.abandon();
        rig.medium = rig.medium.crash(seed);
        rig.clock.reboot();
        let store = rig.open();
        let kept = store.stats().timers_pending;
        assert!((10..=30).contains(&kept), "{kept}");
        cut += 30 - kept;
        // Other bytes where the lost ones stood, also in the same segment.
        let new: Vec<_> = (30..50).map(|i| timer(&store, numbered(i, 900), HOUR).handle).collect();
        let old: BTreeSet<_> = before.iter().chain(&after).map(|scheduled| scheduled.handle).collect();
        assert!(new.iter().all(|handle| !old.contains(handle)), "a handle names one timer for ever");
        for lost in after.iter().skip(kept - 10) {
            assert_eq!(store.cancel(&lost.handle).unwrap(), Cancel::NotFound);
        }
        rig.pass(&store, HOUR);
        let numbers = (0..kept).map(|i| numbered(i, 1_000)).chain((30..50).map(|i| numbered(i, 900)));
        assert_eq!(body_set(&store), numbers.collect(), "seed {seed}");
    }
    assert!(cut > 0, "no power cut took anything");
}

/// T03, <https://github.com/apache/rocketmq/issues/1869>
#[test]
fn t03_a_store_whose_log_lost_its_head_says_what_is_missing_and_holds_all_timers() {
    let rig = Rig::with(|options| options.near_horizon_ms = 2 * HOUR);
    let store = rig.open();
    timer(&store, "in the head", HOUR);
    fill(&store, 2);
    timer(&store, "behind it", HOUR);
    store.close().unwrap();
    drop(store);
    let cut = rig.copy();
    cut.medium.remove(&cut.streams("log-")[0]).unwrap();
    let before = cut.medium.ops();
    let store = cut.open();
    cut.pass(&store, HOUR);
    let stats = store.stats();
    let why = stats.stopped.unwrap();
    assert!(why.contains("missing") && why.contains(&format!("offset {}", stats.start)), "{why}");
    assert_eq!((stats.timers_pending, stats.fires, stats.next_due_ms.is_some()), (2, 0, true));
    let refused = store.append(Message::new("t", "x")).unwrap_err();
    assert_eq!(refused.kind(), mainspring::ErrorKind::ReadOnly);
    assert_eq!(cut.medium.ops(), before, "it waits, and leaves all as it is");
    let store = rig.open(); // with its head back
    rig.pass(&store, HOUR);
    assert_eq!(bodies(&store), [&b"in the head"[..], b"behind it"]);
}

/// T06, <https://github.com/apache/rocketmq/issues/7641>
#[test]
fn t06_a_record_that_cannot_be_read_is_set_aside_and_holds_up_no_other() {
    let rig = Rig::with(|options| options.retention_bytes = Some(2 * SEGMENT));
    let store = rig.open();
    let head = |rig: &Rig| rig.streams("log-").first().cloned();
    let first = timers(&store, 0..10, HOUR);
    fill(&store, 1);
    timers(&store, 10..20, HOUR + SECOND);
    let oldest = head(&rig);
    while head(&rig) == oldest {
        fill(&store, 1);
        rig.pass(&store, SECOND);
    }
    let due = rig.streams("due-")[0].clone();
    let bytes = rig.medium.dump(&due).unwrap();
    let bad = bytes.windows(6).position(|window| window == b"00004 ").unwrap();
    assert!(rig.medium.damage(&due, bad as u64 + 100, &Damage::Flip(1)));
    let store = rig.restart(store);
    let wait = u64::try_from(first[0].due_ms - store.now_ms()).unwrap();
    rig.pass(&store, wait);
    assert_eq!(
        (store.stats().timers_quarantined, store.stats().timers_pending),
        (1, 11),
        "and it is counted"
    );
    rig.pass(&store, 2 * SECOND);
    let expected = (0..20).filter(|i| *i != 4).map(|i| numbered(i, 4_000)).collect();
    assert_eq!(body_set(&store), expected);
    assert!(seen(&store, "t").iter().take(9).all(|message| message.store_ms == first[0].due_ms), "on time");
    assert_eq!(store.stats().timers_overdue, 0, "nothing is tried again and again");
    assert_eq!(store.cancel(&first[4].handle).unwrap(), Cancel::Cancelled, "its owner can end it");
    assert_eq!(store.stats().timers_pending, 0);
}

/// T08, <https://github.com/apache/pulsar/pull/26230>
#[test]
fn t08_whichever_of_its_files_is_gone_a_timer_that_pends_fires() {
    let rig = Rig::new();
    let store = rig.open();
    timers(&store, 0..30, HOUR);
    store.close().unwrap();
    drop(store);
    for kinds in [&["due-"][..], &["base-"], &["idx-"], &["due-", "base-"], &["due-", "base-", "idx-"]] {
        let copy = rig.copy();
        kinds.iter().for_each(|kind| copy.remove(kind));
        let store = copy.open();
        assert_eq!(store.stats().timers_pending, 30, "without {kinds:?}");
        copy.clock.advance(HOUR);
        store.step();
        assert_eq!(body_set(&store).len(), 30, "without {kinds:?}");
        assert_eq!((store.stats().timers_pending, store.stats().timers_quarantined), (0, 0));
    }
}

/// T09, <https://github.com/apache/rocketmq/blob/09f7671cd7ec5966087382354acf24ad57564820/store/src/main/java/org/apache/rocketmq/store/timer/rocksdb/Timeline.java>
#[test]
fn t09_a_timer_that_arrives_while_its_moment_is_being_drained_fires() {
    let rig = Rig::new();
    let store = rig.open();
    let due_ms = timer(&store, "0 from a bucket", HOUR).due_ms;
    fill(&store, 1);
    assert!(store.stats().buckets == 1);
    let late =
        |body: &str, due_ms| drop(store.schedule_at(Message::new("t", body.to_owned()), due_ms).unwrap());
    late("1 not flushed when its moment comes", due_ms);
    rig.clock.advance(HOUR);
    store.decide(); // the moment is drained; one body is being read, and one timer is not committed
    late("2 while the body is read", due_ms);
    rig.clock.advance(100);
    store.decide();
    late("3 after a stall of 100 ms", due_ms);
    store.flush().unwrap();
    store.decide();
    late("4 before that moment, after it was drained", due_ms - 1);
    rig.clock.advance(100);
    store.step();
    let fired: BTreeMap<u8, i64> = seen(&store, "t").iter().map(|m| (m.body[0] - b'0', m.store_ms)).collect();
    assert_eq!(fired.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(fired.values().all(|ms| (due_ms..=due_ms + 200).contains(ms)), "{fired:?}");
    assert_eq!((bodies(&store).len(), store.stats().timers_pending), (5, 0));
}
