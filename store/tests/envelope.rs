//! One bit of a cell, base or due bucket that is not as it was written is damage: never another version, never
//! accepted.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use backends::StreamReader;
use mainspring::base::{self, Buckets};
use mainspring::bucket::{self, Bucket};
use mainspring::cells::{self, CellValue, Checkpoint, EpochRecord, Identity};
use mainspring::envelope::{Envelope, HEAD_BYTES};
use mainspring::views::{Place, Views};
use mainspring::{Bytes, Epoch, ErrorKind, Offset, Result};

const SEGMENT: Offset = Epoch(1).first();

#[derive(Debug)]
struct Stream(Bytes);

impl StreamReader for Stream {
    fn published(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let at = |position| usize::try_from(position).unwrap();
        Ok(self.0.slice(at(range.start)..at(range.end)))
    }
}

/// Every bit flipped in turn is told as damage by `read`.
fn flips<T: std::fmt::Debug>(what: &str, bytes: &[u8], read: impl Fn(&[u8]) -> Result<T>) {
    assert!(read(bytes).is_ok(), "{what} is read back");
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let kind = read(&bad).err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Corrupt), "{what} with bit {bit} flipped");
    }
}

/// The same structure in the version after `kind`'s, sound, is refused naming both versions.
fn another_version<T: std::fmt::Debug>(kind: Envelope<'_>, bytes: &[u8], read: impl Fn(&[u8]) -> Result<T>) {
    let covered = usize::try_from(kind.length(bytes).unwrap()).unwrap();
    let version = kind.version + 1;
    let newer = Envelope { version, ..kind }.seal(&bytes[HEAD_BYTES..covered]);
    let error = read(&[&newer, &bytes[covered..]].concat()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version, "{error}");
    let told = format!("version {version}, this build knows {}", kind.version);
    assert!(error.to_string().contains(&told), "{error}");
}

fn bucket_bytes() -> Vec<u8> {
    let timer = |i: u8| (i64::from(i), SEGMENT.plus(u64::from(i) * 8), Bytes::from(vec![i; 9]));
    bucket::encode(SEGMENT, (0..11).map(timer).collect())
}

/// All of a bucket: header, directory, and every record.
fn read_bucket(bytes: &[u8]) -> Result<Bucket> {
    let bucket = Bucket::open(Arc::new(Stream(Bytes::copy_from_slice(bytes))))?;
    (0..bucket.entries).try_for_each(|slot| bucket.record(slot).map(drop))?;
    Ok(bucket)
}

#[test]
fn cells() {
    fn cell<V: CellValue + std::fmt::Debug>(value: &V) {
        let bytes = cells::encode(value);
        flips(V::NAME, &bytes, cells::decode::<V>);
        let kind = Envelope { what: V::NAME, magic: V::MAGIC, version: 1, bytes_max: cells::CELL_BYTES_MAX };
        another_version(kind, &bytes, cells::decode::<V>);
    }
    cell(&Identity { secret: 7, created_ms: 1_000_000 });
    cell(&EpochRecord { epoch: Epoch(3), node: 1, commit_rule: 1, boot_id: 5, clean: true, queue_skips: 2 });
    cell(&Checkpoint { flushed: SEGMENT });
}

#[test]
fn buckets() {
    let bytes = bucket_bytes();
    assert_eq!(read_bucket(&bytes).unwrap().entries, 11);
    flips("a due bucket", &bytes, read_bucket);
    another_version(bucket::ENVELOPE, &bytes, read_bucket);
}

#[test]
fn bases() {
    let known: Buckets = BTreeMap::from([(SEGMENT, read_bucket(&bucket_bytes()).unwrap())]);
    let mut views = Views::empty(0);
    for (slot, schedule) in [(3, SEGMENT.plus(24)), (8, SEGMENT.plus(64))] {
        views.timers.insert(schedule, i64::from(slot), 9, Place::Bucket { segment: SEGMENT, slot });
    }
    views.timers.insert(SEGMENT.plus(1 << 20), 5, 100, Place::Log);
    let bytes = views.freeze(&known).unwrap().bytes;
    let read = |bytes: &[u8]| Views::thaw(bytes, &known, 0).map(|views| views.timers.count());
    assert_eq!(read(&bytes).unwrap(), 3);
    flips("a base", &bytes, read);
    another_version(base::LATER, &bytes, read);
}
