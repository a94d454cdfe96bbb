//! The operations of a frame.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 1 | kind | see [`OpKind`] |
//! | 1 | 3 | reserved | zero |
//! | 4 | 4 | length | bytes of the payload, without padding |
//! | 8 | n | payload | padded with zeros to a multiple of 8 |
//!
//! Payloads, in order of their fields (`text` is a two-byte length and UTF-8):
//!
//! | kind | name | payload |
//! |---|---|---|
//! | 1 | open | previous end 8, segment bytes 8, queue skips 4, commit rule 1, node 8, boot id 16 |
//! | 2 | segment | previous end 8 |
//! | 3 | append | tags code 8, record |
//! | 4 | schedule | due 8, tags code 8, record as it will be fired |
//! | 5 | fire | due 8, schedule offset 8, tags code 8, record |
//! | 6 | cancel | due 8, schedule offset 8 |
//! | 7 | offset | group text, topic text, queue 4, offset 8 |
//! | 8 | topic | deleted 1, name text, settings |
//! | 9 | group | deleted 1, name text, settings |
//! | 10 | trim | new start 8 |
//! | 11 | salvage | reserved for take-overs |
//! | 12 | clock step | from 8, to 8 |
//! | 13 | digest | segment end 8, digest 8 |
//! | 14 | lock | group text, client text, lease 8, count 8, topic text, queue 4 |
//! | 15 | unlock | group text, client text, count 8, topic text, queue 4 |
//! | 16 | attributes | of 1, name text, count 8, attribute text, value text |
//! | 17 | clear | group text, topic text |
//! | 18 | once | key 16, window 8, most 4 |
//!
//! The fields behind a count are there so many times. Kinds from 14 on need feature level 2.

use byteorder::{BigEndian, ByteOrder};

use super::{HEADER_BYTES, aligned};
use crate::codec::{Malformed, Reader, Writer, fill};
use crate::offset::Offset;
use crate::settings::{self, GroupConfig, TopicConfig};

/// Bytes in front of a payload.
pub const OP_HEAD_BYTES: usize = 8;
/// `(field, offset, size)` of what stands in front of a payload, in order.
pub const OP_FIELDS: &[(&str, usize, usize)] = &[("kind", 0, 1), ("reserved", 1, 3), ("length", 4, 4)];
const _: () = assert!(fill(OP_FIELDS, 0, OP_HEAD_BYTES));
/// Where the record starts in an append's payload.
pub const RECORD_AT_APPEND: usize = 8;
/// Where the record starts in a schedule's payload.
pub const RECORD_AT_SCHEDULE: usize = 16;
/// Where the record starts in a fire's payload.
pub const RECORD_AT_FIRE: usize = 24;

/// What an operation does. The numbers are persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpKind {
    /// Opens an epoch.
    Open = 1,
    /// Opens a segment within an epoch.
    Segment = 2,
    /// A message.
    Append = 3,
    /// A timed message.
    Schedule = 4,
    /// The end of a timer and its message.
    Fire = 5,
    /// The end of a timer without a message.
    Cancel = 6,
    /// A group's progress in a queue.
    Offset = 7,
    /// A topic's settings.
    Topic = 8,
    /// A group's settings.
    Group = 9,
    /// The log starts later.
    Trim = 10,
    /// Frames of an epoch that was set aside; written from take-overs on.
    Salvage = 11,
    /// A wall clock far ahead was confirmed and adopted.
    ClockStep = 12,
    /// The digest of the state at a segment's end.
    Digest = 13,
    /// A client of a group wants queues for itself.
    Lock = 14,
    /// It gives them up.
    Unlock = 15,
    /// The attributes of a topic or group, all of them.
    Attributes = 16,
    /// Progress is forgotten.
    Clear = 17,
    /// The operation behind it counts only if its key is new.
    Once = 18,
}

impl OpKind {
    fn parse(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Open,
            2 => Self::Segment,
            3 => Self::Append,
            4 => Self::Schedule,
            5 => Self::Fire,
            6 => Self::Cancel,
            7 => Self::Offset,
            8 => Self::Topic,
            9 => Self::Group,
            10 => Self::Trim,
            11 => Self::Salvage,
            12 => Self::ClockStep,
            13 => Self::Digest,
            14 => Self::Lock,
            15 => Self::Unlock,
            16 => Self::Attributes,
            17 => Self::Clear,
            18 => Self::Once,
            _ => return None,
        })
    }

    /// The feature level that a frame with such an operation needs.
    #[must_use]
    pub const fn feature_level(self) -> u16 {
        if (self as u8) < Self::Lock as u8 { 1 } else { 2 }
    }
}

/// What the first frame of an epoch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Where the log ended before this epoch.
    pub previous_end: Offset,
    /// Bytes of a full segment of this epoch.
    pub segment_bytes: u64,
    /// How many times queues went on by 2^22, this epoch included.
    pub queue_skips: u32,
    /// The store's commit rule: 0 appended, 1 flushed.
    pub commit_rule: u8,
    /// The node that owns the epoch.
    pub node: u64,
    /// The boot of the machine in which it was opened.
    pub boot_id: u128,
}

/// What is asked of the message or timer behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Its key, of topic and text.
    pub key: u128,
    /// How long the key is remembered from the frame's owner time on, milliseconds.
    pub window_ms: i64,
    /// How many keys are remembered at most.
    pub most: u32,
}

/// An operation as it is read. Records carry the position of their first byte within the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op<'a> {
    /// See [`OpKind::Open`].
    Open(Opening),
    /// See [`OpKind::Segment`].
    Segment {
        /// Where the segment before ended.
        previous_end: Offset,
    },
    /// See [`OpKind::Append`].
    Append {
        /// The tag's hash.
        tags: i64,
        /// The record's first byte, counted from the frame's.
        at: u32,
        /// The record.
        record: &'a [u8],
    },
    /// See [`OpKind::Schedule`].
    Schedule {
        /// When it is due, owner milliseconds.
        due_ms: i64,
        /// The tag's hash.
        tags: i64,
        /// The record's first byte, counted from the frame's.
        at: u32,
        /// The record as it will be fired.
        record: &'a [u8],
    },
    /// See [`OpKind::Fire`].
    Fire {
        /// When it was due.
        due_ms: i64,
        /// The timer: the position of its record in its schedule.
        schedule: Offset,
        /// The tag's hash.
        tags: i64,
        /// The record's first byte, counted from the frame's.
        at: u32,
        /// The record.
        record: &'a [u8],
    },
    /// See [`OpKind::Cancel`].
    Cancel {
        /// When it would be due.
        due_ms: i64,
        /// The timer.
        schedule: Offset,
    },
    /// See [`OpKind::Offset`].
    Offset {
        /// The consumer group.
        group: &'a str,
        /// The topic.
        topic: &'a str,
        /// The queue.
        queue: u32,
        /// First queue offset not consumed yet.
        offset: u64,
    },
    /// See [`OpKind::Topic`].
    Topic {
        /// The topic.
        name: &'a str,
        /// Its settings, `None` where it is deleted.
        config: Option<TopicConfig>,
    },
    /// See [`OpKind::Group`].
    Group {
        /// The group.
        name: &'a str,
        /// Its settings, `None` where it is deleted.
        config: Option<GroupConfig>,
    },
    /// See [`OpKind::Trim`].
    Trim {
        /// The log's new start, a segment's.
        start: Offset,
    },
    /// See [`OpKind::ClockStep`].
    ClockStep {
        /// Owner time before, milliseconds.
        from_ms: i64,
        /// Owner time after, milliseconds.
        to_ms: i64,
    },
    /// See [`OpKind::Digest`].
    Digest {
        /// The segment end that it is of.
        at: Offset,
        /// The digest of the state there.
        digest: u64,
    },
    /// See [`OpKind::Lock`].
    Lock {
        /// The consumer group.
        group: &'a str,
        /// The client.
        client: &'a str,
        /// How long from the frame's owner time on, milliseconds.
        lease_ms: i64,
        /// The queues: topic and number.
        queues: Vec<(&'a str, u32)>,
    },
    /// See [`OpKind::Unlock`].
    Unlock {
        /// The consumer group.
        group: &'a str,
        /// The client.
        client: &'a str,
        /// The queues: topic and number.
        queues: Vec<(&'a str, u32)>,
    },
    /// See [`OpKind::Attributes`].
    Attributes {
        /// Whether it is a group's, else a topic's.
        of_group: bool,
        /// The topic or group.
        name: &'a str,
        /// Attributes with their values.
        attributes: Vec<(&'a str, &'a str)>,
    },
    /// See [`OpKind::Clear`].
    Clear {
        /// The group; empty for all of them.
        group: &'a str,
        /// The topic; empty for all of them.
        topic: &'a str,
    },
    /// See [`OpKind::Once`].
    Once(Once),
}

impl Op<'_> {
    /// The kind and payload of an operation without a record.
    ///
    /// # Panics
    /// For the operations that carry a record: those are encoded in place.
    #[must_use]
    pub fn payload(&self) -> (OpKind, Vec<u8>) {
        let mut out = Writer::default();
        let kind = match self {
            Op::Open(o) => {
                out.u64(o.previous_end.0).u64(o.segment_bytes).u32(o.queue_skips).u8(o.commit_rule);
                out.u64(o.node).u128(o.boot_id);
                OpKind::Open
            }
            Op::Segment { previous_end } => {
                out.u64(previous_end.0);
                OpKind::Segment
            }
            Op::Cancel { due_ms, schedule } => {
                out.i64(*due_ms).u64(schedule.0);
                OpKind::Cancel
            }
            Op::Offset { group, topic, queue, offset } => {
                out.text(group).text(topic).u32(*queue).u64(*offset);
                OpKind::Offset
            }
            Op::Topic { name, config } => {
                out.u8(u8::from(config.is_none())).text(name);
                config.iter().for_each(|c| c.encode(&mut out));
                OpKind::Topic
            }
            Op::Group { name, config } => {
                out.u8(u8::from(config.is_none())).text(name);
                config.iter().for_each(|c| c.encode(&mut out));
                OpKind::Group
            }
            Op::Trim { start } => {
                out.u64(start.0);
                OpKind::Trim
            }
            Op::ClockStep { from_ms, to_ms } => {
                out.i64(*from_ms).i64(*to_ms);
                OpKind::ClockStep
            }
            Op::Digest { at, digest } => {
                out.u64(at.0).u64(*digest);
                OpKind::Digest
            }
            Op::Lock { group, client, lease_ms, queues } => {
                out.text(group).text(client).i64(*lease_ms);
                write_queues(&mut out, queues);
                OpKind::Lock
            }
            Op::Unlock { group, client, queues } => {
                out.text(group).text(client);
                write_queues(&mut out, queues);
                OpKind::Unlock
            }
            Op::Attributes { of_group, name, attributes } => {
                out.u8(u8::from(*of_group)).text(name);
                settings::write_attributes(&mut out, attributes.iter().copied());
                OpKind::Attributes
            }
            Op::Clear { group, topic } => {
                out.text(group).text(topic);
                OpKind::Clear
            }
            Op::Once(once) => {
                out.u128(once.key).i64(once.window_ms).u32(once.most);
                OpKind::Once
            }
            Op::Append { .. } | Op::Schedule { .. } | Op::Fire { .. } => {
                unreachable!("records are encoded in place")
            }
        };
        (kind, out.0)
    }
}

fn write_queues(out: &mut Writer, queues: &[(&str, u32)]) {
    out.u64(queues.len() as u64);
    for (topic, queue) in queues {
        out.text(topic).u32(*queue);
    }
}

fn read_queues<'a>(r: &mut Reader<'a>) -> Result<Vec<(&'a str, u32)>, Malformed> {
    (0..r.u64()?).map(|_| Ok((r.text()?, r.u32()?))).collect()
}

/// Writes an operation's head at the start of `out`, and the zeros behind its payload.
///
/// # Panics
/// If `out` is shorter than the padded operation.
pub(crate) fn write_head(out: &mut [u8], kind: OpKind, payload: usize) {
    out[..OP_HEAD_BYTES].fill(0);
    out[0] = kind as u8;
    #[expect(clippy::cast_possible_truncation, reason = "a frame is at most 8 MiB")]
    BigEndian::write_u32(&mut out[4..8], payload as u32);
    out[OP_HEAD_BYTES + payload..OP_HEAD_BYTES + aligned(payload)].fill(0);
}

/// Iterates over the operations of a frame.
#[derive(Debug, Clone)]
pub struct OpReader<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> OpReader<'a> {
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self { frame, at: HEADER_BYTES }
    }

    fn read(&mut self) -> Result<Op<'a>, Malformed> {
        let mut head = Reader::new(self.frame.get(self.at..).ok_or(Malformed)?);
        let kind = OpKind::parse(head.u8()?).ok_or(Malformed)?;
        head.take(3)?;
        let len = head.u32()? as usize;
        let payload = head.take(len)?;
        let payload_at = self.at + OP_HEAD_BYTES;
        self.at = payload_at + aligned(len);
        parse(kind, payload, payload_at)
    }
}

impl<'a> Iterator for OpReader<'a> {
    /// `Err` where the bytes are no operation, although the frame's checksum is right; nothing follows it.
    type Item = Result<Op<'a>, BadOp>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.frame.len() {
            return None;
        }
        let at = self.at;
        Some(self.read().map_err(|Malformed| {
            self.at = self.frame.len();
            BadOp { at }
        }))
    }
}

/// An operation that cannot be read, at this position of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadOp {
    /// Bytes from the frame's start.
    pub at: usize,
}

fn parse(kind: OpKind, payload: &[u8], payload_at: usize) -> Result<Op<'_>, Malformed> {
    let mut r = Reader::new(payload);
    let record_at = |offset: usize| u32::try_from(payload_at + offset).map_err(|_| Malformed);
    let op = match kind {
        OpKind::Append => {
            let tags = r.i64()?;
            return Ok(Op::Append { tags, at: record_at(RECORD_AT_APPEND)?, record: r.rest() });
        }
        OpKind::Schedule => {
            let (due_ms, tags) = (r.i64()?, r.i64()?);
            return Ok(Op::Schedule { due_ms, tags, at: record_at(RECORD_AT_SCHEDULE)?, record: r.rest() });
        }
        OpKind::Fire => {
            let (due_ms, schedule, tags) = (r.i64()?, Offset(r.u64()?), r.i64()?);
            let at = record_at(RECORD_AT_FIRE)?;
            return Ok(Op::Fire { due_ms, schedule, tags, at, record: r.rest() });
        }
        OpKind::Open => Op::Open(Opening {
            previous_end: Offset(r.u64()?),
            segment_bytes: r.u64()?,
            queue_skips: r.u32()?,
            commit_rule: r.u8()?,
            node: r.u64()?,
            boot_id: r.u128()?,
        }),
        OpKind::Segment => Op::Segment { previous_end: Offset(r.u64()?) },
        OpKind::Cancel => Op::Cancel { due_ms: r.i64()?, schedule: Offset(r.u64()?) },
        OpKind::Offset => {
            Op::Offset { group: r.text()?, topic: r.text()?, queue: r.u32()?, offset: r.u64()? }
        }
        OpKind::Topic => {
            let (deleted, name) = (r.u8()? != 0, r.text()?);
            Op::Topic { name, config: if deleted { None } else { Some(TopicConfig::decode(name, &mut r)?) } }
        }
        OpKind::Group => {
            let (deleted, name) = (r.u8()? != 0, r.text()?);
            Op::Group { name, config: if deleted { None } else { Some(GroupConfig::decode(name, &mut r)?) } }
        }
        OpKind::Trim => Op::Trim { start: Offset(r.u64()?) },
        OpKind::ClockStep => Op::ClockStep { from_ms: r.i64()?, to_ms: r.i64()? },
        OpKind::Digest => Op::Digest { at: Offset(r.u64()?), digest: r.u64()? },
        OpKind::Lock => {
            Op::Lock { group: r.text()?, client: r.text()?, lease_ms: r.i64()?, queues: read_queues(&mut r)? }
        }
        OpKind::Unlock => Op::Unlock { group: r.text()?, client: r.text()?, queues: read_queues(&mut r)? },
        OpKind::Attributes => {
            let (of_group, name) = (r.u8()? != 0, r.text()?);
            Op::Attributes { of_group, name, attributes: settings::read_attributes(&mut r)? }
        }
        OpKind::Clear => Op::Clear { group: r.text()?, topic: r.text()? },
        OpKind::Once => Op::Once(Once { key: r.u128()?, window_ms: r.i64()?, most: r.u32()? }),
        OpKind::Salvage => return Err(Malformed),
    };
    r.end()?;
    Ok(op)
}
