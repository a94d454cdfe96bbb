//! Queues whose progress an administrator has just set, and whose consumer may not know it yet.
//!
//! The new progress is in the log already. Until the consumer pulls there, what it commits is its old place and counts for
//! nothing. Its next pull is sent on to the new place, unless the client was told by a request and follows that by itself:
//! Java's and Go's push consumers drop the queue, pause for ten seconds and begin anew. One that were sent on as well would
//! do all of that once more, ten seconds later, and get messages a third time. So such a client is left to itself for
//! [`PATIENCE_MS`], and gets nothing from its old place meanwhile.
//!
//! Nothing of this is stored: after a restart the new progress stands, and consumers that come back read it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

/// A consumer that has not pulled for so long reads its progress again before it does.
pub const LASTS_MS: u64 = 3_600_000;

/// A client that was told has so long to follow: it pauses for ten seconds and looks for its queues every twenty.
pub const PATIENCE_MS: u64 = 60_000;

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Where it is.
    On,
    /// It knows that it must leave, and will.
    Wait,
    /// At this offset; said once.
    To(u64),
}

#[derive(Debug)]
struct Reset {
    target: u64,
    /// Numbers of the connections whose clients follow by themselves.
    told: Arc<[u64]>,
    set_ms: u64,
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
    /// Notes that a group is to go on at `target` in a queue, where the clients of the connections `told` go by
    /// themselves.
    pub fn set(&self, group: &str, (topic, queue, target): (&str, u32, u64), told: &Arc<[u64]>, now_ms: u64) {
        let mut groups = self.groups.lock();
        let topics = groups.entry(group.to_owned()).or_default();
        let reset = Reset { target, told: Arc::clone(told), set_ms: now_ms };
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

    /// Where the client of connection `by`, which is to read a queue for the group at `from`, goes on instead.
    #[must_use]
    pub fn way(&self, group: &str, (topic, queue): (&str, u32), (from, by): (u64, u64), now_ms: u64) -> Way {
        if self.count.load(Ordering::Acquire) == 0 {
            return Way::On;
        }
        let mut groups = self.groups.lock();
        let queues = groups.get_mut(group).and_then(|topics| topics.get_mut(topic));
        let Some(reset) = queues.and_then(|queues| queues.get(&queue)) else { return Way::On };
        let target = reset.target;
        if from != target && reset.told.contains(&by) && now_ms < reset.set_ms + PATIENCE_MS {
            return Way::Wait;
        }
        self.remove(&mut groups, group, (topic, queue));
        if from == target { Way::On } else { Way::To(target) }
    }

    /// Forgets one that was not made after all.
    pub fn take_back(&self, group: &str, topic: &str, queue: u32) {
        self.remove(&mut self.groups.lock(), group, (topic, queue));
    }

    fn remove(&self, groups: &mut HashMap<String, Topics>, group: &str, (topic, queue): (&str, u32)) {
        let Some(topics) = groups.get_mut(group) else { return };
        let Some(queues) = topics.get_mut(topic) else { return };
        if queues.remove(&queue).is_some() {
            self.count.fetch_sub(1, Ordering::Release);
        }
        if queues.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            groups.remove(group);
        }
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
                queues.retain(|_, reset| reset.set_ms + LASTS_MS > now_ms);
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
        let nobody: Arc<[u64]> = Arc::default();
        let way = |queue, from| resets.way("G", ("T", queue), (from, 1), 0);
        assert_eq!(way(0, 3), Way::On);
        resets.set("G", ("T", 0, 7), &nobody, 0);
        resets.set("G", ("T", 0, 8), &nobody, 0);
        resets.set("G", ("T", 1, 9), &nobody, 5);
        assert!(resets.is_pending("G", "T", 0) && !resets.is_pending("G", "T", 2));
        assert!(!resets.is_pending("H", "T", 0) && !resets.is_pending("G", "U", 0));
        assert_eq!((way(0, 3), way(0, 3)), (Way::To(8), Way::On));
        resets.expire(LASTS_MS);
        assert!(resets.is_pending("G", "T", 1));
        resets.expire(LASTS_MS + 5);
        assert!(!resets.is_pending("G", "T", 1) && resets.groups.lock().is_empty());
        assert_eq!(resets.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_was_told_goes_by_himself_or_is_sent_in_the_end() {
        let (resets, told) = (Resets::default(), Arc::from([4, 6]));
        let way = |from, by, now_ms| resets.way("G", ("T", 0), (from, by), now_ms);
        let set = || resets.set("G", ("T", 0, 8), &told, 100);
        set();
        assert_eq!((way(20, 6, 100), way(20, 4, 100 + PATIENCE_MS - 1)), (Way::Wait, Way::Wait));
        assert!(resets.is_pending("G", "T", 0), "his old place is not heard while he pauses");
        assert_eq!(way(8, 6, 200), Way::On);
        assert!(!resets.is_pending("G", "T", 0) && way(20, 4, 300) == Way::On);
        set();
        assert_eq!(way(20, 5, 100), Way::To(8), "another connection's client");
        set();
        assert_eq!(way(20, 4, 100 + PATIENCE_MS), Way::To(8), "who does not follow");
        set();
        resets.take_back("G", "T", 0);
        assert_eq!(way(20, 5, 100), Way::On);
    }
}
