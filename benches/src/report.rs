//! Every row of the report: which subject, with which parameters, against what, and the goal.

mod wire;

use std::time::Duration;

use mainspring::{CommitRule, Wait};

use crate::Result;
use crate::measure::{Figure, Pair, Timing};
use crate::subject::append::{self, Shape};
use crate::subject::read::{Library, Use};
use crate::subject::{durable, reopen, sustained, timers, visibility, wheel};
use crate::table::Row;
use crate::workload::{Workload, bytes};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rounds, ours and the reference's in turn.
    pub rounds: usize,
    /// Only rows whose work contains one of these; all if empty.
    pub only: Vec<String>,
    /// Bytes of bodies that a round of appends writes, roughly.
    pub append_bytes: usize,
    /// Bytes that a sustained round writes, roughly, and bytes of a segment there.
    pub sustained_bytes: (usize, u64),
    /// Durable appends a round for 1, 16 and 64 writers.
    pub durable: [usize; 3],
    /// Messages of visibility rounds and of idle timers.
    pub single: usize,
    /// Messages that are read.
    pub read: usize,
    /// Timers in the wheel.
    pub wheel: usize,
    /// Messages in the log that is opened again.
    pub reopen: usize,
    /// Timers that are scheduled and fired in a round.
    pub timers: usize,
    /// Sends a round by 1, 16 and 64 connections, and by 16 with 16 in flight each.
    pub wire: [usize; 4],
    /// Pulls a round.
    pub pulls: usize,
    /// Timers due in one instant, and how far ahead, milliseconds.
    pub instant: (usize, i64),
}

impl Plan {
    /// What the report measures.
    #[must_use]
    pub fn full() -> Self {
        Self {
            rounds: 5,
            only: Vec::new(),
            append_bytes: 48 << 20,
            sustained_bytes: (512 << 20, 128 << 20),
            durable: [3_000, 30_000, 60_000],
            single: 300,
            read: 150_000,
            wheel: 10_000_000,
            reopen: 400_000,
            timers: 50_000,
            wire: [20_000, 36_000, 36_000, 36_000],
            pulls: 20_000,
            instant: (10_000, 2_000),
        }
    }

    /// The same with sizes that take no time: for tests.
    #[must_use]
    pub fn small() -> Self {
        Self {
            rounds: 1,
            only: Vec::new(),
            append_bytes: 200 << 10,
            sustained_bytes: (2 << 20, 1 << 20),
            durable: [5, 40, 100],
            single: 3,
            read: 500,
            wheel: 1_000,
            reopen: 1_000,
            timers: 1_000,
            wire: [40, 200, 300, 600],
            pulls: 40,
            instant: (100, 500),
        }
    }

    fn wants(&self, work: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| work.contains(part.as_str()))
    }
}

/// Takes each row once it is measured.
type Sink<'a> = &'a mut dyn FnMut(Row);

/// Measures every row that is wanted.
///
/// # Errors
/// The first that fails.
pub fn run(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    append_rows(plan, sink)?;
    sustained_rows(plan, sink)?;
    durable_rows(plan, sink)?;
    visibility_rows(plan, sink)?;
    read_rows(plan, sink)?;
    wheel_rows(plan, sink)?;
    reopen_rows(plan, sink)?;
    cost_rows(plan, sink)?;
    lateness_rows(plan, sink)?;
    wire::rows(plan, sink)
}

fn append_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    for (batch, producers) in [(1, 1), (32, 1), (1, 4)] {
        for body in [128, 1024, 16 << 10] {
            let work = if producers == 1 {
                format!("append, prepared, batch {batch}")
            } else {
                format!("append, prepared, {producers} producers")
            };
            if !plan.wants(&format!("{work}, {}", bytes(body as u64))) || (producers > 1 && body != 1024) {
                continue;
            }
            let load = Workload::new(1, body, plan.append_bytes / (body + 200));
            let shape = Shape { batch, wait: Wait::Appended, producers };
            let one = Shape { producers: 1, ..shape };
            let mut cpu = Pair::default();
            let wall = Pair::rounds(
                plan.rounds,
                |_| {
                    let timing = append::ours(&load, shape)?;
                    cpu.ours.push(timing.per_cpu_s(load.messages));
                    Ok::<_, crate::Error>(timing.per_s(load.messages))
                },
                |_| {
                    let other = if producers == 1 {
                        append::reference(&load, batch)
                    } else {
                        append::ours(&load, one)
                    };
                    let timing = other?;
                    cpu.reference.push(timing.per_cpu_s(load.messages));
                    Ok(timing.per_s(load.messages))
                },
            )?;
            let mut row = Row {
                work,
                sizes: format!("{}, {}", bytes(body as u64), load.name()),
                rule: "appended, appended",
                unit: "M msg/s wall",
                reference: if producers == 1 { "same bytes, mapped" } else { "1 producer" },
                pair: wall,
                scale: 1e6,
                goal: match (batch, producers) {
                    (_, 4) => ">= 0.8",
                    (32, _) => ">= 0.8",
                    _ => ">= 0.7",
                },
            };
            sink(row.clone());
            if producers == 1 {
                (row.unit, row.pair) = ("M msg/s caller's CPU", cpu);
                sink(row);
            }
        }
    }
    Ok(())
}

fn sustained_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    let work = "append, sustained over fresh segments";
    if !plan.wants(work) {
        return Ok(());
    }
    let (total, segment) = plan.sustained_bytes;
    for (body, batch, producers) in [(128, 1, 1), (1024, 1, 1), (1024, 32, 1), (1024, 1, 4)] {
        let load = Workload::new(2, body, total / (body + 200) / 64 * 64);
        let per_s = |timing: Timing| timing.per_s(load.messages);
        let pair = Pair::rounds(
            plan.rounds,
            |_| sustained::ours(&load, batch, producers, segment).map(per_s),
            |_| sustained::reference(&load, batch, segment).map(per_s),
        )?;
        sink(Row {
            work: format!("{work}, batch {batch}, {producers} producers"),
            sizes: format!("{}, segments of {}", load.name(), bytes(segment)),
            rule: "appended, appended",
            unit: "M msg/s wall",
            reference: "same bytes, 1 pwrite a frame, 1 producer",
            pair,
            scale: 1e6,
            goal: if body == 1024 { ">= 0.9, > 1 M/s" } else { ">= 0.9" },
        });
    }
    Ok(())
}

fn durable_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    for (writers, messages) in [1, 16, 64].into_iter().zip(plan.durable) {
        let work = format!("append, flushed, {writers} writers");
        if !plan.wants(&work) {
            continue;
        }
        let load = Workload::new(3, 1024, messages);
        let mut p50 = Pair::default();
        let mut p99 = Pair::default();
        let pair = Pair::rounds(
            plan.rounds,
            |_| {
                let done = durable::ours(&load, writers)?;
                p50.ours.push(done.latency_us.median());
                p99.ours.push(done.latency_us.at(0.99));
                Ok::<_, crate::Error>(done.per_s)
            },
            |_| {
                let done = durable::reference(&load, writers)?;
                p50.reference.push(done.latency_us.median());
                p99.reference.push(done.latency_us.at(0.99));
                Ok(done.per_s)
            },
        )?;
        let row = Row {
            work,
            sizes: load.name(),
            rule: "flushed, committed",
            unit: "k msg/s",
            reference: "same bytes, mapped, group fdatasync",
            pair,
            scale: 1e3,
            goal: ">= 0.95",
        };
        sink(row.clone());
        for (unit, pair) in [("us p50", p50), ("us p99", p99)] {
            sink(Row { unit, pair, scale: 1.0, goal: "-", ..row.clone() });
        }
    }
    Ok(())
}

fn visibility_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    let work = "visible after append";
    if !plan.wants(work) {
        return Ok(());
    }
    let load = Workload::new(4, 1024, plan.single * 10);
    for (wait, gap, rule) in [
        (Wait::Appended, Duration::ZERO, "appended, a reader looks"),
        (Wait::Appended, Duration::from_micros(500), "appended, a reader looks, 0.5 ms apart"),
        (Wait::Committed, Duration::ZERO, "appended, committed"),
    ] {
        let (mut p50, mut p99) = (Pair::default(), Pair::default());
        for _ in 0..plan.rounds {
            let figure = visibility::ours(&load, wait, gap)?;
            p50.ours.push(figure.median());
            p99.ours.push(figure.at(0.99));
        }
        for (unit, pair, goal) in [("us p50", p50, "< 50"), ("us p99", p99, "-")] {
            let (work, sizes) = (work.to_owned(), load.name());
            sink(Row { work, sizes, rule, unit, reference: "-", pair, scale: 1.0, goal });
        }
    }
    Ok(())
}

fn read_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    for (body, most) in [(128, 32), (1024, 32), (1024, 1000)] {
        let work = format!("read in sequence, {most} a read");
        if !plan.wants(&work) {
            continue;
        }
        let load = Workload::new(5, body, plan.read);
        let library = Library::new(&load)?;
        for (how, reference, goal) in [
            (Use::Walk, "walking the same slices", ">= 0.9"),
            (Use::Copy, "memcpy of the same slices", ">= 0.8"),
        ] {
            let (_, bytes) = library.len();
            #[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
            let per_s = |timing: Timing| bytes as f64 / timing.cpu.as_secs_f64();
            let pair = Pair::rounds(
                plan.rounds * 3,
                |_| library.ours(most, how).map(|(timing, _)| per_s(timing)),
                |_| Ok(per_s(library.reference(how).0)),
            )?;
            sink(Row {
                work: format!("{work}, {}", if how == Use::Walk { "zero-copy" } else { "copying" }),
                sizes: load.name(),
                rule: "appended",
                unit: "GiB/s CPU",
                reference,
                pair,
                scale: f64::from(1 << 30),
                goal,
            });
        }
    }
    Ok(())
}

/// One of a timer's costs.
type Part = fn(&wheel::PerTimer) -> Option<f64>;

fn wheel_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    let work = "wheel";
    if !plan.wants(work) {
        return Ok(());
    }
    let (mut ours, mut trees, mut heaps) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..plan.rounds.min(3) {
        let dues = wheel::Dues::new(round as u64, plan.wheel);
        ours.push(wheel::wheel(&dues));
        trees.push(wheel::tree(&dues));
        heaps.push(wheel::heap(&dues));
    }
    let parts: [(&str, &str, Part); 3] = [
        ("insert", "<= 20", |p| Some(p.insert)),
        ("expire", "<= 45", |p| Some(p.expire)),
        ("cancel, random order", "<= 50", |p| p.cancel),
    ];
    for (part, goal, of) in parts {
        for (reference, peers) in [("BTreeSet", &trees), ("BinaryHeap", &heaps)] {
            let figure = |all: &[wheel::PerTimer]| all.iter().filter_map(of).collect::<Figure>();
            sink(Row {
                work: format!("{work}, {part}"),
                sizes: format!("{} timers within 1 h", plan.wheel),
                rule: "in memory",
                unit: "ns CPU",
                reference,
                pair: Pair { ours: figure(&ours), reference: figure(peers) },
                scale: 1.0,
                goal,
            });
        }
    }
    Ok(())
}

fn reopen_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    let work = "reopen after a kill";
    if !plan.wants(work) {
        return Ok(());
    }
    let load = Workload::new(6, 1024, plan.reopen);
    let mut figures = [Figure::default(), Figure::default(), Figure::default()];
    let mut found = String::new();
    for _ in 0..plan.rounds {
        let done = reopen::ours(&load, plan.sustained_bytes.1)?;
        let seconds = done.timing.wall.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
        let [log, walked] = [done.log_bytes, done.report.walked_bytes].map(|b| b as f64 / f64::from(1 << 30));
        figures[0].push(seconds);
        figures[1].push(seconds / log);
        figures[2].push(seconds / walked);
        found = format!(
            "{}; log {log:.2} GiB, walked {walked:.2} GiB in {} segments, {} frames applied",
            load.name(),
            done.report.walked_segments,
            done.report.applied_frames
        );
    }
    let units = [("s", "10 GiB log < 1 s"), ("s per GiB of log", "-"), ("s per GiB walked", "-")];
    for ((unit, goal), ours) in units.into_iter().zip(figures) {
        sink(Row {
            work: work.to_owned(),
            sizes: found.clone(),
            rule: "appended",
            unit,
            reference: "-",
            pair: Pair { ours, reference: Figure::default() },
            scale: 1.0,
            goal,
        });
    }
    Ok(())
}

fn cost_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    for body in [128, 1024] {
        // Below the 64 MiB at which a flush would begin in the middle of one of the three.
        let load = Workload::new(7, body, plan.timers.min((60 << 20) / (3 * (body + 400))));
        if !plan.wants("timer: schedule") && !plan.wants("timer: fire") {
            continue;
        }
        let (mut schedule, mut fire) = (Pair::default(), Pair::default());
        for _ in 0..plan.rounds {
            let costs = timers::costs(&load)?;
            let per = |timing: Timing| timing.per_cpu_s(load.messages);
            for (pair, timing) in [(&mut schedule, costs.schedule), (&mut fire, costs.fire)] {
                pair.ours.push(per(timing));
                pair.reference.push(per(costs.append));
            }
        }
        for (work, pair) in [("timer: schedule", schedule), ("timer: fire", fire)] {
            sink(Row {
                work: format!("{work} and apply, durable in the log"),
                sizes: load.name(),
                rule: "appended, one thread",
                unit: "M msg/s CPU",
                reference: "append and apply",
                pair,
                scale: 1e6,
                goal: ">= 0.5",
            });
        }
    }
    Ok(())
}

fn lateness_rows(plan: &Plan, sink: Sink<'_>) -> Result<()> {
    for (commit, rule) in [(CommitRule::Flushed, "flushed"), (CommitRule::Appended, "appended")] {
        let mut show = |work: &str, sizes: String, unit, ours: Figure, goal| {
            let pair = Pair { ours, reference: Figure::default() };
            sink(Row { work: work.to_owned(), sizes, rule, unit, reference: "-", pair, scale: 1.0, goal });
        };
        let work = "timers due in one instant";
        if plan.wants(work) {
            let (messages, lead_ms) = plan.instant;
            let load = Workload::new(8, 1024, messages);
            let (mut p50, mut last) = (Figure::default(), Figure::default());
            for _ in 0..plan.rounds {
                let late = timers::instant(&load, commit, lead_ms)?;
                p50.push(late.median());
                last.push(late.at(1.0));
            }
            show(work, load.name(), "ms late, median", p50, "-");
            show(work, load.name(), "ms late, last", last, "<= 50");
        }
        let work = "timers on an idle store";
        if plan.wants(work) {
            let load = Workload::new(9, 1024, plan.single / 3);
            let (mut p50, mut p99) = (Figure::default(), Figure::default());
            for _ in 0..plan.rounds {
                let late = timers::idle(&load, commit, 20)?;
                p50.push(late.median());
                p99.push(late.at(0.99));
            }
            show(work, load.name(), "ms late, p50", p50, "engine adds <= 1");
            show(work, load.name(), "ms late, p99", p99, "-");
        }
    }
    Ok(())
}
