//! The shell decides nothing: one scripted history, on threads and without, gives the same log and state.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use mainspring::{
    Cancel, CommitRule, Failure, GroupConfig, ManualClock, Message, Offset, Options, Store, TopicConfig,
};

/// Runs the script and gives the digest, what stands where, and what the timers came to.
fn run(threads: bool, commit: CommitRule) -> (Offset, u64, Vec<Offset>, u64) {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let options =
        Options { threads, commit, fire_reserve_bytes: 0, retention_ms: None, ..Options::default() };
    let store = Store::open_on(Arc::new(MemoryBackend::new()), clock.clone(), options).unwrap();
    let mut places = Vec::new();
    store.put_topic(&TopicConfig::new("t", 2)).unwrap();
    store.put_group(&GroupConfig::new("g")).unwrap();
    for i in 0..200_u32 {
        let message = Message::new("t", format!("message {i}")).key(format!("k{}", i % 7));
        places.push(store.append(message).unwrap().wait().unwrap().offset);
        if i % 10 == 0 {
            let delay = Duration::from_millis(u64::from(i) * 5 + 1_000);
            let timer =
                store.schedule(Message::new("later", format!("timer {i}")), delay).unwrap().wait().unwrap();
            places.push(timer.handle.schedule);
            if i % 20 == 0 {
                assert_eq!(store.cancel(&timer.handle).unwrap(), Cancel::Cancelled);
            }
        }
        if i % 50 == 0 {
            let failure = Failure {
                group: "g",
                offset: places[0],
                delay_level: 1,
                attempts_max: None,
                origin_message_id: None,
                origin_topic: None,
            };
            store.consume_failed(&failure).unwrap().wait().unwrap();
        }
    }
    // One jump below the limit, so that all timers are due in one instant.
    clock.advance(9_000);
    let until = |done: &dyn Fn() -> bool| {
        for _ in 0..10_000 {
            if done() {
                return;
            }
            // A commit nudges the threads, who look at a clock that only this test moves; it changes no state.
            store.step();
            std::thread::yield_now();
        }
        panic!("the timers did not fire: {:?}", store.stats());
    };
    until(&|| store.stats().timers_pending == 0 && store.stats().applied == store.stats().tail);
    let (at, digest) = store.digest();
    let fires = store.stats().fires;
    store.close().unwrap();
    (at, digest, places, fires)
}

#[test]
fn threads_change_nothing() {
    for commit in [CommitRule::Appended, CommitRule::Flushed] {
        let inline = run(false, commit);
        let threaded = run(true, commit);
        assert_eq!(inline.2, threaded.2, "positions");
        assert_eq!(inline.3, threaded.3, "fires");
        assert_eq!((inline.0, inline.1), (threaded.0, threaded.1), "state");
    }
}
