//! The directory of an index file: which queues it holds, and which of their offsets.

use super::IndexError;
use super::header::{Header, corrupt};
use super::layout::{HEADER_BYTES, QUEUE_BYTES_MIN, RUN_BYTES, TOPIC_BYTES_MAX};
use crate::hash::checksum;
use crate::record::Cursor;
use crate::settings::QUEUES_MAX;

/// Units of one queue whose queue offsets are consecutive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// Queue offset of the first unit.
    pub first: u64,
    /// How many there are, at least 1.
    pub count: u32,
    /// Number of the first unit within the file; what [`super::IndexFile::units`] takes.
    pub position: u32,
}

impl Run {
    /// The queue offset behind the last unit.
    pub const fn end(&self) -> u64 {
        self.first.saturating_add(self.count as u64)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }
}

/// What of an open index file stays in memory: 16 bytes a run, 20 a queue, and each topic once.
#[derive(Debug)]
pub(super) struct Directory {
    queues: Vec<Queue>,
    runs: Vec<Run>,
    topics: String,
}

#[derive(Debug, Clone, Copy)]
struct Queue {
    /// Where its topic starts and ends in `topics`.
    topic: (u32, u32),
    queue: u32,
    /// Where its runs start and end in `runs`.
    runs: (u32, u32),
}

impl Directory {
    /// Reads the directory that `header` tells of. `bytes` are all of it.
    pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Self, IndexError> {
        if checksum(bytes) != header.directory_crc {
            return Err(corrupt(HEADER_BYTES as u64, "directory checksum"));
        }
        let mut reader = Reader {
            cursor: Cursor::new(bytes),
            units: 0,
            directory: Self { queues: Vec::new(), runs: Vec::new(), topics: String::new() },
        };
        // Bounded by the file's length: `Header::check`.
        reader.directory.queues.reserve_exact(header.queues as usize);
        for _ in 0..header.queues {
            reader.queue()?;
        }
        if !reader.cursor.rest().is_empty() {
            return Err(reader.corrupt("bytes behind the last queue"));
        }
        if reader.units != header.units {
            return Err(reader.corrupt("runs do not cover the units"));
        }
        reader.directory.runs.shrink_to_fit();
        reader.directory.topics.shrink_to_fit();
        Ok(reader.directory)
    }

    pub(super) fn queues(&self) -> impl ExactSizeIterator<Item = (&str, u32, &[Run])> {
        self.queues.iter().map(|queue| (self.topic(queue), queue.queue, self.runs(queue)))
    }

    pub(super) fn find(&self, topic: &str, queue: u32) -> Option<&[Run]> {
        let wanted = (topic, queue);
        let found =
            self.queues.binary_search_by(|other| (self.topic(other), other.queue).cmp(&wanted)).ok()?;
        self.queues.get(found).map(|queue| self.runs(queue))
    }

    fn topic(&self, queue: &Queue) -> &str {
        self.topics.get(queue.topic.0 as usize..queue.topic.1 as usize).unwrap_or_default()
    }

    fn runs(&self, queue: &Queue) -> &[Run] {
        self.runs.get(queue.runs.0 as usize..queue.runs.1 as usize).unwrap_or_default()
    }
}

/// Reads one queue after the other and checks that each follows from the one before.
struct Reader<'a> {
    cursor: Cursor<'a>,
    /// Units of all runs so far.
    units: u32,
    directory: Directory,
}

impl<'a> Reader<'a> {
    fn queue(&mut self) -> Result<(), IndexError> {
        let topic = self.topic()?;
        let queue = self.u32()?;
        if queue >= QUEUES_MAX {
            return Err(self.corrupt("number of a queue"));
        }
        if let Some(last) = self.directory.queues.last()
            && (self.directory.topic(last), last.queue) >= (topic, queue)
        {
            return Err(self.corrupt("queues are not in order"));
        }
        let topic = self.keep(topic)?;
        let count = self.u32()?;
        if count == 0 {
            return Err(self.corrupt("queue without a run"));
        }
        if self.cursor.rest().len() / RUN_BYTES < count as usize {
            return Err(self.corrupt("more runs than bytes"));
        }
        let start = self.directory.runs.len();
        self.directory.runs.reserve(count as usize);
        let mut end = None;
        for _ in 0..count {
            end = Some(self.run(end)?);
        }
        let runs = (self.number(start)?, self.number(self.directory.runs.len())?);
        self.directory.queues.push(Queue { topic, queue, runs });
        Ok(())
    }

    fn topic(&mut self) -> Result<&'a str, IndexError> {
        let short = self.corrupt("directory is too short");
        let Some(len) = self.cursor.u16() else { return Err(short) };
        if usize::from(len) > TOPIC_BYTES_MAX {
            return Err(self.corrupt("length of a topic"));
        }
        let Some(topic) = self.cursor.take(usize::from(len)) else { return Err(short) };
        str::from_utf8(topic).map_err(|_| self.corrupt("topic is not UTF-8"))
    }

    /// Reads a run that starts behind `end` and gives where it ends.
    fn run(&mut self, end: Option<u64>) -> Result<u64, IndexError> {
        let first = self.cursor.u64().ok_or(self.corrupt("directory is too short"))?;
        let run = Run { first, count: self.u32()?, position: self.u32()? };
        if end.is_some_and(|end| run.first <= end) {
            return Err(self.corrupt("runs touch or are not in order"));
        }
        if run.position != self.units {
            return Err(self.corrupt("position of a run"));
        }
        let units = self.units.checked_add(run.count);
        let (Some(units), Some(end), 1..) = (units, run.first.checked_add(u64::from(run.count)), run.count)
        else {
            return Err(self.corrupt("length of a run"));
        };
        self.units = units;
        self.directory.runs.push(run);
        Ok(end)
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        self.cursor.u32().ok_or(self.corrupt("directory is too short"))
    }

    /// Where a topic stands in the kept text; one that several queues share stands there once.
    fn keep(&mut self, topic: &str) -> Result<(u32, u32), IndexError> {
        if let Some(last) = self.directory.queues.last()
            && self.directory.topic(last) == topic
        {
            return Ok(last.topic);
        }
        let start = self.number(self.directory.topics.len())?;
        self.directory.topics.push_str(topic);
        Ok((start, self.number(self.directory.topics.len())?))
    }

    fn number(&self, number: usize) -> Result<u32, IndexError> {
        u32::try_from(number).map_err(|_| self.corrupt("directory is too long"))
    }

    fn corrupt(&self, check: &'static str) -> IndexError {
        corrupt((HEADER_BYTES + self.cursor.at()) as u64, check)
    }
}

/// Writes the head of a queue's entry; `runs` runs follow.
///
/// # Panics
///
/// If the topic is longer than a topic can be.
pub(super) fn encode_queue(topic: &str, queue: u32, runs: u32, out: &mut Vec<u8>) {
    assert!(topic.len() <= TOPIC_BYTES_MAX, "topic of {} bytes", topic.len());
    let before = out.len();
    let [_, _, high, low] = u32::try_from(topic.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&[high, low]);
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(&queue.to_be_bytes());
    out.extend_from_slice(&runs.to_be_bytes());
    debug_assert_eq!(out.len() - before, QUEUE_BYTES_MIN + topic.len());
}
