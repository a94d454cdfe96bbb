//! `index_open`: an index file of any bytes, with its checksums made right or left alone.

use mainspring::hash::checksum;
use mainspring::index::layout::{
    HEADER_BYTES, HEADER_CRC, HEADER_FIELDS, KEY_BYTES, MAGIC, UNIT_BYTES, VERSION,
};
use mainspring::index::{IndexBuilder, IndexEntry, IndexFile, Unit};

use crate::{medium, put};

/// The first byte chooses: the bytes as they are, with checksums and lengths made right, or built from them.
pub fn index_open(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => open(rest),
        1 => open(&patched(rest)),
        _ => built(rest),
    }
}

fn field(name: &str) -> usize {
    HEADER_FIELDS.iter().find(|(field, ..)| *field == name).expect("a field of the header").1
}

fn number(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes) as usize
}

/// The bytes as a file whose sections fill it and whose checksums are right: what is wrong is in the directory.
fn patched(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() < HEADER_BYTES {
        return file;
    }
    put(&mut file, field("magic"), &MAGIC);
    put(&mut file, field("version"), &VERSION.to_be_bytes());
    let room = file.len() - HEADER_BYTES;
    let keys = number(&file, field("key count")).min(room / KEY_BYTES);
    let units = number(&file, field("unit count")).min((room - keys * KEY_BYTES) / UNIT_BYTES);
    let keys_at = file.len() - keys * KEY_BYTES;
    let units_at = keys_at - units * UNIT_BYTES;
    let sums = [&file[HEADER_BYTES..units_at], &file[units_at..keys_at], &file[keys_at..]].map(checksum);
    let queues = number(&file, field("queues")) % 64;
    for (name, value) in [("queues", queues), ("unit count", units), ("key count", keys)] {
        put(&mut file, field(name), &u32::try_from(value).unwrap_or(0).to_be_bytes());
    }
    let len = file.len();
    for (name, value) in [("units at", units_at), ("keys at", keys_at), ("file length", len)] {
        put(&mut file, field(name), &(value as u64).to_be_bytes());
    }
    for (name, sum) in ["directory crc", "units crc", "keys crc"].into_iter().zip(sums) {
        put(&mut file, field(name), &sum.to_be_bytes());
    }
    let sum = checksum(&file[..HEADER_CRC]);
    put(&mut file, HEADER_CRC, &sum.to_be_bytes());
    file
}

fn open(file: &[u8]) {
    let Ok(index) = IndexFile::open(medium::reader(file)) else { return };
    let mut counted = 0;
    for (topic, queue, runs) in index.queues() {
        assert_eq!(index.runs(topic, queue), Some(runs), "a queue that is listed is found");
        assert!(!runs.is_empty());
        for run in runs {
            assert_eq!(run.position, counted, "runs cover the units in order");
            counted += run.count;
            if let Ok(units) = index.units(run.position, run.count) {
                assert_eq!(units.len(), run.count as usize);
                assert_eq!(units.count(), run.count as usize);
            }
        }
    }
    assert_eq!(counted, index.header().units, "runs cover the units");
    for (position, count) in [(0, u32::MAX), (u32::MAX, 1), (counted, 1), (counted, 0)] {
        assert_eq!(
            index.units(position, count).is_ok(),
            count == 0 && counted_ok(&index),
            "units {position} + {count}"
        );
    }
    let keys = file.len() - index.header().keys as usize * KEY_BYTES;
    for at in (keys..file.len()).step_by(KEY_BYTES).take(64) {
        let hash = file.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
        let _ = index.find_key(hash);
        let _ = index.find_key(hash.wrapping_add(1));
    }
    let _ = index.find_key(u64::MAX);
}

/// Whether the units pass their checksum.
fn counted_ok(index: &IndexFile) -> bool {
    index.units(0, 0).is_ok()
}

/// Builds a file from the bytes and finds everything in it again.
fn built(rest: &[u8]) {
    let mut builder = IndexBuilder::new(1 << 40);
    let mut next = std::collections::BTreeMap::<(u8, u8), u64>::new();
    let mut added = Vec::new();
    let keys = ["a", "b", "c", "a-longer-key"];
    for (i, part) in rest.chunks_exact(4).take(4000).enumerate() {
        let (topic, queue, gap, key) = (part[0] % 5, part[1] % 3, part[2], part[3]);
        let queue_offset = next.entry((topic, queue)).or_default();
        *queue_offset += u64::from(if gap < 200 { 0 } else { gap });
        let name = "topic".repeat(usize::from(topic) + 1);
        let unit = Unit { physical_offset: (1 << 40) + i as u64 * 8, size: u32::from(key), tags: -1 };
        let entry = IndexEntry { topic: &name, queue: u32::from(queue), queue_offset: *queue_offset, unit };
        builder.cover(i64::from(gap));
        let key = keys[usize::from(key) % 4];
        builder.add(&entry, std::iter::once(key));
        added.push((name.clone(), entry.queue, *queue_offset, unit, key));
        *queue_offset += 1;
    }
    let file = builder.finish((1 << 40) + (1 << 20), 7);
    let index = IndexFile::open(medium::reader(&file)).expect("what is built can be opened");
    open(&file);
    for (topic, queue, queue_offset, unit, key) in &added {
        let runs = index.runs(topic, *queue).expect("the queue");
        let run = runs.iter().find(|r| (r.first..r.end()).contains(queue_offset)).expect("the run");
        let skip = u32::try_from(queue_offset - run.first).expect("within a run");
        let found = index.units(run.position + skip, 1).expect("the unit").next();
        assert_eq!(found.as_ref(), Some(unit));
        let hash = mainspring::hash::key_hash(topic, key);
        assert!(index.find_key(hash).expect("keys").contains(&unit.physical_offset));
    }
}
