//! Sequential reads of queues, against walking and copying the same bytes.

use bytes::Bytes;
use mainspring::{CommitRule, ReadRequest, ReadStatus, Records, TagFilter, Wait};

use crate::Result;
use crate::bed::{Bed, QUEUES};
use crate::measure::Timing;
use crate::workload::Workload;

/// A store that holds a workload, and the same records as slices.
#[derive(Debug)]
pub struct Library {
    bed: Bed,
    records: Vec<Bytes>,
    bytes: u64,
}

/// What is done with each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Its bytes are added up, word by word: a reader that looks at all of it.
    Walk,
    /// It is copied into a buffer.
    Copy,
}

fn walk(record: &[u8]) -> u64 {
    let (words, rest) = record.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

fn take(record: &[u8], how: Use, buffer: &mut Vec<u8>) -> u64 {
    match how {
        Use::Walk => walk(record),
        Use::Copy => {
            if buffer.len() + record.len() > buffer.capacity() {
                buffer.clear();
            }
            buffer.extend_from_slice(record);
            record.len() as u64
        }
    }
}

/// Bytes of the buffer that records are copied to, over and over: as a socket's would be.
const BUFFER_BYTES: usize = 256 << 10;

impl Library {
    /// Appends the workload and finds its records.
    ///
    /// # Errors
    /// The store's.
    pub fn new(load: &Workload) -> Result<Self> {
        let bed = Bed::prepared(CommitRule::Appended, super::append::segment_bytes(load))?;
        bed.append(load, 0..load.messages, 32, Wait::Appended)?;
        bed.settle();
        let mut library = Self { bed, records: Vec::new(), bytes: 0 };
        let mut records = Vec::new();
        library.each(32, |found| records.extend(found.slices()))?;
        library.bytes = records.iter().map(|r| r.len() as u64).sum();
        library.records = records;
        Ok(library)
    }

    /// Messages and bytes of their records.
    #[must_use]
    pub fn len(&self) -> (usize, u64) {
        (self.records.len(), self.bytes)
    }

    fn each(&self, max_records: usize, mut look: impl FnMut(&Records)) -> Result<()> {
        let filter = TagFilter::all();
        for queue in 0..QUEUES {
            let mut from = 0;
            loop {
                let request = ReadRequest {
                    topic: "bench",
                    queue,
                    from,
                    max_records,
                    max_bytes: 4 << 20,
                    filter: &filter,
                };
                let result = self.bed.store.read(&request)?;
                if result.status == ReadStatus::AtEnd {
                    break;
                }
                look(&result.records);
                from = result.next;
            }
        }
        Ok(())
    }

    /// Reads everything in order, so many messages a read. Gives a sum that depends on every byte read.
    ///
    /// # Errors
    /// The store's.
    pub fn ours(&self, max_records: usize, how: Use) -> Result<(Timing, u64)> {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        let mut sum = 0_u64;
        let (timing, done) = Timing::of(|| {
            self.each(max_records, |found| {
                found.iter().for_each(|record| sum = sum.wrapping_add(take(record, how, &mut buffer)));
            })
        });
        done?;
        Ok((timing, sum))
    }

    /// The same with the same slices, which are at hand.
    #[must_use]
    pub fn reference(&self, how: Use) -> (Timing, u64) {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        Timing::of(|| {
            self.records.iter().fold(0_u64, |sum, record| sum.wrapping_add(take(record, how, &mut buffer)))
        })
    }
}
