//! The ledger of timers: what is pending, when it is due, and what became of one.
//!
//! Nothing here holds the views' lock for more than 1,024 timers at a time: those whose record is in the log are walked
//! in log order, the others through the directories of their buckets, which are read outside of the lock. So a forecast
//! costs a look at every pending timer, half a microsecond each on the caller's thread, and holds nobody up. A page costs
//! that of the timers in the log only: the directories are in order of (due, log position), so of each bucket it reads
//! what the page may hold. What is told was true of each timer at some moment meanwhile.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::Buckets;
use crate::bucket::Bucket;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Cancel, Handle};
use crate::offset::Offset;
use crate::record::Record;
use crate::store::Store;
use crate::views::{Pending, Place};

/// How many timers are looked at before others get the views' lock.
const AT_ONCE: u32 = 1024;
/// Before every timer.
const FIRST: Handle = Handle { due_ms: i64::MIN, schedule: Offset(0) };
/// How many times a walk starts again because records moved to a bucket meanwhile.
const WALKS_MAX: usize = 3;
/// The most timers in a page.
pub const PAGE_MAX: usize = 1024;

/// Which pending timers are wanted.
#[derive(Debug, Clone, Copy)]
pub struct TimerQuery<'a> {
    /// Due at this owner time or later, milliseconds.
    pub from_ms: i64,
    /// Due before this owner time, milliseconds.
    pub to_ms: i64,
    /// Only those that go to this topic.
    pub topic: Option<&'a str>,
    /// Only those with a key that starts so.
    pub key_prefix: Option<&'a str>,
    /// Only those behind this one, in order of (due, log position).
    pub after: Option<Handle>,
    /// How many at most; above [`PAGE_MAX`] it counts as that.
    pub limit: usize,
}

impl Default for TimerQuery<'_> {
    fn default() -> Self {
        Self {
            from_ms: i64::MIN,
            to_ms: i64::MAX,
            topic: None,
            key_prefix: None,
            after: None,
            limit: PAGE_MAX,
        }
    }
}

/// Some pending timers in order of (due, log position).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimerPage {
    /// The timers; with a topic or key asked for there may be none although more follow.
    pub timers: Vec<TimerInfo>,
    /// Where the next page goes on: its [`TimerQuery::after`]. `None` at the end.
    pub next: Option<Handle>,
}

/// A pending timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerInfo {
    /// Its name; holds when it is due.
    pub handle: Handle,
    /// Where its record is.
    pub place: Place,
    /// Bytes of its record.
    pub record_bytes: u32,
    /// What it will send; `None` if the record cannot be read.
    pub message: Option<TimedMessage>,
}

/// What a timer will send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedMessage {
    /// The topic that it goes to.
    pub topic: String,
    /// The queue there.
    pub queue: u32,
    /// Its keys.
    pub keys: Vec<String>,
    /// Bytes of its body.
    pub body_bytes: usize,
    /// When it was scheduled, owner milliseconds.
    pub scheduled_ms: i64,
}

/// What is known of a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explained {
    /// It will fire.
    Pending(TimerInfo),
    /// It fired.
    Fired {
        /// When, as [`Cancel::AlreadyFired`] tells it.
        at_ms: Option<i64>,
    },
    /// It was cancelled.
    Cancelled,
    /// The log holds no timer of this handle.
    Unknown,
}

impl Store {
    /// How many timers are pending, exactly.
    #[must_use]
    pub fn timers_pending(&self) -> usize {
        self.core().views.read().timers.count()
    }

    /// How many pending timers are due before the first of these owner times (milliseconds, ascending), between each two
    /// of them, and from the last one on: one number more than there are times.
    ///
    /// # Errors
    /// A bucket's, if its directory cannot be read.
    pub fn timer_forecast(&self, times_ms: &[i64]) -> Result<Vec<u64>> {
        self.walk(
            FIRST,
            || vec![0; times_ms.len() + 1],
            |counts, handle, _| {
                counts[slot_of(times_ms, handle.due_ms)] += 1;
                true
            },
        )
    }

    /// How many pending timers there are by the topic that they go to. Reads the records of `records` of them at most:
    /// where more pend, of every n-th, which then counts as n. What cannot be read is left out.
    ///
    /// # Errors
    /// A bucket's, if its directory cannot be read.
    pub fn timer_topics(&self, records: usize) -> Result<BTreeMap<String, u64>> {
        let every = self.timers_pending().div_ceil(records.max(1)).max(1);
        let (_, sample) = self.walk(
            FIRST,
            || (0, Vec::new()),
            |(seen, sample), handle, pending| {
                if *seen % every == 0 {
                    sample.push((handle, *pending));
                }
                *seen += 1;
                true
            },
        )?;
        let buckets = self.core().applier.lock().upkeep().buckets().clone();
        let mut topics = BTreeMap::new();
        for (handle, pending) in sample {
            let Ok(record) = self.timed_record(handle, &pending, &buckets) else { continue };
            let Ok(record) = Record::parse(&record) else { continue };
            match topics.get_mut(record.topic()) {
                Some(count) => *count += every as u64,
                None => drop(topics.insert(record.topic().to_owned(), every as u64)),
            }
        }
        Ok(topics)
    }

    /// A page of the pending timers.
    ///
    /// # Errors
    /// A bucket's, if its directory cannot be read.
    pub fn timers(&self, query: &TimerQuery<'_>) -> Result<TimerPage> {
        let wanted = query.limit.clamp(1, PAGE_MAX);
        let looked = if query.reads_records() { PAGE_MAX } else { wanted };
        let first = self.walk(query.first(), First::default, |first, handle, pending| {
            if !query.covers(handle) {
                return handle.due_ms < query.to_ms;
            }
            first.offer(handle, *pending, looked)
        })?;
        let buckets = self.core().applier.lock().upkeep().buckets().clone();
        let more = first.left_out;
        let mut page = TimerPage::default();
        let mut last = None;
        for (handle, pending) in first.timers {
            if page.timers.len() == wanted {
                page.next = last;
                return Ok(page);
            }
            last = Some(handle);
            // One that fired or was cancelled since may be gone with its segment.
            let still = || self.core().views.read().timers.get(handle.schedule).is_some();
            let info = describe(handle, &pending, self.timed_record(handle, &pending, &buckets));
            if (info.message.is_some() || still()) && query.takes(&info) {
                page.timers.push(info);
            }
        }
        page.next = last.filter(|_| more);
        Ok(page)
    }

    /// What is known of a timer: pending with its record's place, fired and when, or cancelled.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not pending and the part of the log that says why is damaged.
    pub fn explain(&self, handle: &Handle) -> Result<Explained> {
        self.usable()?;
        let pending = {
            let views = self.core().views.read();
            if views.timers.was_cancelled(handle.schedule, handle.due_ms) {
                return Ok(Explained::Cancelled);
            }
            views.timers.get(handle.schedule).filter(|p| p.due_ms == handle.due_ms).copied()
        };
        let Some(pending) = pending else {
            return Ok(match self.ended(handle)? {
                Cancel::AlreadyFired { at_ms } => Explained::Fired { at_ms },
                Cancel::Cancelled => Explained::Cancelled,
                Cancel::NotFound => Explained::Unknown,
            });
        };
        let buckets = self.core().applier.lock().upkeep().buckets().clone();
        Ok(Explained::Pending(describe(*handle, &pending, self.timed_record(*handle, &pending, &buckets))))
    }

    pub(crate) fn timed_record(&self, handle: Handle, pending: &Pending, buckets: &Buckets) -> Result<Bytes> {
        record(pending, buckets, |size| self.core().log.slice(handle.schedule, size))
    }

    /// Shows the pending timers to `add`, each once; of those in buckets only the ones from `first` on, until `add` says
    /// that none behind is wanted. If records moved meanwhile it starts again, but not for ever: the last time a timer may
    /// be shown twice.
    fn walk<T>(
        &self,
        first: Handle,
        start: impl Fn() -> T,
        add: impl Fn(&mut T, Handle, &Pending) -> bool,
    ) -> Result<T> {
        let views = &self.core().views;
        let moves = || views.read().timers.moves();
        for round in 1.. {
            let (before, mut seen) = (moves(), start());
            let mut from = Offset(0);
            while let Some(next) = {
                let views = views.read();
                let mut last = None;
                for (schedule, pending) in views.timers.logged(from..Offset(u64::MAX)).take(AT_ONCE as usize)
                {
                    add(&mut seen, Handle { due_ms: pending.due_ms, schedule }, pending);
                    last = Some(schedule);
                }
                last
            } {
                from = next.plus(1);
            }
            let buckets = self.core().applier.lock().upkeep().buckets().clone();
            for bucket in buckets.values() {
                self.walk_bucket(bucket, first, |handle, pending| add(&mut seen, handle, pending))?;
            }
            if before == moves() || round == WALKS_MAX {
                return Ok(seen);
            }
        }
        unreachable!("the last round returns")
    }

    fn walk_bucket(
        &self,
        bucket: &Bucket,
        first: Handle,
        mut add: impl FnMut(Handle, &Pending) -> bool,
    ) -> Result<()> {
        let mut slot = if first == FIRST { 0 } else { bucket.slot_at(first.due_ms, first.schedule)? };
        while slot < bucket.entries {
            let entries = bucket.part(slot, AT_ONCE)?;
            let views = self.core().views.read();
            for entry in entries {
                let pending = views.timers.get(entry.schedule).filter(|p| is_in(p, bucket.segment));
                let handle = |pending: &Pending| Handle { due_ms: pending.due_ms, schedule: entry.schedule };
                if pending.is_some_and(|pending| !add(handle(pending), pending)) {
                    return Ok(());
                }
            }
            slot += AT_ONCE;
        }
        Ok(())
    }
}

fn is_in(pending: &Pending, bucket: Offset) -> bool {
    matches!(pending.place, Place::Bucket { segment, .. } if segment == bucket)
}

/// Which of the slots between these times holds `due_ms`.
pub(crate) fn slot_of(times_ms: &[i64], due_ms: i64) -> usize {
    times_ms.partition_point(|time| *time <= due_ms)
}

/// A pending timer's record, from where it is; `log` reads that many bytes at its schedule.
pub(crate) fn record(
    pending: &Pending,
    buckets: &Buckets,
    log: impl FnOnce(u64) -> Result<Bytes>,
) -> Result<Bytes> {
    match pending.place {
        Place::Log => log(u64::from(pending.size)),
        Place::Bucket { segment, slot } => {
            let gone = || Error::new(ErrorKind::NotFound, "the due bucket is not there").at(segment);
            buckets.get(&segment).ok_or_else(gone)?.record(slot)
        }
    }
}

/// A pending timer as it is told.
pub(crate) fn describe(handle: Handle, pending: &Pending, record: Result<Bytes>) -> TimerInfo {
    let message = record.ok().and_then(|record| {
        let record = Record::parse(&record).ok()?;
        Some(TimedMessage {
            topic: record.topic().to_owned(),
            queue: record.queue(),
            keys: record.keys().map(str::to_owned).collect(),
            body_bytes: record.body().len(),
            scheduled_ms: record.store_ms(),
        })
    });
    TimerInfo { handle, place: pending.place, record_bytes: pending.size, message }
}

impl TimerQuery<'_> {
    /// No timer before this one is wanted.
    fn first(&self) -> Handle {
        let from = Handle { due_ms: self.from_ms, ..FIRST };
        self.after.map_or(from, |after| after.max(from))
    }

    /// Whether the range and the place to go on from include this timer.
    pub(crate) fn covers(&self, handle: Handle) -> bool {
        (self.from_ms..self.to_ms).contains(&handle.due_ms) && self.after.is_none_or(|after| handle > after)
    }

    pub(crate) fn reads_records(&self) -> bool {
        self.topic.is_some() || self.key_prefix.is_some()
    }

    /// Whether topic and key are those that are wanted.
    pub(crate) fn takes(&self, info: &TimerInfo) -> bool {
        let Some(message) = &info.message else { return !self.reads_records() };
        self.topic.is_none_or(|topic| message.topic == topic)
            && self.key_prefix.is_none_or(|prefix| message.keys.iter().any(|key| key.starts_with(prefix)))
    }
}

/// The first timers of those that were offered, in order; the same one twice counts once.
#[derive(Debug, Default)]
pub(crate) struct First {
    pub(crate) timers: BTreeMap<Handle, Pending>,
    /// Whether there were more.
    pub(crate) left_out: bool,
}

impl First {
    /// Takes a timer if it is among the first `most`; false if none behind it can be.
    pub(crate) fn offer(&mut self, handle: Handle, pending: Pending, most: usize) -> bool {
        if self.timers.len() == most && self.timers.last_key_value().is_some_and(|(last, _)| handle > *last) {
            self.left_out = true;
            return false;
        }
        self.timers.insert(handle, pending);
        if self.timers.len() > most {
            self.timers.pop_last();
            self.left_out = true;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_belongs_to_the_slot_it_opens() {
        let times = [10, 20];
        assert_eq!([9, 10, 19, 20, 21].map(|due| slot_of(&times, due)), [0, 1, 1, 2, 2]);
        assert_eq!(slot_of(&[], 5), 0);
    }
}
