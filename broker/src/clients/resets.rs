//! Queues whose progress an administrator has just set, and whose consumer may not know it yet.
//!
//! The new progress is in the log already. Until the consumer's next pull, which is told where to go on, what it commits
//! is its old place and counts for nothing. Nothing of this is stored: after a restart the new progress stands, and
//! consumers that come back read it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

/// A consumer that has not pulled for so long reads its progress again before it does.
pub const LASTS_MS: u64 = 3_600_000;

#[derive(Debug, Clone, Copy)]
struct Reset {
    target: u64,
    until_ms: u64,
}

type Queues = HashMap<u32, Reset>;
type Topics = HashMap<String, Queues>;

/// The resets that consumers have not heard of.
#[derive(Debug, Default)]
pub struct Resets {
    /// Spares everybody the lock while there is none.
    count: AtomicUsize,
    groups: Mutex<HashMap<String, Topics>>,
}

impl Resets {
    /// Notes that a group is to go on at `target` in a queue.
    pub fn set(&self, group: &str, (topic, queue): (&str, u32), target: u64, now_ms: u64) {
        let mut groups = self.groups.lock();
        let topics = groups.entry(group.to_owned()).or_default();
        let reset = Reset { target, until_ms: now_ms + LASTS_MS };
        if topics.entry(topic.to_owned()).or_default().insert(queue, reset).is_none() {
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether what a group commits for a queue counts for nothing yet.
    #[must_use]
    pub fn is_pending(&self, group: &str, topic: &str, queue: u32) -> bool {
        self.count.load(Ordering::Acquire) != 0
            && (self.groups.lock().get(group))
                .and_then(|topics| topics.get(topic))
                .is_some_and(|queues| queues.contains_key(&queue))
    }

    /// Where a group's next pull of a queue is to be sent, once.
    #[must_use]
    pub fn take(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut groups = self.groups.lock();
        let topics = groups.get_mut(group)?;
        let queues = topics.get_mut(topic)?;
        let found = queues.remove(&queue)?;
        if queues.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            groups.remove(group);
        }
        self.count.fetch_sub(1, Ordering::Release);
        Some(found.target)
    }

    /// Forgets those older than [`LASTS_MS`].
    pub fn expire(&self, now_ms: u64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut left = 0;
        let mut groups = self.groups.lock();
        groups.retain(|_, topics| {
            topics.retain(|_, queues| {
                queues.retain(|_, reset| reset.until_ms > now_ms);
                left += queues.len();
                !queues.is_empty()
            });
            !topics.is_empty()
        });
        self.count.store(left, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_once_and_not_for_ever() {
        let resets = Resets::default();
        assert_eq!(resets.take("G", "T", 0), None);
        resets.set("G", ("T", 0), 7, 0);
        resets.set("G", ("T", 0), 8, 0);
        resets.set("G", ("T", 1), 9, 5);
        assert!(resets.is_pending("G", "T", 0) && !resets.is_pending("G", "T", 2));
        assert!(!resets.is_pending("H", "T", 0) && !resets.is_pending("G", "U", 0));
        assert_eq!((resets.take("G", "T", 0), resets.take("G", "T", 0)), (Some(8), None));
        resets.expire(LASTS_MS);
        assert!(resets.is_pending("G", "T", 1));
        resets.expire(LASTS_MS + 5);
        assert!(!resets.is_pending("G", "T", 1) && resets.groups.lock().is_empty());
    }
}
