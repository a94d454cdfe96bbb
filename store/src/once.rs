//! Messages that are stored once, however often they are sent.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::engine::{OpDraft, Placement, RecordDraft};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{self, Op, OpKind, Wait};
use crate::message::{Ack, Handle, Scheduled};
use crate::offset::Offset;
use crate::pending::Pending;
use crate::record::Draft;
use crate::shell::Answer;
use crate::store::{Store, ack, choice, placement};
use crate::timing::timed_properties;
use crate::views::First;

/// A message that is to be stored once.
#[derive(Debug, Clone, Copy)]
pub struct OnceDraft<'a> {
    /// The message.
    pub draft: Draft<'a>,
    /// When it becomes visible, owner milliseconds since the Unix epoch; `None` for at once.
    pub due_ms: Option<i64>,
    /// What makes it the same as an earlier message of its topic. Without it, it is stored in any case.
    pub key: Option<&'a str>,
}

/// Where a message stands: the one that was sent, or the first of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Where, and as what: a repeat may ask for something else than the first did.
    pub stored: Stored,
    /// Whether it was stored before, so that nothing was stored now.
    pub repeated: bool,
}

/// Where a message or timer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// A message.
    Message(Ack),
    /// A timer.
    Timer(Scheduled),
}

impl Stored {
    /// The log position of its record.
    #[must_use]
    pub fn offset(&self) -> Offset {
        match self {
            Self::Message(ack) => ack.offset,
            Self::Timer(timer) => timer.handle.schedule,
        }
    }

    /// Its queue.
    #[must_use]
    pub fn queue(&self) -> u32 {
        match self {
            Self::Message(ack) => ack.queue,
            Self::Timer(timer) => timer.queue,
        }
    }

    /// Its offset in the queue; `None` for a timer.
    #[must_use]
    pub fn queue_offset(&self) -> Option<u64> {
        match self {
            Self::Message(ack) => Some(ack.queue_offset),
            Self::Timer(_) => None,
        }
    }
}

impl From<First> for Once {
    fn from(first: First) -> Self {
        let First { at, due_ms, queue, queue_offset, store_ms, .. } = first;
        let stored = match due_ms {
            None => Stored::Message(Ack { offset: at, queue, queue_offset, store_ms }),
            Some(due_ms) => {
                let handle = Handle { due_ms, schedule: at };
                Stored::Timer(Scheduled { handle, due_ms, store_ms, queue })
            }
        };
        Self { stored, repeated: true }
    }
}

impl Store {
    /// Stores messages and timers as one frame, but none whose key is remembered for its topic: such a one is answered
    /// with where the first of its key stands. Waits, if asked to, until that is committed, since only the log's order
    /// decides it; so it holds over restarts.
    ///
    /// A key is remembered for [`Options::once_window_ms`](crate::Options::once_window_ms) of owner time, and not among
    /// more than [`Options::once_keys_max`](crate::Options::once_keys_max): then the key that would end first goes
    /// early. Deleting a topic forgets its keys. Beyond that the same key is stored again.
    ///
    /// # Errors
    /// As [`Store::append_batch`]; [`ErrorKind::Invalid`] too for a due time before 1970.
    pub fn store_once(&self, messages: &[OnceDraft<'_>]) -> Result<Pending<Vec<Once>>> {
        self.usable()?;
        if messages.is_empty() || messages.iter().any(|m| m.due_ms.is_some_and(|due_ms| due_ms < 0)) {
            return Err(Error::new(ErrorKind::Invalid, "needs messages, and due times from 1970 on"));
        }
        let keys: Vec<_> = messages.iter().map(|m| Some(self.once_key(m.draft.topic, m.key?))).collect();
        if let Some(known) = self.known_once(&keys) {
            return Ok(self.pending(Wait::Appended, Offset(0), known));
        }
        let timed: Vec<_> =
            messages.iter().map(|m| m.due_ms.map(|_| timed_properties(m.draft.properties))).collect();
        let drafts = messages.iter().zip(&timed).map(|(message, timed)| {
            let properties = timed.as_deref().unwrap_or(message.draft.properties);
            Draft { properties, ..message.draft }
        });
        let drafts: Vec<Draft<'_>> = drafts.collect();
        let requests: Vec<_> = keys.iter().map(|key| key.map(|key| self.once_payload(key))).collect();
        let mut ops = Vec::with_capacity(2 * messages.len());
        for ((draft, message), request) in drafts.iter().zip(messages).zip(&requests) {
            ops.extend(request.iter().map(|payload| OpDraft::Plain(OpKind::Once, payload)));
            let (record, queue) = (self.prepare(draft)?, choice(draft, None));
            let draft = RecordDraft { record, queue, placed: Placement::default() };
            ops.push(match message.due_ms {
                None => OpDraft::Append(draft),
                Some(due_ms) => OpDraft::Schedule { due_ms, draft },
            });
        }
        let mut asked = self.core().ask_log(&mut ops);
        let mut topics = Vec::new();
        if self.may_create(&asked) {
            topics.extend(self.missing_topics(&drafts));
            let queues = self.core().options.default_queues;
            ops.splice(..0, topics.iter().map(|(name, payload)| OpDraft::Topic(name, queues, payload)));
            asked = self.core().ask_log(&mut ops);
        }
        let fresh: Vec<_> = ops.iter().filter_map(fresh).collect();
        let asked = asked?;
        let pending = self.pending(Wait::Committed, asked.end, Vec::new());
        Ok(pending.answered_by(move || decided(fresh, &keys, asked.take())))
    }

    /// The key in this store: nobody outside can choose two texts that share one.
    fn once_key(&self, topic: &str, key: &str) -> u128 {
        let text = [topic.as_bytes(), &[0], key.as_bytes()].concat();
        xxh3_128_with_seed(&text, self.core().log.secret())
    }

    fn once_payload(&self, key: u128) -> Vec<u8> {
        let options = &self.core().options;
        let window_ms = i64::try_from(options.once_window_ms).unwrap_or(i64::MAX);
        Op::Once(frame::Once { key, window_ms, most: options.once_keys_max }).payload().1
    }

    /// The answers, where every key is remembered: a look ahead, only to avoid useless frames.
    fn known_once(&self, keys: &[Option<u128>]) -> Option<Vec<Once>> {
        let now_ms = self.now_ms();
        let views = self.core().views.read();
        let known = |key: &Option<u128>| views.once.get((*key)?).filter(|first| first.until_ms > now_ms);
        keys.iter().map(|key| known(key).map(|first| Once::from(*first))).collect()
    }
}

/// Where a message stands if it is the first.
fn fresh(op: &OpDraft<'_>) -> Option<Once> {
    let placed = placement(op);
    let stored = match op {
        OpDraft::Append(_) => Stored::Message(ack(&placed)),
        OpDraft::Schedule { due_ms, .. } => {
            let handle = Handle { due_ms: *due_ms, schedule: placed.at };
            let (store_ms, queue) = (placed.store_ms, placed.queue);
            Stored::Timer(Scheduled { handle, due_ms: *due_ms, store_ms, queue })
        }
        _ => return None,
    };
    Some(Once { stored, repeated: false })
}

/// What applying the frame came to.
fn decided(fresh: Vec<Once>, keys: &[Option<u128>], answer: Option<Answer>) -> Result<Vec<Once>> {
    let mut firsts = match answer {
        Some(Answer::Stored(firsts)) => firsts.into_iter(),
        None if keys.iter().all(Option::is_none) => Vec::new().into_iter(),
        _ => {
            let text = "the store was closed before it was decided whether the message was stored before";
            return Err(Error::new(ErrorKind::Closed, text));
        }
    };
    let mut first = |key: &Option<u128>| key.and_then(|_| firsts.next().flatten());
    Ok(fresh.into_iter().zip(keys).map(|(fresh, key)| first(key).map_or(fresh, Once::from)).collect())
}
