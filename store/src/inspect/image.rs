//! A store at rest, folded into memory.

#[cfg(feature = "mmap")]
use std::path::Path;
use std::sync::Arc;

use backends::{Backend, Lock};
use bytes::Bytes;

use super::lock;
use crate::base::Buckets;
use crate::cells::{EpochRecord, Identity};
use crate::commitlog::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Op};
use crate::ledger::{self, Explained, First, TimerPage, TimerQuery};
use crate::message::Handle;
use crate::offset::Offset;
use crate::record::Record;
use crate::recovery::{self, Report, Surveyed};
use crate::views::Views;

/// What opening a store would come to, held in memory; the medium stays as it is.
#[derive(Debug)]
pub struct Image {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) identity: Identity,
    pub(super) epoch: Option<EpochRecord>,
    pub(super) log: Log,
    pub(super) views: Views,
    pub(super) buckets: Buckets,
    pub(super) damage: Option<Error>,
    report: Report,
    _lock: Box<dyn Lock>,
}

/// One operation of a frame, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpInfo {
    /// What it does: `append`, `schedule`, `fire`, ...
    pub kind: &'static str,
    /// Its fields as text: `topic=T queue=3 offset=17`.
    pub fields: Vec<(&'static str, String)>,
}

/// One frame, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// Its position.
    pub at: Offset,
    /// Its bytes, header included.
    pub bytes: u32,
    /// The owner's time, milliseconds.
    pub owner_ms: i64,
    /// The owner's `flushed` cursor at that moment.
    pub flushed: Offset,
    /// The owner's `committed` cursor at that moment.
    pub committed: Offset,
    /// Its operations.
    pub ops: Vec<OpInfo>,
}

#[cfg(feature = "mmap")]
impl Image {
    /// Looks at the store in a directory.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] naming the process that has it open, [`ErrorKind::NotFound`] where there is none,
    /// [`ErrorKind::Version`], [`ErrorKind::Corrupt`] where nothing can be read, or what the file system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let backend = backends_mmap::ReadOnlyBackend::open(path).map_err(super::no_directory)?;
        Self::open_on(Arc::new(backend))
    }
}

impl Image {
    /// Looks at the store on any medium.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_on(backend: Arc<dyn Backend>) -> Result<Self> {
        let lock = lock(&*backend)?;
        let Surveyed { identity, epoch, log, views, buckets, damage, report } = recovery::survey(&*backend)?;
        Ok(Self { backend, identity, epoch, log, views, buckets, damage, report, _lock: lock })
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Why an open would be read-only, if it would.
    #[must_use]
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// The state that the log folds into.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// How many pending timers are due before the first of these owner times (milliseconds, ascending), between each
    /// two of them, and from the last one on.
    #[must_use]
    pub fn timer_forecast(&self, times_ms: &[i64]) -> Vec<u64> {
        let mut counts = vec![0; times_ms.len() + 1];
        for (_, pending) in self.views.timers.iter() {
            counts[ledger::slot_of(times_ms, pending.due_ms)] += 1;
        }
        counts
    }

    /// A page of the pending timers.
    #[must_use]
    pub fn timers(&self, query: &TimerQuery<'_>) -> TimerPage {
        let wanted = query.limit.clamp(1, ledger::PAGE_MAX);
        let mut first = First::default();
        for (schedule, pending) in self.views.timers.iter() {
            let handle = Handle { due_ms: pending.due_ms, schedule };
            if query.covers(handle) {
                first.offer(handle, *pending, ledger::PAGE_MAX);
            }
        }
        let mut page = TimerPage::default();
        let mut last = None;
        for (handle, pending) in &first.timers {
            if page.timers.len() == wanted {
                page.next = last;
                return page;
            }
            last = Some(*handle);
            let info = ledger::describe(*handle, pending, self.timed_record(*handle, pending));
            if query.takes(&info) {
                page.timers.push(info);
            }
        }
        page.next = last.filter(|_| first.left_out);
        page
    }

    /// What is known of a timer; of one that fired, not when.
    #[must_use]
    pub fn explain(&self, handle: &Handle) -> Explained {
        let timers = &self.views.timers;
        if let Some(pending) = timers.get(handle.schedule).filter(|p| p.due_ms == handle.due_ms) {
            return Explained::Pending(ledger::describe(
                *handle,
                pending,
                self.timed_record(*handle, pending),
            ));
        }
        if timers.was_cancelled(handle.schedule, handle.due_ms) {
            return Explained::Cancelled;
        }
        if self.is_scheduled(handle) { Explained::Fired { at_ms: None } } else { Explained::Unknown }
    }

    /// Whether the log holds the schedule of this timer.
    fn is_scheduled(&self, handle: &Handle) -> bool {
        let refused = self.views.voids.contains(&handle.schedule);
        let owned = self.frame_of(handle.schedule).ok().flatten().filter(|_| !refused);
        owned.as_ref().and_then(Owned::frame).is_some_and(|frame| {
            frame.ops().flatten().any(|op| match op {
                Op::Schedule { due_ms, at, .. } => {
                    due_ms == handle.due_ms && frame.header.at.plus(u64::from(at)) == handle.schedule
                }
                _ => false,
            })
        })
    }

    fn timed_record(&self, handle: Handle, pending: &crate::views::Pending) -> Result<Bytes> {
        ledger::record(pending, &self.buckets, |size| self.log.slice(handle.schedule, size))
    }

    /// Shows the frames from the one that holds `from` on, in log order, until `visit` says false.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] naming the position of a bad frame; [`ErrorKind::NotFound`] if `from` lies outside of the
    /// log.
    pub fn frames(&self, from: Offset, mut visit: impl FnMut(FrameInfo) -> bool) -> Result<()> {
        let segments = self.log.segments();
        let first = match self.log.find(from) {
            _ if from <= segments.first().map_or(Offset(0), |s| s.start) => Offset(0),
            Some(segment) if segment.end().is_some_and(|end| from < end) => segment.start,
            _ => return Err(Error::new(ErrorKind::NotFound, "no frame holds this position").at(from)),
        };
        for segment in segments.iter().filter(|segment| segment.start >= first) {
            let bytes = segment.bytes()?;
            let (mut rest, mut at) = (&bytes[..], segment.start);
            while !rest.is_empty() {
                let frame = Frame::parse(rest, self.log.secret(), at).map_err(|bad| bad.error(at))?;
                if frame.end() > from && !visit(frame_info(&frame)) {
                    return Ok(());
                }
                at = frame.end();
                rest = &rest[frame.bytes.len()..];
            }
        }
        Ok(())
    }

    /// The frame that holds a position of the log; `None` outside of it.
    fn frame_of(&self, at: Offset) -> Result<Option<Owned>> {
        let Some(segment) = self.log.find(at).filter(|s| s.end().is_some_and(|end| at < end)) else {
            return Ok(None);
        };
        let bytes = segment.bytes()?;
        let mut from = segment.start;
        loop {
            let skip = usize::try_from(from.0 - segment.start.0).unwrap_or(usize::MAX);
            let rest = bytes.get(skip..).unwrap_or_default();
            let frame = Frame::parse(rest, self.log.secret(), from).map_err(|bad| bad.error(from))?;
            if frame.end() > at {
                let len = frame.bytes.len();
                return Ok(Some(Owned {
                    bytes: bytes.slice(skip..skip + len),
                    secret: self.log.secret(),
                    from,
                }));
            }
            from = frame.end();
        }
    }

    /// The record whose first byte stands at a position of the log: a message, a timer's or a fire's.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if none does, [`ErrorKind::Corrupt`] if a frame before it is damaged.
    pub fn record(&self, at: Offset) -> Result<Bytes> {
        let missing = || Error::new(ErrorKind::NotFound, "no record starts at this position").at(at);
        let owned = self.frame_of(at)?.ok_or_else(missing)?;
        let frame = owned.frame().ok_or_else(missing)?;
        let found = frame.ops().flatten().find_map(|op| {
            let (record_at, record) = record_of(&op)?;
            (frame.header.at.plus(u64::from(record_at)) == at).then(|| owned.bytes.slice_ref(record))
        });
        found.ok_or_else(missing)
    }
}

/// A frame that keeps its bytes.
struct Owned {
    bytes: Bytes,
    secret: u64,
    from: Offset,
}

impl Owned {
    fn frame(&self) -> Option<Frame<'_>> {
        Frame::parse(&self.bytes, self.secret, self.from).ok()
    }
}

/// The record of an operation that has one, and where it stands in its frame.
fn record_of<'a>(op: &Op<'a>) -> Option<(u32, &'a [u8])> {
    match op {
        Op::Append { at, record, .. } | Op::Schedule { at, record, .. } | Op::Fire { at, record, .. } => {
            Some((*at, record))
        }
        _ => None,
    }
}

fn frame_info(frame: &Frame<'_>) -> FrameInfo {
    let header = &frame.header;
    FrameInfo {
        at: header.at,
        bytes: header.len,
        owner_ms: header.owner_ms,
        flushed: header.flushed,
        committed: header.committed,
        ops: frame
            .ops()
            .map(|op| match op {
                Ok(op) => op_info(&op, header.at),
                Err(bad) => OpInfo { kind: "unreadable", fields: vec![("byte", bad.at.to_string())] },
            })
            .collect(),
    }
}

fn op_info(op: &Op<'_>, frame: Offset) -> OpInfo {
    let mut fields: Vec<(&'static str, String)> = Vec::new();
    let kind = match op {
        Op::Append { .. } => "append",
        Op::Schedule { due_ms, at, .. } => {
            let handle = Handle { due_ms: *due_ms, schedule: frame.plus(u64::from(*at)) };
            fields.push(("handle", handle.to_string()));
            "schedule"
        }
        Op::Fire { due_ms, schedule, .. } => {
            fields.push(("handle", Handle { due_ms: *due_ms, schedule: *schedule }.to_string()));
            "fire"
        }
        Op::Cancel { due_ms, schedule } => {
            fields.push(("handle", Handle { due_ms: *due_ms, schedule: *schedule }.to_string()));
            "cancel"
        }
        Op::Offset { group, topic, queue, offset } => {
            fields.push(("group", (*group).to_owned()));
            fields.push(("topic", (*topic).to_owned()));
            fields.push(("queue", queue.to_string()));
            fields.push(("offset", offset.to_string()));
            "offset"
        }
        other => return settings_info(other),
    };
    if let Some((at, record)) = record_of(op) {
        fields.push(("record", frame.plus(u64::from(at)).to_string()));
        record_fields(record, &mut fields);
    }
    OpInfo { kind, fields }
}

fn record_fields(record: &[u8], fields: &mut Vec<(&'static str, String)>) {
    match Record::parse(record) {
        Ok(record) => {
            fields.push(("topic", record.topic().to_owned()));
            fields.push(("queue", record.queue().to_string()));
            fields.push(("queue_offset", record.queue_offset().to_string()));
            fields.push(("body_bytes", record.body().len().to_string()));
        }
        Err(error) => fields.push(("unreadable", error.to_string())),
    }
}

/// The operations that say how the store itself goes on.
fn settings_info(op: &Op<'_>) -> OpInfo {
    let (kind, fields) = match op {
        Op::Open(opening) => (
            "open",
            vec![
                ("previous_end", opening.previous_end.to_string()),
                ("segment_bytes", opening.segment_bytes.to_string()),
                ("queue_skips", opening.queue_skips.to_string()),
                ("commit_rule", rule(opening.commit_rule).to_owned()),
            ],
        ),
        Op::Segment { previous_end } => ("segment", vec![("previous_end", previous_end.to_string())]),
        Op::Topic { name, config } => {
            let queues = config.as_ref().map_or_else(|| "deleted".to_owned(), |c| c.write_queues.to_string());
            ("topic", vec![("topic", (*name).to_owned()), ("queues", queues)])
        }
        Op::Group { name, config } => {
            let most = config.as_ref().map_or_else(|| "deleted".to_owned(), |c| c.attempts_max.to_string());
            ("group", vec![("group", (*name).to_owned()), ("attempts_max", most)])
        }
        Op::Trim { start } => ("trim", vec![("start", start.to_string())]),
        Op::ClockStep { from_ms, to_ms } => {
            ("clock_step", vec![("from_ms", from_ms.to_string()), ("to_ms", to_ms.to_string())])
        }
        Op::Digest { at, digest } => {
            ("digest", vec![("segment_end", at.to_string()), ("digest", format!("{digest:016x}"))])
        }
        other => return request_info(other),
    };
    OpInfo { kind, fields }
}

/// The operations that ask for something, or say it of a group.
fn request_info(op: &Op<'_>) -> OpInfo {
    let text = |text: &str| text.to_owned();
    let queues = |queues: &[(&str, u32)]| {
        let named: Vec<_> = queues.iter().map(|(topic, queue)| format!("{topic}/{queue}")).collect();
        named.join(" ")
    };
    let (kind, fields) = match op {
        Op::Lock { group, client, lease_ms, queues: wanted } => (
            "lock",
            vec![
                ("group", text(group)),
                ("client", text(client)),
                ("lease_ms", lease_ms.to_string()),
                ("queues", queues(wanted)),
            ],
        ),
        Op::Unlock { group, client, queues: given } => {
            ("unlock", vec![("group", text(group)), ("client", text(client)), ("queues", queues(given))])
        }
        Op::Attributes { of_group, name, attributes } => {
            let pairs: Vec<_> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let of = if *of_group { "group" } else { "topic" };
            ("attributes", vec![(of, text(name)), ("attributes", pairs.join(" "))])
        }
        Op::Clear { group, topic } => ("clear", vec![("group", text(group)), ("topic", text(topic))]),
        Op::Once(once) => {
            ("once", vec![("key", format!("{:032x}", once.key)), ("window_ms", once.window_ms.to_string())])
        }
        _ => ("other", Vec::new()),
    };
    OpInfo { kind, fields }
}

/// The name of a commit rule.
pub(super) fn rule(number: u8) -> &'static str {
    if number == 0 { "appended" } else { "flushed" }
}
