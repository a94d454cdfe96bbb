//! Timers at the limits of a frame.
//!
//! Seen by the fuzz target `recovery`: with small segments three timers of 6 KB that were due together never
//! fired, because all of them were put into one frame and the appender refused it, again and again. A fire
//! now takes as many as fit a frame, and what can never fit is refused when it is scheduled, or set aside
//! where a store is opened with smaller segments.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use mainspring::{ErrorKind, ManualClock, Message, Options, Store};

fn open(backend: &Arc<MemoryBackend>, clock: &Arc<ManualClock>, segment_bytes: u64) -> Store {
    let options = Options {
        threads: false,
        segment_bytes,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    Store::open_on(backend.clone(), clock.clone(), options).unwrap()
}

#[test]
fn timers_that_are_due_together_fire_in_as_many_frames_as_they_need() {
    let (backend, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&backend, &clock, 64 << 10);
    for i in 0..40_u8 {
        let message = Message::new("t", vec![i; 6_000 + usize::from(i) * 50]);
        store.schedule(message, Duration::from_secs(5)).unwrap().wait().unwrap();
    }
    clock.advance(5_000);
    store.step();
    assert_eq!(store.queue_range("t", 0), Some(0..40), "{:?}", store.stats());
    assert_eq!(store.stats().timers_pending, 0);
}

#[test]
fn what_can_be_scheduled_can_be_fired() {
    let (backend, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&backend, &clock, 64 << 10);
    store.append(Message::new("t", "the topic is there")).unwrap().wait().unwrap();
    let mut taken = 0;
    for len in 7_000..8_192 {
        let message = Message::new("t", vec![7; 8_000]).property("p", "x".repeat(len));
        match store.schedule(message, Duration::from_secs(5)) {
            Ok(pending) => drop(pending.wait().unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
                break;
            }
        }
        taken += 1;
    }
    assert!(taken > 100 && taken < 1_192, "{taken} were taken");
    clock.advance(5_000);
    store.step();
    assert_eq!(store.queue_range("t", 0), Some(0..taken + 1), "{:?}", store.stats());
}

#[test]
fn a_timer_that_fits_no_frame_any_more_holds_up_nobody() {
    let (backend, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&backend, &clock, 1 << 20);
    store.schedule(Message::new("t", vec![1; 100_000]), Duration::from_secs(5)).unwrap().wait().unwrap();
    store.schedule(Message::new("t", "small"), Duration::from_secs(5)).unwrap().wait().unwrap();
    store.close().unwrap();
    drop(store);
    let store = open(&backend, &clock, 64 << 10);
    clock.advance(5_000);
    store.append(Message::new("t", "opens the epoch")).unwrap().wait().unwrap();
    store.step();
    assert_eq!(store.queue_range("t", 0), Some(0..2), "{:?}", store.stats());
    assert_eq!(store.stats().timers_quarantined, 1);
    store.close().unwrap();
    drop(store);
    let store = open(&backend, &clock, 1 << 20);
    store.append(Message::new("t", "opens the epoch")).unwrap().wait().unwrap();
    store.step();
    assert_eq!(
        store.queue_range("t", 0),
        Some(0..4),
        "the large one fires where it fits: {:?}",
        store.stats()
    );
}

#[test]
fn two_frames_at_least_may_wait_for_their_flush() {
    let options = Options { segment_bytes: 1 << 20, unflushed_bytes_max: 300 << 10, ..Options::default() };
    let why = options.validate().unwrap_err().to_string();
    assert!(why.contains("unflushed_bytes_max"), "{why}");
    assert!(Options { unflushed_bytes_max: 512 << 10, ..options }.validate().is_ok());
}
