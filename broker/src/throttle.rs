//! Lets one in a while pass, so that nobody can fill the log.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// One passes in so long.
const PAUSE: Duration = Duration::from_secs(1);

/// A gate that opens once a second.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    passed: Mutex<Option<Instant>>,
    held: AtomicU64,
}

impl Throttle {
    /// Whether this one passes, and if so how many did not since the last one.
    pub(crate) fn pass(&self) -> Option<u64> {
        let (mut passed, now) = (self.passed.lock(), Instant::now());
        if passed.is_some_and(|at| now.duration_since(at) < PAUSE) {
            self.held.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *passed = Some(now);
        Some(self.held.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_second_passes() {
        let throttle = Throttle::default();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        tokio::time::advance(PAUSE).await;
        assert_eq!((throttle.pass(), throttle.pass()), (Some(2), None));
    }
}
