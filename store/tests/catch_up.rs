//! Callers who apply what they appended.

use std::sync::Arc;

use backends::MemoryBackend;
use mainspring::{CommitRule, ManualClock, Message, Options, Store, SystemClock, TopicConfig};

fn options(threads: bool) -> Options {
    Options {
        commit: CommitRule::Appended,
        callers_apply: true,
        threads,
        segment_bytes: 1 << 20,
        reserve_bytes: 1 << 20,
        fire_reserve_bytes: 0,
        ..Options::default()
    }
}

fn visible(store: &Store) -> u64 {
    let ends = (0..4).filter_map(|queue| store.queue_range("T", queue));
    ends.map(|range| range.end - range.start).sum()
}

#[test]
fn what_was_appended_is_visible_once_caught_up() {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let store = Store::open_on(Arc::new(MemoryBackend::new()), clock, options(false)).unwrap();
    store.put_topic(&TopicConfig::new("T", 4)).unwrap();
    for i in 0..10 {
        drop(store.append(Message::new("T", vec![1; 100])).unwrap());
        assert_eq!(visible(&store), i);
        store.catch_up();
        assert_eq!(visible(&store), i + 1);
    }
}

#[test]
fn nothing_is_left_behind_by_callers_that_meet() {
    const EACH: u64 = 2_000;
    let store = Store::open_on(Arc::new(MemoryBackend::new()), Arc::new(SystemClock), options(true)).unwrap();
    store.put_topic(&TopicConfig::new("T", 4)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    drop(store.append(Message::new("T", vec![1; 100])).unwrap());
                    store.catch_up();
                }
            });
        }
    });
    // Whoever found another one at it left that one, or the engine thread, with his message.
    while visible(&store) < 4 * EACH {
        store.catch_up();
    }
    assert_eq!(visible(&store), 4 * EACH);
}
