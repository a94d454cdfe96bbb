//! What was acknowledged and what came: each message once for each group, none early.
//!
//! A producer numbers its messages, so what came is a number up to which all have come and the few beyond it. That keeps
//! the ledger small over hours.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Findings that are kept word for word.
const FINDINGS_MAX: usize = 20;
/// Lateness above this counts as this, milliseconds.
const LATE_MAX_MS: usize = 60_000;

/// A message: which producer's, and its number there.
pub(crate) type Id = (u32, u64);

/// Numbers that came, from 0 on.
#[derive(Debug, Default, Clone)]
struct Came {
    all_below: u64,
    beyond: BTreeSet<u64>,
}

impl Came {
    /// Takes a number in; false if it has come before.
    fn take(&mut self, number: u64) -> bool {
        let new = number >= self.all_below && self.beyond.insert(number);
        while self.beyond.remove(&self.all_below) {
            self.all_below += 1;
        }
        new
    }

    fn missing(&self, end: u64) -> u64 {
        end.saturating_sub(self.all_below + self.beyond.len() as u64)
    }
}

#[derive(Debug, Default)]
struct Books {
    /// By producer: how many messages it had acknowledged.
    sent: BTreeMap<u32, u64>,
    /// By group and producer.
    came: BTreeMap<(usize, u32), Came>,
    /// Failed messages that must come once more, and not before a time.
    retries: BTreeMap<Id, i64>,
    /// Lateness of timed messages since it was last asked for, milliseconds.
    late: Vec<u32>,
    late_total: u64,
    findings: Vec<String>,
    finding_count: u64,
}

/// Sums for a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// Messages acknowledged.
    pub(crate) sent: u64,
    /// Messages received, over all groups.
    pub(crate) received: u64,
    /// What is wrong.
    pub(crate) findings: u64,
}

/// The ledger that all clients share.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages of a producer were acknowledged.
    pub(crate) fn sent(&self, producer: u32, count: u64) {
        *self.books().sent.entry(producer).or_default() += count;
    }

    /// A message came to a group; `due_ms` is 0 where it was not timed.
    pub(crate) fn came(&self, group: usize, id: Id, due_ms: i64, now_ms: i64) {
        let mut books = self.books();
        if !books.came.entry((group, id.0)).or_default().take(id.1) {
            books.find(format!("group {group} got message {id:?} twice"));
        }
        if due_ms > 0 {
            books.late_total += 1;
            match usize::try_from(now_ms - due_ms) {
                Ok(late) => books.late.push(u32::try_from(late.min(LATE_MAX_MS)).unwrap_or(0)),
                Err(_) => books.find(format!("message {id:?} came {} ms early", due_ms - now_ms)),
            }
        }
    }

    /// A message failed and must come once more, not before `due_ms`.
    pub(crate) fn failed(&self, id: Id, due_ms: i64) {
        if self.books().retries.insert(id, due_ms).is_some() {
            self.find(format!("message {id:?} failed twice"));
        }
    }

    /// A failed message came once more.
    pub(crate) fn came_again(&self, id: Id, now_ms: i64) {
        let mut books = self.books();
        match books.retries.remove(&id) {
            Some(due_ms) if now_ms < due_ms => {
                books.find(format!("the retry of {id:?} came {} ms early", due_ms - now_ms));
            }
            Some(_) => {}
            None => books.find(format!("{id:?} came again and had not failed, or had come again before")),
        }
    }

    /// Something is wrong.
    pub(crate) fn find(&self, text: String) {
        self.books().find(text);
    }

    /// How many messages were sent and received.
    pub(crate) fn sums(&self) -> Sums {
        let books = self.books();
        let came = books.came.values().map(|came| came.all_below + came.beyond.len() as u64);
        Sums { sent: books.sent.values().sum(), received: came.sum(), findings: books.finding_count }
    }

    /// How many timed messages came in all.
    pub(crate) fn timed(&self) -> u64 {
        self.books().late_total
    }

    /// Lateness since the last call, sorted, milliseconds.
    pub(crate) fn take_late(&self) -> Vec<u32> {
        let mut late = std::mem::take(&mut self.books().late);
        late.sort_unstable();
        late
    }

    /// Messages that have not come yet: to the groups, and as retries.
    pub(crate) fn missing(&self, groups: usize) -> (u64, u64) {
        let books = self.books();
        let never = Came::default();
        let missing = (0..groups).flat_map(|group| books.sent.iter().map(move |sent| (group, sent)));
        let of = missing.map(|(group, (producer, end))| {
            books.came.get(&(group, *producer)).unwrap_or(&never).missing(*end)
        });
        (of.sum(), books.retries.len() as u64)
    }

    /// The first findings.
    pub(crate) fn findings(&self) -> Vec<String> {
        self.books().findings.clone()
    }
}

impl Books {
    fn find(&mut self, text: String) {
        self.finding_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_early_is_found() {
        let ledger = Ledger::default();
        ledger.sent(1, 4);
        for number in [0, 2, 3] {
            ledger.came(0, (1, number), 0, 10);
        }
        assert_eq!(ledger.missing(1), (1, 0));
        assert_eq!(ledger.missing(2), (5, 0));
        ledger.came(0, (1, 1), 100, 150);
        assert_eq!((ledger.missing(1), ledger.sums().findings, ledger.take_late()), ((0, 0), 0, vec![50]));
        ledger.came(0, (1, 2), 0, 10);
        ledger.came(1, (1, 0), 100, 99);
        assert_eq!(ledger.sums().findings, 2);
    }

    #[test]
    fn a_failed_message_comes_once_more_and_not_early() {
        let ledger = Ledger::default();
        ledger.failed((1, 7), 100);
        assert_eq!(ledger.missing(0), (0, 1));
        ledger.came_again((1, 7), 100);
        assert_eq!((ledger.missing(0), ledger.sums().findings), ((0, 0), 0));
        ledger.came_again((1, 7), 100);
        ledger.failed((1, 8), 100);
        ledger.came_again((1, 8), 99);
        assert_eq!(ledger.sums().findings, 2);
    }
}
