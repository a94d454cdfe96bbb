//! The appending half: encodes frames in place behind the tail, in memory only.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::sync::Arc;

use backends::{StreamControl, StreamWriter};

use super::action::Action;
use super::draft::{FrameStamp, OpDraft, encode_op};
use super::queues::QueueCursors;
use crate::cells::EpochRecord;
use crate::clock::{Now, OwnerClock};
use crate::commitlog::{Cursors, Log, Segment};
use crate::error::{Error, ErrorKind};
use crate::frame::{
    HEADER_BYTES, Header, OP_HEAD_BYTES, Op, OpKind, Opening, RECORD_AT_FIRE, RECORD_AT_SCHEDULE, Wait,
    aligned,
};
use crate::histogram::Histogram;
use crate::offset::{EPOCH_BYTES, Offset};
use crate::planted::{self, Bug};
use crate::views::Views;

/// What bounds an append.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the longest frame.
    pub frame_bytes_max: usize,
    /// Bytes that may be appended and not flushed.
    pub unflushed_bytes_max: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes reserved ahead at a time.
    pub reserve_bytes: u64,
    /// The address that records name.
    pub store_host: SocketAddrV4,
}

/// Why nothing was appended.
#[derive(Debug)]
pub enum Need {
    /// The epoch must be opened first.
    Epoch,
    /// The next segment must be created first.
    Segment,
    /// More of the present segment must be reserved first.
    Reserve,
    /// It cannot be appended.
    Refused(Error),
}

/// What one flush has to make durable.
#[derive(Debug)]
pub struct FlushJob {
    parts: Vec<(Arc<dyn StreamControl>, u64)>,
    /// `flushed` afterwards.
    pub upto: Offset,
    bytes: u64,
    frames: u64,
}

impl FlushJob {
    /// Makes it durable.
    ///
    /// # Errors
    /// The medium's; the store is poisoned then.
    pub fn run(&self) -> std::io::Result<()> {
        self.parts.iter().try_for_each(|(control, upto)| control.flush(*upto))
    }
}

/// How far the views may be behind the tail, bytes: what a reopen has to replay is bounded by it too.
const UNAPPLIED_BYTES_MAX: u64 = 256 << 20;

/// Classes of how long a flush takes, microseconds.
const FLUSH_BOUNDS_US: [u64; 11] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 1_000_000, 10_000_000];
/// Classes of how many frames one flush makes durable.
const BATCH_BOUNDS: [u64; 9] = [1, 2, 4, 8, 16, 64, 256, 1_024, 16_384];

/// How long the engine itself waits before it asks for space again, owner milliseconds.
const SPACE_RETRY_MS: i64 = 100;

#[derive(Debug)]
struct OpenSegment {
    start: Offset,
    writer: Box<dyn StreamWriter>,
    control: Arc<dyn StreamControl>,
}

/// The epoch that the first append opens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EpochPlan {
    pub(crate) record: EpochRecord,
    /// Where the log ended before.
    pub(crate) previous_end: Offset,
}

/// The appending half of the engine.
#[derive(Debug)]
pub struct Appender {
    plan: EpochPlan,
    epoch_asked: bool,
    limits: Limits,
    cursors: Arc<Cursors>,
    log: Arc<Log>,
    clock: OwnerClock,
    segment: Option<OpenSegment>,
    next: Option<OpenSegment>,
    next_asked: bool,
    reserve_asked: bool,
    queues: QueueCursors,
    unflushed_bytes: u64,
    full_segments: VecDeque<(Arc<dyn StreamControl>, u64)>,
    oldest_unflushed_ms: Option<i64>,
    flush_wanted: bool,
    /// Frames appended and in no flush job yet.
    unflushed_frames: u64,
    flush_us: Histogram,
    flush_frames: Histogram,
    stopped: Option<(ErrorKind, String)>,
    full: bool,
    /// Not before this owner time is space asked for again, unless a producer asks.
    retry_ms: i64,
    /// Whether the frame being appended is one that the engine itself decided.
    own: bool,
    /// Whether only such frames are taken: what is left of the disk is for firing.
    own_only: bool,
}

impl Appender {
    /// The appender of a store that was opened: `views` are applied to the log's end.
    pub(crate) fn new(
        limits: Limits,
        cursors: Arc<Cursors>,
        log: Arc<Log>,
        plan: EpochPlan,
        (clock, views): (OwnerClock, &Views),
    ) -> Self {
        let queues = QueueCursors::new(views, log.secret());
        Self {
            plan,
            epoch_asked: false,
            limits,
            cursors,
            log,
            clock,
            segment: None,
            next: None,
            next_asked: false,
            reserve_asked: false,
            queues,
            unflushed_bytes: 0,
            full_segments: VecDeque::new(),
            oldest_unflushed_ms: None,
            flush_wanted: false,
            unflushed_frames: 0,
            flush_us: Histogram::new(&FLUSH_BOUNDS_US),
            flush_frames: Histogram::new(&BATCH_BOUNDS),
            stopped: None,
            full: false,
            retry_ms: i64::MIN,
            own: false,
            own_only: false,
        }
    }

    pub(super) fn own(&mut self, own: bool) {
        self.own = own;
    }

    pub(super) fn own_only(&mut self, own_only: bool) {
        self.own_only = own_only;
    }

    /// The owner's time at `now`.
    pub fn owner_ms(&mut self, now: Now) -> i64 {
        self.clock.read(now)
    }

    /// By how much a wall clock that was not adopted is ahead, milliseconds.
    #[must_use]
    pub fn clock_held_ms(&self) -> Option<i64> {
        self.clock.held()
    }

    /// Adopts the wall clock: (before, after), owner milliseconds.
    pub(crate) fn confirm_clock(&mut self, now: Now) -> (i64, i64) {
        let before = self.clock.read(now);
        let step = self.clock.confirm(now);
        (before, before + step)
    }

    /// Refuses every append from now on. The first reason stays.
    pub(crate) fn stop(&mut self, kind: ErrorKind, why: impl Into<String>) {
        self.stopped.get_or_insert((kind, why.into()));
        self.cursors.stop();
    }

    /// Why appends are refused, if they are.
    #[must_use]
    pub fn stopped(&self) -> Option<Error> {
        self.stopped.as_ref().map(|(kind, why)| Error::new(*kind, why.clone()))
    }

    /// Whether appends are refused.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Bytes of the longest frame.
    pub(super) fn frame_bytes_max(&self) -> usize {
        self.limits.frame_bytes_max
    }

    /// Whether the epoch is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.segment.is_some()
    }

    /// Bytes appended and not flushed.
    #[must_use]
    pub fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes
    }

    /// Since when something waits for a flush job, owner milliseconds.
    #[must_use]
    pub fn unflushed_since_ms(&self) -> Option<i64> {
        self.oldest_unflushed_ms
    }

    /// How long flushes took, microseconds, and how many frames each made durable.
    #[must_use]
    pub fn flush_histograms(&self) -> (&Histogram, &Histogram) {
        (&self.flush_us, &self.flush_frames)
    }

    /// How many queues a topic's producers write, `None` if it has no settings.
    pub(crate) fn topic_queues(&self, topic: &str) -> Option<u32> {
        self.queues.get(topic).map(|t| t.queues).filter(|q| *q > 0)
    }

    /// A topic's settings changed: `queues` is 0 for a deleted one.
    pub(crate) fn set_topic_queues(&mut self, topic: &str, queues: u32) {
        self.queues.cursor(topic).queues = queues;
    }

    /// Appends one frame. On success every draft's placement is set. `now` is `None` where a time was read so
    /// recently that it will do.
    ///
    /// # Errors
    /// [`Need`]; nothing was written and no offset was used.
    #[inline]
    pub fn append(
        &mut self,
        now: Option<Now>,
        wait: Wait,
        ops: &mut [OpDraft<'_>],
    ) -> Result<Appended, Need> {
        let store_ms = match now {
            Some(now) => self.clock.read(now),
            None => self.clock.last(),
        };
        let body: usize = ops.iter().map(|op| OP_HEAD_BYTES + aligned(op.payload_bytes())).sum();
        let len = HEADER_BYTES + body;
        // What is scheduled must fit a frame again when it fires.
        let more = if ops.iter().any(|op| matches!(op, OpDraft::Schedule { .. })) {
            aligned(RECORD_AT_FIRE - RECORD_AT_SCHEDULE)
        } else {
            0
        };
        self.admit(len + more)?;
        self.make_room(store_ms, len)?;
        self.choose_queues(ops).map_err(Need::Refused)?;
        Ok(self.encode(wait, store_ms, len, ops))
    }

    /// Gives every message its queue; topics that the frame itself creates count. All or nothing.
    fn choose_queues(&mut self, ops: &mut [OpDraft<'_>]) -> Result<(), Error> {
        let mut before = Vec::new();
        for op in ops.iter_mut() {
            let chosen = match op {
                OpDraft::Append(draft) | OpDraft::Schedule { draft, .. } => {
                    let topic = draft.record.draft().topic;
                    let chosen = self.queues.choose(topic, draft.queue);
                    chosen.map(|place| (draft.placed.topic, draft.placed.queue) = place)
                }
                OpDraft::Topic(name, queues, _) => {
                    before.push(((*name).to_owned(), self.topic_queues(name).unwrap_or(0)));
                    self.set_topic_queues(name, *queues);
                    Ok(())
                }
                OpDraft::Fire { .. } | OpDraft::Plain(..) => Ok(()),
            };
            if let Err(error) = chosen {
                before.iter().rev().for_each(|(name, queues)| self.set_topic_queues(name, *queues));
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline]
    fn admit(&mut self, len: usize) -> Result<(), Need> {
        if self.is_stopped()
            && let Some(error) = self.stopped()
        {
            return Err(Need::Refused(error));
        }
        if self.own_only && !self.own {
            let text = "the disk is full: only timers that are due are written; free some space";
            return Err(Need::Refused(Error::new(ErrorKind::Full, text)));
        }
        if len > self.limits.frame_bytes_max {
            let text = format!(
                "a frame of {len} bytes is more than this store takes ({}); send less at once",
                self.limits.frame_bytes_max
            );
            return Err(Need::Refused(Error::new(ErrorKind::TooLarge, text)));
        }
        let (tail, applied) = (self.cursors.tail(), self.cursors.applied());
        if tail.epoch() == applied.epoch() && tail.0 - applied.0 > UNAPPLIED_BYTES_MAX && !self.own {
            let text = format!("{} bytes wait to be applied already", tail.0 - applied.0);
            return Err(Need::Refused(Error::new(ErrorKind::Busy, text)));
        }
        let waiting = self.unflushed_bytes;
        if waiting + len as u64 > self.limits.unflushed_bytes_max {
            self.flush_wanted = true;
            let text = format!("{waiting} bytes wait for their flush already");
            return Err(Need::Refused(Error::new(ErrorKind::Busy, text)));
        }
        Ok(())
    }

    /// Sees to it that `len` bytes can be encoded in the present segment; rolls if they do not fit.
    #[inline]
    fn make_room(&mut self, store_ms: i64, len: usize) -> Result<(), Need> {
        let segment = self.segment.as_ref().ok_or(Need::Epoch)?;
        let (published, reserved) = (segment.writer.published(), segment.writer.reserved());
        let need = published + len as u64;
        // Not up to its last byte: where a segment ends and where the next one starts are two offsets.
        let fits = need < self.limits.segment_bytes
            || (need == self.limits.segment_bytes && planted::is(Bug::SegmentFilled));
        if fits {
            return if need <= reserved { Ok(()) } else { Err(Need::Reserve) };
        }
        if self.next.is_none() {
            return Err(Need::Segment);
        }
        self.roll(store_ms);
        let fits =
            self.segment.as_ref().is_some_and(|s| s.writer.published() + len as u64 <= s.writer.reserved());
        if fits { Ok(()) } else { Err(Need::Reserve) }
    }

    /// Goes on in the prepared segment; its first frame names where this one ends.
    fn roll(&mut self, store_ms: i64) {
        let (Some(next), Some(full)) = (self.next.take(), self.segment.take()) else { return };
        let end = full.start.plus(full.writer.published());
        self.full_segments.push_back((Arc::clone(&full.control), full.writer.published()));
        if let Some(segment) = self.log.find(full.start) {
            segment.set_end(end);
        }
        tracing::debug!(from = %full.start, to = %next.start, "roll");
        self.enter(next);
        let (kind, payload) = Op::Segment { previous_end: end }.payload();
        self.encode_plain(Wait::Appended, store_ms, kind, &payload);
    }

    fn enter(&mut self, next: OpenSegment) {
        let segment = Segment::open(next.start, next.writer.reader(), Arc::clone(&next.control));
        self.log.push(Arc::new(segment));
        self.segment = Some(next);
        (self.next_asked, self.reserve_asked) = (false, false);
    }

    fn encode_plain(&mut self, wait: Wait, store_ms: i64, kind: OpKind, payload: &[u8]) {
        let len = HEADER_BYTES + OP_HEAD_BYTES + aligned(payload.len());
        self.encode(wait, store_ms, len, &mut [OpDraft::Plain(kind, payload)]);
    }

    /// Encodes and publishes a frame for which there is room.
    fn encode(&mut self, wait: Wait, store_ms: i64, len: usize, ops: &mut [OpDraft<'_>]) -> Appended {
        let (flushed, committed) = (self.cursors.flushed(), self.cursors.committed());
        #[expect(clippy::expect_used, reason = "`make_room` found the segment and the bytes")]
        let segment = self.segment.as_mut().expect("an open segment");
        let at = segment.start.plus(segment.writer.published());
        #[expect(clippy::expect_used, reason = "`make_room` found the segment and the bytes")]
        let frame = segment.writer.window(len).expect("reserved bytes");
        let mut place = HEADER_BYTES;
        let stamp = FrameStamp { at, store_ms, store_host: self.limits.store_host };
        for op in ops.iter_mut() {
            let payload = op.payload_bytes();
            let room = OP_HEAD_BYTES + aligned(payload);
            encode_op(&mut self.queues, &stamp, place, op, &mut frame[place..place + room]);
            place += room;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a frame is at most 8 MiB")]
        let header = Header {
            wait,
            feature_level: ops.iter().map(|op| op.feature_level()).max().unwrap_or(1),
            len: len as u32,
            ops: ops.len() as u32,
            at,
            owner_ms: store_ms,
            flushed,
            committed,
        };
        header.seal(self.log.secret(), frame);
        segment.writer.publish(len);
        let end = at.plus(len as u64);
        self.unflushed_bytes += len as u64;
        self.unflushed_frames += 1;
        self.oldest_unflushed_ms.get_or_insert(store_ms);
        self.cursors.set_tail(end);
        Appended { at, end, store_ms }
    }

    /// Takes the first segment of an epoch and writes the opening frame.
    pub(super) fn epoch_ready(&mut self, now: Now, record: &EpochRecord, first: Box<dyn StreamWriter>) {
        let opening = Opening {
            previous_end: self.plan.previous_end,
            segment_bytes: self.limits.segment_bytes,
            queue_skips: record.queue_skips,
            commit_rule: record.commit_rule,
            node: record.node,
            boot_id: record.boot_id,
        };
        let control = first.control();
        self.enter(OpenSegment { start: record.epoch.first(), writer: first, control });
        self.queues.skip_to(opening.queue_skips);
        let store_ms = self.clock.read(now);
        let (kind, payload) = Op::Open(opening).payload();
        self.encode_plain(Wait::Appended, store_ms, kind, &payload);
    }

    /// The epoch that was or will be opened.
    pub(crate) fn epoch(&self) -> EpochRecord {
        self.plan.record
    }

    /// What has to be had ahead of the tail; `need` is what an append lacks right now.
    pub(crate) fn requests(&mut self, need: Option<&Need>, producer: bool, actions: &mut Vec<Action>) {
        if self.full && !producer && self.clock.last() < self.retry_ms {
            return;
        }
        let (segment_bytes, reserve) = (self.limits.segment_bytes, self.limits.reserve_bytes);
        if matches!(need, Some(Need::Epoch)) && !self.epoch_asked && self.segment.is_none() {
            self.epoch_asked = true;
            actions.push(Action::OpenEpoch { record: self.plan.record, segment_bytes, reserve });
        }
        if let Some(start) = self.want_segment(matches!(need, Some(Need::Segment))) {
            actions.push(Action::CreateSegment { start, segment_bytes, reserve });
        }
        if let Some((control, upto)) = self.want_reserve(matches!(need, Some(Need::Reserve))) {
            actions.push(Action::Reserve { control, upto });
        }
    }

    /// Takes the segment after the present one.
    pub(crate) fn take_next(&mut self, start: Offset, writer: Box<dyn StreamWriter>) {
        let control = writer.control();
        self.next = Some(OpenSegment { start, writer, control });
        self.full = false;
    }

    /// The prepared segment that was never used.
    pub(crate) fn unused_next(&mut self) -> Option<Offset> {
        self.next.take().map(|s| s.start)
    }

    /// More of the present segment was reserved.
    pub(crate) fn reserved(&mut self) {
        self.reserve_asked = false;
        self.full = false;
    }

    /// Space that was asked for could not be had.
    pub(crate) fn no_space(&mut self, now: Now) {
        self.retry_ms = self.clock.read(now).saturating_add(SPACE_RETRY_MS);
        (self.next_asked, self.reserve_asked, self.epoch_asked) = (false, false, false);
        self.full = true;
    }

    /// Whether the medium had no space when it was last asked for some.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The next segment's start, once it is time to create it; told once.
    fn want_segment(&mut self, urgent: bool) -> Option<Offset> {
        let segment = self.segment.as_ref()?;
        let near = segment.writer.published() >= self.limits.segment_bytes / 2;
        if self.next.is_some() || self.next_asked || !(near || urgent) {
            return None;
        }
        let start = segment.start.plus(self.limits.segment_bytes);
        if start.epoch() != segment.start.epoch()
            || (start.0 + self.limits.segment_bytes) % EPOCH_BYTES < start.0 % EPOCH_BYTES
        {
            self.stop(ErrorKind::ReadOnly, "the epoch's offsets are used up; open the store again");
            return None;
        }
        self.next_asked = true;
        Some(start)
    }

    /// Up to where the present segment is to be reserved, once it is time to; told once.
    fn want_reserve(&mut self, urgent: bool) -> Option<(Arc<dyn StreamControl>, u64)> {
        let segment = self.segment.as_ref()?;
        let (published, reserved) = (segment.writer.published(), segment.writer.reserved());
        let near = reserved - published <= self.limits.reserve_bytes / 2;
        if self.reserve_asked || reserved >= self.limits.segment_bytes || !(near || urgent) {
            return None;
        }
        self.reserve_asked = true;
        let step = self.limits.reserve_bytes.max(self.limits.frame_bytes_max as u64);
        Some((Arc::clone(&segment.control), (reserved + step).min(self.limits.segment_bytes)))
    }

    /// Asks for a flush soon, whatever the interval says.
    pub(crate) fn want_flush(&mut self) {
        self.flush_wanted = true;
    }

    /// Whether so much waits for its flush that it should begin whatever the interval says.
    #[must_use]
    pub fn is_flush_urgent(&self) -> bool {
        self.flush_wanted || self.unflushed_bytes > self.limits.unflushed_bytes_max / 4
    }

    /// When the oldest unflushed frame was appended, owner milliseconds; 0 where a flush is wanted at once.
    pub(crate) fn flush_since(&self) -> Option<i64> {
        if self.cursors.tail() == self.cursors.flushed() {
            return None;
        }
        if self.flush_wanted { Some(i64::MIN) } else { self.oldest_unflushed_ms }
    }

    /// All that is not flushed, as one job; `None` where there is nothing.
    pub fn flush_job(&mut self) -> Option<FlushJob> {
        let upto = self.cursors.tail();
        if upto == self.cursors.flushed() {
            return None;
        }
        let mut parts: Vec<_> = self.full_segments.iter().cloned().collect();
        if let Some(segment) = &self.segment {
            parts.push((Arc::clone(&segment.control), segment.writer.published()));
        }
        (self.flush_wanted, self.oldest_unflushed_ms) = (false, None);
        let frames = std::mem::take(&mut self.unflushed_frames);
        Some(FlushJob { parts, upto, bytes: self.unflushed_bytes, frames })
    }

    /// A job was done, in so many microseconds.
    pub(crate) fn flushed(&mut self, job: &FlushJob, now_ms: i64, took_us: u64) {
        self.flush_us.add(took_us);
        self.flush_frames.add(job.frames);
        self.unflushed_bytes -= job.bytes;
        self.full_segments.drain(..job.parts.len().saturating_sub(1).min(self.full_segments.len()));
        self.cursors.set_flushed(job.upto);
        if self.unflushed_bytes > 0 {
            self.oldest_unflushed_ms.get_or_insert(now_ms);
        }
    }
}

/// Where a frame came to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub at: Offset,
    /// The position behind it.
    pub end: Offset,
    /// The owner's time, milliseconds.
    pub store_ms: i64,
}
