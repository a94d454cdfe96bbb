//! Cancelling.

use mainspring::{Cancel, Handle, Message, Offset};

use crate::rig::{DAY, HOUR, Rig, SECOND, bodies, body_set, fill, numbered, seen, timer};

/// K01, <https://github.com/apache/rocketmq/issues/7991>
#[test]
fn k01_a_cancel_holds_at_every_horizon_and_after_any_number_of_moves() {
    // On both sides of each level of the wheel, the last of which ends after 34 years, and between them.
    let edges = |level: u32| [256_u64.pow(level) - 1, 256_u64.pow(level)];
    let mut delays: Vec<u64> = (1..=5).flat_map(edges).collect();
    delays.extend([200, 5_000, HOUR, DAY, 400 * DAY]);
    delays.sort_unstable();
    for moved in 0..4 {
        let rig = Rig::new();
        let mut store = rig.open();
        let pair = |delay: &u64| {
            let doomed = timer(&store, format!("cancelled {delay}"), *delay);
            (doomed, timer(&store, delay.to_string(), *delay))
        };
        let timers: Vec<_> = delays.iter().map(pair).collect();
        let last_ms = timers.iter().map(|(_, kept)| kept.due_ms).max().unwrap();
        if moved % 2 == 1 {
            fill(&store, 1); // their bodies stand in a bucket
        }
        if moved >= 2 {
            store = rig.restart(store);
        }
        for (delay, (doomed, kept)) in delays.iter().zip(&timers) {
            // Most of its way is gone, and with it every level of the wheel but the last ones.
            rig.pass(&store, u64::try_from(kept.due_ms - store.now_ms() - 1).unwrap());
            assert_eq!(store.cancel(&doomed.handle).unwrap(), Cancel::Cancelled, "{delay}, {moved}");
        }
        rig.pass(&store, u64::try_from(last_ms - store.now_ms()).unwrap() + HOUR);
        let fired = body_set(&store);
        assert!(delays.iter().all(|delay| fired.contains(delay.to_string().as_bytes())));
        assert_eq!(fired.len(), delays.len(), "{moved}");
        assert_eq!(store.stats().timers_pending, 0);
    }
}

/// K02, <https://github.com/mxsm/rocketmq-rust/issues/9154>
#[test]
fn k02_a_cancel_among_the_drain_and_the_fire_has_one_outcome_which_is_told() {
    let rig = Rig::new();
    let store = rig.open();
    let doomed = timer(&store, "in a bucket", HOUR);
    fill(&store, 1);
    assert_eq!(store.stats().buckets, 1);
    let fires = timer(&store, "in the log", HOUR - 1);
    rig.clock.advance(HOUR);
    store.decide(); // the moment is drained: one body is being read, the other one's fire is appended
    assert_eq!(store.stats().timers_pending, 2, "neither is applied");
    let before = store.cancel_start(&doomed.handle).unwrap();
    let behind = store.cancel_start(&fires.handle).unwrap();
    store.step();
    assert_eq!(before.wait().unwrap(), Cancel::Cancelled, "it stands before the fire");
    let fired_ms = seen(&store, "t")[0].store_ms;
    assert_eq!(behind.wait().unwrap(), Cancel::AlreadyFired { at_ms: Some(fired_ms) });
    assert_eq!(bodies(&store), [b"in the log"]);
    assert_eq!((store.stats().fires, store.stats().timers_pending), (1, 0));
}

/// K02: a fire that a cancel came before is a blank, which readers skip.
#[test]
fn k02_a_fire_behind_its_cancel_is_void_and_the_queue_goes_on() {
    let rig = Rig::new();
    let store = rig.open();
    let doomed = timer(&store, "doomed", SECOND);
    let cancel = store.cancel_start(&doomed.handle).unwrap(); // appended, not committed
    rig.clock.advance(SECOND);
    store.decide(); // so the timer still pends, and fires
    store.step();
    assert_eq!(cancel.wait().unwrap(), Cancel::Cancelled);
    timer(&store, "next", SECOND);
    rig.pass(&store, SECOND);
    assert_eq!((store.stats().voids, store.stats().fires), (1, 1));
    assert_eq!(bodies(&store), [b"next"]);
    assert_eq!(store.queue_range("t", 0).unwrap().end, 2, "the blank keeps its offset");
}

/// K05, <https://github.com/apache/rocketmq/issues/8974>
#[test]
fn k05_answers_are_true_and_stay_the_same_over_restarts() {
    let mut rig = Rig::new();
    let mut store = rig.open();
    let fired = timer(&store, "fired", SECOND);
    let cancelled = timer(&store, "cancelled", HOUR);
    let plain = store.append(Message::new("t", "no timer")).unwrap().wait().unwrap();
    assert_eq!(store.cancel(&cancelled.handle).unwrap(), Cancel::Cancelled);
    rig.pass(&store, 3 * SECOND);
    let fired_ms = seen(&store, "t").last().unwrap().store_ms;
    assert_eq!(fired_ms, fired.due_ms + 2_000, "it was late, and that is what is told");
    for round in 0..3 {
        let names = |due_ms, schedule| Handle { due_ms, schedule };
        let answers = [
            (fired.handle, Cancel::AlreadyFired { at_ms: Some(fired_ms) }),
            (cancelled.handle, Cancel::Cancelled),
            (names(fired.due_ms + 1, fired.handle.schedule), Cancel::NotFound),
            (names(cancelled.due_ms, plain.offset), Cancel::NotFound),
            (names(cancelled.due_ms, Offset(0)), Cancel::NotFound),
            (names(cancelled.due_ms, Offset(u64::MAX)), Cancel::NotFound),
            (names(cancelled.due_ms, store.stats().tail.plus(1 << 20)), Cancel::NotFound),
        ];
        for (handle, answer) in answers {
            for _ in 0..2 {
                assert_eq!(store.cancel(&handle).unwrap(), answer, "{handle}, round {round}");
            }
        }
        store = if round == 0 { rig.kill(store) } else { rig.restart(store) };
        rig.pass(&store, HOUR);
    }
}

/// K06, <https://github.com/restatedev/restate/issues/1029>
#[test]
fn k06_nothing_happens_when_the_due_time_of_a_cancelled_timer_passes() {
    for restart in [false, true] {
        let rig = Rig::new();
        let mut store = rig.open();
        let doomed: Vec<_> = (0..50).map(|i| timer(&store, numbered(i, 100), HOUR + i as u64)).collect();
        for timer in &doomed {
            assert_eq!(store.cancel(&timer.handle).unwrap(), Cancel::Cancelled);
        }
        if restart {
            store = rig.restart(store);
        }
        rig.pass(&store, SECOND);
        let tail = store.stats().tail;
        rig.pass(&store, 2 * HOUR);
        let stats = store.stats();
        assert_eq!((stats.fires, stats.voids, stats.timers_pending, stats.next_due_ms), (0, 0, 0, None));
        assert_eq!(stats.tail, tail, "nothing was written");
        assert_eq!(store.queue_range("t", 0), Some(0..0));
    }
}

/// K13, <https://github.com/streamnative/pulsar/issues/1737>. A topic's timers outlive its deletion; their counts stay
/// true, and nobody is held up by them.
#[test]
fn k13_timers_of_a_deleted_topic_stay_counted_until_they_are_due_or_cancelled() {
    let rig = Rig::new();
    let mut store = rig.open();
    let timers: Vec<_> = (0..10).map(|i| timer(&store, numbered(i, 100), HOUR)).collect();
    store
        .schedule(Message::new("other", "x"), std::time::Duration::from_secs(3_600))
        .unwrap()
        .wait()
        .unwrap();
    store.delete_topic("t").unwrap();
    for _ in 0..2 {
        assert_eq!(store.stats().timers_pending, 11);
        store = rig.restart(store);
    }
    for timer in &timers[..4] {
        assert_eq!(store.cancel(&timer.handle).unwrap(), Cancel::Cancelled);
    }
    rig.pass(&store, HOUR);
    assert_eq!((store.stats().timers_pending, store.stats().timers_overdue), (0, 0));
    assert!(store.topic("t").is_none() && seen(&store, "t").is_empty(), "a fire does not create it again");
    assert_eq!(seen(&store, "other").len(), 1);
    assert_eq!(store.cancel(&timers[9].handle).unwrap(), Cancel::AlreadyFired { at_ms: None });
}

/// K14, <https://github.com/apache/pulsar/issues/11180>
#[test]
fn k14_what_was_cancelled_costs_nothing_when_it_would_have_been_due() {
    let rig = Rig::with(|options| options.retention_bytes = Some(2 * crate::rig::SEGMENT));
    let store = rig.open();
    let timers: Vec<_> = (0..1_000)
        .map(|i| {
            store.schedule(Message::new("t", numbered(i, 1_000)), std::time::Duration::from_secs(36_000))
        })
        .map(|pending| pending.unwrap().wait().unwrap())
        .collect();
    fill(&store, 1);
    assert!(store.stats().buckets > 10, "all bodies were copied");
    for timer in timers.iter().enumerate().filter(|(i, _)| i % 20 != 0).map(|(_, timer)| timer) {
        drop(store.cancel_start(&timer.handle).unwrap());
    }
    store.step();
    assert_eq!(store.stats().timers_pending, 50);
    let tail = store.stats().tail;
    rig.medium.record_trace(true);
    rig.pass(&store, 10 * HOUR);
    let reads = rig.medium.trace().iter().filter(|line| line.starts_with("Read due-")).count();
    rig.medium.record_trace(false);
    assert_eq!(bodies(&store), (0..1_000).step_by(20).map(|i| numbered(i, 1_000)).collect::<Vec<_>>());
    assert!((50..=200).contains(&reads), "{reads} reads of bodies for 50 fires");
    let written = store.stats().tail.0 - tail.0;
    assert!(written < 3 * 64 * 1024, "{written} bytes for 50 fires of 1,000");
    while !rig.streams("due-").is_empty() {
        fill(&store, 1);
        rig.pass(&store, SECOND);
        assert!(store.stats().rolls < 60, "buckets are left: {:?}", rig.streams("due-"));
    }
    assert!(rig.streams("log-").len() < 8, "and so is the log: {:?}", rig.streams("log-"));
}
