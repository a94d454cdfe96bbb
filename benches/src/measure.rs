//! Time, and medians over rounds.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The present moment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the real clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch, with the part below one.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
pub fn wall_ms() -> f64 {
    let now = clock_gettime(ClockId::Realtime);
    (now.tv_sec * 1000) as f64 + now.tv_nsec as f64 / 1e6
}

/// Sleeps.
#[expect(clippy::disallowed_methods, reason = "a bench paces itself")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// Processor time of all threads of this process so far.
#[must_use]
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// How long something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// On the wall.
    pub wall: Duration,
    /// On a processor, the calling thread alone.
    pub cpu: Duration,
}

impl Timing {
    /// Times `work`.
    pub fn of<R>(work: impl FnOnce() -> R) -> (Self, R) {
        let (wall, cpu) = (now(), thread_cpu());
        let result = work();
        (Self { wall: wall.elapsed(), cpu: thread_cpu().saturating_sub(cpu) }, result)
    }

    /// Operations a second, by the clock on the wall.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
    pub fn per_s(&self, operations: usize) -> f64 {
        operations as f64 / self.wall.as_secs_f64()
    }

    /// Operations a second of the caller's processor time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
    pub fn per_cpu_s(&self, operations: usize) -> f64 {
        operations as f64 / self.cpu.as_secs_f64()
    }
}

/// One figure, once a round.
#[derive(Debug, Clone, Default)]
pub struct Figure(Vec<f64>);

impl Figure {
    /// Adds a round's.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which this part of all values lies; not a number if there are none.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    pub fn at(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The median.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// The values, as they came.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

impl FromIterator<f64> for Figure {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Ours and the reference's, round by round in turn.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// The engine's.
    pub ours: Figure,
    /// The reference's.
    pub reference: Figure,
}

impl Pair {
    /// Runs both sides in turn; who is first changes from round to round.
    ///
    /// # Errors
    /// The first of either side.
    pub fn rounds<E>(
        rounds: usize,
        mut ours: impl FnMut(usize) -> Result<f64, E>,
        mut reference: impl FnMut(usize) -> Result<f64, E>,
    ) -> Result<Self, E> {
        let mut pair = Self::default();
        for round in 0..rounds {
            if round % 2 == 0 {
                pair.ours.push(ours(round)?);
                pair.reference.push(reference(round)?);
            } else {
                pair.reference.push(reference(round)?);
                pair.ours.push(ours(round)?);
            }
        }
        Ok(pair)
    }

    /// Each round's ratio of ours to the reference's.
    #[must_use]
    pub fn ratio(&self) -> Figure {
        self.ours.0.iter().zip(&self.reference.0).map(|(ours, reference)| ours / reference).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_sorted_and_rounds_alternate() {
        let figure: Figure = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((figure.at(0.0), figure.median(), figure.at(1.0)), (1.0, 2.0, 3.0));
        assert!(Figure::default().median().is_nan());
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char| {
            let order = &order;
            move |_| {
                order.borrow_mut().push(name);
                Ok::<_, ()>(if name == 'a' { 1.0 } else { 2.0 })
            }
        };
        let pair = Pair::rounds(3, side('a'), side('b')).unwrap();
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!(pair.ratio().values(), [0.5, 0.5, 0.5]);
    }
}
