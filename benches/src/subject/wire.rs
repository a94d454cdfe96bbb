//! Sends and pulls through sockets, against a server that reads the same frames and has its answers at hand.

use mainspring::{CommitRule, Wait};

use crate::Result;
use crate::bed::{QUEUES, warm};
use crate::measure::process_cpu;
use crate::wire::echo::Echo;
use crate::wire::frames::{pull, sends};
use crate::wire::generator::{Generator, Pattern, ask};
use crate::wire::served::Served;
use crate::workload::Workload;

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Requests a second.
    pub per_s: f64,
    /// Processor time of the server a request, microseconds, the store's threads and the system's part included.
    pub server_us: f64,
    /// The generator's.
    pub generator_us: f64,
}

/// Asks once more than is timed: a tenth, so that both sides are warm.
fn run(generator: &mut Generator, requests: usize) -> Result<Done> {
    generator.run(warming(requests))?;
    let before = process_cpu();
    let timing = generator.run(requests)?;
    let server = (process_cpu() - before).saturating_sub(timing.cpu);
    #[expect(clippy::cast_precision_loss, reason = "figures, not accounts")]
    let each_us = |time: std::time::Duration| time.as_secs_f64() * 1e6 / requests as f64;
    Ok(Done { per_s: timing.per_s(requests), server_us: each_us(server), generator_us: each_us(timing.cpu) })
}

/// Requests before those that are timed.
fn warming(requests: usize) -> usize {
    requests / 10
}

/// Different requests of each connection.
const REQUESTS: usize = 32;

fn segment_bytes(load: &Workload) -> u64 {
    // Properties and topic come to some 200 bytes more.
    ((load.body_bytes as u64 + 600) * load.messages as u64 * 5 / 2)
        .next_multiple_of(1 << 20)
        .clamp(1 << 20, 1 << 30)
}

/// Sends the workload to the broker.
///
/// # Errors
/// The system's or the store's; messages that are missing afterwards.
pub fn ours(load: &Workload, pattern: Pattern, commit: CommitRule) -> Result<Done> {
    let served = Served::start(commit, segment_bytes(load))?;
    let frames = sends(load, QUEUES, REQUESTS);
    let mut generator = Generator::connect(served.address, pattern, &frames)?;
    let done = run(&mut generator, load.messages)?;
    drop(generator);
    served.bed.settle();
    let (count, sent) = (served.bed.count(), load.messages + warming(load.messages));
    if count != sent as u64 {
        return Err(format!("{count} of {sent} messages are visible").into());
    }
    served.bed.store.clone().abandon();
    Ok(done)
}

/// Sends the same frames to a server that answers what the broker would, and does nothing else.
///
/// # Errors
/// The system's.
pub fn reference(load: &Workload, pattern: Pattern) -> Result<Done> {
    let frames = sends(load, QUEUES, REQUESTS);
    let echo = Echo::start(&vec![send_answer(load)?; 64])?;
    run(&mut Generator::connect(echo.address, pattern, &frames)?, load.messages)
}

/// What the broker answers to a send of the workload.
fn send_answer(load: &Workload) -> Result<Vec<u8>> {
    let served = Served::start(CommitRule::Appended, 1 << 20)?;
    let answer = ask(served.address, &sends(load, QUEUES, 1)[0])?;
    served.bed.store.clone().abandon();
    Ok(answer)
}

/// A broker with messages to pull, and a server that has the answers in memory.
#[derive(Debug)]
pub struct Pulls {
    served: Served,
    echo: Echo,
    frames: Vec<Vec<u8>>,
    answer_bytes: usize,
}

/// Messages of a pull.
pub const PULLED: usize = 32;

impl Pulls {
    /// Sends the workload and pulls each of its messages once.
    ///
    /// # Errors
    /// The system's or the store's.
    pub fn new(load: &Workload) -> Result<Self> {
        let served = Served::start(CommitRule::Appended, segment_bytes(load))?;
        warm(served.bed.dir.path(), 64 << 20)?;
        served.bed.append(load, 0..load.messages, 1, Wait::Appended)?;
        served.bed.settle();
        let each = load.messages as u64 / u64::from(QUEUES) / PULLED as u64;
        let frames: Vec<_> = (0..each)
            .flat_map(|i| (0..QUEUES).map(move |queue| (queue, i * PULLED as u64)))
            .map(|(queue, from)| pull(load.topic, queue, from, 1000))
            .collect();
        let answers = frames.iter().map(|frame| ask(served.address, frame)).collect::<Result<Vec<_>>>()?;
        let answer_bytes = answers.first().map_or(0, Vec::len);
        if answer_bytes < PULLED * load.body_bytes {
            return Err(format!("a pull brings {answer_bytes} bytes").into());
        }
        Ok(Self { echo: Echo::start(&answers)?, served, frames, answer_bytes })
    }

    /// Bytes of an answer.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Pulls so often from the broker.
    ///
    /// # Errors
    /// The system's.
    pub fn ours(&self, pattern: Pattern, pulls: usize) -> Result<Done> {
        run(&mut Generator::connect(self.served.address, pattern, &self.frames)?, pulls)
    }

    /// The same from memory.
    ///
    /// # Errors
    /// The system's.
    pub fn reference(&self, pattern: Pattern, pulls: usize) -> Result<Done> {
        run(&mut Generator::connect(self.echo.address, pattern, &self.frames)?, pulls)
    }
}
