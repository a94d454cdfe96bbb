//! A record in RocketMQ's layout.

use super::Bytes;

/// A record as it stands in the log.
#[derive(Debug, Clone)]
pub struct RawRecord {
    /// The log position of its first byte.
    pub at: u64,
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Its topic.
    pub topic: String,
    /// Its queue.
    pub queue: u32,
    /// Its offset in the queue.
    pub queue_offset: u64,
    /// The position that it names as its own.
    pub physical: u64,
    /// The owner's time.
    pub store_ms: i64,
    /// Failed deliveries before this copy.
    pub reconsume: u32,
    /// The properties as they stand.
    pub properties: Vec<u8>,
    body: (usize, usize),
}

impl RawRecord {
    /// Reads a record that is all of `bytes`, body checksum included.
    #[must_use]
    pub fn parse(bytes: &[u8], at: u64) -> Option<Self> {
        let mut r = Bytes(bytes);
        let (total, magic, crc) = (r.u32()?, r.u32()?, r.u32()?);
        let (queue, _flag, queue_offset, physical) = (r.u32()?, r.u32()?, r.u64()?, r.u64()?);
        let (sys_flag, _born_ms, _born_host) = (r.u32()?, r.i64()?, r.u64()?);
        let (store_ms, _host, reconsume, _prepared) = (r.i64()?, r.u64()?, r.u32()?, r.u64()?);
        let body_len = r.u32()? as usize;
        let body = r.take(body_len)?;
        let topic_len = match magic {
            0xDAA3_20A7 => usize::from(r.u8()?),
            0xDAA3_20AB => r.u16()?,
            _ => return None,
        };
        let topic = std::str::from_utf8(r.take(topic_len)?).ok()?.to_owned();
        let properties_len = r.u16()?;
        let properties = r.take(properties_len)?.to_vec();
        let whole = r.0.is_empty() && total as usize == bytes.len() && sys_flag & 0x30 == 0;
        let sound = crc32fast::hash(body) & 0x7FFF_FFFF == crc;
        let body = (88, 88 + body_len);
        let record = Self {
            at,
            bytes: bytes.to_vec(),
            topic,
            queue,
            queue_offset,
            physical,
            store_ms,
            reconsume,
            properties,
            body,
        };
        (whole && sound).then_some(record)
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body.0..self.body.1]
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.properties).ok()?;
        let mut pairs = text.rsplit('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The number under which the simulator sent it.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.property("KEYS")?.strip_prefix('m')?.parse().ok()
    }

    /// The bytes without what a fire patches: queue offset, position, store time.
    #[must_use]
    pub fn without_stamp(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[20..36].fill(0);
        bytes[56..64].fill(0);
        bytes
    }
}
