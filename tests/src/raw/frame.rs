//! A frame of the log and its operations.

use super::{Bytes, RawRecord};

/// Bytes in front of the operations.
pub const HEADER_BYTES: usize = 64;
/// Bytes of the offset space of an epoch.
pub const EPOCH_BYTES: u64 = 1 << 40;

/// A frame that passed every check.
#[derive(Debug, Clone)]
pub struct RawFrame {
    /// Its position.
    pub at: u64,
    /// The position behind it.
    pub end: u64,
    /// The checksum that it carries, and that it has.
    pub crc: u32,
    /// The owner's time.
    pub owner_ms: i64,
    /// The owner's `flushed` when it was written.
    pub flushed: u64,
    /// The owner's `committed` when it was written.
    pub committed: u64,
    /// The first offset of its segment.
    pub segment: u64,
    /// Its operations; `None` where they cannot be read.
    pub ops: Option<Vec<RawOp>>,
}

/// An operation.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the format's table")]
pub enum RawOp {
    /// The first of an epoch.
    Open { previous_end: u64, segment_bytes: u64, skips: u32, rule: u8 },
    /// The first of a segment.
    Segment { previous_end: u64 },
    /// A message.
    Append(RawRecord),
    /// A timer.
    Schedule { due_ms: i64, record: RawRecord },
    /// A timer's end, with its message.
    Fire { due_ms: i64, schedule: u64, record: RawRecord },
    /// A timer's end, without.
    Cancel { due_ms: i64, schedule: u64 },
    /// A group's progress.
    Offset { group: String, topic: String, queue: u32, offset: u64 },
    /// A topic's settings.
    Topic { name: String, config: Option<Vec<u8>> },
    /// A group's settings.
    Group { name: String, config: Option<Vec<u8>> },
    /// The log starts later.
    Trim { start: u64 },
    /// A wall clock was confirmed.
    ClockStep { from_ms: i64, to_ms: i64 },
    /// The digest of the state at a segment's end.
    Digest { at: u64, digest: u64 },
    /// A client wants queues.
    Lock { group: String, client: String, lease_ms: i64, queues: Vec<(String, u32)> },
    /// It gives them up.
    Unlock { group: String, client: String, queues: Vec<(String, u32)> },
    /// The attributes of a topic, or of a group.
    Attributes { of_group: bool, name: String, attributes: Vec<(String, String)> },
    /// Progress is forgotten.
    Clear { group: String, topic: String },
    /// The operation behind it counts once.
    Once { window_ms: i64 },
}

/// The fields that say whether a frame is one, cheap to look at.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Bytes of the frame.
    pub len: usize,
    /// Its checksum.
    pub crc: u32,
    /// The owner's `flushed`.
    pub flushed: u64,
}

/// Checks the frame at the start of `bytes`, which stands at `at`, without reading its operations.
#[must_use]
pub fn head(bytes: &[u8], secret: u64, at: u64) -> Option<Head> {
    let mut r = Bytes(bytes);
    let (magic, version, _wait) = (r.take(4)?, r.u8()?, r.u8()?);
    let _feature = r.u16()?;
    let (len, crc, own_secret, epoch) = (r.u32()? as usize, r.u32()?, r.u64()?, r.u32()?);
    let (_ops, own_at, _owner_ms, flushed) = (r.u32()?, r.u64()?, r.i64()?, r.u64()?);
    let named = magic == b"MSF1" && version == 1 && own_secret == secret;
    let placed = own_at == at && u64::from(epoch) == at / EPOCH_BYTES;
    if !named || !placed || !len.is_multiple_of(8) || !(HEADER_BYTES..=8 << 20).contains(&len) {
        return None;
    }
    let frame = bytes.get(..len)?;
    let computed = crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[16..]);
    (computed == crc).then_some(Head { len, crc, flushed })
}

impl RawFrame {
    /// Reads a frame that passed [`head`].
    #[must_use]
    pub fn parse(bytes: &[u8], head: Head, at: u64, segment: u64) -> Option<Self> {
        let frame = bytes.get(..head.len)?;
        let owner_ms = Bytes(&frame[40..]).i64()?;
        let committed = Bytes(&frame[56..]).u64()?;
        let count = Bytes(&frame[28..]).u32()? as usize;
        let ops = ops(frame, at).filter(|ops| ops.len() == count);
        let end = at + head.len as u64;
        Some(Self { at, end, crc: head.crc, owner_ms, flushed: head.flushed, committed, segment, ops })
    }

    /// Its operations.
    pub fn ops(&self) -> impl Iterator<Item = &RawOp> {
        self.ops.iter().flatten()
    }

    /// Where it says that the log ended before its segment.
    #[must_use]
    pub fn previous_end(&self) -> Option<u64> {
        match self.ops().next()? {
            RawOp::Open { previous_end, .. } | RawOp::Segment { previous_end } => Some(*previous_end),
            _ => None,
        }
    }

    /// The records in it.
    pub fn records(&self) -> impl Iterator<Item = &RawRecord> {
        self.ops().filter_map(|op| match op {
            RawOp::Append(record) | RawOp::Schedule { record, .. } | RawOp::Fire { record, .. } => {
                Some(record)
            }
            _ => None,
        })
    }
}

fn ops(frame: &[u8], at: u64) -> Option<Vec<RawOp>> {
    let mut found = Vec::new();
    let mut place = HEADER_BYTES;
    while place < frame.len() {
        let mut r = Bytes(&frame[place..]);
        let kind = r.u8()?;
        r.take(3)?;
        let len = r.u32()? as usize;
        let payload = r.take(len)?;
        found.push(op(kind, payload, at + place as u64 + 8)?);
        place += 8 + len.div_ceil(8) * 8;
    }
    (place == frame.len()).then_some(found)
}

fn op(kind: u8, payload: &[u8], at: u64) -> Option<RawOp> {
    let mut r = Bytes(payload);
    let record = |r: &Bytes<'_>, inside: u64| RawRecord::parse(r.0, at + inside);
    Some(match kind {
        1 => RawOp::Open { previous_end: r.u64()?, segment_bytes: r.u64()?, skips: r.u32()?, rule: r.u8()? },
        2 => RawOp::Segment { previous_end: r.u64()? },
        3 => {
            r.u64()?;
            RawOp::Append(record(&r, 8)?)
        }
        4 => {
            let due_ms = r.i64()?;
            r.u64()?;
            RawOp::Schedule { due_ms, record: record(&r, 16)? }
        }
        5 => {
            let (due_ms, schedule) = (r.i64()?, r.u64()?);
            r.u64()?;
            RawOp::Fire { due_ms, schedule, record: record(&r, 24)? }
        }
        6 => RawOp::Cancel { due_ms: r.i64()?, schedule: r.u64()? },
        7 => RawOp::Offset {
            group: r.text()?.to_owned(),
            topic: r.text()?.to_owned(),
            queue: r.u32()?,
            offset: r.u64()?,
        },
        8 | 9 => {
            let (deleted, name) = (r.u8()? != 0, r.text()?.to_owned());
            let config = (!deleted).then(|| r.0.to_vec());
            if kind == 8 { RawOp::Topic { name, config } } else { RawOp::Group { name, config } }
        }
        10 => RawOp::Trim { start: r.u64()? },
        12 => RawOp::ClockStep { from_ms: r.i64()?, to_ms: r.i64()? },
        13 => RawOp::Digest { at: r.u64()?, digest: r.u64()? },
        14 => {
            let (group, client, lease_ms) = (r.text()?.to_owned(), r.text()?.to_owned(), r.i64()?);
            RawOp::Lock { group, client, lease_ms, queues: queues(&mut r)? }
        }
        15 => {
            let (group, client) = (r.text()?.to_owned(), r.text()?.to_owned());
            RawOp::Unlock { group, client, queues: queues(&mut r)? }
        }
        16 => {
            let (of_group, name, count) = (r.u8()? != 0, r.text()?.to_owned(), r.u64()?);
            let pair = |_| Some((r.text()?.to_owned(), r.text()?.to_owned()));
            RawOp::Attributes { of_group, name, attributes: (0..count).map(pair).collect::<Option<_>>()? }
        }
        17 => RawOp::Clear { group: r.text()?.to_owned(), topic: r.text()?.to_owned() },
        18 => {
            r.take(16)?;
            RawOp::Once { window_ms: r.i64()? }
        }
        _ => return None,
    })
}

fn queues(r: &mut Bytes<'_>) -> Option<Vec<(String, u32)>> {
    (0..r.u64()?).map(|_| Some((r.text()?.to_owned(), r.u32()?))).collect()
}
