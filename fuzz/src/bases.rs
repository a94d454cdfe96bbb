//! `base_and_cells`: bases, due buckets and cells, on any bytes; and what frames fold into, frozen and thawed.

use std::collections::BTreeMap;

use backends::Name;
use mainspring::base::{self, Buckets};
use mainspring::bucket::{self, Bucket};
use mainspring::cells::{self, CellValue, Checkpoint, EpochRecord, Identity};
use mainspring::envelope::{Envelope, HEAD_BYTES};
use mainspring::frame::{Frame, OpKind};
use mainspring::views::{Context, Effects, Views};
use mainspring::{Bytes, Offset};

use crate::frames::{SECRET, START, operation, sealed};
use crate::{medium, put};

/// The first byte chooses what the rest is read as, and whether its checksum is made right.
pub fn base_and_cells(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 8 {
        0 => thaw(rest),
        1 => thaw(&base::ENVELOPE.seal(rest)),
        2 => bucket(rest),
        3 => bucket(&patched_bucket(rest)),
        4 => cells(rest),
        5 => [Identity::MAGIC, EpochRecord::MAGIC, Checkpoint::MAGIC]
            .iter()
            .for_each(|magic| cells(&patched_cell(rest, *magic))),
        6 => built_bucket(rest),
        _ => folded(rest),
    }
}

/// A due bucket that bases of the corpus name.
fn buckets() -> Buckets {
    let timers =
        (0..20).map(|i| (i64::from(i) * 100, START.plus(i as u64 * 8), Bytes::from(vec![i as u8; 9])));
    let bytes = bucket::encode(START, timers.collect());
    let bucket = Bucket::open(medium::reader(&bytes)).expect("what is built can be opened");
    BTreeMap::from([(START, bucket)])
}

fn thaw(bytes: &[u8]) {
    let known = buckets();
    let Ok(views) = Views::thaw(bytes, &known, 5) else { return };
    frozen(&views, &known);
}

/// What can be thawed is frozen to a base that thaws to the same.
fn frozen(views: &Views, known: &Buckets) {
    let Some(snapshot) = views.freeze(known) else { return };
    let again = Views::thaw(&snapshot.bytes, known, 5).expect("what is frozen can be thawed");
    assert_eq!(again.digest(), views.digest());
    assert_eq!(
        again.freeze(known).map(|s| s.bytes),
        Some(snapshot.bytes),
        "a base is a function of the state"
    );
}

fn bucket(bytes: &[u8]) {
    let Ok(bucket) = Bucket::open(medium::reader(bytes)) else { return };
    let directory = bucket.directory().expect("it was read when the bucket was opened");
    assert_eq!(directory.len(), bucket.entries as usize);
    for slot in (0..bucket.entries).chain([bucket.entries, u32::MAX]) {
        if let Ok(record) = bucket.record(slot) {
            assert_eq!(record.len(), directory[slot as usize].size as usize);
        }
    }
}

/// A bucket whose header and directory are `bytes` as far as they can be; the rest is records.
fn patched_bucket(bytes: &[u8]) -> Vec<u8> {
    let mut body = bytes.to_vec();
    body.resize(body.len().max(bucket::HEADER_BYTES - HEAD_BYTES), 0);
    let room = (body.len() - (bucket::HEADER_BYTES - HEAD_BYTES)) / bucket::ENTRY_BYTES;
    let entries = u32::from_be_bytes([body[0], body[1], body[2], body[3]]) as usize % (room + 1);
    let len = (HEAD_BYTES + body.len()) as u64;
    put(&mut body, 0, &u32::try_from(entries).unwrap_or(0).to_be_bytes());
    put(&mut body, 12, &len.to_be_bytes());
    let records = body.split_off(bucket::HEADER_BYTES - HEAD_BYTES + entries * bucket::ENTRY_BYTES);
    [bucket::ENVELOPE.seal(&body), records].concat()
}

/// Every record that goes into a bucket comes out of it.
fn built_bucket(rest: &[u8]) {
    let timers: Vec<(i64, Offset, Bytes)> = rest
        .chunks(7)
        .enumerate()
        .map(|(i, part)| (i64::from(part[0]), START.plus(i as u64 * 8), Bytes::copy_from_slice(part)))
        .collect();
    let bytes = bucket::encode(START, timers.clone());
    let bucket = Bucket::open(medium::reader(&bytes)).expect("what is built can be opened");
    assert_eq!((bucket.segment, bucket.entries as usize), (START, timers.len()));
    for (slot, entry) in bucket.directory().expect("a directory").iter().enumerate() {
        let (due, _, body) = timers.iter().find(|t| t.1 == entry.schedule).expect("a timer that was put in");
        assert_eq!(*due, entry.due_ms);
        assert_eq!(bucket.record(u32::try_from(slot).expect("a slot")).expect("a record"), *body);
    }
}

fn cells(bytes: &[u8]) {
    cell::<Identity>(bytes);
    cell::<EpochRecord>(bytes);
    cell::<Checkpoint>(bytes);
    let _ = std::str::from_utf8(bytes).ok().and_then(Name::new);
}

fn cell<V: CellValue + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = cells::decode::<V>(bytes) else { return };
    assert_eq!(bytes.len(), HEAD_BYTES + V::PAYLOAD_BYTES, "a cell has one length");
    assert_eq!(
        cells::decode::<V>(&cells::encode(&value)).ok(),
        Some(value),
        "a cell is written as it is read"
    );
}

fn patched_cell(bytes: &[u8], magic: u32) -> Vec<u8> {
    Envelope { what: "cell", magic, version: cells::VERSION, bytes_max: u64::MAX }.seal(bytes)
}

/// Frames of any operations are folded into a state, which is then frozen and thawed.
fn folded(mut rest: &[u8]) {
    let mut views = Views::empty(0);
    let mut at = START;
    while let Some(([kind, high, low], more)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high & 0x03, *low])).min(more.len());
        let mut body = vec![0; 16];
        body.extend_from_slice(&operation(kind_of(*kind), &more[..len]));
        let bytes = sealed(&body, at);
        let frame = Frame::parse(&bytes, SECRET, at).expect("it was sealed");
        let context = Context { segment: START, units: kind & 0x80 != 0, replay: kind & 0x40 != 0 };
        if views.apply(&frame, context, &mut Effects::default()).is_err() {
            return;
        }
        assert_eq!(views.applied, frame.end());
        at = frame.end();
        rest = &more[len..];
    }
    frozen(&views, &Buckets::new());
}

fn kind_of(byte: u8) -> OpKind {
    use OpKind::{Append, Cancel, ClockStep, Digest, Fire, Group, Open, Schedule, Segment, Topic, Trim};
    let kinds = [
        Append,
        Schedule,
        Fire,
        Cancel,
        OpKind::Offset,
        Topic,
        Group,
        Trim,
        ClockStep,
        Digest,
        Open,
        Segment,
    ];
    kinds[usize::from(byte & 0x3f) % kinds.len()]
}
