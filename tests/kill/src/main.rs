//! Kills a broker with SIGKILL at random moments under load, starts it again, reads everything back by pull, and
//! compares it with a journal of its own: acknowledged, found, lost, doubled, early.
//!
//! The same command first runs controls: brokers with a known bug, or that are tampered with. A checker that does not
//! report those has no result to give.
//!
//! ```text
//! cargo run --release -p mainspring-kill -- --kills 50 --commit both
//! ```

mod campaign;
mod chance;
mod check;
mod clock;
mod control;
mod journal;
mod load;
mod process;
mod programs;
mod readback;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use mainspring::{Clock, SystemClock};

use crate::{
    campaign::{Campaign, Until},
    process::Setup,
};

/// Kills a broker again and again and compares what it acknowledged with what it kept.
#[derive(Debug, Parser)]
#[command(name = "mainspring-kill")]
struct Args {
    /// Kills for each commit rule
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Commit rules to run under
    #[arg(long, value_enum, default_value = "both")]
    commit: Rules,
    /// Bytes of a log segment; small ones roll often
    #[arg(long, default_value = "256KiB", value_name = "SIZE")]
    segment_bytes: String,
    /// Skip the controls, to look into a failure; there is no result then
    #[arg(long, hide = true)]
    no_control: bool,
    /// Seed of all choices; threads and the kill's effect differ from run to run all the same
    #[arg(long)]
    seed: Option<u64>,
    /// The broker to kill [default: built from this workspace]
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// The broker with planted bugs, for the controls [default: built from this workspace]
    #[arg(long, value_name = "PATH")]
    planted_bin: Option<PathBuf>,
}

/// Age from which the broker trims in the campaigns that have it do so, milliseconds: two rounds and more.
const RETENTION_MS: i64 = 15_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rules {
    Appended,
    Flushed,
    Both,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mainspring-kill: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<bool> {
    let seed = args.seed.unwrap_or_else(|| SystemClock.random());
    let program = args.bin.clone().map_or_else(programs::real, Ok)?;
    let planted = args.planted_bin.clone().map_or_else(programs::planted, Ok)?;
    println!("seed {seed}, broker {}", program.display());
    if args.no_control {
        println!("no control: no result");
    } else if !control::all(&program, &planted, seed)? {
        println!("control not found: no result");
        return Ok(false);
    }
    let rules: &[&'static str] = match args.commit {
        Rules::Appended => &["appended"],
        Rules::Flushed => &["flushed"],
        Rules::Both => &["appended", "flushed"],
    };
    let mut good = true;
    for commit in rules {
        for retention_ms in [None, Some(RETENTION_MS)] {
            good &= one(args, (commit, retention_ms), &program, seed)?;
        }
    }
    if args.no_control {
        return Ok(false);
    }
    println!("{}", if good { "nothing lost, doubled or early" } else { "FAILED: see the findings above" });
    Ok(good)
}

/// The campaign under one commit rule. Keeps the directory where something is wrong.
fn one(
    args: &Args,
    (commit, retention_ms): (&'static str, Option<i64>),
    program: &std::path::Path,
    seed: u64,
) -> io::Result<bool> {
    let name = retention_ms.map_or(commit.to_owned(), |ms| format!("{commit}, trimmed after {ms} ms"));
    println!("\ncommit {name}");
    let (kills, until) = match retention_ms {
        None => (args.kills, Until::Done),
        Some(_) => (args.kills.div_ceil(2), Until::Trimmed),
    };
    let dir = tempfile::Builder::new().prefix("mainspring-kill-").tempdir()?;
    let setup = Setup {
        program: program.to_owned(),
        commit,
        segment_bytes: args.segment_bytes.clone(),
        retention_ms,
        planted: None,
        hurry: 1,
    };
    let result = Campaign::start(setup, dir.path(), seed).and_then(|mut campaign| {
        let totals = campaign.run(kills, until)?;
        Ok((totals, campaign.checker.findings))
    });
    let (totals, findings) = match result {
        Ok(result) => result,
        Err(error) => {
            return Err(io::Error::new(error.kind(), format!("{error}\nkept: {}", dir.keep().display())));
        }
    };
    table::totals(&name, &totals);
    findings.iter().for_each(|finding| println!("  {finding}"));
    if !totals.is_telling(retention_ms.is_some()) {
        println!(
            "the load was too small, or the store did not roll, copy timers and trim as it was to: no result"
        );
        return Ok(false);
    }
    let good = totals.faults.total() == 0 && totals.row.standing.found == totals.row.standing.acknowledged;
    if !good {
        println!("kept: {}", dir.keep().display());
    }
    Ok(good)
}
