//! The shell around the engine: locks, threads and wake-ups, and no decisions.
//!
//! Without threads the caller drives it: [`Core::step`] decides and performs everything that is to be done.
//! With threads four of them do the same: the flusher flushes, the engine thread applies and fires, two
//! helpers perform what may block. Any of them may step; one at a time does.

mod asked;
mod signal;
/// What a signal is made of; a model of it is made of something else.
mod sync {
    pub(super) use parking_lot::{Condvar, Mutex};
    pub(super) use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
}
mod threads;
mod topics;
mod waiting;
mod wakes;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::JoinHandle;
use std::time::Duration;

use backends::Backend;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::clock::{Clock, Now};
use crate::commitlog::{Cursors, Log};
use crate::engine::{Action, Appended, Appender, Applier, Event, Need, OpDraft, Step, perform};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Wait;
use crate::offset::Offset;
use crate::options::{CommitRule, Options};
use crate::planted::{self, Bug};
pub(crate) use crate::views::Answer;
use crate::views::{Effects, Views};

use signal::Signal;
use threads::Helpers;
use topics::Topics;
use waiting::Waiters;
use wakes::Wakes;

/// How long an append waits for space that is being prepared.
const SPACE_WAIT: Duration = Duration::from_secs(5);

/// Everything that the threads and callers of one store share.
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) log: Arc<Log>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) appender: Mutex<Appender>,
    pub(crate) applier: Mutex<Applier>,
    pub(crate) views: RwLock<Views>,
    pub(crate) topics: Topics,
    /// Requests that somebody waits for: by frame, and the answer once it is decided.
    answers: Mutex<HashMap<Offset, Option<Answer>>>,
    /// The end of the last frame that locks or unlocks queues.
    pub(crate) last_lock: AtomicU64,
    events: Mutex<Vec<Event>>,
    todo: Mutex<VecDeque<Action>>,
    /// One flush at a time; never taken by an append.
    flushing: Mutex<()>,
    waiters: Waiters,
    engine: Signal,
    flusher: Signal,
    wakes: Wakes,
    /// Somebody found another thread stepping, which may have looked at the cursors before they moved.
    missed: AtomicBool,
    stop: AtomicBool,
    helpers: Mutex<Option<Helpers>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) closed: AtomicBool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("at", &self.backend.describe()).field("cursors", &self.cursors).finish()
    }
}

/// The two halves and what they share.
pub(crate) struct Parts {
    pub(crate) log: Arc<Log>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) appender: Appender,
    pub(crate) applier: Applier,
    pub(crate) views: Views,
}

/// What came of trying to append; with what is lacking, the appender, so that it can be asked for.
type Tried<'a> = std::result::Result<Appended, (Need, MutexGuard<'a, Appender>)>;

impl Core {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        clock: Arc<dyn Clock>,
        options: Options,
        parts: Parts,
    ) -> Self {
        Self {
            backend,
            clock,
            options,
            topics: Topics::of(&parts.views, parts.log.secret()),
            log: parts.log,
            cursors: parts.cursors,
            appender: Mutex::new(parts.appender),
            applier: Mutex::new(parts.applier),
            views: RwLock::new(parts.views),
            answers: Mutex::default(),
            last_lock: AtomicU64::new(0),
            events: Mutex::default(),
            todo: Mutex::default(),
            flushing: Mutex::default(),
            waiters: Waiters::default(),
            engine: Signal::default(),
            flusher: Signal::default(),
            wakes: Wakes::default(),
            missed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            helpers: Mutex::new(None),
            threads: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    // ---- appending -------------------------------------------------------------------------

    /// Appends one frame; waits for space that is being prepared.
    ///
    /// # Errors
    /// Why it was refused; nothing was written.
    pub(crate) fn append(&self, wait: Wait, ops: &mut [OpDraft<'_>]) -> Result<Appended> {
        self.append_by(|| self.try_append(wait, ops))
    }

    /// Appends by `once`, which tries to; waits for space that is being prepared.
    fn append_by<'a>(&'a self, mut once: impl FnMut() -> Tried<'a>) -> Result<Appended> {
        let mut tried = false;
        loop {
            let (need, appender) = match once() {
                Err((Need::Refused(error), _)) => return Err(error),
                Err(lacking) => lacking,
                Ok(appended) => return Ok(appended),
            };
            if tried && appender.is_full() {
                return Err(self.no_space());
            }
            self.ask(&need, true, appender);
            self.wait_for_space(tried)?;
            tried = true;
        }
    }

    /// Appends one frame for a caller who may not want to wait for space.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`ErrorKind::Preparing`] by [`Options::wait_for_space`].
    #[inline]
    pub(crate) fn submit(&self, wait: Wait, ops: &mut [OpDraft<'_>]) -> Result<Appended> {
        self.submit_by(|| self.try_append(wait, ops))
    }

    /// Appends by `once`, which tries to, for a caller who may not want to wait for space.
    #[inline]
    fn submit_by<'a>(&'a self, mut once: impl FnMut() -> Tried<'a>) -> Result<Appended> {
        if self.options.wait_for_space {
            return self.append_by(once);
        }
        let (need, appender) = match once() {
            Err((Need::Refused(error), _)) => return Err(error),
            Err(lacking) => lacking,
            Ok(appended) => return Ok(appended),
        };
        // A full medium is asked now and then by those who come, and refuses them meanwhile.
        let full = appender.is_full();
        self.ask(&need, false, appender);
        self.engine.raise();
        Err(if full { self.no_space() } else { Error::new(ErrorKind::Preparing, "space is being prepared") })
    }

    /// Appends one frame if there is room; else gives the appender back, so that what it lacks can be asked for.
    #[inline]
    fn try_append(&self, wait: Wait, ops: &mut [OpDraft<'_>]) -> Tried<'_> {
        // A reading costs a third of a small append; the engine thread takes one at every nap.
        let now = (!self.engine.is_held()).then(|| self.clock.now());
        let mut appender = self.appender.lock();
        match appender.append(now, wait, ops) {
            Ok(appended) => {
                if wait == Wait::Flushed && self.options.commit == CommitRule::Appended {
                    appender.want_flush();
                }
                let urgent = appender.is_flush_urgent();
                drop(appender);
                if urgent {
                    self.flusher.raise();
                }
                self.appended();
                Ok(appended)
            }
            Err(need) => {
                if appender.is_flush_urgent() {
                    self.flusher.raise();
                }
                Err((need, appender))
            }
        }
    }

    /// Asks for what an append lacks; whoever waits for it himself is heard at once also on a full medium.
    fn ask(&self, need: &Need, waits: bool, mut appender: MutexGuard<'_, Appender>) {
        let mut actions = Vec::new();
        appender.requests(Some(need), waits, &mut actions);
        drop(appender);
        self.enqueue(actions);
    }

    fn no_space(&self) -> Error {
        let text = format!("no space is left at {}; free some and try again", self.backend.describe());
        Error::new(ErrorKind::Full, text)
    }

    /// Somebody has to look at the new tail.
    fn appended(&self) {
        if self.options.threads {
            match self.options.commit {
                CommitRule::Flushed => self.flusher.raise(),
                CommitRule::Appended if self.options.callers_apply => {}
                CommitRule::Appended => self.engine.raise(),
            }
        }
    }

    fn wait_for_space(&self, again: bool) -> Result<()> {
        if self.options.threads {
            self.engine.raise();
            let mut guard = self.waiters.wakers.lock();
            self.waiters.count.fetch_add(1, Ordering::SeqCst);
            let slice = if again { SPACE_WAIT } else { SPACE_WAIT / 100 };
            self.waiters.moved.wait_for(&mut guard, slice);
            self.waiters.count.fetch_sub(1, Ordering::SeqCst);
            return Ok(());
        }
        while self.perform_one() {}
        self.tell_appender();
        Ok(())
    }

    pub(crate) fn enqueue(&self, actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let helpers = self.helpers.lock();
        for action in actions {
            match helpers.as_ref() {
                Some(helpers) => helpers.send(action),
                None => self.todo.lock().push_back(action),
            }
        }
    }

    // ---- stepping --------------------------------------------------------------------------

    /// Performs the oldest action that waits, on the caller's thread. False if none waits.
    pub(crate) fn perform_one(&self) -> bool {
        let action = self.todo.lock().pop_front();
        let Some(action) = action else { return false };
        let event = perform(&*self.backend, &self.log, action);
        self.events.lock().push(event);
        true
    }

    /// Hands events for the appender to it at once, so that a waiting producer can go on.
    fn tell_appender(&self) {
        let rest = self.take_events();
        self.events.lock().extend(rest);
    }

    /// Takes all events; gives back those that are not for the appender. Nobody else may take any from the list:
    /// an event that went past the appender would leave it waiting for ever.
    fn take_events(&self) -> Vec<Event> {
        let events = std::mem::take(&mut *self.events.lock());
        if events.is_empty() {
            return events;
        }
        let now = self.clock.now();
        let mut appender = self.appender.lock();
        events.into_iter().filter_map(|event| appender.handle(event, now)).collect()
    }

    /// Decides what is to be done now, and queues it. `None` if another thread is at it.
    pub(crate) fn decide(&self) -> Option<Step> {
        let mut applier = self.applier.try_lock()?;
        let mut step = Step::default();
        let events = self.take_events();
        let now = self.clock.now();
        let (now_ms, stopped) = {
            let mut appender = self.appender.lock();
            (appender.owner_ms(now), appender.is_stopped())
        };
        let mut actions = Vec::new();
        if !events.is_empty() {
            let mut views = self.views.write();
            events.into_iter().for_each(|event| applier.handle(event, &mut views, now_ms));
            applier.plan_removals(&views, &mut actions);
        }
        if !stopped {
            step.again = self.apply(&mut applier);
            self.fire(&mut applier, (now, now_ms), &mut actions, &mut step);
        }
        self.enqueue(actions);
        drop(applier);
        step.again |= self.take_missed();
        self.wake();
        Some(step)
    }

    /// Whether somebody came while this thread had the applier, which it has no more.
    fn take_missed(&self) -> bool {
        // Pairs with the fence in `is_served`: either this sees that somebody came, or he sees the applier free.
        fence(Ordering::SeqCst);
        self.missed.load(Ordering::Relaxed) && self.missed.swap(false, Ordering::SeqCst)
    }

    /// To be called by whoever had the applier and did not step.
    pub(crate) fn serve_missed(&self) {
        if self.take_missed() {
            self.engine.raise();
        }
    }

    /// Has whoever steps at this moment step once more; false if nobody does any more.
    pub(crate) fn is_served(&self) -> bool {
        self.missed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.applier.is_locked()
    }

    /// Commits and applies; true if more is there.
    fn apply(&self, applier: &mut Applier) -> bool {
        applier.commit();
        let mut effects = Effects { observed: self.options.observer.is_some(), ..Effects::default() };
        let mut views = self.views.write();
        let more = applier.apply(&mut views, &mut effects);
        let applied = views.applied;
        self.topics.update(&views, &effects.topics);
        drop(views);
        self.deliver(&effects);
        self.cursors.set_applied(applied);
        more.unwrap_or_else(|error| {
            tracing::error!(%error, "the store stops");
            self.appender.lock().stop(error.kind(), error.to_string());
            false
        })
    }

    fn deliver(&self, effects: &Effects) {
        self.answer(effects);
        if let Some(observer) = &self.options.observer {
            let names: Vec<_> = {
                let views = self.views.read();
                let name = |(topic, queue, end, tags): &(usize, u32, u64, i64)| {
                    (Arc::clone(&views.topics[*topic].name), *queue, *end, *tags)
                };
                effects.arrived.iter().map(name).collect()
            };
            names.iter().for_each(|(topic, queue, end, tags)| observer.arrived(topic, *queue, *end, *tags));
        }
    }

    fn fire(
        &self,
        applier: &mut Applier,
        (now, now_ms): (Now, i64),
        actions: &mut Vec<Action>,
        step: &mut Step,
    ) {
        let due = self.views.read().timers.next_due_ms();
        if due.is_some_and(|due| due <= now_ms) || applier.overdue() > 0 {
            applier.collect_due(&mut self.views.write(), now_ms, actions);
        }
        let mut appender = self.appender.lock();
        let mut need = None;
        loop {
            match applier.fire(&mut appender, now) {
                Ok(true) => step.again = true,
                Ok(false) => break,
                Err(lacking) => {
                    need = Some(lacking);
                    break;
                }
            }
        }
        let views = self.views.read();
        if let Err(lacking) = applier.append_upkeep(&mut appender, &views, now) {
            need.get_or_insert(lacking);
        }
        step.again |= applier.plan(&mut appender, &views, now_ms, actions);
        appender.requests(need.as_ref(), false, actions);
        step.next_ms = applier.next_ms(&views, &appender, now_ms);
        if appender.flush_since().is_some() && self.options.commit == CommitRule::Flushed {
            self.flusher.raise();
        }
    }

    /// Runs one flush on the caller's thread. False if there was nothing to flush. Whoever waits is told by
    /// the [`decide`](Self::decide) that must follow.
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`]: the flush failed and the store is stopped.
    pub(crate) fn flush(&self) -> Result<bool> {
        let _one = self.flushing.lock();
        let Some(job) = self.appender.lock().flush_job() else { return Ok(false) };
        let _span = tracing::trace_span!("flush", upto = %job.upto).entered();
        let began = self.clock.now();
        let mut done = job.run();
        if done.is_err() && planted::is(Bug::FailedFlushRetried) {
            done = Ok(());
        }
        let mut appender = self.appender.lock();
        let now = self.clock.now();
        let (now_ms, took_us) =
            (appender.owner_ms(now), now.elapsed_ns.saturating_sub(began.elapsed_ns) / 1_000);
        match &done {
            Ok(()) => appender.flushed(&job, now_ms, took_us),
            Err(error) => {
                tracing::error!(%error, "a flush failed; the store is poisoned");
                let text = format!("a flush failed ({error}); close the store and open it again");
                appender.stop(ErrorKind::Poisoned, text);
            }
        }
        drop(appender);
        match done {
            Ok(()) => Ok(true),
            Err(error) => {
                self.wake();
                Err(Error::new(ErrorKind::Poisoned, format!("a flush failed: {error}")))
            }
        }
    }

    /// Whether the commit rule or a waiter wants a flush by now; else when one will be due, owner milliseconds.
    fn flush_due(&self) -> std::result::Result<(), Option<i64>> {
        let mut appender = self.appender.lock();
        if appender.is_stopped() {
            return Err(None);
        }
        let since = appender.flush_since().ok_or(None)?;
        let interval = i64::try_from(self.options.flush_interval_ms).unwrap_or(i64::MAX);
        let due = since.saturating_add(interval);
        let now_ms = appender.owner_ms(self.clock.now());
        let urgent = appender.is_flush_urgent();
        let now = self.options.commit == CommitRule::Flushed || due <= now_ms || urgent;
        if now { Ok(()) } else { Err(Some(due)) }
    }

    /// Decides and performs, on the caller's thread, until nothing is left to do at this moment.
    pub(crate) fn step(&self) -> Step {
        loop {
            let mut worked = false;
            if self.flush_due().is_ok() {
                worked |= matches!(self.flush(), Ok(true));
            }
            let Some(step) = self.decide() else { return Step::default() };
            while self.perform_one() {
                worked = true;
            }
            if !(worked || step.again) {
                return step;
            }
        }
    }
}
