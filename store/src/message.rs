//! What an embedder sends, and what it gets back.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::offset::Offset;
use crate::record::{Draft, properties};

/// A message on its way into the log.
///
/// ```
/// use mainspring::Message;
/// let message = Message::new("orders", "o-1 created").key("o-1").tag("new").property("region", "eu");
/// assert_eq!(message.topic(), "orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    topic: String,
    body: Bytes,
    key: Option<String>,
    properties: Vec<(String, String)>,
    queue: Option<u32>,
}

impl Message {
    /// A message of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), body: body.into(), key: None, properties: Vec::new(), queue: None }
    }

    /// Names what the message is about: it can be found by its key, and messages of a topic with the same
    /// key keep their order, unless a queue is given.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.key = Some(key.clone());
        self.property(properties::KEYS, key)
    }

    /// The tag that consumers filter by.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.property(properties::TAGS, tag)
    }

    /// A property of the message's own. The last value of a name counts.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.properties.retain(|(n, _)| *n != name);
        self.properties.push((name, value.into()));
        self
    }

    /// The queue it goes to.
    #[must_use]
    pub fn queue(mut self, queue: u32) -> Self {
        self.queue = Some(queue);
        self
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    pub(crate) fn order_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn raw_properties(&self) -> Vec<u8> {
        properties::build(self.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }

    pub(crate) fn draft<'a>(&'a self, raw_properties: &'a [u8]) -> Draft<'a> {
        Draft { properties: raw_properties, queue: self.queue, ..draft(&self.topic, &self.body) }
    }
}

/// A plain draft of a message without properties.
#[must_use]
pub fn draft<'a>(topic: &'a str, body: &'a [u8]) -> Draft<'a> {
    Draft { born_host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), ..Draft::new(topic, body) }
}

/// Where an acknowledged message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The log position of its record.
    pub offset: Offset,
    /// Its queue.
    pub queue: u32,
    /// Its offset in the queue.
    pub queue_offset: u64,
    /// The owner's time when it was appended, milliseconds.
    pub store_ms: i64,
}

/// A timer that was scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// Names the timer, for [`Store::cancel`](crate::Store::cancel).
    pub handle: Handle,
    /// When it is due by the owner's time, milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// The owner's time when it was scheduled, milliseconds.
    pub store_ms: i64,
    /// The queue that it will go to.
    pub queue: u32,
}

/// Names one timer for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    /// When it is due, owner milliseconds.
    pub due_ms: i64,
    /// The log position of its record.
    pub schedule: Offset,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.due_ms, self.schedule.0)
    }
}

impl FromStr for Handle {
    type Err = Error;

    /// Reads `DUE-SCHEDULE`: milliseconds since the Unix epoch in decimal, and the log position in 16 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |at: usize, what: &str| {
            let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
            let text = format!("`{shown}` is not the handle of a timer: at character {}, {what}", at + 1);
            Error::new(ErrorKind::Invalid, text)
        };
        let digits = |from: usize, is_digit: fn(&char) -> bool| {
            text.chars().skip(from).take_while(is_digit).count() + from
        };
        let due_end = digits(0, char::is_ascii_digit);
        let (due, rest) = text.split_at(due_end); // ASCII so far, so characters are bytes
        let due_ms = due.parse().map_err(|_| wrong(0, "the due time in milliseconds is expected"))?;
        if !rest.starts_with('-') {
            return Err(wrong(due_end, "a `-` is expected behind the due time"));
        }
        let end = digits(due_end + 1, char::is_ascii_hexdigit);
        if end != due_end + 17 || end != text.len() {
            let what = "16 hexadecimal digits are expected behind the `-`, and nothing else";
            return Err(wrong(end.min(due_end + 17), what));
        }
        let schedule = u64::from_str_radix(&rest[1..], 16);
        let schedule = schedule.map_err(|_| wrong(due_end + 1, "a log position is expected"))?;
        Ok(Self { due_ms, schedule: Offset(schedule) })
    }
}

/// What a cancel came to, decided in log order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum Cancel {
    /// The timer was pending, or was cancelled before; it does not fire.
    Cancelled,
    /// It fired.
    AlreadyFired {
        /// The owner's time when it did, milliseconds since the Unix epoch: the store time of its message. `None` if
        /// that is not found among the first 16,000 messages of its queue that were stored when it was due or later,
        /// or if its topic is gone.
        at_ms: Option<i64>,
    },
    /// The log holds no timer of this handle.
    NotFound,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_read_back() {
        let handle = Handle { due_ms: 1_795_321_365_001, schedule: Offset((3 << 40) + 77) };
        assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
        let bad = [
            ("", 1),
            ("1", 2),
            ("1-2", 4),
            ("x-0000000000000001", 1),
            ("-1-0000000000000001", 1),
            ("99999999999999999999-0000000000000001", 1),
            ("1-000000000000000g", 18),
            ("1-00000000000000001", 19),
            ("1-0000000000000001 ", 19),
            ("1-\u{e4}", 3),
        ];
        for (text, at) in bad {
            let told = text.parse::<Handle>().unwrap_err().to_string();
            assert!(told.contains(&format!("at character {at}, ")), "{told}");
        }
    }
}
