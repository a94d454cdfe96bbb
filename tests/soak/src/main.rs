//! Mixed load on a real broker for a given time: nothing may be lost, doubled or early, and memory must stay where it is.
//!
//! ```text
//! cargo run --release -p mainspring-soak -- --minutes 60 --out /tmp/soak
//! ```
//!
//! `OUT/samples.csv` has what the broker took every few seconds, `OUT/soak.svg` the curves. The exit code is 1 if
//! anything was lost, doubled or early, if a client failed, or if anonymous memory grew by more than is allowed.

mod consume;
mod disturb;
mod ledger;
mod picture;
mod process;
mod produce;
mod sample;

// The same client as the kill campaign's: bytes on the wire, none of the broker's own ways.
#[path = "../../kill/src/chance.rs"]
mod chance;
#[path = "../../kill/src/clock.rs"]
mod clock;
#[path = "../../kill/src/wire.rs"]
#[allow(dead_code, reason = "the kill campaign reads more of an answer")]
mod wire;

use std::{
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicU8, Ordering},
    thread::{Scope, ScopedJoinHandle, scope},
    time::Duration,
};

use clap::Parser;

use clock::{elapsed_ms, pause};
use consume::{GROUPS, Reader, retry_topic};
use ledger::{Ledger, Sums};
use process::{Beside, Broker};
use produce::{DELAY_MAX_MS, PRODUCERS, Producer, QUEUES, TOPICS};
use sample::{HEADER, Sample, growth_per_hour};

/// Below so many minutes memory is still filling what it keeps, so its growth says nothing.
const TELLING_MINUTES: f64 = 20.0;

/// Runs a broker under mixed load and says what it lost and what it took.
#[derive(Debug, Parser)]
struct Args {
    /// How long messages are sent
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Where data, samples and the picture go
    #[arg(long, default_value = "soak")]
    out: PathBuf,
    /// The broker, instead of the one beside this program
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Messages a second, all producers together
    #[arg(long, default_value_t = 1_500)]
    rate: u64,
    /// When a message counts as kept
    #[arg(long, default_value = "flushed")]
    commit: String,
    /// Seconds between two samples
    #[arg(long, default_value_t = 5)]
    every: u64,
    /// Most that anonymous memory may grow by in an hour, MiB, by its second half; looked at from 20 minutes on
    #[arg(long, default_value_t = 16.0)]
    growth: f64,
    /// A shell command to run beside, with `SOAK_NAMESRV` and `SOAK_BROKER` set; it must not fail. May be repeated
    #[arg(long, value_name = "COMMAND")]
    also: Vec<String>,
    /// What chance follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What all clients share.
pub(crate) struct Soak {
    pub(crate) broker: SocketAddr,
    pub(crate) names: SocketAddr,
    pub(crate) ledger: Ledger,
    pub(crate) seed: u64,
    /// Messages a second of each producer.
    pub(crate) pace: u64,
    phase: AtomicU8,
}

impl Soak {
    /// Whether messages are still sent.
    pub(crate) fn goes_on(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == 0
    }

    /// Whether everything that was sent has come, or nobody waits any more.
    pub(crate) fn is_done(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == 2
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mainspring-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<bool> {
    fs::create_dir_all(&args.out)?;
    if args.out.join("data").exists() {
        return Err(io::Error::other(format!("{} holds data already: name another", args.out.display())));
    }
    let program = args.bin.clone().map_or_else(beside, Ok)?;
    let mut broker = Broker::start(&program, &args.out, &args.commit)?;
    let soak = Soak {
        broker: broker.broker,
        names: broker.names,
        ledger: Ledger::default(),
        seed: args.seed,
        pace: (args.rate / u64::from(PRODUCERS)).max(1),
        phase: AtomicU8::new(0),
    };
    let also =
        args.also.iter().enumerate().map(|(n, text)| {
            Beside::start(text, &broker, File::create(args.out.join(format!("also-{n}.log")))?)
        });
    let also: Vec<Beside> = also.collect::<io::Result<_>>()?;
    println!("{} for {} min, broker {}", program.display(), args.minutes, broker.broker);
    let samples = scope(|threads| drive(threads, args, &soak, &broker))?;
    also.into_iter().filter_map(Beside::end).for_each(|failed| soak.ledger.find(failed));
    if let Err(error) = broker.stop() {
        soak.ledger.find(error.to_string());
    }
    report(args, &soak, &samples)
}

/// The broker that was built with this program.
fn beside() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name("mainspring");
    if program.exists() {
        return Ok(program);
    }
    let text = "build the broker first: cargo build --release -p mainspring-broker, or name one with --bin";
    Err(io::Error::other(text))
}

/// Starts all clients, samples until all is over, and stops them.
fn drive<'s>(
    threads: &'s Scope<'s, '_>,
    args: &Args,
    soak: &'s Soak,
    broker: &Broker,
) -> io::Result<Vec<Sample>> {
    let mut clients = Vec::new();
    let mut start = |name: String, client: Box<dyn FnOnce() -> io::Result<()> + Send + 's>| {
        clients.push((name, threads.spawn(client)));
    };
    for number in 0..PRODUCERS {
        start(format!("producer {number}"), Box::new(move || Producer::new(soak, number).run()));
    }
    for (group, name) in GROUPS.iter().enumerate() {
        for topic in TOPICS {
            for queue in 0..QUEUES {
                let reader = Reader { soak, group, topic: topic.to_owned(), queue };
                start(format!("{name} {topic} {queue}"), Box::new(move || reader.run()));
            }
        }
    }
    let retries = Reader { soak, group: GROUPS.len() - 1, topic: retry_topic(), queue: 0 };
    start(String::from("retries"), Box::new(move || retries.run()));
    start(String::from("locks"), Box::new(move || disturb::locks(soak)));
    start(String::from("questions"), Box::new(move || disturb::questions(soak)));
    start(String::from("churn"), Box::new(move || disturb::churn(soak)));
    let samples = watch(args, soak, broker, &clients);
    soak.enter(2);
    for (name, client) in clients {
        match client.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => soak.ledger.find(format!("{name}: {error}")),
            Err(_) => soak.ledger.find(format!("{name} panicked")),
        }
    }
    samples
}

/// Samples while messages are sent, and until they have all come.
fn watch(
    args: &Args,
    soak: &Soak,
    broker: &Broker,
    clients: &[(String, ScopedJoinHandle<'_, io::Result<()>>)],
) -> io::Result<Vec<Sample>> {
    let mut table = File::create(args.out.join("samples.csv"))?;
    writeln!(table, "{HEADER}")?;
    let (begun, mut samples, mut before) = (elapsed_ms(), Vec::new(), (elapsed_ms(), Sums::default()));
    let end = Duration::from_secs_f64(args.minutes * 60.0).as_millis();
    let end_ms = u64::try_from(end).unwrap_or(u64::MAX / 2);
    let wait_max_ms = end_ms + DELAY_MAX_MS.unsigned_abs() + 60_000;
    loop {
        pause(args.every * 1_000);
        let now = elapsed_ms();
        let sample = look(soak, broker, &mut before, now - begun)?;
        sample.write(&mut table)?;
        if soak.goes_on() {
            samples.push(sample);
            fs::write(args.out.join("soak.svg"), picture::draw(&samples, &title(args)))?;
        }
        let failed = clients.iter().any(|(_, client)| client.is_finished()) && soak.goes_on();
        if now - begun >= end_ms || failed {
            soak.enter(1);
            let missing = soak.ledger.missing(GROUPS.len());
            if failed || missing == (0, 0) && now - begun > end_ms + 5_000 || now - begun > wait_max_ms {
                return Ok(samples);
            }
        }
    }
}

fn look(soak: &Soak, broker: &Broker, before: &mut (u64, Sums), since_ms: u64) -> io::Result<Sample> {
    let (now, sums) = (elapsed_ms(), soak.ledger.sums());
    let seconds = (now - before.0) as f64 / 1_000.0;
    let late = soak.ledger.take_late();
    let at = |percent: usize| late.get(late.len() * percent / 100).or(late.last()).copied().unwrap_or(0);
    let sample = Sample {
        seconds: since_ms as f64 / 1_000.0,
        sent_per_s: (sums.sent - before.1.sent) as f64 / seconds,
        received_per_s: (sums.received - before.1.received) as f64 / seconds,
        late_ms: [at(50), at(99), at(100)],
        ..Sample::of(broker.pid(), &broker.data)?
    };
    *before = (now, sums);
    Ok(sample)
}

fn title(args: &Args) -> String {
    format!("mainspring serve --commit {}, {} messages a second wanted", args.commit, args.rate)
}

fn report(args: &Args, soak: &Soak, samples: &[Sample]) -> io::Result<bool> {
    let (sums, (lost, retries)) = (soak.ledger.sums(), soak.ledger.missing(GROUPS.len()));
    let growth = growth_per_hour(samples, |sample| sample.anonymous_kib as f64) / 1024.0;
    let most = |figure: fn(&Sample) -> u64| samples.iter().map(figure).max().unwrap_or(0);
    println!(
        "sent {}, received {} by {} groups, {} of them timed",
        sums.sent,
        sums.received,
        GROUPS.len(),
        soak.ledger.timed()
    );
    println!("lost {lost}, retries missing {retries}, findings {}", sums.findings);
    soak.ledger.findings().iter().for_each(|finding| println!("  {finding}"));
    println!(
        "anonymous memory: most {} KiB, grows {growth:.1} MiB an hour; mapped files {} KiB, disk {} KiB, {} descriptors, {} threads",
        most(|s| s.anonymous_kib),
        most(|s| s.file_kib),
        most(|s| s.disk_kib),
        most(|s| s.fds),
        most(|s| s.threads),
    );
    println!("see {}", args.out.join("soak.svg").display());
    let grows = args.minutes >= TELLING_MINUTES && growth > args.growth;
    if grows {
        println!("FAILED: anonymous memory grows by more than {} MiB an hour", args.growth);
    }
    let good = sums.sent > 0 && lost == 0 && retries == 0 && sums.findings == 0 && !grows;
    println!("{}", if good { "nothing lost, doubled or early" } else { "FAILED" });
    Ok(good)
}
