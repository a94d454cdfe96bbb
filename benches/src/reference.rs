//! The reference encoder: byte for byte what the engine writes for the same messages, with nothing around it.
//!
//! It is written apart from the engine and from the tables of its format alone, so that a slower engine shows.
//! A test compares its frames with the engine's, checksums included.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::BufMut;

/// Bytes of a frame's header.
const HEADER: usize = 64;
/// Bytes of an operation's head and the tags code in front of a record.
const BEFORE_RECORD: usize = 16;
/// Bytes of a record in front of its body.
const BEFORE_BODY: usize = 88;
/// Bytes of a queue unit.
const UNIT: usize = 20;

/// What a frame holds beside its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The log's secret.
    pub secret: u64,
    /// What the caller waits for, as it is written: 0 committed, 1 flushed, 2 appended.
    pub wait: u8,
    /// The owner's time, milliseconds.
    pub owner_ms: i64,
    /// The cursors at that moment.
    pub flushed: u64,
    /// See `flushed`.
    pub committed: u64,
    /// The producer's address.
    pub born_host: SocketAddrV4,
    /// The store's address.
    pub store_host: SocketAddrV4,
}

impl Default for Stamp {
    fn default() -> Self {
        Self {
            secret: 0x0123_4567_89AB_CDEF,
            wait: 2,
            owner_ms: 1_795_321_365_001,
            flushed: 1 << 40,
            committed: 1 << 40,
            born_host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
            store_host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 10911),
        }
    }
}

/// Encodes frames of messages of one topic, its queues taken in turn.
#[derive(Debug)]
pub struct Encoder {
    topic: String,
    /// The next offset of each queue.
    queues: Vec<u64>,
    turn: usize,
    /// What is stamped on frames.
    pub stamp: Stamp,
    /// The queues' units, as an index file holds them.
    units: Vec<Vec<u8>>,
}

impl Encoder {
    /// An encoder for a topic of so many queues, none of which holds anything.
    #[must_use]
    pub fn new(topic: &str, queues: usize, stamp: Stamp) -> Self {
        Self {
            topic: topic.to_owned(),
            queues: vec![0; queues],
            turn: 0,
            stamp,
            units: vec![Vec::new(); queues],
        }
    }

    fn record_bytes(&self, body: &[u8]) -> usize {
        BEFORE_BODY + body.len() + 1 + self.topic.len() + 2
    }

    /// Bytes of the frame of these bodies.
    #[must_use]
    pub fn frame_bytes<'a>(&self, bodies: impl Iterator<Item = &'a [u8]>) -> usize {
        HEADER + bodies.map(|b| (BEFORE_RECORD + self.record_bytes(b)).next_multiple_of(8)).sum::<usize>()
    }

    /// Units that were written, all queues together.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units.iter().map(|u| u.len() / UNIT).sum()
    }

    /// Encodes one frame, which will stand at `at` in the log and is exactly `out`.
    #[expect(clippy::cast_possible_truncation, reason = "a frame is at most 8 MiB, a queue number small")]
    pub fn encode<'a>(&mut self, at: u64, bodies: impl Iterator<Item = &'a [u8]>, out: &mut [u8]) {
        let (mut place, mut ops) = (HEADER, 0);
        for body in bodies {
            let record = self.record_bytes(body);
            let len = BEFORE_RECORD + record;
            let (op, padding) = out[place..place + len.next_multiple_of(8)].split_at_mut(len);
            padding.fill(0);
            let mut head = &mut op[..BEFORE_RECORD];
            head.put_u32(3 << 24);
            head.put_u32((len - 8) as u32);
            head.put_i64(0);
            self.turn = (self.turn + 1) % self.queues.len();
            let offset = self.queues[self.turn];
            self.queues[self.turn] += 1;
            let record_at = at + (place + BEFORE_RECORD) as u64;
            self.record(&mut op[BEFORE_RECORD..], body, record_at, offset);
            let mut unit = [0; UNIT];
            unit[..8].copy_from_slice(&record_at.to_be_bytes());
            unit[8..12].copy_from_slice(&(record as u32).to_be_bytes());
            self.units[self.turn].extend_from_slice(&unit);
            place += len.next_multiple_of(8);
            ops += 1;
        }
        self.header(at, ops, out);
    }

    #[expect(clippy::cast_possible_truncation, reason = "as in `encode`")]
    fn record(&self, out: &mut [u8], body: &[u8], at: u64, queue_offset: u64) {
        let total = out.len();
        let (mut head, rest) = out.split_at_mut(BEFORE_BODY);
        head.put_u32(total as u32);
        head.put_u32(0xDAA3_20A7);
        head.put_u32(crc32fast::hash(body) & 0x7FFF_FFFF);
        head.put_u32(self.turn as u32);
        head.put_i32(0);
        head.put_u64(queue_offset);
        head.put_u64(at);
        head.put_i32(0);
        head.put_i64(self.stamp.owner_ms);
        put_host(&mut head, self.stamp.born_host);
        head.put_i64(self.stamp.owner_ms);
        put_host(&mut head, self.stamp.store_host);
        head.put_i32(0);
        head.put_i64(0);
        head.put_u32(body.len() as u32);
        let (to, rest) = rest.split_at_mut(body.len());
        to.copy_from_slice(body);
        rest[0] = self.topic.len() as u8;
        let (to, properties) = rest[1..].split_at_mut(self.topic.len());
        to.copy_from_slice(self.topic.as_bytes());
        properties.fill(0);
    }

    #[expect(clippy::cast_possible_truncation, reason = "as in `encode`")]
    fn header(&self, at: u64, ops: u32, out: &mut [u8]) {
        let len = out.len() as u32;
        let mut head = &mut out[..HEADER];
        head.put_slice(b"MSF1");
        head.put_u8(1);
        head.put_u8(self.stamp.wait);
        head.put_u16(1);
        head.put_u32(len);
        head.put_u32(0);
        head.put_u64(self.stamp.secret);
        head.put_u32((at >> 40) as u32);
        head.put_u32(ops);
        head.put_u64(at);
        head.put_i64(self.stamp.owner_ms);
        head.put_u64(self.stamp.flushed);
        head.put_u64(self.stamp.committed);
        let sum = crc32c::crc32c_append(crc32c::crc32c(&out[..12]), &out[16..]);
        out[12..16].copy_from_slice(&sum.to_be_bytes());
    }
}

fn put_host(head: &mut &mut [u8], host: SocketAddrV4) {
    head.put_slice(&host.ip().octets());
    head.put_u32(u32::from(host.port()));
}
