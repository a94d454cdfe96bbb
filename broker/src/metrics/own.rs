//! Metrics by names of our own; units are seconds and bytes.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Snapshot, page::Page};

/// Whether clients are served.
pub(super) fn serving(page: &mut Page<'_>, is: bool) -> fmt::Result {
    page.gauge("mainspring_serving", "1 once the store is open and clients are served", u32::from(is))
}

pub(super) fn write(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    log(page, of)?;
    flushes(page, of)?;
    timers(page, of)?;
    upkeep(page, of)?;
    connections(page, of)
}

fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a time is shown with the digits of a double")]
    let ms = ms as f64;
    ms / 1_000.0
}

fn log(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let stats = &of.stats;
    page.gauges("mainspring_log_offset", "Positions of the log by cursor", |add| {
        let cursors = [
            ("start", stats.start),
            ("applied", stats.applied),
            ("committed", stats.committed),
            ("flushed", stats.flushed),
            ("tail", stats.tail),
        ];
        cursors.iter().try_for_each(|(cursor, offset)| add(&[("cursor", cursor)], offset.0))
    })?;
    page.gauge("mainspring_epoch", "The epoch that is written", stats.epoch)?;
    let help = "Bytes appended and not committed";
    page.gauge("mainspring_uncommitted_bytes", help, stats.uncommitted_bytes)?;
    let help = "How long something has waited for a flush to begin";
    let waited = stats.unflushed_since_ms.map_or(0, |since| (stats.now_ms - since).max(0));
    page.gauge("mainspring_unflushed_age_seconds", help, seconds(waited))?;
    let help = "1 while the store takes appends, 0 once it refuses them";
    page.gauge("mainspring_store_writable", help, u32::from(stats.stopped.is_none()))?;
    let help = "1 after a failed flush, until the store is opened again";
    page.gauge("mainspring_store_poisoned", help, u32::from(stats.poisoned))?;
    let help = "1 while the disk had no space when it was last asked for some";
    page.gauge("mainspring_disk_full", help, u32::from(stats.full))?;
    let help = "By how much the machine's clock is ahead without being followed; 0 if it is";
    page.gauge("mainspring_clock_held_seconds", help, seconds(stats.clock_held_ms.unwrap_or(0)))
}

fn flushes(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let stats = &of.stats;
    let help = "How long flushes took";
    page.histogram("mainspring_flush_duration_seconds", help, (&stats.flush_us, 1e6))?;
    let help = "Frames made durable by one flush: the size of a group commit";
    page.histogram("mainspring_flush_frames", help, (&stats.flush_frames, 1.0))
}

fn timers(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let stats = &of.stats;
    let help = "By how much timers fired after they were due";
    page.histogram("mainspring_timer_lateness_seconds", help, (&stats.late_ms, 1e3))?;
    page.gauge("mainspring_timers_pending", "Timers that will fire", stats.timers_pending)?;
    let help = "Timers whose record cannot be read or fired; they stay pending";
    page.gauge("mainspring_timers_quarantined", help, stats.timers_quarantined)?;
    let help = "Fires that were void because a cancel stands before them";
    page.counter("mainspring_timers_void", help, stats.voids)
}

fn upkeep(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let stats = &of.stats;
    let report = of.broker.store.report();
    let help = "How long the store took to open";
    page.gauge("mainspring_recovery_seconds", help, of.opened_in.as_secs_f64())?;
    let help = "Bytes that were checked frame by frame when the store was opened";
    page.gauge("mainspring_recovery_bytes", help, report.walked_bytes)?;
    let help = "1 if the store was closed in order before it was opened";
    page.gauge("mainspring_recovery_clean", help, u32::from(report.clean))?;
    page.gauge("mainspring_segments", "Segments of the log", stats.segments)?;
    page.counter("mainspring_segment_rolls", "Segments that were ended", stats.rolls)?;
    page.counter("mainspring_index_files", "Index files written", stats.indexes)?;
    page.counter("mainspring_due_buckets", "Due buckets written", stats.buckets)?;
    page.counter("mainspring_bases", "Base generations written", stats.bases)?;
    page.counter("mainspring_trims", "Trims of the log", stats.trims)
}

fn connections(page: &mut Page<'_>, of: &Snapshot) -> fmt::Result {
    let counters = &of.broker.counters;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Connections, both ports together";
    page.gauge("mainspring_connections", help, count(&counters.connections))?;
    let help = "Connections closed because there were too many";
    page.counter("mainspring_connections_refused", help, count(&counters.refused_connections))?;
    let help = "Connections closed for bytes that are no protocol";
    page.counter("mainspring_protocol_errors", help, count(&counters.protocol_errors))?;
    let help = "Connections closed for being too slow";
    page.counter("mainspring_slow_connections", help, count(&counters.slow_connections))?;
    let help = "Bytes that heartbeats had the broker keep beyond what each connection has free";
    page.gauge("mainspring_heartbeat_memory_bytes", help, of.broker.clients.kept_bytes() as u64)?;
    let help = "Bytes that connections hold beyond what each may hold by itself";
    page.gauge("mainspring_connection_memory_bytes", help, of.broker.memory.used() as u64)?;
    let help = "Requests whose handler panicked";
    page.counter("mainspring_panics", help, count(&counters.panics))?;
    let help = "Requests held back until the store had prepared space";
    page.counter("mainspring_stalls", help, count(&counters.stalls))?;
    let help = "Failed messages that clients sent to the name-service port";
    page.counter("mainspring_misdirected_send_backs", help, count(&counters.misdirected_send_backs))?;
    page.gauge("mainspring_held_pulls", "Pulls that wait for messages", of.broker.holds.waiting())?;
    let traffic = &of.broker.traffic;
    let help = "Times a topic or group was counted in the shared series, since there were too many";
    page.counter("mainspring_folded_series", help, traffic.topics.folded() + traffic.groups.folded())
}
