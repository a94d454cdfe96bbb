//! When the engine thread wakes, under every order in which it and one who steps beside it can run.

/// The file is the shell's own; only what it imports differs.
#[path = "../src/shell/wakes.rs"]
mod wakes;

/// What the shell imports from the standard library, on loom.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicI64, Ordering};
}

use loom::sync::{Arc, Mutex};
use loom::thread;

use wakes::Wakes;

const SOON: i64 = 100;

/// What is due next is found under the applier's lock. Either the thread sleeps no longer than until then, or it is woken.
#[test]
fn nothing_due_is_slept_over() {
    loom::model(|| {
        let (due, wakes) = (Arc::new(Mutex::new(None)), Arc::new(Wakes::default()));
        let other = {
            let (due, wakes) = (Arc::clone(&due), Arc::clone(&wakes));
            thread::spawn(move || {
                let found = *due.lock().unwrap().insert(SOON);
                wakes.note(found)
            })
        };
        wakes.begin();
        let found = *due.lock().unwrap();
        let sleeps_until = wakes.plan(found.or(Some(10 * SOON)));
        let woken = other.join().unwrap();
        assert!(woken || sleeps_until == Some(SOON), "it sleeps until {sleeps_until:?}");
    });
}

/// Whoever finds nothing sooner does not wake it.
#[test]
fn a_thread_that_wakes_in_time_is_left_alone() {
    loom::model(|| {
        let wakes = Wakes::default();
        wakes.begin();
        assert!(!wakes.note(5 * SOON), "it is awake");
        assert_eq!(wakes.plan(Some(SOON)), Some(SOON));
        assert!(!wakes.note(SOON) && wakes.note(SOON - 1));
    });
}
