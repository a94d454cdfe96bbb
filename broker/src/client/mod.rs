//! A small client of the remoting protocol, for the command line: blocking, one connection, requests in any number under
//! way. It knows the protocol and nothing of the broker, so it speaks to others too.

mod calls;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use bytes::{Bytes, BytesMut};

pub use calls::{Dialed, Outgoing, PullRequest, Pulled, Sent};

use crate::remoting::{
    Header,
    codes::{SERVER_VERSION, response},
    frame,
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

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`ClientError::Malformed`] if it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).map_err(|e| ClientError::Malformed(e.to_string()))
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    at: String,
    input: BytesMut,
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
                    let (input, output) = (BytesMut::with_capacity(READ_BYTES), Vec::new());
                    let at = at.to_owned();
                    return Ok(Self { stream, at, input, output, next: 0, early: BTreeMap::new() });
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
        let fields: BTreeMap<&str, &str> = fields.iter().copied().collect();
        let header = serde_json::json!({
            "code": code, "extFields": fields, "flag": 0, "language": "RUST",
            "opaque": self.next, "serializeTypeCurrentRPC": "JSON", "version": SERVER_VERSION,
        })
        .to_string();
        // Longer ones than a length can say are refused by size on the other side, long before.
        let word = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        self.output.extend_from_slice(&word(4 + header.len() + body.len()));
        self.output.extend_from_slice(&word(header.len()));
        self.output.extend_from_slice(header.as_bytes());
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

    fn read_answer(&mut self, patience: Duration) -> Result<Option<(i32, Answer)>> {
        self.stream.set_read_timeout(Some(patience)).map_err(|why| self.lost(why))?;
        loop {
            let malformed = |e: frame::FrameError| ClientError::Malformed(e.to_string());
            while let Some(found) = frame::decode(&mut self.input).map_err(malformed)? {
                let header = Header::parse(&found).map_err(malformed)?;
                if !header.is_response() {
                    continue; // the broker asks its consumers now and then; tools have nothing to say
                }
                let fields = header.fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
                let answer = Answer {
                    code: header.code,
                    remark: header.remark.as_deref().unwrap_or_default().to_owned(),
                    fields: fields.collect(),
                    body: found.body.clone(),
                };
                return Ok(Some((header.opaque, answer)));
            }
            self.input.reserve(READ_BYTES);
            let old = self.input.len();
            self.input.resize(old + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[old..]);
            self.input.truncate(old + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(self.lost(why)),
            }
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
