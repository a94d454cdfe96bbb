//! Builds the index file of a segment.

use std::collections::BTreeMap;

use super::Unit;
use super::directory::{Run, encode_queue};
use super::header::Header;
use super::layout::{HEADER_BYTES, KEY_BYTES, RUN_BYTES, TOPIC_BYTES_MAX, UNIT_BYTES};
use crate::hash::{checksum, key_hash};

/// One record of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry<'a> {
    /// Its topic, at most 255 bytes.
    pub topic: &'a str,
    /// Its queue.
    pub queue: u32,
    /// Its index in the queue.
    pub queue_offset: u64,
    /// What the queue holds of it.
    pub unit: Unit,
}

/// Takes the records of one segment in log order. What comes out depends on nothing else.
#[derive(Debug)]
pub struct IndexBuilder {
    segment_start: u64,
    /// Sorted by topic, then queue.
    topics: BTreeMap<String, BTreeMap<u32, Queue>>,
    /// Key hash and physical offset, in log order.
    keys: Vec<(u64, u64)>,
    units: u32,
    owner_ms: Option<(i64, i64)>,
}

#[derive(Debug, Default)]
struct Queue {
    /// First queue offset and count.
    runs: Vec<(u64, u32)>,
    units: Vec<Unit>,
}

impl IndexBuilder {
    /// Starts the index of the segment whose first byte has this log offset.
    pub const fn new(segment_start: u64) -> Self {
        Self { segment_start, topics: BTreeMap::new(), keys: Vec::new(), units: 0, owner_ms: None }
    }

    /// Units added so far.
    pub const fn units(&self) -> u32 {
        self.units
    }

    /// Adds the next record of the log, and the keys by which it can be found.
    ///
    /// # Panics
    ///
    /// If its queue offset is not above every earlier one of its queue, its topic is above 255 bytes, or
    /// there are 2^32 units: no segment can give those.
    pub fn add<'k>(&mut self, entry: &IndexEntry<'_>, keys: impl Iterator<Item = &'k str>) {
        assert!(entry.topic.len() <= TOPIC_BYTES_MAX, "topic of {} bytes", entry.topic.len());
        assert!(self.units < u32::MAX, "a segment holds fewer than 2^32 records");
        if !self.topics.contains_key(entry.topic) {
            self.topics.insert(entry.topic.to_owned(), BTreeMap::new());
        }
        if let Some(queues) = self.topics.get_mut(entry.topic) {
            queues.entry(entry.queue).or_default().add(entry);
        }
        self.units += 1;
        self.keys.extend(keys.map(|key| (key_hash(entry.topic, key), entry.unit.physical_offset)));
    }

    /// The segment holds a frame of this owner time.
    pub fn cover(&mut self, owner_ms: i64) {
        let (first, last) = self.owner_ms.unwrap_or((owner_ms, owner_ms));
        self.owner_ms = Some((first.min(owner_ms), last.max(owner_ms)));
    }

    /// The bytes of the file, for a segment that ends at `segment_end` with a frame of this checksum.
    ///
    /// # Panics
    ///
    /// If the segment ends before it starts, or there are 2^32 keys.
    pub fn finish(mut self, segment_end: u64, last_frame_crc: u32) -> Vec<u8> {
        assert!(self.segment_start <= segment_end, "{} to {segment_end}", self.segment_start);
        self.keys.sort_unstable();
        self.keys.dedup();
        let mut out = Vec::with_capacity(self.len_estimate());
        out.resize(HEADER_BYTES, 0);
        let queues = self.write_directory(&mut out);
        let units_at = out.len();
        for unit in self.topics.values().flat_map(BTreeMap::values).flat_map(|queue| &queue.units) {
            out.extend_from_slice(&unit.encode());
        }
        let keys_at = out.len();
        for (hash, offset) in &self.keys {
            out.extend_from_slice(&hash.to_be_bytes());
            out.extend_from_slice(&offset.to_be_bytes());
        }
        let (first_store_ms, last_store_ms) = self.owner_ms.unwrap_or_default();
        let header = Header {
            last_frame_crc,
            segment_start: self.segment_start,
            segment_end,
            first_store_ms,
            last_store_ms,
            queues,
            units: self.units,
            keys: count(self.keys.len()),
            directory_crc: checksum(&out[HEADER_BYTES..units_at]),
            units_at: units_at as u64,
            keys_at: keys_at as u64,
            file_len: out.len() as u64,
            units_crc: checksum(&out[units_at..keys_at]),
            keys_crc: checksum(&out[keys_at..]),
        };
        out[..HEADER_BYTES].copy_from_slice(&header.encode());
        out
    }

    /// Writes the directory and gives the number of queues.
    fn write_directory(&self, out: &mut Vec<u8>) -> u32 {
        let (mut queues, mut position) = (0, 0);
        for (topic, of_topic) in &self.topics {
            for (number, queue) in of_topic {
                encode_queue(topic, *number, count(queue.runs.len()), out);
                for (first, count) in &queue.runs {
                    Run { first: *first, count: *count, position }.encode(out);
                    position += *count;
                }
                queues += 1;
            }
        }
        debug_assert_eq!(position, self.units, "runs cover the units");
        queues
    }

    fn len_estimate(&self) -> usize {
        let queues = self.topics.values().flat_map(BTreeMap::values);
        let directory: usize = queues.map(|queue| 64 + queue.runs.len() * RUN_BYTES).sum();
        HEADER_BYTES + directory + self.units as usize * UNIT_BYTES + self.keys.len() * KEY_BYTES
    }
}

impl Queue {
    fn add(&mut self, entry: &IndexEntry<'_>) {
        match self.runs.last_mut() {
            Some((first, count)) if *first + u64::from(*count) == entry.queue_offset => *count += 1,
            last => {
                let end = last.map_or(0, |(first, count)| *first + u64::from(*count));
                assert!(
                    entry.queue_offset >= end,
                    "queue offset {} of {}/{} comes after {end}",
                    entry.queue_offset,
                    entry.topic,
                    entry.queue
                );
                self.runs.push((entry.queue_offset, 1));
            }
        }
        self.units.push(entry.unit);
    }
}

fn count(len: usize) -> u32 {
    assert!(len <= u32::MAX as usize, "{len} entries in one segment");
    u32::try_from(len).unwrap_or(u32::MAX)
}
