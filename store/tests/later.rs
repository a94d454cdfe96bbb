//! What feature level 2 and bases of version 2 added stays as it was written.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use fixture::Fixture;
use mainspring::frame::{Frame, Header};
use mainspring::{
    CommitRule, GroupConfig, ManualClock, Message, Once, OnceDraft, Options, Progress, QueueLock, Store,
    TopicConfig, draft,
};

const GOLDEN: &str = include_str!("fixtures/format-2.txt");
const LEASE: Duration = Duration::from_secs(60);

fn open(medium: &Arc<MemoryBackend>, clock: &Arc<ManualClock>) -> Store {
    let options = Options {
        commit: CommitRule::Flushed,
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    Store::open_on(medium.clone(), clock.clone(), options).unwrap()
}

fn lock(store: &Store, client: &str, queues: &[(&str, u32)]) -> Vec<bool> {
    store.lock_queues(&QueueLock { group: "billing", client, queues }, LEASE).unwrap().wait().unwrap()
}

fn once(store: &Store, key: &str, due_ms: Option<i64>) -> Once {
    let message = OnceDraft { draft: draft("orders", b"once"), due_ms, key: Some(key) };
    store.store_once(&[message]).unwrap().wait().unwrap()[0]
}

/// Everything of level 2, once in a base and once in the log behind it.
fn golden_store() -> Arc<MemoryBackend> {
    let (medium, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&medium, &clock);
    let attributes = [("message.type".to_owned(), "DELAY".to_owned())];
    let topic = TopicConfig { attributes: attributes.clone().into(), ..TopicConfig::new("orders", 2) };
    store.put_topic(&topic).unwrap();
    store.put_group(&GroupConfig { attributes: attributes.into(), ..GroupConfig::new("billing") }).unwrap();
    assert_eq!(lock(&store, "a", &[("orders", 0), ("orders", 1)]), [true, true]);
    once(&store, "k1", None);
    once(&store, "k2", Some(9_000_000));
    let progress = |queue| Progress { topic: "orders".into(), queue, offset: 1 };
    store.set_progress("billing", &[progress(0), progress(1)]).unwrap().wait().unwrap();
    store.close().unwrap();
    drop(store);
    clock.advance(500);
    let store = open(&medium, &clock);
    let given_up = QueueLock { group: "billing", client: "a", queues: &[("orders", 1)] };
    store.unlock_queues(&given_up).unwrap().wait().unwrap();
    assert_eq!(lock(&store, "b", &[("orders", 0), ("orders", 1)]), [false, true]);
    let first =
        store.store_once(&[OnceDraft { draft: draft("orders", b"x"), due_ms: None, key: Some("k3") }]);
    let again =
        store.store_once(&[OnceDraft { draft: draft("orders", b"x"), due_ms: None, key: Some("k3") }]);
    assert!(!first.unwrap().wait().unwrap()[0].repeated && again.unwrap().wait().unwrap()[0].repeated);
    store.clear_progress(Some("billing"), None).unwrap().wait().unwrap();
    store.set_progress("billing", &[progress(1)]).unwrap().wait().unwrap();
    store.step();
    store.abandon();
    medium
}

#[test]
fn a_store_of_level_2_opens_and_says_the_same() {
    let clock = Arc::new(ManualClock::new(1_000_500));
    let store = open(&Fixture::parse(GOLDEN).medium(), &clock);
    assert_eq!(store.topic("orders").unwrap().attributes["message.type"], "DELAY");
    assert_eq!(store.group("billing").unwrap().attributes["message.type"], "DELAY");
    assert_eq!(store.progress("billing"), [Progress { topic: "orders".into(), queue: 1, offset: 1 }]);
    assert_eq!(lock(&store, "b", &[("orders", 0), ("orders", 1)]), [false, true]);
    let stored = ["k1", "k2", "k3"].map(|key| once(&store, key, None));
    assert!(stored.iter().all(|once| once.repeated), "{stored:?}");
    assert_eq!(store.stats().timers_pending, 1);
    assert_eq!(store.queue_range("orders", 0).unwrap().end + store.queue_range("orders", 1).unwrap().end, 3);
    store.append(Message::new("orders", "more")).unwrap().wait().unwrap();
    store.close().unwrap();
}

/// The same calls give the same bytes. Where this fails, the format changed: that needs a new version.
#[test]
fn the_bytes_of_level_2_are_still_written() {
    let written = Fixture::of(&golden_store());
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-2.txt");
        std::fs::write(path, written.to_string()).unwrap();
    }
    assert!(written == Fixture::parse(GOLDEN), "the bytes of a store changed:\n{written}");
}

/// A program that knows level 1 only refuses exactly the frames that it could not apply, and the bases that it could not
/// read.
#[test]
fn only_what_needs_it_says_level_2() {
    let (medium, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&medium, &clock);
    store.append(Message::new("orders", "plain")).unwrap().wait().unwrap();
    store.put_group(&GroupConfig::new("billing")).unwrap();
    lock(&store, "a", &[("orders", 0)]);
    store.append(Message::new("orders", "plain")).unwrap().wait().unwrap();
    store.close().unwrap();
    drop(store);
    let version = || {
        let bases = |name: &String| name.starts_with("base-");
        let fixture = Fixture::of(&medium);
        let newest = fixture.names().map(str::to_owned).filter(bases).max().unwrap();
        fixture.bytes(&newest)[7]
    };
    assert_eq!(version(), 2);
    let fixture = Fixture::of(&medium);
    let log = fixture.names().find(|name| name.starts_with("log-")).unwrap().to_owned();
    let bytes = fixture.bytes(&log);
    let secret = u64::from_be_bytes(*bytes[16..].first_chunk().unwrap());
    let (mut at, mut levels) = (mainspring::Offset(1 << 40), Vec::new());
    let mut rest = bytes;
    while let Ok(frame) = Frame::parse(rest, secret, at) {
        let Header { feature_level, .. } = frame.header;
        levels.push(feature_level);
        (at, rest) = (frame.end(), &rest[frame.bytes.len()..]);
    }
    assert_eq!(levels, [1, 1, 1, 2, 1]);
    // Once the lock is over, an older program can read the next base.
    clock.advance(60_000);
    let store = open(&medium, &clock);
    store.append(Message::new("orders", "plain")).unwrap().wait().unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(version(), 1);
}
