//! The broker itself: 25, 26, 28, and the name service's 318, 319.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::reply;
use crate::{
    broker::Broker,
    remoting::{
        Handled, Response,
        codes::{SERVER_VERSION, response},
    },
    traffic::{Rate, Traffic, Window},
};

/// Code 28: the broker in figures. Names are RocketMQ's where the figure is the same; what has no meaning here is left
/// out.
pub(super) fn info(broker: &Arc<Broker>) -> Handled {
    reply::read(broker, |broker| {
        let mut table = Table(Map::new());
        table.put_state(broker);
        table.put_traffic(&broker.traffic);
        if let Some(oldest) = oldest_ms(broker)? {
            table.put("earliestMessageTimeStamp", oldest);
        }
        Ok(reply::body(&json!({ "table": table.0 })))
    })
}

struct Table(Map<String, Value>);

impl Table {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), Value::String(value.to_string()));
    }

    fn put_state(&mut self, broker: &Broker) {
        let (stats, up_ms) = (broker.store.stats(), broker.clock.elapsed_ms());
        let started_ms = broker.store.now_ms().saturating_sub_unsigned(up_ms);
        self.put("brokerVersionDesc", format!("Mainspring {}", env!("CARGO_PKG_VERSION")));
        self.put("brokerVersion", SERVER_VERSION);
        self.put("brokerActive", stats.stopped.is_none());
        self.put("bootTimestamp", started_ms);
        self.put("startAcceptSendRequestTimeStamp", started_ms);
        self.put("runtime", duration(up_ms));
        self.put("commitLogMinOffset", stats.start.0);
        self.put("commitLogMaxOffset", stats.tail.0);
        self.put("commitLogBytes", stats.log_bytes);
        self.put("committedOffset", stats.committed.0);
        self.put("flushedOffset", stats.flushed.0);
        self.put("remainHowManyDataToFlush", format!("{} B", stats.unflushed_bytes));
        // A request is served as it is read, so none ever waits in a queue for a thread.
        for queue in ["send", "pull", "ack"] {
            self.put(&format!("{queue}ThreadPoolQueueSize"), 0);
            self.put(&format!("{queue}ThreadPoolQueueHeadWaitTimeMills"), 0);
        }
        self.put("timerCongestNum", stats.timers_pending);
        self.put("timersOverdue", stats.timers_overdue);
        self.put("timersFired", stats.fires);
        self.put("topics", stats.topics);
        self.put("groups", stats.groups);
        let (producers, consumers) = broker.clients.counts();
        self.put("producerConnections", producers);
        self.put("consumerConnections", consumers);
        if let Some(why) = stats.stopped {
            self.put("appendsRefused", why);
        }
    }

    fn put_traffic(&mut self, traffic: &Traffic) {
        let three = |rate: &dyn Fn(Window) -> f64| {
            let windows = [Window::Now, Window::Minute, Window::TenMinutes];
            windows.map(|window| format!("{:.2}", rate(window))).join(" ")
        };
        let per_second = |rate: Rate| rate.per_second(rate.passed.messages);
        let answers = |rate: Rate| rate.per_second(rate.passed.requests);
        let found = |window| answers(traffic.get_over(window));
        let missed = |window| answers(traffic.misses.over(window));
        self.put("putTps", three(&|window| per_second(traffic.put_over(window))));
        self.put("getTransferredTps", three(&|window| per_second(traffic.get_over(window))));
        self.put("getTransferedTps", three(&|window| per_second(traffic.get_over(window))));
        self.put("getFoundTps", three(&found));
        self.put("getMissTps", three(&missed));
        self.put("getTotalTps", three(&|window| found(window) + missed(window)));
        let (put, get, days) = (traffic.put(), traffic.get(), traffic.days());
        self.put("msgPutTotalTodayNow", put.messages);
        self.put("msgPutTotalTodayMorning", days.today.0.messages);
        self.put("msgPutTotalYesterdayMorning", days.yesterday.0.messages);
        self.put("msgGetTotalTodayNow", get.messages);
        self.put("msgGetTotalTodayMorning", days.today.1.messages);
        self.put("msgGetTotalYesterdayMorning", days.yesterday.1.messages);
        self.put("putMessageTimesTotal", put.requests);
        self.put("putMessageSizeTotal", put.bytes);
        self.put("putMessageAverageSize", put.bytes.checked_div(put.messages).unwrap_or(0));
    }
}

/// When the oldest message that any queue shows was stored.
fn oldest_ms(broker: &Broker) -> mainspring::Result<Option<i64>> {
    let mut oldest: Option<i64> = None;
    for topic in broker.store.topics() {
        for queue in 0..super::queues::queues(&topic) {
            let range = broker.store.queue_range(&topic.name, queue).unwrap_or_default();
            if range.is_empty() {
                continue;
            }
            let stored = broker.store.store_time_at(&topic.name, queue, range.start)?;
            oldest = [oldest, stored].into_iter().flatten().min();
        }
    }
    Ok(oldest)
}

fn duration(ms: u64) -> String {
    let s = ms / 1000;
    format!("[ {} days, {} hours, {} minutes, {} seconds ]", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
}

/// Codes 26 and 319: the settings, by RocketMQ's names where they mean the same.
pub(super) fn settings(broker: &Broker) -> Handled {
    let settings = &broker.settings;
    let text = format!(
        "autoCreateTopicEnable={}\nbrokerClusterName={}\nbrokerIP1={}\nbrokerId=0\nbrokerName={}\n\
         brokerRole=ASYNC_MASTER\ndefaultTopicQueueNums={}\nflushDiskType={}\nlistenPort={}\nmaxMessageSize={}\n",
        settings.auto_create_topics,
        settings.cluster_name,
        settings.advertised.ip(),
        settings.broker_name,
        settings.default_queues,
        if settings.acknowledge == mainspring::Wait::Appended { "ASYNC_FLUSH" } else { "SYNC_FLUSH" },
        settings.advertised.port(),
        settings.message_bytes_max,
    );
    let more = settings.properties.iter().map(|(name, value)| format!("{name}={value}\n"));
    let text = more.fold(text, |text, line| text + &line);
    Ok(Response::ok().with_body(text).into())
}

/// Codes 25 and 318: refused, since settings have one place, which they are read from at start.
pub(super) fn change_settings() -> Handled {
    let text =
        "settings are read at start from flags, environment and file; change them there and start again";
    Err(Response::refuse(response::NO_PERMISSION, text))
}
