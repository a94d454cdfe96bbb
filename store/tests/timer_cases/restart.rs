//! Crash and restart.

use std::collections::BTreeSet;
use std::time::Duration;

use mainspring::{Cancel, Message};

use crate::rig::{HOUR, MINUTE, Rig, SECOND, bodies, body_set, fill, numbered, seen, timer, timers};

/// R01, <https://github.com/mxsm/rocketmq-rust/pull/9159>
#[test]
fn r01_a_kill_among_timers_of_one_second_repeats_none_of_them() {
    let expected: Vec<_> = (0..40).map(|i| numbered(i, 3_000)).collect();
    let mut partly = 0;
    for crash in 0.. {
        let mut rig = Rig::new();
        let store = rig.open();
        for body in &expected {
            timer(&store, body.clone(), SECOND);
        }
        rig.medium.crash_at(rig.medium.ops() + crash);
        rig.pass(&store, SECOND);
        let crashed = rig.medium.is_crashed();
        let store = rig.kill(store);
        let before = store.queue_range("t", 0).unwrap().end;
        partly += u32::from((1..40).contains(&before));
        rig.pass(&store, SECOND);
        assert_eq!(bodies(&store), expected, "killed at {crash}, when {before} had fired");
        assert_eq!(store.stats().timers_pending, 0);
        if !crashed {
            assert!(partly > 0, "no kill fell between two of the fires");
            return;
        }
    }
}

/// R02, <https://github.com/apache/rocketmq/issues/3473>
#[test]
fn r02_restarts_during_a_delivery_neither_lose_nor_repeat() {
    let rig = Rig::new();
    let mut store = rig.open();
    for i in 0..1_000 {
        let message = Message::new("t", numbered(i, 50));
        drop(store.schedule(message, Duration::from_millis(i as u64 + 1)).unwrap());
    }
    store.step();
    let mut got = Vec::new();
    for round in 0..8 {
        rig.pass(&store, 130);
        let mut consumer = store.consumer("g", "t").unwrap();
        while let Some(message) = consumer.poll(1, Duration::ZERO).unwrap().pop() {
            got.push(message.body().to_vec());
            consumer.ack(&message).unwrap();
            if got.len() % 130 == 100 {
                break; // the rest of what has fired waits for the next round
            }
        }
        drop(consumer);
        assert!(got.len() < 1_000 || round == 7, "the restarts fall into the delivery");
        store = rig.restart(store);
    }
    let mut consumer = store.consumer("g", "t").unwrap();
    for message in consumer.poll(2_000, Duration::ZERO).unwrap() {
        got.push(message.body().to_vec());
    }
    assert!(got == (0..1_000).map(|i| numbered(i, 50)).collect::<Vec<_>>(), "{} came", got.len());
}

/// Schedules, cancels, fires, a segment that ends, and time for the upkeep. The bodies that must fire, and those
/// that must not; one whose cancel got no answer is neither.
fn busy_life(rig: &Rig) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let (mut pending, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
    let Ok(store) = rig.try_open() else { return (pending, cancelled) };
    for i in 0..12 {
        let (body, delay) = (numbered(i, 4_000), if i < 3 { 10 } else { HOUR });
        let message = Message::new("t", body.clone());
        let done = store.schedule(message, Duration::from_millis(delay)).and_then(mainspring::Pending::wait);
        let Ok(done) = done else { break };
        if i % 5 != 4 {
            pending.insert(body);
        } else if store.cancel(&done.handle).is_ok_and(|answer| answer == Cancel::Cancelled) {
            cancelled.insert(body);
        }
    }
    rig.pass(&store, 20);
    for _ in 0..4 {
        let _ = store.append(Message::new("filler", vec![9; 7_000])).and_then(mainspring::Pending::wait);
    }
    rig.pass(&store, SECOND);
    store.abandon();
    (pending, cancelled)
}

/// R04, <https://github.com/apache/rocketmq/issues/9735>
#[test]
fn r04_wherever_the_kill_falls_what_pends_follows_from_the_log_alone() {
    for crash in 0.. {
        let mut rig = Rig::new();
        rig.medium.crash_at(crash);
        let (pending, cancelled) = busy_life(&rig);
        let crashed = rig.medium.is_crashed();
        rig.medium = rig.medium.kill();
        let bare = rig.copy();
        ["base-", "idx-", "due-"].into_iter().for_each(|kind| bare.remove(kind));
        let (store, from_log) = (rig.open(), bare.open());
        assert_eq!(store.digest(), from_log.digest(), "killed at {crash}");
        assert_eq!(store.stats().timers_pending, from_log.stats().timers_pending);
        rig.pass(&store, HOUR);
        let fired = body_set(&store);
        assert!(pending.is_subset(&fired), "killed at {crash}");
        assert!(cancelled.is_disjoint(&fired), "killed at {crash}");
        assert_eq!(store.stats().timers_pending, 0);
        if !crashed {
            assert!(crash > 25 && fired.len() == 10, "{crash} points, {} fired", fired.len());
            return;
        }
    }
}

/// R06, <https://github.com/nsqio/nsq/issues/674>
#[test]
fn r06_what_was_delayed_stays_delayed_over_restarts() {
    let mut rig = Rig::new();
    let mut store = rig.open();
    let far = timer(&store, "far", 30 * 24 * HOUR);
    fill(&store, 1);
    let (hour, soon) = (timer(&store, "hour", HOUR), timer(&store, "soon", 10 * SECOND));
    assert!(store.stats().buckets > 0, "one body is in a bucket, two are in the log");
    for kill in [true, false, true] {
        store = if kill { rig.kill(store) } else { rig.restart(store) };
        store.step();
        assert_eq!((store.stats().timers_pending, bodies(&store).len()), (3, 0));
        assert_eq!(store.stats().next_due_ms, Some(soon.due_ms));
    }
    for (due, fired) in [(soon, 1), (hour, 2), (far, 3)] {
        rig.pass(&store, (due.due_ms - store.now_ms()).unsigned_abs() - 1);
        assert_eq!(seen(&store, "t").len(), fired - 1);
        rig.pass(&store, 1);
        assert_eq!(seen(&store, "t").last().unwrap().store_ms, due.due_ms);
    }
}

/// R07, <https://github.com/apache/pulsar/issues/20638>
#[test]
fn r07_a_restart_repeats_nothing_that_fired_and_was_consumed() {
    let mut rig = Rig::new();
    let mut store = rig.open();
    for i in 0..300 {
        drop(store.schedule(Message::new("t", numbered(i, 500)), Duration::from_millis(10)).unwrap());
    }
    store.step();
    rig.pass(&store, 10);
    let mut consumer = store.consumer("g", "t").unwrap();
    let got = consumer.poll(1_000, Duration::ZERO).unwrap();
    assert_eq!(got.len(), 300);
    got.iter().for_each(|message| consumer.ack(message).unwrap());
    drop(consumer);
    for kill in [true, false, true] {
        store = if kill { rig.kill(store) } else { rig.restart(store) };
        rig.pass(&store, HOUR);
        assert_eq!((store.stats().fires, store.queue_range("t", 0)), (0, Some(0..300)));
        let mut consumer = store.consumer("g", "t").unwrap();
        assert_eq!(consumer.poll(10, Duration::ZERO).unwrap(), []);
    }
}

/// R10, <https://github.com/rabbitmq/rabbitmq-delayed-message-exchange/issues/25>
#[test]
fn r10_what_fell_due_while_the_store_was_down_fires_when_it_is_up() {
    for kill in [true, false] {
        let mut rig = Rig::new();
        let store = rig.open();
        timer(&store, "second", 30 * MINUTE);
        fill(&store, 1);
        timer(&store, "first", MINUTE);
        if kill {
            store.abandon();
            rig.medium = rig.medium.kill();
        } else {
            store.close().unwrap();
            drop(store);
        }
        rig.clock.advance(HOUR);
        let store = rig.open();
        store.step();
        let fired = seen(&store, "t");
        assert_eq!(fired.iter().map(|m| &m.body[..]).collect::<Vec<_>>(), [&b"first"[..], b"second"]);
        assert!(fired.iter().all(|message| message.store_ms == store.now_ms()));
        assert_eq!(store.stats().timers_pending, 0);
    }
}

/// R11, <https://github.com/beanstalkd/beanstalkd/issues/62>
#[test]
fn r11_a_start_that_takes_long_does_not_count_delays_anew() {
    let mut rig = Rig::new();
    let store = rig.open();
    let (past, ahead) = (timer(&store, "past", 10 * MINUTE), timer(&store, "ahead", 20 * MINUTE));
    store.abandon();
    rig.medium = rig.medium.kill();
    rig.clock.advance(12 * MINUTE);
    let store = rig.open();
    store.step();
    assert_eq!(bodies(&store), [b"past"]);
    rig.pass(&store, 8 * MINUTE - 1);
    assert_eq!(bodies(&store).len(), 1);
    rig.pass(&store, 1);
    assert_eq!(seen(&store, "t")[1].store_ms, ahead.due_ms);
    assert_eq!(ahead.due_ms - past.due_ms, 600_000);
}

/// R12, <https://github.com/apache/pulsar/pull/22735>
#[test]
fn r12_a_start_that_cannot_read_something_refuses_or_serves_and_never_fires_early() {
    let rig = Rig::new();
    let store = rig.open();
    timers(&store, 0..20, HOUR);
    fill(&store, 1);
    store.close().unwrap();
    drop(store);
    let mut refused = Vec::new();
    for name in ["log-", "base-", "due-", "idx-"].into_iter().flat_map(|kind| rig.streams(kind)) {
        let copy = rig.copy();
        copy.medium.fail_reads(&name, 0..u64::MAX);
        match copy.try_open() {
            Err(error) => {
                assert_eq!(error.kind(), mainspring::ErrorKind::Io, "{name}: {error}");
                refused.push(name.to_string());
            }
            Ok(store) => {
                store.step();
                let stats = store.stats();
                assert_eq!((stats.timers_pending, stats.fires), (20, 0), "{name}");
                store.abandon();
            }
        }
        copy.medium.heal_reads(&name);
        let store = copy.open();
        assert_eq!((store.stats().timers_pending, bodies(&store).len()), (20, 0), "{name}");
        copy.pass(&store, HOUR);
        assert_eq!(body_set(&store).len(), 20, "{name}");
    }
    for kind in ["base-", "due-"] {
        assert!(refused.iter().any(|name| name.starts_with(kind)), "{kind} is needed: {refused:?}");
    }
}

/// R14, <https://github.com/apache/rocketmq/issues/9841>
#[cfg(all(feature = "mmap", target_os = "linux"))]
#[test]
fn r14_every_close_gives_its_files_and_mappings_back() {
    let rig = Rig::with(|options| options.commit = mainspring::CommitRule::Appended);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let held = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let open = links.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let files = open.filter(|file| file.starts_with(path)).count();
        files + std::fs::read_to_string("/proc/self/maps").unwrap().matches(path).count()
    };
    for round in 0..10 {
        let store = mainspring::Store::open_with(dir.path(), rig.options.clone()).unwrap();
        drop(store.schedule(Message::new("t", vec![7; 2_000]), Duration::from_secs(3_600)).unwrap());
        assert!(held() > 0, "an open store holds something");
        store.close().unwrap();
        drop(store);
        assert_eq!(held(), 0, "round {round}");
    }
}
