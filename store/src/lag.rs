//! How far consumer groups are behind.

use std::ops::Bound::{Excluded, Unbounded};

use crate::error::Result;
use crate::store::Store;

/// How many queues are looked at before others get the views' lock.
const AT_ONCE: usize = 1024;

/// How far a group is behind in a topic, of all queues that it committed an offset in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Messages from its progress to the ends of the queues; voids count, and so does what its filter leaves out.
    pub messages: u64,
    /// The queues where it is behind, and the first offset there that it has not consumed.
    pub behind: Vec<(u32, u64)>,
}

impl Store {
    /// How far every group is behind in every topic that is there, by group and topic. Reads no message.
    #[must_use]
    pub fn lags(&self) -> Vec<Lag> {
        let mut lags: Vec<Lag> = Vec::new();
        let mut from = Unbounded;
        loop {
            let views = self.core().views.read();
            let mut looked = views.offsets.range((from, Unbounded)).take(AT_ONCE).peekable();
            if looked.peek().is_none() {
                return lags;
            }
            let mut last = None;
            for (key @ (group, topic, queue), offset) in looked {
                last = Some(key);
                let Some(range) = views.queue_range(topic, *queue) else { continue };
                if lags.last().is_none_or(|lag| lag.group != *group || lag.topic != *topic) {
                    let (group, topic) = (group.clone(), topic.clone());
                    lags.push(Lag { group, topic, messages: 0, behind: Vec::new() });
                }
                let next = (*offset).max(range.start);
                if let Some(lag) = lags.last_mut()
                    && next < range.end
                {
                    lag.messages += range.end - next;
                    lag.behind.push((*queue, next));
                }
            }
            from = last.cloned().map_or(Unbounded, Excluded);
        }
    }

    /// When the oldest message was stored that a group has not consumed, owner milliseconds; reads one message of each
    /// queue.
    ///
    /// # Errors
    /// The log's.
    pub fn oldest_unconsumed_ms(&self, lag: &Lag) -> Result<Option<i64>> {
        let mut oldest = None;
        for (queue, offset) in &lag.behind {
            let stored = self.time_from(&lag.topic, *queue, *offset)?.map(|(_, ms)| ms);
            oldest = [oldest, stored].into_iter().flatten().min();
        }
        Ok(oldest)
    }
}
