//! Opening a store: what is there, where the log ends, and what state it folds into.
//!
//! In this order: lock, identity, epoch, buckets and bases, the list of streams, index headers, a walk over what is
//! folded in or has no index file, the durable mark, rewrite and flush, apply, cut and seal and index. The epoch of
//! this run is opened later, by the first append.

mod progress;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use backends::{Backend, Lock, StreamReader};
use bytes::Bytes;

use self::progress::Progress;
use crate::base::{Buckets, Generation};
use crate::bucket::Bucket;
use crate::cells::{self, Checkpoint, EpochRecord, Identity};
use crate::clock::Clock;
use crate::commitlog::scan::{self, Behind, Walk};
use crate::commitlog::{Log, Segment};
use crate::engine::{FoundFiles, InMemory, build_index, index_segment};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::index::IndexFile;
use crate::naming::StreamKind;
use crate::offset::{Epoch, Offset};
use crate::planted::{self, Bug};
use crate::views::{BadApply, Views};

/// What an open found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Where the log ended.
    pub end: Offset,
    /// The durable mark: below it nothing is ever cut.
    pub mark: Offset,
    /// Segments that were walked frame by frame.
    pub walked_segments: u64,
    /// Bytes that were walked.
    pub walked_bytes: u64,
    /// Frames that were folded into the base's state.
    pub applied_frames: u64,
    /// Bytes between the mark and the end, written again and flushed.
    pub rewritten_bytes: u64,
    /// Valid frames behind the end that were left out, and their bytes.
    pub left_out: (u64, u64),
    /// Whether the older base generation had to be used.
    pub older_base: bool,
    /// Whether queues went on by 2^22 because a power cut may have taken messages back.
    pub skipped: bool,
    /// Whether the store was closed in order.
    pub clean: bool,
}

/// A store that was opened, ready to run.
pub(crate) struct Opened {
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) log: Arc<Log>,
    pub(crate) views: Views,
    pub(crate) files: FoundFiles,
    pub(crate) next_epoch: Epoch,
    pub(crate) queue_skips: u32,
    pub(crate) damage: Option<Error>,
    pub(crate) report: Report,
}

/// The streams that were found, by kind.
#[derive(Default)]
struct Found {
    segments: Vec<FoundSegment>,
    /// Whether each is sealed; one that is not was being written when the process ended.
    indexes: BTreeMap<Offset, bool>,
    buckets: BTreeMap<Offset, bool>,
    /// One that is not sealed may be whole in the page cache and gone at the next power cut.
    bases: BTreeMap<u64, bool>,
}

/// A segment's stream.
#[derive(Clone, Copy)]
struct FoundSegment {
    start: Offset,
    sealed: bool,
    /// Where its readable bytes end.
    end: Offset,
}

/// The log as it was found.
#[derive(Default)]
struct Chain {
    segments: Vec<ChainSegment>,
    end: Offset,
    flushed: Offset,
    /// Where bytes behind the end have to be searched: a segment that is cut, and what follows.
    bad: Option<(Offset, Walk)>,
}

/// One segment of the chain.
struct ChainSegment {
    start: Offset,
    end: Offset,
    sealed: bool,
    index: Option<IndexFile>,
    /// Whether all its frames were checked.
    checked: bool,
}

/// Opens what `backend` holds.
///
/// # Errors
/// [`ErrorKind::Locked`], [`ErrorKind::Version`], [`ErrorKind::Corrupt`] where nothing can be read, or the medium's.
pub(crate) fn open(backend: &dyn Backend, clock: &dyn Clock, segment_bytes: u64) -> Result<Opened> {
    let _span = tracing::info_span!("recovery", at = %backend.describe()).entered();
    let lock = backend.lock().map_err(|e| Error::io(format!("cannot lock {}", backend.describe()), e))?;
    let found = find(backend)?;
    let identity = identity(backend, clock, &found)?;
    let epoch = cells::read::<EpochRecord>(backend)?;
    let checkpoint = cells::read::<Checkpoint>(backend)?.map_or(Offset(0), |c| c.flushed);
    let mut opening = Opening {
        backend,
        secret: identity.secret,
        now_ms: clock.now().wall_ms,
        buckets: open_buckets(backend, &found.buckets)?,
        found,
        report: Report { clean: epoch.is_none_or(|e| e.clean), ..Report::default() },
        damage: None,
        looking: false,
    };
    let (mut views, mut generations) = opening.base()?;
    if views.segment_bytes == 0 {
        views.segment_bytes = segment_bytes;
    }
    let chain = opening.chain(&views, &mut generations)?;
    opening.judge(&chain, checkpoint.max(views.applied))?;
    let segments = opening.settle(&chain)?;
    let log = Arc::new(Log::new(identity.secret, segments));
    let base = views.applied;
    let above = |s: &Segment| s.start.plus(s.len_bytes()).0.saturating_sub(base.max(s.start).0);
    let mut progress = Progress::new("applied", log.segments().iter().map(|segment| above(segment)));
    opening.report.applied_frames = views.replay(&log, chain.end, |bytes| progress.done(bytes))?;
    let sealed = opening.serve(&log, chain, &mut views)?;
    let (garbage, spare) = opening.garbage(&log, &generations);
    let (next_epoch, queue_skips) = opening.epoch(epoch, clock.boot_id(), &views);
    let next_base = opening.found.bases.keys().last().map_or(1, |newest| newest + 1);
    let Opening { buckets, report, damage, .. } = opening;
    tracing::info!(?report, "opened");
    let files = FoundFiles { sealed, generations, next_base, garbage, spare, buckets, checkpoint };
    Ok(Opened { lock, log, views, files, next_epoch, queue_skips, damage, report })
}

/// A store as it is, for one who only looks.
pub(crate) struct Surveyed {
    pub(crate) identity: Identity,
    pub(crate) epoch: Option<EpochRecord>,
    pub(crate) log: Log,
    pub(crate) views: Views,
    pub(crate) buckets: Buckets,
    pub(crate) damage: Option<Error>,
    pub(crate) report: Report,
}

/// What [`open`] would come to, without changing anything: nothing is written again, cut, sealed or removed. Who calls
/// it holds the lock.
///
/// # Errors
/// As [`open`]; [`ErrorKind::NotFound`] where there is no store.
pub(crate) fn survey(backend: &dyn Backend) -> Result<Surveyed> {
    let found = find(backend)?;
    let missing = || Error::new(ErrorKind::NotFound, format!("{} holds no store", backend.describe()));
    let identity = cells::read::<Identity>(backend)?.ok_or_else(missing)?;
    let epoch = cells::read::<EpochRecord>(backend)?;
    let checkpoint = cells::read::<Checkpoint>(backend)?.map_or(Offset(0), |c| c.flushed);
    let mut opening = Opening {
        backend,
        secret: identity.secret,
        now_ms: identity.created_ms, // only positions the wheel
        buckets: open_buckets(backend, &found.buckets)?,
        found,
        report: Report { clean: epoch.is_none_or(|e| e.clean), ..Report::default() },
        damage: None,
        looking: true,
    };
    let (mut views, mut generations) = opening.base()?;
    let chain = opening.chain(&views, &mut generations)?;
    opening.judge(&chain, checkpoint.max(views.applied))?;
    let log = Log::new(identity.secret, opening.settle(&chain)?);
    opening.report.applied_frames = views.replay(&log, chain.end, |_| ())?;
    opening.serve(&log, chain, &mut views)?;
    for bucket in opening.buckets.values() {
        views.adopt(bucket)?;
    }
    let Opening { buckets, report, damage, .. } = opening;
    Ok(Surveyed { identity, epoch, log, views, buckets, damage, report })
}

fn find(backend: &dyn Backend) -> Result<Found> {
    let list = backend.list().map_err(|e| Error::io(format!("cannot list {}", backend.describe()), e))?;
    let mut found = Found::default();
    for info in list {
        match StreamKind::parse(&info.name) {
            Some(StreamKind::Segment(start)) => {
                found.segments.push(FoundSegment { start, sealed: info.sealed, end: start.plus(info.len) });
            }
            Some(StreamKind::Index(at)) => drop(found.indexes.insert(at, info.sealed)),
            Some(StreamKind::Bucket(at)) => drop(found.buckets.insert(at, info.sealed)),
            Some(StreamKind::Base(number)) => drop(found.bases.insert(number, info.sealed)),
            Some(StreamKind::Reserve) => {}
            None => tracing::warn!(name = %info.name, "a stream that this version does not know; left alone"),
        }
    }
    found.segments.sort_unstable_by_key(|segment| segment.start);
    Ok(found)
}

fn identity(backend: &dyn Backend, clock: &dyn Clock, found: &Found) -> Result<Identity> {
    if let Some(identity) = cells::read::<Identity>(backend)? {
        return Ok(identity);
    }
    if !found.segments.is_empty() || !found.bases.is_empty() {
        let text = format!("{} holds a log but no identity; it cannot be opened", backend.describe());
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    let identity = Identity { secret: clock.random(), created_ms: clock.now().wall_ms };
    cells::write(backend, &identity)?;
    Ok(identity)
}

/// The buckets that can be read. One that is not sealed is what a crash left: its timers are in the log still.
fn open_buckets(backend: &dyn Backend, found: &BTreeMap<Offset, bool>) -> Result<Buckets> {
    let mut buckets = Buckets::new();
    for at in found.iter().filter(|(_, sealed)| **sealed).map(|(at, _)| *at) {
        let name = StreamKind::Bucket(at).name();
        let reader = backend.open(&name).map_err(|e| Error::io(format!("cannot open {name}"), e));
        match reader.and_then(Bucket::open) {
            Ok(bucket) if bucket.segment == at => drop(buckets.insert(at, bucket)),
            Ok(bucket) => tracing::warn!(%name, of = %bucket.segment, "a due bucket under another's name"),
            Err(error) if is_no_damage(&error) => return Err(error),
            Err(error) => tracing::warn!(%name, %error, "a due bucket cannot be used"),
        }
    }
    Ok(buckets)
}

/// Whether another open may do better: what cannot be read now, or not by this version, is not to be left out.
fn is_no_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Version | ErrorKind::Io)
}

/// What an open works with.
struct Opening<'a> {
    backend: &'a dyn Backend,
    secret: u64,
    now_ms: i64,
    buckets: Buckets,
    found: Found,
    report: Report,
    damage: Option<Error>,
    /// Whether the medium stays as it is.
    looking: bool,
}

impl Opening<'_> {
    fn reader(&self, kind: StreamKind) -> Result<Arc<dyn StreamReader>> {
        let name = kind.name();
        self.backend.open(&name).map_err(|e| Error::io(format!("cannot open {name}"), e))
    }

    /// The newest base generation that can be read, and the one before it.
    fn base(&mut self) -> Result<(Views, VecDeque<Generation>)> {
        let mut views = None;
        let mut generations = VecDeque::new();
        let sealed = self.found.bases.iter().rev().filter(|(_, sealed)| **sealed);
        for (age, number) in sealed.map(|(number, _)| number).enumerate() {
            if generations.len() == 2 {
                break; // an older one is left of a removal that failed; what it needs may be gone
            }
            let reader = self.reader(StreamKind::Base(*number))?;
            let bytes = reader.read(0..reader.published()).map_err(|e| Error::io("cannot read a base", e));
            match bytes.and_then(|bytes| Views::thaw(&bytes, &self.buckets, self.now_ms)) {
                Ok(state) => {
                    let buckets = state.timers.buckets().collect();
                    let generation =
                        Generation { number: *number, at: state.applied, start: state.start, buckets };
                    generations.push_front(generation);
                    self.report.older_base |= views.is_none() && age > 0;
                    views.get_or_insert(state);
                }
                Err(error) if is_no_damage(&error) => return Err(error),
                Err(error) => tracing::warn!(number, %error, "a base generation cannot be used"),
            }
        }
        Ok((views.unwrap_or_else(|| Views::empty(self.now_ms)), generations))
    }

    /// The log from the oldest base's start on, or from the state's own if what lies between is not all there:
    /// then the older base is none.
    fn chain(&mut self, views: &Views, generations: &mut VecDeque<Generation>) -> Result<Chain> {
        let found = self.found.segments.clone();
        let at = |start: Offset| found.iter().position(|s| s.start == start);
        if views.start == Offset(0) {
            let mut first = self.successor(Offset(0), &found)?;
            if first.is_none() {
                first = self.headless(&found)?;
            }
            return self.follow(first, &found, views);
        }
        let oldest = generations.front().map_or(views.start, |g| g.start);
        let chain = self.follow(at(oldest), &found, views)?;
        if chain.segments.iter().any(|segment| segment.start == views.start) {
            return Ok(chain);
        }
        generations.retain(|generation| generation.start == views.start);
        self.follow(at(views.start), &found, views)
    }

    /// Follows the log: each segment's first frame names where the one before ended.
    fn follow(&mut self, first: Option<usize>, found: &[FoundSegment], views: &Views) -> Result<Chain> {
        let mut chain = Chain { end: views.start, ..Chain::default() };
        let mut next = first;
        let rest = next.map_or(&[][..], |i| &found[i..]);
        let mut progress = Progress::new("checked", rest.iter().map(|s| self.to_walk(s, views.applied)));
        while let Some(i) = next {
            chain.bad = None;
            let Some(segment) = self.segment(&found[i], views.applied, &mut chain)? else { break };
            progress.done(self.to_walk(&found[i], views.applied));
            chain.end = segment.end;
            chain.segments.push(segment);
            let later = found.get(i + 1..).unwrap_or_default();
            next = self.successor(chain.end, later)?.map(|n| i + 1 + n);
        }
        Ok(chain)
    }

    /// Bytes of a segment that are walked: all that have no index file, and those that are folded into the state.
    /// The rest is checked before it is first read.
    fn to_walk(&self, found: &FoundSegment, base: Offset) -> u64 {
        let indexed = found.sealed && self.found.indexes.get(&found.start) == Some(&true);
        found.end.0 - if indexed { base.clamp(found.start, found.end).0 } else { found.start.0 }
    }

    /// The next segment of the chain; `None` if not even its first frame is good.
    fn segment(
        &mut self,
        found: &FoundSegment,
        base: Offset,
        chain: &mut Chain,
    ) -> Result<Option<ChainSegment>> {
        let FoundSegment { start, sealed, .. } = *found;
        if let Some((index, end)) = self.indexed(found) {
            let from = base.clamp(start, end);
            let sound = from == end || self.walk(start, from, chain)?.bad.is_none();
            if sound {
                let checked = from == start;
                return Ok(Some(ChainSegment { start, end, sealed, index: Some(index), checked }));
            }
        }
        let walk = self.walk(start, start, chain)?;
        if walk.frames == 0 {
            return Ok(None);
        }
        chain.bad = walk.bad.map(|_| (start, walk));
        Ok(Some(ChainSegment { start, end: walk.end, sealed, index: None, checked: true }))
    }

    /// No base and no first segment: what is left of a log whose bases are all lost.
    fn headless(&mut self, found: &[FoundSegment]) -> Result<Option<usize>> {
        if self.found.bases.is_empty() {
            return Ok(None);
        }
        for (i, FoundSegment { start, .. }) in found.iter().enumerate() {
            if scan::previous_end(&self.bytes(*start)?, self.secret, *start).is_some() {
                let text = "no base generation can be read and the log's first frames were trimmed; \
                            the state is incomplete, repair it from a replica";
                self.damage = Some(Error::new(ErrorKind::Corrupt, text).at(*start));
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    /// The segment whose first frame says that the log before it ended at `end`.
    fn successor(&self, end: Offset, later: &[FoundSegment]) -> Result<Option<usize>> {
        for (i, FoundSegment { start, .. }) in later.iter().enumerate() {
            let named = scan::previous_end(&self.bytes(*start)?, self.secret, *start);
            let hole = planted::is(Bug::HoleTakenForRoll) && named.is_some_and(|named| named >= end);
            if named == Some(end) || hole {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    fn bytes(&self, start: Offset) -> Result<Bytes> {
        let reader = self.reader(StreamKind::Segment(start))?;
        let all = 0..reader.published();
        reader.read(all).map_err(|e| Error::io("cannot read the log", e).at(start))
    }

    /// A sealed segment's index file, if it is there and fits.
    fn indexed(&self, found: &FoundSegment) -> Option<(IndexFile, Offset)> {
        let FoundSegment { start, sealed, end } = *found;
        self.found.indexes.get(&start).filter(|whole| sealed && **whole)?;
        let kind = StreamKind::Index(start);
        let index = IndexFile::open(self.reader(kind).ok()?)
            .inspect_err(|error| tracing::warn!(segment = %start, %error, "an index file is built again"))
            .ok()?;
        let header = index.header();
        (header.segment_start == start.0 && header.segment_end == end.0).then_some((index, end))
    }

    /// Walks the frames of the segment `start` from `from` on.
    fn walk(&mut self, start: Offset, from: Offset, chain: &mut Chain) -> Result<Walk> {
        let bytes = self.bytes(start)?;
        let skip = usize::try_from(from.0 - start.0).unwrap_or(usize::MAX);
        let walk = scan::walk(bytes.get(skip..).unwrap_or_default(), self.secret, from);
        if let Some((at, level)) = walk.newer {
            return Err(BadApply::Feature(level).error(at));
        }
        self.report.walked_segments += 1;
        self.report.walked_bytes += walk.end.0 - from.0;
        chain.flushed = chain.flushed.max(walk.flushed);
        tracing::debug!(segment = %start, frames = walk.frames, end = %walk.end, bad = ?walk.bad, "walked");
        Ok(walk)
    }

    /// Decides between a torn tail and damage by the durable mark.
    fn judge(&mut self, chain: &Chain, known: Offset) -> Result<()> {
        let mut behind = Behind::default();
        let mut look = |found: Behind| {
            behind.flushed = behind.flushed.max(found.flushed);
            behind.frames += found.frames;
            behind.bytes += found.bytes;
        };
        if let Some((start, walk)) = &chain.bad {
            let bytes = self.bytes(*start)?;
            let from = usize::try_from(walk.end.0 - start.0).unwrap_or(usize::MAX);
            look(scan::search(&bytes.slice(from.min(bytes.len())..), self.secret, walk.end));
        }
        let known_start = chain.segments.first().map_or(chain.end, |s| s.start);
        for FoundSegment { start, .. } in self.found.segments.iter().filter(|s| s.start >= chain.end) {
            look(scan::search(&self.bytes(*start)?, self.secret, *start));
        }
        // A sealed stream was flushed to its last byte, and everything before it was too.
        let sealed = self.found.segments.iter().filter(|s| s.sealed && s.start >= known_start);
        let sealed = sealed.map(|s| s.end).max();
        let mark = known.max(chain.flushed).max(behind.flushed).max(sealed.unwrap_or_default());
        self.report.end = chain.end;
        self.report.mark = mark;
        self.report.left_out = (behind.frames, behind.bytes);
        if mark > chain.end && !planted::is(Bug::DamageCutAsTail) && self.damage.is_none() {
            let (at, why) = self.first_bad(chain);
            let text = format!(
                "the log is damaged below {mark}, which was durable: {why}; the store is read-only, \
                 repair it from a replica"
            );
            tracing::error!(%at, %mark, why, "damage below the durable mark");
            self.damage = Some(Error::new(ErrorKind::ReadOnly, text).at(at));
        }
        Ok(())
    }

    /// Where the chain breaks off, and the check that fails there.
    fn first_bad(&self, chain: &Chain) -> (Offset, String) {
        if let Some((walk, bad)) = chain.bad.as_ref().and_then(|(_, walk)| Some((walk, walk.bad?))) {
            return (walk.end, bad.to_string());
        }
        let next = self.found.segments.iter().find(|s| s.start >= chain.end);
        let bad = next.and_then(|s| {
            Some((s.start, Frame::parse(&self.bytes(s.start).ok()?, self.secret, s.start).err()?))
        });
        bad.map_or_else(
            || (chain.end, "the segment that follows is missing".to_owned()),
            |(at, bad)| (at, bad.to_string()),
        )
    }

    /// Writes the unflushed end again, and cuts and seals what was open. Leaves a damaged store as it is.
    fn settle(&mut self, chain: &Chain) -> Result<Vec<Arc<Segment>>> {
        let mut segments = Vec::new();
        for found in &chain.segments {
            if !found.sealed && self.damage.is_none() && !self.looking {
                self.rewrite(found)?;
            }
            let reader = self.reader(StreamKind::Segment(found.start))?;
            segments.push(Arc::new(Segment::ended(found.start, found.end, reader, found.checked)));
        }
        Ok(segments)
    }

    fn rewrite(&mut self, found: &ChainSegment) -> Result<()> {
        let name = StreamKind::Segment(found.start).name();
        let failed = |e| Error::io(format!("cannot write the end of {name} again"), e).at(found.start);
        let len = found.end.0 - found.start.0;
        let from = self.report.mark.0.clamp(found.start.0, found.end.0) - found.start.0;
        // Copied out first: no reader may be left when the writer opens.
        let bytes = self.bytes(found.start)?;
        let tail =
            usize::try_from(from).ok().zip(usize::try_from(len).ok()).and_then(|(f, l)| bytes.get(f..l));
        let tail = tail.unwrap_or_default().to_vec();
        drop(bytes);
        if planted::is(Bug::ShownBeforeReflush) {
            let writer = self.backend.reopen(&name, len).map_err(failed)?;
            drop(writer);
            return Ok(());
        }
        let mut writer = self.backend.reopen(&name, from).map_err(failed)?;
        if !tail.is_empty() {
            let window = writer.window(tail.len()).ok_or_else(|| failed(std::io::ErrorKind::Other.into()))?;
            window.copy_from_slice(&tail);
            writer.publish(tail.len());
        }
        self.report.rewritten_bytes += tail.len() as u64;
        let control = writer.control();
        control.flush(len).map_err(failed)?;
        control.seal(len).map_err(failed)
    }

    /// Gives every segment an index file and serves its queues from it.
    fn serve(&mut self, log: &Log, chain: Chain, views: &mut Views) -> Result<BTreeMap<Offset, i64>> {
        let mut sealed = BTreeMap::new();
        let missing = chain.segments.iter().filter(|s| s.index.is_none());
        let mut progress = Progress::new("indexed", missing.map(|s| s.end.0 - s.start.0));
        for (segment, found) in log.segments().iter().zip(chain.segments) {
            let indexed = found.index.is_some();
            let voids = views.voids_in(segment.start, found.end);
            let index = match found.index {
                Some(index) => index,
                // Below the state's start its voids are forgotten: such a file would be wrong for the older base, for
                // which alone the segment is still there.
                None if self.damage.is_none() && !self.looking && segment.start >= views.start => {
                    index_segment(self.backend, self.secret, segment, &voids)?
                }
                None => {
                    let bytes = build_index(self.secret, segment, &voids)?;
                    let reader = Arc::new(InMemory(bytes.into()));
                    let unusable = |e| Error::new(ErrorKind::Corrupt, format!("index: {e}"));
                    IndexFile::open(reader).map_err(unusable)?
                }
            };
            sealed.insert(segment.start, index.header().last_store_ms);
            if segment.start >= views.start {
                views.install_index(segment.start, &Arc::new(index));
            }
            if !indexed {
                progress.done(segment.len_bytes());
            }
        }
        Ok(sealed)
    }

    /// Streams that nothing names any more; they go once the frame that names the log's end is flushed. And those of them
    /// that stay until there are two bases: what was trimmed goes once both contain the Trim, also if one was lost.
    fn garbage(
        &self,
        log: &Log,
        generations: &VecDeque<Generation>,
    ) -> (Vec<(Offset, StreamKind)>, Vec<StreamKind>) {
        if self.damage.is_some() {
            return Default::default();
        }
        let live: Vec<Offset> = log.segments().iter().map(|s| s.start).collect();
        let dead = |at: &Offset| !live.contains(at);
        let segments = self.found.segments.iter().map(|s| s.start).filter(dead).map(|at| (at, true));
        let indexes = self.found.indexes.keys().copied().filter(dead).map(|at| (at, false));
        let first = live.first().copied().filter(|_| generations.len() < 2).unwrap_or_default();
        let (spare, dead): (Vec<_>, Vec<_>) = segments.chain(indexes).partition(|(at, _)| *at < first);
        let kind = |(at, is_log)| if is_log { StreamKind::Segment(at) } else { StreamKind::Index(at) };
        let buckets = self
            .found
            .buckets
            .keys()
            .copied()
            .filter(|b| !self.buckets.contains_key(b))
            .map(StreamKind::Bucket);
        let known = |number: &u64| !generations.iter().any(|g| g.number == *number);
        let bases = self.found.bases.keys().copied().filter(known).map(StreamKind::Base);
        let dead = dead.into_iter().map(kind).chain(buckets).chain(bases);
        (dead.map(|kind| (self.report.end, kind)).collect(), spare.into_iter().map(kind).collect())
    }

    /// The epoch that the first append will open, and the queue skips it will name.
    fn epoch(&mut self, cell: Option<EpochRecord>, boot_id: u128, views: &Views) -> (Epoch, u32) {
        let of_streams = self.found.segments.last().map_or(Epoch(0), |s| s.start.epoch());
        let of_cell = cell.map_or(Epoch(0), |c| c.epoch);
        let last = if planted::is(Bug::FirstOffsetReused) {
            self.report.end.epoch()
        } else {
            of_streams.max(of_cell).max(self.report.end.epoch())
        };
        let promised = cell.map_or(0, |c| c.queue_skips).max(views.queue_skips);
        self.report.skipped = cell.is_some_and(|c| c.commit_rule == 0 && c.boot_id != boot_id && !c.clean);
        (last.next().unwrap_or(last), promised + u32::from(self.report.skipped))
    }
}
