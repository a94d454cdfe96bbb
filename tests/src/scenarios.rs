//! Histories made for one purpose: what chance alone would seldom bring about.

use backends::{Damage, Fault, FaultyBackend, Name, OpKind};
use mainspring::{CommitRule, Wait};

use crate::Verdict;
use crate::history::History;
use crate::model::{Model, trimmed};
use crate::raw::base::RawBase;
use crate::raw::frame::EPOCH_BYTES;
use crate::raw::log::numbered;

/// Runs the scenario that the seed falls on, then ends as every history does.
///
/// # Errors
/// The property that breaks.
pub(crate) fn run(history: &mut History) -> Verdict {
    match history.seed / 24 % 3 {
        0 => forged_frames(history)?,
        1 => old_blocks(history)?,
        _ => lost_bucket(history)?,
    }
    history.quiesce()
}

impl History {
    /// Appends a message of this size and topic, and does nothing else.
    pub(crate) fn plain(&mut self, topic: &str, len: usize, wait: Wait) -> Verdict {
        let body = Model::body(self.next_id, len);
        let (id, mut asked) = self.ask(topic, Some(body), None);
        asked.queue = None;
        self.model.asked.insert(id, asked.clone());
        self.send(id, &asked, wait)?;
        self.after()
    }

    /// Schedules a message of this size and topic, `delay` ms from now, and does nothing else.
    pub(crate) fn timer(&mut self, topic: &str, len: usize, delay: i64) -> Verdict {
        let due_ms = self.store().now_ms() + delay;
        let (id, mut asked) = self.ask(topic, Some(Model::body(self.next_id, len)), Some(due_ms));
        asked.queue = None;
        self.model.asked.insert(id, asked.clone());
        self.schedule_this(id, &asked, due_ms)
    }

    pub(crate) fn at_rest(&mut self) -> Verdict {
        self.flush()?;
        self.store().step();
        self.after()
    }
}

/// A client predicts where its message will stand and puts frames into its body that name the right
/// positions and a durable mark far ahead. It knows everything but the log's secret.
fn forged_frames(history: &mut History) -> Verdict {
    history.options.segment_bytes = 128 << 10;
    history.open(false)?;
    for _ in 0..6 {
        history.plain("t0", 100, Wait::Committed)?;
        history.at_rest()?;
        for _ in 0..history.rng.range(1, 4) {
            history.plain("t0", 700, Wait::Appended)?;
        }
        let frame = history.named_end;
        let body = forged_body(frame + 64 + 8 + 8 + 88, 6_000);
        let (id, mut asked) = history.ask("t0", Some(body), None);
        asked.queue = None;
        history.model.asked.insert(id, asked.clone());
        history.send(id, &asked, Wait::Appended)?;
        history.crash(true, false)?;
    }
    Ok(())
}

/// Frames at every eighth byte of a body that begins at log position `at`, one behind the other.
fn forged_body(at: u64, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len);
    while body.len() + 64 <= len {
        let own = at + body.len() as u64;
        let mut frame = Vec::with_capacity(64);
        frame.extend_from_slice(b"MSF1");
        frame.extend_from_slice(&[1, 0, 0, 1]);
        frame.extend_from_slice(&64_u32.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&0x0123_4567_89AB_CDEF_u64.to_be_bytes());
        frame.extend_from_slice(&u32::try_from(own / EPOCH_BYTES).unwrap_or(0).to_be_bytes());
        frame.extend_from_slice(&0_u32.to_be_bytes());
        for word in [own, 1_700_000_000_000, own + (1 << 30), own] {
            frame.extend_from_slice(&word.to_be_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[16..]);
        frame[12..16].copy_from_slice(&crc.to_be_bytes());
        body.extend_from_slice(&frame);
    }
    body
}

/// The medium gives a new segment blocks that an older one had: behind its last frame stand whole frames of
/// an older epoch, at the very offsets that they had in their own segment.
fn old_blocks(history: &mut History) -> Verdict {
    history.options.commit = CommitRule::Flushed;
    history.open(false)?;
    history.done("put_topic", |store| store.put_topic(&mainspring::TopicConfig::new("t0", 1)))?;
    history.next_id = 1_000;
    history.at_rest()?;
    for life in 0..5_u64 {
        history.crash(history.seed & 32 == 0, false)?;
        for i in 0..12 - life {
            if i == 1 {
                history.at_rest()?; // what the store itself appends stands before the rest, in every life
            }
            // Half of the histories: a frame that no index file holds, so that nothing but its effect shows it.
            if history.seed & 64 != 0 {
                history.plain("t0", 300, Wait::Committed)?;
            } else {
                history.timer("t0", 300, 3_600_000)?;
            }
        }
        history.at_rest()?;
        history.end_for_damage(true)?;
        let raw = history.model.read(&history.backend);
        let (Some(last), Some(before)) = (raw.chain.last(), raw.chain.len().checked_sub(2)) else { continue };
        let (new, old) = (&raw.segments[*last], &raw.segments[raw.chain[before]]);
        let bytes = history.backend.dump(&old.name).unwrap_or_default();
        let from = usize::try_from(new.end() - new.start).unwrap_or(0);
        if let Some(rest) = bytes.get(from..).filter(|_| !new.sealed) {
            history.note(|| format!("{} has {} bytes of {} behind its end", new.name, rest.len(), old.name));
            overwrite(&history.backend, &new.name, from, rest);
        }
        history.open(true)?;
    }
    Ok(())
}

/// Puts bytes on the disk as they are, where no flush wrote them.
fn overwrite(backend: &FaultyBackend, name: &Name, at: usize, bytes: &[u8]) {
    let present = backend.dump(name).unwrap_or_default();
    for (i, byte) in bytes.iter().enumerate() {
        let there = present.get(at + i).copied();
        if let Some(mask) = there.map(|there| there ^ byte).filter(|mask| *mask != 0) {
            backend.damage(name, (at + i) as u64, &Damage::Flip(mask));
        }
    }
}

/// A bucket is damaged that the newest base names and the older one does not; the log still has its
/// timers, below its start. They are copied out again, but at first that fails.
fn lost_bucket(history: &mut History) -> Verdict {
    let options = &mut history.options;
    (options.commit, options.segment_bytes) = (CommitRule::Flushed, 64 << 10);
    (options.near_horizon_ms, options.retention_bytes, options.retention_ms) = (0, Some(96 << 10), None);
    history.open(false)?;
    // The base at close has the timer in the log; those that follow have it in the bucket.
    history.schedule_in(3_600_000)?;
    history.close()?;
    history.open(false)?;
    let mut lost = None;
    for _ in 0..400 {
        if history.rng.one_in(2) {
            history.plain("t0", 4_000, Wait::Appended)?;
        }
        history.advance(60);
        history.flush()?;
        history.store().decide();
        if history.rng.one_in(3) {
            history.store().perform_one();
        }
        history.after()?;
        history.observe()?;
        lost = losable(history);
        if lost.is_some() {
            break;
        }
    }
    let Some(bucket) = lost else { return Ok(()) };
    history.end_for_damage(false)?;
    history.note(|| format!("damage {bucket}"));
    history.backend.damage(&bucket, 20, &Damage::Flip(1));
    history.open(false)?;
    history.plain("t0", 10, Wait::Appended)?;
    history.backend.fail_next(OpKind::Create, Fault::Full);
    history.flush()?;
    history.store().decide();
    history.store().perform_one();
    for _ in 0..30 {
        history.plain("t0", 4_000, Wait::Appended)?;
        history.flush()?;
        history.store().decide();
    }
    // A segment's end asks for a base while the timer is still in neither place.
    for step in 0..40 {
        history.advance(400);
        history.flush()?;
        history.store().decide();
        if step < 12 {
            history.backend.fail_next(OpKind::Create, Fault::Full);
        }
        history.store().perform_one();
        history.backend.clear_faults();
        history.observe()?;
    }
    history.crash(true, false)
}

/// A bucket that one of two bases names, of a segment that is there and lies below the log's start.
fn losable(history: &History) -> Option<Name> {
    let streams = history.backend.streams();
    let sealed = |kind: &str, at: u64| {
        streams.iter().find(|i| i.sealed && numbered(&i.name, kind) == Some(at)).map(|i| i.name.clone())
    };
    let bases: Vec<RawBase> = streams
        .iter()
        .filter(|i| i.sealed && numbered(&i.name, "base").is_some())
        .filter_map(|i| RawBase::parse(&history.backend.dump(&i.name)?))
        .collect();
    let [.., older, newest] = &bases[..] else { return None };
    let below = trimmed(&history.model.chain);
    newest
        .buckets
        .iter()
        .filter(|segment| **segment < below && !older.buckets.contains(segment))
        .filter(|segment| sealed("log", **segment).is_some())
        .find_map(|segment| sealed("due", *segment))
}
