//! `mainspring demo`: the main job in half a minute, without any client.
//!
//! A child process appends messages and schedules timers, and says on a pipe what was acknowledged to it. It is
//! killed with SIGKILL while timers are pending; some fall due while nobody runs. Then the store is opened again, the
//! remaining timers fire, and the log is read from its start: what is printed at the end comes from there.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    time::Duration,
};

use mainspring::{
    Ack, Clock, CommitRule, Message, Options, Pending, ReadRequest, Result, Scheduled, Store, SystemClock,
    TagFilter, record::Record,
};

/// How long the child lives, milliseconds.
const ALIVE_MS: u64 = 8_000;
/// How long nobody runs after it was killed, milliseconds.
const DEAD_MS: u64 = 2_000;
/// The longest delay of a timer, milliseconds.
const DELAY_MAX_MS: u64 = 14_000;
/// Appends in flight in the child.
const IN_FLIGHT: usize = 32;
/// The property that says when a timed message is due.
const DUE: &str = "DUE_MS";
const TOPIC: &str = "demo";

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Directory of the store [default: a new one under the system's temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// When a message counts as kept
    #[arg(long, value_enum, default_value = "flushed")]
    commit: crate::cli::config::Commit,
    /// The child process's part
    #[arg(long, hide = true)]
    child: bool,
}

/// Runs the demo.
///
/// # Errors
///
/// A text for the terminal: what failed, or what was lost, doubled or early.
pub fn run(demo: &Demo) -> std::result::Result<(), String> {
    let given = demo.data_dir.clone();
    let dir =
        given.unwrap_or_else(|| std::env::temp_dir().join(format!("mainspring-demo-{}", std::process::id())));
    if demo.child {
        return child(&dir, demo.commit).map_err(|e| e.to_string());
    }
    let result = parent(&dir, demo.commit);
    if demo.data_dir.is_none() {
        let _ = std::fs::remove_dir_all(&dir); // ours, and the system clears its temporary directory anyway
    }
    result
}

fn options(commit: crate::cli::config::Commit) -> Options {
    let commit = match commit {
        crate::cli::config::Commit::Appended => CommitRule::Appended,
        crate::cli::config::Commit::Flushed => CommitRule::Flushed,
    };
    // Small segments, so that rolls, index files and bases happen within seconds.
    Options {
        commit,
        segment_bytes: 1 << 20,
        reserve_bytes: 1 << 20,
        near_horizon_ms: 3_000,
        ..Options::default()
    }
}

enum Sent {
    Message(u64, Pending<Ack>),
    Timer(u64, Pending<Scheduled>),
}

/// Appends and schedules until it is killed, and says what was acknowledged.
fn child(dir: &Path, commit: crate::cli::config::Commit) -> Result<()> {
    let store = Store::open_with(dir, options(commit))?;
    let mut out = std::io::stdout().lock();
    let mut flight = VecDeque::new();
    for n in 0.. {
        if n % 8 == 0 {
            let delay = SystemClock.random() % DELAY_MAX_MS;
            let due = store.now_ms() + i64::try_from(delay).unwrap_or(0);
            let message =
                Message::new(TOPIC, format!("timer {n}")).key(format!("t{n}")).property(DUE, due.to_string());
            flight.push_back(Sent::Timer(n, store.schedule_at(message, due)?));
        } else {
            let message =
                Message::new(TOPIC, format!("message {n} {}", "-".repeat(100))).key(format!("m{n}"));
            flight.push_back(Sent::Message(n, store.append(message)?));
        }
        if flight.len() == IN_FLIGHT {
            for sent in flight.drain(..) {
                // A broken pipe means that the parent is gone; so is the reason to go on.
                let told = match sent {
                    Sent::Message(n, pending) => pending.wait().map(|_| writeln!(out, "m{n}"))?,
                    Sent::Timer(n, pending) => pending.wait().map(|_| writeln!(out, "t{n}"))?,
                };
                if told.is_err() {
                    return Ok(());
                }
            }
            if out.flush().is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn parent(dir: &Path, commit: crate::cli::config::Commit) -> std::result::Result<(), String> {
    println!("A child process sends and schedules; it will be killed with SIGKILL in {} s.", ALIVE_MS / 1000);
    let (acknowledged, killed_ms) = watch_child(dir, commit)?;
    let timers = acknowledged.iter().filter(|id| id.starts_with('t')).count();
    println!(
        "killed. Acknowledged to it: {} messages, {timers} timers. Nobody runs for {} s ...",
        acknowledged.len() - timers,
        DEAD_MS / 1000
    );
    pause(DEAD_MS);
    let store =
        Store::open_with(dir, options(commit)).map_err(|e| format!("cannot open the store again: {e}"))?;
    let report = store.report();
    println!(
        "opened again: {} frames applied, {} bytes walked; {} timers pending",
        report.applied_frames,
        report.walked_bytes,
        store.stats().timers_pending
    );
    let all = BTreeMap::from_iter(acknowledged.iter().map(|id| (id.clone(), Seen::default())));
    let reopened_ms = store.now_ms();
    while store.stats().timers_pending > 0 {
        pause(500);
        println!("  {:>6} timers pending", store.stats().timers_pending);
    }
    let outcome = read_log(&store, all).map_err(|e| format!("cannot read the log: {e}"))?;
    store.close().map_err(|e| format!("the store did not close: {e}"))?;
    outcome.print(killed_ms, reopened_ms);
    if outcome.lost + outcome.doubled + outcome.early > 0 {
        return Err(String::from("messages were lost, doubled or early: this must not happen"));
    }
    Ok(())
}

/// Runs the child, kills it, and gives what it said and when it was killed.
fn watch_child(
    dir: &Path,
    commit: crate::cli::config::Commit,
) -> std::result::Result<(Vec<String>, i64), String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let rule = if commit == crate::cli::config::Commit::Appended { "appended" } else { "flushed" };
    let mut child = Command::new(program)
        .args(["demo", "--child", "--commit", rule, "--data-dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start the child process: {e}"))?;
    let pipe = child.stdout.take().ok_or("the child has no output")?;
    let (send, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(std::result::Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let mut acknowledged = Vec::new();
    let (start, mut told) = (elapsed_ms(), 0);
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => acknowledged.push(line),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(String::from("the child process ended by itself; see its message above"));
            }
        }
        let passed = elapsed_ms() - start;
        if passed / 1000 > told {
            told = passed / 1000;
            println!("  {told} s: {} acknowledged", acknowledged.len());
        }
        if passed >= ALIVE_MS {
            break;
        }
    }
    child.kill().map_err(|e| format!("cannot kill the child: {e}"))?;
    let killed_ms = SystemClock.now().wall_ms;
    let _ = child.wait(); // killed: its status says nothing
    let _ = reader.join(); // ends with the pipe
    // A last line that the kill cut short is no acknowledgement.
    acknowledged.extend(lines.try_iter().filter(|line| line.len() > 1));
    Ok((acknowledged, killed_ms))
}

#[derive(Debug, Default, Clone)]
struct Seen {
    times: u32,
}

/// What the log says.
#[derive(Debug, Default)]
struct Outcome {
    acknowledged: usize,
    found: usize,
    unacknowledged: usize,
    lost: usize,
    doubled: usize,
    early: usize,
    /// Of each fired timer: when it was due and when it was stored, milliseconds.
    fired: Vec<(i64, i64)>,
}

/// Reads every queue from its first offset and compares it with what was acknowledged.
fn read_log(store: &Store, mut all: BTreeMap<String, Seen>) -> Result<Outcome> {
    let mut outcome = Outcome { acknowledged: all.len(), ..Outcome::default() };
    let filter = TagFilter::all();
    let queues = store.topic(TOPIC).map_or(0, |t| t.read_queues);
    for queue in 0..queues {
        let mut from = 0;
        loop {
            let request = ReadRequest {
                topic: TOPIC,
                queue,
                from,
                max_records: 256,
                max_bytes: 1 << 20,
                filter: &filter,
            };
            let read = store.read(&request)?;
            for bytes in read.records.iter() {
                let Ok(record) = Record::parse(bytes) else { continue };
                if let Some(due) = record.property(DUE).and_then(|due| due.parse().ok()) {
                    outcome.fired.push((due, record.store_ms()));
                }
                let key = record.keys().next().unwrap_or_default().to_owned();
                let known = all.contains_key(&key);
                all.entry(key).or_default().times += 1;
                outcome.unacknowledged += usize::from(!known);
            }
            if read.next >= read.max || read.next == from {
                break;
            }
            from = read.next;
        }
    }
    outcome.found = all.values().filter(|s| s.times > 0).count() - outcome.unacknowledged;
    outcome.lost = all.values().filter(|s| s.times == 0).count();
    outcome.doubled = all.values().filter(|s| s.times > 1).count();
    outcome.early = outcome.fired.iter().filter(|(due, stored)| stored < due).count();
    Ok(outcome)
}

impl Outcome {
    fn print(&self, killed_ms: i64, reopened_ms: i64) {
        let late = |select: &dyn Fn(i64) -> bool| {
            let mut late: Vec<i64> =
                self.fired.iter().filter(|(due, _)| select(*due)).map(|(d, s)| s - d).collect();
            late.sort_unstable();
            let at =
                |percent: usize| late.get(late.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
            (late.len(), at(50), at(99), at(100))
        };
        println!("\nRead from the log:");
        println!("  acknowledged {:>8}", self.acknowledged);
        println!("  found        {:>8}", self.found);
        println!("  lost         {:>8}", self.lost);
        println!("  doubled      {:>8}", self.doubled);
        println!("  early        {:>8}", self.early);
        println!("  in the log, but its answer was cut off by the kill: {}", self.unacknowledged);
        println!("\nTimers, late by ms       fired      p50      p99      max");
        let rows: [(&str, &dyn Fn(i64) -> bool); 3] = [
            ("due before the kill", &|due| due < killed_ms),
            ("due while nobody ran", &|due| (killed_ms..reopened_ms).contains(&due)),
            ("due after the reopen", &|due| due >= reopened_ms),
        ];
        for (name, select) in rows {
            let (count, p50, p99, max) = late(select);
            println!("  {name:<22} {count:>6} {p50:>8} {p99:>8} {max:>8}");
        }
    }
}

fn elapsed_ms() -> u64 {
    SystemClock.now().elapsed_ns / 1_000_000
}

/// Lets time go by; nobody sends on this channel.
fn pause(ms: u64) {
    let (_open, never) = channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(ms));
}
