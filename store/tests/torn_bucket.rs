//! A due bucket that a power cut left half-written is no bucket.
//!
//! Opening took every bucket whose header and directory pass their checksum, also one that was never sealed.
//! If the power went while its records were being flushed, the timers were read from there, failed their
//! checksums and were set aside, although the log still held every one of them. Only sealed buckets count now;
//! what is left of another one is removed, and the bucket is written again.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use backends::FaultyBackend;
use mainspring::{ManualClock, Message, Options, Store};

const TIMERS: u64 = 12;

fn open(medium: &FaultyBackend, clock: &Arc<ManualClock>) -> Store {
    let options = Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        near_horizon_ms: 1_000,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    Store::open_on(Arc::new(medium.clone()), clock.clone(), options).unwrap()
}

/// A store whose first segment is full of timers, with a crash in the middle of operation `crash`. Whether
/// the crash came, and what it left.
fn cut_at(crash: u64, seed: u64) -> (bool, FaultyBackend, Arc<ManualClock>) {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&medium, &clock);
    for i in 0..TIMERS {
        let message = Message::new("t", vec![u8::try_from(i).unwrap(); 4_000]);
        store.schedule(message, Duration::from_secs(3_600)).unwrap().wait().unwrap();
    }
    medium.crash_at(medium.ops() + crash);
    for _ in 0..4 {
        let _ = store.append(Message::new("other", vec![9; 7_000])).and_then(mainspring::Pending::wait);
    }
    store.step();
    store.abandon();
    clock.reboot();
    (medium.is_crashed(), medium.crash(seed), clock)
}

#[test]
fn every_timer_fires_wherever_the_power_is_cut() {
    for crash in 0.. {
        let mut crashed = false;
        for seed in 0..6 {
            let (cut, medium, clock) = cut_at(crash, seed);
            crashed = cut;
            let store = open(&medium, &clock);
            store.append(Message::new("other", "opens the epoch")).unwrap().wait().unwrap();
            clock.advance(3_600_000);
            store.step();
            let stats = store.stats();
            assert_eq!(stats.timers_quarantined, 0, "crash {crash}, seed {seed}: {stats:?}");
            assert_eq!(store.queue_range("t", 0), Some(0..TIMERS), "crash {crash}, seed {seed}: {stats:?}");
            store.close().unwrap();
        }
        if !crashed {
            assert!(crash > 10, "the crashes reached into the upkeep: {crash}");
            return;
        }
    }
}
