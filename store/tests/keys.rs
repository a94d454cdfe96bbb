//! Finding messages by key, and by the log position that a client names.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backends::FaultyBackend;
use mainspring::record::Record;
use mainspring::{
    Bytes, Cancel, ErrorKind, KeyQuery, ManualClock, Message, Offset, Options, ReadRequest, Store, TagFilter,
};

const START_MS: i64 = 1_700_000_000_000;

fn open(medium: &FaultyBackend, clock: &Arc<ManualClock>) -> Store {
    open_with(medium, clock, |_| {})
}

fn open_with(medium: &FaultyBackend, clock: &Arc<ManualClock>, change: impl FnOnce(&mut Options)) -> Store {
    let mut options = Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 2,
        near_horizon_ms: 1_000,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    change(&mut options);
    Store::open_on(Arc::new(medium.clone()), clock.clone(), options).unwrap()
}

fn rig() -> (FaultyBackend, Arc<ManualClock>) {
    (FaultyBackend::new(1), Arc::new(ManualClock::new(START_MS)))
}

fn query<'a>(topic: &'a str, key: &'a str) -> KeyQuery<'a> {
    let (from_ms, to_ms, max_bytes) = (0, i64::MAX, usize::MAX);
    KeyQuery { topic, key, unique: false, from_ms, to_ms, max_records: 1_000, max_bytes }
}

/// Store time and body of each, as they came.
fn found(store: &Store, query: &KeyQuery<'_>) -> Vec<(i64, String)> {
    let view = |bytes: &Bytes| {
        let record = Record::parse(bytes).unwrap();
        assert_eq!(record.topic(), query.topic);
        (record.store_ms(), String::from_utf8(record.body().to_vec()).unwrap())
    };
    store.find_by_key(query).unwrap().records.iter().map(view).collect()
}

/// What was sent, in order: topic, keys, unique key, store time, body.
struct Sent(Vec<(&'static str, Vec<String>, String, i64, String)>);

impl Sent {
    fn send(&mut self, store: &Store, clock: &ManualClock, padding: &str) {
        let i = self.0.len();
        clock.advance(10);
        let topic = if i.is_multiple_of(5) { "other" } else { "orders" };
        let keys = vec![format!("k{}", i % 7), format!("single{i}")];
        let (unique, body) = (format!("u{i}"), format!("{i} {padding}"));
        let message = Message::new(topic, body.clone()).queue(u32::try_from(i % 2).unwrap());
        let message = message.property("KEYS", keys.join(" ")).property("UNIQ_KEY", &unique);
        let ack = store.append(message).unwrap().wait().unwrap();
        let stored = store.record_at(ack.offset).unwrap();
        let store_ms = Record::parse(&stored).unwrap().store_ms();
        self.0.push((topic, keys, unique, store_ms, body));
    }

    fn expected(&self, query: &KeyQuery<'_>) -> Vec<(i64, String)> {
        let wanted = |(topic, keys, unique, store_ms, _): &&(&str, Vec<String>, String, i64, String)| {
            let key = unique == query.key || (!query.unique && keys.iter().any(|key| key == query.key));
            *topic == query.topic && key && (query.from_ms..=query.to_ms).contains(store_ms)
        };
        let all = self.0.iter().rev().filter(wanted);
        all.take(query.max_records).map(|sent| (sent.3, sent.4.clone())).collect()
    }

    fn compare(&self, store: &Store) {
        let last = self.0.len() - 1;
        let (one, unique) = (format!("single{last}"), format!("u{}", last / 2));
        for key in ["k0", "k3", "k6", "k7", "single1", &one, "u1", &unique, ""] {
            for topic in ["orders", "other", "nowhere"] {
                let all = query(topic, key);
                let middle = self.0[last / 2].3;
                let early = self.0[last / 3].3;
                for query in [
                    all,
                    KeyQuery { unique: true, ..all },
                    KeyQuery { to_ms: middle, ..all },
                    KeyQuery { from_ms: middle, ..all },
                    KeyQuery { from_ms: early, to_ms: middle, ..all },
                    KeyQuery { from_ms: early, to_ms: early, ..all },
                    KeyQuery { from_ms: middle, to_ms: early - 1, ..all },
                    KeyQuery { from_ms: i64::MAX, to_ms: i64::MIN, ..all },
                    KeyQuery { to_ms: middle, max_records: 3, ..all },
                    KeyQuery { max_records: 0, ..all },
                ] {
                    assert_eq!(found(store, &query), self.expected(&query), "{query:?}");
                }
            }
        }
    }
}

#[test]
fn keys_are_found_newest_first_in_index_files_and_before_there_are_any() {
    let (medium, clock) = rig();
    let mut store = open(&medium, &clock);
    let mut sent = Sent(Vec::new());
    let padding = "x".repeat(500);
    for round in 0..5 {
        for _ in 0..40 {
            sent.send(&store, &clock, &padding);
            if sent.0.len().is_multiple_of(17) {
                sent.compare(&store); // what came since is read, not all again
            }
        }
        sent.compare(&store);
        if round % 2 == 0 {
            store.flush().unwrap();
            store.step();
        } else {
            store.close().unwrap();
            drop(store);
            store = open(&medium, &clock);
        }
        sent.compare(&store);
    }
    assert!(store.stats().segments > 2, "{:?}", store.stats());
    let answer = store.find_by_key(&query("orders", "k1")).unwrap();
    assert_eq!(answer.through, store.stats().applied);
    assert_eq!(answer.through_ms, sent.0.last().unwrap().3);
}

#[test]
fn the_first_message_comes_whatever_its_size_and_no_more_than_fit() {
    let (medium, clock) = rig();
    let store = open(&medium, &clock);
    for i in 0..5 {
        store.append(Message::new("t", vec![i; 1_000]).key("k")).unwrap().wait().unwrap();
    }
    let all = store.find_by_key(&query("t", "k")).unwrap().records;
    let size = all[0].len();
    for (max_bytes, count) in
        [(0, 1), (size - 1, 1), (size, 1), (2 * size - 1, 1), (2 * size, 2), (9 * size, 5)]
    {
        let limited = store.find_by_key(&KeyQuery { max_bytes, ..query("t", "k") }).unwrap().records;
        assert_eq!(limited, all[..count], "{max_bytes}");
    }
}

#[test]
fn what_was_trimmed_is_not_found() {
    let (medium, clock) = rig();
    let store = open_with(&medium, &clock, |options| options.retention_bytes = Some(3 * (64 << 10)));
    let mut sent = Sent(Vec::new());
    let padding = "x".repeat(2_000);
    while store.stats().trims < 2 {
        sent.send(&store, &clock, &padding);
        store.flush().unwrap();
        store.step();
    }
    for key in ["k0", "k3", "single1"] {
        let expected = sent.expected(&query("orders", key));
        let there = found(&store, &query("orders", key));
        assert_eq!(there, expected[..there.len()], "the newest ones");
        assert!(there.len() < expected.len(), "{key}: {} of {}", there.len(), expected.len());
        let oldest = KeyQuery { to_ms: sent.0[3].3, ..query("orders", key) };
        assert_eq!(found(&store, &oldest), []);
    }
}

#[test]
fn a_damaged_index_file_is_built_again() {
    let (medium, clock) = rig();
    let store = open(&medium, &clock);
    let mut sent = Sent(Vec::new());
    let padding = "x".repeat(500);
    while store.stats().indexes < 2 {
        sent.send(&store, &clock, &padding);
        store.flush().unwrap();
        store.step();
    }
    store.close().unwrap();
    drop(store);
    let indexes: Vec<_> = medium
        .streams()
        .into_iter()
        .filter(|info| info.name.as_str().starts_with("index-"))
        .map(|info| info.name)
        .collect();
    for name in indexes {
        let last = medium.dump(&name).unwrap().len() as u64 - 1;
        medium.damage(&name, last, &backends::Damage::Flip(1));
    }
    sent.compare(&open(&medium, &clock));
}

#[test]
fn a_void_is_never_found_and_a_fired_message_is() {
    let (medium, clock) = rig();
    let store = open(&medium, &clock);
    let timer = |name: &str| {
        let message = Message::new("t", name.to_owned()).key("k").queue(0);
        store.schedule(message, Duration::from_secs(1)).unwrap().wait().unwrap()
    };
    let doomed = timer("doomed");
    let cancel = store.cancel_start(&doomed.handle).unwrap();
    clock.advance(1_000);
    store.decide(); // it fires although its cancel stands before
    store.step();
    assert_eq!(cancel.wait().unwrap(), Cancel::Cancelled);
    assert_eq!(store.stats().voids, 1);
    assert_eq!(found(&store, &query("t", "k")), []);
    let kept = timer("kept");
    assert_eq!(found(&store, &query("t", "k")), [], "it is not due");
    clock.advance(1_000);
    store.step();
    assert_eq!(found(&store, &query("t", "k")), [(kept.due_ms, "kept".to_owned())]);
    while store.stats().indexes == 0 {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
        store.flush().unwrap();
        store.step();
    }
    assert_eq!(found(&store, &query("t", "k")), [(kept.due_ms, "kept".to_owned())]);
}

#[test]
fn a_position_is_a_message_only_where_a_queue_or_a_pending_timer_points() {
    let (medium, clock) = rig();
    let store = open(&medium, &clock);
    let plain = store.append(Message::new("t", "plain").queue(0)).unwrap().wait().unwrap();
    let later = |body: &str| {
        let message = Message::new("t", body.to_owned()).queue(0);
        store.schedule(message, Duration::from_secs(60)).unwrap().wait().unwrap().handle
    };
    let (timer, doomed) = (later("timer"), later("doomed"));
    let body = |at: Offset| {
        store.message_at(at).map(|bytes| Record::parse(&bytes).unwrap().body().to_vec()).map_err(|e| e.kind())
    };
    let missing = Err(ErrorKind::NotFound);
    for in_bucket in [false, true] {
        assert_eq!(body(plain.offset), Ok(b"plain".to_vec()));
        assert_eq!(body(timer.schedule), Ok(b"timer".to_vec()), "in a bucket: {in_bucket}");
        let right = [plain.offset, timer.schedule, doomed.schedule];
        for at in (plain.offset.0 - 300..doomed.schedule.0 + 100).map(Offset).filter(|at| !right.contains(at))
        {
            assert_eq!(body(at), missing, "{at}");
        }
        for forged in [0, 1, u64::MAX, u64::MAX - 3, store.stats().tail.0] {
            assert_eq!(body(Offset(forged)), missing);
        }
        while store.stats().buckets == 0 {
            store.append(Message::new("u", vec![1; 8_000])).unwrap().wait().unwrap();
            store.flush().unwrap();
            store.step();
        }
    }
    assert_eq!(store.cancel(&doomed).unwrap(), Cancel::Cancelled);
    assert_eq!(body(doomed.schedule), missing);
    clock.advance(60_000);
    store.step();
    assert_eq!(body(timer.schedule), missing, "it fired; its message has a position of its own");
}

#[test]
fn a_read_with_a_predicate_gives_exactly_what_it_selects() {
    let (medium, clock) = rig();
    let store = open(&medium, &clock);
    for i in 0..500_u32 {
        let message = Message::new("t", i.to_string()).queue(0).property("n", i.to_string());
        let tag = if i % 2 == 0 { "even" } else { "odd" };
        store.append(message.tag(tag)).unwrap().wait().unwrap();
    }
    store.flush().unwrap();
    store.step();
    assert!(store.stats().indexes > 0);
    for (tags, max_records, max_bytes) in
        [("*", 32, 1 << 20), ("even", 3, 1 << 20), ("*", 100, 0), ("odd", 1000, 700)]
    {
        let filter = TagFilter::parse(tags);
        let (mut from, mut all, mut answers) = (0, Vec::new(), 0);
        let selects = |record: &[u8]| {
            let n: u32 = Record::parse(record).unwrap().property("n").unwrap().parse().unwrap();
            n.is_multiple_of(3) && !(100..400).contains(&n)
        };
        while from < 500 {
            let request = ReadRequest { topic: "t", queue: 0, from, max_records, max_bytes, filter: &filter };
            let result = store.read_where(&request, &selects).unwrap();
            assert!(result.next > from && result.records.len() <= max_records);
            let bytes: usize = result.records.iter().map(<[u8]>::len).sum();
            assert!(result.records.len() <= 1 || bytes <= max_bytes);
            all.extend(result.records.iter().map(|record| Record::parse(record).unwrap().queue_offset()));
            (from, answers) = (result.next, answers + 1);
        }
        let wanted = |n: &u64| {
            n.is_multiple_of(3)
                && !(100..400).contains(n)
                && (tags == "*" || n.is_multiple_of(2) == (tags == "even"))
        };
        assert_eq!(all, (0..500).filter(wanted).collect::<Vec<_>>(), "{tags}");
        assert!(all.iter().collect::<BTreeSet<_>>().len() == all.len() && answers > 0);
    }
}
