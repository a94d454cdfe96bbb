//! Damage to durable bytes at the end of a history: it is found and told, and no wrong byte is ever served.

use std::collections::{BTreeMap, BTreeSet};

use backends::{Damage, Name};
use mainspring::{ErrorKind, Offset, ReadRequest, Store, TagFilter};

use crate::Verdict;
use crate::crash::open_on;
use crate::fold::{Fold, Item};
use crate::history::History;
use crate::invariants::{durable, place, require};
use crate::raw::base::RawBase;
use crate::raw::log::{RawLog, RawSegment, numbered};
use crate::raw::{Bytes, frame};

const PROPERTY: &str = "damage";

/// What the damage did to the log.
#[derive(Debug, Clone)]
struct Harm {
    /// Where the log ended before.
    whole: u64,
    /// Where its good frames end now.
    good: u64,
    /// The durable mark.
    mark: u64,
    /// The first offsets of segments that lack frames now.
    segments: BTreeSet<u64>,
    /// Whether a base or a bucket changed: the state may be lost though the log is whole.
    state: bool,
}

/// The log and the sealed bases and buckets, before they are damaged.
struct Before {
    log: RawLog,
    state: BTreeMap<Name, Vec<u8>>,
}

impl History {
    /// The last life ends, and its medium is damaged.
    pub(crate) fn damage(&mut self) -> Verdict {
        let power = self.rng.one_in(2);
        self.end_for_damage(power)?;
        let raw = self.model.read(&self.backend);
        durable::survives(&self.model, raw.end(), power)?;
        self.model.cut(raw.end());
        self.model.observe(&raw)?;
        self.reasons.damaged = true;
        match self.rng.below(10) {
            0 => self.damage_cell(),
            1 | 2 => self.damage_bucket(),
            _ => {
                let whole = self.backend.clone();
                for _ in 0..3 {
                    self.backend = whole.kill();
                    self.damage_log(&raw)?;
                }
                Ok(())
            }
        }
    }

    fn damage_cell(&mut self) -> Verdict {
        let cells = self.backend.cells();
        let cells: Vec<_> = cells.iter().collect();
        if cells.is_empty() {
            return Ok(());
        }
        let (name, value) = *self.rng.pick(&cells);
        let at = usize::try_from(self.rng.below(value.len() as u64)).unwrap_or(0);
        self.note(|| format!("damage cell {name} at {at}"));
        self.backend.damage_cell(name, at, 4);
        let opened = open_on(&self.backend, &self.clock, &self.options);
        let told = opened.as_ref().is_err_and(|e| e.kind() == ErrorKind::Corrupt);
        let text = format!("cell {name} is damaged and the store opens as if nothing were: {opened:?}");
        require(told, PROPERTY, || text)
    }

    /// A bucket's timers wait for ever rather than fire what is not theirs.
    fn damage_bucket(&mut self) -> Verdict {
        let streams = self.backend.streams();
        let due: Vec<_> = streams.iter().filter(|i| i.sealed && numbered(&i.name, "due").is_some()).collect();
        if due.is_empty() {
            return Ok(());
        }
        let info = *self.rng.pick(&due);
        let at = self.rng.below(info.len);
        self.note(|| format!("damage {} at {at}", info.name));
        let other = *self.rng.pick(&due);
        if other.name == info.name {
            self.backend.damage(&info.name, at, &Damage::Flip(1));
        } else {
            let to = self.rng.below(other.len);
            self.counts.misdirected += 1;
            self.backend.damage(&info.name, at, &Damage::Misdirect { to: other.name.clone(), at: to });
        }
        let store = match open_on(&self.backend, &self.clock, &self.options) {
            Ok(store) => store,
            Err(error) => return self.refused("open", &error),
        };
        let pending = store.stats().timers_pending;
        let sound = store.stats().stopped.is_none();
        self.store = Some(store);
        if sound {
            let end = self.store().stats().applied.0;
            self.model.apply(end)?;
            let expected = self.model.fold.pending;
            require(pending == expected, PROPERTY, || format!("{pending} of {expected} timers pend"))?;
            self.model.bound_ms = i64::MAX / 2;
            self.clock.advance(10 * 3_600_000);
            for _ in 0..4 {
                self.store().step();
            }
            self.observe()?;
            let end = self.store().stats().applied.0;
            self.model.apply(end)?;
        }
        Ok(())
    }

    fn damage_log(&mut self, raw: &RawLog) -> Verdict {
        let full: Vec<usize> =
            raw.chain.iter().copied().filter(|i| !raw.segments[*i].frames.is_empty()).collect();
        if full.is_empty() {
            return Ok(());
        }
        let segment = &raw.segments[*self.rng.pick(&full)];
        let at = self.rng.below(segment.end() - segment.start);
        let kind = match self.rng.below(8) {
            0 => Damage::Zero,
            1 => Damage::Stale,
            2..=5 => self.misdirect(),
            _ => Damage::Flip(1 << self.rng.below(8)),
        };
        let before = self.before();
        self.note(|| format!("damage {} at {at}: {kind:?}", segment.name));
        self.backend.damage(&segment.name, at, &kind);
        let harm = self.harmed(&before);
        self.note(|| format!("{harm:?}"));
        if harm.good < harm.mark {
            self.counts.damage_below += 1;
        }
        for _ in 0..2 {
            self.open_damaged(&harm)?;
            self.backend = self.backend.kill();
        }
        Ok(())
    }

    /// A write that hits another log segment, index file or base.
    fn misdirect(&mut self) -> Damage {
        let mut hit = self.backend.streams();
        hit.retain(|i| i.sealed && i.len > 0 && numbered(&i.name, "due").is_none());
        if hit.is_empty() {
            return Damage::Zero;
        }
        let info = self.rng.pick(&hit).clone();
        self.counts.misdirected += 1;
        Damage::Misdirect { to: info.name, at: self.rng.below(info.len) }
    }

    /// The last life, in which flushes lied, ends by power cuts: what is missing is told where it can be known,
    /// and what is left is right.
    pub(crate) fn lied(&mut self) -> Verdict {
        self.observe()?;
        let before = self.before();
        self.let_go();
        self.reasons.damaged = true;
        self.counts.lies += self.backend.injected().lies;
        let lied = self.backend.clone();
        for _ in 0..8 {
            let seed = self.rng.bits();
            self.note(|| format!("power cut {seed} after lies"));
            self.counts.power_cuts += 1;
            self.backend = lied.crash(seed);
            self.clock.reboot();
            let harm = self.harmed(&before);
            self.note(|| format!("{harm:?}"));
            self.open_damaged(&harm)?;
            self.counts.lies_told += u64::from(harm.good < harm.mark);
        }
        Ok(())
    }

    fn before(&mut self) -> Before {
        Before { log: self.model.read(&self.backend), state: self.state_files() }
    }

    fn state_files(&self) -> BTreeMap<Name, Vec<u8>> {
        let kept = |name: &Name| numbered(name, "base").or(numbered(name, "due")).is_some();
        let sealed = self.backend.streams().into_iter().filter(|i| i.sealed && kept(&i.name));
        sealed.filter_map(|i| Some((i.name.clone(), self.backend.dump(&i.name)?))).collect()
    }

    /// What differs from before.
    fn harmed(&mut self, before: &Before) -> Harm {
        let after = self.model.read(&self.backend);
        let frames = |log: &RawLog, start: u64| {
            let found = log.segments.iter().find(|segment| segment.start == start);
            found.map_or(0, |segment| segment.frames.len())
        };
        let starts = before.log.segments.iter().map(|segment| segment.start);
        let segments = starts.filter(|start| frames(&after, *start) < frames(&before.log, *start)).collect();
        let state = self.state_files() != before.state;
        let (whole, good) = (before.log.end(), good_end(&after, &before.log));
        Harm { whole, good, mark: self.mark(&after, &before.state), segments, state }
    }

    /// The durable mark by the rules: checkpoint, newest base, sealed ends, and every frame's `flushed`. A base is
    /// one if the buckets that it names are what they were.
    fn mark(&self, raw: &RawLog, state: &BTreeMap<Name, Vec<u8>>) -> u64 {
        let bucket = |segment: &u64| {
            let name = Name::new(&format!("due-{segment:020}"));
            name.is_some_and(|name| state.get(&name) == self.backend.dump(&name).as_ref())
        };
        let cell = |name: &str| self.backend.cells().get(&Name::new(name)?).cloned();
        let checkpoint = cell("checkpoint").and_then(|c| Bytes(c.get(20..)?).u64()).unwrap_or(0);
        let mut mark = checkpoint;
        for info in self.backend.streams() {
            let bytes = self.backend.dump(&info.name).unwrap_or_default();
            if info.sealed && numbered(&info.name, "base").is_some() {
                mark = mark.max(base_at(&bytes, bucket));
            }
            let Some(start) = numbered(&info.name, "log") else { continue };
            for at in (0..bytes.len()).step_by(8) {
                let found = frame::head(&bytes[at..], self.model.secret, start + at as u64);
                mark = mark.max(found.map_or(0, |head| head.flushed));
            }
        }
        let chained =
            |s: &&RawSegment| raw.chain.first().is_none_or(|first| s.start >= raw.segments[*first].start);
        let sealed = raw.segments.iter().filter(|s| s.sealed).filter(chained).map(|s| s.start + s.len).max();
        mark.max(sealed.unwrap_or(0))
    }

    fn open_damaged(&mut self, harm: &Harm) -> Verdict {
        let store = match open_on(&self.backend, &self.clock, &self.options) {
            Ok(store) => store,
            Err(error) => {
                let reason = harm.good < harm.mark || harm.state;
                require(reason, PROPERTY, || format!("a torn tail is no reason: {error:?}"))?;
                return self.refused("open", &error);
            }
        };
        let stats = store.stats();
        let report = store.report().clone();
        self.note(|| format!("open -> {report:?}, {:?}", stats.stopped));
        let applied = stats.applied.0;
        let harmed = harm.good < harm.whole;
        match &stats.stopped {
            Some(why) => require(harmed && harm.good < harm.mark || harm.state, PROPERTY, || {
                format!("it is read-only although only a tail is torn: {why}")
            })?,
            None => require(applied >= harm.mark.min(harm.whole), PROPERTY, || {
                format!("damage at {} below the mark was cut like a tail", place(harm.good))
            })?,
        }
        self.model.fold = Fold::default();
        self.model.cancelled.clear();
        self.model.apply(applied)?;
        let (at, digest) = store.digest();
        let known = self.model.digests.get(&at.0).copied().filter(|_| stats.stopped.is_none());
        require(known.is_none_or(|known| known == digest), PROPERTY, || {
            format!("the digest at {at} differs")
        })?;
        let readable = serves_right(&store, &self.model.fold, harm, stats.stopped.is_some());
        self.store = Some(store);
        readable?;
        if stats.stopped.is_some() {
            let refused = self.store().append(mainspring::Message::new("t0", "x")).err().map(|e| e.kind());
            require(refused == Some(ErrorKind::ReadOnly), PROPERTY, || {
                format!("an append to it: {refused:?}")
            })?;
        }
        if let Some(store) = self.store.take() {
            store.abandon();
        }
        Ok(())
    }
}

/// What lies below the B of a base that can be used.
fn base_at(bytes: &[u8], bucket: impl Fn(&u64) -> bool) -> u64 {
    RawBase::parse(bytes).filter(|base| base.buckets.iter().all(bucket)).map_or(0, |base| base.at)
}

/// Where the good frames end that were good before.
fn good_end(after: &RawLog, before: &RawLog) -> u64 {
    let mut end = 0;
    let mut found = after.segments.iter().flat_map(|s| &s.frames).map(|f| (f.at, f.crc));
    for frame in before.frames() {
        if !found.any(|(at, crc)| (at, crc) == (frame.at, frame.crc)) {
            break;
        }
        end = frame.end;
    }
    end
}

/// Everything that is served is what the log holds; what is missing is told, or lies behind the damage.
fn serves_right(store: &Store, fold: &Fold, harm: &Harm, stopped: bool) -> Verdict {
    let all = TagFilter::all();
    // What a record was refused by may be lost with the state; the store said so and takes no more.
    let lost = stopped && harm.state;
    for ((topic, queue), expected) in &fold.queues {
        if fold.topics.get(topic).is_none_or(Option::is_none) {
            continue; // deleted
        }
        let items = &expected.items[fold.readable(expected)..];
        let missing = |item: &Item| stopped && (harm.state || item.at >= harm.good);
        let (mut next, mut from) = (0, items.first().map_or(0, |item| item.queue_offset));
        while next < items.len() {
            let request =
                ReadRequest { topic, queue: *queue, from, max_records: 8, max_bytes: 1 << 20, filter: &all };
            match store.read(&request) {
                Err(error) => {
                    let item = &items[next];
                    let told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io);
                    let harmed = harm.segments.contains(&item.segment);
                    require(told && (harmed || missing(item)), PROPERTY, || {
                        let (at, start) = (place(item.at), place(item.segment));
                        format!("{topic}/{queue} at {from}, {at} in {start}: {error:?}")
                    })?;
                    next += 1;
                }
                Ok(result) if result.records.is_empty() => {
                    let left = items[next..].iter().find(|item| !missing(item));
                    require(left.is_none(), PROPERTY, || {
                        format!("{topic}/{queue} lacks {:?}", left.map(|item| place(item.at)))
                    })?;
                    break;
                }
                Ok(result) => {
                    for record in result.records.iter().filter(|record| !(lost && is_refused(fold, record))) {
                        while items.get(next).is_some_and(|i| i.record().bytes != record[..] && missing(i)) {
                            next += 1;
                        }
                        let same = items.get(next).is_some_and(|i| i.record().bytes == record[..]);
                        require(same, PROPERTY, || format!("{topic}/{queue} serves wrong bytes at {from}"))?;
                        next += 1;
                    }
                }
            }
            from = items.get(next).map_or(from, |item| item.queue_offset);
        }
    }
    for at in fold.voids.iter().filter(|at| **at >= fold.start && !lost) {
        let found = store.record_at(Offset(*at)).is_ok();
        require(!found, PROPERTY, || format!("the refused record at {} is shown", place(*at)))?;
    }
    Ok(())
}

/// Whether a record that was served stands where one was refused.
fn is_refused(fold: &Fold, record: &[u8]) -> bool {
    let at = record.get(28..36).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    at.is_some_and(|at| fold.voids.contains(&at))
}
