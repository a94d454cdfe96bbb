//! A store on a faulty medium and a manual clock, with small segments.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use backends::{FaultyBackend, Name, Streams};
use mainspring::record::Record;
use mainspring::{
    Clock, ManualClock, Message, Offset, Options, ReadRequest, Result, Scheduled, Store, TagFilter,
};

pub(crate) const SEGMENT: u64 = 64 << 10;
pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

pub(crate) struct Rig {
    pub(crate) medium: FaultyBackend,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) options: Options,
}

impl Rig {
    /// Timers due later than a second are copied out of a segment that ends; nothing is trimmed.
    pub(crate) fn new() -> Self {
        let options = Options {
            threads: false,
            segment_bytes: SEGMENT,
            reserve_bytes: SEGMENT,
            default_queues: 1,
            near_horizon_ms: 1_000,
            retention_ms: None,
            fire_reserve_bytes: 0,
            ..Options::default()
        };
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        Self { medium: FaultyBackend::new(1), clock, options }
    }

    pub(crate) fn with(options: impl FnOnce(&mut Options)) -> Self {
        let mut rig = Self::new();
        options(&mut rig.options);
        rig
    }

    pub(crate) fn try_open(&self) -> Result<Store> {
        Store::open_on(Arc::new(self.medium.clone()), self.clock.clone(), self.options.clone())
    }

    pub(crate) fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    /// A copy of what a kill would leave at this moment, with a clock of its own.
    pub(crate) fn copy(&self) -> Self {
        Self {
            medium: self.medium.kill(),
            clock: Arc::new(ManualClock::new(self.clock.now().wall_ms)),
            options: self.options.clone(),
        }
    }

    /// `kill -9`, and a start.
    pub(crate) fn kill(&mut self, store: Store) -> Store {
        store.abandon();
        self.medium = self.medium.kill();
        self.open()
    }

    /// An orderly stop, and a start.
    pub(crate) fn restart(&self, store: Store) -> Store {
        store.close().unwrap();
        drop(store);
        self.open()
    }

    /// Lets time go by, and everything happen that is due by then.
    pub(crate) fn pass(&self, store: &Store, ms: u64) {
        self.clock.advance(ms);
        store.step();
    }

    pub(crate) fn streams(&self, kind: &str) -> Vec<Name> {
        let names = self.medium.streams().into_iter().map(|info| info.name);
        names.filter(|name| name.as_str().starts_with(kind)).collect()
    }

    pub(crate) fn remove(&self, kind: &str) {
        self.streams(kind).iter().for_each(|name| self.medium.remove(name).unwrap());
    }
}

/// Schedules a message to the topic `t` and waits until that is committed.
pub(crate) fn timer(store: &Store, body: impl Into<Vec<u8>>, delay_ms: u64) -> Scheduled {
    let message = Message::new("t", body.into());
    store.schedule(message, Duration::from_millis(delay_ms)).unwrap().wait().unwrap()
}

/// Schedules numbered messages of 4,000 bytes to the topic `t`.
pub(crate) fn timers(store: &Store, numbers: Range<usize>, delay_ms: u64) -> Vec<Scheduled> {
    numbers.map(|number| timer(store, numbered(number, 4_000), delay_ms)).collect()
}

/// Fills segments with messages of another topic.
pub(crate) fn fill(store: &Store, segments: u64) {
    let until = store.stats().rolls + segments;
    while store.stats().rolls < until {
        store.append(Message::new("filler", vec![9; 8_000])).unwrap().wait().unwrap();
    }
    store.step();
}

/// A message that can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) body: Vec<u8>,
    pub(crate) store_ms: i64,
    pub(crate) at: Offset,
    pub(crate) fire_id: Option<String>,
}

/// Everything that a topic shows in its queue 0.
pub(crate) fn seen(store: &Store, topic: &str) -> Vec<Seen> {
    let filter = TagFilter::all();
    let mut from = store.queue_range(topic, 0).map_or(0, |range| range.start);
    let mut found = Vec::new();
    loop {
        let request =
            ReadRequest { topic, queue: 0, from, max_records: 1_000, max_bytes: 8 << 20, filter: &filter };
        let result = store.read(&request).unwrap();
        if result.next <= from {
            return found;
        }
        from = result.next;
        for bytes in result.records.iter() {
            let record = Record::parse(bytes).unwrap();
            record.verify_body().unwrap();
            found.push(Seen {
                body: record.body().to_vec(),
                store_ms: record.store_ms(),
                at: Offset(record.physical_offset()),
                fire_id: record.property("FIRE_ID").map(str::to_owned),
            });
        }
    }
}

/// The bodies that the topic `t` shows, in order.
pub(crate) fn bodies(store: &Store) -> Vec<Vec<u8>> {
    seen(store, "t").into_iter().map(|message| message.body).collect()
}

/// The same as a set; fails if one is there twice.
pub(crate) fn body_set(store: &Store) -> BTreeSet<Vec<u8>> {
    let all = bodies(store);
    let count = all.len();
    let set: BTreeSet<_> = all.into_iter().collect();
    assert_eq!(set.len(), count, "a timer fired twice");
    set
}

/// A body of `len` bytes that begins with a number.
pub(crate) fn numbered(number: impl Display, len: usize) -> Vec<u8> {
    let mut body = format!("{number:05} ").into_bytes();
    body.resize(len.max(body.len()), b'.');
    body
}
