//! What a store serves is what the log means: messages, blanks, progress, settings, timers, digest.

use mainspring::{Offset, ReadRequest, ReadStatus, Store, TagFilter};

use super::{Verdict, availability, durable, place, require};
use crate::fold::{Fold, QueueFold};
use crate::history::History;
use crate::raw::log::numbered;
use crate::rng::Rng;

const PROPERTY: &str = "views";

/// Compares everything; what was seen is promised from now on.
///
/// # Errors
/// If anything differs.
pub fn sweep(history: &mut History) -> Verdict {
    let stats = history.store().stats();
    let applied = stats.applied.0;
    let before = history.model.fold.fired.len();
    history.model.apply(applied)?;
    count(history, before);
    if history.is_flushed_rule() && !history.lying {
        shown_is_on_disk(history, applied)?;
    }
    availability::stopped(history.reasons, stats.stopped.as_deref())?;
    let fold = &history.model.fold;
    require(fold.start == stats.start.0, PROPERTY, || {
        format!("the store starts at {}, its log says {}", stats.start, place(fold.start))
    })?;
    require(stats.timers_pending == fold.pending, PROPERTY, || {
        format!("{} timers pend by the store, {} by the log", stats.timers_pending, fold.pending)
    })?;
    // A body that could not be read waits for the next open.
    require(stats.timers_quarantined == 0 || history.reasons.io, PROPERTY, || {
        "a sound timer was set aside".to_owned()
    })?;
    let store = history.store().clone();
    same(&store, fold, &mut history.rng)?;
    let reads = fold.queues.values().map(|q| (q.items.len() - fold.readable(q)) as u64).sum::<u64>();
    history.counts.reads += reads;
    let (at, digest) = store.digest();
    let known = *history.model.digests.entry(at.0).or_insert(digest);
    require(known == digest, PROPERTY, || {
        format!("the digest at {at} is {digest:016x} and was {known:016x}")
    })?;
    if history.is_flushed_rule() {
        history.model.durable = history.model.durable.max(applied);
    }
    history.model.note_readable();
    Ok(())
}

fn count(history: &mut History, fired_before: usize) {
    let fold = &history.model.fold;
    // After a cut the fold began again: what was counted is not counted once more.
    for schedule in fold.fired.iter().skip(fired_before) {
        if history.counted.insert(*schedule) {
            history.counts.fires += 1;
            history.counts.fires_from_buckets += u64::from(history.model.bucketed.contains(schedule));
        }
    }
    let fresh = fold.voids.iter().filter(|at| history.counted.insert(**at)).count();
    history.counts.voids += fresh as u64;
}

fn shown_is_on_disk(history: &mut History, applied: u64) -> Verdict {
    let from = history.on_disk;
    if applied <= from {
        return Ok(());
    }
    let streams: Vec<_> = history
        .backend
        .streams()
        .into_iter()
        .filter_map(|info| Some((numbered(&info.name, "log")?, info)))
        .filter(|(start, info)| start + info.len > from && *start < applied)
        .filter_map(|(start, info)| Some((start, history.backend.dump_durable(&info.name)?)))
        .collect();
    let start = history.model.fold.start;
    durable::shown(&history.model, from.max(start), applied, |at, len| {
        let (start, bytes) = streams.iter().rev().find(|(start, _)| *start <= at)?;
        let place = usize::try_from(at - start).ok()?;
        let frame = bytes.get(place..place + len)?;
        Some(crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[16..]))
    })?;
    history.on_disk = applied;
    Ok(())
}

/// A store serves exactly what the log means.
///
/// # Errors
/// If anything differs.
pub fn same(store: &Store, fold: &Fold, rng: &mut Rng) -> Verdict {
    for ((topic, queue), expected) in &fold.queues {
        if fold.topics.get(topic).is_some_and(Option::is_some) {
            same_queue(store, fold, (topic, *queue, expected), rng)?;
        }
    }
    for ((group, topic, queue), offset) in &fold.offsets {
        let found = store.committed_offset(group, topic, *queue);
        require(found == Some(*offset), "progress", || {
            format!("{group} consumed {topic}/{queue} up to {offset}, the store says {found:?}")
        })?;
    }
    same_requests(store, fold)?;
    let topics = fold.topics.values().filter(|config| config.is_some()).count();
    require(store.topics().len() == topics, PROPERTY, || {
        format!("{} topics in the store, {topics} in the log", store.topics().len())
    })?;
    for (name, config) in &fold.groups {
        let found = store.group(name).is_some();
        require(found == config.is_some(), PROPERTY, || format!("group {name}: {found}"))?;
    }
    for at in fold.voids.iter().filter(|at| **at >= fold.start) {
        let found = store.record_at(Offset(*at)).is_ok();
        require(!found, PROPERTY, || format!("the refused record at {} is shown", place(*at)))?;
    }
    Ok(())
}

/// Progress is listed, locks are held and attributes are kept as the log says.
fn same_requests(store: &Store, fold: &Fold) -> Verdict {
    let now_ms = store.now_ms();
    for group in crate::ops::GROUPS {
        let own = fold.offsets.iter().filter(|((of, _, _), _)| of == group);
        let expected: Vec<_> =
            own.map(|((_, topic, queue), offset)| (topic.clone(), *queue, *offset)).collect();
        let found: Vec<_> = store.progress(group).into_iter().map(|p| (p.topic, p.queue, p.offset)).collect();
        require(found == expected, "progress", || format!("{group} has {found:?}, by the log {expected:?}"))?;
        let held = fold.requests.held.iter().any(|lock| lock.group == group && lock.until_ms > now_ms);
        require(store.holds_lock(group) == held, PROPERTY, || {
            format!("{group} holds a lock: {held} by the log")
        })?;
    }
    let topics = store.topics().into_iter().map(|topic| ((false, topic.name), topic.attributes));
    let groups = store.groups().into_iter().map(|group| ((true, group.name), group.attributes));
    for (of, attributes) in topics.chain(groups) {
        let expected: Vec<_> = fold.attributes.get(&of).cloned().unwrap_or_default();
        let found: Vec<_> = attributes.into_iter().collect();
        require(found == expected, PROPERTY, || format!("{of:?} has {found:?}, by the log {expected:?}"))?;
    }
    Ok(())
}

fn same_queue(
    store: &Store,
    fold: &Fold,
    (topic, queue, expected): (&str, u32, &QueueFold),
    rng: &mut Rng,
) -> Verdict {
    let name = format!("{topic}/{queue}");
    let items = &expected.items[fold.readable(expected)..];
    let start = items.first().map_or(expected.end, |item| item.queue_offset);
    let range = store.queue_range(topic, queue);
    require(range == Some(start..expected.end), PROPERTY, || {
        format!("{name} has {range:?}, by the log {start}..{}", expected.end)
    })?;
    let all = TagFilter::all();
    let (mut next, mut from) = (0, start);
    while from < expected.end {
        let max_records = usize::try_from(rng.range(1, 50)).unwrap_or(1);
        let max_bytes = *rng.pick(&[1, 4_000, 1 << 20]);
        let request = ReadRequest { topic, queue, from, max_records, max_bytes, filter: &all };
        let result = store.read(&request);
        let result = result.map_err(|error| super::Violation {
            property: PROPERTY,
            text: format!("{name} cannot be read from {from}: {error:?}"),
        })?;
        require(result.next > from, PROPERTY, || format!("{name}: {result:?} at {from} leads nowhere"))?;
        for found in result.records.iter() {
            let item = items.get(next);
            let same = item.is_some_and(|item| item.record().bytes == found[..]);
            require(same, PROPERTY, || {
                let expected = item.map(|item| (item.queue_offset, place(item.at)));
                let found =
                    crate::raw::RawRecord::parse(found, 0).map(|r| (r.queue_offset, place(r.physical)));
                format!("{name} at {from} gives {found:?}, the log has {expected:?}")
            })?;
            next += 1;
        }
        from = result.next;
    }
    require(next == items.len(), PROPERTY, || format!("{name} gives {next} of {} messages", items.len()))?;
    let request = ReadRequest { topic, queue, from, max_records: 1, max_bytes: 1, filter: &all };
    let status = store.read(&request).map(|result| result.status);
    require(matches!(status, Ok(ReadStatus::AtEnd)), PROPERTY, || {
        format!("{name} at its end {from}: {status:?}")
    })?;
    if let Some(item) = items.get(usize::try_from(rng.below(items.len() as u64)).unwrap_or(0)) {
        let found = store.record_at(Offset(item.at));
        let same = found.as_ref().is_ok_and(|found| item.record().bytes == found[..]);
        require(same, PROPERTY, || format!("the record at {}: {:?}", place(item.at), found.err()))?;
    }
    Ok(())
}
