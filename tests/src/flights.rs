//! Calls whose answer is not there yet, and what their answers mean.

use mainspring::{Ack, Cancel, Failed, Once, Pending, Scheduled, Stored, Wait};

use crate::Verdict;
use crate::history::History;
use crate::invariants::failstop;
use crate::invariants::requests::{Heard, placed};
use crate::model::{CancelAnswer, Told};

/// A call under way.
#[derive(Debug)]
pub(crate) enum Flight {
    /// Messages.
    Append { ids: Vec<u64>, wait: Wait, pending: Pending<Vec<Ack>> },
    /// One message.
    One { id: u64, wait: Wait, pending: Pending<Ack> },
    /// A timer.
    Schedule { id: u64, wait: Wait, pending: Pending<Scheduled> },
    /// A cancel: due time and schedule; what was applied when it was asked.
    Cancel { handle: (i64, u64), applied: u64, pending: Pending<Cancel> },
    /// A failure to consume: group, message, failures.
    Failed { group: String, id: u64, reconsume: u32, pending: Pending<Failed> },
    /// Progress.
    Offset { told: Told, pending: Pending<()> },
    /// Progress in many queues.
    Progress { told: Vec<Told>, pending: Pending<()> },
    /// A lock of queues.
    Locked { pending: Pending<Vec<bool>> },
    /// Messages that are stored once.
    Once { ids: Vec<u64>, pending: Pending<Vec<Once>> },
}

impl Flight {
    /// The end of its frame.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Append { pending, .. } => pending.end().0,
            Self::One { pending, .. } => pending.end().0,
            Self::Schedule { pending, .. } => pending.end().0,
            Self::Cancel { pending, .. } => pending.end().0,
            Self::Failed { pending, .. } => pending.end().0,
            Self::Offset { pending, .. } | Self::Progress { pending, .. } => pending.end().0,
            Self::Locked { pending } => pending.end().0,
            Self::Once { pending, .. } => pending.end().0,
        }
    }

    fn is_ready(&self) -> mainspring::Result<bool> {
        match self {
            Self::Append { pending, .. } => pending.is_ready(),
            Self::One { pending, .. } => pending.is_ready(),
            Self::Schedule { pending, .. } => pending.is_ready(),
            Self::Cancel { pending, .. } => pending.is_ready(),
            Self::Failed { pending, .. } => pending.is_ready(),
            Self::Offset { pending, .. } | Self::Progress { pending, .. } => pending.is_ready(),
            Self::Locked { pending } => pending.is_ready(),
            Self::Once { pending, .. } => pending.is_ready(),
        }
    }
}

impl History {
    /// Starts to wait for a call.
    pub(crate) fn depart(&mut self, flight: Flight) {
        self.named_end = self.named_end.max(flight.end());
        self.flights.push(flight);
    }

    /// Takes the answers that are there. Nobody hears them on a machine that has crashed.
    pub(crate) fn land(&mut self) -> Verdict {
        if self.backend.is_crashed() {
            return Ok(());
        }
        for flight in std::mem::take(&mut self.flights) {
            match flight.is_ready() {
                Ok(true) => {
                    // Without a frame it is an answer from what was applied before.
                    failstop::acknowledged(self.mute && flight.end() > 0, "a call")?;
                    self.landed(flight)?;
                }
                Ok(false) => self.flights.push(flight),
                Err(error) => self.refused("a wait", &error)?,
            }
        }
        // What was safe before a flush failed may still be told, once.
        self.mute = self.reasons.poisoned;
        Ok(())
    }

    /// What is acknowledged at this level up to `end` is promised.
    fn promised(&mut self, wait: Wait, end: u64) {
        let flushed = wait == Wait::Flushed || wait == Wait::Committed && self.is_flushed_rule();
        if flushed {
            self.model.durable = self.model.durable.max(end);
        }
    }

    fn landed(&mut self, flight: Flight) -> Verdict {
        let end = flight.end();
        match flight {
            Flight::One { id, wait, pending } => {
                let ack = self.heard("append", pending.wait())?;
                self.appended(wait, end, &[(id, ack)]);
            }
            Flight::Append { ids, wait, pending } => {
                let acks = self.heard("batch", pending.wait())?;
                let acks: Vec<_> = ids.into_iter().zip(acks).collect();
                self.appended(wait, end, &acks);
            }
            Flight::Schedule { id, wait, pending } => {
                let done = self.heard("schedule", pending.wait())?;
                self.promised(wait, end);
                let (at, due_ms) = (done.handle.schedule.0, done.handle.due_ms);
                self.model.told.push((end, Told::Schedule { id, at, due_ms }));
            }
            Flight::Cancel { handle: (due_ms, schedule), applied, pending } => {
                let answer = match pending.wait() {
                    Ok(answer) => answer,
                    Err(error) => return self.refused("the answer of a cancel", &error),
                };
                self.note(|| format!("cancel of {schedule} -> {answer:?}"));
                self.counts.cancels += 1;
                let now = self.store().digest().0.0;
                // Its frame decides; without one it was decided by what was applied.
                let position = if end == 0 { applied } else { end };
                if end > 0 {
                    self.promised(Wait::Committed, end);
                }
                let answer = CancelAnswer { schedule, due_ms, position, applied: now, answer };
                self.model.cancelled.push(answer);
            }
            Flight::Failed { group, id, reconsume, pending } => {
                let done = self.heard("consume_failed", pending.wait())?;
                if done != Failed::Dropped {
                    self.promised(Wait::Committed, end);
                    let dead = done == Failed::DeadLetter;
                    self.counts.retries += 1;
                    self.model.told.push((end, Told::Failed { group, id, reconsume, dead }));
                }
            }
            Flight::Offset { told, pending } => {
                self.heard("commit_offset", pending.wait())?;
                self.model.told.push((end, told));
            }
            Flight::Progress { told, pending } => {
                self.heard("set_progress", pending.wait())?;
                self.promised(Wait::Committed, end);
                self.model.told.extend(told.into_iter().map(|told| (end, told)));
            }
            Flight::Locked { pending } => {
                let held = self.heard("lock", pending.wait())?;
                self.promised(Wait::Committed, end);
                self.note(|| format!("the lock up to {end} -> {held:?}"));
                self.counts.locks += held.iter().filter(|held| **held).count() as u64;
                self.counts.locks_refused += held.iter().filter(|held| !**held).count() as u64;
                self.model.heard.push((end, Heard::Locked(held)));
            }
            Flight::Once { ids, pending } => {
                let all = self.heard("store_once", pending.wait())?;
                self.once_stored(end, &ids, &all);
            }
        }
        Ok(())
    }

    fn once_stored(&mut self, end: u64, ids: &[u64], all: &[Once]) {
        self.promised(Wait::Committed, end);
        self.note(|| format!("once {ids:?} -> {all:?}"));
        for (id, once) in ids.iter().zip(all) {
            match once.stored {
                _ if once.repeated => self.counts.repeats += 1,
                Stored::Message(ack) => self.appended(Wait::Committed, end, &[(*id, ack)]),
                Stored::Timer(timer) => {
                    let (at, due_ms) = (timer.handle.schedule.0, timer.due_ms);
                    self.handles.push((due_ms, at));
                    self.model.told.push((end, Told::Schedule { id: *id, at, due_ms }));
                }
            }
        }
        let heard = all.iter().map(|once| (placed(once), once.repeated)).collect();
        self.model.heard.push((end, Heard::Stored(heard)));
    }

    fn appended(&mut self, wait: Wait, end: u64, acks: &[(u64, Ack)]) {
        self.promised(wait, end);
        let held = wait != Wait::Appended || !self.is_flushed_rule();
        for (id, ack) in acks {
            let (at, queue, queue_offset) = (ack.offset.0, ack.queue, ack.queue_offset);
            if held && let Some(asked) = self.model.asked.get(id) {
                self.model.given.insert((asked.topic.clone(), queue, queue_offset), at);
            }
            let told = Told::Append { id: *id, at, queue, queue_offset, store_ms: ack.store_ms };
            self.model.told.push((end, told));
        }
    }

    fn heard<T>(&self, what: &str, answer: mainspring::Result<T>) -> Verdict<T> {
        answer.map_err(|error| crate::Violation {
            property: "available",
            text: format!("{what} was ready and then failed: {error:?}"),
        })
    }
}
