//! Order locks: which client of a group may consume a queue in order, and until when.
//!
//! Invariants:
//!
//! - a queue is held by one client of a group at a time, by the owner times of the log's frames;
//! - a lock ends with the first frame whose owner time reaches its end, whatever is in that frame;
//! - at most [`LOCKS_MAX`] are held; what would be more is not granted.

use std::collections::{BTreeMap, BTreeSet};

use crate::planted::{self, Bug};

/// Locks that are held at a time, at most: some 40 MiB of memory.
pub const LOCKS_MAX: usize = 1 << 17;

/// What is locked: group, topic, queue.
pub type LockKey = (String, String, u32);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client.
    pub client: String,
    /// The first owner time at which it is over, milliseconds.
    pub until_ms: i64,
}

/// All locks that are held.
#[derive(Debug, Default)]
pub struct Locks {
    held: BTreeMap<LockKey, Lease>,
    /// The same, by their end.
    ends: BTreeSet<(i64, LockKey)>,
}

impl Locks {
    /// All of them, in order of group, topic and queue.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&LockKey, &Lease)> {
        self.held.iter()
    }

    /// Who holds a queue.
    #[must_use]
    pub fn get(&self, group: &str, topic: &str, queue: u32) -> Option<&Lease> {
        self.held.get(&(group.to_owned(), topic.to_owned(), queue))
    }

    /// When the last of a group's locks ends, owner milliseconds.
    #[must_use]
    pub fn held_until(&self, group: &str) -> Option<i64> {
        let from = (group.to_owned(), String::new(), 0);
        let own = self.held.range(from..).take_while(|((of, _, _), _)| of == group);
        own.map(|(_, lease)| lease.until_ms).max()
    }

    /// Ends what is over at `now_ms`.
    pub(super) fn expire(&mut self, now_ms: i64) {
        while self.ends.first().is_some_and(|(until_ms, _)| *until_ms <= now_ms) {
            if let Some((_, key)) = self.ends.pop_first() {
                self.held.remove(&key);
            }
        }
    }

    /// Grants or renews a lock unless another client holds it; whether this one does now.
    pub(super) fn lock(&mut self, key: LockKey, lease: Lease) -> bool {
        match self.held.get(&key) {
            Some(found) if found.client != lease.client && !planted::is(Bug::LockTaken) => return false,
            None if self.held.len() >= LOCKS_MAX => return false,
            _ => {}
        }
        self.insert(key, lease);
        true
    }

    /// Puts a lock in, over the one that is there.
    pub(crate) fn insert(&mut self, key: LockKey, lease: Lease) {
        self.ends.insert((lease.until_ms, key.clone()));
        let until_ms = lease.until_ms;
        if let Some(before) = self.held.insert(key.clone(), lease).filter(|b| b.until_ms != until_ms) {
            self.ends.remove(&(before.until_ms, key));
        }
    }

    /// Ends a lock if this client holds it.
    pub(super) fn unlock(&mut self, key: &LockKey, client: &str) {
        if self.held.get(key).is_some_and(|lease| lease.client == client)
            && let Some(lease) = self.held.remove(key)
        {
            self.ends.remove(&(lease.until_ms, key.clone()));
        }
    }
}
