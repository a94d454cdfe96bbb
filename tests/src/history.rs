//! One history: a store, its medium and clock, its clients, and what is known of it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use backends::{FaultyBackend, Name, OpKind};
use mainspring::planted::Bug;
use mainspring::{CommitRule, Consumer, Delivery, ManualClock, Options, Store};

use crate::Verdict;
use crate::counts::Counts;
use crate::flights::Flight;
use crate::invariants::availability::Reasons;
use crate::invariants::{failstop, sealed, space, timers, views};
use crate::model::Model;
use crate::plan::{Class, Plan};
use crate::raw::RawOp;
use crate::raw::log::numbered;
use crate::rng::Rng;
use crate::scenarios;

/// The group of the embedded consumer.
pub const CONSUMER_GROUP: &str = "gc";

/// The wall clock at the start of every history.
pub const FIRST_MS: i64 = 1_700_000_000_000;

/// Steps that are kept for the report of a failure.
const STEPS_KEPT: usize = 40;

/// One history.
#[derive(Debug)]
pub struct History {
    pub(crate) seed: u64,
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) options: Options,
    pub(crate) backend: FaultyBackend,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Option<Store>,
    pub(crate) consumer: Option<Consumer>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) model: Model,
    pub(crate) counts: Counts,
    pub(crate) reasons: Reasons,
    /// Whether flushes lie in this life.
    pub(crate) lying: bool,
    /// Whether nothing may be acknowledged any more.
    pub(crate) mute: bool,
    /// The highest end of a frame that a call has named.
    pub(crate) named_end: u64,
    /// Handles that clients hold: due time and schedule.
    pub(crate) handles: Vec<(i64, u64)>,
    pub(crate) next_id: u64,
    /// Up to here frames were found on the disk.
    pub(crate) on_disk: u64,
    /// Which segments there were when the log was last read.
    logs: u64,
    /// Bases and buckets that were looked into.
    pub(crate) looked: HashSet<Name>,
    /// Fires and voids that were counted.
    pub(crate) counted: HashSet<u64>,
    /// Index files and bases that were damaged.
    pub(crate) harmed: HashSet<Name>,
    steps: VecDeque<String>,
    print: bool,
    hash: u64,
}

/// How a history went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What it did.
    pub counts: Counts,
    /// Whether all properties hold.
    pub verdict: Verdict,
    /// Its last steps.
    pub steps: Vec<String>,
    /// A hash of everything that happened.
    pub hash: u64,
}

/// Runs the history of a seed, with a planted bug or none. A panic of the store is a violation too.
#[must_use]
pub fn run(seed: u64, class: Option<Class>, bug: Option<Bug>, print: bool) -> Outcome {
    mainspring::planted::plant(bug);
    let mut history = History::new(seed, class.unwrap_or_else(|| Class::of(seed)), print);
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.live()));
    let verdict = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
        Err(crate::Violation { property: "panic", text: text.unwrap_or_default() })
    });
    let outcome = history.outcome(verdict);
    mainspring::planted::plant(None);
    outcome
}

impl History {
    pub(crate) fn new(seed: u64, class: Class, print: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(class, &mut rng);
        let options = plan.options.clone();
        let backend = FaultyBackend::new(seed);
        backend.keep_removed();
        Self {
            seed,
            backend,
            clock: Arc::new(ManualClock::new(FIRST_MS)),
            plan,
            store: None,
            consumer: None,
            deliveries: Vec::new(),
            flights: Vec::new(),
            model: Model { bound_ms: FIRST_MS, ..Model::default() },
            counts: Counts { seeds: 1, ..Counts::default() },
            reasons: Reasons { narrow: options.unflushed_bytes_max < 1 << 20, ..Reasons::default() },
            lying: false,
            mute: false,
            named_end: 0,
            handles: Vec::new(),
            next_id: 1,
            on_disk: 0,
            logs: 0,
            looked: HashSet::new(),
            counted: HashSet::new(),
            harmed: HashSet::new(),
            steps: VecDeque::new(),
            print,
            hash: 0,
            rng,
            options,
        }
    }

    pub(crate) fn outcome(mut self, verdict: Verdict) -> Outcome {
        if verdict.is_err() {
            // What it holds may be locked or half done: it is left as it is.
            self.flights.drain(..).for_each(std::mem::forget);
            std::mem::forget(self.consumer.take());
            std::mem::forget(self.store.take());
        }
        let hash = self.hash ^ self.backend.trace_hash();
        Outcome { seed: self.seed, counts: self.counts, verdict, steps: self.steps.into(), hash }
    }

    fn live(&mut self) -> Verdict {
        if self.plan.class == Class::Scenario {
            return scenarios::run(self);
        }
        self.open(false)?;
        for life in 0..self.plan.lives {
            self.lying = self.plan.class == Class::Lie && life + 1 == self.plan.lives;
            for _ in 0..self.rng.range(1, self.plan.steps + 1) {
                self.step()?;
                if self.backend.is_crashed() {
                    break;
                }
            }
            if self.plan.class == Class::Damage && life + 1 == self.plan.lives {
                return self.damage();
            }
            if self.lying {
                return self.lied();
            }
            self.end_life()?;
        }
        self.quiesce()
    }

    /// The running store.
    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().expect("a store that runs")
    }

    /// One thing happens, and then some of what the store wants to do.
    pub(crate) fn step(&mut self) -> Verdict {
        self.counts.steps += 1;
        self.act()?;
        self.after()?;
        self.drive()?;
        self.after()
    }

    /// Lets the store decide, perform and flush, as chance has it.
    pub(crate) fn drive(&mut self) -> Verdict {
        for _ in 0..self.rng.below(4) {
            if self.backend.is_crashed() {
                return Ok(());
            }
            match self.rng.below(8) {
                0..=2 => drop(self.store().decide()),
                3..=5 => drop(self.store().perform_one()),
                6 if self.rng.one_in(self.plan.flush_every) => self.flush()?,
                7 if self.rng.one_in(self.plan.flush_every) => drop(self.store().step()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Flushes; what a successful flush covers is safe.
    pub(crate) fn flush(&mut self) -> Verdict {
        let upto = self.named_end;
        let done = self.store().flush();
        self.note(|| format!("flush -> {done:?}"));
        match done {
            Ok(_) if self.backend.is_crashed() => Ok(()),
            Ok(_) => {
                failstop::acknowledged(self.reasons.poisoned && upto > self.model.durable, "a flush")?;
                self.model.durable = self.model.durable.max(upto);
                Ok(())
            }
            Err(error) => {
                self.notice_failure();
                self.refused("flush", &error)
            }
        }
    }

    /// Takes note of calls that failed since this was last asked.
    pub(crate) fn notice_failure(&mut self) {
        for (kind, name) in self.backend.take_failures() {
            self.note(|| format!("{kind:?} of {name:?} failed"));
            self.counts.failed(kind);
            let of_log = name.as_ref().is_some_and(|name| numbered(name, "log").is_some());
            let of_epoch = name.as_ref().is_some_and(|name| name.as_str() == "epoch");
            match kind {
                OpKind::Flush => self.reasons.poisoned = true,
                OpKind::Seal if of_log => self.reasons.unsealed = true,
                OpKind::Create | OpKind::Reserve | OpKind::Read if of_log => self.reasons.stops = true,
                OpKind::WriteCell if of_epoch => self.reasons.stops = true,
                _ => {}
            }
            self.reasons.io |= kind != OpKind::Flush;
        }
    }

    /// Looks at what has become of everything under way.
    pub(crate) fn after(&mut self) -> Verdict {
        self.notice_failure();
        // Before a segment goes its frames must have been seen.
        let logs = self.log_streams();
        if logs != self.logs {
            self.logs = logs;
            self.observe()?;
        }
        self.land()
    }

    fn log_streams(&self) -> u64 {
        let streams = self.backend.streams();
        let logs = streams.iter().filter_map(|info| numbered(&info.name, "log"));
        logs.fold(0, |sum, at| sum ^ crate::raw::hash(&at.to_be_bytes()))
    }

    /// A call was refused: there must be a reason.
    pub(crate) fn refused(&mut self, what: &str, error: &mainspring::Error) -> Verdict {
        self.notice_failure();
        let mut reasons = self.reasons;
        reasons.crashed |= self.backend.is_crashed();
        crate::invariants::availability::refused(reasons, error.kind(), what, error)
    }

    /// Reads the raw log and compares it with what is known.
    pub(crate) fn observe(&mut self) -> Verdict {
        let raw = self.model.read(&self.backend);
        let before = self.model.chain.len();
        self.model.observe(&raw)?;
        for frame in self.model.chain.iter().skip(before) {
            self.counts.frames += 1;
            for op in frame.ops() {
                match op {
                    RawOp::Segment { .. } => self.counts.rolls += 1,
                    RawOp::Trim { .. } => self.counts.trims += 1,
                    _ => {}
                }
            }
        }
        self.look_at_files()
    }

    /// Lets `ms` go by.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.clock.advance(ms);
        self.model.bound_ms += i64::try_from(ms).unwrap_or(i64::MAX);
        self.bound(10_000);
    }

    /// Steps the wall clock.
    pub(crate) fn step_wall(&mut self, ms: i64) {
        self.clock.step_wall(ms);
        self.counts.clock_steps += 1;
        self.bound(10_000);
    }

    /// A wall clock that is ahead by no more than `jump_ms` may be adopted.
    pub(crate) fn bound(&mut self, jump_ms: i64) {
        let wall = mainspring::Clock::now(&*self.clock).wall_ms;
        if wall - self.model.bound_ms <= jump_ms {
            self.model.bound_ms = self.model.bound_ms.max(wall);
        }
    }

    /// Everything heals, all timers fall due, and everything comes to rest.
    pub(crate) fn quiesce(&mut self) -> Verdict {
        self.note(|| "heal".to_owned());
        self.backend.clear_faults();
        self.backend.set_capacity(None);
        self.reasons.full = false;
        if self.reasons.poisoned || self.reasons.io || self.backend.is_crashed() {
            self.crash(self.rng.clone().one_in(2), false)?;
        }
        self.backend.clear_faults();
        for _ in 0..40 {
            self.flush()?;
            self.store().step();
            self.sweep()?;
            let last = self.model.fold.timers.values().filter(|t| t.ended.is_none()).map(|t| t.due_ms).max();
            let Some(last) = last else { break };
            let wait = u64::try_from(last - self.store().now_ms()).unwrap_or(0);
            self.advance(2 * wait + 500);
            self.store().step();
            self.after()?;
        }
        self.append_one()?;
        self.flush()?;
        self.store().step();
        self.after()?;
        self.sweep()?;
        let stats = self.store().stats();
        self.note(|| format!("{stats:?}"));
        timers::none_forgotten(&self.model.fold)?;
        self.rest()?;
        self.stop()?;
        self.sweep()?;
        // What an earlier life left goes at an open, once two bases do without it.
        self.append_one()?;
        self.rest()?;
        space::nothing_left(&self.backend.streams(), |info| self.backend.dump(&info.name))?;
        self.stop_for_good()
    }

    /// Lets the store do all that it wants; where nothing fails, nothing is left to do.
    pub(crate) fn rest(&mut self) -> Verdict {
        // What fires meanwhile is to be flushed too.
        for _ in 0..2 {
            self.flush()?;
            self.store().step();
            self.after()?;
        }
        if self.backend.is_crashed() || self.reasons.poisoned || self.reasons.io || self.reasons.full {
            return Ok(());
        }
        self.observe()?;
        let is_frame = |at| self.model.chain.binary_search_by_key(&at, |frame| frame.at).is_ok();
        sealed::all_that_ended(&self.backend.streams(), is_frame)
    }

    /// Compares everything that the store serves with the log.
    pub(crate) fn sweep(&mut self) -> Verdict {
        if self.backend.is_crashed() {
            return Ok(());
        }
        self.counts.sweeps += 1;
        self.observe()?;
        self.backend.hold_faults(true);
        let verdict = views::sweep(self);
        self.backend.hold_faults(false);
        verdict
    }

    /// Whether the rule is that what is shown is on the disk.
    pub(crate) fn is_flushed_rule(&self) -> bool {
        self.options.commit == CommitRule::Flushed
    }

    /// Notes a step.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let text = text();
        self.hash = self.hash.rotate_left(5) ^ crate::raw::hash(text.as_bytes());
        if self.print {
            println!("{text}");
        }
        if self.steps.len() == STEPS_KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(text);
    }
}
