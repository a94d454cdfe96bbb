//! What a seed is a history of: its class, its store's options and how often what happens.

use mainspring::{CommitRule, Options};

use crate::rng::Rng;

/// What kind of trouble a history has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Power cuts, kills and clean stops, also within operations and recovery.
    Crash,
    /// Wall clocks that step.
    Clock,
    /// A disk that is full now and then.
    Full,
    /// Flushes that fail.
    Flush,
    /// Calls other than flushes that fail.
    Eio,
    /// Flushes that say they are done and are not, and then a power cut.
    Lie,
    /// Damage to durable bytes at the end.
    Damage,
    /// One of the purpose-made scenarios.
    Scenario,
}

impl Class {
    /// All of them, with the name each has on the command line.
    pub const ALL: [(&'static str, Self); 8] = [
        ("crash", Self::Crash),
        ("clock", Self::Clock),
        ("full", Self::Full),
        ("flush", Self::Flush),
        ("eio", Self::Eio),
        ("lie", Self::Lie),
        ("damage", Self::Damage),
        ("scenario", Self::Scenario),
    ];

    /// The class of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 24 {
            0..=9 => Self::Crash,
            10 | 11 => Self::Clock,
            12 | 13 => Self::Full,
            14 | 15 => Self::Flush,
            16..=18 => Self::Damage,
            19 | 20 => Self::Eio,
            21 | 22 => Self::Lie,
            _ => Self::Scenario,
        }
    }
}

/// What happens in a history.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its class.
    pub class: Class,
    /// How often the store is opened.
    pub lives: u64,
    /// Steps of a life, at most.
    pub steps: u64,
    /// The rule, where it does not change.
    pub rule: CommitRule,
    /// Whether the rule changes now and then.
    pub rule_changes: bool,
    /// How lazily flushes come: one in so many chances.
    pub flush_every: u64,
    /// One in so many ends of a life is a power cut; the others are kills and stops.
    pub options: Options,
    /// How many crashes strike within an operation, in percent.
    pub inside: u64,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(class: Class, rng: &mut Rng) -> Self {
        let rule = *rng.pick(&[CommitRule::Flushed, CommitRule::Flushed, CommitRule::Appended]);
        let segment_bytes = *rng.pick(&[64 << 10, 64 << 10, 64 << 10, 128 << 10]);
        // Segments of more than one reservation, so that there are reservations to fail.
        let segment_bytes = if class == Class::Eio { 128 << 10 } else { segment_bytes };
        let full = class == Class::Full;
        let options = Options {
            commit: rule,
            segment_bytes,
            reserve_bytes: 64 << 10,
            message_bytes_max: 8 << 10,
            unflushed_bytes_max: *rng.pick(&[64 << 10, 64 << 20, 64 << 20, 64 << 20]),
            flush_interval_ms: *rng.pick(&[20, 500, 5_000]),
            retention_ms: *rng.pick(&[None, Some(2_000), Some(60_000)]),
            retention_bytes: *rng.pick(&[None, Some(96 << 10), Some(160 << 10), Some(320 << 10)]),
            near_horizon_ms: *rng.pick(&[0, 200, 2_000]),
            fire_reserve_bytes: if full { *rng.pick(&[0, 64 << 10, 256 << 10]) } else { 0 },
            default_queues: u32::try_from(rng.range(1, 4)).unwrap_or(1),
            level_delays_ms: vec![20, 100, 500, 2_000, 10_000, 60_000],
            attempts_max: 2,
            once_window_ms: *rng.pick(&[300, 5_000, 60_000]),
            threads: false,
            ..Options::default()
        };
        Self {
            class,
            lives: rng.range(8, 14),
            steps: *rng.pick(&[20, 60, 120]),
            rule,
            rule_changes: rng.one_in(4),
            flush_every: *rng.pick(&[2, 4, 10, 40]),
            options,
            inside: *rng.pick(&[10, 40, 80]),
        }
    }
}
