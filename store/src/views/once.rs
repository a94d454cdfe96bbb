//! Messages that are stored once: their keys, for a while, and where the first of each stands.
//!
//! Invariants:
//!
//! - while a key is here, nothing else is stored under it;
//! - a key goes with the first frame whose owner time reaches its end, or when there are more than the frame that
//!   added one allows: then the one that would end first goes.

use std::collections::{BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Malformed, Reader, Writer};
use crate::offset::Offset;

/// Where the first message of a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// The first owner time at which the key is forgotten, milliseconds.
    pub until_ms: i64,
    /// The log position of its record.
    pub at: Offset,
    /// When it is due, for a timer; owner milliseconds.
    pub due_ms: Option<i64>,
    /// Its queue.
    pub queue: u32,
    /// Its offset there; 0 for a timer.
    pub queue_offset: u64,
    /// The owner's time when it was appended, milliseconds.
    pub store_ms: i64,
    /// A hash of its topic's name, so that its keys go with a topic.
    pub topic: u64,
}

impl First {
    fn write(&self, key: u128, out: &mut Writer) {
        out.u128(key).i64(self.until_ms).u64(self.at.0);
        out.u8(u8::from(self.due_ms.is_some())).i64(self.due_ms.unwrap_or(0));
        out.u32(self.queue).u64(self.queue_offset).i64(self.store_ms).u64(self.topic);
    }

    fn read(r: &mut Reader<'_>) -> Result<(u128, Self), Malformed> {
        let (key, until_ms, at) = (r.u128()?, r.i64()?, Offset(r.u64()?));
        let (timed, due_ms) = (r.u8()? != 0, r.i64()?);
        let due_ms = timed.then_some(due_ms);
        let (queue, queue_offset, store_ms, topic) = (r.u32()?, r.u64()?, r.i64()?, r.u64()?);
        Ok((key, Self { until_ms, at, due_ms, queue, queue_offset, store_ms, topic }))
    }

    fn fingerprint(&self, key: u128) -> u64 {
        let mut out = Writer::default();
        self.write(key, &mut out);
        xxh3_64(&out.0)
    }
}

/// The keys that are remembered.
#[derive(Debug, Default)]
pub struct OnceKeys {
    firsts: HashMap<u128, First>,
    /// The same, by their end.
    ends: BTreeSet<(i64, u128)>,
    digest: u64,
}

impl OnceKeys {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    /// The same for the same keys, in whatever order they came.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The first message of a key.
    #[must_use]
    pub fn get(&self, key: u128) -> Option<&First> {
        self.firsts.get(&key)
    }

    /// Remembers a key that is not here, and forgets those above `most`.
    pub(super) fn add(&mut self, key: u128, first: First, most: u32) {
        self.insert(key, first);
        while self.firsts.len() > most as usize {
            self.forget_next();
        }
    }

    fn insert(&mut self, key: u128, first: First) {
        self.digest ^= first.fingerprint(key);
        self.ends.insert((first.until_ms, key));
        self.firsts.insert(key, first);
    }

    /// Forgets what ends at `now_ms`.
    pub(super) fn expire(&mut self, now_ms: i64) {
        while self.ends.first().is_some_and(|(until_ms, _)| *until_ms <= now_ms) {
            self.forget_next();
        }
    }

    fn forget_next(&mut self) {
        if let Some((_, key)) = self.ends.pop_first()
            && let Some(first) = self.firsts.remove(&key)
        {
            self.digest ^= first.fingerprint(key);
        }
    }

    /// Forgets the keys of a topic.
    pub(super) fn forget_topic(&mut self, name: &str) {
        let topic = xxh3_64(name.as_bytes());
        let own: Vec<_> = self.firsts.iter().filter(|(_, first)| first.topic == topic).collect();
        let own: Vec<_> = own.into_iter().map(|(key, first)| (first.until_ms, *key)).collect();
        for (until_ms, key) in own {
            self.ends.remove(&(until_ms, key));
            if let Some(first) = self.firsts.remove(&key) {
                self.digest ^= first.fingerprint(key);
            }
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u64(self.ends.len() as u64);
        for (key, first) in self.ends.iter().filter_map(|(_, key)| Some((key, self.firsts.get(key)?))) {
            first.write(*key, out);
        }
    }

    pub(crate) fn decode(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        for _ in 0..r.u64()? {
            let (key, first) = First::read(r)?;
            if self.firsts.contains_key(&key) {
                return Err(Malformed);
            }
            self.insert(key, first);
        }
        Ok(())
    }
}
