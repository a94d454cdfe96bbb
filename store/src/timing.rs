//! Timed messages: schedule, cancel, and the owner's time.

use std::time::Duration;

use crate::engine::{FIRE_ID, FIRE_ID_ROOM, OpDraft, Placement, QueueChoice, RecordDraft};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Op, OpKind, Wait};
use crate::message::{Cancel, Handle, Message, Scheduled};
use crate::offset::Offset;
use crate::pending::Pending;
use crate::read::{ReadRequest, SCAN_MAX};
use crate::record::{Draft, Record, TagFilter, properties};
use crate::shell::Answer;
use crate::store::{Store, choice};

impl Store {
    /// Appends a message that becomes visible after `delay`, by the owner's clock.
    ///
    /// # Errors
    /// As [`Store::append`]; [`ErrorKind::Invalid`] for a delay beyond the range of milliseconds.
    pub fn schedule(&self, message: Message, delay: Duration) -> Result<Pending<Scheduled>> {
        let too_long = || Error::new(ErrorKind::Invalid, "the delay is longer than time can be counted");
        let delay_ms = i64::try_from(delay.as_nanos().div_ceil(1_000_000)).map_err(|_| too_long())?;
        let due_ms = self.now_ms().checked_add(delay_ms).ok_or_else(too_long)?;
        self.schedule_at(message, due_ms)
    }

    /// Appends a message that becomes visible at `due_ms` (owner's time, milliseconds since the Unix epoch);
    /// at once, but through its timer, if that is past.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn schedule_at(&self, message: Message, due_ms: i64) -> Result<Pending<Scheduled>> {
        let properties = message.raw_properties();
        let draft = message.draft(&properties);
        let queue = choice(&draft, message.order_key());
        self.schedule_record(&draft, queue, due_ms, Wait::Committed)
    }

    /// Schedules a message from borrowed parts.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn schedule_draft(&self, draft: &Draft<'_>, due_ms: i64, wait: Wait) -> Result<Pending<Scheduled>> {
        self.schedule_record(draft, choice(draft, None), due_ms, wait)
    }

    fn schedule_record(
        &self,
        draft: &Draft<'_>,
        queue: QueueChoice,
        due_ms: i64,
        wait: Wait,
    ) -> Result<Pending<Scheduled>> {
        if due_ms < 0 {
            return Err(Error::new(ErrorKind::Invalid, format!("due time {due_ms} lies before 1970")));
        }
        let properties = timed_properties(draft.properties);
        let draft = Draft { properties: &properties, ..*draft };
        let record = self.prepare(&draft)?;
        let record = RecordDraft { record, queue, placed: Placement::default() };
        let op = &mut [OpDraft::Schedule { due_ms, draft: record }];
        let (placed, end) = self.append_one(draft.topic, op, wait)?;
        let handle = Handle { due_ms, schedule: placed.at };
        let scheduled = Scheduled { handle, due_ms, store_ms: placed.store_ms, queue: placed.queue };
        Ok(self.pending(wait, end, scheduled))
    }

    /// Cancels a timer and waits for the answer, which the log's order decides. Repeating it is harmless.
    ///
    /// # Errors
    /// As [`Store::append`]; then the timer may or may not have been cancelled. [`ErrorKind::Corrupt`] if it is
    /// not pending and the part of the log that says why is damaged.
    pub fn cancel(&self, handle: &Handle) -> Result<Cancel> {
        self.cancel_start(handle)?.wait()
    }

    /// Cancels a timer; the answer comes once it is committed.
    ///
    /// # Errors
    /// As [`Store::cancel`].
    pub fn cancel_start(&self, handle: &Handle) -> Result<Pending<Cancel>> {
        self.usable()?;
        let core = &self.inner.core;
        {
            // A look ahead, only to avoid useless frames: the log decides.
            let views = core.views.read();
            let known = views.applied > handle.schedule && views.timers.get(handle.schedule).is_none();
            if known {
                let cancelled = views.timers.was_cancelled(handle.schedule, handle.due_ms);
                drop(views);
                let answer = if cancelled { Cancel::Cancelled } else { self.ended(handle)? };
                return Ok(self.pending(Wait::Appended, Offset(0), answer));
            }
        }
        let (kind, payload) = Op::Cancel { due_ms: handle.due_ms, schedule: handle.schedule }.payload();
        let asked = core.ask_log(&mut [OpDraft::Plain(kind, &payload)])?;
        let pending = self.pending(Wait::Committed, asked.end, Cancel::NotFound);
        let (store, handle) = (self.clone(), *handle);
        Ok(pending.answered_by(move || match asked.take() {
            Some(Answer::Cancelled(true)) => Ok(Cancel::Cancelled),
            _ => store.ended(&handle),
        }))
    }

    /// What became of a timer that is neither pending nor cancelled: it fired, if its schedule is in the log.
    pub(crate) fn ended(&self, handle: &Handle) -> Result<Cancel> {
        let core = self.core();
        let in_log = {
            let views = core.views.read();
            let refused = views.voids.contains(&handle.schedule);
            (views.start..views.applied).contains(&handle.schedule) && !refused
        };
        let head = (crate::frame::OP_HEAD_BYTES + crate::frame::RECORD_AT_SCHEDULE) as u64;
        let Some(at) = handle.schedule.0.checked_sub(head).filter(|_| in_log) else {
            return Ok(Cancel::NotFound);
        };
        match core.log.slice(Offset(at), head) {
            Ok(b) if b[0] == OpKind::Schedule as u8 && b[8..16] == handle.due_ms.to_be_bytes() => {
                Ok(Cancel::AlreadyFired { at_ms: self.fired_ms(handle) })
            }
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(Cancel::NotFound),
        }
    }

    /// When a timer fired, owner milliseconds: the store time of its message, looked for where it must stand.
    fn fired_ms(&self, handle: &Handle) -> Option<i64> {
        let log = &self.core().log;
        let size = log.slice(handle.schedule, 4).ok()?;
        let size = u32::from_be_bytes(*size.first_chunk()?);
        let record = log.slice(handle.schedule, u64::from(size)).ok()?;
        let record = Record::parse(&record).ok()?;
        let (topic, queue, id) = (record.topic(), record.queue(), record.property(FIRE_ID)?);
        let filter = TagFilter::all();
        let mut from = self.offset_by_time(topic, queue, handle.due_ms).ok()??;
        let mut left = SCAN_MAX;
        while left > 0 {
            let (max_records, max_bytes) = (left.min(64), 1 << 20);
            let request = ReadRequest { topic, queue, from, max_records, max_bytes, filter: &filter };
            let found = self.read(&request).ok()?;
            for bytes in found.records.iter() {
                let message = Record::parse(bytes).ok()?;
                if message.property(FIRE_ID) == Some(id) {
                    return Some(message.store_ms());
                }
            }
            if found.next <= from {
                return None;
            }
            left = left.saturating_sub(found.records.len().max(1));
            from = found.next;
        }
        None
    }

    /// The owner's time, milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let core = self.core();
        core.appender.lock().owner_ms(core.clock.now())
    }

    /// When a message of this delay level is due if it is sent now; levels above the table count as its last.
    #[must_use]
    pub fn level_due_ms(&self, level: i32) -> i64 {
        let delay = self.core().options.level_delay_ms(level).unwrap_or(0);
        self.now_ms().saturating_add(i64::try_from(delay).unwrap_or(i64::MAX))
    }

    /// Adopts a wall clock that is far ahead, because somebody confirms that it is right.
    ///
    /// # Errors
    /// As [`Store::append`].
    pub fn confirm_clock(&self) -> Result<()> {
        self.usable()?;
        let core = self.core();
        let (from_ms, to_ms) = core.appender.lock().confirm_clock(core.clock.now());
        self.append_op(&Op::ClockStep { from_ms, to_ms })?.wait()
    }
}

/// The properties of a record that will be fired: at their end there is room for the fire id.
pub(crate) fn timed_properties(raw: &[u8]) -> Vec<u8> {
    let mut edited = properties::edit(raw, &[], &[FIRE_ID]);
    if edited.last().is_some_and(|last| *last != properties::VALUE_END) {
        edited.push(properties::VALUE_END);
    }
    edited.extend_from_slice(FIRE_ID.as_bytes());
    edited.push(properties::NAME_END);
    edited.extend_from_slice(FIRE_ID_ROOM.as_bytes());
    edited.push(properties::VALUE_END);
    edited
}
