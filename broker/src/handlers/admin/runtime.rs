//! The broker itself: 25, 26, 28, and the name service's 318, 319.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::reply;
use crate::{
    broker::Broker,
    remoting::{Handled, Response, codes::response},
};

/// Code 28: the broker in figures. Names are RocketMQ's where the figure is the same; what has no meaning here is left
/// out.
pub(super) fn info(broker: &Arc<Broker>) -> Handled {
    reply::read(broker, |broker| {
        let stats = broker.store.stats();
        let mut table = Map::new();
        let mut put = |name: &str, value: String| {
            table.insert(name.to_owned(), Value::String(value));
        };
        let up_ms = broker.clock.elapsed_ms();
        put("brokerVersionDesc", format!("Mainspring {}", env!("CARGO_PKG_VERSION")));
        put("brokerActive", stats.stopped.is_none().to_string());
        put("bootTimestamp", broker.store.now_ms().saturating_sub_unsigned(up_ms).to_string());
        put("runtime", duration(up_ms));
        put("commitLogMinOffset", stats.start.0.to_string());
        put("commitLogMaxOffset", stats.tail.0.to_string());
        put("commitLogDirCapacity", format!("{} bytes of log", stats.log_bytes));
        put("remainHowManyDataToFlush", format!("{} B", stats.unflushed_bytes));
        put("timerCongestNum", stats.timers_pending.to_string());
        let (producers, consumers) = broker.clients.counts();
        put("producerConnections", producers.to_string());
        put("consumerConnections", consumers.to_string());
        put("topics", stats.topics.to_string());
        put("groups", stats.groups.to_string());
        put("timersPending", stats.timers_pending.to_string());
        put("timersOverdue", stats.timers_overdue.to_string());
        put("timersFired", stats.fires.to_string());
        put("flushedOffset", stats.flushed.0.to_string());
        put("committedOffset", stats.committed.0.to_string());
        if let Some(oldest) = oldest_ms(broker)? {
            put("earliestMessageTimeStamp", oldest.to_string());
        }
        if let Some(why) = stats.stopped {
            put("appendsRefused", why);
        }
        Ok(reply::body(&json!({ "table": table })))
    })
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
    Ok(Response::ok().with_body(text).into())
}

/// Codes 25 and 318: refused, since settings have one place, which they are read from at start.
pub(super) fn change_settings() -> Handled {
    let text =
        "settings are read at start from flags, environment and file; change them there and start again";
    Err(Response::refuse(response::NO_PERMISSION, text))
}
