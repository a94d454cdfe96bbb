//! The one error type of the crate.

use std::fmt;
use std::io;

use crate::offset::Offset;

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is, which says who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Too much is under way; try again soon. Nothing was written.
    Busy,
    /// Space on the medium is being prepared; try again in a moment. Nothing was written. Only where
    /// [`Options::wait_for_space`](crate::Options::wait_for_space) is off.
    Preparing,
    /// No space is left on the medium; try again once there is. Nothing was written.
    Full,
    /// The caller's argument is not acceptable. Nothing was written.
    Invalid,
    /// The message, batch or frame is larger than the store allows. Nothing was written.
    TooLarge,
    /// No such topic, queue, group or record.
    NotFound,
    /// A flush failed, so what the medium holds is not known any more; the store must be opened again.
    Poisoned,
    /// The store was closed.
    Closed,
    /// Stored bytes fail a check.
    Corrupt,
    /// The medium failed.
    Io,
    /// Another process holds the store.
    Locked,
    /// The store was written in a format that this version does not know.
    Version,
    /// The store can be read only: bytes that were durable once are damaged.
    ReadOnly,
}

/// An error: what failed, where, and why.
pub struct Error(Box<Inner>); // boxed: an append that succeeds does not carry room for it

struct Inner {
    kind: ErrorKind,
    message: String,
    at: Option<Offset>,
    source: Option<io::Error>,
}

impl Error {
    /// An error of `kind` with a message for people: what, where, what to do.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), at: None, source: None }))
    }

    /// The same error at a log position.
    #[must_use]
    pub fn at(mut self, offset: Offset) -> Self {
        self.0.at = Some(offset);
        self
    }

    /// Wraps a failure of the medium; a full or locked medium keeps its own kind.
    #[must_use]
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::WouldBlock => ErrorKind::Locked,
            _ => ErrorKind::Io,
        };
        Self(Box::new(Inner { kind, message: what.into(), at: None, source: Some(source) }))
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The log position that the error is about, where there is one.
    #[must_use]
    pub fn offset(&self) -> Option<Offset> {
        self.0.at
    }

    /// Whether the same call may succeed later without anybody doing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Busy | ErrorKind::Preparing | ErrorKind::Full)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(at) = self.0.at {
            write!(f, " (at log offset {at})")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}
