//! A flag that a thread sleeps on.

use std::time::Duration;

use super::sync::{AtomicBool, Condvar, Mutex, Ordering};

/// See the module. `store/tests/signal.rs` runs this very file under every order of its two sides.
///
/// No wake-up gets lost between a tail that moves and a thread that goes to sleep, because both sides take the
/// appender's lock: a producer moves the tail under it and raises afterwards; the thread lowers, and looks at
/// the tail behind that lock before it sleeps. Whoever has it second sees what the other did. `raised` is only ever
/// exchanged, so that no old value of it comes back.
#[derive(Debug, Default)]
pub(super) struct Signal {
    raised: AtomicBool,
    held: AtomicBool,
    lock: Mutex<()>,
    condvar: Condvar,
}

impl Signal {
    pub(super) fn raise(&self) {
        if !self.raised.load(Ordering::Relaxed) && !self.raised.swap(true, Ordering::AcqRel) {
            drop(self.lock.lock());
            self.condvar.notify_one();
        }
    }

    /// Sleeps until it is raised or the time is up. The caller looks at what there is to do afterwards.
    pub(super) fn wait(&self, at_most: Duration) {
        let mut guard = self.lock.lock();
        if !self.raised.load(Ordering::Acquire) {
            self.condvar.wait_for(&mut guard, at_most);
        }
        self.lower();
    }

    /// Sleeps for a moment with the signal raised, so that nobody spends time on waking the caller.
    pub(super) fn nap(&self, time: Duration) {
        self.raised.swap(true, Ordering::AcqRel);
        self.held.store(true, Ordering::Release);
        self.condvar.wait_for(&mut self.lock.lock(), time);
    }

    /// Whether the caller naps only.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Whoever raises it from now on wakes the caller, who looks once more before he sleeps.
    pub(super) fn lower(&self) {
        self.held.store(false, Ordering::Relaxed);
        self.raised.swap(false, Ordering::AcqRel);
    }
}
