//! How long requests take, by code of request and answer: from the last byte that came to the answer that is ready to be
//! written.
//!
//! The path of a request allocates nothing and takes no lock while its connection goes on with one kind of request;
//! another kind is looked up behind a lock that is written once for each kind there is. Requests of one wake-up that are
//! answered at once share one reading of the clock. Codes without a name share a series, so the number of series is
//! bounded by the codes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;

use crate::remoting::codes::{request, response};

/// Upper bounds of the classes, milliseconds; RocketMQ's.
pub const BOUNDS_MS: [u32; 9] = [1, 3, 5, 7, 10, 100, 1_000, 2_000, 3_000];
/// Stands for codes without a name.
const UNNAMED: i32 = -1;

/// What tells series apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Code of the request.
    pub request: i32,
    /// Code of the answer.
    pub response: i32,
    /// The request was held until there was something to say, or its time was over.
    pub held: bool,
}

impl Kind {
    fn named(self) -> Self {
        let code = |code, name: Option<&str>| if name.is_some() { code } else { UNNAMED };
        Self {
            request: code(self.request, request::name(self.request)),
            response: code(self.response, response::name(self.response)),
            held: self.held,
        }
    }
}

/// A series.
#[derive(Debug, Default)]
pub struct Latency {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Latency {
    fn add(&self, took: Duration, requests: u64) {
        let class = BOUNDS_MS.partition_point(|bound| Duration::from_millis(u64::from(*bound)) < took);
        self.counts[class].fetch_add(requests, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us.saturating_mul(requests), Ordering::Relaxed);
    }

    /// Requests in each class, the last of which has no bound.
    #[must_use]
    pub fn counts(&self) -> [u64; BOUNDS_MS.len() + 1] {
        std::array::from_fn(|class| self.counts[class].load(Ordering::Relaxed))
    }

    /// What all of them took together, microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }
}

/// All series.
#[derive(Debug, Default)]
pub struct Latencies(RwLock<HashMap<Kind, Arc<Latency>>>);

impl Latencies {
    fn get(&self, kind: Kind) -> Arc<Latency> {
        let kind = kind.named();
        if let Some(found) = self.0.read().get(&kind) {
            return Arc::clone(found);
        }
        Arc::clone(self.0.write().entry(kind).or_default())
    }

    /// Calls for each series with the names of its codes, in lower case as RocketMQ has them.
    pub fn each(&self, mut call: impl FnMut(&str, &str, bool, &Latency)) {
        for (kind, latency) in self.0.read().iter() {
            let name = |name: Option<&str>| name.unwrap_or("unknown").to_ascii_lowercase();
            let (request, response) =
                (name(request::name(kind.request)), name(response::name(kind.response)));
            call(&request, &response, kind.held, latency);
        }
    }
}

/// Counts the requests of one connection.
#[derive(Debug)]
pub struct Meter {
    all: Arc<Latencies>,
    last: Option<(Kind, Arc<Latency>)>,
    /// Answered at once and not counted yet, all of the last kind.
    at_once: u64,
}

impl Meter {
    /// Counts into `all`.
    #[must_use]
    pub fn new(all: Arc<Latencies>) -> Self {
        Self { all, last: None, at_once: 0 }
    }

    /// A request that took so long; those that were answered at once are settled before.
    pub fn add(&mut self, kind: Kind, took: Duration) {
        debug_assert_eq!(self.at_once, 0, "they are of another kind");
        self.series(kind).add(took, 1);
    }

    /// A request that was answered at once; `took` is read where another kind must be counted before.
    pub fn at_once(&mut self, kind: Kind, took: impl FnOnce() -> Duration) {
        if self.at_once > 0 && self.last.as_ref().is_none_or(|(last, _)| *last != kind) {
            self.settle(took);
        }
        self.series(kind);
        self.at_once += 1;
    }

    /// Counts those that were answered at once, if there are any.
    pub fn settle(&mut self, took: impl FnOnce() -> Duration) {
        if let (1.., Some((_, series))) = (self.at_once, &self.last) {
            series.add(took(), self.at_once);
        }
        self.at_once = 0;
    }

    fn series(&mut self, kind: Kind) -> &Latency {
        if self.last.as_ref().is_none_or(|(last, _)| *last != kind) {
            self.last = None;
        }
        &self.last.get_or_insert_with(|| (kind, self.all.get(kind))).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Kind = Kind { request: request::SEND_MESSAGE_V2, response: 0, held: false };
    const HELD: Kind =
        Kind { request: request::PULL_MESSAGE, response: response::PULL_NOT_FOUND, held: true };

    fn all(latencies: &Latencies) -> Vec<(String, u64, u64)> {
        let mut all = Vec::new();
        latencies.each(|request, response, held, latency| {
            let name = format!("{request} {response} {held}");
            all.push((name, latency.counts().iter().sum(), latency.sum_us()));
        });
        all.sort();
        all
    }

    #[test]
    fn each_kind_is_counted_by_itself() {
        let latencies = Arc::<Latencies>::default();
        let mut meter = Meter::new(Arc::clone(&latencies));
        let us = Duration::from_micros;
        meter.settle(|| panic!("nothing was answered"));
        for _ in 0..3 {
            meter.at_once(SEND, || panic!("all are of one kind"));
        }
        // Those before are counted with their own time.
        meter.at_once(Kind { response: 1, ..SEND }, || us(20));
        meter.settle(|| us(50));
        meter.settle(|| panic!("nothing is left"));
        meter.add(HELD, us(3_000_001));
        for unnamed in [-7, 99_999] {
            meter.add(Kind { request: unnamed, response: 3, held: false }, us(1));
        }
        let told = |name: &str, count, sum| (name.to_owned(), count, sum);
        assert_eq!(
            all(&latencies),
            [
                told("pull_message pull_not_found true", 1, 3_000_001),
                told("send_message_v2 success false", 3, 60),
                told("send_message_v2 system_error false", 1, 50),
                told("unknown request_code_not_supported false", 2, 2),
            ]
        );
    }

    #[test]
    fn a_time_lies_in_the_first_class_that_reaches_it() {
        let latency = Latency::default();
        for us in [1_000, 1_001, 10_000, 3_000_000, 3_000_001] {
            latency.add(Duration::from_micros(us), 2);
        }
        assert_eq!(latency.counts(), [2, 2, 0, 0, 2, 0, 0, 0, 2, 2]);
    }
}
