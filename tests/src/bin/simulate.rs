//! Runs histories by seed.
//!
//! `simulate --seeds A..B [--bug NAME] [--class NAME] [--trace] [--threads N] [--least N]`, or
//! `simulate --planted [--seeds A..B]` to look for every planted bug, or `simulate --exhaustive` to cut small scripts
//! short at every operation.

use std::process::ExitCode;

use mainspring::planted::{ALL, Bug};
use mainspring_sim::campaign::{self, Campaign, Report};
use mainspring_sim::history;
use mainspring_sim::plan::Class;

struct Arguments {
    campaign: Campaign,
    planted: bool,
    exhaustive: bool,
    trace: bool,
    least: u64,
}

fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) if arguments.exhaustive => exhaustive(arguments.campaign.bug),
        Ok(arguments) if arguments.planted => planted(&arguments),
        Ok(arguments) if arguments.trace => trace(&arguments),
        Ok(arguments) => simulate(&arguments),
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let campaign = Campaign { from: 0, to: 0, class: None, bug: None, threads };
    let mut found = Arguments { campaign, planted: false, exhaustive: false, trace: false, least: 0 };
    let mut words = std::env::args().skip(1);
    let mut seeds = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => seeds = Some(range(&value()?)?),
            "--bug" => found.campaign.bug = Some(bug(&value()?)?),
            "--class" => found.campaign.class = Some(class(&value()?)?),
            "--threads" => found.campaign.threads = value()?.parse().map_err(|e| format!("threads: {e}"))?,
            "--least" => found.least = value()?.parse().map_err(|e| format!("least: {e}"))?,
            "--trace" => found.trace = true,
            "--planted" => found.planted = true,
            "--exhaustive" => found.exhaustive = true,
            _ => return Err(format!("what is {word}?")),
        }
    }
    let default = if found.planted { (0, 300) } else { (0, 1_000) };
    (found.campaign.from, found.campaign.to) = seeds.unwrap_or(default);
    Ok(found)
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let bad = || format!("`{text}` is no seed and no range A..B");
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    match text.split_once("..") {
        Some((from, to)) => Ok((number(from)?, number(to)?)),
        None => number(text).map(|seed| (seed, seed + 1)),
    }
}

fn bug(name: &str) -> Result<Bug, String> {
    let found = ALL.into_iter().find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name));
    found.ok_or_else(|| format!("no bug is called {name}; there are {ALL:?}"))
}

fn class(name: &str) -> Result<Class, String> {
    let found = Class::ALL.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, class)| class).ok_or_else(|| format!("no class is called {name}"))
}

fn told(campaign: &Campaign) -> String {
    let class = Class::ALL.into_iter().find(|(_, class)| Some(*class) == campaign.class);
    let class = class.map_or(String::new(), |(name, _)| format!(" --class {name}"));
    let bug = campaign.bug.map_or(String::new(), |bug| format!(" --bug {bug:?}"));
    format!("{class}{bug}")
}

fn simulate(arguments: &Arguments) -> ExitCode {
    let campaign = &arguments.campaign;
    quiet();
    #[expect(clippy::disallowed_methods, reason = "the rate is of the real machine")]
    let start = std::time::Instant::now();
    let Report { counts, failure } = campaign::run(campaign);
    let seconds = start.elapsed().as_secs_f64();
    for (name, n) in counts.named() {
        println!("{n:>10}  {name}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let (seeds, crashes) = (counts.seeds as f64, counts.crashes() as f64);
    println!("{:.1} s, {:.1} seeds/s, {:.0} crash schedules/s", seconds, seeds / seconds, crashes / seconds);
    if let Some(failure) = failure {
        println!("\nlast steps of seed {}:", failure.seed);
        failure.steps.iter().for_each(|step| println!("  {step}"));
        if let Err(violation) = &failure.verdict {
            println!("\nseed {} breaks {violation}", failure.seed);
        }
        println!("again: simulate --seeds {}{} --trace", failure.seed, told(campaign));
        return ExitCode::FAILURE;
    }
    let missing = counts.too_few(arguments.least);
    if !missing.is_empty() {
        println!("too few: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn trace(arguments: &Arguments) -> ExitCode {
    let campaign = &arguments.campaign;
    let mut code = ExitCode::SUCCESS;
    for seed in campaign.from..campaign.to {
        let outcome = history::run(seed, campaign.class, campaign.bug, true);
        match outcome.verdict {
            Ok(()) => println!("seed {seed} holds, trace {:016x}", outcome.hash),
            Err(violation) => {
                println!("seed {seed} breaks {violation}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn planted(arguments: &Arguments) -> ExitCode {
    quiet();
    let mut code = ExitCode::SUCCESS;
    for bug in ALL {
        let report = campaign::run(&Campaign { bug: Some(bug), ..arguments.campaign });
        match report.failure {
            Some(failure) => {
                let violation = failure.verdict.err().map(|v| v.to_string()).unwrap_or_default();
                let text: String = violation.chars().take(100).collect();
                println!("{:<26} seed {:<5} {text}", format!("{bug:?}"), failure.seed);
            }
            None => {
                println!("{:<26} NOT FOUND in {} seeds", format!("{bug:?}"), report.counts.seeds);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// Power cuts of a crash point, each of which keeps other sectors.
const SUBSETS: u64 = 4;

fn exhaustive(bug: Option<Bug>) -> ExitCode {
    let report = mainspring_sim::exhaustive::run(SUBSETS, bug);
    println!("{} crash points of small scripts, {} histories", report.points, report.runs);
    let Some((name, outcome)) = report.failure else { return ExitCode::SUCCESS };
    outcome.steps.iter().for_each(|step| println!("  {step}"));
    println!("{name} breaks {}", outcome.verdict.err().map(|v| v.to_string()).unwrap_or_default());
    ExitCode::FAILURE
}

/// Panics of the store are caught and told as violations.
fn quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}
