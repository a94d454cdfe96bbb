//! When to try again while the store prepares space, or flushes.

use std::time::Duration;

use tokio::time::Instant;

/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// A request is refused after this long.
const MAX: Duration = Duration::from_secs(5);

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Patience {
    pause: Duration,
    end: Instant,
}

impl Patience {
    /// Begins with the first refusal.
    pub(crate) fn begin() -> Self {
        Self { pause: PAUSES.0, end: Instant::now() + MAX }
    }

    /// When to try again; `None` once it has taken too long.
    pub(crate) fn next_try(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let at = now + self.pause;
        self.pause = (2 * self.pause).min(PAUSES.1);
        (now < self.end).then_some(at)
    }
}
