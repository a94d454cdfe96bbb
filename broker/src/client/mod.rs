//! A small client of the remoting protocol, for the command line: blocking, one connection, requests in any number under
//! way. It knows the protocol and nothing of the broker, so it speaks to others too.

mod calls;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use serde::{Serialize, Serializer};

pub use calls::{Dialed, Outgoing, PullRequest, Pulled, Sent};

use crate::remoting::{
    Header,
    codes::{SERVER_VERSION, response},
    fastjson, frame,
};

/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer may take, beside what the broker may hold a request.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Bytes read at once.
const READ_BYTES: usize = 128 << 10;

/// Why a call has no good answer.
#[derive(Debug)]
pub enum ClientError {
    /// No connection came about.
    Unreachable {
        /// The address.
        at: String,
        /// Why.
        why: io::Error,
    },
    /// The connection ended, or an answer is overdue.
    Lost {
        /// The address.
        at: String,
        /// Why.
        why: io::Error,
    },
    /// The other side refused.
    Refused {
        /// Its code.
        code: i32,
        /// Its words.
        remark: String,
    },
    /// The answer makes no sense.
    Malformed(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { at, why } => write!(f, "cannot connect to {at}: {why}"),
            Self::Lost { at, why } => write!(f, "the connection to {at} is lost: {why}"),
            Self::Refused { code, remark } => write!(f, "refused with code {code}: {remark}"),
            Self::Malformed(what) => write!(f, "the answer cannot be read: {what}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// The result of a call.
pub type Result<T> = std::result::Result<T, ClientError>;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its code.
    pub code: i32,
    /// Its text.
    pub remark: String,
    /// Its fields.
    pub fields: BTreeMap<String, String>,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// What stands in a header and body.
    #[must_use]
    pub fn new(header: &Header<'_>, body: &Bytes) -> Self {
        let fields = header.fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            code: header.code,
            remark: header.remark.as_deref().unwrap_or_default().to_owned(),
            fields: fields.collect(),
            body: body.clone(),
        }
    }

    /// The answer, if it is a success.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] otherwise.
    pub fn done(self) -> Result<Self> {
        if self.code == response::SUCCESS {
            return Ok(self);
        }
        Err(ClientError::Refused { code: self.code, remark: self.remark })
    }

    /// A field that is a number.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`] if there is none.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let found = self.fields.get(name).and_then(|text| text.parse().ok());
        found.ok_or_else(|| ClientError::Malformed(format!("it has no number {name}")))
    }

    /// The body as JSON; keys may be bare numbers, as Java writes them.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`] if it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        let malformed = |e: &dyn fmt::Display| ClientError::Malformed(e.to_string());
        let text = str::from_utf8(&self.body).map_err(|e| malformed(&e))?;
        serde_json::from_str(&fastjson::quote_keys(text)).map_err(|e| malformed(&e))
    }
}

/// The header of a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    code: i32,
    ext_fields: Fields<'a>,
    flag: i32,
    language: &'a str,
    opaque: i32,
    #[serde(rename = "serializeTypeCurrentRPC")]
    serialize_type: &'a str,
    version: i32,
}

/// Names and values as an object.
struct Fields<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    at: String,
    /// What came, and what is read into before.
    input: BytesMut,
    landing: Box<[u8]>,
    /// How long a read waits.
    patience: Option<Duration>,
    output: Vec<u8>,
    next: i32,
    /// Answers that came while another was waited for.
    early: BTreeMap<i32, Answer>,
}

impl Client {
    /// Connects to `host:port`, or to the first that can be had of several, with semicolons between.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], about the last.
    pub fn connect(addresses: &str) -> Result<Self> {
        let mut failed = None;
        for at in addresses.split(';').map(str::trim).filter(|at| !at.is_empty()) {
            match dial(at) {
                Ok(stream) => {
                    return Ok(Self {
                        stream,
                        at: at.to_owned(),
                        input: BytesMut::new(),
                        landing: vec![0; READ_BYTES].into(),
                        patience: None,
                        output: Vec::new(),
                        next: 0,
                        early: BTreeMap::new(),
                    });
                }
                Err(why) => failed = Some((at.to_owned(), why)),
            }
        }
        let none = || (addresses.to_owned(), io::Error::new(io::ErrorKind::InvalidInput, "no address"));
        let (at, why) = failed.unwrap_or_else(none);
        Err(ClientError::Unreachable { at, why })
    }

    /// Where it is connected to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.at
    }

    fn lost(&self, why: io::Error) -> ClientError {
        ClientError::Lost { at: self.at.clone(), why }
    }

    /// Puts a request to those that the next [`flush`](Self::flush) sends; gives its number.
    pub fn queue(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> i32 {
        self.next += 1;
        let header = Head {
            code,
            ext_fields: Fields(fields),
            flag: 0,
            language: "RUST",
            opaque: self.next,
            serialize_type: "JSON",
            version: SERVER_VERSION,
        };
        let start = self.output.len();
        self.output.extend_from_slice(&[0; 8]);
        // Texts and numbers always become JSON, and a Vec takes all.
        let _ = serde_json::to_writer(&mut self.output, &header);
        let header_len = self.output.len() - start - 8;
        // Longer ones than a length can say are refused by size on the other side, long before.
        let word = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        self.output[start..start + 4].copy_from_slice(&word(4 + header_len + body.len()));
        self.output[start + 4..start + 8].copy_from_slice(&word(header_len));
        self.output.extend_from_slice(body);
        self.next
    }

    /// Sends what was queued.
    ///
    /// # Errors
    ///
    /// [`ClientError::Lost`].
    pub fn flush(&mut self) -> Result<()> {
        let sent = self.stream.write_all(&self.output);
        self.output.clear();
        sent.map_err(|why| self.lost(why))
    }

    /// The next answer to any request; `None` if none comes within `patience`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Lost`], or [`ClientError::Malformed`] if bytes come that are no answer.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<(i32, Answer)>> {
        if let Some(early) = self.early.pop_first() {
            return Ok(Some(early));
        }
        self.read_answer(patience)
    }

    /// The next answer, if it has come already.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`].
    pub fn at_hand(&mut self) -> Result<Option<(i32, Answer)>> {
        self.at_hand_as(Answer::new)
    }

    /// The same, as what `take` makes of its header and body.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`].
    pub fn at_hand_as<T>(&mut self, take: impl FnOnce(&Header<'_>, &Bytes) -> T) -> Result<Option<(i32, T)>> {
        let malformed = |e: frame::FrameError| ClientError::Malformed(e.to_string());
        while let Some(found) = frame::decode(&mut self.input).map_err(malformed)? {
            let header = Header::parse(&found).map_err(malformed)?;
            if !header.is_response() {
                continue; // the broker asks its consumers now and then; tools have nothing to say
            }
            return Ok(Some((header.opaque, take(&header, &found.body))));
        }
        Ok(None)
    }

    fn read_answer(&mut self, patience: Duration) -> Result<Option<(i32, Answer)>> {
        loop {
            if let Some(answer) = self.at_hand()? {
                return Ok(Some(answer));
            }
            if !self.read(patience)? {
                return Ok(None);
            }
        }
    }

    /// Reads once what is there; false if there is nothing, and nothing comes within `patience`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Lost`].
    pub fn read(&mut self, patience: Duration) -> Result<bool> {
        if self.patience != Some(patience) {
            self.stream.set_read_timeout(Some(patience)).map_err(|why| self.lost(why))?;
            self.patience = Some(patience);
        }
        match self.stream.read(&mut self.landing) {
            Ok(0) => Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                self.input.extend_from_slice(&self.landing[..read]);
                Ok(true)
            }
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(why) => Err(self.lost(why)),
        }
    }

    /// Sends a request and waits for its answer, whatever its code.
    ///
    /// # Errors
    ///
    /// [`ClientError::Lost`] or [`ClientError::Malformed`].
    pub fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let number = self.queue(code, fields, body);
        self.flush()?;
        loop {
            match self.read_answer(ANSWER_PATIENCE)? {
                Some((of, answer)) if of == number => return Ok(answer),
                Some((of, answer)) => drop(self.early.insert(of, answer)),
                None => return Err(self.lost(io::Error::new(io::ErrorKind::TimedOut, "no answer came"))),
            }
        }
    }

    /// Sends a request and waits for its success.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call), and [`ClientError::Refused`].
    pub fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        self.call(code, fields, body)?.done()
    }
}

/// To wait for answers of several.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn dial(at: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in at.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(why) => failed = why,
        }
    }
    Err(failed)
}
