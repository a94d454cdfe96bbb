//! The end of a life: power cuts, kills, clean stops; and the next one.

use std::sync::Arc;

use backends::{Damage, FaultyBackend, Name, OpKind, Streams};
use mainspring::{Clock, CommitRule, Options, Store};

use crate::Verdict;
use crate::history::History;
use crate::invariants::availability::Reasons;
use crate::invariants::{base, durable, invented, rebuild, require};
use crate::plan::Class;
use crate::raw;
use crate::raw::base::RawBase;

impl History {
    /// Ends this life in one way or another, and begins the next.
    pub(crate) fn end_life(&mut self) -> Verdict {
        if !self.backend.is_crashed() && self.rng.one_in(4) {
            self.rest()?;
        }
        let crashed = self.backend.is_crashed();
        if !crashed && self.rng.below(100) < self.plan.inside {
            self.crash_inside()?;
        }
        let roll = self.rng.below(10);
        if roll == 0 && !self.backend.is_crashed() { self.stop() } else { self.crash(roll < 7, true) }
    }

    /// Goes on until a crash strikes within some operation soon.
    fn crash_inside(&mut self) -> Verdict {
        let op = self.backend.ops() + self.rng.below(30);
        self.note(|| format!("a crash will strike within operation {op}"));
        self.backend.crash_at(op);
        for _ in 0..30 {
            self.step()?;
            if self.backend.is_crashed() {
                self.counts.crashes_inside += 1;
                return Ok(());
            }
        }
        self.backend.clear_faults();
        Ok(())
    }

    pub(crate) fn let_go(&mut self) {
        self.deliveries.clear();
        self.flights.clear();
        self.consumer = None;
        if let Some(store) = self.store.take() {
            let stats = store.stats();
            self.counts.indexes += stats.indexes;
            self.counts.bases += stats.bases;
            self.counts.buckets += stats.buckets;
            store.abandon();
        }
    }

    /// The power goes, or the process is killed; then the store is opened again.
    pub(crate) fn crash(&mut self, power: bool, faults: bool) -> Verdict {
        self.end_for_damage(power)?;
        self.open_after(power, faults)
    }

    /// Ends a life by a power cut or a kill, and leaves the medium to be damaged.
    pub(crate) fn end_for_damage(&mut self, power: bool) -> Verdict {
        self.observe()?;
        if let Some(store) = &self.store {
            self.model.apply(store.digest().0.0)?;
        }
        self.let_go();
        self.image(power);
        Ok(())
    }

    /// What a crash leaves, with a new life ahead.
    fn image(&mut self, power: bool) {
        self.notice_failure();
        self.looked.clear();
        if power {
            let seed = self.rng.bits();
            self.note(|| format!("power cut {seed}"));
            self.backend = self.backend.crash(seed);
            self.clock.reboot();
            self.counts.power_cuts += 1;
        } else {
            self.note(|| "kill".to_owned());
            self.backend = self.backend.kill();
            self.counts.kills += 1;
        }
        if self.rng.one_in(3) {
            let down = self.rng.below(20_000);
            self.advance(down);
        }
    }

    /// Closes in order and opens again.
    pub(crate) fn stop(&mut self) -> Verdict {
        self.close()?;
        if self.backend.is_crashed() {
            return self.crash(false, false);
        }
        // A fault that did not strike yet is not to strike the next open.
        self.backend.clear_faults();
        let flushed = self.model.end();
        self.model.durable = self.model.durable.max(flushed);
        if self.rng.one_in(2) {
            self.clock.reboot();
        }
        self.open_after(false, false)
    }

    /// Closes in order, for the last time.
    pub(crate) fn stop_for_good(&mut self) -> Verdict {
        self.close()?;
        let end = self.model.read(&self.backend).end();
        durable::survives(&self.model, end, true)
    }

    pub(crate) fn close(&mut self) -> Verdict {
        self.deliveries.clear();
        self.consumer = None;
        let done = self.store().close();
        self.notice_failure();
        self.note(|| format!("close -> {:?}", done.as_ref().map_err(mainspring::Error::kind)));
        if let Err(error) = &done {
            self.refused("close", error)?;
        }
        self.land()?;
        self.observe()?;
        self.let_go();
        self.counts.closes += 1;
        if done.is_err() && !self.backend.is_crashed() {
            // Not closed in order: the process goes away.
            self.backend = self.backend.kill();
        }
        Ok(())
    }

    /// Options of the next life.
    fn reconsider(&mut self) {
        if self.plan.rule_changes && self.rng.one_in(3) {
            self.options.commit = match self.options.commit {
                CommitRule::Flushed => CommitRule::Appended,
                CommitRule::Appended => CommitRule::Flushed,
            };
            let rule = self.options.commit;
            self.note(|| format!("the rule is {rule:?} now"));
        }
    }

    /// What failed for the process before is no reason any more.
    fn forget_failures(&mut self) {
        let (full, damaged) = (self.reasons.full, self.reasons.damaged);
        let narrow = self.options.unflushed_bytes_max < 1 << 20;
        self.reasons = Reasons { full, damaged, narrow, ..Reasons::default() };
        self.mute = false;
    }

    /// Opens the store on what a crash left, also if it strikes again meanwhile.
    fn open_after(&mut self, power: bool, faults: bool) -> Verdict {
        self.reconsider();
        let harmed = faults && self.plan.class != Class::Scenario && self.rng.one_in(6) && self.harm();
        let mut power = power;
        for _ in 0..6 {
            self.forget_failures();
            if faults && self.rng.one_in(6) {
                let op = self.backend.ops() + self.rng.below(12);
                self.note(|| format!("a crash will strike within operation {op}"));
                self.backend.crash_at(op);
            }
            if faults && self.plan.class == Class::Eio && self.rng.one_in(2) {
                let kinds = [OpKind::Open, OpKind::Reopen, OpKind::List, OpKind::Read, OpKind::ReadCell];
                self.fails(
                    &[&kinds[..], &[OpKind::Create, OpKind::Seal, OpKind::Flush, OpKind::Remove]].concat(),
                );
            }
            match self.open(power) {
                Ok(true) => {
                    self.counts.damage_repaired += u64::from(harmed);
                    return Ok(());
                }
                Ok(false) => {
                    self.counts.crashes_in_recovery += u64::from(self.backend.is_crashed());
                    let again = self.rng.one_in(2);
                    self.image(again);
                    power |= again;
                }
                Err(violation) => return Err(violation),
            }
        }
        self.backend.clear_faults();
        self.forget_failures();
        self.open(power).map(drop)
    }

    /// Opens the store and compares what it found with what must be there. False if the machine crashed again.
    pub(crate) fn open(&mut self, power: bool) -> Verdict<bool> {
        let opened = open_on(&self.backend, &self.clock, &self.options);
        self.notice_failure();
        let crashed = self.backend.is_crashed();
        let store = match opened {
            Ok(store) if !crashed => store,
            Ok(store) => {
                store.abandon();
                return Ok(false);
            }
            Err(_) if crashed => return Ok(false),
            Err(error) => return self.refused("open", &error).map(|()| false),
        };
        let report = store.report().clone();
        self.note(|| format!("open -> {report:?}"));
        self.store = Some(store);
        self.model.secret = raw::log::secret(&self.backend).unwrap_or(0);
        let raw = self.model.read(&self.backend);
        let end = raw.end();
        invented::ends(report.end.0, end)?;
        durable::survives(&self.model, end, power)?;
        let lost = self.model.cut(end);
        let frames = self.model.chain.len();
        self.model.observe(&raw)?;
        require(self.model.chain.len() == frames, "invented", || {
            let first = self.model.chain.get(frames).map(|frame| raw_place(frame.at));
            format!("opening a store brought frames to light that nobody wrote, at {first:?}")
        })?;
        self.counts.tears_above += u64::from(power && (lost > 0 || report.left_out.0 > 0));
        self.counts.skips += u64::from(report.skipped);
        self.counts.older_bases += u64::from(report.older_base);
        self.model.durable = self.model.durable.max(end);
        (self.named_end, self.on_disk) = (end, 0);
        let wall = self.clock.now().wall_ms;
        self.model.bound_ms = self.model.chain.last().map_or(wall, |frame| frame.owner_ms);
        self.bound(7 * 24 * 3_600_000);
        let stopped = self.store().stats().stopped;
        require(stopped.is_none(), "available", || format!("an undamaged store stopped: {stopped:?}"))?;
        self.sweep()?;
        if self.rng.one_in(6) {
            rebuild::same(self)?;
        }
        Ok(true)
    }

    /// Looks at bases and buckets on the medium.
    pub(crate) fn look_at_files(&mut self) -> Verdict {
        for info in self.backend.streams().into_iter().filter(|info| info.sealed) {
            if self.looked.contains(&info.name) {
                continue;
            }
            if let Some(number) = raw::log::numbered(&info.name, "base") {
                let bytes = self.backend.dump(&info.name).unwrap_or_default();
                if let Some(found) = RawBase::parse(&bytes) {
                    base::refers_above_start(&found, number)?;
                }
            } else if raw::log::numbered(&info.name, "due").is_some() {
                let bytes = self.backend.dump(&info.name).unwrap_or_default();
                self.model.bucketed.extend(raw::base::bucket_schedules(&bytes));
            } else {
                continue;
            }
            self.looked.insert(info.name);
        }
        Ok(())
    }

    /// Damages an index file, or the newest of two bases: what can be had again from the rest.
    fn harm(&mut self) -> bool {
        let streams = self.backend.streams();
        let of = |kind: &str| -> Vec<Name> {
            let found = streams.iter().filter(|i| i.sealed && raw::log::numbered(&i.name, kind).is_some());
            found.map(|i| i.name.clone()).collect()
        };
        let mut bases = of("base");
        // One that a failed removal left, whose first segment is gone, is nothing to fall back on.
        let starts: Vec<u64> = streams.iter().filter_map(|i| raw::log::numbered(&i.name, "log")).collect();
        bases.retain(|name| {
            let base = self.backend.dump(name).and_then(|b| RawBase::parse(&b));
            base.is_some_and(|base| base.start == 0 || starts.contains(&base.start))
        });
        let indexes = of("idx");
        let name = match (self.rng.one_in(2), bases.len() > 1, indexes.is_empty()) {
            (true, true, _) | (_, true, true) => bases.last().cloned(),
            (_, _, false) => Some(self.rng.pick(&indexes).clone()),
            _ => None,
        };
        let Some(name) = name else { return false };
        let len = streams.iter().find(|i| i.name == name).map_or(0, |i| i.len);
        let at = self.rng.range(16, len.max(17));
        self.note(|| format!("damage {name} at {at}"));
        self.harmed.insert(name.clone());
        self.backend.damage(&name, at, &Damage::Flip(1 << (at % 8)))
    }
}

fn raw_place(at: u64) -> String {
    crate::invariants::place(at)
}

/// Opens a store.
pub(crate) fn open_on(
    backend: &FaultyBackend,
    clock: &Arc<mainspring::ManualClock>,
    options: &Options,
) -> mainspring::Result<Store> {
    let clock: Arc<dyn Clock> = Arc::<mainspring::ManualClock>::clone(clock);
    Store::open_on(Arc::new(backend.clone()), clock, options.clone())
}

/// Removes streams of some kinds.
pub(crate) fn remove(backend: &FaultyBackend, kinds: &[&str]) {
    for info in backend.streams() {
        if kinds.iter().any(|kind| raw::log::numbered(&info.name, kind).is_some()) {
            let _ = backend.remove(&info.name);
        }
    }
}
