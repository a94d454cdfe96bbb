//! What keeps a store small and quick to open: index files, buckets, bases, Trim, the checkpoint, the reserve.
//!
//! For each segment that ended, in this order: seal it and write its index file once it is applied and
//! flushed; copy the bodies that will still pend; fold a base. Files go once both base generations have passed
//! them.
//!
//! Nothing here looks at all timers: it runs under the views' lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::action::{Action, Event, Failure};
use super::appender::{Appender, Need};
use super::copier::Copier;
use super::fold::{Fold, Folded};
use crate::base::{Buckets, Generation};
use crate::bucket::Bucket;
use crate::cells::Checkpoint;
use crate::clock::Now;
use crate::commitlog::{Cursors, Log, Segment};
use crate::error::Error;
use crate::frame::Op;
use crate::naming::StreamKind;
use crate::offset::Offset;
use crate::planted::{self, Bug};
use crate::views::{Timers, Views};

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
    /// Streams that nothing names, to be removed with two bases.
    pub(crate) spare: Vec<StreamKind>,
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
    copier: Copier,
    /// Sealed segments: the last store time in each.
    sealed: BTreeMap<Offset, i64>,
    /// Where the log ended when the store was opened.
    opened_at: Offset,
    /// Bases that are wanted: each holds at least everything below such a position. All lie above those that
    /// are on the medium or being folded, so one that goes far enough serves them all, and none is put off.
    wanted: BTreeSet<Offset>,
    folding: Option<Offset>,
    generations: VecDeque<Generation>,
    next_number: u64,
    digest_owed: Option<(Offset, u64)>,
    garbage: Vec<(Offset, StreamKind)>,
    spare: Vec<StreamKind>,
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
            opened_at: cursors.tail(),
            cursors,
            log,
            buckets: Buckets::new(),
            to_seal: VecDeque::new(),
            sealing: false,
            copier: Copier::default(),
            sealed: BTreeMap::new(),
            wanted: BTreeSet::new(),
            folding: None,
            generations: VecDeque::new(),
            next_number: 1,
            digest_owed: None,
            garbage: Vec::new(),
            spare: Vec::new(),
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
        self.spare = found.spare;
        self.checkpoint = found.checkpoint;
        for (segment, bucket) in found.buckets {
            match views.adopt(&bucket) {
                Ok(()) => drop(self.buckets.insert(segment, bucket)),
                Err(error) => tracing::warn!(%segment, %error, "a due bucket cannot be used"),
            }
        }
        let next = self.sealed.keys().skip(1).copied().chain([Offset(u64::MAX)]);
        for (start, next) in self.sealed.keys().copied().zip(next) {
            if views.timers.logged(start..next).next().is_some() {
                self.copier.push(start);
            }
        }
    }

    /// The buckets that can be read.
    pub(crate) fn buckets(&self) -> &Buckets {
        &self.buckets
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
    }

    /// Asks for a base that holds everything below `at`.
    pub(crate) fn want_base(&mut self, at: Offset) {
        let newest = self.generations.back().map_or(Offset(0), |g| g.at);
        if at > newest.max(self.folding.unwrap_or_default()) {
            self.wanted.insert(at);
        }
    }

    /// A segment has its index file and, if it needs one, its bucket; or that cannot be had now.
    fn settled(&mut self, segment: Offset) {
        let found = self.log.find(segment).filter(|s| s.start == segment);
        found.and_then(|s| s.end()).into_iter().for_each(|end| self.want_base(end));
    }

    /// What is to be done now, apart from appends. True if there is more to plan at once.
    pub(super) fn plan(&mut self, views: &Views, now_ms: i64, actions: &mut Vec<Action>) -> bool {
        if now_ms < self.pause_ms {
            return false;
        }
        let flushed = self.cursors.flushed();
        self.plan_seal(views, flushed, actions);
        self.plan_copy(&views.timers, now_ms, actions);
        self.plan_base(views, flushed, actions);
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
        self.copier.has_work()
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

    fn plan_copy(&mut self, timers: &Timers, now_ms: i64, actions: &mut Vec<Action>) {
        if let Some(segment) = self.copier.next() {
            let end = self.log.find(segment).filter(|s| s.start == segment).and_then(|s| s.end());
            // Bases name a bucket's slots; what is left in the log is near, and Trim waits for it.
            if let Some(end) = end.filter(|_| !self.buckets.contains_key(&segment)) {
                let near_ms = i64::try_from(self.options.near_horizon_ms).unwrap_or(i64::MAX);
                self.copier.search(segment..end, now_ms.saturating_add(near_ms));
            }
        }
        let Some(found) = self.copier.found(timers) else { return };
        if found.timers.is_empty() {
            self.settled(found.segment);
            return;
        }
        self.garbage.retain(|(_, kind)| *kind != StreamKind::Bucket(found.segment));
        actions.push(Action::WriteBucket { segment: found.segment, timers: found.timers });
    }

    /// Tells timers that their records are in a bucket, some at a time. True if there are more.
    pub(super) fn tell_timers(&mut self, timers: &mut Timers) -> bool {
        if let Some(segment) = self.copier.tell(timers) {
            self.settled(segment);
        }
        self.copier.is_telling()
    }

    /// Has a base folded up to everything that is applied and flushed, if one is wanted that this serves.
    fn plan_base(&mut self, views: &Views, flushed: Offset, actions: &mut Vec<Action>) {
        let upto = views.applied.min(flushed);
        let due = self.wanted.first().is_some_and(|at| *at <= upto);
        // An open that appends nothing leaves nothing.
        if !due || upto <= self.opened_at || self.folding.is_some() || views.lacks_bodies() {
            return;
        }
        self.wanted.retain(|at| *at > upto);
        self.folding = Some(upto);
        actions.push(Action::FoldBase(self.fold(upto)));
    }

    /// The next base, up to `upto`, over what is on the medium now.
    pub(super) fn fold(&self, upto: Offset) -> Fold {
        let bases = self.generations.iter().rev().map(|g| g.number).collect();
        Fold { number: self.next_number, upto, bases, buckets: self.buckets.clone() }
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
        match views.timers.first_logged() {
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
                self.copier.push(start);
                self.counts.indexes += 1;
            }
            Event::BucketWritten(bucket, entries) => {
                self.counts.buckets += 1;
                self.copier.written(bucket.segment, entries);
                self.buckets.insert(bucket.segment, bucket);
            }
            Event::BaseWritten(folded) => self.base_written(folded),
            Event::CheckpointWritten(checkpoint) => {
                self.checkpoint_busy = false;
                self.checkpoint = checkpoint.flushed;
            }
            Event::ReserveKept => (self.reserve_busy, self.reserve_held) = (false, true),
            Event::Failed(failure, error) => self.failed(failure, &error, now_ms),
            _ => {}
        }
    }

    fn base_written(&mut self, folded: Folded) {
        let Folded { generation, unreadable } = folded;
        self.counts.bases += 1;
        self.folding = None;
        self.next_number = generation.number + 1;
        self.generations.retain(|g| !unreadable.contains(&g.number));
        self.garbage.extend(unreadable.into_iter().map(|number| (Offset(0), StreamKind::Base(number))));
        self.generations.push_back(generation);
    }

    fn failed(&mut self, failure: Failure, error: &Error, now_ms: i64) {
        self.pause_ms = now_ms.saturating_add(LOOK_MS);
        match failure {
            Failure::Seal | Failure::Index => self.sealing = false,
            Failure::Bucket(segment) => {
                self.copier.failed(segment);
                self.settled(segment);
            }
            Failure::Base => self.wanted.extend(self.folding.take()),
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
            if !planted::is(Bug::TrimmedKept) {
                gone.append(&mut self.spare);
            }
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
        // A base that is being folded may come to name any bucket; one that is new is not told to its timers yet.
        if self.folding.is_some() || !self.copier.is_idle() {
            return Vec::new();
        }
        let named: BTreeSet<Offset> =
            self.generations.iter().flat_map(|g| &g.buckets).copied().chain(views.timers.buckets()).collect();
        let idle: Vec<Offset> = self.buckets.keys().copied().filter(|b| !named.contains(b)).collect();
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
