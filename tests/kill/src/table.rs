//! What is printed.

use std::fmt;

use crate::{
    campaign::Totals,
    check::{Faults, Standing},
};

/// The head of a campaign's table. Counts behind "all acked" are those of the whole campaign so far.
pub(crate) const HEAD: &str = concat!(
    " kill       ms in flight   acked | all acked    found  waiting lost doubled early other |",
    "  fired pending due down restart ms again"
);

/// One kill.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Row {
    /// Its number.
    pub(crate) kill: u32,
    /// When, by the wall clock.
    pub(crate) kill_ms: i64,
    /// When, since the campaign's start.
    pub(crate) moment_ms: u64,
    /// Requests in flight.
    pub(crate) in_flight: u64,
    /// Messages and retries acknowledged since the last kill.
    pub(crate) acknowledged: u64,
    /// The state after it.
    pub(crate) standing: Standing,
    /// What is wrong so far.
    pub(crate) faults: Faults,
    /// Timers that had fired since the last kill.
    pub(crate) fired: u64,
    /// From start to first answer.
    pub(crate) restart_ms: u64,
    /// Kills in the middle of the start.
    pub(crate) again: u32,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (standing, faults) = (&self.standing, &self.faults);
        write!(
            f,
            "{:>5} {:>8} {:>9} {:>7} | {:>9} {:>8} {:>8} {:>4} {:>7} {:>5} {:>5} | {:>6} {:>7} {:>8} {:>10} {:>5}",
            self.kill,
            self.moment_ms,
            self.in_flight,
            self.acknowledged,
            standing.acknowledged,
            standing.found,
            standing.waiting,
            faults.lost,
            faults.doubled,
            faults.early,
            faults.other,
            self.fired,
            standing.pending,
            standing.due_down,
            self.restart_ms,
            self.again,
        )
    }
}

/// Prints a campaign's totals.
pub(crate) fn totals(commit: &str, totals: &Totals) {
    let kills = totals.kills;
    let (standing, faults) = (&totals.row.standing, &totals.faults);
    println!(
        "total {commit}: {kills} kills (and {} in the middle of a start): acknowledged {}, found {}, lost {}, \
         doubled {}, early {}, other {}",
        totals.again,
        standing.acknowledged,
        standing.found,
        faults.lost,
        faults.doubled,
        faults.early,
        faults.other
    );
    println!(
        "      at a kill at least {} in flight and {} acknowledged since the last; timers fired before a kill {}, \
         pending at one {}, due while nobody ran {}",
        totals.in_flight_min, totals.acknowledged_min, totals.timers[0], totals.timers[1], totals.timers[2]
    );
    println!(
        "      retries {}, dead letters {}; answers cut off {}, messages of these found {}; restart {} ms on average, {} at most;\n      \
         files at the kills: {} segments, {} index files ({} of them trimmed since), {} bases, {} due buckets\n",
        totals.retries[0],
        totals.retries[1],
        totals.unknown,
        standing.unanswered,
        totals.restart_ms[1] / u64::from(kills.max(1)),
        totals.restart_ms[0],
        totals.files.segments,
        totals.files.indexes,
        totals.files.trimmed,
        totals.files.bases,
        totals.files.buckets
    );
}
