//! A blocking client of RocketMQ's remoting protocol, and the records that pulls bring.
//!
//! Frames are split by the broker's own codec, which has fuzz targets of its own; records are taken apart here, from
//! the layout that clients rely on, so that what is checked does not pass through the code that wrote it.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use mainspring_broker::remoting::{Header, frame};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Version that a client of RocketMQ 4.9.8 announces.
const VERSION: i32 = 409;
/// First four bytes of a record after its size, topics of up to 127 bytes.
const RECORD_MAGIC: u32 = 0xDAA3_20A7;

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Response code.
    pub(crate) code: i32,
    /// Number of the request.
    pub(crate) opaque: i32,
    /// Text for people.
    pub(crate) remark: String,
    /// Its fields.
    pub(crate) fields: HashMap<String, String>,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// A field as a number.
    ///
    /// # Errors
    ///
    /// If it is absent or no number.
    pub(crate) fn number(&self, name: &str) -> io::Result<u64> {
        let text = self.fields.get(name).and_then(|text| text.parse().ok());
        text.ok_or_else(|| wrong(format!("the answer has no number {name}: {:?}", self.fields)))
    }

    /// The log positions in `msgId`, one for each message, and the address in them.
    ///
    /// # Errors
    ///
    /// If the field is absent or malformed.
    pub(crate) fn positions(&self) -> io::Result<Vec<(u64, u64)>> {
        let text = self.fields.get("msgId").map(String::as_str).unwrap_or_default();
        let one = |id: &str| {
            let hex = |range| id.get(range).and_then(|part| u64::from_str_radix(part, 16).ok());
            let parsed = hex(0..16).zip(hex(16..32)).filter(|_| id.len() == 32);
            parsed.ok_or_else(|| wrong(format!("{id:?} is no message id")))
        };
        text.split(',').map(one).collect()
    }
}

/// A protocol error as an error of input.
pub(crate) fn wrong(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// Two addresses that nobody listens on.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    // Both are held at once, so they differ.
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [any()?, any()?];
    Ok([held[0].local_addr()?, held[1].local_addr()?])
}

/// One message in the body of a batch.
pub(crate) fn batch_part(body: &[u8], properties: &str) -> Vec<u8> {
    let mut part = Vec::with_capacity(22 + body.len() + properties.len());
    let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    part.extend_from_slice(&word(22 + body.len() + properties.len()));
    part.extend_from_slice(&[0; 12]); // magic, checksum, flag
    part.extend_from_slice(&word(body.len()));
    part.extend_from_slice(body);
    part.extend_from_slice(&u16::try_from(properties.len()).unwrap_or(u16::MAX).to_be_bytes());
    part.extend_from_slice(properties.as_bytes());
    part
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: BytesMut,
    next: i32,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: BytesMut::new(), next: 1 })
    }

    /// Sends a request and gives its number.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn send(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> io::Result<i32> {
        let opaque = self.next;
        self.next += 1;
        let fields: HashMap<&str, &str> = fields.iter().copied().collect();
        let header = serde_json::json!({"code": code, "extFields": fields, "flag": 0, "language": "JAVA",
            "opaque": opaque, "serializeTypeCurrentRPC": "JSON", "version": VERSION})
        .to_string();
        let size = |n: usize| u32::try_from(n).map_err(|_| wrong("a frame is too long"));
        let mut bytes = Vec::with_capacity(8 + header.len() + body.len());
        bytes.extend_from_slice(&size(4 + header.len() + body.len())?.to_be_bytes());
        bytes.extend_from_slice(&size(header.len())?.to_be_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes)?;
        Ok(opaque)
    }

    /// The next answer; requests of the broker are passed over.
    ///
    /// # Errors
    ///
    /// The operating system's, the end of the connection, or bytes that are no frame.
    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        loop {
            while let Some(found) =
                frame::decode(&mut self.input).map_err(|error| wrong(error.to_string()))?
            {
                let header = Header::parse(&found).map_err(|error| wrong(error.to_string()))?;
                if !header.is_response() {
                    continue;
                }
                let named = [
                    "msgId",
                    "queueId",
                    "queueOffset",
                    "offset",
                    "nextBeginOffset",
                    "minOffset",
                    "maxOffset",
                ];
                let value = |name: &str| Some((name.to_owned(), header.fields.get(name)?.to_owned()));
                return Ok(Answer {
                    code: header.code,
                    opaque: header.opaque,
                    remark: header.remark.as_deref().unwrap_or_default().to_owned(),
                    fields: named.into_iter().filter_map(value).collect(),
                    body: found.body.clone(),
                });
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let had = self.input.len();
        self.input.resize(had + READ_BYTES, 0);
        let got = self.stream.read(&mut self.input[had..]);
        self.input.truncate(had + *got.as_ref().unwrap_or(&0));
        if got? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// As [`Client::send`] and [`Client::receive`].
    pub(crate) fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let opaque = self.send(code, fields, body)?;
        let answer = self.receive()?;
        if answer.opaque == opaque {
            Ok(answer)
        } else {
            Err(wrong(format!("asked {opaque}, answered {}", answer.opaque)))
        }
    }
}

/// A record as a consumer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// All its bytes.
    pub(crate) bytes: Bytes,
    /// Its topic.
    pub(crate) topic: String,
    /// Its queue.
    pub(crate) queue: u32,
    /// Its offset in the queue.
    pub(crate) queue_offset: u64,
    /// Its position in the log.
    pub(crate) position: u64,
    /// Address of the broker that stored it, as in message ids.
    pub(crate) host: u64,
    /// When it was stored.
    pub(crate) store_ms: i64,
    /// How often its consumption failed.
    pub(crate) reconsume_times: u32,
    /// Its body.
    pub(crate) body: Bytes,
    /// Its properties, as text.
    pub(crate) properties: String,
}

impl Record {
    /// Takes the first record off `rest`.
    ///
    /// # Errors
    ///
    /// If the bytes are none, or the body does not have the checksum in it.
    pub(crate) fn take(rest: &mut Bytes) -> io::Result<Self> {
        let total = rest.clone().try_get_u32().map_err(|_| wrong("a record is cut short"))? as usize;
        if total > rest.len() {
            return Err(wrong("a record is cut short"));
        }
        let bytes = rest.split_to(total);
        Self::parse(bytes).ok_or_else(|| wrong("a record does not parse or has a wrong checksum"))
    }

    fn parse(bytes: Bytes) -> Option<Self> {
        let mut at = bytes.clone();
        at.try_get_u32().ok()?;
        if at.try_get_u32().ok()? != RECORD_MAGIC {
            return None;
        }
        let sum = at.try_get_u32().ok()?;
        let queue = at.try_get_u32().ok()?;
        at.try_get_u32().ok()?; // the user's flag
        let queue_offset = at.try_get_u64().ok()?;
        let position = at.try_get_u64().ok()?;
        let sys_flag = at.try_get_u32().ok()?;
        if sys_flag & 0x30 != 0 {
            return None; // nobody here has an IPv6 address
        }
        at.try_get_i64().ok()?; // born
        at.try_get_u64().ok()?; // where
        let store_ms = at.try_get_i64().ok()?;
        let host = at.try_get_u64().ok()?;
        let reconsume_times = at.try_get_u32().ok()?;
        at.try_get_u64().ok()?; // transactions
        let body_len = at.try_get_u32().ok()? as usize;
        let body = (body_len <= at.len()).then(|| at.split_to(body_len))?;
        let topic_len = usize::from(at.try_get_u8().ok()?);
        let topic = (topic_len <= at.len()).then(|| at.split_to(topic_len))?;
        let properties_len = usize::from(at.try_get_u16().ok()?);
        let properties = (properties_len == at.len()).then_some(at)?;
        let text = |part: Bytes| String::from_utf8(part.to_vec()).ok();
        (crc32fast::hash(&body) & 0x7FFF_FFFF == sum).then_some(())?;
        Some(Self {
            topic: text(topic)?,
            queue,
            queue_offset,
            position,
            host,
            store_ms,
            reconsume_times,
            body,
            properties: text(properties)?,
            bytes,
        })
    }

    /// A property.
    #[must_use]
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        let mut pairs = self.properties.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}
