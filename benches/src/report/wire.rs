//! Rows of the wire path.

use mainspring::CommitRule;

use super::{Plan, Sink};
use crate::measure::Pair;
use crate::subject::wire::{Done, PULLED, Pulls, ours, reference};
use crate::table::Row;
use crate::wire::generator::Pattern;
use crate::workload::{Workload, bytes};
use crate::{Error, Result};

/// How sends come: connections, and requests in flight of each.
const PATTERNS: [Pattern; 4] = [
    Pattern { connections: 1, in_flight: 1 },
    Pattern { connections: 16, in_flight: 1 },
    Pattern { connections: 64, in_flight: 1 },
    Pattern { connections: 16, in_flight: 16 },
];

/// Both sides' figures, round by round.
#[derive(Default)]
struct Pairs {
    per_s: Pair,
    server_us: Pair,
    generator_us: Pair,
}

impl Pairs {
    fn rounds(
        rounds: usize,
        mut ours: impl FnMut() -> Result<Done>,
        mut reference: impl FnMut() -> Result<Done>,
    ) -> Result<Self> {
        let mut all = Self::default();
        let (server, generator) = (&mut all.server_us, &mut all.generator_us);
        all.per_s = Pair::rounds(
            rounds,
            |_| {
                let done = ours()?;
                server.ours.push(done.server_us);
                generator.ours.push(done.generator_us);
                Ok::<_, Error>(done.per_s)
            },
            |_| {
                let done = reference()?;
                server.reference.push(done.server_us);
                generator.reference.push(done.generator_us);
                Ok(done.per_s)
            },
        )?;
        Ok(all)
    }

    fn show(self, row: &Row, sink: Sink<'_>) {
        sink(Row { pair: self.per_s, ..row.clone() });
        for (unit, pair) in
            [("us of CPU, server", self.server_us), ("us of CPU, generator", self.generator_us)]
        {
            sink(Row { unit, pair, scale: 1.0, goal: "-", ..row.clone() });
        }
    }
}

/// Sends and pulls.
pub(super) fn rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    for (commit, rule, goal) in [
        (CommitRule::Appended, "appended, appended", ">= 0.8"),
        (CommitRule::Flushed, "flushed, committed", "-"),
    ] {
        for (pattern, messages) in PATTERNS.into_iter().zip(plan.wire) {
            let work = format!("broker, send, {rule}, {}", pattern.name());
            if !plan.wants(&work) {
                continue;
            }
            let messages = if commit == CommitRule::Flushed { messages / 4 } else { messages };
            let load = Workload::new(10, 1024, messages);
            let pairs =
                Pairs::rounds(plan.rounds, || ours(&load, pattern, commit), || reference(&load, pattern))?;
            let row = Row {
                work,
                sizes: load.name(),
                rule,
                unit: "k msg/s",
                reference: "echo of the same frames",
                pair: Pair::default(),
                scale: 1e3,
                goal,
            };
            pairs.show(&row, sink);
        }
    }
    pull_rows(plan, sink)
}

fn pull_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    let work = "broker, pull, 32 a request";
    if !plan.wants(work) {
        return Ok(());
    }
    let load = Workload::new(11, 1024, 100 * PULLED);
    let library = Pulls::new(&load)?;
    for connections in [1, 4] {
        let pattern = Pattern { connections, in_flight: 1 };
        let pairs = Pairs::rounds(
            plan.rounds,
            || library.ours(pattern, plan.pulls),
            || library.reference(pattern, plan.pulls),
        )?;
        let row = Row {
            work: format!("{work}, {}", pattern.name()),
            sizes: format!("{} pulls of {}", plan.pulls, bytes(library.answer_bytes() as u64)),
            rule: "appended",
            unit: "k pulls/s",
            reference: "the same answers from memory",
            pair: Pair::default(),
            scale: 1e3,
            goal: ">= 0.7",
        };
        pairs.show(&row, sink);
    }
    Ok(())
}
