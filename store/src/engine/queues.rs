//! The next offset of every queue, and which queue a message goes to.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind};
use crate::hash::NameHash;
use crate::views::{QUEUE_SKIP, Views};

/// Which queue a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueChoice {
    /// This one.
    Number(u32),
    /// The one that this hash falls on, so that equal hashes keep their order.
    Hash(u64),
    /// The next one in turn.
    Turn,
}

#[derive(Debug, Default)]
pub(super) struct TopicCursor {
    name: Box<str>,
    pub(super) queues: u32,
    pub(super) next: Vec<u64>,
    pub(super) turn: u32,
}

/// The next offset of every queue.
#[derive(Debug)]
pub(super) struct QueueCursors {
    names: HashMap<Box<str>, usize, NameHash>,
    pub(super) topics: Vec<TopicCursor>,
    pub(super) skips: u32,
    /// The topic that was looked up last: the next message is often of the same.
    last: usize,
}

impl QueueCursors {
    /// The cursors behind everything that `views` hold; `seed` keeps names from being chosen to collide.
    pub(super) fn new(views: &Views, seed: u64) -> Self {
        let names = HashMap::with_hasher(NameHash::new(seed));
        let mut cursors = Self { names, topics: Vec::new(), skips: views.queue_skips, last: 0 };
        for topic in views.topics() {
            let queues = topic.config.as_ref().map_or(0, |c| c.write_queues);
            let cursor = cursors.cursor(&topic.name);
            (cursor.queues, cursor.next) = (queues, topic.queues.iter().map(|q| q.end).collect());
        }
        cursors
    }

    pub(super) fn get(&self, topic: &str) -> Option<&TopicCursor> {
        self.topics.get(*self.names.get(topic)?)
    }

    fn find(&mut self, topic: &str) -> Option<usize> {
        if self.topics.get(self.last).is_none_or(|t| *t.name != *topic) {
            self.last = *self.names.get(topic)?;
        }
        Some(self.last)
    }

    /// A topic's cursor by its place in the list, added where it is new.
    pub(super) fn index(&mut self, topic: &str) -> usize {
        if let Some(index) = self.find(topic) {
            return index;
        }
        self.names.insert(topic.into(), self.topics.len());
        self.topics.push(TopicCursor { name: topic.into(), ..TopicCursor::default() });
        self.topics.len() - 1
    }

    pub(super) fn cursor(&mut self, topic: &str) -> &mut TopicCursor {
        let index = self.index(topic);
        &mut self.topics[index]
    }

    /// The topic's place in the list, and the queue.
    pub(super) fn choose(&mut self, topic: &str, choice: QueueChoice) -> Result<(usize, u32), Error> {
        let unknown = || Error::new(ErrorKind::NotFound, format!("topic `{topic}` does not exist"));
        let index = self.find(topic).ok_or_else(unknown)?;
        let cursor = self.topics.get_mut(index).filter(|t| t.queues > 0).ok_or_else(unknown)?;
        let queue = match choice {
            QueueChoice::Number(queue) if queue < cursor.queues => queue,
            QueueChoice::Number(queue) => {
                let text = format!("topic `{topic}` has {} queues, there is no queue {queue}", cursor.queues);
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            #[expect(clippy::cast_possible_truncation, reason = "a remainder of a u32")]
            QueueChoice::Hash(hash) => (hash % u64::from(cursor.queues)) as u32,
            QueueChoice::Turn => {
                cursor.turn = (cursor.turn + 1) % cursor.queues;
                cursor.turn
            }
        };
        Ok((index, queue))
    }

    /// The next offset of a queue, which is used up by this.
    pub(super) fn take(&mut self, topic: usize, queue: u32) -> u64 {
        let first = u64::from(self.skips) * QUEUE_SKIP;
        let (cursor, queue) = (&mut self.topics[topic], queue as usize);
        if cursor.next.len() <= queue {
            cursor.next.resize(queue + 1, first);
        }
        cursor.next[queue] += 1;
        cursor.next[queue] - 1
    }

    /// Every queue goes on so far that no offset which was lost is given again.
    pub(super) fn skip_to(&mut self, skips: u32) {
        let more = u64::from(skips.saturating_sub(self.skips)) * QUEUE_SKIP;
        self.skips = self.skips.max(skips);
        self.topics.iter_mut().flat_map(|t| &mut t.next).for_each(|next| *next += more);
    }
}
