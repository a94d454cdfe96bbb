//! From what a producer decides to the bytes of a record.
//!
//! Everything that costs (checks, checksums, lengths) is done by [`Draft::prepare`], before the append lock.
//! [`Prepared::encode`], under it, is copies and a handful of stores: no allocation, no failure.

use std::net::{Ipv4Addr, SocketAddrV4};

use memchr::memchr;

use super::layout::{
    BODY, BODY_CRC, BODY_LENGTH, BORN_HOST, BORN_HOST_V6, BORN_MS, DEAD_LETTER_PREFIX, FLAG, HOST_BYTES,
    MAGIC, MAGIC_V1, MAGIC_V2, PHYSICAL_OFFSET, PREPARED_TRANSACTION_OFFSET, PROPERTIES_BYTES_MAX, QUEUE,
    QUEUE_OFFSET, RECONSUME_TIMES, RECORD_BYTES_MAX, RETRY_PREFIX, STORE_HOST, STORE_HOST_V6, STORE_MS,
    SYS_FLAG, TOPIC_BYTES_MAX, TOPIC_BYTES_MAX_PREFIXED, TOTAL_SIZE,
};
use super::{RecordError, properties, tags};

/// Everything a producer decides about one message; borrowed, no copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The topic; see [`check_topic`].
    pub topic: &'a str,
    /// The queue; `None` lets the store pick one (by key hash, else round robin).
    pub queue: Option<u32>,
    /// The body, opaque.
    pub body: &'a [u8],
    /// `name 0x01 value 0x02` repeated; see [`properties`].
    pub properties: &'a [u8],
    /// The producer's flag, opaque.
    pub flag: i32,
    /// Bits of [`super::layout`]; the two of IPv6 hosts are ignored.
    pub sys_flag: i32,
    /// The producer's time, ms since 1970; 0 takes the owner's.
    pub born_ms: i64,
    /// The producer's address.
    pub born_host: SocketAddrV4,
    /// Deliveries that failed before this copy.
    pub reconsume_times: i32,
    /// Queue offset of the half message that this one decides, else 0.
    pub prepared_transaction_offset: i64,
}

/// What bounds a draft, apart from the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the longest body.
    pub body_bytes_max: usize,
}

/// What the append decides about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The queue.
    pub queue: u32,
    /// Index of the record in its queue.
    pub queue_offset: u64,
    /// Position of the record's first byte in the log.
    pub physical_offset: u64,
    /// The owner's time, ms since 1970; also the producer's where the draft has none.
    pub store_ms: i64,
    /// Address that clients are told.
    pub store_host: SocketAddrV4,
}

/// A draft that was checked: it can be encoded, and nothing can go wrong any more.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<'a> {
    draft: &'a Draft<'a>,
    len: usize,
    total: u32,
    body_length: u32,
    body_crc: u32,
    tags_code: i64,
    /// The topic's length as it is written: one byte of it in V1, both in V2.
    topic_length: [u8; 2],
    properties_length: [u8; 2],
}

impl<'a> Draft<'a> {
    /// A message with a topic and a body and nothing else.
    pub const fn new(topic: &'a str, body: &'a [u8]) -> Self {
        Self {
            topic,
            queue: None,
            body,
            properties: &[],
            flag: 0,
            sys_flag: 0,
            born_ms: 0,
            born_host: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
        }
    }

    /// Checks the draft and computes what encoding needs; to be called before the append lock is taken.
    ///
    /// # Errors
    ///
    /// - those of [`check_topic`];
    /// - [`RecordError::Range`] if properties, body or the whole are too long;
    /// - [`RecordError::Text`] if the properties hold a 0 byte or are not UTF-8.
    ///
    /// # Cost
    ///
    /// One pass over body and properties; no allocation.
    #[inline]
    pub fn prepare(&'a self, limits: &Limits) -> Result<Prepared<'a>, RecordError> {
        check_topic(self.topic)?;
        check_properties(self.properties)?;
        let wide = self.topic.len() > TOPIC_BYTES_MAX;
        let topic_length = length("topic length", self.topic.len(), 1, TOPIC_BYTES_MAX_PREFIXED)?;
        let properties_length = length("properties length", self.properties.len(), 0, PROPERTIES_BYTES_MAX)?;
        let body_length = length("body length", self.body.len(), 0, limits.body_bytes_max)?;
        let len =
            BODY + self.body.len() + if wide { 2 } else { 1 } + self.topic.len() + 2 + self.properties.len();
        let total = length("record size", len, 0, RECORD_BYTES_MAX)?;

        let [_, _, high, low] = topic_length.to_be_bytes();
        let [_, _, p_high, p_low] = properties_length.to_be_bytes();
        Ok(Prepared {
            draft: self,
            len,
            total,
            body_length,
            body_crc: body_crc(self.body),
            tags_code: if self.properties.is_empty() { 0 } else { tags_code(self.properties) },
            topic_length: [high, low],
            properties_length: [p_high, p_low],
        })
    }
}

impl<'a> Prepared<'a> {
    /// Exact length of the record in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Code of the TAGS property, 0 without one; see [`tags`].
    pub const fn tags_code(&self) -> i64 {
        self.tags_code
    }

    /// What was prepared.
    pub const fn draft(&self) -> &Draft<'a> {
        self.draft
    }

    /// Writes the record; to be called under the append lock.
    ///
    /// # Panics
    ///
    /// If `out` is not exactly [`len`](Self::len) bytes.
    ///
    /// # Cost
    ///
    /// A copy of the message and a store for each field; no allocation.
    pub fn encode(&self, stamp: &Stamp, out: &mut [u8]) {
        assert_eq!(out.len(), self.len, "a record is encoded into exactly its length");
        let Draft { topic, body, properties, born_ms, .. } = *self.draft;
        let wide = topic.len() > TOPIC_BYTES_MAX;
        let born_ms = if born_ms == 0 { stamp.store_ms } else { born_ms };
        #[expect(clippy::expect_used, reason = "the length was just compared with what is never shorter")]
        let (head, rest) = out.split_first_chunk_mut::<BODY>().expect("a record has a head");
        put(head, TOTAL_SIZE, self.total.to_be_bytes());
        put(head, MAGIC, if wide { MAGIC_V2 } else { MAGIC_V1 }.to_be_bytes());
        put(head, BODY_CRC, self.body_crc.to_be_bytes());
        put(head, QUEUE, stamp.queue.to_be_bytes());
        put(head, FLAG, self.draft.flag.to_be_bytes());
        put(head, QUEUE_OFFSET, stamp.queue_offset.to_be_bytes());
        put(head, PHYSICAL_OFFSET, stamp.physical_offset.to_be_bytes());
        put(head, SYS_FLAG, (self.draft.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6)).to_be_bytes());
        put(head, BORN_MS, born_ms.to_be_bytes());
        put(head, BORN_HOST, host_bytes(self.draft.born_host));
        put(head, STORE_MS, stamp.store_ms.to_be_bytes());
        put(head, STORE_HOST, host_bytes(stamp.store_host));
        put(head, RECONSUME_TIMES, self.draft.reconsume_times.to_be_bytes());
        put(head, PREPARED_TRANSACTION_OFFSET, self.draft.prepared_transaction_offset.to_be_bytes());
        put(head, BODY_LENGTH, self.body_length.to_be_bytes());

        let (to, rest) = rest.split_at_mut(body.len());
        to.copy_from_slice(body);
        let topic_length = &self.topic_length[usize::from(!wide)..];
        let (to, rest) = rest.split_at_mut(topic_length.len());
        to.copy_from_slice(topic_length);
        let (to, rest) = rest.split_at_mut(topic.len());
        to.copy_from_slice(topic.as_bytes());
        let (to, rest) = rest.split_at_mut(2);
        to.copy_from_slice(&self.properties_length);
        rest.copy_from_slice(properties);
        debug_assert!(super::Record::parse(out).is_ok(), "what was encoded can be parsed");
    }
}

/// Checks the name of a topic: 1 to 127 bytes of `%|a-zA-Z0-9_-`, up to 255 behind `%RETRY%` or `%DLQ%`.
///
/// # Errors
///
/// [`RecordError::Range`] for its length, [`RecordError::Text`] for a byte.
pub fn check_topic(topic: &str) -> Result<(), RecordError> {
    let prefixed = topic.starts_with(RETRY_PREFIX) || topic.starts_with(DEAD_LETTER_PREFIX);
    let max = if prefixed { TOPIC_BYTES_MAX_PREFIXED } else { TOPIC_BYTES_MAX };
    length("topic length", topic.len(), 1, max)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-');
    match topic.bytes().position(|byte| !good(byte)) {
        Some(at) => Err(RecordError::Text { field: "topic", at }),
        None => Ok(()),
    }
}

fn check_properties(raw: &[u8]) -> Result<(), RecordError> {
    if raw.is_empty() {
        return Ok(());
    }
    length("properties length", raw.len(), 0, PROPERTIES_BYTES_MAX)?;
    let bad = |at| Err(RecordError::Text { field: "properties", at });
    match str::from_utf8(raw) {
        Err(error) => bad(error.valid_up_to()),
        Ok(_) => memchr(0, raw).map_or(Ok(()), bad),
    }
}

fn tags_code(raw: &[u8]) -> i64 {
    properties::get(raw, properties::TAGS).map_or(0, tags::code)
}

/// The checksum of a body, as a record holds it: CRC-32 with its highest bit cleared.
pub(super) fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

pub(super) fn host_bytes(host: SocketAddrV4) -> [u8; HOST_BYTES] {
    let bits = u64::from(host.ip().to_bits()) << 32 | u64::from(host.port());
    bits.to_be_bytes()
}

/// Writes a field of the head; `at` is a constant of [`super::layout`].
#[inline]
pub(super) fn put<const N: usize>(head: &mut [u8], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

fn length(field: &'static str, found: usize, min: usize, max: usize) -> Result<u32, RecordError> {
    match u32::try_from(found) {
        Ok(length) if (min..=max).contains(&found) => Ok(length),
        _ => Err(RecordError::Range { field, at: 0, found: found as u64, min: min as u64, max: max as u64 }),
    }
}
