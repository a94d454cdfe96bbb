//! The view of an encoded record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use super::draft::body_crc;
use super::error::length;
use super::layout::{
    BODY_LENGTH, BORN_HOST, BORN_HOST_V6, HOST_V6_EXTRA, MAGIC_V1, MAGIC_V2, PROPERTIES_BYTES_MAX,
    RECONSUME_TIMES, RECORD_BYTES_MAX, RECORD_BYTES_MIN, STORE_HOST, STORE_HOST_V6, TOPIC_BYTES_MAX,
    TOPIC_BYTES_MAX_PREFIXED,
};
use super::{Cursor, Draft, MessageId, RecordError, properties, tags};

/// A record whose lengths agree to the byte; borrowed from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    bytes: &'a [u8],
    body_crc: u32,
    queue: u32,
    flag: i32,
    queue_offset: u64,
    physical_offset: u64,
    sys_flag: i32,
    born_ms: i64,
    born_host: SocketAddr,
    store_ms: i64,
    store_host: SocketAddr,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
    body: &'a [u8],
    topic: &'a str,
    properties: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record that is all of `bytes`. Its body is left to [`verify_body`](Self::verify_body).
    ///
    /// # Errors
    ///
    /// [`RecordError`], naming the field and its position.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let (record, rest) = Self::split_first(bytes)?;
        if !rest.is_empty() {
            return Err(RecordError::Size { declared: record.bytes.len(), actual: bytes.len() });
        }
        Ok(record)
    }

    /// Reads the first of the records that stand back to back in `bytes`; the rest comes with it.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse); [`RecordError::Short`] if the record is cut off.
    pub fn split_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RecordError> {
        let mut fields = Fields { cursor: Cursor::new(bytes) };
        let total = fields.u32("total size")?;
        let total = length("total size", 0, total, RECORD_BYTES_MIN..=RECORD_BYTES_MAX)?;
        let magic = fields.u32("magic")?;
        let wide = match magic {
            MAGIC_V1 => false,
            MAGIC_V2 => true,
            found => return Err(RecordError::Magic { found }),
        };
        let Some((bytes, rest)) = bytes.split_at_checked(total) else {
            return Err(RecordError::Short { field: "record", at: 0, need: total, have: bytes.len() });
        };
        let mut fields = Fields { cursor: Cursor::new(bytes) };
        fields.take("magic", 8)?;
        Ok((Self::fields_of(bytes, wide, &mut fields)?, rest))
    }

    /// The fields behind the magic, in order; `bytes` is as long as the record says.
    fn fields_of(bytes: &'a [u8], wide: bool, fields: &mut Fields<'a>) -> Result<Self, RecordError> {
        let body_crc = fields.u32("body crc")?;
        let queue = fields.u32("queue")?;
        let flag = fields.i32("flag")?;
        let queue_offset = fields.u64("queue offset")?;
        let physical_offset = fields.u64("physical offset")?;
        let sys_flag = fields.i32("sys flag")?;
        let born_ms = fields.i64("born ms")?;
        let born_host = fields.host("born host", sys_flag & BORN_HOST_V6 != 0)?;
        let store_ms = fields.i64("store ms")?;
        let store_host = fields.host("store host", sys_flag & STORE_HOST_V6 != 0)?;
        let reconsume_times = fields.i32("reconsume times")?;
        let prepared_transaction_offset = fields.i64("prepared transaction offset")?;
        let body = fields.part("body", 4, RECORD_BYTES_MAX)?;
        let topic = match wide {
            false => fields.part("topic", 1, TOPIC_BYTES_MAX)?,
            true => fields.part("topic", 2, TOPIC_BYTES_MAX_PREFIXED)?,
        };
        let topic = str::from_utf8(topic)
            .map_err(|error| RecordError::Text { field: "topic", at: error.valid_up_to() })?;
        let properties = fields.part("properties", 2, PROPERTIES_BYTES_MAX)?;
        if !fields.cursor.rest().is_empty() {
            return Err(RecordError::Size { declared: bytes.len(), actual: fields.cursor.at() });
        }
        Ok(Self {
            bytes,
            body_crc,
            queue,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_ms,
            born_host,
            store_ms,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    /// Checks the body against the record's checksum.
    ///
    /// # Errors
    ///
    /// [`RecordError::BodyCrc`].
    pub fn verify_body(&self) -> Result<(), RecordError> {
        let (stored, computed) = (self.body_crc, body_crc(self.body));
        if stored == computed { Ok(()) } else { Err(RecordError::BodyCrc { stored, computed }) }
    }

    /// The whole record.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Checksum of the body as the record says it.
    pub const fn body_crc(&self) -> u32 {
        self.body_crc
    }

    /// The queue.
    pub const fn queue(&self) -> u32 {
        self.queue
    }

    /// The producer's flag.
    pub const fn flag(&self) -> i32 {
        self.flag
    }

    /// Index of the record in its queue.
    pub const fn queue_offset(&self) -> u64 {
        self.queue_offset
    }

    /// Position of the record's first byte in the log.
    pub const fn physical_offset(&self) -> u64 {
        self.physical_offset
    }

    /// Bits of [`super::layout`].
    pub const fn sys_flag(&self) -> i32 {
        self.sys_flag
    }

    /// The producer's time, ms since 1970.
    pub const fn born_ms(&self) -> i64 {
        self.born_ms
    }

    /// The producer's address.
    pub const fn born_host(&self) -> SocketAddr {
        self.born_host
    }

    /// The owner's time at append, ms since 1970.
    pub const fn store_ms(&self) -> i64 {
        self.store_ms
    }

    /// The store's address.
    pub const fn store_host(&self) -> SocketAddr {
        self.store_host
    }

    /// Deliveries that failed before this copy.
    pub const fn reconsume_times(&self) -> i32 {
        self.reconsume_times
    }

    /// Queue offset of the half message that this one decides, else 0.
    pub const fn prepared_transaction_offset(&self) -> i64 {
        self.prepared_transaction_offset
    }

    /// The body as it was sent, compressed or not.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The topic.
    pub const fn topic(&self) -> &'a str {
        self.topic
    }

    /// The properties as they stand.
    pub const fn raw_properties(&self) -> &'a [u8] {
        self.properties
    }

    /// The properties in order; see [`properties`].
    pub fn properties(&self) -> impl DoubleEndedIterator<Item = (&'a str, &'a str)> + use<'a> {
        properties::pairs(self.properties)
    }

    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::get(self.properties, name)
    }

    /// The words of the KEYS property.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        properties::keys(self.properties)
    }

    /// The producer's unique id of the message.
    pub fn uniq_key(&self) -> Option<&'a str> {
        self.property(properties::UNIQ_KEY)
    }

    /// All by which the record can be queried: [`keys`](Self::keys), then [`uniq_key`](Self::uniq_key).
    pub fn index_keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.keys().chain(self.uniq_key())
    }

    /// Code of the TAGS property, 0 without one.
    pub fn tags_code(&self) -> i64 {
        self.property(properties::TAGS).map_or(0, tags::code)
    }

    /// The offset message id that clients know the record by.
    pub const fn message_id(&self) -> MessageId {
        MessageId { host: self.store_host, physical_offset: self.physical_offset }
    }

    /// What the producer decided, to be changed and encoded again, for example into a retry topic.
    ///
    /// An IPv6 born host does not fit: it becomes the IPv4 address that it stands for, else `0.0.0.0`.
    pub fn fields(&self) -> Draft<'a> {
        let ip = match self.born_host.ip() {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(ip) => ip.to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
        };
        Draft {
            topic: self.topic,
            queue: Some(self.queue),
            body: self.body,
            properties: self.properties,
            flag: self.flag,
            sys_flag: self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6),
            born_ms: self.born_ms,
            born_host: SocketAddrV4::new(ip, self.born_host.port()),
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
        }
    }
}

const _: () = assert!(BORN_HOST + 16 == STORE_HOST, "store ms stands between the hosts");
const _: () = assert!(RECONSUME_TIMES + 12 == BODY_LENGTH && HOST_V6_EXTRA == 16 - 4);

/// Reads fields that know their names.
struct Fields<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Fields<'a> {
    fn short(&self, field: &'static str, need: usize) -> RecordError {
        RecordError::Short { field, at: self.cursor.at(), need, have: self.cursor.rest().len() }
    }

    fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], RecordError> {
        self.cursor.take(len).ok_or_else(|| self.short(field, len))
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        self.cursor.u32().ok_or_else(|| self.short(field, 4))
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.cursor.i32().ok_or_else(|| self.short(field, 4))
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, RecordError> {
        self.cursor.u64().ok_or_else(|| self.short(field, 8))
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.cursor.i64().ok_or_else(|| self.short(field, 8))
    }

    fn host(&mut self, field: &'static str, v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            let high = u128::from(self.u64(field)?);
            IpAddr::V6(Ipv6Addr::from_bits(high << 64 | u128::from(self.u64(field)?)))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(self.u32(field)?))
        };
        let at = self.cursor.at();
        let port = self.u32(field)?;
        let max = u64::from(u16::MAX);
        let port = u16::try_from(port).map_err(|_| RecordError::Range {
            field,
            at,
            found: u64::from(port),
            min: 0,
            max,
        })?;
        Ok(SocketAddr::new(ip, port))
    }

    /// A length of `width` bytes and as many bytes as it says, at most `max`.
    fn part(&mut self, field: &'static str, width: usize, max: usize) -> Result<&'a [u8], RecordError> {
        let at = self.cursor.at();
        let found = self.take(field, width)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let len = length(field, at, found, 0..=max)?;
        self.take(field, len)
    }
}
