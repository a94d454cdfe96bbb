//! Order locks: a client of a group holds a queue for a while, so that nobody else consumes it in order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::OpDraft;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Op, Wait};
use crate::offset::Offset;
use crate::pending::Pending;
use crate::shell::Answer;
use crate::store::Store;

/// Bytes of a group's, a client's or a topic's name, at most.
const NAME_BYTES_MAX: usize = 255;

/// Queues that a client of a group wants, or gives up.
#[derive(Debug, Clone, Copy)]
pub struct QueueLock<'a> {
    /// The group.
    pub group: &'a str,
    /// The client.
    pub client: &'a str,
    /// The queues: topic and number.
    pub queues: &'a [(&'a str, u32)],
}

impl QueueLock<'_> {
    fn check(&self) -> Result<()> {
        let long = |name: &str| name.len() > NAME_BYTES_MAX;
        if long(self.group) || long(self.client) || self.queues.iter().any(|(topic, _)| long(topic)) {
            let text = format!("a lock's group, client and topics have at most {NAME_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(())
    }
}

impl Store {
    /// Locks queues for a client, or renews what it holds, for `lease` from now on by the owner's clock. The answer
    /// says of each queue whether the client holds it now; it is decided by the log's order and survives a restart.
    ///
    /// Where the client holds every queue with more than half of `lease` still to run, or another client holds it,
    /// that is answered without a frame: a client that counts on no more than half of the lease after an answer, as
    /// RocketMQ's do, is never alone in believing that it holds a queue. Such an answer is given only while no call of
    /// this kind is under way, so it never passes one that was made before.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::Invalid`] for a name above 255 bytes or a lease below a millisecond.
    pub fn lock_queues(&self, lock: &QueueLock<'_>, lease: Duration) -> Result<Pending<Vec<bool>>> {
        self.usable()?;
        lock.check()?;
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        if lease_ms == 0 {
            return Err(Error::new(ErrorKind::Invalid, "a lock is for a millisecond or more"));
        }
        if let Some(known) = self.known_locks(lock, lease_ms) {
            return Ok(self.pending(Wait::Appended, Offset(0), known));
        }
        let QueueLock { group, client, queues } = *lock;
        let (kind, payload) = Op::Lock { group, client, lease_ms, queues: queues.to_vec() }.payload();
        let asked = self.core().ask_log(&mut [OpDraft::Plain(kind, &payload)])?;
        self.core().last_lock.fetch_max(asked.end.0, Ordering::AcqRel);
        let pending = self.pending(Wait::Committed, asked.end, Vec::new());
        Ok(pending.answered_by(move || match asked.take() {
            Some(Answer::Locked(held)) => Ok(held),
            _ => Err(Error::new(ErrorKind::Closed, "the store was closed before the lock was decided")),
        }))
    }

    /// Gives up what the client holds of these queues. Losing that in a crash only means that they stay locked until
    /// their lease ends.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::Invalid`] for a name above 255 bytes.
    pub fn unlock_queues(&self, lock: &QueueLock<'_>) -> Result<Pending<()>> {
        self.usable()?;
        lock.check()?;
        let QueueLock { group, client, queues } = *lock;
        let core = self.core();
        let none = {
            let views = core.views.read();
            let own = |(topic, queue): &(&str, u32)| {
                views.locks.get(group, topic, *queue).is_some_and(|lease| lease.client == client)
            };
            views.applied.0 >= core.last_lock.load(Ordering::Acquire) && !queues.iter().any(own)
        };
        if none {
            return Ok(self.pending(Wait::Appended, Offset(0), ()));
        }
        let (kind, payload) = Op::Unlock { group, client, queues: queues.to_vec() }.payload();
        let end = core.submit(Wait::Appended, &mut [OpDraft::Plain(kind, &payload)])?.end;
        core.last_lock.fetch_max(end.0, Ordering::AcqRel);
        Ok(self.pending(Wait::Appended, end, ()))
    }

    /// Whether any client of a group holds a lock.
    #[must_use]
    pub fn holds_lock(&self, group: &str) -> bool {
        let until_ms = self.core().views.read().locks.held_until(group);
        until_ms.is_some_and(|until_ms| until_ms > self.now_ms())
    }

    /// The answer to a lock that would change nothing of use.
    fn known_locks(&self, lock: &QueueLock<'_>, lease_ms: i64) -> Option<Vec<bool>> {
        let now_ms = self.now_ms();
        let core = self.core();
        let views = core.views.read();
        if views.applied.0 < core.last_lock.load(Ordering::Acquire) {
            return None;
        }
        let known = |(topic, queue): &(&str, u32)| {
            let lease = views.locks.get(lock.group, topic, *queue)?;
            let left_ms = lease.until_ms.saturating_sub(now_ms);
            if lease.client == lock.client {
                (left_ms > lease_ms / 2).then_some(true)
            } else {
                (left_ms > 0).then_some(false)
            }
        };
        lock.queues.iter().map(known).collect()
    }
}
