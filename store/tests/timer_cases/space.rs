//! Memory and disk.

use mainspring::{Cancel, ErrorKind, Message};

use crate::rig::{DAY, HOUR, MINUTE, Rig, SECOND, SEGMENT, bodies, fill, numbered, seen, timer};

/// S05, <https://github.com/apache/pulsar-site/pull/771>
#[test]
fn s05_a_timer_far_ahead_does_not_keep_the_log() {
    let rig = Rig::with(|options| options.retention_bytes = Some(3 * SEGMENT));
    let store = rig.open();
    let far = timer(&store, "far", 90 * DAY);
    for _ in 0..30 {
        fill(&store, 1);
        rig.pass(&store, MINUTE);
        assert!(rig.streams("log-").len() <= 8, "{:?}", rig.streams("log-"));
    }
    assert!(store.stats().rolls >= 30 && store.stats().start > far.handle.schedule);
    let store = rig.restart(store);
    rig.pass(&store, (far.due_ms - store.now_ms()).unsigned_abs() - 1);
    assert_eq!(bodies(&store).len(), 0);
    rig.pass(&store, 1);
    assert_eq!(bodies(&store), [b"far"]);
}

/// S06, <https://github.com/apache/rocketmq/issues/11156>
#[test]
fn s06_a_body_is_written_three_times_in_its_life() {
    let mut rig = Rig::with(|options| options.retention_bytes = Some(3 * SEGMENT));
    rig.medium.keep_removed();
    let body = numbered(1, 2_000);
    let holds = |bytes: &[u8]| bytes.windows(body.len()).any(|window| window == body);
    let mut removed = 0;
    let mut store = rig.open();
    let far = timer(&store, body.clone(), 400 * DAY);
    for round in 0..21 {
        fill(&store, 2);
        rig.pass(&store, 20 * DAY);
        // A kill forgets what was removed before it.
        removed += rig.medium.take_removed().iter().filter(|(_, bytes)| holds(bytes)).count();
        store = if round % 2 == 0 { rig.kill(store) } else { rig.restart(store) };
        removed += rig.medium.take_removed().iter().filter(|(_, bytes)| holds(bytes)).count();
        let there = rig.streams("").iter().filter(|name| holds(&rig.medium.dump(name).unwrap())).count();
        let expected = if store.now_ms() < far.due_ms { 2 } else { 3 };
        assert_eq!(removed + there, expected, "by its append, into its bucket, by its fire; round {round}");
    }
    assert_eq!(seen(&store, "t")[0].store_ms, far.due_ms);
    assert!(removed > 0, "the segment of its append is gone");
}

/// S07, <https://github.com/apache/rocketmq/issues/4042>
#[test]
fn s07_space_is_won_back_but_never_from_bodies_that_pend() {
    let rig = Rig::with(|options| {
        options.retention_bytes = Some(2 * SEGMENT);
        options.near_horizon_ms = 10 * MINUTE;
    });
    let store = rig.open();
    let near = timer(&store, "near", 5 * MINUTE);
    for _ in 0..6 {
        fill(&store, 1);
        rig.pass(&store, 10 * SECOND);
    }
    assert!(store.stats().start <= near.handle.schedule, "what is due soon stays in the log, which waits");
    assert!(store.stats().log_bytes > 5 * SEGMENT);
    rig.pass(&store, 5 * MINUTE);
    assert_eq!(bodies(&store), [b"near"]);
    for _ in 0..4 {
        fill(&store, 1);
        rig.pass(&store, 10 * SECOND);
    }
    assert!(store.stats().start > near.handle.schedule, "then it goes");
    assert!(rig.streams("log-").len() <= 6, "{:?}", rig.streams("log-"));
}

/// S07: where there is no space for a bucket the log waits, and the timer fires once there is some.
#[test]
fn s07_on_a_full_disk_timers_wait_and_none_is_lost() {
    let rig = Rig::with(|options| options.retention_bytes = Some(2 * SEGMENT));
    let store = rig.open();
    let far = timer(&store, numbered(1, 8_100), HOUR); // more than is left once the disk is full
    rig.medium.set_capacity(Some(3 * SEGMENT));
    let refused = loop {
        match store.append(Message::new("filler", vec![9; 8_000])) {
            Ok(pending) => drop(pending.wait().unwrap()),
            Err(error) => break error,
        }
        rig.pass(&store, SECOND);
        assert!(store.stats().rolls < 20, "the disk is never full: {:?}", store.stats());
    };
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    rig.pass(&store, 2 * HOUR);
    let stats = store.stats();
    assert!(stats.full && stats.timers_pending == 1 && stats.timers_quarantined == 0, "{stats:?}");
    assert_eq!((stats.stopped, stats.timers_overdue), (None, 1), "it is late, and that is told");
    rig.medium.set_capacity(None);
    rig.pass(&store, SECOND);
    rig.pass(&store, SECOND);
    assert_eq!(bodies(&store), [numbered(1, 8_100)]);
    assert!(seen(&store, "t")[0].store_ms > far.due_ms);
}

/// S11, <https://github.com/ablative-io/aion/issues/119>
#[test]
fn s11_a_start_costs_what_pends_and_is_new_not_what_ever_was() {
    let mut rig = Rig::with(|options| options.retention_bytes = Some(3 * SEGMENT));
    let store = rig.open();
    let base_bytes = |rig: &Rig| rig.medium.dump(rig.streams("base-").last().unwrap()).unwrap().len();
    let mut early = 0;
    for round in 0..60 {
        for i in 0..40 {
            let ended = timer(&store, numbered(i, 1_000), 10);
            if i % 2 == 0 {
                assert_eq!(store.cancel(&ended.handle).unwrap(), Cancel::Cancelled);
            }
        }
        timer(&store, numbered(round, 10), 400 * DAY + round as u64);
        rig.pass(&store, 2 * SECOND);
        if round == 19 {
            early = base_bytes(&rig);
        }
    }
    assert!(store.stats().rolls > 40 && early > 0);
    let late = base_bytes(&rig);
    assert!(late < early + 40 * 100, "a base of {early} bytes grew to {late} by 40 timers that pend");
    let end = store.stats().tail;
    let store = rig.kill(store);
    let report = store.report();
    assert_eq!(report.end, end);
    assert!(report.walked_bytes < 4 * SEGMENT, "{report:?}");
    assert_eq!((store.stats().timers_pending, store.stats().fires), (60, 0));
    rig.pass(&store, SECOND);
    assert_eq!(store.stats().fires, 0, "nothing that ended is looked at again");
}
