//! An embedded consumer: one member of a group that reads a topic, with acks, retries and dead letters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::groups::{Failed, Failure};
use crate::offset::Offset;
use crate::planted::{self, Bug};
use crate::read::{ReadRequest, ReadStatus};
use crate::record::layout::RETRY_PREFIX;
use crate::record::{Record, TagFilter, properties};
use crate::settings::GroupConfig;
use crate::store::Store;

/// A message that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    record: Bytes,
    /// The topic of the queue that it was read from: the topic itself or the group's retry topic.
    source: Source,
    /// The log position of its record.
    pub offset: Offset,
    /// Its queue.
    pub queue: u32,
    /// Its offset in the queue.
    pub queue_offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Topic,
    Retry,
}

impl Delivery {
    fn parsed(&self) -> Option<Record<'_>> {
        Record::parse(&self.record).ok()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.parsed().map_or_else(Bytes::new, |r| self.record.slice_ref(r.body()))
    }

    /// The topic that the message was sent to, also on a retry.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.property(properties::RETRY_TOPIC)
            .or_else(|| self.parsed().map(|r| r.topic()))
            .unwrap_or_default()
    }

    /// A property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.parsed()?.property(name)
    }

    /// The first key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.parsed()?.keys().next()
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.property(properties::TAGS)
    }

    /// How often its consumption failed before.
    #[must_use]
    pub fn failures(&self) -> i32 {
        self.parsed().map_or(0, |r| r.reconsume_times())
    }

    /// When it was stored, owner milliseconds; for a timed message when it fired.
    #[must_use]
    pub fn store_ms(&self) -> i64 {
        self.parsed().map_or(0, |r| r.store_ms())
    }

    /// The whole record in RocketMQ's layout.
    #[must_use]
    pub fn record(&self) -> &Bytes {
        &self.record
    }
}

#[derive(Debug, Default)]
struct Progress {
    /// Next offset to fetch.
    next: u64,
    /// Handed out and not decided.
    open: BTreeSet<u64>,
}

impl Progress {
    /// First offset that is not done.
    fn done(&self) -> u64 {
        if planted::is(Bug::ProgressPassesOpen) {
            return self.next;
        }
        self.open.first().copied().unwrap_or(self.next)
    }
}

/// Reads a topic for a group. One per group, topic and store.
///
/// What is neither acked nor nacked when the consumer is dropped comes again to the next one.
#[derive(Debug)]
pub struct Consumer {
    store: Store,
    group: String,
    topic: String,
    retry_topic: String,
    filter: TagFilter,
    queues: BTreeMap<(Source, u32), Progress>,
    turn: VecDeque<(Source, u32)>,
}

impl Store {
    /// A consumer of `topic` for `group`; both may be new. It goes on where the group committed, else at the
    /// oldest message.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if this group has a consumer of the topic already; else as [`Store::append`].
    pub fn consumer(&self, group: &str, topic: &str) -> Result<Consumer> {
        if self.group(group).is_none() {
            let attempts_max = self.core().options.attempts_max;
            self.put_group(&GroupConfig { attempts_max, ..GroupConfig::new(group) })?;
        }
        if !self.inner.consumers.lock().insert((group.to_owned(), topic.to_owned())) {
            let text = format!("group `{group}` has a consumer of `{topic}` in this store already");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(Consumer {
            store: self.clone(),
            group: group.to_owned(),
            topic: topic.to_owned(),
            retry_topic: format!("{RETRY_PREFIX}{group}"),
            filter: TagFilter::all(),
            queues: BTreeMap::new(),
            turn: VecDeque::new(),
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.store
            .inner
            .consumers
            .lock()
            .remove(&(std::mem::take(&mut self.group), std::mem::take(&mut self.topic)));
    }
}

impl Consumer {
    /// Reads only messages with one of these tags: `a || b`. Others count as consumed.
    #[must_use]
    pub fn tags(mut self, expression: &str) -> Self {
        self.filter = TagFilter::parse(expression);
        self
    }

    /// Up to `max` messages; waits at most `timeout` for the first. On a store without threads it does not
    /// wait but steps once.
    ///
    /// # Errors
    /// The log's, or [`ErrorKind::Closed`].
    pub fn poll(&mut self, max: usize, timeout: Duration) -> Result<Vec<Delivery>> {
        let start = self.store.core().clock.now().elapsed_ns;
        let limit = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        loop {
            let applied = self.store.core().cursors.applied();
            let found = self.fetch(max)?;
            if !found.is_empty() {
                return Ok(found);
            }
            let core = self.store.core();
            if !core.options.threads {
                core.step();
                return self.fetch(max);
            }
            let passed = core.clock.now().elapsed_ns.saturating_sub(start);
            if passed >= limit {
                return Ok(Vec::new());
            }
            core.wait_beyond(applied, Duration::from_nanos(limit - passed))?;
        }
    }

    fn fetch(&mut self, max: usize) -> Result<Vec<Delivery>> {
        self.discover(Source::Topic);
        self.discover(Source::Retry);
        let mut found = Vec::new();
        for _ in 0..self.turn.len() {
            self.turn.rotate_left(1);
            let Some(key) = self.turn.back().copied() else { break };
            self.fetch_queue(key, max - found.len(), &mut found)?;
            if found.len() >= max {
                break;
            }
        }
        Ok(found)
    }

    fn source_topic(&self, source: Source) -> &str {
        match source {
            Source::Topic => &self.topic,
            Source::Retry => &self.retry_topic,
        }
    }

    fn discover(&mut self, source: Source) {
        let Some(config) = self.store.topic(self.source_topic(source)) else { return };
        for queue in 0..config.read_queues.max(config.write_queues) {
            if self.queues.contains_key(&(source, queue)) {
                continue;
            }
            let topic = self.source_topic(source);
            let committed = self.store.committed_offset(&self.group, topic, queue);
            let start = self.store.queue_range(topic, queue).map_or(0, |r| r.start);
            let next = committed.unwrap_or(start);
            self.queues.insert((source, queue), Progress { next, open: BTreeSet::new() });
            self.turn.push_back((source, queue));
        }
    }

    fn fetch_queue(&mut self, key: (Source, u32), max: usize, found: &mut Vec<Delivery>) -> Result<()> {
        let (source, queue) = key;
        let Some(from) = self.queues.get(&key).map(|p| p.next) else { return Ok(()) };
        let all = TagFilter::all();
        let filter = if source == Source::Topic { &self.filter } else { &all };
        let topic = self.source_topic(source);
        let request = ReadRequest { topic, queue, from, max_records: max, max_bytes: 4 << 20, filter };
        let read = self.store.read(&request)?;
        let records = read.records.slices().filter_map(|record| {
            let parsed = Record::parse(&record).ok()?;
            let (offset, queue_offset) = (Offset(parsed.physical_offset()), parsed.queue_offset());
            Some(Delivery { record, source, offset, queue, queue_offset })
        });
        let before = found.len();
        found.extend(records);
        if let Some(progress) = self.queues.get_mut(&key) {
            progress.open.extend(found[before..].iter().map(|d| d.queue_offset));
            progress.next = match read.status {
                ReadStatus::BeyondEnd | ReadStatus::NoQueue => progress.next,
                _ => read.next.max(progress.next),
            };
        }
        Ok(())
    }

    /// The message is consumed.
    ///
    /// # Errors
    /// As [`Store::append`]; the message then stays open: call again, or it comes again to the group's next
    /// consumer.
    pub fn ack(&mut self, delivery: &Delivery) -> Result<()> {
        let done = self.decided(delivery);
        let topic = self.source_topic(delivery.source);
        let acked = self.store.commit_offset(&self.group, topic, delivery.queue, done);
        acked.and_then(crate::pending::Pending::wait).inspect_err(|_| self.undecided(delivery))
    }

    /// The message could not be consumed: it comes again later, or goes to the dead-letter topic after the
    /// group's last attempt. The consumer's progress goes with it, in one frame.
    ///
    /// # Errors
    /// As [`Store::append`]; the message then stays open, so call again.
    pub fn nack(&mut self, delivery: &Delivery) -> Result<Failed> {
        let done = self.decided(delivery);
        let failure = Failure {
            group: &self.group,
            offset: delivery.offset,
            delay_level: 0,
            attempts_max: None,
            origin_message_id: None,
            origin_topic: None,
        };
        let topic = self.source_topic(delivery.source);
        let failed = self.store.consume_failed_at(&failure, Some((topic, delivery.queue, done)));
        match failed.and_then(crate::pending::Pending::wait) {
            Ok(failed) => Ok(failed),
            Err(error) => {
                self.undecided(delivery);
                Err(error)
            }
        }
    }

    /// Hands a message to `handle`, and acks it, or nacks it if that fails or panics.
    ///
    /// # Errors
    /// As [`Consumer::ack`] and [`Consumer::nack`].
    pub fn handle<E>(
        &mut self,
        delivery: &Delivery,
        handle: impl FnOnce(&Delivery) -> std::result::Result<(), E>,
    ) -> Result<()> {
        match catch_unwind(AssertUnwindSafe(|| handle(delivery))) {
            Ok(Ok(())) => self.ack(delivery),
            Ok(Err(_)) | Err(_) => self.nack(delivery).map(drop),
        }
    }

    /// Progress does not pass a message that nothing became of.
    fn undecided(&mut self, delivery: &Delivery) {
        let key = (delivery.source, delivery.queue);
        self.queues.entry(key).or_default().open.insert(delivery.queue_offset);
    }

    fn decided(&mut self, delivery: &Delivery) -> u64 {
        let progress = self.queues.entry((delivery.source, delivery.queue)).or_default();
        progress.open.remove(&delivery.queue_offset);
        progress.done()
    }
}
