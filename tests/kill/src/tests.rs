//! The judge by itself: each fault, made by hand, is counted where it belongs, and an honest history is not blamed.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    check::{Checker, Faults, QueueName, dead_topic, retry_topic},
    journal::{self, ATTEMPTS_MAX, Delay, Entry, Failed, Outcome, Request, TOPICS},
    wire::Record,
};

const HOST: u64 = 0x7F00_0001_0000_1234;
const SENT_MS: i64 = 10_000;
const ANSWERED_MS: i64 = 10_020;

fn orders() -> QueueName {
    (TOPICS[0].to_owned(), 1)
}

/// A send to queue 1 of the first topic; `at` is its queue offset if it was acknowledged.
fn send(checker: &mut Checker, first: u64, count: u64, delay: Delay, at: Option<u64>) {
    let positions = (0..count).map(|n| (HOST, 1000 + (first + n) * 10)).collect();
    let outcome = at.map_or(Outcome::Unknown, |queue_offset| Outcome::Done {
        at_ms: ANSWERED_MS,
        positions,
        queue_offset,
    });
    let request = Request::Send { first, count, topic: 0, queue: 1, delay };
    checker.journal.take(Entry { request, sent_ms: SENT_MS, outcome });
}

fn fail(checker: &mut Checker, id: u64, times: u32) {
    let outcome = Outcome::Done { at_ms: ANSWERED_MS, positions: Vec::new(), queue_offset: 0 };
    let request = Request::Fail(Failed { id, times, position: 0 });
    checker.journal.take(Entry { request, sent_ms: SENT_MS, outcome });
}

/// The record of message `id` as the broker would store it.
fn record(id: u64, queue: &QueueName, queue_offset: u64, store_ms: i64, reconsume_times: u32) -> Record {
    let (body, key) = (journal::body(id), journal::key(id));
    let properties = format!("KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}{key}\u{2}RETRY_TOPIC\u{1}{}\u{2}", TOPICS[0]);
    let mut out = BytesMut::new();
    out.put_u32(0);
    out.put_u32(0xDAA3_20A7);
    out.put_u32(crc32fast::hash(&body) & 0x7FFF_FFFF);
    out.put_u32(queue.1);
    out.put_u32(0);
    out.put_u64(queue_offset);
    out.put_u64(1000 + id * 10);
    out.put_u32(0);
    out.put_i64(SENT_MS);
    out.put_u64(HOST);
    out.put_i64(store_ms);
    out.put_u64(HOST);
    out.put_u32(reconsume_times);
    out.put_u64(0);
    out.put_u32(u32::try_from(body.len()).unwrap());
    out.put_slice(&body);
    out.put_u8(u8::try_from(queue.0.len()).unwrap());
    out.put_slice(queue.0.as_bytes());
    out.put_u16(u16::try_from(properties.len()).unwrap());
    out.put_slice(properties.as_bytes());
    let total = u32::try_from(out.len()).unwrap();
    out[..4].copy_from_slice(&total.to_be_bytes());
    Record::take(&mut out.freeze()).unwrap()
}

fn see(checker: &mut Checker, id: u64, queue_offset: u64, store_ms: i64) {
    let queue = orders();
    checker.observe(&queue, &record(id, &queue, queue_offset, store_ms, 0), store_ms + 5);
}

fn faults(checker: &mut Checker) -> Faults {
    checker.settle(i64::MAX);
    checker.faults
}

#[test]
fn an_honest_history_is_not_blamed() {
    let mut checker = Checker::default();
    send(&mut checker, 1, 1, Delay::None, Some(0));
    send(&mut checker, 2, 3, Delay::None, Some(1));
    send(&mut checker, 5, 1, Delay::Level(2), Some(0));
    send(&mut checker, 6, 2, Delay::None, None);
    send(&mut checker, 8, 1, Delay::None, None);
    fail(&mut checker, 1, 0);
    for (id, at) in [(1, 0), (2, 1), (3, 2), (4, 3), (8, 4)] {
        see(&mut checker, id, at, ANSWERED_MS);
    }
    // A blank in the queue, then the timer.
    see(&mut checker, 5, 6, SENT_MS + 500);
    let queue = (retry_topic(), 0);
    checker.observe(&queue, &record(1, &queue, 0, ANSWERED_MS + 1_000, 1), i64::MAX);
    assert_eq!(faults(&mut checker), Faults::default(), "{:?}", checker.findings);
    let standing = checker.standing(i64::MAX, 0);
    assert_eq!((standing.acknowledged, standing.found, standing.unanswered), (6, 6, 1));
    // Read again: the same is fine.
    see(&mut checker, 1, 0, ANSWERED_MS);
    assert_eq!(faults(&mut checker).total(), 0);
}

#[test]
fn what_is_missing_moved_or_changed_is_lost() {
    let mut checker = Checker::default();
    for id in 1..=4 {
        send(&mut checker, id, 1, Delay::None, Some(id - 1));
    }
    see(&mut checker, 2, 0, ANSWERED_MS); // 1 is missing, 2 is in its place
    let queue = orders();
    let mut changed = record(3, &queue, 2, ANSWERED_MS, 0);
    changed.body = Bytes::from_static(b"other");
    checker.observe(&queue, &changed, ANSWERED_MS);
    see(&mut checker, 4, 3, ANSWERED_MS);
    assert_eq!(faults(&mut checker), Faults { lost: 3, ..Faults::default() }, "{:?}", checker.findings);
    checker.shrunk(&queue, 2);
    assert_eq!(faults(&mut checker).lost, 5);
}

#[test]
fn what_is_old_enough_may_be_trimmed_and_nothing_else() {
    let queue = orders();
    for (retention_ms, lost) in [(None, 2), (Some(1_001), 1), (Some(1_000), 0)] {
        let mut checker = Checker::new(retention_ms);
        for id in 1..=3 {
            send(&mut checker, id, 1, Delay::None, Some(id - 1));
        }
        for id in 1..=3 {
            see(&mut checker, id, id - 1, ANSWERED_MS + i64::try_from(id).unwrap());
        }
        assert_eq!(checker.trimmed(&queue, 2, ANSWERED_MS + 1_002), 2);
        assert_eq!(faults(&mut checker), Faults { lost, ..Faults::default() }, "{:?}", checker.findings);
        assert_eq!((checker.count_of(&queue), checker.end_of(&queue)), (1, 3));
        checker.trimmed(&queue, 3, i64::MAX);
        assert_eq!(checker.end_of(&queue), 3);
    }
}

#[test]
fn a_timer_is_lost_only_once_it_is_owed() {
    let mut checker = Checker::default();
    send(&mut checker, 1, 1, Delay::Ms(5_000), Some(0));
    send(&mut checker, 2, 1, Delay::Ms(5_000), None);
    checker.settle(ANSWERED_MS + 5_000);
    assert_eq!((checker.faults.total(), checker.standing(ANSWERED_MS + 5_000, 0).waiting), (0, 1));
    checker.settle(ANSWERED_MS + 6_000);
    assert_eq!(checker.faults, Faults { lost: 1, ..Faults::default() });
}

#[test]
fn twice_is_doubled_and_before_its_time_is_early() {
    let mut checker = Checker::default();
    send(&mut checker, 1, 1, Delay::Level(3), Some(0));
    send(&mut checker, 2, 1, Delay::Until(SENT_MS + 300), Some(0));
    send(&mut checker, 3, 1, Delay::Ms(300), None);
    see(&mut checker, 1, 0, SENT_MS + 1_000);
    see(&mut checker, 1, 1, SENT_MS + 1_500);
    see(&mut checker, 2, 2, SENT_MS + 299);
    // Its time of storage is right, but a client had it before.
    let queue = orders();
    checker.observe(&queue, &record(3, &queue, 3, SENT_MS + 300, 0), SENT_MS + 250);
    assert_eq!(faults(&mut checker), Faults { doubled: 1, early: 2, ..Faults::default() });
}

#[test]
fn what_nobody_sent_and_half_a_batch_are_other_faults() {
    let mut checker = Checker::default();
    send(&mut checker, 1, 3, Delay::None, None);
    see(&mut checker, 1, 0, ANSWERED_MS);
    see(&mut checker, 2, 1, ANSWERED_MS);
    see(&mut checker, 9, 2, ANSWERED_MS); // invented
    assert_eq!(faults(&mut checker), Faults { other: 2, ..Faults::default() }, "{:?}", checker.findings);
    // What stood somewhere stays what it was, and nothing appears between.
    see(&mut checker, 1, 0, ANSWERED_MS + 1);
    assert_eq!(checker.faults.other, 3);
}

#[test]
fn retries_count_up_and_end_as_dead_letters() {
    let mut checker = Checker::default();
    send(&mut checker, 1, 1, Delay::None, Some(0));
    see(&mut checker, 1, 0, ANSWERED_MS);
    fail(&mut checker, 1, 0);
    fail(&mut checker, 1, ATTEMPTS_MAX);
    let (retry, dead) = ((retry_topic(), 0), (dead_topic(), 0));
    checker.observe(&retry, &record(1, &retry, 0, ANSWERED_MS + 1_000, 1), i64::MAX);
    checker.observe(&dead, &record(1, &dead, 0, ANSWERED_MS, ATTEMPTS_MAX + 1), i64::MAX);
    assert_eq!(faults(&mut checker).total(), 0, "{:?}", checker.findings);
    assert_eq!(checker.to_fail, [Failed { id: 1, times: 1, position: 1010 }]);
    // A count that nobody asked for, and a dead letter among the retries.
    checker.observe(&retry, &record(1, &retry, 1, ANSWERED_MS + 1_000, 2), i64::MAX);
    checker.observe(&retry, &record(1, &retry, 2, ANSWERED_MS + 1_000, ATTEMPTS_MAX + 1), i64::MAX);
    assert_eq!(checker.faults.other, 2);
}

#[test]
fn progress_never_goes_below_what_was_acknowledged() {
    let mut checker = Checker::default();
    let key = (0, 0, 1);
    let done = Outcome::Done { at_ms: ANSWERED_MS, positions: Vec::new(), queue_offset: 0 };
    for (offset, outcome) in [(5, done), (8, Outcome::Unknown)] {
        let request = Request::Commit { key, offset };
        checker.journal.take(Entry { request, sent_ms: SENT_MS, outcome });
    }
    for value in [5, 8] {
        checker.progress(key, Some(value));
    }
    assert_eq!(checker.faults.total(), 0);
    checker.progress(key, Some(4));
    checker.progress(key, None);
    checker.progress(key, Some(9));
    assert_eq!(checker.faults, Faults { lost: 2, progress: 2, other: 1, ..Faults::default() });
}
