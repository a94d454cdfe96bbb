//! What the broker needs of a message store, and nothing more.
//!
//! Handlers are written against [`Engine`]; its names and shapes follow the `mainspring` store crate, so that the
//! store can stand in for it without touching a handler. The broker never reaches behind this trait.
//!
//! Invariants that an engine keeps:
//!
//! - calls return without waiting for a disk, except the ones documented to wait for commit;
//! - dropping a [`Pending`] cancels nothing;
//! - records handed out by [`Engine::read`] are whole RocketMQ records that never change.

use std::{
    fmt,
    future::Future,
    net::SocketAddrV4,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::tags::TagFilter;

/// What the broker asks of a message store.
pub trait Engine: Send + Sync + 'static {
    /// Appends one message; the answer is due as `wait` says.
    fn append_draft(&self, draft: &Draft<'_>, wait: Wait) -> Result<Pending<Ack>>;
    /// Appends several messages as one frame, all or nothing.
    fn append_batch(&self, drafts: &[Draft<'_>], wait: Wait) -> Result<Pending<Vec<Ack>>>;
    /// Stores a message that is delivered at `due_ms` of the owner's time.
    fn schedule_draft(&self, draft: &Draft<'_>, due_ms: i64, wait: Wait) -> Result<Pending<Scheduled>>;
    /// The owner's time.
    fn now_ms(&self) -> i64;
    /// Due time of a delay level that starts now; levels above the table are clamped to its last.
    fn level_due_ms(&self, level: i32) -> i64;
    /// Settings of one topic.
    fn topic(&self, name: &str) -> Option<TopicConfig>;
    /// Settings of all topics.
    fn topics(&self) -> Vec<TopicConfig>;
    /// Creates or changes a topic; blocks until that is committed.
    fn put_topic(&self, config: &TopicConfig) -> Result<()>;
    /// Settings of one consumer group.
    fn group(&self, name: &str) -> Option<GroupConfig>;
    /// Creates or changes a consumer group; blocks until that is committed.
    fn put_group(&self, config: &GroupConfig) -> Result<()>;
    /// `[min, max)` of the readable messages of a queue; `None` where nothing was ever stored.
    fn queue_range(&self, topic: &str, queue: u32) -> Option<Range<u64>>;
    /// Reads records of one queue.
    fn read(&self, request: &ReadRequest<'_>) -> Result<ReadResult>;
    /// First queue offset stored at `ms` or later.
    fn offset_by_time(&self, topic: &str, queue: u32, ms: i64) -> Option<u64>;
    /// Store time of one message.
    fn store_time_at(&self, topic: &str, queue: u32, offset: u64) -> Option<i64>;
    /// Records how far a group has consumed a queue.
    fn commit_offset(&self, group: &str, topic: &str, queue: u32, offset: u64) -> Result<Pending<()>>;
    /// How far a group has consumed a queue.
    fn committed_offset(&self, group: &str, topic: &str, queue: u32) -> Option<u64>;
    /// Applies RocketMQ's rule for a failed message: retry with back-off, or dead-letter topic; one frame.
    fn consume_failed(&self, failure: &Failure<'_>) -> Result<Pending<FailedOutcome>>;
    /// Flushes, writes a clean mark and stops; blocks. Later calls answer [`ErrorKind::Closed`].
    fn close(&self) -> Result<()>;
}

/// Told of every message that became readable. Called on the store's own thread: must not block.
pub trait Observer: Send + Sync {
    /// A message stands at `next_offset - 1`; `tags` is the Java hash of its tag, 0 without one.
    fn arrived(&self, topic: &str, queue: u32, next_offset: u64, tags: i64);
}

/// Everything a producer decides about one message; borrowed.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Destination.
    pub topic: &'a str,
    /// Queue; `None` lets the store pick one.
    pub queue: Option<u32>,
    /// Body as sent, possibly compressed.
    pub body: &'a [u8],
    /// RocketMQ's `name 0x01 value 0x02` text.
    pub properties: &'a [u8],
    /// The user's flag.
    pub flag: i32,
    /// System flag bits of the record.
    pub sys_flag: i32,
    /// Time at the producer; 0 means the owner's time.
    pub born_ms: i64,
    /// Address of the producer.
    pub born_host: SocketAddrV4,
    /// How often the message was consumed in vain.
    pub reconsume_times: i32,
    /// Offset of the half message for a committed transaction, else 0.
    pub prepared_transaction_offset: i64,
}

/// How long the caller of an append waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until the frame stands in the log's memory.
    Appended,
    /// Until it is flushed on this node.
    Flushed,
    /// Until the store's commit rule holds.
    Committed,
}

/// Where an appended message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Log position of the record.
    pub offset: u64,
    /// Queue it went to.
    pub queue: u32,
    /// Its offset in the queue.
    pub queue_offset: u64,
    /// Store time.
    pub store_ms: i64,
}

/// Where a scheduled message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// When it is delivered.
    pub due_ms: i64,
    /// Log position of the schedule.
    pub offset: u64,
}

/// Permission bit: may be read.
pub const PERM_READ: u8 = 4;
/// Permission bit: may be written.
pub const PERM_WRITE: u8 = 2;

/// Settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// Name.
    pub name: String,
    /// Queues that consumers see.
    pub read_queues: u32,
    /// Queues that producers see.
    pub write_queues: u32,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub perm: u8,
    /// RocketMQ's topic system flag.
    pub sys_flag: i32,
    /// Whether the topic is declared ordered.
    pub order: bool,
}

impl TopicConfig {
    /// A readable and writable topic of `queues` queues.
    #[must_use]
    pub fn new(name: impl Into<String>, queues: u32) -> Self {
        let perm = PERM_READ | PERM_WRITE;
        Self { name: name.into(), read_queues: queues, write_queues: queues, perm, sys_flag: 0, order: false }
    }
}

/// Settings of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Name.
    pub name: String,
    /// Whether it may consume.
    pub consume: bool,
    /// Whether its clients may consume as a broadcast.
    pub broadcast: bool,
    /// Queues of its retry topic; 0 switches retries off.
    pub retry_queues: u32,
    /// Failures after which a message goes to the dead-letter topic.
    pub attempts_max: i32,
}

impl GroupConfig {
    /// RocketMQ's defaults: one retry queue, 16 attempts.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), consume: true, broadcast: true, retry_queues: 1, attempts_max: 16 }
    }
}

/// RocketMQ's delay levels, seconds.
pub const LEVEL_DELAYS_S: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// One read of a queue.
#[derive(Debug, Clone)]
pub struct ReadRequest<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Queue.
    pub queue: u32,
    /// First queue offset wanted.
    pub from: u64,
    /// Most records in the answer.
    pub max_records: usize,
    /// Most bytes in the answer; the first record is handed out whatever its size.
    pub max_bytes: usize,
    /// Which tags are wanted.
    pub filter: &'a TagFilter,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStatus {
    /// Records are present.
    Found,
    /// Entries were scanned, none passed the filter; `next` is behind them.
    NoMatch,
    /// `from` is the end of the queue.
    AtEnd,
    /// `from` is beyond the end.
    BeyondEnd,
    /// `from` is below the oldest message kept.
    BelowStart,
    /// Nothing was ever stored in this queue.
    NoQueue,
}

/// Answer of a read.
#[derive(Debug, Clone)]
pub struct ReadResult {
    /// What was found.
    pub status: ReadStatus,
    /// Whole RocketMQ records, slices of the log.
    pub records: Vec<Bytes>,
    /// Where to read next.
    pub next: u64,
    /// Oldest offset kept.
    pub min: u64,
    /// End of the queue, exclusive.
    pub max: u64,
}

/// A message that a consumer could not handle.
#[derive(Debug, Clone)]
pub struct Failure<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// Log position of the record.
    pub offset: u64,
    /// Below 0: dead letter at once; 0: the store decides; above: this level.
    pub delay_level: i32,
    /// The client's limit where it sent one, else the group's counts.
    pub attempts_max: Option<i32>,
    /// The message id the client names, to be checked.
    pub origin_message_id: Option<&'a str>,
    /// The topic the client names, to be checked.
    pub origin_topic: Option<&'a str>,
}

/// What became of a failed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedOutcome {
    /// It comes again at `due_ms`.
    Retried {
        /// When.
        due_ms: i64,
    },
    /// It went to the dead-letter topic.
    DeadLettered,
    /// The group has retries switched off; nothing was stored.
    Ignored,
}

/// Classes of failure that a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Overloaded; try again.
    Busy,
    /// No space.
    Full,
    /// The request contradicts itself or the settings.
    Invalid,
    /// Larger than the store takes.
    TooLarge,
    /// What was named does not exist.
    NotFound,
    /// A flush failed; the store must be reopened.
    Poisoned,
    /// The store is closed.
    Closed,
    /// Stored bytes fail their check.
    Corrupt,
    /// The medium failed.
    Io,
    /// Another process owns the store.
    Locked,
    /// Written by a newer version.
    Version,
    /// The store takes no writes.
    ReadOnly,
}

/// A failed call of the store.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of a class with its text.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Result of a store call.
pub type Result<T> = std::result::Result<T, Error>;

/// An answer that is due later; a future. Dropping it cancels nothing.
pub struct Pending<T>(State<T>);

enum State<T> {
    Ready(Option<Result<T>>),
    Waiting(Pin<Box<dyn Future<Output = Result<T>> + Send>>),
}

impl<T> Pending<T> {
    /// An answer that is there already.
    #[must_use]
    pub fn ready(value: T) -> Self {
        Self(State::Ready(Some(Ok(value))))
    }

    /// An answer that a future will give.
    pub fn later(answer: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(State::Waiting(Box::pin(answer)))
    }

    /// Takes the answer if it is there already, else gives the wait back.
    pub fn try_take(mut self) -> std::result::Result<Result<T>, Self> {
        if let State::Ready(slot) = &mut self.0
            && let Some(answer) = slot.take()
        {
            return Ok(answer);
        }
        Err(self)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Ready(_) => "Pending(ready)",
            State::Waiting(_) => "Pending(waiting)",
        })
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(slot) => match slot.take() {
                Some(answer) => Poll::Ready(answer),
                None => Poll::Ready(Err(Error::new(ErrorKind::Closed, "the answer was taken before"))),
            },
            State::Waiting(answer) => answer.as_mut().poll(cx),
        }
    }
}
