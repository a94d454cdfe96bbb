//! Many histories, on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mainspring::planted::Bug;

use crate::counts::Counts;
use crate::history::{self, Outcome};
use crate::plan::Class;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// The seed behind the last.
    pub to: u64,
    /// Only this class, whatever the seed says.
    pub class: Option<Class>,
    /// A bug that is planted.
    pub bug: Option<Bug>,
    /// Threads.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// All counts together.
    pub counts: Counts,
    /// The failure of the lowest seed, if one failed.
    pub failure: Option<Outcome>,
}

/// Runs histories until one fails or all are done.
///
/// # Panics
/// If a thread of it does, which histories do not.
#[must_use]
pub fn run(campaign: &Campaign) -> Report {
    let next = AtomicU64::new(campaign.from);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report { counts: Counts::default(), failure: None });
    std::thread::scope(|scope| {
        for _ in 0..campaign.threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= campaign.to {
                        return;
                    }
                    let outcome = history::run(seed, campaign.class, campaign.bug, false);
                    let mut report = report.lock().expect("no thread panics");
                    report.counts.add(&outcome.counts);
                    let lower = report.failure.as_ref().is_none_or(|f| outcome.seed < f.seed);
                    if outcome.verdict.is_err() && lower {
                        stop.store(true, Ordering::Relaxed);
                        report.failure = Some(outcome);
                    }
                }
            });
        }
    });
    report.into_inner().expect("no thread panics")
}
