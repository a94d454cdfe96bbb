//! Queue locks of orderly consumers.
//!
//! A lock is a lease of a minute that its client renews; nothing of it is stored, as after a restart all clients ask
//! again. While a group holds a lock here, what it sends to its retry topic has been given up on, and is a dead letter.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::loose;

/// How long a lock holds without being asked for again.
pub const LEASE_MS: u64 = 60_000;

/// A queue as clients name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    #[serde(deserialize_with = "loose::text")]
    broker_name: String,
    #[serde(deserialize_with = "loose::number")]
    queue_id: i64,
    #[serde(deserialize_with = "loose::text")]
    topic: String,
}

#[derive(Debug)]
struct Lease {
    client: String,
    until_ms: u64,
}

/// All locks, by group and queue.
#[derive(Debug, Default)]
pub struct Locks(Mutex<HashMap<String, HashMap<MessageQueue, Lease>>>);

impl Locks {
    /// Locks or renews what is free or the client's own; gives what it holds now.
    #[must_use]
    pub fn lock(
        &self,
        group: &str,
        client: &str,
        wanted: Vec<MessageQueue>,
        now_ms: u64,
    ) -> Vec<MessageQueue> {
        let mut groups = self.0.lock();
        let leases = groups.entry(group.to_owned()).or_default();
        let held = wanted.into_iter().filter(|queue| {
            let taken =
                leases.get(queue).is_some_and(|lease| lease.client != client && lease.until_ms > now_ms);
            if !taken {
                let lease = Lease { client: client.to_owned(), until_ms: now_ms + LEASE_MS };
                leases.insert(queue.clone(), lease);
            }
            !taken
        });
        held.collect()
    }

    /// Gives up what the client holds of these.
    pub fn unlock(&self, group: &str, client: &str, queues: &[MessageQueue]) {
        let mut groups = self.0.lock();
        if let Some(leases) = groups.get_mut(group) {
            leases.retain(|queue, lease| lease.client != client || !queues.contains(queue));
            groups.retain(|_, leases| !leases.is_empty());
        }
    }

    /// Whether a group holds any lock.
    #[must_use]
    pub fn holds_any(&self, group: &str, now_ms: u64) -> bool {
        self.0.lock().get(group).is_some_and(|leases| leases.values().any(|lease| lease.until_ms > now_ms))
    }

    /// Forgets locks that have run out.
    pub fn expire(&self, now_ms: u64) {
        self.0.lock().retain(|_, leases| {
            leases.retain(|_, lease| lease.until_ms > now_ms);
            !leases.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(ids: &[i64]) -> Vec<MessageQueue> {
        let queue = |id: &i64| MessageQueue { broker_name: "b".into(), queue_id: *id, topic: "T".into() };
        ids.iter().map(queue).collect()
    }

    #[test]
    fn a_queue_is_one_clients_until_it_lets_go_or_falls_silent() {
        let locks = Locks::default();
        assert_eq!(locks.lock("G", "a", queues(&[0, 1]), 0).len(), 2);
        assert_eq!(locks.lock("G", "b", queues(&[1, 2]), 10), queues(&[2]));
        assert_eq!(locks.lock("H", "b", queues(&[1]), 10).len(), 1);
        locks.unlock("G", "b", &queues(&[1]));
        assert!(locks.lock("G", "b", queues(&[1]), 20).is_empty());
        locks.unlock("G", "a", &queues(&[1]));
        assert_eq!(locks.lock("G", "b", queues(&[0, 1]), 30), queues(&[1]));
        assert_eq!(locks.lock("G", "b", queues(&[0]), LEASE_MS), queues(&[0]));
        assert!(locks.holds_any("G", LEASE_MS) && !locks.holds_any("None", 0));
        locks.expire(2 * LEASE_MS);
        assert!(!locks.holds_any("G", 2 * LEASE_MS) && locks.0.lock().is_empty());
    }
}
