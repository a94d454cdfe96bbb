//! Pulls that wait for a message: the store's observer on one side, held requests on the other.
//!
//! A hold is registered first and the queue is read again after, so that no message slips between the two. The observer
//! pays one atomic load while nobody waits.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use mainspring::Observer;

use crate::filter::Filter;

#[derive(Debug)]
struct Entry {
    id: u64,
    from: u64,
    filter: Arc<Filter>,
    wake: oneshot::Sender<()>,
}

type Queues = HashMap<u32, Vec<Entry>>;

/// Who waits for which queue.
#[derive(Debug, Default)]
pub struct Holds {
    waiting: AtomicUsize,
    stopped: AtomicBool,
    next_id: AtomicU64,
    topics: Mutex<HashMap<String, Queues>>,
}

/// What is waited for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue: u32,
    /// Anything at this offset or behind.
    pub from: u64,
    /// Messages that count; one that its tag does not rule out ends the wait.
    pub filter: Arc<Filter>,
}

impl Holds {
    /// A registry to give to the store as its observer and to the broker.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Starts to wait. Read the queue again after this, and wait only if there is still nothing.
    #[must_use]
    pub fn hold(self: &Arc<Self>, wanted: &Wanted) -> Hold {
        let (wake, woken) = oneshot::channel();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { id, from: wanted.from, filter: Arc::clone(&wanted.filter), wake };
        {
            let mut topics = self.topics.lock();
            // Once stopped, dropping the entry wakes its hold at once.
            if !self.is_stopped() {
                let queues = topics.entry(wanted.topic.clone()).or_default();
                queues.entry(wanted.queue).or_default().push(entry);
                self.waiting.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Pairs with the fence in `arrived`: either that sees this hold, or the caller's next read sees the message.
        fence(Ordering::SeqCst);
        Hold { holds: Arc::clone(self), topic: wanted.topic.clone(), queue: wanted.queue, id, woken }
    }

    /// Wakes all and holds nobody any more.
    pub fn stop(&self) {
        let mut topics = self.topics.lock();
        self.stopped.store(true, Ordering::Release);
        self.waiting.store(0, Ordering::Relaxed);
        topics.clear();
    }

    /// Wakes all who wait for a queue: what is to be said to them has changed.
    pub fn wake(&self, topic: &str, queue: u32) {
        for entry in self.remove(topic, queue, |_| true) {
            // Nobody there any more is no failure.
            let _ = entry.wake.send(());
        }
    }

    /// Whether the broker stops.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn remove(&self, topic: &str, queue: u32, mut gone: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
        let mut topics = self.topics.lock();
        let Some(queues) = topics.get_mut(topic) else { return Vec::new() };
        let Some(entries) = queues.get_mut(&queue) else { return Vec::new() };
        let removed: Vec<Entry> = entries.extract_if(.., |entry| gone(entry)).collect();
        if entries.is_empty() {
            queues.remove(&queue);
            if queues.is_empty() {
                topics.remove(topic);
            }
        }
        self.waiting.fetch_sub(removed.len(), Ordering::Relaxed);
        removed
    }
}

impl Observer for Holds {
    fn arrived(&self, topic: &str, queue: u32, next_offset: u64, tags: i64) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let concerned = |entry: &Entry| next_offset > entry.from && entry.filter.by_tag().matches(tags);
        for entry in self.remove(topic, queue, concerned) {
            // Nobody there any more is no failure.
            let _ = entry.wake.send(());
        }
    }
}

/// One wait; dropping it ends the wait.
#[derive(Debug)]
pub struct Hold {
    holds: Arc<Holds>,
    topic: String,
    queue: u32,
    id: u64,
    woken: oneshot::Receiver<()>,
}

impl Hold {
    /// Ends when a message arrived that is wanted, or when the broker stops.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost if this is dropped and called again.
    pub async fn woken(&mut self) {
        // An error means that the registry let go: the broker stops.
        let _ = (&mut self.woken).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.remove(&self.topic, self.queue, |entry| entry.id == self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainspring::record::tags::code as tag_code;

    fn wanted(from: u64, expression: &str) -> Wanted {
        Wanted { topic: "T".into(), queue: 1, from, filter: Arc::new(Filter::tags(expression)) }
    }

    #[tokio::test]
    async fn wakes_whom_a_message_concerns() {
        let holds = Holds::new();
        let mut any = holds.hold(&wanted(5, "*"));
        let tagged = holds.hold(&wanted(5, "A"));
        let later = holds.hold(&wanted(9, "*"));
        holds.arrived("T", 0, 6, 0);
        holds.arrived("U", 1, 6, 0);
        assert_eq!(holds.waiting(), 3);
        holds.arrived("T", 1, 6, tag_code("B"));
        any.woken().await;
        assert_eq!(holds.waiting(), 2);
        drop(later);
        assert_eq!(holds.waiting(), 1);
        drop(tagged);
        assert_eq!((holds.waiting(), holds.topics.lock().len()), (0, 0));
    }

    #[tokio::test]
    async fn stopping_wakes_all_present_and_future() {
        let holds = Holds::new();
        let mut before = holds.hold(&wanted(0, "*"));
        holds.stop();
        before.woken().await;
        let mut after = holds.hold(&wanted(0, "*"));
        after.woken().await;
        assert_eq!(holds.waiting(), 0);
    }
}
