//! Time: the seam through which it comes in, and the owner's time that the log carries.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// One reading of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time, milliseconds since the Unix epoch. May jump.
    pub wall_ms: i64,
    /// Nanoseconds of the wall time's present millisecond that are over; 0 where that is not known.
    pub wall_part_ns: u32,
    /// Nanoseconds that went by since some start, counting suspend. Never goes back within a process.
    pub elapsed_ns: u64,
}

/// Where time and chance come from. The engine never reads them elsewhere.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Now;
    /// Identifies this boot of the machine: what was in memory is gone when it differs.
    fn boot_id(&self) -> u128;
    /// 64 random bits, for identities that nobody must guess.
    fn random(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

/// How long the wall clock's distance from the elapsed time is taken for granted, nanoseconds: a step of the
/// wall clock is seen so much later. Reading one clock costs about as much as copying a small message.
const WALL_CHECK_NS: u64 = 500_000;

/// How far apart the readings of the two clocks may be to be taken as one moment, nanoseconds.
const WALL_PAIR_NS: i64 = 20_000;

/// The wall clock less the elapsed time, nanoseconds, and the elapsed time when that was looked at.
static WALL_AHEAD_NS: AtomicI64 = AtomicI64::new(0);
static WALL_CHECKED_NS: AtomicU64 = AtomicU64::new(0);

fn clock_ns(id: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(id);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let elapsed = clock_ns(rustix::time::ClockId::Boottime);
        let elapsed_ns = elapsed.unsigned_abs();
        let checked = WALL_CHECKED_NS.load(Ordering::Acquire);
        let wall_ns = if checked != 0 && elapsed_ns.saturating_sub(checked) < WALL_CHECK_NS {
            elapsed + WALL_AHEAD_NS.load(Ordering::Relaxed)
        } else {
            let wall = clock_ns(rustix::time::ClockId::Realtime);
            // Read again behind it, so that what is computed from it is never ahead of the wall; and kept only
            // if this thread was not set aside between the two, or it would lag by as much.
            let after = clock_ns(rustix::time::ClockId::Boottime);
            if after - elapsed < WALL_PAIR_NS {
                WALL_AHEAD_NS.store(wall - after, Ordering::Relaxed);
                WALL_CHECKED_NS.store(after.unsigned_abs(), Ordering::Release);
            }
            wall
        };
        let wall_part_ns = u32::try_from(wall_ns.rem_euclid(1_000_000)).unwrap_or(0);
        Now { wall_ms: wall_ns.div_euclid(1_000_000), wall_part_ns, elapsed_ns }
    }

    fn boot_id(&self) -> u128 {
        // Where the kernel does not tell, every open counts as another boot: the careful reading.
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&hex, 16)
            .unwrap_or_else(|_| (u128::from(self.random()) << 64) | u128::from(self.random()))
    }

    fn random(&self) -> u64 {
        // The standard library seeds every `RandomState` from the operating system.
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    }
}

/// A clock that moves only when told to, for stores that are driven by [`step`](crate::Store::step).
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    elapsed_ns: AtomicU64,
    boot_id: AtomicU64,
    random: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `wall_ms`.
    #[must_use]
    pub fn new(wall_ms: i64) -> Self {
        Self {
            wall_ms: AtomicI64::new(wall_ms),
            elapsed_ns: AtomicU64::new(0),
            boot_id: AtomicU64::new(1),
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// Lets `ms` milliseconds go by.
    pub fn advance(&self, ms: u64) {
        self.wall_ms.fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.elapsed_ns.fetch_add(ms.saturating_mul(1_000_000), Ordering::SeqCst);
    }

    /// Steps the wall clock by `ms` (also backwards) while no time goes by.
    pub fn step_wall(&self, ms: i64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// As if the machine had booted again.
    pub fn reboot(&self) {
        self.boot_id.fetch_add(1, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        Now {
            wall_ms: self.wall_ms.load(Ordering::SeqCst),
            wall_part_ns: 0,
            elapsed_ns: self.elapsed_ns.load(Ordering::SeqCst),
        }
    }

    fn boot_id(&self) -> u128 {
        u128::from(self.boot_id.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        // A Weyl sequence through a finalizer: different every time, the same in every run.
        let x = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 27)
    }
}

/// The owner's time: the log's last owner time plus what went by since, steered to the wall clock.
///
/// It never goes back. A wall clock that is ahead of it by more than the limit is not adopted until someone
/// confirms it; a wall clock behind it is met by running at half speed.
#[derive(Debug, Clone)]
pub struct OwnerClock {
    owner_ms: i64,
    elapsed_ns: u64,
    carry_ns: u64,
    jump_max_ms: i64,
    held_ms: Option<i64>,
}

/// How far ahead the wall clock may be while a store runs, in milliseconds.
pub const JUMP_MAX_RUNNING_MS: i64 = 10_000;
/// How far ahead the wall clock may be when a store opens, in milliseconds: it may have been off for so long.
pub const JUMP_MAX_OPEN_MS: i64 = 7 * 24 * 3600 * 1000;

impl OwnerClock {
    /// Starts at `now`; `last_ms` is the last owner time of the log, `None` for an empty one.
    #[must_use]
    pub fn open(last_ms: Option<i64>, now: Now) -> Self {
        let owner_ms = last_ms.unwrap_or(now.wall_ms);
        let mut clock = Self {
            owner_ms,
            elapsed_ns: now.elapsed_ns,
            carry_ns: 0,
            jump_max_ms: JUMP_MAX_OPEN_MS,
            held_ms: None,
        };
        clock.read(now);
        clock.jump_max_ms = JUMP_MAX_RUNNING_MS;
        clock
    }

    /// The owner's time at `now`, milliseconds.
    pub fn read(&mut self, now: Now) -> i64 {
        let passed_ns = now.elapsed_ns.saturating_sub(self.elapsed_ns) + self.carry_ns;
        let passed_ms = passed_ns / 1_000_000;
        self.elapsed_ns = self.elapsed_ns.max(now.elapsed_ns);
        self.carry_ns = passed_ns % 1_000_000;
        let passed = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        let free = self.owner_ms.saturating_add(passed);
        let ahead = now.wall_ms.saturating_sub(free);
        if ahead > self.jump_max_ms && !crate::planted::is(crate::planted::Bug::EarlyAfterClockStep) {
            self.held_ms = Some(ahead);
            self.owner_ms = free;
        } else if ahead >= 0 {
            self.held_ms = None;
            self.owner_ms = now.wall_ms;
        } else {
            self.held_ms = None;
            // What half of it leaves over counts the next time, or time would stand still where it is read often.
            self.carry_ns += passed_ms % 2 * 1_000_000;
            self.owner_ms = self.owner_ms.saturating_add(passed / 2).max(now.wall_ms);
        }
        self.owner_ms
    }

    /// The last time that was read.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.owner_ms
    }

    /// By how much a wall clock that was not adopted is ahead, milliseconds.
    #[must_use]
    pub fn held(&self) -> Option<i64> {
        self.held_ms
    }

    /// Adopts the wall clock, because someone confirmed it. Returns the step in milliseconds.
    pub fn confirm(&mut self, now: Now) -> i64 {
        let before = self.read(now);
        self.owner_ms = before.max(now.wall_ms);
        self.held_ms = None;
        self.owner_ms - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_ms: i64, ms: u64) -> Now {
        Now { wall_ms, wall_part_ns: 0, elapsed_ns: ms * 1_000_000 }
    }

    #[test]
    fn it_follows_a_wall_clock_that_runs() {
        let mut clock = OwnerClock::open(None, at(1_000, 0));
        assert_eq!(clock.read(at(1_005, 5)), 1_005);
        assert_eq!(clock.read(at(1_015, 14)), 1_015);
    }

    #[test]
    fn it_never_goes_back_and_waits_at_half_speed() {
        let mut clock = OwnerClock::open(None, at(100_000, 0));
        assert_eq!(clock.read(at(97_000, 0)), 100_000);
        assert_eq!(clock.read(at(99_000, 2_000)), 101_000);
        assert_eq!(clock.read(at(103_000, 6_000)), 103_000);
        assert_eq!(clock.read(at(104_000, 7_000)), 104_000);
    }

    #[test]
    fn half_speed_is_kept_however_often_it_is_read() {
        for every in [1, 3, 7] {
            let mut clock = OwnerClock::open(None, at(3_600_000, 0));
            for ms in (every..=2_100).step_by(every) {
                let wall_ms = i64::try_from(ms).unwrap();
                assert_eq!(clock.read(at(wall_ms, ms as u64)), 3_600_000 + wall_ms / 2, "every {every} ms");
            }
        }
    }

    #[test]
    fn a_far_jump_is_held_until_confirmed_and_time_goes_on() {
        let mut clock = OwnerClock::open(None, at(0, 0));
        assert_eq!(clock.read(at(3_600_000, 10)), 10);
        assert_eq!(clock.held(), Some(3_599_990));
        assert_eq!(clock.read(at(3_600_010, 20)), 20);
        assert_eq!(clock.confirm(at(3_600_020, 30)), 3_600_020 - 30);
        assert_eq!(clock.read(at(3_600_025, 35)), 3_600_025);
        assert_eq!(clock.held(), None);
    }

    #[test]
    fn a_store_that_was_off_for_a_day_adopts_and_one_from_2050_does_not() {
        let day = 24 * 3_600_000;
        assert_eq!(OwnerClock::open(Some(5), at(day, 0)).last(), day);
        let ahead = OwnerClock::open(Some(5), at(8 * day, 0));
        assert_eq!((ahead.last(), ahead.held()), (5, Some(8 * day - 5)));
        assert_eq!(OwnerClock::open(Some(9 * day), at(day, 0)).last(), 9 * day);
    }
}
