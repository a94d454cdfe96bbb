//! When bases are written, and over what.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use backends::{Damage, FaultyBackend, Name};
use mainspring::record::Record;
use mainspring::{
    CommitRule, ManualClock, Message, Offset, OnceDraft, Options, ReadRequest, Store, TagFilter, draft,
};

const SEGMENT: u64 = 64 << 10;

fn open(medium: &FaultyBackend, clock: &Arc<ManualClock>, options: Options) -> Store {
    let options = Options {
        threads: false,
        segment_bytes: SEGMENT,
        reserve_bytes: SEGMENT,
        default_queues: 1,
        fire_reserve_bytes: 0,
        ..options
    };
    Store::open_on(Arc::new(medium.clone()), clock.clone(), options).unwrap()
}

/// Appends more than a segment holds.
fn fill(store: &Store) {
    for _ in 0..9 {
        drop(store.append(Message::new("t", vec![1; 8_000])).unwrap());
    }
}

fn bases(medium: &FaultyBackend) -> Vec<Name> {
    let names = medium.streams().into_iter().map(|info| info.name);
    names.filter(|name| name.as_str().starts_with("base-")).collect()
}

/// A base was frozen at each segment's end, and written once that was flushed. A segment that ended meanwhile
/// took its place, so while segments ended faster than they were flushed none was ever written.
#[test]
fn bases_are_written_also_while_rolls_outpace_flushes() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let options = Options { commit: CommitRule::Appended, ..Options::default() };
    let store = open(&medium, &clock, options);
    fill(&store);
    for round in 1..8 {
        store.flush().unwrap();
        fill(&store); // another segment ends, and is not flushed when the next base could be written
        while store.decide().again || store.perform_one() {}
        assert!(store.stats().rolls >= round && store.stats().bases >= round, "{:?}", store.stats());
    }
}

/// A segment whose last frame ended at its very end was taken for one that goes on: it was never sealed, got no index file
/// and no base, and no segment was trimmed any more.
#[test]
fn a_segment_that_could_be_filled_to_its_last_byte_ends_like_any_other() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&medium, &clock, Options { retention_bytes: Some(3 * SEGMENT), ..Options::default() });
    let append = |body: usize| {
        let before = store.stats().tail.0;
        store.append(Message::new("t", vec![1; body])).unwrap().wait().unwrap();
        clock.advance(100);
        store.stats().tail.0.saturating_sub(before)
    };
    append(8);
    let frame = append(8); // what a message of eight bytes takes
    for _ in 0..150 {
        let left = SEGMENT - (store.stats().tail.0 - (1 << 40)) % SEGMENT;
        if left > 8_000 {
            append(4_000);
        } else {
            append(usize::try_from(left - frame).unwrap() + 8); // its frame would end where the next segment starts
            append(8);
        }
    }
    store.flush().unwrap();
    store.step();
    let stats = store.stats();
    assert_eq!(stats.indexes, stats.rolls, "{stats:?}");
    assert!(stats.rolls >= 8 && stats.trims > 0 && stats.log_bytes <= 6 * SEGMENT, "{stats:?}");
}

/// The base that follows a Trim was frozen before the Trim was applied, so files went one base later.
#[test]
fn the_base_after_a_trim_contains_it() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&medium, &clock, Options { retention_bytes: Some(3 * SEGMENT), ..Options::default() });
    while store.stats().trims == 0 {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
        clock.advance(100);
    }
    store.flush().unwrap();
    store.step();
    let start = store.stats().start;
    let newest = medium.dump(bases(&medium).last().unwrap()).unwrap();
    assert_eq!(newest[28..36], start.0.to_be_bytes(), "the base starts where the log does");
}

#[test]
fn a_base_that_cannot_be_read_any_more_is_replaced_from_the_one_before() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let options =
        Options { retention_bytes: Some(3 * SEGMENT), near_horizon_ms: 1_000, ..Options::default() };
    let store = open(&medium, &clock, options.clone());
    for i in 0..10 {
        let later = Duration::from_secs(3_600 + i);
        store.schedule(Message::new("later", "x"), later).unwrap().wait().unwrap();
    }
    while store.stats().trims < 2 {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
        clock.advance(100);
    }
    let found = bases(&medium);
    let [older, newest] = &found[..] else { panic!("two generations, not {found:?}") };
    assert!(medium.damage(newest, 60, &Damage::Flip(1)));
    let written = store.stats().bases;
    while store.stats().bases == written {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
    }
    store.flush().unwrap();
    store.step();
    let now = bases(&medium);
    assert!(now.len() == 2 && now.contains(older) && !now.contains(newest), "{found:?}, then {now:?}");
    let digest = store.digest().1;
    store.abandon();
    let store = open(&medium.kill(), &clock, options);
    assert_eq!((store.digest().1, store.report().older_base), (digest, false));
    assert_eq!(store.stats().timers_pending, 10);
}

#[test]
fn without_a_base_that_can_be_read_the_log_is_kept_and_all_goes_on() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&medium, &clock, Options { retention_bytes: Some(3 * SEGMENT), ..Options::default() });
    while store.stats().trims < 2 {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
        clock.advance(100);
    }
    bases(&medium).iter().for_each(|name| assert!(medium.damage(name, 60, &Damage::Flip(1))));
    let (written, segments) = (store.stats().bases, store.stats().segments);
    for _ in 0..50 {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
        clock.advance(1_000);
    }
    let stats = store.stats();
    assert!(stats.bases == written && stats.segments > segments && stats.stopped.is_none(), "{stats:?}");
}

/// A segment below the newest base's start stays for the base before it. Its damaged index file was built again without the
/// voids that the newest base had forgotten, and with the older base the refused record was shown.
#[test]
fn an_index_file_is_not_built_again_by_a_state_that_begins_behind_it() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(1_000_000)));
    let options = || Options { retention_bytes: Some(3 * SEGMENT), ..Options::default() };
    let store = open(&medium, &clock, options());
    let once = || OnceDraft { key: Some("k"), due_ms: None, draft: draft("t", b"once") };
    store.append(Message::new("t", "first")).unwrap().wait().unwrap();
    let both = [(); 2].map(|()| store.store_once(&[once()]).unwrap());
    let [_, repeat] = both.map(|pending| pending.wait().unwrap()[0]);
    assert!(repeat.repeated, "and it stands in the log, refused");
    while store.stats().trims == 0 {
        store.append(Message::new("t", vec![1; 8_000])).unwrap().wait().unwrap();
        clock.advance(100);
    }
    store.flush().unwrap();
    store.step();
    let stats = store.stats();
    assert!(stats.start > Offset(1 << 40), "{stats:?}");
    store.abandon();

    let medium = medium.kill();
    let index = medium.streams().into_iter().find(|info| info.name.as_str().starts_with("idx-")).unwrap();
    assert!(
        index.name.as_str().ends_with(&format!("{:020}", 1_u64 << 40)),
        "the first segment is there: {index:?}"
    );
    assert!(medium.damage(&index.name, 37, &Damage::Flip(1)));
    open(&medium, &clock, options()).abandon();

    // The newest base is lost, and of the log the frames behind the older one, the Trim among them.
    let medium = medium.kill();
    assert!(medium.damage(bases(&medium).last().unwrap(), 60, &Damage::Flip(1)));
    let last = (stats.tail.0 - (1 << 40)) / SEGMENT * SEGMENT + (1 << 40);
    assert!(medium.damage(&Name::new(&format!("log-{last:020}")).unwrap(), 60, &Damage::Flip(1)));
    let store = open(&medium, &clock, options());
    assert!(store.report().older_base && store.stats().start == Offset(1 << 40), "{:?}", store.report());
    let all = TagFilter::all();
    let request =
        ReadRequest { topic: "t", queue: 0, from: 0, max_records: 4, max_bytes: 8 << 20, filter: &all };
    let found = store.read(&request).unwrap();
    let bodies = found.records.iter().map(|record| Record::parse(record).unwrap().body().to_vec());
    assert_eq!(bodies.filter(|body| body == b"once").count(), 1);
}

/// Its index file holds no record, and said that it was of 1970.
#[test]
fn retention_counts_a_segment_that_holds_timers_alone_by_its_frames() {
    let (medium, clock) = (FaultyBackend::new(1), Arc::new(ManualClock::new(10_000_000)));
    let options = Options { retention_ms: Some(3_600_000), near_horizon_ms: 0, ..Options::default() };
    let store = open(&medium, &clock, options);
    let timers = |store: &Store| {
        for _ in 0..30 {
            let message = Message::new("t", vec![1; 8_000]);
            store.schedule(message, Duration::from_secs(86_400)).unwrap().wait().unwrap();
        }
        clock.advance(20_000);
        store.step();
    };
    timers(&store);
    timers(&store);
    let stats = store.stats();
    assert!(stats.indexes > 1 && stats.buckets > 1 && stats.trims == 0, "{stats:?}");
    clock.advance(3_600_000);
    timers(&store);
    assert!(store.stats().trims > 0, "then they go");
}
