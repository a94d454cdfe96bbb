//! The threads that step a store by themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::Core;
use crate::engine::{Action, Step, perform};
use crate::error::{Error, Result};
use crate::options::CommitRule;

/// How long the engine thread naps after it applied something, rather than be woken by each append. What is
/// appended meanwhile becomes visible so much later, and plain messages are stamped with a time so old.
const NAP: Duration = Duration::from_micros(20);
/// It naps where at least so many bytes came at once; less is visible sooner by a wake-up.
const NAP_BYTES: u64 = 4096;

/// A caller who catches up steps so often before he leaves the rest to the engine thread.
const CATCH_UP_STEPS: usize = 4;

/// Where actions go with threads: what an append or a due timer waits for never stands behind a seal, whose
/// flush of a whole segment takes as long as filling the next one.
#[derive(Debug)]
pub(super) struct Helpers {
    urgent: Sender<Action>,
    patient: Sender<Action>,
}

impl Helpers {
    pub(super) fn send(&self, action: Action) {
        let helper = if action.is_waited_for() { &self.urgent } else { &self.patient };
        drop(helper.send(action)); // it fails only once the threads are gone
    }
}

impl Core {
    /// Steps on a thread that happens to be here, if no other is at it, and tells the engine thread.
    pub(crate) fn help(&self) {
        while self.help_once() {}
    }

    /// One step of that; true if there is more to do.
    fn help_once(&self) -> bool {
        match self.decide() {
            Some(step) => {
                self.replan(step);
                step.again
            }
            None => !self.is_served(),
        }
    }

    /// Applies what was appended, unless another thread is at it and will.
    pub(crate) fn catch_up(&self) {
        if self.cursors.applied() == self.cursors.tail() {
            return;
        }
        for _ in 0..CATCH_UP_STEPS {
            if !self.help_once() {
                return;
            }
        }
        self.engine.raise();
    }

    /// Sees to it that the engine thread wakes in time for what a step on another thread found.
    fn replan(&self, step: Step) {
        if step.next_ms.is_some_and(|next| self.wakes.note(next)) {
            self.engine.raise();
        }
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system's, if it has no thread to give.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        if !self.options.threads {
            return Ok(());
        }
        let ((urgent, urgent_actions), (patient, patient_actions)) = (unbounded(), unbounded());
        let helpers = Helpers { urgent, patient };
        let waiting: Vec<Action> = self.todo.lock().drain(..).collect();
        waiting.into_iter().for_each(|action| helpers.send(action));
        *self.helpers.lock() = Some(helpers);
        let spawn = |name: &str, run: Box<dyn FnOnce(&Core) + Send>| {
            let core = Arc::clone(self);
            std::thread::Builder::new()
                .name(format!("mainspring-{name}"))
                .spawn(move || run(&core))
                .map_err(|e| Error::io(format!("cannot start the {name} thread"), e))
        };
        let threads = vec![
            spawn("flusher", Box::new(|core| core.run_flusher()))?,
            spawn("engine", Box::new(|core| core.run_engine()))?,
            spawn("space", Box::new(move |core| core.run_helper(&urgent_actions)))?,
            spawn("upkeep", Box::new(move |core| core.run_helper(&patient_actions)))?,
        ];
        *self.threads.lock() = threads;
        Ok(())
    }

    fn run_engine(&self) {
        exact_wake_ups();
        while !self.stop.load(Ordering::Acquire) {
            self.wakes.begin();
            let before = self.cursors.applied();
            let step = self.decide();
            // Where callers apply by themselves, more does follow, and they see to it.
            let naps = self.options.commit == CommitRule::Appended && !self.options.callers_apply;
            if naps && step.is_some_and(|step| !step.again) {
                if self.cursors.applied().0 - before.0 >= NAP_BYTES {
                    self.engine.nap(NAP); // more follows, mostly
                    continue;
                }
                if self.engine.is_held() {
                    self.engine.lower();
                    continue;
                }
            }
            let pause = match step {
                None => Duration::from_millis(1),
                Some(step) if step.again => continue,
                Some(step) => self.pause_until(self.wakes.plan(step.next_ms)),
            };
            if !pause.is_zero() {
                self.engine.wait(pause);
            }
        }
    }

    /// How long it is until this owner time, a second at most.
    fn pause_until(&self, next_ms: Option<i64>) -> Duration {
        let now = self.clock.now();
        let now_ms = self.appender.lock().owner_ms(now);
        let until = next_ms.map_or(1000, |next| next.saturating_sub(now_ms));
        let whole = Duration::from_millis(u64::try_from(until).unwrap_or(0).min(1000));
        // The millisecond that runs is partly over, if it is the wall's.
        let over = if now_ms == now.wall_ms { now.wall_part_ns } else { 0 };
        whole.saturating_sub(Duration::from_nanos(u64::from(over)))
    }

    fn run_flusher(&self) {
        while !self.stop.load(Ordering::Acquire) {
            match self.flush_due() {
                Ok(()) => {
                    let _ = self.flush(); // a failure has stopped the store and is told to whoever waits
                    self.help();
                }
                Err(due) => {
                    let now_ms = self.appender.lock().owner_ms(self.clock.now());
                    let interval = i64::try_from(self.options.flush_interval_ms).unwrap_or(1000);
                    let idle = if self.options.commit == CommitRule::Flushed { 1000 } else { interval };
                    let pause = due.map_or(idle, |due| due.saturating_sub(now_ms)).clamp(1, 1000);
                    self.flusher.wait(Duration::from_millis(pause.unsigned_abs()));
                }
            }
        }
    }

    fn run_helper(&self, actions: &Receiver<Action>) {
        for action in actions {
            let event = perform(&*self.backend, &self.log, action);
            self.events.lock().push(event);
            self.tell_appender();
            self.engine.raise();
            self.wake();
        }
    }

    /// Ends the threads. Called once, with nothing left to do.
    pub(crate) fn stop_threads(&self) {
        self.stop.store(true, Ordering::Release);
        *self.helpers.lock() = None;
        self.engine.raise();
        self.flusher.raise();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join(); // a thread that panicked has stopped already
            }
        }
        self.wake();
    }
}

/// Has the kernel end this thread's timed waits when they end, and not up to 50 us later.
fn exact_wake_ups() {
    #[cfg(target_os = "linux")]
    {
        let slack = std::num::NonZeroU64::new(1_000);
        let _ = rustix::thread::set_current_timer_slack(slack); // without it timers are a little later
    }
}
