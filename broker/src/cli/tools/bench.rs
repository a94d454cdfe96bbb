//! `mainspring bench`: load from this machine, and how long each answer took.

use std::{
    num::NonZero,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use clap::Args;
use serde_json::json;

use mainspring::record::Record;

use super::{
    lanes::{self, Done, Lane, Load, elapsed_ns, silent},
    print::{Failure, Output, Progress, Table, json as print_json},
    target::Running,
};
use crate::{
    cli::config::Size,
    client::{ANSWER_PATIENCE, Dialed, PullRequest},
    names::TOOLS_GROUP,
};

/// Messages where nothing says how many.
const MESSAGES: u64 = 20_000;
/// Messages that one pull asks for.
const PULL_MESSAGES: u32 = 256;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    /// Send
    Send,
    /// Read what is there
    Consume,
    /// Send, then read
    Both,
}

/// Sends and reads as fast as it can.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to do
    #[arg(value_enum, default_value = "both")]
    work: Work,
    #[command(flatten)]
    running: Running,
    /// Topic to use; what was sent stays there
    #[arg(short, long, default_value = "bench")]
    topic: String,
    /// Connections
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// Sends under way on each connection
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: u32,
    /// Messages to send, or to read at most; 20000 unless --seconds is given
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Bytes of a message's body
    #[arg(short, long, default_value = "1KiB")]
    size: Size,
    #[command(flatten)]
    output: Output,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "WORK",
            ">MESSAGES",
            ">SECONDS",
            ">PER S",
            ">MIB/S",
            ">P50 MS",
            ">P99 MS",
            ">P99.9 MS",
            ">MAX MS",
        ]);
        if self.work != Work::Consume {
            self.first(&mut self.running.dial()?)?;
            self.measure(("send", self.threads()), &mut table, |i, count| self.send(i, count))?;
        }
        if self.work != Work::Send {
            let mut dialed = self.running.dial()?;
            let queues = self.queues(&mut dialed)?;
            let each = |i| {
                queues
                    .iter()
                    .copied()
                    .enumerate()
                    .filter(move |(n, _)| *n as u64 % u64::from(self.connections) == i)
            };
            let wanted = AtomicU64::new(self.messages());
            self.measure(("consume", self.connections as usize), &mut table, |i, count| {
                let own: Vec<_> = each(i).map(|(_, queue)| queue).collect();
                self.consume(&own, &wanted, count)
            })?;
        }
        if self.output.is_json() { Ok(()) } else { table.print() }
    }

    /// How many at most.
    fn messages(&self) -> u64 {
        self.messages.unwrap_or(if self.seconds.is_some() { u64::MAX } else { MESSAGES })
    }

    /// When to stop, on the clock that [`elapsed_ns`] reads.
    fn end_ns(&self) -> u64 {
        self.seconds.map_or(u64::MAX, |seconds| elapsed_ns() + seconds * 1_000_000_000)
    }

    /// One message ahead of the others, so that making the topic is not measured.
    fn first(&self, dialed: &mut Dialed) -> Result<(), Failure> {
        lanes::queue(&mut dialed.broker, &self.topic, &self.body());
        dialed.broker.flush()?;
        match dialed.broker.receive(ANSWER_PATIENCE)? {
            Some((_, answer)) => Ok(answer.sent().map(drop)?),
            None => Err(silent()),
        }
    }

    fn body(&self) -> Vec<u8> {
        vec![b'.'; usize::try_from(self.size.0).unwrap_or(usize::MAX)]
    }

    /// The queues that hold something: number, first offset, end.
    fn queues(&self, dialed: &mut Dialed) -> Result<Vec<(u32, u64, u64)>, Failure> {
        let Some(config) = dialed.topic(&self.topic)? else {
            let text = format!("no topic is called `{}`; `mainspring bench send` makes it", self.topic);
            return Err(Failure::Failed(text));
        };
        let queues = u32::try_from(config["readQueueNums"].as_u64().unwrap_or(0)).unwrap_or(0);
        let ranges = (0..).zip(dialed.ranges(&self.topic, queues)?);
        Ok(ranges.map(|(queue, (min, end))| (queue, min, end)).filter(|(_, min, end)| min < end).collect())
    }

    /// Runs `work` on so many threads, and puts what came of it into the table.
    fn measure(
        &self,
        (name, threads): (&str, usize),
        table: &mut Table,
        work: impl Fn(u64, &AtomicU64) -> Result<Done, Failure> + Sync,
    ) -> Result<(), Failure> {
        let (count, progress, start) = (AtomicU64::new(0), Progress::start(), elapsed_ns());
        let mut all = Done::new()?;
        let failed = thread::scope(|scope| {
            let (tell, told) = channel();
            for i in 0..threads as u64 {
                let (tell, work, count) = (tell.clone(), &work, &count);
                scope.spawn(move || {
                    let _ = tell.send(work(i, count)); // the other end waits for all
                });
            }
            drop(tell);
            let mut failed = None;
            loop {
                match told.recv_timeout(Duration::from_millis(500)) {
                    Ok(Ok(done)) => all.add(&done),
                    Ok(Err(error)) => failed = Some(error),
                    Err(RecvTimeoutError::Timeout) => {
                        progress.text(&format!("{name}: {} messages", count.load(Ordering::Relaxed)));
                    }
                    Err(RecvTimeoutError::Disconnected) => return failed,
                }
            }
        });
        progress.end();
        match failed {
            Some(error) => Err(error),
            None => self.tell(name, table, &all, elapsed_ns() - start),
        }
    }

    /// The part of thread `i`: each of its connections sends its share of the messages.
    fn send(&self, i: u64, count: &AtomicU64) -> Result<Done, Failure> {
        let mut lanes = Vec::new();
        for connection in (i..u64::from(self.connections)).step_by(self.threads()) {
            let messages = share(self.messages(), self.connections, connection);
            lanes.push(Lane::new(self.running.dial()?.broker, messages));
        }
        let body = self.body();
        let load = Load {
            topic: &self.topic,
            body: &body,
            in_flight: self.in_flight as usize,
            end_ns: self.end_ns(),
        };
        lanes::send(lanes, &load, count)
    }

    /// Threads that send: enough for a broker elsewhere, and as many processors are left to one that is here.
    fn threads(&self) -> usize {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        processors.div_ceil(2).min(self.connections as usize)
    }

    /// Reads these queues one after the other, until all threads together have as many as are wanted.
    fn consume(
        &self,
        queues: &[(u32, u64, u64)],
        wanted: &AtomicU64,
        count: &AtomicU64,
    ) -> Result<Done, Failure> {
        let mut client = self.running.dial()?.broker;
        let (mut done, end_ns) = (Done::new()?, self.end_ns());
        for (queue, min, end) in queues {
            let mut from = *min;
            while from < *end && wanted.load(Ordering::Relaxed) > 0 {
                let start = elapsed_ns();
                if start >= end_ns {
                    return Ok(done);
                }
                client.queue_pull(&PullRequest {
                    group: TOOLS_GROUP,
                    topic: &self.topic,
                    queue: *queue,
                    from,
                    most: PULL_MESSAGES,
                    hold_ms: 0,
                    tags: "*",
                });
                client.flush()?;
                let (_, answer) = client.receive(ANSWER_PATIENCE)?.ok_or_else(silent)?;
                done.latency.saturating_record(elapsed_ns() - start);
                let pulled = answer.pulled()?;
                let mut rest = &pulled.records[..];
                let mut read = 0;
                while let Ok((record, behind)) = Record::split_first(rest) {
                    done.bytes += record.body().len() as u64;
                    read += 1;
                    rest = behind;
                }
                done.messages += read;
                count.fetch_add(read, Ordering::Relaxed);
                let _ = wanted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    Some(left.saturating_sub(read))
                });
                from = pulled.next.max(from + 1);
            }
        }
        Ok(done)
    }

    fn tell(&self, name: &str, table: &mut Table, done: &Done, ns: u64) -> Result<(), Failure> {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let (seconds, messages, bytes) = (ns.max(1) as f64 / 1e9, done.messages as f64, done.bytes as f64);
        let (rate, mib) = (messages / seconds, bytes / seconds / f64::from(1 << 20));
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |quantile| ms(done.latency.value_at_quantile(quantile));
        let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), ms(done.latency.max()));
        if self.output.is_json() {
            return print_json(&json!({
                "work": name, "messages": done.messages, "seconds": seconds, "messages_per_s": rate,
                "mib_per_s": mib, "busy": done.busy, "connections": self.connections, "in_flight": self.in_flight,
                "body_bytes": self.size.0, "p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "max_ms": max,
            }));
        }
        let fixed = |number: f64| format!("{number:.3}");
        table.row([
            name.to_owned(),
            done.messages.to_string(),
            fixed(seconds),
            format!("{rate:.0}"),
            format!("{mib:.1}"),
            fixed(p50),
            fixed(p99),
            fixed(p999),
            fixed(max),
        ]);
        Ok(())
    }
}

/// What of `all` is the share of number `i` among `of`.
fn share(all: u64, of: u32, i: u64) -> u64 {
    let of = u64::from(of);
    all / of + u64::from(i < all % of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        assert_eq!((0..4).map(|i| share(10, 4, i)).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!((0..3).map(|i| share(1, 3, i)).sum::<u64>(), 1);
    }
}
