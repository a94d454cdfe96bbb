//! Damage to what was durable: where it lies decides when it is noticed, and nothing wrong is ever served.
//!
//! Opening failed when a segment that has an index file was damaged above the base: it was taken to be whole, and
//! folding it into the state came upon the bad frame. Now it is walked first, and the store is read-only up to there.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use backends::{Damage, FaultyBackend, Name, Streams};
use mainspring::cells::{self, CellValue, Identity};
use mainspring::frame::{FEATURE_LEVEL, HEADER_BYTES, Header};
use mainspring::{
    Ack, Cancel, ErrorKind, ManualClock, Message, Offset, Options, ReadRequest, Result, Store, TagFilter,
    Wait,
};

const BODY: usize = 6_000;

fn options() -> Options {
    Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        near_horizon_ms: 1_000,
        fire_reserve_bytes: 0,
        ..Options::default()
    }
}

struct Rig {
    medium: FaultyBackend,
    clock: Arc<ManualClock>,
}

impl Rig {
    fn new() -> Self {
        Self { medium: FaultyBackend::new(1), clock: Arc::new(ManualClock::new(1_000_000)) }
    }

    fn open(&self) -> Result<Store> {
        Store::open_on(Arc::new(self.medium.clone()), self.clock.clone(), options())
    }

    fn damage(&self, name: &str, at: u64) {
        assert!(self.medium.damage(&Name::new(name).unwrap(), at, &Damage::Flip(1)), "{name} at {at}");
    }

    /// The start of the segment that holds `at`.
    fn segment(&self, at: Offset) -> u64 {
        let number = |name: &Name| name.as_str().strip_prefix("log-")?.parse::<u64>().ok();
        let starts = self.medium.streams().into_iter().filter_map(|info| number(&info.name));
        starts.filter(|start| *start <= at.0).max().unwrap()
    }

    /// Flips a bit of the log.
    fn damage_log(&self, at: Offset) {
        let start = self.segment(at);
        self.damage(&format!("log-{start:020}"), at.0 - start);
    }

    fn remove(&self, kind: &str) {
        for info in self.medium.streams().iter().filter(|info| info.name.as_str().starts_with(kind)) {
            self.medium.remove(&info.name).unwrap();
        }
    }

    /// All bytes of the medium.
    fn bytes(&self) -> Vec<(String, bool, Vec<u8>)> {
        let dump = |info: &backends::StreamInfo| self.medium.dump(&info.name).unwrap();
        self.medium.streams().iter().map(|i| (i.name.to_string(), i.sealed, dump(i))).collect()
    }
}

/// Messages over some segments, all sealed and indexed but the last; the store was killed, or closed.
fn filled(close: bool) -> (Rig, Vec<Ack>) {
    let mut rig = Rig::new();
    let store = rig.open().unwrap();
    let body = |i: u8| Message::new("t", vec![i; BODY]);
    let acks: Vec<Ack> = (0..40).map(|i| store.append(body(i)).unwrap().wait().unwrap()).collect();
    store.step();
    if close {
        store.close().unwrap();
        drop(store);
    } else {
        store.abandon();
    }
    rig.medium = rig.medium.kill();
    assert!(rig.segment(acks[39].offset) > rig.segment(acks[20].offset), "several segments");
    (rig, acks)
}

/// The first byte of each body from `from` on, and why there is no more.
fn bodies(store: &Store, mut from: u64) -> (Vec<u8>, Option<mainspring::Error>) {
    let filter = TagFilter::all();
    let mut found = Vec::new();
    loop {
        let request =
            ReadRequest { topic: "t", queue: 0, from, max_records: 5, max_bytes: 1 << 20, filter: &filter };
        match store.read(&request) {
            Ok(result) if result.records.is_empty() => return (found, None),
            Ok(result) => {
                for bytes in result.records.iter() {
                    let record = mainspring::record::Record::parse(bytes).unwrap();
                    record.verify_body().unwrap();
                    found.push(record.body()[0]);
                }
                from = result.next;
            }
            Err(error) => return (found, Some(error)),
        }
    }
}

/// Where the frame of a message that was appended alone starts.
fn frame_of(ack: &Ack) -> Offset {
    let head = mainspring::frame::OP_HEAD_BYTES + mainspring::frame::RECORD_AT_APPEND;
    Offset(ack.offset.0 - (HEADER_BYTES + head) as u64)
}

#[test]
fn an_indexed_segment_damaged_above_the_base_leaves_the_store_read_only_up_to_there() {
    let (rig, acks) = filled(false);
    rig.remove("base-");
    let hit = 15;
    assert!(rig.segment(acks[hit].offset) > rig.segment(acks[0].offset), "not in the first segment");
    let index = format!("idx-{:020}", rig.segment(acks[hit].offset));
    assert!(rig.medium.streams().iter().any(|i| i.sealed && i.name.as_str() == index), "it is indexed");
    rig.damage_log(acks[hit].offset.plus(500));
    let before = rig.bytes();
    for _ in 0..2 {
        let store = rig.open().unwrap();
        let stopped = store.stats().stopped.unwrap();
        let at = frame_of(&acks[hit]);
        assert!(stopped.contains(&format!("{at}")) && stopped.contains("checksum"), "{stopped}");
        assert_eq!(store.report().end, at);
        let refused = store.append(Message::new("t", "x")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnly);
        let expected: Vec<u8> = (0..15).collect();
        assert_eq!(bodies(&store, 0).0, expected);
        assert_eq!(store.queue_range("t", 0), Some(0..15));
        store.abandon();
        assert!(rig.bytes() == before, "nothing of a damaged store is changed");
    }
}

#[test]
fn the_first_frame_of_an_indexed_segment_is_named_too() {
    let (rig, acks) = filled(false);
    rig.remove("base-");
    let start = rig.segment(acks[20].offset);
    rig.damage_log(Offset(start + 70));
    let stopped = rig.open().unwrap().stats().stopped.unwrap();
    assert!(stopped.contains(&format!("{}", Offset(start))) && stopped.contains("checksum"), "{stopped}");
}

#[test]
fn damage_below_the_base_is_noticed_before_the_first_slice_leaves() {
    let (rig, acks) = filled(true);
    let hit = 4;
    rig.damage_log(acks[hit].offset.plus(500));
    let store = rig.open().unwrap();
    assert_eq!(store.stats().stopped, None, "opening reads what lies above the base");
    let whole = store.report().end.0 - acks[0].offset.0;
    assert!(store.report().walked_bytes < whole / 2, "{:?}", store.report());
    let (found, error) = bodies(&store, 0);
    assert_eq!(found, [0, 1, 2, 3], "what stands in front of it is read");
    let error = error.unwrap();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(frame_of(&acks[hit]))), "{error}");
    assert_eq!(store.record_at(acks[hit].offset).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.record_at(acks[hit + 1].offset).unwrap_err().kind(), ErrorKind::Corrupt);
    let next = acks.iter().position(|a| rig.segment(a.offset) > rig.segment(acks[0].offset)).unwrap();
    let rest: Vec<u8> = (u8::try_from(next).unwrap()..40).collect();
    let (found, error) = bodies(&store, next as u64);
    assert!(found == rest && error.is_none(), "other segments are whole: {found:?}, {error:?}");
    store.append(Message::new("t", "goes on")).unwrap().wait().unwrap();
}

#[test]
fn a_frame_of_a_newer_feature_level_is_another_version() {
    let (rig, _) = filled(false);
    let store = rig.open().unwrap();
    let end = store.append(Message::new("t", "opens the epoch")).unwrap().end();
    store.flush().unwrap();
    store.abandon();
    let rig = Rig { medium: rig.medium.kill(), clock: rig.clock };
    let cells = rig.medium.cells();
    let identity: Identity = cells::decode(&cells[&Name::new(Identity::NAME).unwrap()]).unwrap();
    let header = Header {
        wait: Wait::Committed,
        feature_level: FEATURE_LEVEL + 1,
        len: u32::try_from(HEADER_BYTES).unwrap(),
        ops: 0,
        at: end,
        owner_ms: 2_000_000,
        flushed: Offset(0),
        committed: Offset(0),
    };
    let mut frame = vec![0; HEADER_BYTES];
    header.seal(identity.secret, &mut frame);
    let start = rig.segment(end);
    let mut writer =
        rig.medium.reopen(&Name::new(&format!("log-{start:020}")).unwrap(), end.0 - start).unwrap();
    writer.window(frame.len()).unwrap().copy_from_slice(&frame);
    writer.publish(frame.len());
    drop(writer);
    let before = rig.bytes();
    let error = rig.open().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Version, Some(end)), "{error}");
    assert!(error.to_string().contains("level 3") && error.to_string().contains("knows 2"), "{error}");
    assert!(rig.bytes() == before, "a store that is refused is left as it is");
}

#[test]
fn a_cancel_that_the_log_cannot_answer_says_so() {
    let rig = Rig::new();
    let store = rig.open().unwrap();
    let soon = store.schedule(Message::new("t", "soon"), Duration::from_millis(10)).unwrap().wait().unwrap();
    rig.clock.advance(10);
    store.step();
    for _ in 0..20 {
        store.append(Message::new("t", vec![0; BODY])).unwrap().wait().unwrap();
    }
    assert_eq!(store.cancel(&soon.handle).unwrap(), Cancel::AlreadyFired { at_ms: Some(soon.due_ms) });
    store.close().unwrap();
    drop(store);
    let rig = Rig { medium: rig.medium.kill(), clock: rig.clock };
    rig.damage_log(soon.handle.schedule.plus(20));
    let store = rig.open().unwrap();
    assert_eq!(store.stats().stopped, None);
    let error = store.cancel(&soon.handle).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_damaged_record_of_a_bucket_is_read_from_the_log_while_that_holds_it() {
    let mut rig = Rig::new();
    let store = rig.open().unwrap();
    let timer = |i: u8| store.schedule(Message::new("t", vec![i; 4_000]), Duration::from_secs(3_600));
    for i in 0..20 {
        timer(i).unwrap().wait().unwrap();
    }
    store.step();
    store.close().unwrap();
    assert!(store.stats().buckets > 0);
    drop(store);
    rig.medium = rig.medium.kill();
    let due = rig.medium.streams().into_iter().find(|i| i.name.as_str().starts_with("due-")).unwrap();
    // In the bodies of its first and last record.
    rig.damage(due.name.as_str(), due.len - 1_000);
    rig.damage(due.name.as_str(), due.len - 4_200 * 10);
    let store = rig.open().unwrap();
    rig.clock.advance(3_600_000);
    for _ in 0..4 {
        store.step();
    }
    assert_eq!(store.stats().timers_quarantined, 0);
    let (mut fired, error) = bodies(&store, 0);
    fired.sort_unstable();
    assert_eq!((fired, error.map(|e| e.kind())), ((0..20).collect(), None));
}
