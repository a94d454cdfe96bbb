//! `apply`: the one place where a frame's effect is decided.
//!
//! It reads the state and the frame, nothing else: no clock, no configuration, no chance. Frames are applied
//! once, in log order, committed ones only; the same prefix gives the same state on every node.

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{First, Lease, Place, QUEUE_OFFSET_MAX, QUEUE_SKIP, Views};
use crate::error::{Error, ErrorKind};
use crate::frame::{BadOp, FEATURE_LEVEL, Frame, Once, Op};
use crate::index::Unit;
use crate::message::Handle;
use crate::offset::Offset;
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::settings::{self, QUEUES_MAX};

/// What applying frames brought about, for those who wait.
#[derive(Debug, Default)]
pub struct Effects {
    /// Whether somebody wants to know of new messages.
    pub observed: bool,
    /// New messages, if so: topic (by its index in the views), queue, the queue's end, tags code.
    pub arrived: Vec<(usize, u32, u64, i64)>,
    /// Requests that were decided: the frame's offset, and the answer.
    pub answers: Vec<(Offset, Answer)>,
    /// Timers that fired, and fires that were void.
    pub fired: u64,
    /// Fires that came too late.
    pub voids: u64,
    /// By how much each timer fired after it was due, milliseconds of the owner's time.
    pub late_ms: Vec<u64>,
    /// Topics whose settings changed, by their index in the views.
    pub topics: Vec<usize>,
    /// The log's start moved.
    pub trimmed: bool,
    /// A digest that differs from this state's: at a segment's end, stored and own.
    pub diverged: Option<(Offset, u64, u64)>,
}

/// What a frame that is a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A cancel: whether the timer does not fire for it, or an earlier cancel.
    Cancelled(bool),
    /// A lock: whether the client holds each queue.
    Locked(Vec<bool>),
    /// Messages that ask to be stored once: where the first of the key stands, if that is an earlier one.
    Stored(Vec<Option<First>>),
}

/// A frame that passed its checksum and cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadApply {
    /// It needs rules that this version does not know.
    Feature(u16),
    /// An operation cannot be read, this many bytes into the frame.
    Op(usize),
    /// A record cannot be read, this many bytes into the frame.
    Record(u32, String),
}

impl fmt::Display for BadApply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(level) => {
                write!(f, "the frame needs feature level {level}, this build knows {FEATURE_LEVEL}")
            }
            Self::Op(at) => write!(f, "the operation at byte {at} of the frame cannot be read"),
            Self::Record(at, why) => write!(f, "the record at byte {at} of the frame cannot be read: {why}"),
        }
    }
}

impl BadApply {
    /// The error for the frame at `at`.
    pub(crate) fn error(&self, at: Offset) -> Error {
        match self {
            Self::Feature(_) => Error::new(ErrorKind::Version, self.to_string()),
            _ => Error::new(ErrorKind::Corrupt, format!("damaged log: {self}")),
        }
        .at(at)
    }
}

/// Where the frame that is applied stands, and how.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The first offset of its segment.
    pub segment: Offset,
    /// Whether units go to memory: not where the segment has an index file.
    pub units: bool,
    /// Whether the store is being opened.
    pub replay: bool,
}

/// The record `at` bytes into its frame, whose place in a queue is one that an appender gives.
fn arriving(at: u32, record: &[u8]) -> Result<Record<'_>, BadApply> {
    let bad = |why: String| BadApply::Record(at, why);
    let record = Record::parse(record).map_err(|e| bad(e.to_string()))?;
    if record.queue() >= QUEUES_MAX || record.queue_offset() >= QUEUE_OFFSET_MAX {
        return Err(bad(format!("offset {} of queue {}", record.queue_offset(), record.queue())));
    }
    Ok(record)
}

/// A message that becomes visible.
struct Arrival<'a> {
    at: Offset,
    record: Record<'a>,
    tags: i64,
}

impl Views {
    /// Folds one frame into the state.
    ///
    /// # Errors
    /// [`BadApply`]; the state must then not be used any further.
    pub fn apply(
        &mut self,
        frame: &Frame<'_>,
        context: Context,
        effects: &mut Effects,
    ) -> Result<(), BadApply> {
        if frame.header.feature_level > FEATURE_LEVEL {
            return Err(BadApply::Feature(frame.header.feature_level));
        }
        self.locks.expire(frame.header.owner_ms);
        self.once.expire(frame.header.owner_ms);
        let (mut once, mut stored) = (None, Vec::new());
        for op in frame.ops() {
            let op = op.map_err(|BadOp { at }| BadApply::Op(at))?;
            if let Op::Once(asked) = op {
                once = Some(asked);
                continue;
            }
            if let Some(asked) = once.take()
                && !(context.replay && planted::is(Bug::KeysForgotten))
            {
                let first = self.first_of(asked, &op, frame)?;
                stored.push(first);
                if first.is_some() {
                    continue;
                }
            }
            self.apply_op(&op, frame, context, effects)?;
        }
        if !stored.is_empty() {
            effects.answers.push((frame.header.at, Answer::Stored(stored)));
        }
        self.owner_ms = self.owner_ms.max(Some(frame.header.owner_ms));
        self.applied = frame.end();
        Ok(())
    }

    /// Decides on a message or timer that asks to be stored once. Where its key is remembered it is refused, and this
    /// is the first; else its key is remembered from now on.
    fn first_of(&mut self, asked: Once, op: &Op<'_>, frame: &Frame<'_>) -> Result<Option<First>, BadApply> {
        let (at, record, due_ms) = match op {
            Op::Append { at, record, .. } => (at, record, None),
            Op::Schedule { due_ms, at, record, .. } => (at, record, Some(*due_ms)),
            _ => return Ok(None),
        };
        let (record, at) = (arriving(*at, record)?, frame.header.at.plus(u64::from(*at)));
        if let Some(first) = self.once.get(asked.key).copied().filter(|_| !planted::is(Bug::RepeatStored)) {
            self.refuse(at, due_ms.is_none().then_some(&record));
            return Ok(Some(first));
        }
        let first = First {
            until_ms: frame.header.owner_ms.saturating_add(asked.window_ms),
            at,
            due_ms,
            queue: record.queue(),
            queue_offset: record.queue_offset(),
            store_ms: record.store_ms(),
            topic: xxh3_64(record.topic().as_bytes()),
        };
        self.once.add(asked.key, first, asked.most);
        Ok(None)
    }

    /// A record is not to be: if it has a place in a queue, that is a blank for ever.
    fn refuse(&mut self, at: Offset, placed: Option<&Record<'_>>) {
        self.voids.insert(at);
        if let Some(record) = placed {
            let topic = self.topic_index(record.topic());
            self.queue_mut(topic, record.queue() as usize).blank(record.queue_offset());
        }
    }

    fn apply_op(
        &mut self,
        op: &Op<'_>,
        frame: &Frame<'_>,
        context: Context,
        effects: &mut Effects,
    ) -> Result<(), BadApply> {
        let place = |at: u32| frame.header.at.plus(u64::from(at));
        match op {
            Op::Append { tags, at, record } => {
                let arrival = Arrival { at: place(*at), record: arriving(*at, record)?, tags: *tags };
                self.arrive(&arrival, context, effects);
            }
            Op::Schedule { due_ms, at, record, .. } => {
                let size = u32::try_from(record.len()).unwrap_or(u32::MAX);
                self.timers.insert(place(*at), *due_ms, size, Place::Log);
            }
            Op::Fire { due_ms, schedule, tags, at, record } => {
                let arrival = Arrival { at: place(*at), record: arriving(*at, record)?, tags: *tags };
                let handle = Handle { due_ms: *due_ms, schedule: *schedule };
                let late_ms = frame.header.owner_ms.saturating_sub(*due_ms);
                effects.late_ms.push(u64::try_from(late_ms).unwrap_or(0));
                self.apply_fire(handle, &arrival, context, effects);
            }
            Op::Cancel { due_ms, schedule } => {
                let done =
                    self.timers.cancel(*schedule, *due_ms) || self.timers.was_cancelled(*schedule, *due_ms);
                effects.answers.push((frame.header.at, Answer::Cancelled(done)));
            }
            Op::Lock { .. } if context.replay && planted::is(Bug::LocksForgotten) => {}
            Op::Lock { group, client, lease_ms, queues } => {
                let until_ms = frame.header.owner_ms.saturating_add(*lease_ms);
                let held = queues.iter().map(|(topic, queue)| {
                    let lease = Lease { client: (*client).to_owned(), until_ms };
                    self.locks.lock(((*group).to_owned(), (*topic).to_owned(), *queue), lease)
                });
                effects.answers.push((frame.header.at, Answer::Locked(held.collect())));
            }
            Op::Unlock { group, client, queues } => {
                for (topic, queue) in queues {
                    self.locks.unlock(&((*group).to_owned(), (*topic).to_owned(), *queue), client);
                }
            }
            Op::Trim { start } => {
                self.apply_trim(*start);
                effects.trimmed = true;
            }
            Op::Open(opening) => {
                self.segment_bytes = opening.segment_bytes;
                self.apply_skips(opening.queue_skips);
                if self.start == Offset(0) {
                    self.start = frame.header.at;
                }
            }
            Op::Digest { at, digest } => match self.segment_digest {
                Some((own_at, own)) if own_at == *at && own != *digest => {
                    effects.diverged = Some((*at, *digest, own));
                }
                _ => {}
            },
            Op::Segment { .. } | Op::ClockStep { .. } | Op::Once(_) => {}
            Op::Offset { .. }
            | Op::Topic { .. }
            | Op::Group { .. }
            | Op::Attributes { .. }
            | Op::Clear { .. } => {
                self.apply_setting(op, effects);
            }
        }
        Ok(())
    }

    /// What topics and groups are told to be: the last word counts.
    fn apply_setting(&mut self, op: &Op<'_>, effects: &mut Effects) {
        match op {
            Op::Offset { group, topic, queue, offset } => {
                self.offsets.insert(((*group).to_owned(), (*topic).to_owned(), *queue), *offset);
            }
            Op::Topic { name, config } => {
                let topic = self.topic_index(name);
                self.topics[topic].config = config.clone().map(Arc::new);
                effects.topics.push(topic);
                if config.is_none() {
                    self.once.forget_topic(name);
                }
            }
            Op::Group { name, config } => match config {
                Some(config) => drop(self.groups.insert((*name).to_owned(), Arc::new(config.clone()))),
                None => drop(self.groups.remove(*name)),
            },
            Op::Attributes { of_group, name, attributes } => {
                self.set_attributes(*of_group, name, settings::owned(attributes));
                if !of_group {
                    effects.topics.push(self.topic_index(name));
                }
            }
            Op::Clear { group, topic } => self.offsets.retain(|(of, on, _), _| {
                let other = |wanted: &str, found: &str| !wanted.is_empty() && wanted != found;
                other(group, of) || other(topic, on)
            }),
            _ => {}
        }
    }

    /// A fire counts only while its timer is pending; otherwise its queue slot is a blank for ever.
    fn apply_fire(&mut self, timer: Handle, arrival: &Arrival<'_>, context: Context, effects: &mut Effects) {
        let pending = if context.replay && planted::is(Bug::FiresTwice) {
            self.timers.get(timer.schedule).is_some()
        } else {
            self.timers.remove(timer.schedule, timer.due_ms).is_some()
        };
        if pending
            || (planted::is(Bug::CancelLoses) && self.timers.was_cancelled(timer.schedule, timer.due_ms))
        {
            effects.fired += 1;
            self.arrive(arrival, context, effects);
            return;
        }
        effects.voids += 1;
        if planted::is(Bug::BlankShown) {
            self.voids.insert(arrival.at);
            self.arrive(arrival, context, effects);
            return;
        }
        self.refuse(arrival.at, Some(&arrival.record));
    }

    fn arrive(&mut self, arrival: &Arrival<'_>, context: Context, effects: &mut Effects) {
        let record = &arrival.record;
        let topic = self.topic_index(record.topic());
        let queue = self.queue_mut(topic, record.queue() as usize);
        if context.units {
            let size = u32::try_from(record.bytes().len()).unwrap_or(u32::MAX);
            let unit = Unit { physical_offset: arrival.at.0, size, tags: arrival.tags };
            queue.push(context.segment, record.queue_offset(), unit);
        } else {
            queue.blank(record.queue_offset());
        }
        if effects.observed {
            effects.arrived.push((topic, record.queue(), queue.end, arrival.tags));
        }
    }

    fn apply_trim(&mut self, start: Offset) {
        if start <= self.start {
            return;
        }
        self.start = start;
        self.voids = self.voids.split_off(&start);
        self.timers.trim(start);
        for topic in &mut self.topics {
            topic.queues.iter_mut().for_each(|q| q.trim(start));
        }
    }

    fn apply_skips(&mut self, skips: u32) {
        let more = u64::from(skips.saturating_sub(self.queue_skips)) * QUEUE_SKIP;
        self.queue_skips = self.queue_skips.max(skips);
        for queue in self.topics.iter_mut().flat_map(|t| &mut t.queues) {
            queue.end += more;
        }
    }

    /// Notes the digest at the end of a segment that is folded in whole.
    pub fn end_segment(&mut self) {
        self.segment_digest = Some((self.applied, self.digest()));
    }
}
