use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::{fmt, io};

use backends::StreamReader;
use bytes::Bytes;
use proptest::prelude::*;

use super::layout::*;
use super::*;
use crate::hash::{checksum, key_hash};

struct Memory(Bytes);

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl StreamReader for Memory {
    fn published(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let bounds = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let range =
            usize::try_from(range.start).map_err(bounds)?..usize::try_from(range.end).map_err(bounds)?;
        if range.start > range.end || range.end > self.0.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.0.slice(range))
    }
}

fn open(bytes: &[u8]) -> Result<IndexFile, IndexError> {
    IndexFile::open(Arc::new(Memory(Bytes::copy_from_slice(bytes))))
}

const fn unit(physical_offset: u64, size: u32, tags: i64) -> Unit {
    Unit { physical_offset, size, tags }
}

const fn entry(topic: &str, queue: u32, queue_offset: u64, unit: Unit) -> IndexEntry<'_> {
    IndexEntry { topic, queue, queue_offset, unit }
}

/// Two topics, three queues, a gap of blanks, and a key that two records share.
fn small() -> Vec<u8> {
    let mut builder = IndexBuilder::new(0x1000);
    builder.add(&entry("b", 0, 5, unit(0x1040, 100, -1)), ["k", "u1", "k"].into_iter());
    builder.add(&entry("a", 1, 0, unit(0x10C0, 101, 2)), ["k"].into_iter());
    builder.add(&entry("b", 0, 6, unit(0x1140, 102, 3)), ["k"].into_iter());
    builder.add(&entry("b", 0, 9, unit(0x11C0, 103, 4)), [].into_iter());
    builder.add(&entry("a", 0, 7, unit(0x1240, 99, 5)), [].into_iter());
    [1100, 1099, 1103].into_iter().for_each(|ms| builder.cover(ms));
    assert_eq!(builder.units(), 5);
    builder.finish(0x2000, 0xAABB_CCDD)
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn golden() {
    let mut keys: Vec<(u64, u64)> = vec![
        (key_hash("b", "k"), 0x1040),
        (key_hash("b", "k"), 0x1140),
        (key_hash("b", "u1"), 0x1040),
        (key_hash("a", "k"), 0x10C0),
    ];
    keys.sort_unstable();
    let keys: String = keys.iter().map(|(hash, offset)| format!("{hash:016X}{offset:016X}")).collect();
    let directory = "
        0001 61 00000000 00000001  0000000000000007 00000001 00000000
        0001 61 00000001 00000001  0000000000000000 00000001 00000001
        0001 62 00000000 00000002  0000000000000005 00000002 00000002
                                   0000000000000009 00000001 00000004";
    let units = "
        0000000000001240 00000063 0000000000000005
        00000000000010C0 00000065 0000000000000002
        0000000000001040 00000064 FFFFFFFFFFFFFFFF
        0000000000001140 00000066 0000000000000003
        00000000000011C0 00000067 0000000000000004";
    let crc = |hex: &str| format!("{:08X}", checksum(&unhex(hex)));
    // 100 + 3 * 11 + 4 * 16 = 197 = 0xC5; + 5 * 20 = 297 = 0x129; + 4 * 16 = 361 = 0x169.
    let header = format!(
        "4D53494E44455800 00000001 AABBCCDD 0000000000001000 0000000000002000
         000000000000044B 000000000000044F 00000003 00000005 00000004 {}
         00000000000000C5 0000000000000129 0000000000000169 {} {}",
        crc(directory),
        crc(units),
        crc(&keys)
    );
    let whole = format!("{header}{}{directory}{units}{keys}", crc(&header));
    assert_eq!(small(), unhex(&whole));
}

#[test]
fn tables_name_the_constants() {
    let table: BTreeSet<(String, usize, usize)> = include_str!("layout.rs")
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("//! | ")?.split(" | ").collect();
            Some((cells[2].to_owned(), cells[0].parse().ok()?, cells[1].parse().ok()?))
        })
        .filter(|(name, ..)| name != "topic length")
        .collect();
    let fields = [HEADER_FIELDS, RUN_FIELDS, UNIT_FIELDS, KEY_FIELDS].concat();
    let fields = fields.iter().map(|(name, at, size)| ((*name).to_owned(), *at, *size)).collect();
    assert_eq!(table, fields);
}

#[test]
fn reads_what_was_added() {
    let file = open(&small()).unwrap();
    let header = file.header();
    assert_eq!((header.segment_start, header.segment_end), (0x1000, 0x2000));
    assert_eq!((header.first_store_ms, header.last_store_ms), (1099, 1103));
    assert_eq!(header.last_frame_crc, 0xAABB_CCDD);
    let run = |first, count, position| Run { first, count, position };
    let queues: Vec<_> = file.queues().collect();
    assert_eq!(
        queues,
        [("a", 0, &[run(7, 1, 0)][..]), ("a", 1, &[run(0, 1, 1)]), ("b", 0, &[run(5, 2, 2), run(9, 1, 4)]),]
    );
    assert_eq!(file.runs("b", 0), Some(queues[2].2));
    assert_eq!((file.runs("b", 1), file.runs("c", 0)), (None, None));
    assert_eq!(queues[2].2[0].end(), 7);
    let units: Vec<_> = file.units(2, 2).unwrap().collect();
    assert_eq!(units, [unit(0x1040, 100, -1), unit(0x1140, 102, 3)]);
    let units = file.units(2, 2).unwrap();
    assert_eq!((units.len(), units.get(1), units.get(2)), (2, Some(unit(0x1140, 102, 3)), None));
    assert_eq!(file.units(5, 0).unwrap().count(), 0);
    for (position, count) in [(5, 1), (0, 6), (6, 0), (1, u32::MAX)] {
        assert!(matches!(file.units(position, count), Err(IndexError::Range { .. })));
    }
    assert_eq!(file.find_key(key_hash("b", "k")).unwrap(), [0x1040, 0x1140]);
    assert_eq!(file.find_key(key_hash("b", "nothing")).unwrap(), []);
}

#[test]
fn a_segment_without_records_has_an_index() {
    let bytes = IndexBuilder::new(7).finish(7, 0);
    assert_eq!(bytes.len(), HEADER_BYTES);
    let file = open(&bytes).unwrap();
    assert_eq!(file.queues().len(), 0);
    assert_eq!(file.units(0, 0).unwrap().count(), 0);
    assert_eq!(file.find_key(0).unwrap(), []);
}

#[test]
fn many_keys_of_one_hash_are_found() {
    let mut builder = IndexBuilder::new(0);
    for i in 0..3000 {
        let other = i.to_string();
        builder.add(&entry("t", 0, i, unit(i * 100, 100, 0)), ["same", &other].into_iter());
    }
    let file = open(&builder.finish(300_000, 0)).unwrap();
    let all: Vec<u64> = (0..3000).map(|i| i * 100).collect();
    assert_eq!(file.find_key(key_hash("t", "same")).unwrap(), all);
    for i in 0..3000 {
        assert_eq!(file.find_key(key_hash("t", &i.to_string())).unwrap(), [i * 100]);
    }
    assert_eq!(file.find_key(0).unwrap(), []);
    assert_eq!(file.find_key(u64::MAX).unwrap(), []);
}

#[test]
fn every_flipped_bit_is_found_by_the_call_that_reads_it() {
    let bytes = small();
    let header = *open(&bytes).unwrap().header();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let at = (bit / 8) as u64;
        let opened = open(&bad);
        if at < header.units_at {
            assert!(matches!(opened, Err(IndexError::Corrupt { .. })), "bit {bit}");
            continue;
        }
        let file = opened.unwrap();
        let (units, keys) = (file.units(0, 1).is_err(), file.find_key(1).is_err());
        assert_eq!((units, keys), (at < header.keys_at, at >= header.keys_at), "bit {bit}");
    }
}

#[test]
fn truncated_at_every_length_is_an_error() {
    let mut bytes = small();
    for cut in 0..bytes.len() {
        assert!(open(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    bytes.push(0);
    assert!(open(&bytes).is_err());
}

/// Makes the checksums of header and directory right again, so that what is behind them is reached.
fn resign(bytes: &mut [u8]) {
    let units_at = u64::from_be_bytes(bytes[64..72].try_into().unwrap());
    let directory = usize::try_from(units_at).ok().and_then(|end| bytes.get(HEADER_BYTES..end));
    if let Some(crc) = directory.map(checksum) {
        bytes[60..64].copy_from_slice(&crc.to_be_bytes());
    }
    let crc = checksum(&bytes[..HEADER_CRC]);
    bytes[HEADER_CRC..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn errors_name_position_and_check() {
    let mut bytes = small();
    bytes[HEADER_BYTES + 40] ^= 1;
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "index file is corrupt at byte 100: directory checksum");
    bytes = small();
    bytes[11] = 2;
    resign(&mut bytes);
    assert_eq!(open(&bytes).unwrap_err().to_string(), "index file has version 2, 1 is known");
    bytes = small();
    bytes[24..32].fill(0);
    resign(&mut bytes);
    let error = open(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "index file is corrupt at byte 24: segment ends before it starts");
}

#[test]
fn a_structure_with_right_checksums_is_still_checked() {
    let bytes = small();
    let fields = HEADER_FIELDS.iter().filter(|(name, ..)| {
        ["queues", "unit count", "key count", "units at", "keys at", "file length"].contains(name)
    });
    let mut places: Vec<usize> = fields.flat_map(|(_, at, size)| *at..at + size).collect();
    // In the second queue's entry: topic length, topic, run count, run's count, run's position.
    places.extend([127, 128, 134, 135, 136, 137, 146, 147, 148, 149, 150, 151, 152, 153]);
    for at in places {
        for byte in [0, 1, 0x62, 0x7F, 0x80, 0xFF] {
            let mut bad = bytes.clone();
            if bad[at] == byte {
                continue;
            }
            bad[at] = byte;
            resign(&mut bad);
            assert!(open(&bad).is_err(), "byte {at} as {byte}");
        }
    }
}

#[test]
#[should_panic(expected = "comes after 6")]
fn queue_offsets_go_up() {
    let mut builder = IndexBuilder::new(0);
    builder.add(&entry("t", 0, 5, unit(0, 100, 0)), [].into_iter());
    builder.add(&entry("t", 0, 5, unit(100, 100, 0)), [].into_iter());
}

/// Per record: topic, queue, blanks before it, keys, tags.
type Added = Vec<(u8, u32, u64, Vec<u8>, i64)>;

fn added() -> impl Strategy<Value = Added> {
    let blanks = prop_oneof![4 => Just(0_u64), 1 => 1..5_u64, 1 => Just(1 << 22)];
    let keys = prop::collection::vec(0..6_u8, 0..3);
    prop::collection::vec((0..4_u8, 0..3_u32, blanks, keys, any::<i64>()), 0..60)
}

proptest! {
    #[test]
    fn opened_is_what_was_added(added in added()) {
        let topics = ["t", "%RETRY%g", "tt", "T"];
        let mut model: BTreeMap<(&str, u32), BTreeMap<u64, Unit>> = BTreeMap::new();
        let mut by_key: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        let (mut builder, mut again) = (IndexBuilder::new(0), IndexBuilder::new(0));
        let mut at = 64;
        for (topic, queue, blanks, keys, tags) in &added {
            let topic = topics[usize::from(*topic)];
            let units = model.entry((topic, *queue)).or_default();
            let offset = units.last_key_value().map_or(0, |(last, _)| last + 1) + blanks;
            let unit = unit(at, 91, *tags);
            units.insert(offset, unit);
            let words: Vec<String> = keys.iter().map(u8::to_string).collect();
            for key in &words {
                by_key.entry(key_hash(topic, key)).or_default().insert(at);
            }
            builder.add(&entry(topic, *queue, offset, unit), words.iter().map(String::as_str));
            again.add(&entry(topic, *queue, offset, unit), words.iter().map(String::as_str));
            at += 96;
        }
        let bytes = builder.finish(at, 1);
        prop_assert_eq!(&again.finish(at, 1), &bytes);
        let file = open(&bytes).unwrap();
        let mut read = BTreeMap::new();
        for (topic, queue, runs) in file.queues() {
            let units: &mut BTreeMap<u64, Unit> = read.entry((topic, queue)).or_default();
            for run in runs {
                units.extend((run.first..).zip(file.units(run.position, run.count).unwrap()));
                prop_assert_eq!(units.last_key_value().map(|(last, _)| last + 1), Some(run.end()));
            }
            prop_assert_eq!(file.runs(topic, queue), Some(runs));
        }
        prop_assert_eq!(read, model);
        for (hash, offsets) in by_key {
            prop_assert_eq!(file.find_key(hash).unwrap(), offsets.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn resigned_nonsense_never_panics(changes in prop::collection::vec((0..361_usize, any::<u8>()), 1..5)) {
        let mut bytes = small();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        resign(&mut bytes);
        if let Ok(file) = open(&bytes) {
            for (_, _, runs) in file.queues() {
                for run in runs {
                    let _ = file.units(run.position, run.count).map(Iterator::count);
                }
            }
            let _ = file.find_key(0);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes).is_err());
    }
}
