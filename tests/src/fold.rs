//! What a prefix of the raw log means, worked out from the frames alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::Verdict;
use crate::invariants::{order, timers};
use crate::raw::{RawFrame, RawOp, RawRecord};
use crate::requests::{Place, Requests};

/// The property that holds the key of a message that is stored once.
pub const ONCE: &str = "ONCE";

/// How far a queue skip goes.
pub const QUEUE_SKIP: u64 = 1 << 22;

/// A message that can be read.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its offset in the queue.
    pub queue_offset: u64,
    /// Its log position.
    pub at: u64,
    /// Its segment's first offset.
    pub segment: u64,
    /// The frame that holds it.
    pub frame: Rc<RawFrame>,
}

impl Item {
    /// Its record.
    ///
    /// # Panics
    /// Never: an item is made from a record of its frame.
    #[must_use]
    pub fn record(&self) -> &RawRecord {
        self.frame.records().find(|record| record.at == self.at).expect("the record of an item")
    }
}

/// A queue.
#[derive(Debug, Clone, Default)]
pub struct QueueFold {
    /// The next offset.
    pub end: u64,
    /// Everything that was ever visible, in order.
    pub items: Vec<Item>,
}

/// How a timer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By a fire.
    Fired,
    /// By a cancel.
    Cancelled,
}

/// A timer.
#[derive(Debug, Clone)]
pub struct Timer {
    /// When it is due.
    pub due_ms: i64,
    /// The frame that scheduled it.
    pub frame: Rc<RawFrame>,
    /// The position of the frame that ended it, and how.
    pub ended: Option<(u64, Ended)>,
}

/// The meaning of a prefix of the log.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// The position behind the prefix.
    pub end: u64,
    /// Frames in it.
    pub frames: usize,
    /// Where the log starts.
    pub start: u64,
    /// The owner's last time.
    pub owner_ms: i64,
    /// Queue skips so far.
    pub skips: u32,
    /// Queues by topic and number.
    pub queues: BTreeMap<(String, u32), QueueFold>,
    /// Timers by the position of their record.
    pub timers: HashMap<u64, Timer>,
    /// How many of them pend.
    pub pending: usize,
    /// Progress by group, topic and queue.
    pub offsets: BTreeMap<(String, String, u32), u64>,
    /// Settings of topics, `None` for deleted ones.
    pub topics: BTreeMap<String, Option<Vec<u8>>>,
    /// Settings of groups.
    pub groups: BTreeMap<String, Option<Vec<u8>>>,
    /// Positions of records that were refused.
    pub voids: BTreeSet<u64>,
    /// Timers that fired: the position of their schedule, in order.
    pub fired: Vec<u64>,
    /// Locks, and messages that are stored once.
    pub requests: Requests,
    /// Attributes of groups (true) and topics, by name.
    pub attributes: BTreeMap<(bool, String), Vec<(String, String)>>,
}

impl Fold {
    /// Folds in the next frame, and checks what must hold of it after those before it.
    ///
    /// # Errors
    /// The property that it breaks.
    pub fn advance(&mut self, frame: &Rc<RawFrame>) -> Verdict {
        order::frame(self, frame)?;
        self.requests.pass(frame.owner_ms);
        let mut once = None;
        for op in frame.ops() {
            match (op, once.take()) {
                (RawOp::Once { window_ms }, _) => once = Some(*window_ms),
                (_, Some(window_ms)) if !self.is_first(op, frame, window_ms) => self.refused(op, frame)?,
                _ => self.op(op, frame)?,
            }
        }
        self.owner_ms = self.owner_ms.max(frame.owner_ms);
        self.end = frame.end;
        self.frames += 1;
        Ok(())
    }

    /// Whether a message that asks to be stored once is the first of its key.
    fn is_first(&mut self, op: &RawOp, frame: &RawFrame, window_ms: i64) -> bool {
        let (record, due_ms) = match op {
            RawOp::Append(record) => (record, None),
            RawOp::Schedule { due_ms, record } => (record, Some(*due_ms)),
            _ => return true,
        };
        let queue_offset = due_ms.is_none().then_some(record.queue_offset);
        let place = Place { at: record.at, queue: record.queue, queue_offset, due_ms };
        let key = (record.topic.clone(), record.property(ONCE).unwrap_or_default().to_owned());
        self.requests.once(key, place, frame.owner_ms + window_ms, frame.end)
    }

    /// A repeat is in the log and nowhere else.
    fn refused(&mut self, op: &RawOp, frame: &Rc<RawFrame>) -> Verdict {
        match op {
            RawOp::Append(record) => {
                self.voids.insert(record.at);
                self.arrive(record, frame, false)
            }
            RawOp::Schedule { record, .. } => {
                self.voids.insert(record.at);
                order::record(record, frame)
            }
            _ => Ok(()),
        }
    }

    fn op(&mut self, op: &RawOp, frame: &Rc<RawFrame>) -> Verdict {
        match op {
            RawOp::Append(record) => self.arrive(record, frame, true)?,
            RawOp::Schedule { due_ms, record } => {
                order::record(record, frame)?;
                let timer = Timer { due_ms: *due_ms, frame: Rc::clone(frame), ended: None };
                timers::scheduled(*due_ms, record)?;
                self.timers.insert(record.at, timer);
                self.pending += 1;
            }
            RawOp::Fire { due_ms, schedule, record } => {
                let timer = self.timers.get_mut(schedule);
                let timer = timers::fires(timer, (*schedule, *due_ms), frame, record)?;
                let visible = timer.ended.is_none();
                if visible {
                    timer.ended = Some((frame.at, Ended::Fired));
                    self.pending -= 1;
                    self.fired.push(*schedule);
                } else {
                    self.voids.insert(record.at);
                }
                self.arrive(record, frame, visible)?;
            }
            RawOp::Cancel { due_ms, schedule } => {
                let timer = self.timers.get_mut(schedule);
                if let Some(timer) = timer.filter(|t| t.ended.is_none() && t.due_ms == *due_ms) {
                    timer.ended = Some((frame.at, Ended::Cancelled));
                    self.pending -= 1;
                }
            }
            RawOp::Offset { group, topic, queue, offset } => {
                self.offsets.insert((group.clone(), topic.clone(), *queue), *offset);
            }
            RawOp::Topic { name, config } => {
                self.topics.insert(name.clone(), config.clone());
                self.attributes.remove(&(false, name.clone()));
                if config.is_none() {
                    self.requests.firsts.retain(|(topic, _), _| topic != name);
                }
            }
            RawOp::Group { name, config } => {
                self.groups.insert(name.clone(), config.clone());
                self.attributes.remove(&(true, name.clone()));
            }
            RawOp::Attributes { of_group, name, attributes } => {
                self.attributes.insert((*of_group, name.clone()), attributes.clone());
            }
            RawOp::Clear { group, topic } => {
                let other = |wanted: &String, found: &String| !wanted.is_empty() && wanted != found;
                self.offsets.retain(|(of, on, _), _| other(group, of) || other(topic, on));
            }
            RawOp::Lock { group, client, lease_ms, queues } => {
                self.requests.lock((group, client), queues, frame.owner_ms + lease_ms, frame.end);
            }
            RawOp::Unlock { group, client, queues } => self.requests.unlock((group, client), queues),
            RawOp::Trim { start } => self.start = self.start.max(*start),
            RawOp::Open { skips, .. } => {
                let more = u64::from(skips.saturating_sub(self.skips)) * QUEUE_SKIP;
                self.skips = self.skips.max(*skips);
                self.queues.values_mut().for_each(|queue| queue.end += more);
                if self.start == 0 {
                    self.start = frame.at;
                }
            }
            RawOp::Segment { .. } | RawOp::ClockStep { .. } | RawOp::Digest { .. } | RawOp::Once { .. } => {}
        }
        Ok(())
    }

    fn arrive(&mut self, record: &RawRecord, frame: &Rc<RawFrame>, visible: bool) -> Verdict {
        order::record(record, frame)?;
        let first = u64::from(self.skips) * QUEUE_SKIP;
        let key = (record.topic.clone(), record.queue);
        if !self.queues.contains_key(&key) {
            // A queue begins with every queue below it.
            for below in 0..record.queue {
                let key = (record.topic.clone(), below);
                self.queues.entry(key).or_insert_with(|| QueueFold { end: first, items: Vec::new() });
            }
        }
        let queue = self.queues.entry(key).or_insert_with(|| QueueFold { end: first, items: Vec::new() });
        order::arrival(queue.end, record)?;
        queue.end = record.queue_offset + 1;
        if visible {
            let (queue_offset, at, segment) = (record.queue_offset, record.at, frame.segment);
            queue.items.push(Item { queue_offset, at, segment, frame: Rc::clone(frame) });
        }
        Ok(())
    }

    /// The messages of a queue that are above the log's start.
    #[must_use]
    pub fn readable(&self, queue: &QueueFold) -> usize {
        queue.items.partition_point(|item| item.segment < self.start)
    }

    /// Whether a timer pended just before the frame at `position`.
    #[must_use]
    pub fn pended(&self, schedule: u64, position: u64) -> Option<&Timer> {
        let timer = self.timers.get(&schedule)?;
        let ended_later = timer.ended.is_none_or(|(at, _)| at >= position);
        (timer.frame.at < position && ended_later).then_some(timer)
    }
}
