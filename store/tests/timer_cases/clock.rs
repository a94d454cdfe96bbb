//! Clocks that are wrong.

use std::time::Duration;

use mainspring::{ErrorKind, Message, Wait, draft};

use crate::rig::{DAY, HOUR, MINUTE, Rig, SECOND, bodies, fill, numbered, seen, timer};

const HOUR_MS: i64 = 3_600_000;
/// From 2023, where the tests begin, to 2050.
const TO_2050_MS: i64 = 27 * 365 * 24 * HOUR_MS;

/// C01, <https://github.com/quartz-scheduler/quartz/issues/463>
#[test]
fn c01_a_wall_clock_that_steps_back_and_forward_delays_by_a_bounded_time_that_is_told() {
    let rig = Rig::new();
    let store = rig.open();
    for (body, delay) in [("3 min", 3 * MINUTE), ("30 min", 30 * MINUTE), ("2 h", 2 * HOUR)] {
        timer(&store, body, delay);
    }
    let start_ms = store.now_ms();
    rig.clock.step_wall(-HOUR_MS);
    for second in 1..=600 {
        rig.pass(&store, SECOND);
        assert_eq!(store.now_ms(), start_ms + second * 500, "behind its owner's time it runs at half speed");
        assert_eq!(bodies(&store).len(), usize::from(second >= 360));
    }
    rig.clock.step_wall(HOUR_MS);
    store.step();
    assert_eq!(bodies(&store).len(), 1, "the way forward is a jump, too");
    assert_eq!(store.stats().clock_held_ms, Some(300_000), "by so much timers are late, and it is told");
    rig.pass(&store, 25 * MINUTE);
    assert_eq!(bodies(&store), [&b"3 min"[..], b"30 min"]);
    store.confirm_clock().unwrap();
    assert_eq!((store.stats().clock_held_ms, store.now_ms() - start_ms), (None, 35 * 60_000));
    rig.pass(&store, 85 * MINUTE - 1);
    assert_eq!(bodies(&store).len(), 2);
    rig.pass(&store, 1);
    assert_eq!(bodies(&store), [&b"3 min"[..], b"30 min", b"2 h"]);
}

/// C02, <https://github.com/apache/rocketmq/issues/9455>
#[test]
fn c02_a_clock_that_says_2050_fires_nothing_of_the_future_and_can_be_corrected() {
    let rig = Rig::new();
    let store = rig.open();
    let (hour, year) = (timer(&store, "hour", HOUR), timer(&store, "year", 365 * DAY));
    store.close().unwrap();
    drop(store);
    rig.clock.step_wall(TO_2050_MS);
    let mut store = rig.open();
    for _ in 0..2 {
        store.step();
        let stats = store.stats();
        assert_eq!((stats.clock_held_ms, stats.timers_pending), (Some(TO_2050_MS), 2));
        timer(&store, "relative", 10 * SECOND);
        let shown = bodies(&store).len();
        rig.pass(&store, 10 * SECOND);
        assert_eq!(bodies(&store).len(), shown + 1, "delays go on by the time that goes by");
        store = rig.restart(store);
    }
    rig.clock.step_wall(-TO_2050_MS);
    store.step();
    assert_eq!(store.stats().clock_held_ms, None);
    for due in [hour, year] {
        let shown = bodies(&store).len();
        rig.pass(&store, (due.due_ms - store.now_ms()).unsigned_abs() - 1);
        assert_eq!(bodies(&store).len(), shown);
        rig.pass(&store, 1);
        assert_eq!(seen(&store, "t").last().unwrap().store_ms, due.due_ms);
    }
}

/// C02: a store that never knew another time takes 2050 for true. Corrected, it goes on at half speed.
#[test]
fn c02_a_store_made_in_2050_keeps_its_data_and_its_delays_double_once_that_is_corrected() {
    let rig = Rig::new();
    rig.clock.step_wall(TO_2050_MS);
    let store = rig.open();
    timer(&store, "20 s", 20 * SECOND);
    rig.pass(&store, 10 * SECOND);
    store.append(Message::new("other", "the log knows the time")).unwrap().wait().unwrap();
    rig.clock.step_wall(-TO_2050_MS);
    store.step();
    let store = rig.restart(store);
    rig.pass(&store, 20 * SECOND - 2);
    assert_eq!((bodies(&store).len(), store.stats().timers_pending), (0, 1));
    rig.pass(&store, 2);
    assert_eq!((bodies(&store).len(), store.stats().timers_pending), (1, 0));
}

/// C04, <https://github.com/apache/rocketmq-apis/issues/83>
#[test]
fn c04_a_delay_counts_from_the_stores_time_and_the_due_time_is_told() {
    let rig = Rig::new();
    let store = rig.open();
    let now_ms = store.now_ms();
    let scheduled = timer(&store, "by delay", 5 * SECOND);
    assert_eq!((scheduled.store_ms, scheduled.due_ms), (now_ms, now_ms + 5_000));
    for (off_ms, topic) in [(-600_000, "behind"), (600_000, "ahead")] {
        let born = mainspring::Draft { born_ms: now_ms + off_ms, ..draft(topic, b"x") };
        let due_ms = now_ms + 5_000;
        let done = store.schedule_draft(&born, due_ms, Wait::Committed).unwrap().wait().unwrap();
        assert_eq!((done.due_ms, done.store_ms), (due_ms, now_ms));
    }
    rig.pass(&store, 5 * SECOND - 1);
    assert_eq!(store.stats().fires, 0);
    rig.pass(&store, 1);
    for topic in ["t", "behind", "ahead"] {
        assert_eq!(seen(&store, topic)[0].store_ms, now_ms + 5_000, "{topic}");
    }
}

/// C06, <https://github.com/apache/pulsar/pull/16068>
#[test]
fn c06_timers_fire_in_their_millisecond_and_never_before() {
    let rig = Rig::new();
    let store = rig.open();
    let start_ms = store.now_ms();
    let dues = [0, 1, 9, 10, 11, 63, 64, 65, 127, 128, 129, 255, 256, 257].map(|ms| start_ms + ms);
    for due_ms in dues {
        drop(store.schedule_at(Message::new("t", due_ms.to_string()), due_ms).unwrap());
    }
    let part =
        store.schedule(Message::new("part", "x"), Duration::from_micros(1_001)).unwrap().wait().unwrap();
    assert_eq!(part.due_ms, start_ms + 2, "a part of a millisecond counts as one");
    for _ in 0..300 {
        store.step();
        let expected: Vec<_> = dues.iter().filter(|due| **due <= store.now_ms()).copied().collect();
        let fired: Vec<_> = seen(&store, "t").iter().map(|message| message.store_ms).collect();
        assert_eq!(fired, expected);
        rig.clock.advance(1);
    }
    assert_eq!(bodies(&store), dues.map(|due| due.to_string().into_bytes()));
}

/// C07, <https://github.com/apache/rocketmq/pull/10882>
#[test]
fn c07_a_delay_out_of_range_is_refused_with_the_reason_and_a_large_one_is_kept() {
    let rig = Rig::new();
    let store = rig.open();
    timer(&store, "first", SECOND);
    let tail = store.stats().tail;
    let message = || Message::new("t", "x");
    for delay in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_millis(i64::MAX as u64)] {
        let refused = store.schedule(message(), delay).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("delay"), "{refused}");
    }
    for due_ms in [-1, i64::MIN] {
        let refused = store.schedule_at(message(), due_ms).unwrap_err();
        assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("1970"), "{refused}");
    }
    assert_eq!(store.stats().tail, tail, "nothing was written");
    let over_32_bits = timer(&store, "50 days", u64::from(u32::MAX) + 1);
    let far_ms = 253_402_300_799_999; // the last millisecond of the year 9999
    for due_ms in [far_ms, i64::MAX] {
        drop(store.schedule_at(message(), due_ms).unwrap());
    }
    let store = rig.restart(store);
    rig.pass(&store, (over_32_bits.due_ms - store.now_ms()).unsigned_abs() - 1);
    assert_eq!(bodies(&store), [b"first"]);
    rig.pass(&store, 1);
    assert_eq!(bodies(&store), [&b"first"[..], b"50 days"]);
    assert_eq!((store.stats().timers_pending, store.stats().next_due_ms), (2, Some(far_ms)));
}

/// C10, <https://github.com/apache/rocketmq/issues/1914>
#[test]
fn c10_the_due_time_decides_not_the_place_in_the_log() {
    let rig = Rig::new();
    let mut store = rig.open();
    let later_first = |i: u64| timer(&store, numbered(i, 4_000), (60 - i) * MINUTE);
    let timers: Vec<_> = (0..40).map(later_first).collect();
    fill(&store, 1);
    assert!(store.stats().buckets >= 2, "later ones stand in an earlier bucket");
    for (fired, next) in timers.iter().rev().enumerate() {
        rig.pass(&store, (next.due_ms - store.now_ms()).unsigned_abs());
        assert_eq!(seen(&store, "t").last().unwrap().store_ms, next.due_ms);
        assert_eq!(store.queue_range("t", 0), Some(0..fired as u64 + 1));
        if fired == 20 {
            store = rig.restart(store);
        }
    }
    assert_eq!(bodies(&store), (0..40).rev().map(|i| numbered(i, 4_000)).collect::<Vec<_>>());
}
