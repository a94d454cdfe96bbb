//! Operations on their way into a frame, and how they are encoded in place.

use std::net::SocketAddrV4;

use byteorder::{BigEndian, ByteOrder};

use super::queues::{QueueChoice, QueueCursors};
use crate::frame::{OP_HEAD_BYTES, OpKind, RECORD_AT_APPEND, RECORD_AT_FIRE, RECORD_AT_SCHEDULE, write_head};
use crate::offset::Offset;
use crate::record::{Prepared, Stamp, patch};

/// Where a record came to stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Placement {
    /// The log position of its first byte.
    pub at: Offset,
    /// Its queue.
    pub queue: u32,
    /// Its offset there; 0 for a schedule.
    pub queue_offset: u64,
    /// The owner's time, milliseconds.
    pub store_ms: i64,
    /// Its topic's cursor; set with the queue.
    pub(super) topic: usize,
}

/// A message on its way into a frame.
#[derive(Debug)]
pub struct RecordDraft<'a> {
    /// The checked message.
    pub record: Prepared<'a>,
    /// Its queue.
    pub queue: QueueChoice,
    /// Set by the append.
    pub placed: Placement,
}

/// An operation on its way into a frame.
#[derive(Debug)]
pub enum OpDraft<'a> {
    /// A message.
    Append(RecordDraft<'a>),
    /// A timed message; its properties end with room for the fire id.
    Schedule {
        /// When it is due, owner milliseconds.
        due_ms: i64,
        /// The message as it will be fired.
        draft: RecordDraft<'a>,
    },
    /// The end of a timer and its message.
    Fire {
        /// When it was due.
        due_ms: i64,
        /// The timer.
        schedule: Offset,
        /// The record of its schedule.
        record: &'a [u8],
        /// The record's topic.
        topic: &'a str,
        /// The record's queue.
        queue: u32,
        /// The tag's hash.
        tags: i64,
    },
    /// A topic's settings: its name, the queues that producers write (0: deleted), the payload.
    Topic(&'a str, u32, &'a [u8]),
    /// An operation without a record.
    Plain(OpKind, &'a [u8]),
}

impl OpDraft<'_> {
    /// The feature level that a frame with it needs.
    pub(super) fn feature_level(&self) -> u16 {
        match self {
            Self::Plain(kind, _) => kind.feature_level(),
            _ => 1,
        }
    }

    /// Bytes of the payload, without padding.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Append(draft) => RECORD_AT_APPEND + draft.record.len(),
            Self::Schedule { draft, .. } => RECORD_AT_SCHEDULE + draft.record.len(),
            Self::Fire { record, .. } => RECORD_AT_FIRE + record.len(),
            Self::Topic(_, _, payload) | Self::Plain(_, payload) => payload.len(),
        }
    }
}

/// What all operations of a frame share.
pub(super) struct FrameStamp {
    pub(super) at: Offset,
    pub(super) store_ms: i64,
    pub(super) store_host: SocketAddrV4,
}

/// Encodes an operation at `place` of its frame, into exactly its bytes.
pub(super) fn encode_op(
    queues: &mut QueueCursors,
    frame: &FrameStamp,
    place: usize,
    op: &mut OpDraft<'_>,
    out: &mut [u8],
) {
    let payload_bytes = op.payload_bytes();
    let record_at = |inside: usize| frame.at.plus((place + OP_HEAD_BYTES + inside) as u64);
    match op {
        OpDraft::Append(draft) => {
            write_head(out, OpKind::Append, payload_bytes);
            let at = record_at(RECORD_AT_APPEND);
            let offset = queues.take(draft.placed.topic, draft.placed.queue);
            draft.placed = Placement { at, queue_offset: offset, store_ms: frame.store_ms, ..draft.placed };
            let payload = &mut out[OP_HEAD_BYTES..OP_HEAD_BYTES + payload_bytes];
            BigEndian::write_i64(&mut payload[..8], draft.record.tags_code());
            encode_record(draft, frame, &mut payload[RECORD_AT_APPEND..]);
        }
        OpDraft::Schedule { due_ms, draft } => {
            write_head(out, OpKind::Schedule, payload_bytes);
            let at = record_at(RECORD_AT_SCHEDULE);
            draft.placed = Placement { at, queue_offset: 0, store_ms: frame.store_ms, ..draft.placed };
            let payload = &mut out[OP_HEAD_BYTES..OP_HEAD_BYTES + payload_bytes];
            BigEndian::write_i64(&mut payload[..8], *due_ms);
            BigEndian::write_i64(&mut payload[8..16], draft.record.tags_code());
            encode_record(draft, frame, &mut payload[RECORD_AT_SCHEDULE..]);
            write_fire_id(&mut payload[RECORD_AT_SCHEDULE..], at);
        }
        OpDraft::Fire { due_ms, schedule, record, topic, queue, tags } => {
            write_head(out, OpKind::Fire, payload_bytes);
            let at = record_at(RECORD_AT_FIRE);
            let index = queues.index(topic);
            let offset = queues.take(index, *queue);
            let payload = &mut out[OP_HEAD_BYTES..OP_HEAD_BYTES + payload_bytes];
            BigEndian::write_i64(&mut payload[..8], *due_ms);
            BigEndian::write_u64(&mut payload[8..16], schedule.0);
            BigEndian::write_i64(&mut payload[16..24], *tags);
            let fired = &mut payload[RECORD_AT_FIRE..];
            fired.copy_from_slice(record);
            let patched = patch(fired, offset, at.0, frame.store_ms);
            debug_assert!(patched.is_ok(), "a schedule's record was parsed before");
        }
        OpDraft::Topic(_, _, payload) => {
            write_head(out, OpKind::Topic, payload_bytes);
            out[OP_HEAD_BYTES..OP_HEAD_BYTES + payload_bytes].copy_from_slice(payload);
        }
        OpDraft::Plain(kind, payload) => {
            write_head(out, *kind, payload_bytes);
            out[OP_HEAD_BYTES..OP_HEAD_BYTES + payload_bytes].copy_from_slice(payload);
        }
    }
}

fn encode_record(draft: &RecordDraft<'_>, frame: &FrameStamp, out: &mut [u8]) {
    let stamp = Stamp {
        queue: draft.placed.queue,
        queue_offset: draft.placed.queue_offset,
        physical_offset: draft.placed.at.0,
        store_ms: frame.store_ms,
        store_host: frame.store_host,
    };
    draft.record.encode(&stamp, out);
}

/// The property under which a fired message carries its fire id: the schedule's log position, 16 hex digits.
pub(crate) const FIRE_ID: &str = "FIRE_ID";
/// Room for a fire id; a schedule's properties end with it and the separator.
pub(crate) const FIRE_ID_ROOM: &str = "0000000000000000";

fn write_fire_id(record: &mut [u8], at: Offset) {
    let end = record.len() - 1;
    let room = &mut record[end - FIRE_ID_ROOM.len()..end];
    debug_assert_eq!(room, FIRE_ID_ROOM.as_bytes(), "a schedule's properties end with room for the fire id");
    for (i, digit) in room.iter_mut().enumerate() {
        let nibble = (at.0 >> (60 - 4 * i)) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
}
