//! A store without threads, on a manual clock: the shortest way through every part.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use mainspring::{
    Cancel, CommitRule, ErrorKind, Handle, ManualClock, Message, Options, ReadRequest, ReadStatus, Store,
    TagFilter,
};

fn options() -> Options {
    Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        fire_reserve_bytes: 0,
        ..Options::default()
    }
}

fn read(store: &Store, topic: &str, from: u64) -> (ReadStatus, Vec<Vec<u8>>, u64) {
    let all = TagFilter::all();
    let request = ReadRequest { topic, queue: 0, from, max_records: 32, max_bytes: 1 << 20, filter: &all };
    let result = store.read(&request).unwrap();
    let bodies = result
        .records
        .iter()
        .map(|r| mainspring::record::Record::parse(r).unwrap().body().to_vec())
        .collect();
    (result.status, bodies, result.next)
}

#[test]
fn messages_come_back_in_order_also_after_a_reopen() {
    for commit in [CommitRule::Flushed, CommitRule::Appended] {
        let backend = Arc::new(MemoryBackend::new());
        let clock = Arc::new(ManualClock::new(1_000_000));
        let options = Options { commit, ..options() };
        let mut sent = Vec::new();
        for round in 0..3 {
            let store = Store::open_on(backend.clone(), clock.clone(), options.clone()).unwrap();
            for i in 0..300 {
                let body = format!("{round}-{i}-{}", "x".repeat(400)).into_bytes();
                let ack = store.append(Message::new("orders", body.clone())).unwrap().wait().unwrap();
                assert_eq!(ack.queue_offset, sent.len() as u64);
                sent.push(body);
            }
            let mut from = 0;
            let mut found = Vec::new();
            loop {
                let (status, bodies, next) = read(&store, "orders", from);
                if status == ReadStatus::AtEnd {
                    break;
                }
                found.extend(bodies);
                from = next;
            }
            assert!(found == sent, "round {round}: {} of {}", found.len(), sent.len());
            store.flush().unwrap();
            store.step();
            assert!(store.stats().rolls > 0 && store.stats().indexes > 0, "{:?}", store.stats());
            store.close().unwrap();
        }
    }
}

#[test]
fn timers_fire_once_and_cancel_is_decided_by_the_log() {
    let backend = Arc::new(MemoryBackend::new());
    let clock = Arc::new(ManualClock::new(1_000_000));
    let store = Store::open_on(backend.clone(), clock.clone(), options()).unwrap();
    let a = store.schedule(Message::new("t", "a"), Duration::from_secs(10)).unwrap().wait().unwrap();
    let b = store.schedule(Message::new("t", "b"), Duration::from_secs(5)).unwrap().wait().unwrap();
    let c = store.schedule(Message::new("t", "c"), Duration::from_secs(20)).unwrap().wait().unwrap();
    assert_eq!(read(&store, "t", 0).0, ReadStatus::AtEnd);
    clock.advance(4_999);
    store.step();
    assert_eq!(read(&store, "t", 0).0, ReadStatus::AtEnd);
    clock.advance(1);
    store.step();
    assert_eq!(read(&store, "t", 0).1, [b"b"]);
    assert_eq!(store.cancel(&c.handle).unwrap(), Cancel::Cancelled);
    assert_eq!(store.cancel(&c.handle).unwrap(), Cancel::Cancelled);
    assert_eq!(store.cancel(&b.handle).unwrap(), Cancel::AlreadyFired { at_ms: Some(b.due_ms) });
    let other = Handle { due_ms: c.due_ms + 1, ..c.handle };
    assert_eq!(store.cancel(&other).unwrap(), Cancel::NotFound, "with another due time it names no timer");
    let other = Handle { due_ms: a.due_ms + 1, ..a.handle };
    assert_eq!(store.cancel(&other).unwrap(), Cancel::NotFound, "nor does it while the timer is pending");
    let digest = store.digest().1;
    store.abandon();

    let store = Store::open_on(backend, clock.clone(), options()).unwrap();
    assert_eq!(store.digest().1, digest);
    clock.advance(100_000);
    store.step();
    assert_eq!(read(&store, "t", 0).1, [b"b", b"a"]);
    // It was due at 10 s, and the store went on at 5 s with the clock at 105 s.
    let fired = store.cancel(&a.handle).unwrap();
    assert_eq!(fired, Cancel::AlreadyFired { at_ms: Some(store.now_ms()) });
    assert_eq!(store.cancel(&c.handle).unwrap(), Cancel::Cancelled);
    assert_eq!(store.stats().timers_pending, 0);
}

#[test]
fn a_consumer_acks_and_a_failure_comes_again_until_it_is_a_dead_letter() {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let options = Options { attempts_max: 2, ..options() };
    let store = Store::open_on(Arc::new(MemoryBackend::new()), clock.clone(), options).unwrap();
    store.append(Message::new("orders", "good").key("k1")).unwrap().wait().unwrap();
    store
        .append(Message::new("orders", "bad").key("k2").tag("t").property("p", "v"))
        .unwrap()
        .wait()
        .unwrap();
    let mut consumer = store.consumer("billing", "orders").unwrap();
    let mut seen = Vec::new();
    for _ in 0..60 {
        for m in consumer.poll(32, Duration::ZERO).unwrap() {
            assert_eq!(m.topic(), "orders");
            if &m.body()[..] == b"bad" {
                assert_eq!((m.key(), m.tag(), m.property("p")), (Some("k2"), Some("t"), Some("v")));
                seen.push((m.failures(), store.now_ms()));
                consumer.nack(&m).unwrap();
            } else {
                consumer.ack(&m).unwrap();
            }
        }
        clock.advance(1_000);
        store.step();
    }
    let failures: Vec<i32> = seen.iter().map(|s| s.0).collect();
    assert_eq!(failures, [0, 1, 2]);
    assert!(seen[1].1 - seen[0].1 >= 10_000 && seen[2].1 - seen[1].1 >= 30_000 - 19_000, "{seen:?}");
    let dead = read(&store, "%DLQ%billing", 0);
    assert_eq!(dead.1, [b"bad"]);
    assert_eq!(store.committed_offset("billing", "orders", 0), Some(2));
}

#[test]
fn a_burst_of_timers_fires_also_where_a_segment_is_small() {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let store = Store::open_on(Arc::new(MemoryBackend::new()), clock.clone(), options()).unwrap();
    for _ in 0..100 {
        let due = Duration::from_secs(5);
        store.schedule(Message::new("t", vec![7; 1_000]), due).unwrap().wait().unwrap();
    }
    clock.advance(5_000);
    store.step();
    let stats = store.stats();
    assert_eq!((stats.fires, stats.timers_pending), (100, 0));
}

/// Who must not block is refused while space is prepared, and once there is none; nothing is written by either.
#[test]
fn an_append_that_does_not_wait_is_told_that_space_is_being_prepared() {
    let options = Options { wait_for_space: false, commit: CommitRule::Appended, ..options() };
    let backend = Arc::new(MemoryBackend::with_capacity(400 << 10));
    let store = Store::open_on(backend, Arc::new(ManualClock::new(1_000_000)), options).unwrap();
    let (mut appended, mut prepared) = (0, 0);
    for _ in 0..1_000 {
        match store.append(Message::new("orders", vec![1; 8 << 10])) {
            Ok(pending) => {
                assert_eq!(pending.peek().unwrap().queue_offset, appended);
                appended += 1;
            }
            Err(error) if error.kind() == ErrorKind::Preparing => {
                assert!(error.is_retryable());
                prepared += 1;
                store.step();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                break;
            }
        }
    }
    assert!(appended > 20 && prepared > 2, "{appended} appended, {prepared} times prepared");
    let again = store.append(Message::new("orders", vec![1; 8 << 10])).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Full);
    store.step();
    assert_eq!(store.queue_range("orders", 0), Some(0..appended));
}
