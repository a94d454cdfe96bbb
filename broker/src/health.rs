//! Whether the broker lives, has started, and should be given work.

use std::{sync::Arc, time::Duration};

use mainspring::Stats;
use parking_lot::Mutex;
use serde::Serialize;

use crate::broker::Broker;

/// How far the opening of the store is; all absent until the log's end is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Steps {
    /// What is done to the bytes.
    pub part: Option<String>,
    /// So many of them are done.
    pub done_bytes: Option<u64>,
    /// Of so many.
    pub to_do_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default)]
enum Stage {
    #[default]
    Opening,
    Serving(Arc<Broker>, Duration),
    Stopping(Arc<Broker>, Duration),
    Closing,
}

/// The state of the process, for those who watch it from outside.
#[derive(Debug, Default)]
pub struct Health {
    stage: Mutex<Stage>,
    steps: Arc<Mutex<Steps>>,
}

/// An answer to somebody who watches.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Whether all is well.
    pub ok: bool,
    /// What this part of the process is doing.
    pub state: &'static str,
    /// Why not all is well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What an operator should look at although the broker serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How far the start is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Steps>,
}

impl Verdict {
    fn well(state: &'static str) -> Self {
        Self { ok: true, state, reasons: Vec::new(), warnings: Vec::new(), progress: None }
    }

    fn not_yet(state: &'static str, reason: &str) -> Self {
        Self { ok: false, reasons: vec![reason.to_owned()], ..Self::well(state) }
    }
}

impl Health {
    /// A process that opens its store; `steps` says how far it is.
    #[must_use]
    pub fn opening(steps: Arc<Mutex<Steps>>) -> Self {
        Self { stage: Mutex::default(), steps }
    }

    /// The store is open and clients are served; opening took so long.
    pub fn serving(&self, broker: &Arc<Broker>, opened_in: Duration) {
        *self.stage.lock() = Stage::Serving(Arc::clone(broker), opened_in);
    }

    /// The broker is told to stop; it still serves those who are there.
    pub fn stopping(&self) {
        let mut stage = self.stage.lock();
        if let Stage::Serving(broker, opened_in) = &*stage {
            *stage = Stage::Stopping(Arc::clone(broker), *opened_in);
        }
    }

    /// Nobody is connected any more; the store is being closed, so lets go of it.
    pub fn closing(&self) {
        *self.stage.lock() = Stage::Closing;
    }

    /// The broker, while its store is open, and how long opening took.
    #[must_use]
    pub fn broker(&self) -> Option<(Arc<Broker>, Duration)> {
        match &*self.stage.lock() {
            Stage::Opening | Stage::Closing => None,
            Stage::Serving(broker, opened_in) | Stage::Stopping(broker, opened_in) => {
                Some((Arc::clone(broker), *opened_in))
            }
        }
    }

    /// Whether the process lives: it does if it can say so. What the store does is no part of it, for a restart would
    /// only begin its work anew.
    #[must_use]
    pub fn live(&self) -> Verdict {
        Verdict::well("alive")
    }

    /// Whether the store was opened.
    #[must_use]
    pub fn started(&self) -> Verdict {
        if !matches!(&*self.stage.lock(), Stage::Opening) {
            return Verdict::well("started");
        }
        let steps = self.steps.lock().clone();
        Verdict { progress: Some(steps), ..Verdict::not_yet("opening", "the store is being opened") }
    }

    /// Whether new clients should be sent here. May wait for the store's locks.
    #[must_use]
    pub fn ready(&self) -> Verdict {
        let stage = self.stage.lock().clone();
        match stage {
            Stage::Opening => self.started(),
            Stage::Stopping(..) | Stage::Closing => {
                Verdict::not_yet("stopping", "the broker was told to stop")
            }
            Stage::Serving(broker, _) => judge(&broker.store.stats()),
        }
    }
}

fn judge(stats: &Stats) -> Verdict {
    let mut verdict = Verdict::well("serving");
    if let Some(why) = &stats.stopped {
        verdict = Verdict::not_yet("refusing sends", why);
    }
    if stats.full {
        verdict.warnings.push(String::from("the disk is full: sends are refused until there is space again"));
    }
    if let Some(ahead_ms) = stats.clock_held_ms {
        let text = format!("the machine's clock is {ahead_ms} ms ahead and is not followed; timers wait");
        verdict.warnings.push(text);
    }
    if stats.timers_quarantined > 0 {
        let text = format!("{} timers have records that cannot be read", stats.timers_quarantined);
        verdict.warnings.push(text);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_no_death() {
        let steps = Steps { part: Some("checked".into()), done_bytes: Some(1), to_do_bytes: Some(2) };
        let health = Health::opening(Arc::new(Mutex::new(steps.clone())));
        assert!(health.live().ok && !health.started().ok && !health.ready().ok);
        assert_eq!(health.ready().progress, Some(steps));
        health.stopping();
        assert!(health.live().ok && health.broker().is_none());
        health.closing();
        assert!(health.live().ok && health.started().ok && !health.ready().ok);
    }

    #[test]
    fn a_store_that_stopped_is_not_ready_and_says_why() {
        assert!(judge(&Stats::default()).ok);
        let stats = Stats { stopped: Some("a flush failed".into()), ..Stats::default() };
        let verdict = judge(&stats);
        assert_eq!((verdict.ok, verdict.reasons), (false, vec![String::from("a flush failed")]));
        let stats = Stats { full: true, clock_held_ms: Some(5), timers_quarantined: 1, ..Stats::default() };
        let verdict = judge(&stats);
        assert_eq!((verdict.ok, verdict.warnings.len()), (true, 3));
    }
}
