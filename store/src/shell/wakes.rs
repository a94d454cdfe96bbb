//! When the engine thread wakes by itself.

use super::sync::{AtomicI64, Ordering};

/// See the module. Others step as well and may find something that is due sooner: they wake the thread only if it sleeps
/// for longer. While it is awake they leave a note, which it reads before it sleeps; so whoever comes meanwhile costs it
/// no further round.
#[derive(Debug)]
pub(super) struct Wakes {
    /// Until when the thread sleeps, owner milliseconds; the least while it is awake.
    planned_ms: AtomicI64,
    /// The soonest that others found since it woke.
    noted_ms: AtomicI64,
}

impl Default for Wakes {
    fn default() -> Self {
        Self { planned_ms: AtomicI64::new(i64::MIN), noted_ms: AtomicI64::new(i64::MAX) }
    }
}

impl Wakes {
    /// The thread is awake, and looks itself at everything that was found before.
    pub(super) fn begin(&self) {
        self.planned_ms.store(i64::MIN, Ordering::SeqCst);
        self.noted_ms.store(i64::MAX, Ordering::SeqCst);
    }

    /// The thread is going to sleep until `next_ms`, or for ever: until when indeed.
    pub(super) fn plan(&self, next_ms: Option<i64>) -> Option<i64> {
        let next = next_ms.unwrap_or(i64::MAX);
        // Stored first, and the notes exchanged on both sides: either a note is read here, or who writes it reads this.
        self.planned_ms.store(next, Ordering::SeqCst);
        let next = next.min(self.noted_ms.fetch_min(i64::MAX, Ordering::SeqCst));
        (next < i64::MAX).then_some(next)
    }

    /// Notes what another thread found; true if the thread has to be woken for it.
    pub(super) fn note(&self, next_ms: i64) -> bool {
        if next_ms < self.noted_ms.load(Ordering::SeqCst) {
            self.noted_ms.fetch_min(next_ms, Ordering::SeqCst);
        }
        next_ms < self.planned_ms.load(Ordering::SeqCst)
    }
}
