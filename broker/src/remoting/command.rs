//! Requests as handlers see them, and what they answer.

use std::{borrow::Cow, pin::Pin};

use bytes::Bytes;

use super::{
    codes::response,
    header::{FieldError, Fields, Header},
};
use mainspring::{Error, ErrorKind, Pending, record::MessageId};

/// One request of a client.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Its header.
    pub header: Header<'a>,
    /// Its body, shared with the read buffer.
    pub body: Bytes,
}

impl<'a> Request<'a> {
    /// The command's own fields.
    #[must_use]
    pub fn fields(&self) -> &Fields<'a> {
        &self.header.fields
    }
}

/// The value of a field in an answer; always written as a JSON string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A fixed text; nothing in it needs an escape in JSON.
    Static(&'static str),
    /// A text.
    Text(String),
    /// An offset message id.
    MessageId(MessageId),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Static(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<MessageId> for Value {
    fn from(value: MessageId) -> Self {
        Self::MessageId(value)
    }
}

/// Body of an answer.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// One piece, made for this answer.
    Whole(Bytes),
    /// Pieces of the log that follow each other on the wire.
    Slices(Vec<Bytes>),
}

impl Body {
    /// Bytes in all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Whole(bytes) => bytes.len(),
            Self::Slices(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a message stands that was sent: the fields of nearly all answers there are, which are written in a few pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its offset message id.
    pub id: MessageId,
    /// Its queue.
    pub queue: u32,
    /// Its offset there.
    pub queue_offset: u64,
    /// What clients expect as the broker's region; nothing in it needs an escape in JSON.
    pub region: &'static str,
    /// Its unique key, if it has one.
    pub transaction_id: Option<String>,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Response code.
    pub code: i32,
    /// Text for people, or a status name.
    pub remark: Option<Cow<'static, str>>,
    /// Fields in front of the others.
    pub sent: Option<Box<Sent>>,
    /// Fields.
    pub fields: Vec<(&'static str, Value)>,
    /// Body.
    pub body: Body,
    /// Nothing was done: space is being prepared, or too much waits for its flush, and the same request can be served in
    /// a moment.
    pub not_yet: bool,
    /// The request was held until there was something to say, or its time was over.
    pub held: bool,
}

impl Response {
    /// Success without fields.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// Success of a send.
    #[must_use]
    pub fn sent(sent: Sent) -> Self {
        Self { sent: Some(Box::new(sent)), ..Self::default() }
    }

    /// A code with its text.
    #[must_use]
    pub fn refuse(code: i32, remark: impl Into<Cow<'static, str>>) -> Self {
        Self { code, remark: Some(remark.into()), ..Self::default() }
    }

    /// The answer to a code that nobody serves.
    #[must_use]
    pub fn unsupported(code: i32) -> Self {
        Self::refuse(
            response::REQUEST_CODE_NOT_SUPPORTED,
            format!("request code {code} is not supported on this port"),
        )
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Sets a body in one piece.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Busy | ErrorKind::Preparing => response::SYSTEM_BUSY,
            ErrorKind::Full | ErrorKind::Poisoned | ErrorKind::Closed | ErrorKind::ReadOnly => {
                response::SERVICE_NOT_AVAILABLE
            }
            ErrorKind::Invalid | ErrorKind::TooLarge => response::MESSAGE_ILLEGAL,
            ErrorKind::NotFound => response::TOPIC_NOT_EXIST,
            _ => response::SYSTEM_ERROR,
        };
        let not_yet = matches!(error.kind(), ErrorKind::Busy | ErrorKind::Preparing);
        Self { not_yet, ..Self::refuse(code, error.to_string()) }
    }
}

impl From<FieldError> for Response {
    fn from(error: FieldError) -> Self {
        Self::refuse(response::SYSTEM_ERROR, error.to_string())
    }
}

/// A future answer.
pub type Later = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What a handler gives back.
pub enum Reply {
    /// The answer.
    Now(Response),
    /// The answer, to be given once what it tells of is safe.
    Standing(Pending<()>, Response),
    /// The answer comes later; other requests of the connection go on.
    Later(Later),
}

impl Reply {
    /// An answer that a future gives.
    pub fn later(answer: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }

    /// Waits for the answer.
    pub async fn settled(self) -> Response {
        match self {
            Self::Now(answer) => answer,
            Self::Standing(safe, answer) => safe.await.map_or_else(Response::from, |()| answer),
            Self::Later(answer) => answer.await,
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now(response) => f.debug_tuple("Now").field(response).finish(),
            Self::Standing(safe, response) => f.debug_tuple("Standing").field(safe).field(response).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

/// Result of a handler: a refusal is an answer too, so `?` ends a handler with it.
pub type Handled = Result<Reply, Response>;
