//! The signal of the shell, under every order in which its two sides can run.
//!
//! The file is the shell's own; only what it imports differs. Time does not pass in a model: a nap ends by
//! itself, a wait by a wake-up alone, so that a lost one is a deadlock, which loom reports.

#[path = "../src/shell/signal.rs"]
mod signal;

/// What the shell imports from `parking_lot` and the standard library, on loom.
mod sync {
    use std::sync::PoisonError;
    use std::time::Duration;

    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    pub(crate) struct Guard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> Guard<'_, T> {
            Guard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    impl<T: Copy> Guard<'_, T> {
        pub(crate) fn get(&self) -> Option<T> {
            self.0.as_deref().copied()
        }

        pub(crate) fn set(&mut self, value: T) {
            self.0.iter_mut().for_each(|guard| **guard = value);
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Default for Condvar {
        fn default() -> Self {
            Self(loom::sync::Condvar::new())
        }
    }

    impl Condvar {
        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait_for<T>(&self, guard: &mut Guard<'_, T>, time: Duration) {
            if time < Duration::from_millis(1) {
                let lock = guard.0.take();
                loom::thread::yield_now();
                guard.0 = lock;
                return;
            }
            guard.0 = guard.0.take().map(|lock| self.0.wait(lock).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use signal::Signal;
use sync::Mutex;

const NAP: Duration = Duration::from_micros(20);
const LONG: Duration = Duration::from_secs(1);

/// The tail under the appender's lock, and the engine thread's signal.
#[derive(Default)]
struct Shared {
    tail: Mutex<u32>,
    engine: Signal,
}

impl Shared {
    /// What a producer does.
    fn append(&self) {
        let mut tail = self.tail.lock();
        let before = tail.get().unwrap_or_default();
        tail.set(before + 1);
        drop(tail);
        self.engine.raise();
    }

    /// What the engine thread looks at first in each step: the tail, behind the appender's lock.
    fn tail(&self) -> u32 {
        self.tail.lock().get().unwrap_or_default()
    }

    /// The engine thread's loop, until it has seen this tail.
    fn follow(&self, upto: u32, how: How) {
        let mut seen = 0;
        loop {
            let tail = self.tail();
            let worked = tail > seen;
            seen = tail;
            if seen == upto {
                return;
            }
            if how != How::Waits && worked {
                self.engine.nap(NAP);
            } else if self.engine.is_held() {
                self.engine.lower();
                if how == How::Forgets {
                    self.engine.wait(LONG);
                }
            } else {
                self.engine.wait(LONG);
            }
        }
    }
}

/// How the engine thread follows the tail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As under rule `flushed`.
    Waits,
    /// As under rule `appended`.
    Naps,
    /// Wrongly: after its last nap it sleeps without having looked again.
    Forgets,
}

fn check(producers: usize, appends: u32, how: How) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let shared = Arc::new(Shared::default());
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || (0..appends).for_each(|_| shared.append()))
            })
            .collect();
        shared.follow(u32::try_from(producers).unwrap_or(0) * appends, how);
        threads.into_iter().for_each(|thread| assert!(thread.join().is_ok()));
    });
}

#[test]
fn a_thread_that_waits_sees_every_append() {
    check(1, 3, How::Waits);
    check(2, 1, How::Waits);
}

#[test]
fn a_thread_that_naps_sees_every_append() {
    check(1, 3, How::Naps);
    check(2, 1, How::Naps);
}

/// That the model can find a lost wake-up.
#[test]
#[should_panic(expected = "deadlock")]
fn a_thread_that_does_not_look_again_misses_one() {
    check(1, 2, How::Forgets);
}
