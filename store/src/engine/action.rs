//! Everything that may block, as a value: what the engine wants done, and what came of it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use backends::{Backend, StreamControl, StreamReader, StreamWriter};
use bytes::Bytes;

use super::fold::{Fold, Folded};
use super::whole::write_whole;
use crate::bucket::{self, Bucket, Entry};
use crate::cells::{self, Checkpoint, EpochRecord};
use crate::commitlog::{Log, Segment};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Op};
use crate::index::{IndexBuilder, IndexEntry, IndexFile, Unit};
use crate::naming::StreamKind;
use crate::offset::Offset;
use crate::planted::{self, Bug};
use crate::record::Record;

/// Something that may block.
#[derive(Debug)]
pub enum Action {
    /// Store the epoch, then create its first segment.
    OpenEpoch {
        /// What the cell will say.
        record: EpochRecord,
        /// Bytes of a segment.
        segment_bytes: u64,
        /// Bytes of it to reserve.
        reserve: u64,
    },
    /// Create a segment.
    CreateSegment {
        /// Its first offset.
        start: Offset,
        /// Its bytes.
        segment_bytes: u64,
        /// Bytes of it to reserve.
        reserve: u64,
    },
    /// Reserve more of a segment.
    Reserve {
        /// The segment's stream.
        control: Arc<dyn StreamControl>,
        /// Up to here.
        upto: u64,
    },
    /// End a segment's stream where its last frame ends, and write its index file.
    Seal {
        /// The segment.
        segment: Arc<Segment>,
        /// Positions of refused records in it.
        voids: BTreeSet<Offset>,
    },
    /// Copy the bodies of these timers out of a sealed segment: (due, schedule offset, size).
    WriteBucket {
        /// The segment.
        segment: Offset,
        /// The timers.
        timers: Vec<(i64, Offset, u32)>,
    },
    /// Fold and write a base generation.
    FoldBase(Fold),
    /// Write the checkpoint.
    WriteCheckpoint(Checkpoint),
    /// Read bodies of due timers from their buckets.
    ReadBodies(Vec<(Offset, Bucket, u32)>),
    /// Remove streams that nothing names any more.
    Remove(Vec<StreamKind>),
    /// Preallocate the reserve from which timers fire while the disk is full.
    KeepReserve(u64),
}

impl Action {
    /// Whether an append or a due timer may be waiting for it.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        matches!(
            self,
            Self::OpenEpoch { .. } | Self::CreateSegment { .. } | Self::Reserve { .. } | Self::ReadBodies(_)
        )
    }
}

/// What came of an action.
#[derive(Debug)]
pub enum Event {
    /// The epoch can be opened in this segment.
    EpochReady(EpochRecord, Box<dyn StreamWriter>),
    /// The next segment is there.
    SegmentReady(Offset, Box<dyn StreamWriter>),
    /// More is reserved.
    Reserved,
    /// A segment is sealed; its index file can be used.
    Sealed(Offset, Arc<IndexFile>),
    /// A bucket is there, with these timers in it.
    BucketWritten(Bucket, Vec<Entry>),
    /// A base generation is durable.
    BaseWritten(Folded),
    /// The checkpoint is durable.
    CheckpointWritten(Checkpoint),
    /// Bodies of due timers, or why one cannot be read.
    BodiesRead(Vec<(Offset, Result<Bytes>)>),
    /// Streams were removed.
    Removed,
    /// The reserve is there.
    ReserveKept,
    /// An action failed.
    Failed(Failure, Error),
}

/// Which action failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The epoch could not be opened.
    Epoch,
    /// A segment could not be created.
    Segment,
    /// Nothing more could be reserved.
    Reserve,
    /// A segment could not be sealed: what the medium holds of the log is not known any more.
    Seal,
    /// A sealed segment's index file could not be written.
    Index,
    /// A bucket could not be written.
    Bucket(Offset),
    /// A base could not be written.
    Base,
    /// The checkpoint could not be written.
    Checkpoint,
    /// Streams could not be removed.
    Remove,
    /// The reserve could not be preallocated.
    KeepReserve,
}

/// Performs an action against a medium.
pub fn perform(backend: &dyn Backend, log: &Log, action: Action) -> Event {
    let (failure, result) = match action {
        Action::OpenEpoch { record, segment_bytes, reserve } => {
            (Failure::Epoch, open_epoch(backend, record, segment_bytes, reserve))
        }
        Action::CreateSegment { start, segment_bytes, reserve } => (
            Failure::Segment,
            create_segment(backend, start, segment_bytes, reserve).map(|w| Event::SegmentReady(start, w)),
        ),
        Action::Reserve { control, upto } => {
            let done = control.reserve(upto).map_err(|e| Error::io("cannot reserve space for the log", e));
            (Failure::Reserve, done.map(|()| Event::Reserved))
        }
        Action::Seal { segment, voids } => match seal(&segment) {
            Ok(()) => (Failure::Index, index(backend, log, &segment, &voids)),
            Err(error) => (Failure::Seal, Err(error)),
        },
        Action::WriteBucket { segment, timers } => {
            (Failure::Bucket(segment), write_bucket(backend, log, segment, &timers))
        }
        Action::FoldBase(fold) => (Failure::Base, fold.write(backend, log).map(Event::BaseWritten)),
        Action::WriteCheckpoint(checkpoint) => {
            let done = cells::write(backend, &checkpoint);
            (Failure::Checkpoint, done.map(|()| Event::CheckpointWritten(checkpoint)))
        }
        Action::ReadBodies(wanted) => {
            let read = |(schedule, bucket, slot): (Offset, Bucket, u32)| {
                (schedule, read_body(log, schedule, &bucket, slot))
            };
            return Event::BodiesRead(wanted.into_iter().map(read).collect());
        }
        Action::Remove(kinds) => (Failure::Remove, remove(backend, &kinds)),
        Action::KeepReserve(bytes) => (Failure::KeepReserve, keep_reserve(backend, bytes)),
    };
    result.unwrap_or_else(|error| Event::Failed(failure, error))
}

fn open_epoch(backend: &dyn Backend, record: EpochRecord, segment_bytes: u64, reserve: u64) -> Result<Event> {
    cells::write(backend, &record)?;
    let writer = create_segment(backend, record.epoch.first(), segment_bytes, reserve)?;
    Ok(Event::EpochReady(record, writer))
}

fn create_segment(
    backend: &dyn Backend,
    start: Offset,
    segment_bytes: u64,
    reserve: u64,
) -> Result<Box<dyn StreamWriter>> {
    let name = StreamKind::Segment(start).name();
    if planted::is(Bug::FirstOffsetReused) {
        drop(backend.remove(&name));
    }
    backend
        .create(&name, segment_bytes, reserve.min(segment_bytes))
        .map_err(|e| Error::io(format!("cannot create the log segment {name}"), e).at(start))
}

fn seal(segment: &Segment) -> Result<()> {
    let failed = |e| Error::io(format!("cannot seal the log segment {}", segment.start), e);
    segment.control().map_or(Ok(()), |control| control.seal(segment.len_bytes()).map_err(failed))
}

fn index(backend: &dyn Backend, log: &Log, segment: &Segment, voids: &BTreeSet<Offset>) -> Result<Event> {
    let index = index_segment(backend, log.secret(), segment, voids)?;
    Ok(Event::Sealed(segment.start, Arc::new(index)))
}

/// The bytes of a segment's index file: a pure function of its frames and the void set.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if a frame or record of it fails a check.
pub(crate) fn build_index(secret: u64, segment: &Segment, voids: &BTreeSet<Offset>) -> Result<Vec<u8>> {
    let bytes = segment.bytes()?;
    let mut builder = IndexBuilder::new(segment.start.0);
    let (mut at, mut last_checksum) = (0, 0);
    while at < bytes.len() {
        let offset = segment.start.plus(at as u64);
        let damaged = |why: String| Error::new(ErrorKind::Corrupt, format!("damaged log: {why}")).at(offset);
        let frame = Frame::parse(&bytes[at..], secret, offset).map_err(|bad| damaged(bad.to_string()))?;
        for op in frame.ops() {
            let (tags, record_at, record) =
                match op.map_err(|bad| damaged(format!("operation {}", bad.at)))? {
                    Op::Append { tags, at, record } | Op::Fire { tags, at, record, .. } => (tags, at, record),
                    _ => continue,
                };
            let position = offset.plus(u64::from(record_at));
            if voids.contains(&position) && !planted::is(Bug::IndexWithoutVoids) {
                continue;
            }
            let record = Record::parse(record).map_err(|e| damaged(e.to_string()))?;
            let size = u32::try_from(record.bytes().len()).unwrap_or(u32::MAX);
            let entry = IndexEntry {
                topic: record.topic(),
                queue: record.queue(),
                queue_offset: record.queue_offset(),
                unit: Unit { physical_offset: position.0, size, tags },
            };
            builder.add(&entry, record.index_keys());
        }
        builder.cover(frame.header.owner_ms);
        last_checksum = frame.checksum();
        at += frame.bytes.len();
    }
    Ok(builder.finish(segment.start.plus(bytes.len() as u64).0, last_checksum))
}

/// Writes the index file of a sealed segment, or keeps it in memory where there is no space for it.
pub(crate) fn index_segment(
    backend: &dyn Backend,
    secret: u64,
    segment: &Segment,
    voids: &BTreeSet<Offset>,
) -> Result<IndexFile> {
    let bytes = build_index(secret, segment, voids)?;
    let kind = StreamKind::Index(segment.start);
    let reader = match write_whole(backend, kind, &bytes) {
        Err(e) if e.kind() == ErrorKind::Full => {
            tracing::warn!(segment = %segment.start, "no space for an index file; it stays in memory");
            Arc::new(InMemory(bytes.into()))
        }
        other => other?,
    };
    IndexFile::open(reader)
        .map_err(|e| Error::new(ErrorKind::Corrupt, format!("index file {}: {e}", kind.name())))
}

/// A whole stream that could not be written and can be built again at will.
#[derive(Debug)]
pub(crate) struct InMemory(pub(crate) Bytes);

impl StreamReader for InMemory {
    fn published(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: std::ops::Range<u64>) -> io::Result<Bytes> {
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let (start, end) =
            bounds.filter(|(s, e)| s <= e && *e <= self.0.len()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.0.slice(start..end))
    }
}

fn write_bucket(
    backend: &dyn Backend,
    log: &Log,
    segment: Offset,
    timers: &[(i64, Offset, u32)],
) -> Result<Event> {
    let bodies: Result<Vec<_>> = timers
        .iter()
        .map(|(due, schedule, size)| Ok((*due, *schedule, log.slice(*schedule, u64::from(*size))?)))
        .collect();
    let reader = write_whole(backend, StreamKind::Bucket(segment), &bucket::encode(segment, bodies?))?;
    let bucket = Bucket::open(reader)?;
    let entries = bucket.directory()?;
    Ok(Event::BucketWritten(bucket, entries))
}

/// A due timer's record: from its bucket, or from the log where that fails and the log still holds it.
fn read_body(log: &Log, schedule: Offset, bucket: &Bucket, slot: u32) -> Result<Bytes> {
    bucket.record(slot).or_else(|error| {
        let size = bucket.entry(slot).map(|entry| u64::from(entry.size));
        let body = size.and_then(|size| log.slice(schedule, size)).map_err(|_| error)?;
        tracing::warn!(%schedule, "a due bucket is damaged; the timer's record is read from the log");
        Ok(body)
    })
}

fn remove(backend: &dyn Backend, kinds: &[StreamKind]) -> Result<Event> {
    for kind in kinds {
        match backend.remove(&kind.name()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot remove {}", kind.name()), e));
            }
            _ => tracing::debug!(stream = %kind.name(), "removed"),
        }
    }
    Ok(Event::Removed)
}

fn keep_reserve(backend: &dyn Backend, bytes: u64) -> Result<Event> {
    match backend.create(&StreamKind::Reserve.name(), bytes, bytes) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io("cannot keep a reserve for firing", e))
        }
        _ => Ok(Event::ReserveKept),
    }
}
