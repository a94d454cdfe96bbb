//! The store: opens, wires and owns; the work is done behind it.

use std::collections::{BTreeSet, HashSet};
#[cfg(feature = "mmap")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use backends::{Backend, Lock};
use parking_lot::Mutex;

use crate::cells::{self, EpochRecord};
#[cfg(feature = "mmap")]
use crate::clock::SystemClock;
use crate::clock::{Clock, OwnerClock};
use crate::commitlog::Cursors;
use crate::engine::{
    Appender, Applier, EpochPlan, Limits, OpDraft, Placement, QueueChoice, RecordDraft, Step, UpkeepOptions,
};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Op, OpKind, Wait};
use crate::hash;
use crate::message::{Ack, Message};
use crate::naming::StreamKind;
use crate::offset::Offset;
use crate::options::{CommitRule, Options};
use crate::pending::Pending;
use crate::recent_keys::RecentKeys;
use crate::record::{Draft, Limits as RecordLimits, Prepared, RecordError};
use crate::recovery::{self, Report};
use crate::settings::{self, Attributes, QUEUES_MAX, TopicConfig};
use crate::shell::{Core, Parts};

/// A message store: one log, and everything else as views of it. Clones share it.
///
/// Dropping the last clone closes it; only [`Store::close`] tells whether that succeeded.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    pub(crate) report: Report,
    pub(crate) consumers: Mutex<HashSet<(String, String)>>,
    pub(crate) recent_keys: Mutex<RecentKeys>,
    closing: Mutex<Option<Box<dyn Lock>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("core", &self.core).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "a store was dropped and did not close in order");
        }
    }
}

#[cfg(feature = "mmap")]
impl Store {
    /// Opens the store in a directory, created if absent, with default options.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] naming the process that holds it, [`ErrorKind::Version`], [`ErrorKind::Corrupt`],
    /// or what the file system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the store in a directory with these options.
    ///
    /// # Errors
    /// As [`Store::open`], and [`ErrorKind::Invalid`] for options out of range.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let writes = match options.commit {
            CommitRule::Appended => backends_mmap::Writes::InPlace,
            CommitRule::Flushed => backends_mmap::Writes::Copied,
        };
        let backend = backends_mmap::MmapBackend::open_for(path, writes)
            .map_err(|e| Error::io(format!("cannot open the store directory {}", path.display()), e))?;
        Self::open_on(Arc::new(backend), Arc::new(SystemClock), options)
    }
}

impl Store {
    /// Opens the store on any medium and clock.
    ///
    /// # Errors
    /// As [`Store::open`], and [`ErrorKind::Invalid`] for options out of range.
    pub fn open_on(backend: Arc<dyn Backend>, clock: Arc<dyn Clock>, options: Options) -> Result<Self> {
        options.validate()?;
        let opened = recovery::open(&*backend, &*clock, options.segment_bytes)?;
        let cursors = Arc::new(Cursors::at(opened.report.end));
        let record = EpochRecord {
            epoch: opened.next_epoch,
            node: options.node,
            commit_rule: u8::from(options.commit == CommitRule::Flushed),
            boot_id: clock.boot_id(),
            clean: false,
            queue_skips: opened.queue_skips,
        };
        let limits = Limits {
            frame_bytes_max: options.frame_bytes_max(),
            unflushed_bytes_max: options.unflushed_bytes_max,
            segment_bytes: options.segment_bytes,
            reserve_bytes: options.reserve_bytes,
            store_host: options.store_host,
        };
        let owner = OwnerClock::open(opened.views.owner_ms, clock.now());
        let plan = EpochPlan { record, previous_end: opened.report.end };
        let (log, views) = (opened.log, opened.views);
        let mut appender =
            Appender::new(limits, Arc::clone(&cursors), Arc::clone(&log), plan, (owner, &views));
        if let Some(damage) = opened.damage {
            appender.stop(ErrorKind::ReadOnly, damage.to_string());
        }
        let mut applier = Applier::new(
            options.commit,
            Arc::clone(&cursors),
            Arc::clone(&log),
            UpkeepOptions {
                near_horizon_ms: options.near_horizon_ms,
                retention_ms: options.retention_ms,
                retention_bytes: options.retention_bytes,
                fire_reserve_bytes: options.fire_reserve_bytes,
            },
        );
        let mut views = views;
        applier.upkeep_mut().resume(opened.files, &mut views);
        let parts = Parts { log, cursors, appender, applier, views };
        let core = Arc::new(Core::new(backend, clock, options, parts));
        core.start()?;
        let inner = Inner {
            core,
            report: opened.report,
            consumers: Mutex::default(),
            recent_keys: Mutex::default(),
            closing: Mutex::new(Some(opened.lock)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What opening the store found and did.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.inner.report
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    #[inline]
    pub(crate) fn usable(&self) -> Result<()> {
        if self.core().closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        Ok(())
    }

    // ---- messages --------------------------------------------------------------------------

    /// Appends a message and waits, if asked to, until it is committed.
    ///
    /// The message stands in the log when this returns; [`Pending::wait`] returns once it is safe by the
    /// store's commit rule and visible to consumers. Dropping the wait cancels nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], [`ErrorKind::Preparing`] and [`ErrorKind::Full`] may be tried again; [`ErrorKind::Invalid`] and
    /// [`ErrorKind::TooLarge`] name the field; [`ErrorKind::Poisoned`], [`ErrorKind::ReadOnly`] and
    /// [`ErrorKind::Closed`] need a reopen. Nothing was written in any of these cases.
    pub fn append(&self, message: Message) -> Result<Pending<Ack>> {
        let properties = message.raw_properties();
        let draft = message.draft(&properties);
        let queue = choice(&draft, message.order_key());
        let placed = self.append_record(&draft, queue, Wait::Committed)?;
        Ok(self.pending(Wait::Committed, placed.1, placed.0))
    }

    /// Appends one message from borrowed parts.
    ///
    /// # Errors
    /// As [`Store::append`].
    #[inline]
    pub fn append_draft(&self, draft: &Draft<'_>, wait: Wait) -> Result<Pending<Ack>> {
        let (ack, end) = self.append_record(draft, choice(draft, None), wait)?;
        Ok(self.pending(wait, end, ack))
    }

    #[inline]
    fn append_record(&self, draft: &Draft<'_>, queue: QueueChoice, wait: Wait) -> Result<(Ack, Offset)> {
        let record = RecordDraft { record: self.prepare(draft)?, queue, placed: Placement::default() };
        let (placed, end) = self.append_one(draft.topic, &mut [OpDraft::Append(record)], wait)?;
        Ok((ack(&placed), end))
    }

    /// Appends one message or timer, and its topic in front of it where that has to be created first.
    #[inline]
    pub(crate) fn append_one(
        &self,
        topic: &str,
        op: &mut [OpDraft<'_>; 1],
        wait: Wait,
    ) -> Result<(Placement, Offset)> {
        let mut done = self.core().submit(wait, op);
        if self.may_create(&done) {
            if self.has_topic(topic) {
                // Another one created it meanwhile.
                done = self.core().submit(wait, op);
                return Ok((placement(&op[0]), done?.end));
            }
            let config = TopicConfig::new(topic, self.core().options.default_queues);
            let payload = topic_payload(&config);
            let [message] = op;
            let message = std::mem::replace(message, OpDraft::Plain(OpKind::Topic, &[]));
            let mut ops = [OpDraft::Topic(topic, config.write_queues, &payload), message];
            let end = self.core().submit(wait, &mut ops)?.end;
            return Ok((placement(&ops[1]), end));
        }
        Ok((placement(&op[0]), done?.end))
    }

    /// Appends messages as one frame: all of them or none, in order. Those that name one queue get consecutive
    /// offsets of it; those that name none are spread in turn.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::TooLarge`] if they do not fit one frame, [`ErrorKind::Invalid`] if
    /// there are none.
    pub fn append_batch(&self, drafts: &[Draft<'_>], wait: Wait) -> Result<Pending<Vec<Ack>>> {
        if drafts.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a batch needs at least one message"));
        }
        let mut ops = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let (record, queue) = (self.prepare(draft)?, choice(draft, None));
            ops.push(OpDraft::Append(RecordDraft { record, queue, placed: Placement::default() }));
        }
        let mut done = self.core().submit(wait, &mut ops);
        let mut configs = Vec::new();
        if self.may_create(&done) {
            configs.extend(self.missing_topics(drafts));
            let queues = self.core().options.default_queues;
            ops.splice(..0, configs.iter().map(|(name, payload)| OpDraft::Topic(name, queues, payload)));
            done = self.core().submit(wait, &mut ops);
        }
        let end = done?.end;
        let appended = ops.iter().filter(|op| matches!(op, OpDraft::Append(_)));
        let acks = appended.map(|op| ack(&placement(op))).collect();
        Ok(self.pending(wait, end, acks))
    }

    #[inline]
    pub(crate) fn prepare<'a>(&self, draft: &'a Draft<'a>) -> Result<Prepared<'a>> {
        let limits = RecordLimits { body_bytes_max: self.core().options.body_bytes_max() };
        self.usable()?;
        draft.prepare(&limits).map_err(|e| refused(draft, &limits, &e))
    }

    /// The topics of messages that do not exist, with the settings that they get.
    pub(crate) fn missing_topics<'a>(&self, drafts: &[Draft<'a>]) -> Vec<(&'a str, Vec<u8>)> {
        let queues = self.core().options.default_queues;
        let names: BTreeSet<&str> = drafts.iter().map(|draft| draft.topic).collect();
        let missing = names.into_iter().filter(|name| !self.has_topic(name));
        missing.map(|name| (name, topic_payload(&TopicConfig::new(name, queues)))).collect()
    }

    /// Whether an append was refused for a topic that may be created with it.
    pub(crate) fn may_create<T>(&self, done: &Result<T>) -> bool {
        let missing = done.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        missing && self.core().options.auto_create_topics
    }

    fn has_topic(&self, topic: &str) -> bool {
        self.core().appender.lock().topic_queues(topic).is_some()
    }

    #[inline]
    pub(crate) fn pending<T>(&self, wait: Wait, end: Offset, value: T) -> Pending<T> {
        Pending::new(&self.inner.core, wait, end, value)
    }

    // ---- settings --------------------------------------------------------------------------

    /// A topic's settings, shared with the store.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<TopicConfig>> {
        self.core().topics.get(name)
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicConfig> {
        self.core().views.read().topics().filter_map(|t| t.config.as_deref().cloned()).collect()
    }

    /// How many topics there are or ever were: the ends of a topic's queues outlive it.
    #[must_use]
    pub fn topics_known(&self) -> usize {
        self.core().views.read().topics_known()
    }

    /// Creates or changes a topic, and waits until that is committed.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::Invalid`] for a bad name, a number of queues out of 1..=65535, or too many
    /// attributes.
    pub fn put_topic(&self, config: &TopicConfig) -> Result<()> {
        self.usable()?;
        let bad = |why: String| Error::new(ErrorKind::Invalid, format!("topic `{}`: {why}", config.name));
        crate::record::check_topic(&config.name).map_err(|e| bad(e.to_string()))?;
        let queues = 1..=QUEUES_MAX;
        if !queues.contains(&config.read_queues) || !queues.contains(&config.write_queues) {
            return Err(bad(format!("it needs from 1 to {QUEUES_MAX} queues")));
        }
        settings::check_attributes(&config.attributes).map_err(bad)?;
        let payload = topic_payload(config);
        let attributes = attributes_payload(false, &config.name, &config.attributes);
        let mut ops = vec![OpDraft::Topic(&config.name, config.write_queues, &payload)];
        ops.extend(attributes.iter().map(|payload| OpDraft::Plain(OpKind::Attributes, payload)));
        let end = self.core().append(Wait::Committed, &mut ops)?.end;
        self.pending(Wait::Committed, end, ()).wait()
    }

    /// Deletes a topic's settings. Its queues' ends are kept, so that no offset ever recurs.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.usable()?;
        let (_, payload) = Op::Topic { name, config: None }.payload();
        let end = self.core().append(Wait::Committed, &mut [OpDraft::Topic(name, 0, &payload)])?.end;
        self.pending(Wait::Committed, end, ()).wait()
    }

    pub(crate) fn append_op(&self, op: &Op<'_>) -> Result<Pending<()>> {
        let (kind, payload) = op.payload();
        let end = self.core().append(Wait::Committed, &mut [OpDraft::Plain(kind, &payload)])?.end;
        Ok(self.pending(Wait::Committed, end, ()))
    }

    // ---- running ---------------------------------------------------------------------------

    /// Decides and does, on the caller's thread, everything that is to be done at this moment.
    ///
    /// A store without threads lives by this; with threads it is done by itself.
    pub fn step(&self) -> Step {
        self.core().step()
    }

    /// Waits until everything that was appended before is applied: what is read afterwards shows the caller's own writes,
    /// and everybody else's that were over by now.
    pub fn barrier(&self) -> Pending<()> {
        self.pending(Wait::Committed, self.core().cursors.tail(), ())
    }

    /// Waits for the next flush that makes anything durable: who was refused as [`ErrorKind::Busy`] may try again then.
    /// One that was over just before this call is not it, so do not wait for this alone.
    pub fn next_flush(&self) -> Pending<()> {
        self.pending(Wait::Flushed, Offset(self.core().cursors.flushed().0 + 1), ())
    }

    /// Under rule `appended`: makes what was appended visible, on the caller's thread, unless another one is at it and
    /// will. For those who set [`Options::callers_apply`].
    pub fn catch_up(&self) {
        if self.core().options.commit == CommitRule::Appended {
            self.core().catch_up();
        }
    }

    /// Decides what is to be done now and queues it, without doing it. For simulators.
    pub fn decide(&self) -> Step {
        self.core().decide().unwrap_or_default()
    }

    /// Does the oldest thing that is queued; false if nothing is. For simulators.
    pub fn perform_one(&self) -> bool {
        self.core().perform_one()
    }

    /// Makes everything that was appended durable; false if it is already.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`]: what the medium holds is not known any more, open the store again.
    pub fn flush(&self) -> Result<bool> {
        let flushed = self.core().flush()?;
        if flushed && self.core().options.threads {
            self.core().help();
        }
        Ok(flushed)
    }

    /// A digest of the whole state, and the log offset that it is of.
    #[must_use]
    pub fn digest(&self) -> (Offset, u64) {
        let views = self.core().views.read();
        (views.applied, views.digest())
    }

    /// Flushes, writes a base, and marks the store as closed in order. Every later call fails.
    ///
    /// # Errors
    /// What kept it from closing in order; what was acknowledged is safe by its level all the same.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    /// Lets go of the store as a killed process would: nothing is flushed or written any more.
    pub fn abandon(self) {
        self.core().closed.store(true, Ordering::Release);
        self.core().appender.lock().stop(ErrorKind::Closed, "the store was abandoned");
        self.core().stop_threads();
        drop(self.inner.closing.lock().take());
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        let Some(lock) = self.closing.lock().take() else { return Ok(()) };
        let core = &self.core;
        core.closed.store(true, Ordering::Release);
        core.stop_threads();
        let stopped = core.appender.lock().stopped();
        let done = match stopped {
            Some(error) if error.kind() == ErrorKind::ReadOnly => Ok(()),
            Some(error) => Err(error),
            None => self.finish(),
        };
        core.appender.lock().stop(ErrorKind::Closed, "the store was closed");
        core.wake();
        drop(lock);
        done
    }

    /// Brings everything to rest and says so on the medium, unless something failed on the way.
    fn finish(&self) -> Result<()> {
        let core = &self.core;
        let sound = || core.appender.lock().stopped().map_or(Ok(()), Err);
        let opened = core.appender.lock().is_open();
        while core.flush()? {
            core.step();
        }
        core.step();
        sound()?;
        if !opened {
            return Ok(()); // nothing was appended, so nothing is left behind
        }
        let mut actions = Vec::new();
        {
            let mut applier = core.applier.lock();
            applier.upkeep_mut().want_base(core.views.read().applied);
            applier.upkeep_mut().plan_checkpoint(&mut actions);
        }
        core.enqueue(actions);
        core.step();
        while core.flush()? {
            core.step();
        }
        let unused = core.appender.lock().unused_next();
        if let Some(start) = unused {
            let name = StreamKind::Segment(start).name();
            core.backend.remove(&name).map_err(|e| Error::io(format!("cannot remove {name}"), e))?;
        }
        sound()?;
        let record = core.appender.lock().epoch();
        cells::write(&*core.backend, &EpochRecord { clean: true, ..record })
    }
}

#[inline]
pub(crate) fn choice(draft: &Draft<'_>, order_key: Option<&str>) -> QueueChoice {
    match (draft.queue, order_key) {
        (Some(queue), _) => QueueChoice::Number(queue),
        (None, Some(key)) => QueueChoice::Hash(hash::key_hash("", key)),
        (None, None) => QueueChoice::Turn,
    }
}

#[inline]
pub(crate) fn placement(op: &OpDraft<'_>) -> Placement {
    match op {
        OpDraft::Append(draft) | OpDraft::Schedule { draft, .. } => draft.placed,
        _ => Placement::default(),
    }
}

#[inline]
pub(crate) fn ack(placed: &Placement) -> Ack {
    Ack {
        offset: placed.at,
        queue: placed.queue,
        queue_offset: placed.queue_offset,
        store_ms: placed.store_ms,
    }
}

#[cold]
fn refused(draft: &Draft<'_>, limits: &RecordLimits, why: &RecordError) -> Error {
    let large = draft.body.len() > limits.body_bytes_max;
    let kind = if large { ErrorKind::TooLarge } else { ErrorKind::Invalid };
    Error::new(kind, format!("message to `{}`: {why}", draft.topic))
}

pub(crate) fn topic_payload(config: &TopicConfig) -> Vec<u8> {
    Op::Topic { name: &config.name, config: Some(config.clone()) }.payload().1
}

/// The operation that gives a topic or group its attributes, if it has any.
pub(crate) fn attributes_payload(of_group: bool, name: &str, attributes: &Attributes) -> Option<Vec<u8>> {
    if attributes.is_empty() {
        return None;
    }
    Some(Op::Attributes { of_group, name, attributes: settings::borrowed(attributes) }.payload().1)
}
