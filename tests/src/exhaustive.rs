//! Small scripts, cut short at every operation of the medium: every crash point, each with a kill and with power
//! cuts that keep different sectors. What chance leaves out for a while is met here in seconds.

use mainspring::planted::Bug;
use mainspring::{CommitRule, Wait};

use crate::Verdict;
use crate::history::{History, Outcome};
use crate::plan::Class;
use crate::rng::Rng;

/// A step of a script; each ends at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A message.
    Append,
    /// A timer, and its fire.
    Fire,
    /// Messages until the segment is full.
    Roll,
    /// Time for the log to be trimmed.
    Trim,
    /// Closed in order and opened again.
    Close,
}

use Step::{Append, Close, Fire, Roll, Trim};

/// The scripts.
pub const SCRIPTS: [&[Step]; 8] = [
    &[Append, Append, Append],
    &[Append, Fire, Append],
    &[Fire, Close, Fire],
    &[Append, Roll, Append],
    &[Fire, Roll, Fire],
    &[Roll, Trim, Append],
    &[Append, Close, Trim, Fire],
    &[Append, Close, Roll, Trim, Close],
];

/// How many runs there were, and the first that broke a property, with where it was cut.
#[derive(Debug, Clone)]
pub struct Report {
    /// Crash points of all scripts and rules together.
    pub points: u64,
    /// Histories.
    pub runs: u64,
    /// The first that failed: script, rule, crash point, sectors.
    pub failure: Option<(String, Outcome)>,
}

/// Runs every script under both rules, with one kill and `subsets` power cuts at each crash point, and with a
/// planted bug or none.
#[must_use]
pub fn run(subsets: u64, bug: Option<Bug>) -> Report {
    mainspring::planted::plant(bug);
    let report = run_all(subsets);
    mainspring::planted::plant(None);
    report
}

fn run_all(subsets: u64) -> Report {
    let mut report = Report { points: 0, runs: 0, failure: None };
    for script in SCRIPTS {
        for rule in [CommitRule::Flushed, CommitRule::Appended] {
            for point in 0.. {
                report.points += 1;
                let mut reached = false;
                for subset in 0..=subsets {
                    report.runs += 1;
                    let (cut, outcome) = History::scripted(script, rule, point, subset);
                    reached |= cut;
                    if outcome.verdict.is_err() {
                        let name = format!("{script:?}, {rule:?}, operation {point}, sectors {subset}");
                        report.failure = Some((name, outcome));
                        return report;
                    }
                }
                if !reached {
                    break;
                }
            }
        }
    }
    report
}

impl History {
    /// A script that is cut short within operation `point`; subset 0 is a kill, the others are power cuts.
    /// Whether it got that far.
    fn scripted(script: &[Step], rule: CommitRule, point: u64, subset: u64) -> (bool, Outcome) {
        let mut history = Self::new(0, Class::Crash, false);
        history.plan.rule_changes = false;
        let options = &mut history.options;
        (options.commit, options.segment_bytes, options.unflushed_bytes_max) = (rule, 64 << 10, 64 << 20);
        (options.near_horizon_ms, options.retention_ms) = (0, None);
        options.retention_bytes = script.contains(&Trim).then_some(1);
        let mut cut = false;
        let verdict = history.play(script, point).and_then(|()| {
            cut = history.backend.is_crashed();
            history.rng = Rng::new(subset);
            history.crash(subset > 0, false)?;
            history.quiesce()
        });
        (cut, history.outcome(verdict))
    }

    fn play(&mut self, script: &[Step], point: u64) -> Verdict {
        self.backend.crash_at(point);
        self.open(false)?;
        for step in script {
            if self.backend.is_crashed() {
                break;
            }
            match step {
                Append => self.plain("t0", 100, Wait::Committed)?,
                Fire => {
                    self.timer("t0", 100, 10)?;
                    self.at_rest()?;
                    self.advance(20);
                }
                Roll => (0..9).try_for_each(|_| self.plain("t0", 7_500, Wait::Appended))?,
                Trim => self.advance(1_100),
                Close => {
                    self.close()?;
                    if !self.backend.is_crashed() {
                        self.model.durable = self.model.durable.max(self.model.end());
                        self.open(false)?;
                    }
                }
            }
            if !self.backend.is_crashed() {
                self.at_rest()?;
            }
        }
        Ok(())
    }
}
