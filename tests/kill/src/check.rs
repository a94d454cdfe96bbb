//! The judge: compares what is read back with the journal.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    journal::{self, ATTEMPTS_MAX, Due, Failed, GROUPS, Journal, Key, TOPICS},
    wire::Record,
};

/// A timer may be so late, milliseconds, before it counts as owed.
const SLACK_MS: i64 = 300;
/// The consumption of one in so many messages fails.
const FAILING_ONE_IN: u64 = 20;
/// Most findings that are kept as text.
const FINDINGS_MAX: usize = 40;

/// A queue: topic and number.
pub(crate) type QueueName = (String, u32);
/// A message and how often its consumption failed.
pub(crate) type Identity = (u64, u32);

/// The topic of retries.
#[must_use]
pub(crate) fn retry_topic() -> String {
    format!("%RETRY%{}", GROUPS[0])
}

/// The topic of dead letters.
#[must_use]
pub(crate) fn dead_topic() -> String {
    format!("%DLQ%{}", GROUPS[0])
}

/// What was read at one place of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    queue_offset: u64,
    /// Of all bytes of the record.
    hash: u64,
    store_ms: i64,
}

/// What must never happen, counted over a whole campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Acknowledged and not there, not where it was acknowledged, changed, or progress that went back.
    pub(crate) lost: u64,
    /// Of these, progress of groups.
    pub(crate) progress: u64,
    /// There more than once.
    pub(crate) doubled: u64,
    /// Delivered before it was due.
    pub(crate) early: u64,
    /// Invented, part of a batch, a wrong retry count, a place that changed after it was read.
    pub(crate) other: u64,
}

impl Faults {
    /// All of them.
    #[must_use]
    pub(crate) fn total(&self) -> u64 {
        self.lost + self.doubled + self.early + self.other
    }
}

/// The state of things after a read-back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Messages and retries acknowledged so far.
    pub(crate) acknowledged: u64,
    /// Of these, found.
    pub(crate) found: u64,
    /// Of these, not due yet.
    pub(crate) waiting: u64,
    /// Of these, owed by now and not found.
    pub(crate) owed: u64,
    /// Timers that were pending at the kill.
    pub(crate) pending: u64,
    /// Timers that fell due between the kill and the first answer after it.
    pub(crate) due_down: u64,
    /// Not acknowledged but found: the kill cut off the answer.
    pub(crate) unanswered: u64,
}

/// Compares.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// What was asked and answered.
    pub(crate) journal: Journal,
    /// What was found wrong so far.
    pub(crate) faults: Faults,
    /// The first findings as text.
    pub(crate) findings: Vec<String>,
    /// Timers that were read for the first time since [`Checker::begin`] and had fired before the kill.
    pub(crate) fired: u64,
    /// Messages and retries that were read for the first time and whose consumption is to fail. A consumer fails what
    /// it was given; what is acknowledged as appended need not be readable at once.
    pub(crate) to_fail: Vec<Failed>,
    /// Age from which the broker may trim what was read, milliseconds; it may trim nothing where this is absent.
    pub(crate) retention_ms: Option<i64>,
    kill_ms: i64,
    slots: BTreeMap<QueueName, Vec<Slot>>,
    /// Where queues begin that were trimmed.
    starts: BTreeMap<QueueName, u64>,
    /// When each was stored.
    found: HashMap<Identity, i64>,
    lost: BTreeSet<Identity>,
    torn: BTreeSet<u64>,
}

impl Checker {
    /// Compares with a broker that trims after this age, milliseconds, or never.
    #[must_use]
    pub(crate) fn new(retention_ms: Option<i64>) -> Self {
        Self { retention_ms, ..Self::default() }
    }

    /// Begins the read-back after a kill.
    pub(crate) fn begin(&mut self, kill_ms: i64) {
        self.kill_ms = kill_ms;
        self.fired = 0;
    }

    /// Records read so far.
    #[must_use]
    pub(crate) fn read(&self) -> usize {
        self.slots.values().map(Vec::len).sum()
    }

    /// Behind the last record that was read of a queue.
    #[must_use]
    pub(crate) fn end_of(&self, queue: &QueueName) -> u64 {
        let start = self.starts.get(queue).copied().unwrap_or(0);
        self.slots.get(queue).and_then(|slots| slots.last()).map_or(start, |slot| slot.queue_offset + 1)
    }

    /// How many records were read of a queue.
    #[must_use]
    pub(crate) fn count_of(&self, queue: &QueueName) -> usize {
        self.slots.get(queue).map_or(0, Vec::len)
    }

    /// Notes something that is wrong.
    pub(crate) fn find(&mut self, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text);
        }
    }

    fn other(&mut self, text: String) {
        self.faults.other += 1;
        self.find(text);
    }

    fn lose(&mut self, identity: Identity, text: impl FnOnce() -> String) {
        if self.lost.insert(identity) {
            self.faults.lost += 1;
            let text = text();
            self.find(format!("lost: message {} (failures: {}): {text}", identity.0, identity.1));
        }
    }

    /// Records that were read before are gone from a queue.
    pub(crate) fn shrunk(&mut self, queue: &QueueName, by: usize) {
        self.faults.lost += by as u64;
        self.find(format!("lost: {by} records of {queue:?} were read before and are gone"));
    }

    /// A queue now begins at `start`: judges what is gone, and gives how many records of it were read before.
    pub(crate) fn trimmed(&mut self, queue: &QueueName, start: u64, seen_ms: i64) -> usize {
        self.starts.insert(queue.clone(), start);
        let slots = self.slots.entry(queue.clone()).or_default();
        let gone: Vec<Slot> =
            slots.drain(..slots.partition_point(|slot| slot.queue_offset < start)).collect();
        let may_go = |slot: &&Slot| self.retention_ms.is_some_and(|age_ms| slot.store_ms + age_ms <= seen_ms);
        let young = gone.len() - gone.iter().filter(may_go).count();
        if young > 0 {
            self.faults.lost += young as u64;
            self.find(format!("lost: {young} records of {queue:?} below {start} were trimmed too early"));
        }
        gone.len()
    }

    /// Looks at one record of a queue. True if the same was read there before.
    pub(crate) fn observe(&mut self, queue: &QueueName, record: &Record, seen_ms: i64) -> bool {
        let mut hasher = DefaultHasher::new();
        record.bytes.hash(&mut hasher);
        let (queue_offset, store_ms) = (record.queue_offset, record.store_ms);
        let slot = Slot { queue_offset, hash: hasher.finish(), store_ms };
        let slots = self.slots.entry(queue.clone()).or_default();
        let at = slots.partition_point(|known| known.queue_offset < slot.queue_offset);
        if let Some(known) = slots.get(at).copied().filter(|known| known.queue_offset == slot.queue_offset) {
            if known != slot {
                self.other(format!("{queue:?} at {} changed after it was read", slot.queue_offset));
            }
            return true;
        }
        if at < slots.len() {
            let text = format!("{queue:?} at {} appeared after what follows it was read", slot.queue_offset);
            slots.insert(at, slot);
            self.other(text);
        } else {
            slots.push(slot);
        }
        self.judge(queue, record, seen_ms);
        false
    }

    fn judge(&mut self, queue: &QueueName, record: &Record, seen_ms: i64) {
        let at = record.queue_offset;
        if (&record.topic, record.queue) != (&queue.0, queue.1) {
            return self.other(format!("{queue:?} at {at} holds a record of {}", record.topic));
        }
        let Some(id) = record.property("UNIQ_KEY").and_then(journal::id_of) else {
            return self.other(format!("{queue:?} at {at} holds a record without a key of ours"));
        };
        let identity = (id, record.reconsume_times);
        let due = match self.expected(identity, queue, record) {
            Ok(due) => due,
            Err(text) => return self.other(format!("{queue:?} at {at}: message {identity:?}: {text}")),
        };
        if let Some(first_ms) = self.found.insert(identity, record.store_ms) {
            self.faults.doubled += 1;
            self.find(format!(
                "doubled: message {id} (failures: {}) is at {at} of {queue:?} again, stored at {} and at {first_ms}",
                identity.1, record.store_ms
            ));
            return;
        }
        if let Some(due) = due {
            self.fired += u64::from(record.store_ms <= self.kill_ms);
            if record.store_ms < due.min_ms || seen_ms < due.min_ms {
                self.faults.early += 1;
                self.find(format!(
                    "early: message {id} (failures: {}) was due at {} or later, stored at {}, read at {seen_ms}",
                    identity.1, due.min_ms, record.store_ms
                ));
            }
        }
        let failing = identity.1 > 0 || id.is_multiple_of(FAILING_ONE_IN);
        if failing && identity.1 <= ATTEMPTS_MAX {
            self.to_fail.push(Failed { id, times: identity.1, position: record.position });
        }
    }

    /// Whether this message may stand here, and when it is due. Losing what was acknowledged elsewhere is noted too.
    fn expected(
        &mut self,
        identity: Identity,
        queue: &QueueName,
        record: &Record,
    ) -> Result<Option<Due>, &'static str> {
        let (id, failures) = identity;
        let message = self.journal.messages.get(&id).ok_or("nobody sent it")?.clone();
        if record.body != journal::body(id) || record.property("KEYS") != Some(journal::key(id).as_str()) {
            self.lose(identity, || String::from("its body or its key changed"));
        }
        if failures > 0 {
            let topic = if failures > ATTEMPTS_MAX { dead_topic() } else { retry_topic() };
            let retry = self.journal.retries.get(&identity).ok_or("nobody failed it so often")?;
            if queue.0 != topic || record.property("RETRY_TOPIC") != Some(TOPICS[message.topic]) {
                return Err("a retry in the wrong topic, or that does not say where it comes from");
            }
            return Ok(Some(retry.due));
        }
        if (queue.0.as_str(), queue.1) != (TOPICS[message.topic], message.queue) {
            return Err("it was sent to another queue");
        }
        let here = (record.queue_offset, record.position, record.host);
        if message.place.is_some_and(|place| place != here) {
            let place = message.place;
            self.lose(identity, || format!("acknowledged at {place:?}, found at {here:?}"));
        }
        Ok(message.due)
    }

    /// Compares a group's progress with what it was promised.
    pub(crate) fn progress(&mut self, key: Key, value: Option<u64>) {
        let Some(promised) = self.journal.progress.get(&key).copied() else { return };
        let value = value.unwrap_or(0);
        let of = format!("{} in {} {}", GROUPS[key.0], TOPICS[key.1], key.2);
        if value < promised.acknowledged.unwrap_or(0) {
            self.faults.lost += 1;
            self.faults.progress += 1;
            self.find(format!(
                "lost: progress of {of} is {value}, acknowledged was {:?}",
                promised.acknowledged
            ));
        } else if value > promised.asked {
            self.other(format!("progress of {of} is {value}, nobody asked for more than {}", promised.asked));
        }
    }

    /// How things stand for what is due by `by_ms`, when the broker answered again at `up_ms`.
    #[must_use]
    pub(crate) fn standing(&self, by_ms: i64, up_ms: i64) -> Standing {
        let mut standing = Standing::default();
        let messages = self.journal.messages.iter().map(|(id, m)| ((*id, 0), m.due, m.acknowledged));
        let retries = self.journal.retries.iter().map(|(id, r)| (*id, Some(r.due), r.acknowledged));
        for (identity, due, acknowledged) in messages.chain(retries) {
            let found = self.found.get(&identity);
            if !acknowledged {
                standing.unanswered += u64::from(found.is_some());
                continue;
            }
            standing.acknowledged += 1;
            if let Some(due) = due {
                standing.pending += u64::from(found.is_none_or(|stored_ms| *stored_ms > self.kill_ms));
                let down = due.min_ms > self.kill_ms && due.max_ms.is_some_and(|ms| ms <= up_ms);
                standing.due_down += u64::from(down);
            }
            if found.is_some() {
                standing.found += 1;
            } else if is_owed(due, by_ms) {
                standing.owed += 1;
            } else {
                standing.waiting += 1;
            }
        }
        standing
    }

    /// Counts what is owed by `by_ms` and not there as lost.
    pub(crate) fn settle(&mut self, by_ms: i64) {
        let messages = self.journal.messages.iter().filter(|(_, m)| m.acknowledged);
        let messages = messages.map(|(id, m)| ((*id, 0), m.due));
        let retries = self.journal.retries.iter().filter(|(_, r)| r.acknowledged);
        let retries = retries.map(|(identity, r)| (*identity, Some(r.due)));
        let missing: Vec<(Identity, Option<Due>)> = messages
            .chain(retries)
            .filter(|(identity, due)| !self.found.contains_key(identity) && is_owed(*due, by_ms))
            .collect();
        for (identity, due) in missing {
            self.lose(identity, || format!("acknowledged and not found, due {due:?}, now {by_ms}"));
        }
        self.tear();
    }

    /// A batch whose answer was cut off is there as a whole or not at all.
    fn tear(&mut self) {
        let mut batches: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for (id, message) in self.journal.messages.iter().filter(|(_, m)| !m.acknowledged) {
            if let Some((first, size)) = message.batch {
                let (there, _) = batches.entry(first).or_insert((0, size));
                *there += u64::from(self.found.contains_key(&(*id, 0)));
            }
        }
        for (first, (there, size)) in batches {
            if there != 0 && there != size && self.torn.insert(first) {
                self.other(format!("of the batch of {size} from message {first} only {there} are there"));
            }
        }
    }
}

fn is_owed(due: Option<Due>, by_ms: i64) -> bool {
    match due {
        None => true,
        Some(due) => due.max_ms.is_none_or(|max_ms| max_ms + SLACK_MS <= by_ms),
    }
}
