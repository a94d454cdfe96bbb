//! How many messages pass: in by topic and kind, out by group and topic, failures by group and topic.
//!
//! The path of a message takes a look-up behind a lock for reading and a few additions; it allocates nothing and reads
//! no clock: whoever calls [`Traffic::tick`] each second says what time it is. Topics and groups that are gone lose
//! their series, and names beyond [`table::SERIES_MAX`] share one, so that nobody can fill the memory with names.
//! Counts begin at zero when the broker starts.

pub mod flow;
pub mod table;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

pub use flow::{Flow, Rate, Totals, Window};
use flow::{History, SAMPLE_MS};
pub use table::Table;

/// Upper bounds of the sizes that bodies are counted by, bytes; RocketMQ's.
pub const SIZES: [u64; 6] = [1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
const DAY_MS: i64 = 86_400_000;

/// What a message that comes in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing special.
    Normal,
    /// It has a sharding key: its order counts.
    Fifo,
    /// It is delivered later.
    Delay,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Fifo, Self::Delay];

    /// RocketMQ's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Fifo => "fifo",
            Self::Delay => "delay",
        }
    }
}

/// How far the answers to a group's pulls have gone, by queue: what lies between there and the group's progress is under
/// way.
#[derive(Debug, Default)]
pub struct Pulled(Mutex<HashMap<u32, u64>>);

impl Pulled {
    /// An answer went to this offset, exclusive.
    pub fn note(&self, queue: u32, next: u64) {
        self.0.lock().insert(queue, next);
    }

    /// Where the last answer went, if there was one.
    #[must_use]
    pub fn get(&self, queue: u32) -> Option<u64> {
        self.0.lock().get(&queue).copied()
    }

    /// Nothing is under way any more, since the group's progress was set.
    pub fn forget(&self) {
        self.0.lock().clear();
    }
}

/// What a group does with a topic.
#[derive(Debug, Default)]
pub struct Consumption {
    /// Messages handed out.
    pub out: Flow,
    /// Messages that came back to be delivered again.
    pub failed: Flow,
    /// Messages that went to the group's dead-letter topic.
    pub dead: Flow,
    /// How far its pulls have gone.
    pub pulled: Pulled,
}

/// Bodies that came in, by size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bodies of at most [`SIZES`] bytes and more than the bound before; the last are longer than all bounds.
    pub counts: [u64; SIZES.len() + 1],
    /// Bytes of all.
    pub bytes: u64,
}

/// Sums at the beginnings of days, in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Days {
    /// In and out when yesterday began; zero if the broker is younger.
    pub yesterday: (Totals, Totals),
    /// In and out when today began; zero if the broker is younger.
    pub today: (Totals, Totals),
}

#[derive(Debug, Default)]
struct Sums {
    day: Option<i64>,
    days: Days,
    put: History,
    get: History,
    /// What series that are gone had counted.
    gone: (Totals, Totals),
}

/// The counts.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Messages in, by topic and [`Kind::name`]: once they stand in the log.
    pub topics: Table<Flow>,
    /// By group and topic.
    pub groups: Table<Consumption>,
    /// Answers to consumers that hold no message, as requests.
    pub misses: Flow,
    now_ms: AtomicI64,
    sampled_ms: AtomicI64,
    sizes: [AtomicU64; SIZES.len() + 1],
    body_bytes: AtomicU64,
    sums: Mutex<Sums>,
}

impl Traffic {
    /// Counts from this moment on, owner milliseconds.
    #[must_use]
    pub fn begin(now_ms: i64) -> Self {
        let new = Self { now_ms: now_ms.into(), sampled_ms: now_ms.into(), ..Self::default() };
        {
            let mut sums = new.sums.lock();
            sums.put.begin(now_ms);
            sums.get.begin(now_ms);
            sums.day = Some(now_ms.div_euclid(DAY_MS));
        }
        new
    }

    /// Counts the messages of one send.
    pub fn sent(&self, topic: &str, kind: Kind, bodies: impl Iterator<Item = usize>) {
        let (mut messages, mut bytes) = (0, 0);
        for body in bodies {
            let size = body as u64;
            (messages, bytes) = (messages + 1, bytes + size);
            let class = SIZES.partition_point(|most| *most < size);
            self.sizes[class].fetch_add(1, Ordering::Relaxed);
        }
        self.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.topics.get(topic, kind.name()).add(messages, bytes, self.now_ms());
    }

    /// Counts the messages of one answer to a consumer.
    pub fn handed_out(&self, to: &Consumption, messages: usize, bytes: usize) {
        if messages > 0 {
            to.out.add(messages as u64, bytes as u64, self.now_ms());
        }
    }

    /// Counts an answer to a consumer that holds no message.
    pub fn missed(&self) {
        self.misses.add(0, 0, self.now_ms());
    }

    /// Counts a message of this body length whose consumption failed.
    pub fn failed(&self, group: &str, topic: &str, is_dead: bool, body: usize) {
        let entry = self.groups.get(group, topic);
        let flow = if is_dead { &entry.dead } else { &entry.failed };
        flow.add(1, body as u64, self.now_ms());
    }

    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Says what time it is, owner milliseconds; takes samples every ten seconds.
    pub fn tick(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
        let sampled = self.sampled_ms.load(Ordering::Relaxed);
        if (0..SAMPLE_MS).contains(&(now_ms - sampled)) {
            return;
        }
        self.sampled_ms.store(now_ms, Ordering::Relaxed);
        self.topics.each(|_, _, flow| flow.sample(now_ms));
        self.groups.each(|_, _, entry| {
            [&entry.out, &entry.failed, &entry.dead].iter().for_each(|flow| flow.sample(now_ms));
        });
        self.misses.sample(now_ms);
        let (put, get) = (self.put(), self.get());
        let mut sums = self.sums.lock();
        sums.put.sample(now_ms, put);
        sums.get.sample(now_ms, get);
        let day = now_ms.div_euclid(DAY_MS);
        if let Some(before) = sums.day.replace(day).filter(|before| *before != day) {
            let yesterday = if before + 1 == day { sums.days.today } else { (put, get) };
            sums.days = Days { yesterday, today: (put, get) };
        }
    }

    /// Lets go of topics and groups that are no longer there; their messages stay in the sums.
    pub fn retain(&self, has_topic: impl Fn(&str) -> bool, has_group: impl Fn(&str) -> bool) {
        let mut gone = (Totals::default(), Totals::default());
        self.topics.retain(|topic, _, flow| {
            let keep = has_topic(topic);
            if !keep {
                gone.0 += flow.totals();
            }
            keep
        });
        self.groups.retain(|group, topic, entry| {
            let keep = has_group(group) && has_topic(topic);
            if !keep {
                gone.1 += entry.out.totals();
            }
            keep
        });
        let mut sums = self.sums.lock();
        sums.gone.0 += gone.0;
        sums.gone.1 += gone.1;
    }

    /// All messages that came in.
    #[must_use]
    pub fn put(&self) -> Totals {
        let mut sum = self.sums.lock().gone.0;
        self.topics.each(|_, _, flow| sum += flow.totals());
        sum
    }

    /// All messages that were handed out.
    #[must_use]
    pub fn get(&self) -> Totals {
        let mut sum = self.sums.lock().gone.1;
        self.groups.each(|_, _, entry| sum += entry.out.totals());
        sum
    }

    /// All messages that came in, in a window.
    #[must_use]
    pub fn put_over(&self, window: Window) -> Rate {
        self.sums.lock().put.over(window)
    }

    /// All messages that were handed out, in a window.
    #[must_use]
    pub fn get_over(&self, window: Window) -> Rate {
        self.sums.lock().get.over(window)
    }

    /// Messages of one topic that came in, of all kinds; zero where none did.
    #[must_use]
    pub fn topic_put(&self, topic: &str) -> Totals {
        let mut sum = Totals::default();
        self.kinds(topic).for_each(|flow| sum += flow.totals());
        sum
    }

    /// Messages of one topic that came in, of all kinds, in a window.
    #[must_use]
    pub fn topic_put_over(&self, topic: &str, window: Window) -> Rate {
        let mut sum = Rate::default();
        self.kinds(topic).for_each(|flow| sum += flow.over(window));
        sum
    }

    fn kinds(&self, topic: &str) -> impl Iterator<Item = Arc<Flow>> {
        Kind::ALL.into_iter().filter_map(|kind| self.topics.find(topic, kind.name()))
    }

    /// Bodies that came in, by size.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            counts: std::array::from_fn(|i| self.sizes[i].load(Ordering::Relaxed)),
            bytes: self.body_bytes.load(Ordering::Relaxed),
        }
    }

    /// Sums at the beginnings of days.
    #[must_use]
    pub fn days(&self) -> Days {
        self.sums.lock().days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 20 * DAY_MS + 7;

    #[test]
    fn sends_and_pulls_are_counted() {
        let traffic = Traffic::begin(NOW);
        traffic.sent("T", Kind::Normal, [1024].into_iter());
        traffic.sent("T", Kind::Delay, [1025, 5 << 20].into_iter());
        let group = traffic.groups.get("G", "T");
        traffic.handed_out(&group, 3, 600);
        traffic.handed_out(&group, 0, 0);
        group.pulled.note(1, 9);
        assert_eq!((group.pulled.get(1), group.pulled.get(2)), (Some(9), None));
        group.pulled.note(1, 3);
        assert_eq!(group.pulled.get(1), Some(3));
        group.pulled.forget();
        assert_eq!(group.pulled.get(1), None);
        traffic.failed("G", "T", false, 5);
        traffic.failed("G", "T", true, 6);
        let bytes = 1024 + 1025 + (5 << 20);
        let put = Totals { requests: 2, messages: 3, bytes, last_ms: NOW };
        assert_eq!((traffic.put(), traffic.topic_put("T")), (put, put));
        assert_eq!(traffic.topic_put("U"), Totals::default());
        assert_eq!(traffic.get(), Totals { requests: 1, messages: 3, bytes: 600, last_ms: NOW });
        assert_eq!((group.failed.totals().messages, group.dead.totals().bytes), (1, 6));
        assert_eq!(traffic.sizes(), Sizes { counts: [1, 1, 0, 0, 0, 0, 1], bytes });
    }

    #[test]
    fn sums_outlive_their_series_and_days_begin_at_midnight() {
        let traffic = Traffic::begin(NOW);
        traffic.sent("T", Kind::Normal, [10].into_iter());
        traffic.sent("U", Kind::Normal, [10].into_iter());
        traffic.missed();
        traffic.handed_out(&traffic.groups.get("G", "T"), 1, 9);
        traffic.retain(|topic| topic == "U", |_| true);
        assert!(traffic.topics.find("T", "normal").is_none() && traffic.groups.find("G", "T").is_none());
        assert_eq!((traffic.put().messages, traffic.get().messages), (2, 1));
        assert_eq!(traffic.days(), Days::default());
        traffic.tick(NOW + SAMPLE_MS);
        assert_eq!(traffic.put_over(Window::Minute).passed.messages, 2);
        assert_eq!(traffic.topic_put_over("U", Window::Minute).passed.messages, 1);
        assert_eq!(traffic.misses.over(Window::Minute).passed.requests, 1);
        traffic.tick(NOW + DAY_MS);
        traffic.sent("U", Kind::Normal, [10].into_iter());
        assert_eq!((traffic.days().today.0.messages, traffic.days().yesterday.0.messages), (2, 0));
        traffic.tick(NOW + 2 * DAY_MS);
        let days = traffic.days();
        assert_eq!((days.today.0.messages, days.yesterday.0.messages), (3, 2));
        assert_eq!(traffic.topic_put("U").last_ms, NOW + DAY_MS);
    }
}
