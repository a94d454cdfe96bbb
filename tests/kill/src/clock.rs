//! Time, as the rest of this program needs it.

use std::{sync::mpsc::channel, time::Duration};

use mainspring::{Clock, SystemClock};

/// The wall clock, milliseconds.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now().wall_ms
}

/// Time that went by since some start, milliseconds.
pub(crate) fn elapsed_ms() -> u64 {
    SystemClock.now().elapsed_ns / 1_000_000
}

/// Lets time go by; nobody sends on this channel.
pub(crate) fn pause(ms: u64) {
    let (_open, never) = channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(ms)); // always the timeout
}
