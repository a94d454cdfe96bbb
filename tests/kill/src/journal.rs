//! What was asked of the broker and what it answered: the checker's own memory, which no kill touches.

use std::collections::BTreeMap;

use crate::chance::Chance;

/// Topics that are sent to; each has [`QUEUES`] queues.
pub(crate) const TOPICS: [&str; 2] = ["orders", "bills"];
/// Queues of each topic.
pub(crate) const QUEUES: u32 = 4;
/// Groups that commit offsets: the first with every few messages, the second once a run, so that what it promised has
/// to live through bases and kills.
pub(crate) const GROUPS: [&str; 2] = ["workers", "auditors"];
/// Delays of the levels from 1 on, milliseconds.
pub(crate) const LEVELS_MS: [i64; 6] = [200, 500, 1_000, 2_000, 4_000, 8_000];
/// The level of a first failure, which the broker decides.
pub(crate) const FIRST_LEVEL: u32 = 3;
/// Failures after which a message becomes a dead letter.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// The longest delay that is asked for, milliseconds.
pub(crate) const DELAY_MAX_MS: u64 = 8_000;

/// How long level `level` (from 1) delays.
#[must_use]
pub(crate) fn level_ms(level: u32) -> i64 {
    let index = (level.max(1) as usize - 1).min(LEVELS_MS.len() - 1);
    LEVELS_MS[index]
}

/// When a message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    /// At once.
    None,
    /// By the `DELAY` property.
    Level(u32),
    /// By `TIMER_DELAY_MS`.
    Ms(i64),
    /// By `TIMER_DELIVER_MS`, a moment.
    Until(i64),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// A send of one message, or of a batch of them.
    Send {
        /// First identity; the others follow.
        first: u64,
        /// How many messages.
        count: u64,
        /// Index in [`TOPICS`].
        topic: usize,
        /// Queue.
        queue: u32,
        /// When it is due.
        delay: Delay,
    },
    /// A group's progress.
    Commit {
        /// Which.
        key: Key,
        /// The first offset that is not consumed.
        offset: u64,
    },
    /// A failed consumption, of the first of [`GROUPS`].
    Fail(Failed),
}

/// A group's place in a queue: indices in [`GROUPS`] and [`TOPICS`], and the queue.
pub(crate) type Key = (usize, usize, u32);

/// A record whose consumption failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Identity of the message.
    pub(crate) id: u64,
    /// Failures before this one.
    pub(crate) times: u32,
    /// Where the record stands.
    pub(crate) position: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged.
    Done {
        /// When the answer was here, by this machine's clock.
        at_ms: i64,
        /// Address and log position of each message, as its id has them.
        positions: Vec<(u64, u64)>,
        /// Offset of the first message in its queue.
        queue_offset: u64,
    },
    /// Answered with another code than 0.
    Refused(i32, String),
    /// The kill came first.
    Unknown,
}

/// A request with what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// What was asked.
    pub(crate) request: Request,
    /// When, by this machine's clock, before the first byte was written.
    pub(crate) sent_ms: i64,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// Between which moments something is due.
///
/// The broker's clock is steered to the same machine's wall clock and never behind it, so a relative delay counts from
/// the moment before the request was written at the earliest. It counts at the latest from the moment when the answer
/// was read, which is why `max_ms` exists for acknowledged requests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Not before.
    pub(crate) min_ms: i64,
    /// Not after, for who was acknowledged.
    pub(crate) max_ms: Option<i64>,
}

impl Due {
    fn after(delay_ms: i64, sent_ms: i64, answered_ms: Option<i64>) -> Self {
        Self { min_ms: sent_ms + delay_ms, max_ms: answered_ms.map(|ms| ms + delay_ms) }
    }
}

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Index in [`TOPICS`].
    pub(crate) topic: usize,
    /// Queue.
    pub(crate) queue: u32,
    /// For a timed message.
    pub(crate) due: Option<Due>,
    /// First identity and size of its batch.
    pub(crate) batch: Option<(u64, u64)>,
    /// Whether it was acknowledged.
    pub(crate) acknowledged: bool,
    /// Queue offset, log position and address, of an acknowledged message that is not timed.
    pub(crate) place: Option<(u64, u64, u64)>,
}

/// A retry, or a dead letter.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    /// When it is due.
    pub(crate) due: Due,
    /// Whether it was acknowledged.
    pub(crate) acknowledged: bool,
}

/// How far a group said that it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The highest that was acknowledged.
    pub(crate) acknowledged: Option<u64>,
    /// The highest that was asked.
    pub(crate) asked: u64,
}

/// Everything that was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// By identity.
    pub(crate) messages: BTreeMap<u64, Message>,
    /// By identity and number of failures, this one included.
    pub(crate) retries: BTreeMap<(u64, u32), Retry>,
    /// By group and queue.
    pub(crate) progress: BTreeMap<Key, Progress>,
    /// Messages and retries that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Requests whose answer the kill cut off.
    pub(crate) unknown: u64,
    /// Requests that were refused, with the first reason.
    pub(crate) refused: (u64, Option<String>),
}

impl Journal {
    /// Takes down a request and its outcome.
    pub(crate) fn take(&mut self, entry: Entry) {
        let (answered_ms, positions, queue_offset) = match entry.outcome {
            Outcome::Done { at_ms, positions, queue_offset } => (Some(at_ms), positions, queue_offset),
            Outcome::Refused(code, remark) => {
                self.refused.0 += 1;
                self.refused.1.get_or_insert(format!("{code}: {remark} ({:?})", entry.request));
                (None, Vec::new(), 0)
            }
            Outcome::Unknown => {
                self.unknown += 1;
                (None, Vec::new(), 0)
            }
        };
        let done = answered_ms.is_some();
        match entry.request {
            Request::Send { first, count, topic, queue, delay } => {
                let due = due(delay, entry.sent_ms, answered_ms);
                for n in 0..count {
                    let at = usize::try_from(n).unwrap_or(usize::MAX);
                    let place = positions.get(at).filter(|_| due.is_none());
                    let message = Message {
                        topic,
                        queue,
                        due,
                        batch: (count > 1).then_some((first, count)),
                        acknowledged: done,
                        place: place.map(|(host, position)| (queue_offset + n, *position, *host)),
                    };
                    self.messages.insert(first + n, message);
                    self.acknowledged += u64::from(done);
                }
            }
            Request::Commit { key, offset } => {
                let progress = self.progress.entry(key).or_default();
                progress.asked = progress.asked.max(offset);
                if done {
                    progress.acknowledged = progress.acknowledged.max(Some(offset));
                }
            }
            Request::Fail(Failed { id, times, .. }) => {
                let delay_ms = if times >= ATTEMPTS_MAX { 0 } else { level_ms(FIRST_LEVEL + times) };
                let due = Due::after(delay_ms, entry.sent_ms, answered_ms);
                self.retries.insert((id, times + 1), Retry { due, acknowledged: done });
                self.acknowledged += u64::from(done);
            }
        }
    }
}

fn due(delay: Delay, sent_ms: i64, answered_ms: Option<i64>) -> Option<Due> {
    match delay {
        Delay::None => None,
        Delay::Level(level) => Some(Due::after(level_ms(level), sent_ms, answered_ms)),
        Delay::Ms(ms) => Some(Due::after(ms, sent_ms, answered_ms)),
        Delay::Until(at_ms) => Some(Due { min_ms: at_ms, max_ms: answered_ms.map(|ms| ms.max(at_ms)) }),
    }
}

/// The unique key of a message.
#[must_use]
pub(crate) fn key(id: u64) -> String {
    format!("K{id:016X}")
}

/// The message of a unique key.
#[must_use]
pub(crate) fn id_of(key: &str) -> Option<u64> {
    u64::from_str_radix(key.strip_prefix('K')?, 16).ok().filter(|_| key.len() == 17)
}

/// The body of a message; follows from its identity.
#[must_use]
pub(crate) fn body(id: u64) -> Vec<u8> {
    let mut chance = Chance::new(id, 0xB0D7);
    let long = chance.one_in(16);
    let len = 40 + chance.below(if long { 4_000 } else { 300 });
    let mut body = id.to_be_bytes().to_vec();
    while (body.len() as u64) < len {
        body.extend_from_slice(&chance.next().to_be_bytes());
    }
    body
}
