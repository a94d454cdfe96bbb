//! Time that only moves forward, for expiry of clients. Message times come from the store.

use tokio::time::Instant;

/// Elapsed time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since some fixed moment; never goes back.
    fn elapsed_ms(&self) -> u64;
}

/// The runtime's clock, which tests may pause.
#[derive(Debug)]
pub struct RuntimeClock(Instant);

impl RuntimeClock {
    /// Starts at 0.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
