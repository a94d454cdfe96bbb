//! A base that a kill left half-written is no base.
//!
//! Opening took every base that passes its checksum, also one that was never sealed. After a kill such a base is
//! whole in the page cache and nowhere else: the store went on from it, removed the segments that its Trim had let
//! go, and the next power cut took the base. Neither base nor log was left to build the state from. Only sealed
//! bases count now, and what was trimmed stays until two of them say so.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use backends::FaultyBackend;
use mainspring::{ManualClock, Message, Options, Store};

fn open(medium: &FaultyBackend, clock: &Arc<ManualClock>, retention_bytes: Option<u64>) -> Store {
    let options = Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        retention_bytes,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    Store::open_on(Arc::new(medium.clone()), clock.clone(), options).unwrap()
}

fn append(store: &Store) -> bool {
    store.append(Message::new("t", "x")).and_then(mainspring::Pending::wait).is_ok()
}

/// Two lives of one segment each, the second of which trims the first; the third one writes the first base and is
/// killed in the middle of operation `crash`. Whether the kill came, and what it left.
fn killed_at(crash: u64) -> (bool, FaultyBackend, Arc<ManualClock>) {
    let (mut medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    for _ in 0..2 {
        let store = open(&medium, &clock, Some(1));
        // Not waited for: nothing but the epoch is prepared, and no base is written yet.
        let _pending = store.append(Message::new("t", "x")).unwrap();
        store.decide();
        store.flush().unwrap();
        store.abandon();
        medium = medium.kill();
    }
    let store = open(&medium, &clock, Some(1));
    medium.crash_at(medium.ops() + crash);
    append(&store);
    clock.advance(1_000);
    store.step();
    store.abandon();
    (medium.is_crashed(), medium.kill(), clock)
}

#[test]
fn the_state_survives_a_kill_and_then_a_power_cut() {
    for crash in 0.. {
        let (crashed, killed, clock) = killed_at(crash);
        for again in 0..16 {
            let medium = killed.kill();
            let store = open(&medium, &clock, None);
            let (at, _) = store.digest();
            medium.crash_at(medium.ops() + again);
            append(&store);
            store.step();
            store.abandon();
            clock.reboot();
            let store = open(&medium.crash(again), &clock, None);
            let stats = store.stats();
            assert_eq!(stats.stopped, None, "killed at {crash}, power cut at {again}: {stats:?}");
            assert!(stats.applied >= at, "killed at {crash}, power cut at {again}: {stats:?}");
            store.abandon();
        }
        if !crashed {
            assert!(crash > 10, "the kills reached into the upkeep: {crash}");
            return;
        }
    }
}
