//! What the simulator knows: what clients asked and were told, and the raw log. Never the store's own views.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use backends::FaultyBackend;
use mainspring::Cancel;

use crate::fold::Fold;
use crate::invariants::requests::Heard;
use crate::invariants::{Verdict, cancels, invented, once, progress, requests, reuse, timers};
use crate::raw::log::Known;
use crate::raw::{RawFrame, RawLog, RawOp};
use crate::requests::Queues;
use crate::rng::Rng;

/// A message that a client sent.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its topic.
    pub topic: String,
    /// Its queue, if the client chose one.
    pub queue: Option<u32>,
    /// Its body.
    pub body: Vec<u8>,
    /// Its properties.
    pub properties: Vec<u8>,
    /// When it is due, for a timer.
    pub due_ms: Option<i64>,
}

/// Something that a client was told.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields of the answers")]
pub enum Told {
    /// A message stands at this log position, in this queue at this offset.
    Append { id: u64, at: u64, queue: u32, queue_offset: u64, store_ms: i64 },
    /// A timer stands at this log position.
    Schedule { id: u64, at: u64, due_ms: i64 },
    /// A message comes again, or went to the dead letters: the group, and the failures then.
    Failed { group: String, id: u64, reconsume: u32, dead: bool },
    /// A frame was written that says this progress.
    Offset { group: String, topic: String, queue: u32, offset: u64 },
}

/// An answer to a cancel.
#[derive(Debug, Clone)]
pub struct CancelAnswer {
    /// The timer.
    pub schedule: u64,
    /// Its due time as the client named it.
    pub due_ms: i64,
    /// The position in the log at which it was decided.
    pub position: u64,
    /// The log's start when it was answered, at most this.
    pub applied: u64,
    /// The answer.
    pub answer: Cancel,
}

/// A copy of a message whose consumption failed: group, message, failures.
pub type Copy = (String, u64, u32);

/// What is known.
#[derive(Debug, Default)]
pub struct Model {
    /// The log's secret, for reading frames.
    pub secret: u64,
    /// Frames by position, whatever became of them.
    pub known: Known,
    /// The log from its very beginning, trimmed parts included.
    pub chain: Vec<Rc<RawFrame>>,
    /// The meaning of a prefix of it: what was applied.
    pub fold: Fold,
    /// Messages by number.
    pub asked: HashMap<u64, Asked>,
    /// Copies that clients asked for by failing to consume.
    pub copies_asked: HashMap<Copy, u32>,
    /// Cancels that clients asked for: due time and schedule.
    pub cancels_asked: HashSet<(i64, u64)>,
    /// Progress that clients said.
    pub offsets_asked: HashSet<(String, String, u32, u64)>,
    /// Locks that clients asked for or gave up: group, client, queues.
    pub locks_asked: HashSet<(String, String, Queues)>,
    /// Log positions of messages that the consumer asked to ack.
    pub acked: HashSet<u64>,
    /// Where messages stand in the chain.
    pub placed: HashMap<u64, u64>,
    /// Where copies stand in the chain.
    pub copies: HashMap<Copy, Vec<u64>>,
    /// Told and not compared with the log yet: the end of the frame, and what.
    pub told: Vec<(u64, Told)>,
    /// Answers to cancels, not judged yet.
    pub cancelled: Vec<CancelAnswer>,
    /// Answers of requests, not judged yet, by the end of their frame.
    pub heard: Vec<(u64, Heard)>,
    /// Below this the log survives a power cut.
    pub durable: u64,
    /// Queue offsets that somebody holds, and the log position that they name.
    pub given: HashMap<(String, u32, u64), u64>,
    /// Items of each queue that were noted in `given` already.
    pub noted: HashMap<(String, u32), usize>,
    /// Digests by the position that they are of.
    pub digests: HashMap<u64, u64>,
    /// The owner's time is at most this.
    pub bound_ms: i64,
    /// Timers that are in a due bucket.
    pub bucketed: HashSet<u64>,
}

impl Model {
    /// The bytes of message `id`'s body.
    #[must_use]
    pub fn body(id: u64, len: usize) -> Vec<u8> {
        let mut rng = Rng::new(id);
        let mut body = Vec::with_capacity(len + 8);
        while body.len() < len {
            body.extend_from_slice(&rng.bits().to_le_bytes());
        }
        body.truncate(len);
        body
    }

    /// Where the log ends, uncommitted frames included.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.chain.last().map_or(0, |frame| frame.end)
    }

    /// Reads the raw log of `backend`.
    #[must_use]
    pub fn read(&mut self, backend: &FaultyBackend) -> RawLog {
        let Self { chain, known, secret, .. } = self;
        let is_known = |start| chain.binary_search_by_key(&start, |frame| frame.at).is_ok();
        RawLog::read(backend, *secret, known, is_known, trimmed(chain))
    }

    /// The frame that ends at `end`.
    #[must_use]
    pub fn frame_ending(&self, end: u64) -> Option<&Rc<RawFrame>> {
        let i = self.chain.partition_point(|frame| frame.end < end);
        self.chain.get(i).filter(|frame| frame.end == end)
    }

    /// Compares the raw log of a store that runs with what is known of it, and takes in what is new.
    ///
    /// # Errors
    /// If what was there changed, or what is new was not asked for.
    pub fn observe(&mut self, raw: &RawLog) -> Verdict {
        reuse::segments(self, raw)?;
        let known = self.chain.len();
        let fresh = self.fresh(raw)?;
        for frame in fresh {
            timers::not_ahead(&frame, self.bound_ms)?;
            invented::frame(self, &frame)?;
            self.chain.push(frame);
        }
        reuse::offsets(self, known)?;
        let told = std::mem::take(&mut self.told);
        told.iter().try_for_each(|(end, told)| once::told(self, *end, told))
    }

    /// The frames of `raw` behind those that are known; those that are known must be the same.
    fn fresh(&self, raw: &RawLog) -> Verdict<Vec<Rc<RawFrame>>> {
        let mut fresh = Vec::new();
        let first = raw.frames().next().map_or(0, |frame| frame.at);
        let mut i = self.chain.partition_point(|frame| frame.at < first);
        once::no_gap(self, raw, i)?;
        for frame in raw.frames() {
            match self.chain.get(i) {
                Some(known) => once::same(known, frame)?,
                None => fresh.push(Rc::clone(frame)),
            }
            i += 1;
        }
        once::whole(self, raw, i)?;
        Ok(fresh)
    }

    /// The log ends at `end` after a crash: what stood behind is gone.
    pub fn cut(&mut self, end: u64) -> usize {
        let keep = self.chain.partition_point(|frame| frame.end <= end);
        let gone = self.chain.len() - keep;
        self.chain.truncate(keep);
        if gone > 0 {
            self.placed.retain(|_, at| *at < end);
            self.copies.values_mut().for_each(|all| all.retain(|at| *at < end));
            self.copies.retain(|_, all| !all.is_empty());
            self.noted.clear();
            self.cancelled.retain(|answer| answer.applied <= end);
            self.heard.retain(|(of, _)| *of <= end);
        }
        if self.fold.end > end {
            self.fold = Fold::default();
        }
        gone
    }

    /// Folds in what is applied, and judges the answers that it decides.
    ///
    /// # Errors
    /// If the frames break a property, or `applied` is no frame's end.
    pub fn apply(&mut self, applied: u64) -> Verdict {
        while self.fold.end < applied {
            let frame = self.chain.get(self.fold.frames).filter(|frame| frame.end <= applied);
            once::applied(frame.is_some(), self.end(), applied)?;
            if let Some(frame) = frame.cloned() {
                progress::passes(self, &frame)?;
                self.fold.advance(&frame)?;
            }
        }
        let answers = std::mem::take(&mut self.cancelled);
        for answer in answers {
            if answer.applied <= self.fold.end {
                cancels::truthful(&self.fold, &answer)?;
            } else {
                self.cancelled.push(answer);
            }
        }
        for (end, heard) in std::mem::take(&mut self.heard) {
            if end <= self.fold.end {
                requests::decided(&self.fold, end, &heard)?;
            } else {
                self.heard.push((end, heard));
            }
        }
        Ok(())
    }

    /// Somebody holds every queue offset that can be read now.
    pub fn note_readable(&mut self) {
        for (key, queue) in &self.fold.queues {
            let noted = self.noted.entry(key.clone()).or_insert(0);
            for item in queue.items.iter().skip(*noted) {
                self.given.insert((key.0.clone(), key.1, item.queue_offset), item.at);
            }
            *noted = queue.items.len();
        }
    }
}

/// Up to where the log says that it is trimmed.
#[must_use]
pub fn trimmed(frames: &[Rc<RawFrame>]) -> u64 {
    let trims = frames.iter().flat_map(|frame| frame.ops()).filter_map(|op| match op {
        RawOp::Trim { start } => Some(*start),
        _ => None,
    });
    trims.max().unwrap_or(0)
}
