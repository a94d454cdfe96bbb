//! One counted stream of messages, and what it was over the last minute, hour and day.

use std::{
    collections::VecDeque,
    ops::AddAssign,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use parking_lot::Mutex;

/// How often flows are sampled, milliseconds.
pub const SAMPLE_MS: i64 = 10_000;

/// What passed since the broker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that carried messages.
    pub requests: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of bodies that came in, of whole records that went out.
    pub bytes: u64,
    /// When the last one passed, to the second, owner milliseconds; 0 if none did.
    pub last_ms: i64,
}

impl Totals {
    /// What passed since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            messages: self.messages.saturating_sub(earlier.messages),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            last_ms: self.last_ms,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

/// How far a look back goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// 10 s, one sample.
    Now,
    /// A minute, in samples of 10 s.
    Minute,
    /// 10 minutes, one sample.
    TenMinutes,
    /// An hour, in samples of 10 minutes.
    Hour,
    /// A day, in samples of an hour.
    Day,
}

/// What passed in a window, and how long that was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// What passed.
    pub passed: Totals,
    /// In so many milliseconds: less than the window where the flow is younger.
    pub span_ms: i64,
}

impl Rate {
    /// A count of [`Rate::passed`] per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
    pub fn per_second(&self, count: u64) -> f64 {
        if self.span_ms > 0 { count as f64 * 1000.0 / self.span_ms as f64 } else { 0.0 }
    }
}

impl AddAssign for Rate {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.span_ms = self.span_ms.max(other.span_ms);
    }
}

/// Samples of a flow, coarser the older they are.
#[derive(Debug, Default)]
pub struct History {
    minute: VecDeque<(i64, Totals)>,
    hour: VecDeque<(i64, Totals)>,
    day: VecDeque<(i64, Totals)>,
}

impl History {
    const RINGS: [(i64, usize); 3] = [(SAMPLE_MS, 7), (600_000, 7), (3_600_000, 25)];

    /// Begins to remember: nothing passed before this.
    pub fn begin(&mut self, now_ms: i64) {
        for ring in [&mut self.minute, &mut self.hour, &mut self.day] {
            ring.push_back((now_ms, Totals::default()));
        }
    }

    /// Whether it remembers anything.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        !self.minute.is_empty()
    }

    /// Remembers what has passed by now. Steps of the clock that are shorter than a sample are left out.
    pub fn sample(&mut self, now_ms: i64, totals: Totals) {
        let rings = [&mut self.minute, &mut self.hour, &mut self.day];
        for (ring, (every, most)) in rings.into_iter().zip(Self::RINGS) {
            // Ticks come a little early or late; half a tick is no reason to wait for the next.
            if ring.back().is_some_and(|(at, _)| now_ms - at < every - SAMPLE_MS / 2) {
                continue;
            }
            if ring.len() == most {
                ring.pop_front();
            }
            ring.push_back((now_ms, totals));
        }
    }

    /// What passed in the last full samples of a window.
    #[must_use]
    pub fn over(&self, window: Window) -> Rate {
        let (ring, samples) = match window {
            Window::Now => (&self.minute, 1),
            Window::Minute => (&self.minute, 6),
            Window::TenMinutes => (&self.hour, 1),
            Window::Hour => (&self.hour, 6),
            Window::Day => (&self.day, 24),
        };
        // What is younger than a sample of the ring has been seen by the finest one.
        let Some((now, totals)) = self.minute.back() else { return Rate::default() };
        let first = ring.len().saturating_sub(samples + usize::from(ring.back() == self.minute.back()));
        let Some((at, before)) = ring.get(first) else { return Rate::default() };
        Rate { passed: totals.since(*before), span_ms: now - at }
    }
}

/// A counted stream of messages.
#[derive(Debug, Default)]
pub struct Flow {
    requests: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    last_ms: AtomicI64,
    history: Mutex<History>,
}

impl Flow {
    /// Counts one request.
    pub(super) fn add(&self, messages: u64, bytes: u64, now_ms: i64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.last_ms.store(now_ms, Ordering::Relaxed);
    }

    /// What passed so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            requests: self.requests.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            last_ms: self.last_ms.load(Ordering::Relaxed),
        }
    }

    /// What passed in a window.
    #[must_use]
    pub fn over(&self, window: Window) -> Rate {
        self.history.lock().over(window)
    }

    pub(super) fn sample(&self, now_ms: i64) {
        let totals = self.totals();
        if totals.requests == 0 {
            return;
        }
        let mut history = self.history.lock();
        if !history.is_begun() {
            history.begin(now_ms - SAMPLE_MS);
        }
        history.sample(now_ms, totals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_what_passed_in_them() {
        let flow = Flow::default();
        assert_eq!(flow.over(Window::Minute), Rate::default());
        let mut now = 1_000_000;
        // One request of two messages every second, for 26 hours.
        for second in 1..=26 * 3600 {
            now += 1000;
            flow.add(2, 10, now);
            if second % 10 == 0 {
                flow.sample(now);
            }
            if second == 40 {
                assert_eq!(flow.over(Window::Minute).passed.messages, 80);
                assert_eq!(flow.over(Window::Minute).span_ms, 40_000);
            }
        }
        for (window, seconds) in [(Window::Now, 10), (Window::Minute, 60), (Window::TenMinutes, 600)] {
            let rate = flow.over(window);
            assert_eq!((rate.passed.messages, rate.span_ms), (2 * seconds, seconds as i64 * 1000));
            assert!((rate.per_second(rate.passed.bytes) - 10.0).abs() < 1e-9);
        }
        assert_eq!(flow.over(Window::Hour).span_ms, 3_600_000);
        assert_eq!(flow.over(Window::Day).passed.requests, 24 * 3600);
        // Silence ages out.
        for _ in 0..8 {
            now += SAMPLE_MS;
            flow.sample(now);
        }
        assert_eq!(flow.over(Window::Minute).passed.messages, 0);
        assert_eq!(flow.totals().messages, 2 * 26 * 3600);
    }
}
