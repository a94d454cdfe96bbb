//! The applying half: moves `committed`, folds committed frames into the views, and fires what is due.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::action::{Action, Event, Failure};
use super::appender::{Appender, Need};
use super::draft::OpDraft;
use super::upkeep::{Upkeep, UpkeepOptions};
use crate::bucket::Bucket;
use crate::clock::Now;
use crate::commitlog::{Cursors, Log};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, HEADER_BYTES, Header, OP_HEAD_BYTES, Op, RECORD_AT_FIRE, Wait, aligned};
use crate::histogram::Histogram;
use crate::offset::Offset;
use crate::options::CommitRule;
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::settings::QUEUES_MAX;
use crate::views::{Context, Effects, Place, Views};

/// Timers handed out by the wheel at a time, and fires in one frame.
const DUE_MAX: usize = 1024;
/// Bytes of a fire frame that holds more than one.
const FIRE_BYTES_MAX: usize = 1 << 20;
/// How long a timer waits whose record the medium failed to read, owner milliseconds.
const PARKED_MS: i64 = 1_000;
/// Bytes of frames applied before readers get a chance.
const APPLY_BYTES_MAX: usize = 1 << 20;

/// Classes of how late timers fire, milliseconds.
const LATE_BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 500, 1_000, 10_000, 60_000];

/// What a step of the applier left to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// There is more to do at once.
    pub again: bool,
    /// Nothing happens by itself before this owner time, milliseconds.
    pub next_ms: Option<i64>,
}

#[derive(Debug)]
struct Due {
    schedule: Offset,
    due_ms: i64,
    body: Option<Bytes>,
}

/// The applying half of the engine.
#[derive(Debug)]
pub struct Applier {
    commit: CommitRule,
    cursors: Arc<Cursors>,
    log: Arc<Log>,
    due: VecDeque<Due>,
    reading: bool,
    quarantined: BTreeMap<Offset, String>,
    /// Timers whose record the medium failed to read, and when that is tried again, owner milliseconds.
    parked: Vec<Due>,
    parked_until_ms: i64,
    fires: u64,
    voids: u64,
    late_ms: Histogram,
    pub(super) upkeep: Upkeep,
}

impl Applier {
    pub(crate) fn new(
        commit: CommitRule,
        cursors: Arc<Cursors>,
        log: Arc<Log>,
        options: UpkeepOptions,
    ) -> Self {
        let upkeep = Upkeep::new(Arc::clone(&cursors), Arc::clone(&log), options);
        Self {
            commit,
            cursors,
            log,
            due: VecDeque::new(),
            reading: false,
            quarantined: BTreeMap::new(),
            parked: Vec::new(),
            parked_until_ms: i64::MIN,
            fires: 0,
            voids: 0,
            late_ms: Histogram::new(&LATE_BOUNDS_MS),
            upkeep,
        }
    }

    /// What is done in the background.
    pub(crate) fn upkeep_mut(&mut self) -> &mut Upkeep {
        &mut self.upkeep
    }

    /// What is done in the background.
    pub(crate) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Timers whose record cannot be read or fired, and why. They stay pending.
    #[must_use]
    pub fn quarantined(&self) -> &BTreeMap<Offset, String> {
        &self.quarantined
    }

    /// Fires that were applied, and fires that were void, since the store was opened.
    #[must_use]
    pub fn fire_counts(&self) -> (u64, u64) {
        (self.fires, self.voids)
    }

    /// By how much timers fired after they were due, milliseconds, since the store was opened.
    #[must_use]
    pub fn late_ms(&self) -> &Histogram {
        &self.late_ms
    }

    /// Moves `committed` by the store's rule.
    pub fn commit(&mut self) {
        let to = match self.commit {
            CommitRule::Appended => self.cursors.tail(),
            CommitRule::Flushed if planted::is(Bug::AckBeforeFlush) => self.cursors.tail(),
            CommitRule::Flushed => self.cursors.flushed(),
        };
        if to > self.cursors.committed() {
            self.cursors.set_committed(to);
        }
    }

    /// Folds committed frames into the views, some megabyte at most. True if more are there. The `applied`
    /// cursor is the shell's to move, once the effects are delivered: who waits for it finds his answer.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a frame cannot be applied; the store must stop.
    pub fn apply(&mut self, views: &mut Views, effects: &mut Effects) -> Result<bool> {
        let telling = self.upkeep.tell_timers(&mut views.timers);
        let more = self.apply_frames(views, effects)?;
        if std::mem::take(&mut effects.trimmed) {
            self.upkeep.want_base(views.applied);
        }
        Ok(more || telling)
    }

    fn apply_frames(&mut self, views: &mut Views, effects: &mut Effects) -> Result<bool> {
        let limit =
            if planted::is(Bug::ViewAheadOfCommit) { self.cursors.tail() } else { self.cursors.committed() };
        if views.applied >= limit {
            return Ok(false); // without a look at the segments, which all threads share
        }
        let from = self.log.onward(views.applied);
        if from != views.applied && views.applied != Offset(0) && from < limit {
            self.segment_ended(views);
        }
        let Some((mut at, bytes)) = self.log.published(from, limit)? else {
            return Ok(false);
        };
        let segment = self.log.find(at).map_or(at, |s| s.start);
        let context = Context { segment, units: true, replay: false };
        let mut rest = &bytes[..];
        while !rest.is_empty() && bytes.len() - rest.len() < APPLY_BYTES_MAX {
            // Published by this process: in memory, and checked when it was encoded.
            let frame = Header::parse(rest, self.log.secret(), at)
                .ok()
                .and_then(|header| Some(Frame { header, bytes: rest.get(..header.len as usize)? }))
                .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a published frame cannot be read").at(at))?;
            views.apply(&frame, context, effects).map_err(|bad| bad.error(at))?;
            at = frame.end();
            rest = &rest[frame.bytes.len()..];
        }
        self.fires += std::mem::take(&mut effects.fired);
        self.voids += std::mem::take(&mut effects.voids);
        effects.late_ms.drain(..).for_each(|late| self.late_ms.add(late));
        if let Some((end, stored, own)) = effects.diverged.take() {
            let text = format!("the state's digest at {end} is {own:016x}, the log says {stored:016x}");
            return Err(Error::new(ErrorKind::Corrupt, text).at(end));
        }
        Ok(views.applied < limit && self.log.onward(views.applied) < limit)
    }

    fn segment_ended(&mut self, views: &mut Views) {
        views.end_segment();
        if let Some(segment) = self.segment_before(views.applied) {
            self.upkeep.segment_ended(segment, views);
        }
    }

    fn segment_before(&self, end: Offset) -> Option<Arc<crate::commitlog::Segment>> {
        self.log.segments().iter().rev().find(|s| s.end() == Some(end)).cloned()
    }

    /// Takes what is due at `now_ms` from the wheel, and finds its bodies.
    pub fn collect_due(&mut self, views: &mut Views, now_ms: i64, actions: &mut Vec<Action>) {
        while self.due.len() < DUE_MAX {
            let Some(schedule) = views.timers.pop_due(now_ms) else { break };
            let due_ms = views.timers.get(schedule).map_or(now_ms, |p| p.due_ms);
            self.due.push_back(Due { schedule, due_ms, body: None });
        }
        if now_ms >= self.parked_until_ms {
            self.due.extend(self.parked.drain(..));
        }
        let mut wanted = Vec::new();
        let mut failed = Vec::new();
        let Self { due, log, upkeep, .. } = self;
        due.retain_mut(|timer| {
            if timer.body.is_some() {
                return true;
            }
            let Some(pending) = views.timers.get(timer.schedule) else { return false };
            match pending.place {
                Place::Log => match log.slice(timer.schedule, u64::from(pending.size)) {
                    Ok(body) => timer.body = Some(body),
                    Err(error) => failed.push((timer.schedule, error)),
                },
                Place::Bucket { segment, slot } => match upkeep.bucket(segment) {
                    Some(bucket) => wanted.push((timer.schedule, Bucket::clone(bucket), slot)),
                    None => failed.push((timer.schedule, no_bucket(segment))),
                },
            }
            true
        });
        failed.iter().for_each(|(schedule, error)| self.set_aside(*schedule, error, now_ms));
        if !wanted.is_empty() && !self.reading {
            self.reading = true;
            actions.push(Action::ReadBodies(wanted));
        }
    }

    /// Takes a timer out of those that are due: for a while if the medium failed, else for good.
    fn set_aside(&mut self, schedule: Offset, error: &Error, now_ms: i64) {
        let Some(i) = self.due.iter().position(|timer| timer.schedule == schedule) else { return };
        let Some(timer) = self.due.remove(i) else { return };
        if error.kind() == ErrorKind::Io {
            tracing::warn!(%schedule, %error, "a due timer's record cannot be read now; it is tried again");
            self.parked.push(timer);
            self.parked_until_ms = now_ms.saturating_add(PARKED_MS);
        } else {
            quarantine(&mut self.quarantined, schedule, error);
        }
    }

    /// Appends one frame of fires, in order of (due, schedule offset). False if there is nothing to fire.
    ///
    /// # Errors
    /// What the appender needs first; the timers stay due.
    pub fn fire(&mut self, appender: &mut Appender, now: Now) -> std::result::Result<bool, Need> {
        let frame_max = appender.frame_bytes_max();
        // The first one decides whether it is set aside; the others have their turn as the first of a frame.
        while let Some(Due { schedule, body: Some(body), .. }) = self.due.front()
            && let Err(error) = fits(body, frame_max)
        {
            quarantine(&mut self.quarantined, *schedule, &error);
            self.due.pop_front();
        }
        let mut bytes = HEADER_BYTES;
        let mut ops = Vec::new();
        for timer in &self.due {
            let Some(body) = &timer.body else { break };
            let Ok(record) = fits(body, frame_max) else { break };
            bytes += fire_bytes(body.len());
            if !ops.is_empty() && bytes > FIRE_BYTES_MAX.min(frame_max) {
                break;
            }
            ops.push(OpDraft::Fire {
                due_ms: timer.due_ms,
                schedule: timer.schedule,
                record: body,
                topic: record.topic(),
                queue: record.queue(),
                tags: record.tags_code(),
            });
        }
        if ops.is_empty() {
            return Ok(false);
        }
        let fired = ops.len();
        let _span = tracing::debug_span!("fire", timers = fired).entered();
        appender.append_own(now, &mut ops)?;
        drop(ops);
        self.due.drain(..fired);
        Ok(true)
    }

    /// Whether a fire could be appended now.
    #[must_use]
    pub fn wants_to_fire(&self) -> bool {
        self.due.front().is_some_and(|timer| timer.body.is_some())
    }

    /// Timers that are due and not fired yet.
    #[must_use]
    pub fn overdue(&self) -> usize {
        self.due.len() + self.parked.len()
    }

    /// Appends what upkeep decided.
    ///
    /// # Errors
    /// What the appender needs first; it is decided again.
    pub(crate) fn append_upkeep(
        &mut self,
        appender: &mut Appender,
        views: &Views,
        now: Now,
    ) -> std::result::Result<(), Need> {
        self.upkeep.append(appender, views, now)
    }

    /// Plans what is to be done in the background. True if there is more to plan at once.
    pub(crate) fn plan(
        &mut self,
        appender: &mut Appender,
        views: &Views,
        now_ms: i64,
        actions: &mut Vec<Action>,
    ) -> bool {
        let again = self.upkeep.plan(views, now_ms, actions);
        let wants = self.wants_to_fire();
        self.upkeep.plan_reserve(appender, wants, now_ms, actions);
        again
    }

    /// Lets go of files that nothing needs any more.
    pub(crate) fn plan_removals(&mut self, views: &Views, actions: &mut Vec<Action>) {
        self.upkeep.plan_removals(views, actions);
    }

    /// When something happens by itself, owner milliseconds.
    pub(crate) fn next_ms(&self, views: &Views, appender: &Appender, now_ms: i64) -> Option<i64> {
        if appender.is_stopped() {
            return None;
        }
        let retry = (!self.due.is_empty()).then(|| now_ms.saturating_add(10));
        let parked = (!self.parked.is_empty()).then(|| self.parked_until_ms.max(now_ms.saturating_add(1)));
        let due = views.timers.next_due_ms();
        let upkeep = self.upkeep.next_ms(now_ms);
        due.into_iter().chain(retry).chain(parked).chain(upkeep).min()
    }

    /// Takes what came of an action.
    pub fn handle(&mut self, event: Event, views: &mut Views, now_ms: i64) {
        match event {
            Event::BodiesRead(bodies) => {
                self.reading = false;
                for (schedule, body) in bodies {
                    match body {
                        Ok(body) => {
                            let timer = self.due.iter_mut().find(|t| t.schedule == schedule);
                            timer.into_iter().for_each(|t| t.body = Some(body.clone()));
                        }
                        Err(error) => self.set_aside(schedule, &error, now_ms),
                    }
                }
            }
            other => self.upkeep.handle(other, views, now_ms),
        }
    }
}

/// Bytes of the operation that fires a record of this length.
const fn fire_bytes(record: usize) -> usize {
    OP_HEAD_BYTES + aligned(RECORD_AT_FIRE + record)
}

/// A timer's record, if it can be fired at all.
fn fits(body: &[u8], frame_max: usize) -> Result<Record<'_>> {
    let record = Record::parse(body).map_err(|e| Error::new(ErrorKind::Corrupt, e.to_string()))?;
    if record.queue() >= QUEUES_MAX {
        return Err(Error::new(ErrorKind::Corrupt, format!("no topic has a queue {}", record.queue())));
    }
    let need = HEADER_BYTES + fire_bytes(body.len());
    if need > frame_max {
        let text = format!("its frame of {need} bytes is more than this store takes now ({frame_max})");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(record)
}

fn no_bucket(segment: Offset) -> Error {
    Error::new(ErrorKind::Corrupt, "the due bucket of this segment is not there").at(segment)
}

/// Sets a timer aside whose record cannot be read or fired: it stays pending, and everybody is told.
fn quarantine(quarantined: &mut BTreeMap<Offset, String>, schedule: Offset, error: &Error) {
    tracing::error!(%schedule, %error, "a timer's record cannot be read or fired; it is set aside");
    quarantined.insert(schedule, error.to_string());
}

impl Appender {
    /// Appends a frame that the engine itself decided.
    pub(super) fn append_own(&mut self, now: Now, ops: &mut [OpDraft<'_>]) -> std::result::Result<(), Need> {
        self.own(true);
        let done = self.append(Some(now), Wait::Committed, ops);
        self.own(false);
        done.map(drop)
    }

    /// Appends one operation that the engine itself decided.
    pub(super) fn append_own_op(&mut self, now: Now, op: &Op<'_>) -> std::result::Result<(), Need> {
        let (kind, payload) = op.payload();
        self.append_own(now, &mut [OpDraft::Plain(kind, &payload)])
    }

    /// Takes what came of an action that was for the appender; gives back what is not.
    pub(crate) fn handle(&mut self, event: Event, now: Now) -> Option<Event> {
        match event {
            Event::EpochReady(record, writer) => self.epoch_ready(now, &record, writer),
            Event::SegmentReady(start, writer) => self.take_next(start, writer),
            Event::Reserved => self.reserved(),
            Event::Failed(Failure::Epoch | Failure::Segment | Failure::Reserve, error) => {
                if error.kind() == ErrorKind::Full {
                    self.no_space(now);
                } else {
                    self.stop(ErrorKind::Io, error.to_string());
                }
            }
            Event::Failed(Failure::Seal, error) => {
                let text = format!("a flush failed ({error}); close the store and open it again");
                self.stop(ErrorKind::Poisoned, text);
            }
            other => return Some(other),
        }
        None
    }
}
