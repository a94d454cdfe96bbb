//! Metrics by the names of RocketMQ 5, with its labels as far as they mean something here.

use std::fmt;

use super::{DUE_BOUNDS_S, Snapshot, page::Page};
use crate::{
    latency::BOUNDS_MS,
    names,
    traffic::{Flow, Kind, SIZES, Totals, table::OTHER},
};

/// Read and write.
const PERMISSION: u32 = 6;

const fn truth(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

fn is_retry(topic: &str) -> &'static str {
    truth(names::group_of_retry_topic(topic).is_some())
}

pub(super) fn write(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let stats = &of.stats;
    let permission = if stats.stopped.is_none() { PERMISSION } else { u32::from(mainspring::PERM_READ) };
    page.gauge("rocketmq_broker_permission", "4 can be read, 2 can be written, 6 both", permission)?;
    page.gauge("rocketmq_topic_number", "Topics", stats.topics)?;
    page.gauge("rocketmq_consumer_group_number", "Consumer groups", stats.groups)?;
    let (producers, consumers) = of.broker.clients.counts();
    page.gauge("rocketmq_producer_connections", "Producers online, by connection and group", producers)?;
    page.gauge("rocketmq_consumer_connections", "Consumers online, by connection and group", consumers)?;
    page.gauge("rocketmq_storage_size", "Bytes of the log", stats.log_bytes)?;
    let help = "Bytes appended and not flushed";
    page.gauge("rocketmq_storage_flush_behind_bytes", help, stats.unflushed_bytes)?;
    let help = "Bytes appended and not yet shown to consumers";
    page.gauge("rocketmq_storage_dispatch_behind_bytes", help, stats.unapplied_bytes)?;
    traffic_in(page, of)?;
    traffic_out(page, of)?;
    lags(page, of)?;
    latencies(page, of)?;
    timers(page, of)
}

fn latencies(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let help = "How long requests took until their answer was ready, milliseconds";
    page.histograms("rocketmq_rpc_latency", help, |add| {
        let mut written = Ok(());
        of.broker.latencies.each(|request, response, held, latency| {
            let labels = [
                ("protocol_type", "remoting"),
                ("request_code", request),
                ("response_code", response),
                ("is_long_polling", truth(held)),
            ];
            let bounds = BOUNDS_MS.map(f64::from).into_iter().chain([f64::INFINITY]);
            let classes: Vec<_> = bounds.zip(latency.counts()).collect();
            #[expect(clippy::cast_precision_loss, reason = "sums are shown with the digits of a double")]
            let sum = latency.sum_us() as f64 / 1e3;
            written = written.and_then(|()| add(&labels, (sum, &classes)));
        });
        written
    })
}

fn traffic_in(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let traffic = &of.broker.traffic;
    let mut family = |name: &str, help: &str, count: fn(Totals) -> u64| {
        page.counters(name, help, |add| {
            let mut written = Ok(());
            traffic.topics.each(|topic, kind, flow: &Flow| {
                let labels = [
                    ("topic", topic),
                    ("message_type", kind),
                    ("is_retry", is_retry(topic)),
                    ("is_system", "false"),
                ];
                written = written.and_then(|()| add(&labels, count(flow.totals())));
            });
            written
        })
    };
    family("rocketmq_messages_in", "Messages sent", |totals| totals.messages)?;
    family("rocketmq_throughput_in", "Bytes of bodies sent", |totals| totals.bytes)?;
    let sizes = traffic.sizes();
    #[expect(clippy::cast_precision_loss, reason = "sums are shown with the digits of a double")]
    let (bounds, bytes) = (SIZES.map(|bound| bound as f64), sizes.bytes as f64);
    let classes: Vec<_> = bounds.into_iter().chain([f64::INFINITY]).zip(sizes.counts).collect();
    page.classes("rocketmq_message_size", "Bytes of a body sent", (bytes, &classes))
}

fn traffic_out(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let traffic = &of.broker.traffic;
    let mut family = |name: &str, help: &str, count: fn(&crate::traffic::Consumption) -> u64| {
        page.counters(name, help, |add| {
            let mut written = Ok(());
            traffic.groups.each(|group, topic, entry| {
                let labels = [
                    ("consumer_group", group),
                    ("topic", topic),
                    ("is_retry", is_retry(topic)),
                    ("is_system", "false"),
                ];
                written = written.and_then(|()| add(&labels, count(entry)));
            });
            written
        })
    };
    family("rocketmq_messages_out", "Messages handed out", |entry| entry.out.totals().messages)?;
    family("rocketmq_throughput_out", "Bytes of records handed out", |entry| entry.out.totals().bytes)?;
    let help = "Failed messages sent to the dead-letter topic";
    family("rocketmq_send_to_dlq_messages", help, |entry| entry.dead.totals().messages)?;
    let help = "Failed messages that came back to be delivered again";
    family("mainspring_send_back_messages", help, |entry| entry.failed.totals().messages)
}

fn lags(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let help = "Messages that a group has not consumed";
    page.gauges("rocketmq_consumer_lag_messages", help, |add| {
        of.lags.iter().try_for_each(|(lag, _)| {
            let labels =
                [("consumer_group", &*lag.group), ("topic", &lag.topic), ("is_retry", is_retry(&lag.topic))];
            add(&labels, lag.messages)
        })
    })?;
    let help =
        "Age of the oldest message that a group has not consumed, milliseconds; 0 where it is not behind";
    page.gauges("rocketmq_consumer_lag_latency", help, |add| {
        of.lags.iter().try_for_each(|(lag, stored)| {
            let labels =
                [("consumer_group", &*lag.group), ("topic", &lag.topic), ("is_retry", is_retry(&lag.topic))];
            add(&labels, stored.map_or(0, |ms| (of.stats.now_ms - ms).max(0)))
        })
    })
}

fn timers(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let help = "Messages sent with a delay";
    page.counters("rocketmq_timer_enqueue", help, |add| {
        let mut written = Ok(());
        of.broker.traffic.topics.each(|topic, kind, flow| {
            if kind == Kind::Delay.name() || kind == OTHER {
                written = written.and_then(|()| add(&[("topic", topic)], flow.totals().messages));
            }
        });
        written
    })?;
    page.counter("rocketmq_timer_dequeue", "Timers that fired", of.stats.fires)?;
    let help = "Timers that are due and not fired yet";
    page.gauge("rocketmq_timer_dequeue_lag", help, of.stats.timers_overdue)?;
    let help = "Timers that will fire, by the topic of their message; with many of them an estimate";
    page.gauges("rocketmq_timing_messages", help, |add| {
        of.by_topic.iter().try_for_each(|(topic, count)| add(&[("topic", topic)], *count))
    })?;
    let help = "Pending timers that are due between the bound before and this one, seconds from now";
    page.gauges("rocketmq_timer_message_snapshot", help, |add| {
        DUE_BOUNDS_S
            .iter()
            .zip(&of.forecast)
            .try_for_each(|(bound, count)| add(&[("timer_bound_s", &bound.to_string())], *count))
    })
}
