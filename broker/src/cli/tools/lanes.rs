//! Connections that one thread sends over: it waits for whichever is answered next. A thread for each would have the broker
//! wake one with each answer, which costs more than the answer.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use mainspring::{Clock, SystemClock};

use super::{print::Failure, when::now_ms};
use crate::{
    client::{ANSWER_PATIENCE, Answer, Client, Outgoing},
    remoting::{Header, codes::response},
};

/// Longest latency that is told apart, nanoseconds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What one thread, or all of them, did.
pub(super) struct Done {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Sends that were refused for the time being, and repeated.
    pub(super) busy: u64,
    /// Nanoseconds from a send to its answer.
    pub(super) latency: Histogram<u64>,
}

impl Done {
    pub(super) fn new() -> Result<Self, Failure> {
        let latency = Histogram::new_with_bounds(1_000, LATENCY_MAX_NS, 3);
        let latency = latency.map_err(|e| Failure::Failed(format!("cannot measure: {e}")))?;
        Ok(Self { messages: 0, bytes: 0, busy: 0, latency })
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.busy += other.busy;
        // Of the same bounds, so it fits.
        let _ = self.latency.add(&other.latency);
    }
}

pub(super) fn elapsed_ns() -> u64 {
    SystemClock.now().elapsed_ns
}

pub(super) fn silent() -> Failure {
    Failure::Failed(String::from("the broker does not answer any more; see its log"))
}

/// What is sent, and until when on the clock that [`elapsed_ns`] reads.
pub(super) struct Load<'a> {
    pub(super) topic: &'a str,
    pub(super) body: &'a [u8],
    pub(super) in_flight: usize,
    pub(super) end_ns: u64,
}

/// One connection.
pub(super) struct Lane {
    client: Client,
    left: u64,
    /// When each was sent first, nanoseconds.
    under_way: BTreeMap<i32, u64>,
    /// The same of those to be repeated.
    again: Vec<u64>,
    heard_ns: u64,
}

impl Lane {
    pub(super) fn new(client: Client, messages: u64) -> Self {
        let (under_way, again) = (BTreeMap::new(), Vec::new());
        Self { client, left: messages, under_way, again, heard_ns: elapsed_ns() }
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.under_way.is_empty() && self.again.is_empty()
    }

    /// Has as many under way as there may be.
    fn fill(&mut self, load: &Load<'_>) -> Result<(), Failure> {
        while self.under_way.len() < load.in_flight && (self.left > 0 || !self.again.is_empty()) {
            let start = self.again.pop().unwrap_or_else(|| {
                self.left -= 1;
                elapsed_ns()
            });
            self.under_way.insert(queue(&mut self.client, load.topic, load.body), start);
        }
        Ok(self.client.flush()?)
    }

    /// Takes what one read brings, so that what follows goes out in one write.
    fn take(&mut self, load: &Load<'_>, done: &mut Done) -> Result<(), Failure> {
        if !self.client.read(ANSWER_PATIENCE)? {
            return Err(silent());
        }
        self.heard_ns = elapsed_ns();
        while let Some((number, refused)) = self.client.at_hand_as(refusal)? {
            let Some(start) = self.under_way.remove(&number) else { continue };
            let taken_ns = self.heard_ns - start;
            let in_time = u128::from(taken_ns) < ANSWER_PATIENCE.as_nanos();
            match refused {
                Some(answer) if answer.code == response::SYSTEM_BUSY && in_time => {
                    self.again.push(start);
                    done.busy += 1;
                }
                Some(answer) => drop(answer.done()?),
                None => {
                    done.latency.saturating_record(taken_ns);
                    done.messages += 1;
                    done.bytes += load.body.len() as u64;
                }
            }
        }
        if self.heard_ns >= load.end_ns {
            self.left = 0;
            self.again.clear();
        }
        Ok(())
    }
}

/// The answer, where it tells of no success.
fn refusal(header: &Header<'_>, body: &Bytes) -> Option<Answer> {
    (header.code != response::SUCCESS).then(|| Answer::new(header, body))
}

/// Puts one message to those that are sent next; gives its number.
pub(super) fn queue(client: &mut Client, topic: &str, body: &[u8]) -> i32 {
    let message = Outgoing { topic, queue: -1, properties: "", body, born_ms: now_ms() };
    client.queue_send(&message)
}

/// Sends over all of them until each is done; `count` grows with the answers.
pub(super) fn send(mut lanes: Vec<Lane>, load: &Load<'_>, count: &AtomicU64) -> Result<Done, Failure> {
    let mut done = Done::new()?;
    lanes.iter_mut().try_for_each(|lane| lane.fill(load))?;
    loop {
        lanes.retain(|lane| !lane.is_done());
        if lanes.is_empty() {
            return Ok(done);
        }
        let before = done.messages;
        for lane in wait(&mut lanes)? {
            lane.take(load, &mut done)?;
            lane.fill(load)?;
        }
        count.fetch_add(done.messages - before, Ordering::Relaxed);
    }
}

/// Those that have something to read, or have come to their end; the only one may be read from at once.
fn wait(lanes: &mut [Lane]) -> Result<Vec<&mut Lane>, Failure> {
    if lanes.len() == 1 {
        return Ok(lanes.iter_mut().collect());
    }
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut polled: Vec<_> = lanes.iter().map(|lane| PollFd::new(&lane.client, PollFlags::IN)).collect();
    match poll(&mut polled, Some(&second)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(Failure::Failed(format!("cannot wait for answers: {error}"))),
    }
    let ready: Vec<bool> = polled.iter().map(|one| !one.revents().is_empty()).collect();
    if !ready.contains(&true) {
        let (now_ns, patience) = (elapsed_ns(), ANSWER_PATIENCE.as_nanos());
        if lanes.iter().any(|lane| u128::from(now_ns - lane.heard_ns) > patience) {
            return Err(silent());
        }
    }
    Ok(lanes.iter_mut().zip(ready).filter(|(_, ready)| *ready).map(|(lane, _)| lane).collect())
}
