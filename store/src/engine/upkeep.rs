//! What keeps a store small and quick to open: index files, buckets, bases, Trim, the checkpoint, the reserve.
//!
//! For each segment that ended, in this order: seal it and write its index file once it is applied and
//! flushed; copy the bodies that will still pend; freeze a base at its end. Files go once both base
//! generations have passed them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::action::{Action, Event, Failure};
use super::appender::{Appender, Need};
use crate::base::{Buckets, Snapshot};
use crate::bucket::Bucket;
use crate::cells::Checkpoint;
use crate::clock::Now;
use crate::commitlog::{Cursors, Log, Segment};
use crate::error::Error;
use crate::frame::Op;
use crate::naming::StreamKind;
use crate::offset::Offset;
use crate::planted::{self, Bug};
use crate::views::{Place, Views};

/// How often retention and the reserve are looked at, owner milliseconds.
const LOOK_MS: i64 = 1_000;
/// How long after the last flush the checkpoint is written, owner milliseconds.
const CHECKPOINT_MS: i64 = 500;

/// The options that upkeep follows.
#[derive(Debug, Clone, Copy)]
pub struct UpkeepOptions {
    /// See [`Options::near_horizon_ms`](crate::Options::near_horizon_ms).
    pub near_horizon_ms: u64,
    /// See [`Options::retention_ms`](crate::Options::retention_ms).
    pub retention_ms: Option<u64>,
    /// See [`Options::retention_bytes`](crate::Options::retention_bytes).
    pub retention_bytes: Option<u64>,
    /// See [`Options::fire_reserve_bytes`](crate::Options::fire_reserve_bytes).
    pub fire_reserve_bytes: u64,
}

/// A base that is on the medium.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// First offset that is not folded in.
    pub at: Offset,
    /// The log's start in it.
    pub start: Offset,
    /// Segments whose buckets it names.
    pub buckets: Vec<Offset>,
}

/// The files that an open found, apart from the log's frames.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    /// Sealed segments that have an index: the last store time in each.
    pub(crate) sealed: BTreeMap<Offset, i64>,
    /// Bases that can be read, oldest first.
    pub(crate) generations: VecDeque<Generation>,
    /// The number of the next base: above all that were found, readable or not.
    pub(crate) next_base: u64,
    /// Streams that nothing names, and the position beyond which they can go once it is flushed.
    pub(crate) garbage: Vec<(Offset, StreamKind)>,
    /// Buckets that can be read.
    pub(crate) buckets: Buckets,
    /// What the checkpoint says.
    pub(crate) checkpoint: Offset,
}

/// How much upkeep was done since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpkeepCounts {
    /// Segments that ended within an epoch.
    pub rolls: u64,
    /// Index files written.
    pub indexes: u64,
    /// Buckets written.
    pub buckets: u64,
    /// Bases written.
    pub bases: u64,
    /// Trims appended.
    pub trims: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Upkeep {
    options: UpkeepOptions,
    cursors: Arc<Cursors>,
    log: Arc<Log>,
    buckets: Buckets,
    to_seal: VecDeque<Arc<Segment>>,
    sealing: bool,
    to_copy: VecDeque<Offset>,
    copying: bool,
    /// Sealed segments: the last store time in each.
    sealed: BTreeMap<Offset, i64>,
    base_wanted: bool,
    frozen: Option<Snapshot>,
    writing: Option<Generation>,
    generations: VecDeque<Generation>,
    next_number: u64,
    digest_owed: Option<(Offset, u64)>,
    garbage: Vec<(Offset, StreamKind)>,
    checkpoint: Offset,
    checkpoint_busy: bool,
    flushed_seen: (Offset, i64),
    looked_ms: i64,
    reserve_held: bool,
    reserve_busy: bool,
    /// After a failure nothing is tried again before this owner time, milliseconds.
    pause_ms: i64,
    pub(crate) counts: UpkeepCounts,
}

impl Upkeep {
    pub(super) fn new(cursors: Arc<Cursors>, log: Arc<Log>, options: UpkeepOptions) -> Self {
        Self {
            options,
            cursors,
            log,
            buckets: Buckets::new(),
            to_seal: VecDeque::new(),
            sealing: false,
            to_copy: VecDeque::new(),
            copying: false,
            sealed: BTreeMap::new(),
            base_wanted: false,
            frozen: None,
            writing: None,
            generations: VecDeque::new(),
            next_number: 1,
            digest_owed: None,
            garbage: Vec::new(),
            checkpoint: Offset(0),
            checkpoint_busy: false,
            flushed_seen: (Offset(0), i64::MIN),
            looked_ms: i64::MIN,
            reserve_held: false,
            reserve_busy: false,
            pause_ms: i64::MIN,
            counts: UpkeepCounts::default(),
        }
    }

    /// Goes on from what an open found.
    pub(crate) fn resume(&mut self, found: FoundFiles, views: &mut Views) {
        self.next_number = found.next_base;
        self.sealed = found.sealed;
        self.generations = found.generations;
        self.garbage = found.garbage;
        self.checkpoint = found.checkpoint;
        found.buckets.into_values().for_each(|bucket| self.adopt(bucket, views));
        let logged: BTreeSet<Offset> =
            views.timers.iter().filter(|(_, p)| p.place == Place::Log).map(|(at, _)| at).collect();
        let holds = |from: &Offset, to: Option<&Offset>| match to {
            Some(to) => logged.range(*from..*to).next().is_some(),
            None => logged.range(*from..).next().is_some(),
        };
        let starts: Vec<Offset> = self.sealed.keys().copied().collect();
        self.to_copy = starts
            .iter()
            .enumerate()
            .filter(|(i, start)| holds(start, starts.get(i + 1)))
            .map(|(_, start)| *start)
            .collect();
    }

    pub(super) fn bucket(&self, segment: Offset) -> Option<&Bucket> {
        self.buckets.get(&segment)
    }

    /// The views reached the end of a segment.
    pub(super) fn segment_ended(&mut self, segment: Arc<Segment>, views: &Views) {
        if self.sealed.contains_key(&segment.start) {
            return; // sealed when the store was opened
        }
        self.counts.rolls += 1;
        self.to_seal.push_back(segment);
        self.digest_owed = views.segment_digest;
        self.base_wanted = true;
        self.freeze(views);
    }

    fn freeze(&mut self, views: &Views) {
        if let Some(snapshot) = views.freeze(&self.buckets) {
            self.frozen = Some(snapshot);
            self.base_wanted = false;
        }
    }

    /// Asks for a base as of now, at close.
    pub(crate) fn want_base(&mut self, views: &Views) {
        let newest = self.generations.back().map(|g| g.at);
        if newest != Some(views.applied) && views.applied != Offset(0) {
            self.base_wanted = true;
            self.freeze(views);
        }
    }

    /// What is to be done now, apart from appends.
    pub(super) fn plan(&mut self, views: &Views, now_ms: i64, actions: &mut Vec<Action>) {
        if now_ms < self.pause_ms {
            return;
        }
        let flushed = self.cursors.flushed();
        self.plan_seal(views, flushed, actions);
        self.plan_copy(views, now_ms, actions);
        if self.base_wanted {
            self.freeze(views);
        }
        if self.writing.is_none() && self.frozen.as_ref().is_some_and(|s| s.at <= flushed) {
            self.plan_base(actions);
        }
        if flushed != self.flushed_seen.0 {
            self.flushed_seen = (flushed, now_ms);
        }
        let rested = now_ms.saturating_sub(self.flushed_seen.1) >= CHECKPOINT_MS;
        if !self.checkpoint_busy && rested && flushed > self.checkpoint {
            self.plan_checkpoint(actions);
        }
        let gone: Vec<_> =
            self.garbage.iter().filter(|(after, _)| flushed > *after).map(|(_, k)| *k).collect();
        if !gone.is_empty() {
            self.garbage.retain(|(after, _)| flushed <= *after);
            actions.push(Action::Remove(gone));
        }
    }

    /// Writes the checkpoint for what is flushed.
    pub(crate) fn plan_checkpoint(&mut self, actions: &mut Vec<Action>) {
        let early = planted::is(Bug::CheckpointCoversUnflushed);
        let flushed = if early { self.cursors.tail() } else { self.cursors.flushed() };
        self.checkpoint_busy = true;
        actions.push(Action::WriteCheckpoint(Checkpoint { flushed }));
    }

    fn plan_seal(&mut self, views: &Views, flushed: Offset, actions: &mut Vec<Action>) {
        let ready = |s: &Arc<Segment>| s.end().filter(|end| *end <= flushed && *end <= views.applied);
        if self.sealing {
            return;
        }
        let Some(end) = self.to_seal.front().and_then(ready) else { return };
        let Some(segment) = self.to_seal.front().cloned() else { return };
        self.sealing = true;
        let voids = views.voids_in(segment.start, end);
        actions.push(Action::Seal { segment, voids });
    }

    fn plan_copy(&mut self, views: &Views, now_ms: i64, actions: &mut Vec<Action>) {
        while !self.copying {
            let Some(segment) = self.to_copy.pop_front() else { return };
            if self.buckets.contains_key(&segment) {
                continue; // bases name its slots; what is left in the log is near, and Trim waits for it
            }
            let Some(end) = self.log.find(segment).and_then(|s| s.end()) else { continue };
            let far = now_ms.saturating_add(i64::try_from(self.options.near_horizon_ms).unwrap_or(i64::MAX));
            let timers: Vec<_> = views
                .timers
                .iter()
                .filter(|(at, p)| (segment..end).contains(at) && p.place == Place::Log && p.due_ms > far)
                .map(|(at, p)| (p.due_ms, at, p.size))
                .collect();
            if !timers.is_empty() {
                self.copying = true;
                self.garbage.retain(|(_, kind)| *kind != StreamKind::Bucket(segment));
                actions.push(Action::WriteBucket { segment, timers });
            }
        }
    }

    fn plan_base(&mut self, actions: &mut Vec<Action>) {
        let Some(snapshot) = self.frozen.take() else { return };
        let number = self.next_number;
        self.next_number += 1;
        let Snapshot { at, start, buckets, bytes } = snapshot;
        self.writing = Some(Generation { number, at, start, buckets });
        actions.push(Action::WriteBase { number, bytes });
    }

    /// Appends what upkeep decided: digests and trims.
    pub(super) fn append(&mut self, appender: &mut Appender, views: &Views, now: Now) -> Result<(), Need> {
        if let Some((at, digest)) = self.digest_owed {
            appender.append_own_op(now, &Op::Digest { at, digest })?;
            self.digest_owed = None;
        }
        let now_ms = appender.owner_ms(now);
        if now_ms.saturating_sub(self.looked_ms) < LOOK_MS {
            return Ok(());
        }
        self.looked_ms = now_ms;
        if let Some(start) = self.trim_point(views, now_ms) {
            appender.append_own_op(now, &Op::Trim { start })?;
            self.counts.trims += 1;
            self.base_wanted = true;
        }
        Ok(())
    }

    /// The segment start up to which the log can go, by retention and by what still needs it.
    fn trim_point(&self, views: &Views, now_ms: i64) -> Option<Offset> {
        let mut bytes = self.log.len_bytes();
        let mut point = None;
        let segments = self.log.segments();
        for pair in segments.windows(2) {
            let [segment, next] = pair else { break };
            if segment.start < views.start {
                bytes = bytes.saturating_sub(segment.len_bytes());
                continue;
            }
            let Some(last_ms) = self.sealed.get(&segment.start) else { break };
            let age = u64::try_from(now_ms.saturating_sub(*last_ms)).unwrap_or(0);
            let old = self.options.retention_ms.is_some_and(|max| age > max);
            let many = self.options.retention_bytes.is_some_and(|max| bytes > max);
            if !(old || many) {
                break;
            }
            bytes = bytes.saturating_sub(segment.len_bytes());
            point = Some(next.start);
        }
        let point = point?;
        let earliest = views.timers.iter().filter(|(_, p)| p.place == Place::Log).map(|(at, _)| at).min();
        match earliest {
            Some(at) if at < point => {
                let held = segments.iter().rev().find(|s| s.start <= at)?.start;
                (held > views.start).then_some(held)
            }
            _ => Some(point),
        }
    }

    /// Frees the reserve, so that timers can fire; or gets it back.
    pub(super) fn plan_reserve(
        &mut self,
        appender: &mut Appender,
        wants_to_fire: bool,
        now_ms: i64,
        actions: &mut Vec<Action>,
    ) {
        if self.reserve_held && !appender.is_full() {
            appender.own_only(false);
        }
        let off = self.options.fire_reserve_bytes == 0 || !appender.is_open();
        if off || self.reserve_busy || now_ms < self.pause_ms {
            return;
        }
        if self.reserve_held && appender.is_full() && wants_to_fire {
            tracing::warn!("the disk is full: timers fire from the reserve");
            self.reserve_held = false;
            appender.own_only(true);
            actions.push(Action::Remove(vec![StreamKind::Reserve]));
        } else if !self.reserve_held && !wants_to_fire {
            self.reserve_busy = true;
            actions.push(Action::KeepReserve(self.options.fire_reserve_bytes));
        }
    }

    pub(super) fn handle(&mut self, event: Event, views: &mut Views, now_ms: i64) {
        match event {
            Event::Sealed(start, index) => {
                self.sealing = false;
                self.to_seal.pop_front();
                self.sealed.insert(start, index.header().last_store_ms);
                views.install_index(start, &index);
                self.to_copy.push_back(start);
                self.counts.indexes += 1;
            }
            Event::BucketWritten(bucket) => {
                self.copying = false;
                self.counts.buckets += 1;
                self.adopt(bucket, views);
            }
            Event::BaseWritten(_) => {
                self.counts.bases += 1;
                self.generations.extend(self.writing.take());
            }
            Event::CheckpointWritten(checkpoint) => {
                self.checkpoint_busy = false;
                self.checkpoint = checkpoint.flushed;
            }
            Event::ReserveKept => (self.reserve_busy, self.reserve_held) = (false, true),
            Event::Failed(failure, error) => self.failed(failure, &error, now_ms),
            _ => {}
        }
    }

    /// Uses a bucket from now on for the timers that still pend in it.
    fn adopt(&mut self, bucket: Bucket, views: &mut Views) {
        let Ok(directory) = bucket.directory() else { return };
        for (slot, entry) in directory.iter().enumerate() {
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            views.timers.moved(entry.schedule, bucket.segment, slot);
        }
        self.buckets.insert(bucket.segment, bucket);
    }

    fn failed(&mut self, failure: Failure, error: &Error, now_ms: i64) {
        self.pause_ms = now_ms.saturating_add(LOOK_MS);
        match failure {
            Failure::Seal | Failure::Index => self.sealing = false,
            Failure::Bucket(segment) => {
                self.copying = false;
                self.to_copy.push_back(segment);
            }
            Failure::Base => {
                self.writing = None;
                self.base_wanted = true;
            }
            Failure::Checkpoint => self.checkpoint_busy = false,
            Failure::KeepReserve => self.reserve_busy = false,
            _ => {}
        }
        tracing::warn!(?failure, %error, "will be tried again");
    }

    /// Lets go of files that both base generations have passed.
    pub(super) fn plan_removals(&mut self, views: &Views, actions: &mut Vec<Action>) {
        let mut gone: Vec<StreamKind> = Vec::new();
        while self.generations.len() > 2 {
            gone.extend(self.generations.pop_front().map(|g| StreamKind::Base(g.number)));
        }
        let hasty = planted::is(Bug::DroppedTooEarly);
        let passed = if hasty {
            self.generations.back().map(|g| g.start)
        } else {
            self.generations.front().filter(|_| self.generations.len() == 2).map(|g| g.start)
        };
        if let Some(start) = passed {
            for segment in self.log.drop_below(start) {
                self.sealed.remove(&segment.start);
                gone.extend([StreamKind::Segment(segment.start), StreamKind::Index(segment.start)]);
            }
            gone.extend(self.unused_buckets(views));
        }
        if !gone.is_empty() {
            actions.push(Action::Remove(gone));
        }
    }

    fn unused_buckets(&mut self, views: &Views) -> Vec<StreamKind> {
        // A base that is frozen or being written names its buckets already.
        let written = self.generations.iter().chain(&self.writing).flat_map(|g| &g.buckets);
        let frozen = self.frozen.iter().flat_map(|s| &s.buckets);
        let named: BTreeSet<Offset> = written.chain(frozen).copied().collect();
        let idle: Vec<Offset> = self.buckets.keys().copied().filter(|b| !named.contains(b)).collect();
        if idle.is_empty() || self.copying {
            return Vec::new();
        }
        let used = views.bucket_segments();
        let idle: Vec<_> = idle.into_iter().filter(|b| !used.contains(b)).collect();
        idle.iter().for_each(|b| drop(self.buckets.remove(b)));
        idle.into_iter().map(StreamKind::Bucket).collect()
    }

    /// When upkeep has something to do by itself, owner milliseconds.
    pub(super) fn next_ms(&self, now_ms: i64) -> Option<i64> {
        let unsaved = self.cursors.flushed() > self.checkpoint && !self.checkpoint_busy;
        let checkpoint = unsaved.then(|| self.flushed_seen.1.saturating_add(CHECKPOINT_MS));
        let retains = self.options.retention_ms.is_some() || self.options.retention_bytes.is_some();
        let look = (retains && !self.sealed.is_empty()).then(|| now_ms.saturating_add(10 * LOOK_MS));
        let pause = (self.pause_ms > now_ms).then_some(self.pause_ms);
        checkpoint.into_iter().chain(look).chain(pause).min()
    }
}
