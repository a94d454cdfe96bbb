//! What `/metrics` shows: RocketMQ 5's names where they fit, and ours.
//!
//! All figures are gathered on a scrape, from counters that are kept anyway; between scrapes nothing is done. A family
//! has at most [`table::SERIES_MAX`](crate::traffic::table::SERIES_MAX) series.

mod own;
mod page;
mod rocketmq;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use mainspring::{Lag, Stats};
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use crate::{broker::Broker, traffic::table::SERIES_MAX};
use page::Page;

/// Seconds ahead by which pending timers are counted; RocketMQ's.
const DUE_BOUNDS_S: [i64; 8] = [5, 60, 300, 900, 3_600, 14_400, 28_800, 86_400];
/// Counting timers by due time looks at each: with more than so many it is done once a minute.
const TIMERS_COUNTED_ALWAYS: usize = 100_000;
/// Counting them by topic looks at a record of each, of so many at most: beyond, every n-th counts as n, and the result is
/// shown for a minute.
const RECORDS_READ: usize = 10_000;
/// How long a count of many timers is shown, milliseconds.
const KEPT_MS: i64 = 60_000;
/// Of so many groups and topics the oldest unconsumed message is looked up, which reads a record of each queue.
const LATENCIES_MAX: usize = 1_000;

/// The content type of what [`Exporter::render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What was counted, and when, owner milliseconds.
type Counted<T> = Option<(i64, T)>;

/// Counts of pending timers that are too dear for each scrape.
#[derive(Debug, Default)]
struct Timers {
    /// How many lie up to each bound.
    forecast: Counted<Vec<u64>>,
    by_topic: Counted<BTreeMap<String, u64>>,
}

/// What was counted, again unless it may be `kept` and is not too old.
fn counted<T: Clone>(last: &mut Counted<T>, (now_ms, kept): (i64, bool), count: impl FnOnce() -> T) -> T {
    let is_fresh = |at: i64| kept && (0..KEPT_MS).contains(&(now_ms - at));
    let fresh = last.take().filter(|(at, _)| is_fresh(*at));
    last.insert(fresh.unwrap_or_else(|| (now_ms, count()))).1.clone()
}

/// Renders the figures of a broker.
#[derive(Debug, Default)]
pub struct Exporter {
    /// One scrape at a time; others wait.
    timers: Mutex<Timers>,
}

impl Exporter {
    /// The figures as text. Without a broker, only that nothing is served yet. Takes locks and reads records.
    #[must_use]
    pub fn render(&self, broker: Option<(Arc<Broker>, Duration)>) -> String {
        let mut text = String::new();
        let mut timers = self.timers.lock();
        let written = match broker {
            None => write(&mut text, Registry::default(), Nothing),
            Some((broker, opened_in)) => {
                let settings = &broker.settings;
                let labels = [
                    ("cluster", settings.cluster_name.clone()),
                    ("node_type", String::from("broker")),
                    ("node_id", settings.broker_name.clone()),
                ];
                let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into()));
                let snapshot = Snapshot::take(broker, opened_in, &mut timers);
                write(&mut text, Registry::with_labels(labels), snapshot)
            }
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the metrics cannot be written");
        }
        text
    }
}

fn write(text: &mut String, mut registry: Registry, figures: impl Collector) -> fmt::Result {
    registry.register_collector(Box::new(figures));
    text::encode(text, &registry)
}

#[derive(Debug)]
struct Nothing;

impl Collector for Nothing {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        own::serving(&mut Page(encoder), false)
    }
}

/// The figures of one moment.
#[derive(Debug)]
struct Snapshot {
    broker: Arc<Broker>,
    stats: Stats,
    opened_in: Duration,
    /// Each with when its oldest unconsumed message was stored, owner milliseconds.
    lags: Vec<(Lag, Option<i64>)>,
    forecast: Vec<u64>,
    /// Pending timers.
    by_topic: BTreeMap<String, u64>,
}

impl Snapshot {
    fn take(broker: Arc<Broker>, opened_in: Duration, timers: &mut Timers) -> Self {
        let store = &broker.store;
        let stats = store.stats();
        let mut lags = store.lags();
        lags.truncate(SERIES_MAX);
        let oldest = |(n, lag): (usize, Lag)| {
            let looked = (n < LATENCIES_MAX).then(|| store.oldest_unconsumed_ms(&lag).ok()).flatten();
            (lag, looked.flatten())
        };
        let lags = lags.into_iter().enumerate().map(oldest).collect();
        let now_ms = stats.now_ms;
        let forecast =
            counted(&mut timers.forecast, (now_ms, stats.timers_pending > TIMERS_COUNTED_ALWAYS), || {
                let times = DUE_BOUNDS_S.map(|seconds| now_ms.saturating_add(seconds * 1_000));
                store.timer_forecast(&times).unwrap_or_default()
            });
        let by_topic = counted(&mut timers.by_topic, (now_ms, stats.timers_pending > RECORDS_READ), || {
            store.timer_topics(RECORDS_READ).unwrap_or_default()
        });
        Self { broker, stats, opened_in, lags, forecast, by_topic }
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        own::serving(&mut page, true)?;
        rocketmq::write(&mut page, self)?;
        own::write(&mut page, self)
    }
}
