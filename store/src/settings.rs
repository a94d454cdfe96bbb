//! Settings of topics and groups: what is folded into the state, never read from configuration.

use std::collections::BTreeMap;

use crate::codec::{Malformed, Reader, Writer};

/// Permission bit: may be read.
pub const PERM_READ: u8 = 4;
/// Permission bit: may be written.
pub const PERM_WRITE: u8 = 2;

/// Queues of a topic at most: state is kept for each that was used.
pub const QUEUES_MAX: u32 = 65_535;

/// Settings that the store keeps and does not read: names with their values.
pub type Attributes = BTreeMap<String, String>;

/// Bytes of all attributes of a topic or group together, names and values, at most.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;

/// A topic's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Its name.
    pub name: String,
    /// Queues that consumers read, 1 or more.
    pub read_queues: u32,
    /// Queues that producers write, 1 or more.
    pub write_queues: u32,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub perm: u8,
    /// RocketMQ's system flag of the topic.
    pub sys_flag: i32,
    /// Whether its messages are kept in one global order.
    pub order: bool,
    /// Attributes, as RocketMQ's `message.type`; [`ATTRIBUTES_BYTES_MAX`] together.
    pub attributes: Attributes,
}

impl TopicConfig {
    /// A readable and writable topic of `queues` queues.
    #[must_use]
    pub fn new(name: impl Into<String>, queues: u32) -> Self {
        Self {
            name: name.into(),
            read_queues: queues,
            write_queues: queues,
            perm: PERM_READ | PERM_WRITE,
            sys_flag: 0,
            order: false,
            attributes: Attributes::new(),
        }
    }

    /// All but the attributes, which stand elsewhere.
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u32(self.read_queues).u32(self.write_queues).u8(self.perm);
        out.i32(self.sys_flag).u8(u8::from(self.order));
    }

    pub(crate) fn decode(name: &str, r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: name.to_owned(),
            read_queues: queues(r)?,
            write_queues: queues(r)?,
            perm: r.u8()?,
            sys_flag: r.i32()?,
            order: r.u8()? != 0,
            attributes: Attributes::new(),
        })
    }
}

/// A consumer group's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Its name.
    pub name: String,
    /// Whether it may consume.
    pub consume: bool,
    /// Whether its clients may consume as a broadcast.
    pub broadcast: bool,
    /// Queues of its retry topic, [`QUEUES_MAX`] at most; 0 switches retries off.
    pub retry_queues: u32,
    /// Failures after which a message goes to the dead-letter topic.
    pub attempts_max: i32,
    /// Attributes; [`ATTRIBUTES_BYTES_MAX`] together.
    pub attributes: Attributes,
}

impl GroupConfig {
    /// RocketMQ's defaults: one retry queue, 16 attempts.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            consume: true,
            broadcast: true,
            retry_queues: 1,
            attempts_max: 16,
            attributes: Attributes::new(),
        }
    }

    /// All but the attributes, which stand elsewhere.
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u8(u8::from(self.consume)).u8(u8::from(self.broadcast));
        out.u32(self.retry_queues).i32(self.attempts_max);
    }

    pub(crate) fn decode(name: &str, r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: name.to_owned(),
            consume: r.u8()? != 0,
            broadcast: r.u8()? != 0,
            retry_queues: queues(r)?,
            attempts_max: r.i32()?,
            attributes: Attributes::new(),
        })
    }
}

/// A number of queues.
fn queues(r: &mut Reader<'_>) -> Result<u32, Malformed> {
    r.u32().and_then(|queues| if queues <= QUEUES_MAX { Ok(queues) } else { Err(Malformed) })
}

/// Whether attributes can be kept.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<(), String> {
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > ATTRIBUTES_BYTES_MAX || attributes.keys().any(String::is_empty) {
        return Err(format!("attributes have names, and {ATTRIBUTES_BYTES_MAX} bytes together at most"));
    }
    Ok(())
}

/// Attributes with their values, as they stand in an operation.
pub(crate) fn borrowed(attributes: &Attributes) -> Vec<(&str, &str)> {
    attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Attributes from what stands in an operation.
pub(crate) fn owned(attributes: &[(&str, &str)]) -> Attributes {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn write_attributes<'a>(
    out: &mut Writer,
    attributes: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) {
    out.u64(attributes.len() as u64);
    for (name, value) in attributes {
        out.text(name).text(value);
    }
}

pub(crate) fn read_attributes<'a>(r: &mut Reader<'a>) -> Result<Vec<(&'a str, &'a str)>, Malformed> {
    (0..r.u64()?).map(|_| Ok((r.text()?, r.text()?))).collect()
}
