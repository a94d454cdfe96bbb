//! The state that a log prefix folds into, and its views. See [`Views::apply`].

mod apply;
mod locks;
mod once;
mod queue;
mod replay;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::index::IndexFile;
use crate::offset::Offset;
use crate::settings::{Attributes, GroupConfig, TopicConfig};

pub use apply::{Answer, BadApply, Context, Effects};
pub use locks::{LOCKS_MAX, Lease, LockKey, Locks};
pub use once::{First, OnceKeys};
pub use queue::{Located, Queue};
pub use timers::{Pending, Place, Timers};

/// How far a queue skip goes: more than the records that the unflushed part of a log can hold.
pub const QUEUE_SKIP: u64 = 1 << 22;

/// The queue offsets of records lie below this, so that no skip brings a queue's end to overflow.
pub const QUEUE_OFFSET_MAX: u64 = 1 << 62;

/// A topic: its settings, and its queues, which outlive them.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its settings, `None` once it was deleted.
    pub config: Option<Arc<TopicConfig>>,
    /// Its queues, by number.
    pub queues: Vec<Queue>,
}

/// Everything that is known from the log up to `applied`.
#[derive(Debug)]
pub struct Views {
    /// Where the log starts.
    pub start: Offset,
    /// First position not folded in.
    pub applied: Offset,
    /// The last owner time that was folded in, milliseconds; `None` for an empty log.
    pub owner_ms: Option<i64>,
    /// How many times queues went on by [`QUEUE_SKIP`].
    pub queue_skips: u32,
    /// The segment size of the present epoch.
    pub segment_bytes: u64,
    /// Pending timers.
    pub timers: Timers,
    pub(crate) topics: Vec<Topic>,
    names: BTreeMap<Arc<str>, usize>,
    /// The topic that was looked up last: the next message is often of the same.
    last_topic: usize,
    pub(crate) groups: BTreeMap<String, Arc<GroupConfig>>,
    /// Progress: (group, topic, queue) to the first offset not consumed.
    pub(crate) offsets: BTreeMap<(String, String, u32), u64>,
    /// Order locks.
    pub(crate) locks: Locks,
    /// Keys of messages that are stored once.
    pub(crate) once: OnceKeys,
    /// Positions of records at or above `start` that were refused.
    pub(crate) voids: BTreeSet<Offset>,
    /// The digest at the end of the last segment that was folded in whole.
    pub(crate) segment_digest: Option<(Offset, u64)>,
}

impl Views {
    /// The state of an empty log; `now_ms` only positions the wheel.
    #[must_use]
    pub fn empty(now_ms: i64) -> Self {
        Self {
            start: Offset(0),
            applied: Offset(0),
            owner_ms: None,
            queue_skips: 0,
            segment_bytes: 0,
            timers: Timers::new(now_ms),
            topics: Vec::new(),
            names: BTreeMap::new(),
            last_topic: 0,
            groups: BTreeMap::new(),
            offsets: BTreeMap::new(),
            locks: Locks::default(),
            once: OnceKeys::default(),
            voids: BTreeSet::new(),
            segment_digest: None,
        }
    }

    /// A topic that has settings.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(*self.names.get(name)?).filter(|t| t.config.is_some())
    }

    /// How many topics there are, deleted ones included.
    #[must_use]
    pub fn topics_known(&self) -> usize {
        self.names.len()
    }

    /// All topics in order of their names, deleted ones included.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.names.values().filter_map(|i| self.topics.get(*i))
    }

    /// The oldest offset and the end of a queue; `None` if there is no such topic or queue.
    #[must_use]
    pub fn queue_range(&self, topic: &str, queue: u32) -> Option<Range<u64>> {
        let topic = self.topic(topic)?;
        if let Some(queue) = topic.queues.get(queue as usize) {
            return Some(queue.start()..queue.end);
        }
        let unused = u64::from(self.queue_skips) * QUEUE_SKIP;
        let config = topic.config.as_ref()?;
        (queue < config.read_queues.max(config.write_queues)).then_some(unused..unused)
    }

    /// A queue.
    #[must_use]
    pub fn queue(&self, topic: &str, queue: u32) -> Option<&Queue> {
        self.topic(topic)?.queues.get(queue as usize)
    }

    /// The segments with messages of a topic, in order, and the index file of each that has one.
    pub(crate) fn parts(&self, topic: &str) -> Vec<(Offset, Option<Arc<IndexFile>>)> {
        let mut parts = BTreeMap::new();
        for queue in self.topic(topic).into_iter().flat_map(|topic| &topic.queues) {
            for (segment, index) in queue.parts() {
                parts.entry(segment).or_insert_with(|| index.cloned());
            }
        }
        parts.into_iter().collect()
    }

    /// A group's settings.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Arc<GroupConfig>> {
        self.groups.get(name)
    }

    /// All groups, in order.
    pub fn groups(&self) -> impl Iterator<Item = &GroupConfig> {
        self.groups.values().map(|group| &**group)
    }

    /// A group's progress in a queue.
    #[must_use]
    pub fn offset(&self, group: &str, topic: &str, queue: u32) -> Option<u64> {
        // A look-up by borrowed texts would need an owned key type of our own; commits are rare.
        self.offsets.get(&(group.to_owned(), topic.to_owned(), queue)).copied()
    }

    /// A group's progress, in order of topic and queue: (topic, queue, offset).
    pub fn progress(&self, group: &str) -> impl Iterator<Item = (&str, u32, u64)> {
        let from = (group.to_owned(), String::new(), 0);
        let own = self.offsets.range(from..).take_while(move |((of, _, _), _)| *of == group);
        own.map(|((_, topic, queue), offset)| (topic.as_str(), *queue, *offset))
    }

    /// The groups that have progress on a topic, in order. Looks at each group once, not at each queue.
    #[must_use]
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut next = String::new();
        while let Some(((group, _, _), _)) = self.offsets.range((next, String::new(), 0)..).next() {
            let key = (group.clone(), topic.to_owned(), 0);
            let first = self.offsets.range(key..).next();
            if first.is_some_and(|((of, on, _), _)| of == group && on == topic) {
                found.push(group.clone());
            }
            next = format!("{group}\0");
        }
        found
    }

    /// Replaces the attributes of a topic or group that has settings.
    pub(crate) fn set_attributes(&mut self, of_group: bool, name: &str, attributes: Attributes) {
        if of_group {
            if let Some(config) = self.groups.get_mut(name) {
                Arc::make_mut(config).attributes = attributes;
            }
            return;
        }
        let topic = self.topic_index(name);
        if let Some(config) = &mut self.topics[topic].config {
            Arc::make_mut(config).attributes = attributes;
        }
    }

    /// The attributes that there are: whether of a group, its or the topic's name, and they.
    pub(crate) fn attributes(&self) -> Vec<(bool, &str, &Attributes)> {
        let topics = self.topics().filter_map(|t| Some((false, &*t.name, &t.config.as_ref()?.attributes)));
        let groups = self.groups().map(|group| (true, group.name.as_str(), &group.attributes));
        topics.chain(groups).filter(|(_, _, attributes)| !attributes.is_empty()).collect()
    }

    /// Positions of refused records within a segment.
    pub(crate) fn voids_in(&self, from: Offset, to: Offset) -> BTreeSet<Offset> {
        self.voids.range(from..to).copied().collect()
    }

    pub(crate) fn topic_index(&mut self, name: &str) -> usize {
        if self.topics.get(self.last_topic).is_some_and(|topic| *topic.name == *name) {
            return self.last_topic;
        }
        self.last_topic = self.names.get(name).copied().unwrap_or_else(|| {
            let name: Arc<str> = name.into();
            self.topics.push(Topic { name: Arc::clone(&name), config: None, queues: Vec::new() });
            self.names.insert(name, self.topics.len() - 1);
            self.topics.len() - 1
        });
        self.last_topic
    }

    /// The queue with this number, created where it is new.
    pub(crate) fn queue_mut(&mut self, topic: usize, queue: usize) -> &mut Queue {
        let first = u64::from(self.queue_skips) * QUEUE_SKIP;
        let queues = &mut self.topics[topic].queues;
        if queues.len() <= queue {
            queues.resize_with(queue + 1, || Queue::new(first));
        }
        &mut queues[queue]
    }

    /// Serves a segment's units from its index file.
    pub(crate) fn install_index(&mut self, segment: Offset, index: &Arc<IndexFile>) {
        for (topic, queue, runs) in index.queues() {
            let topic = self.topic_index(topic);
            self.queue_mut(topic, queue as usize).serve_from(segment, index, runs);
        }
    }
}
