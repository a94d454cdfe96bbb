//! A small broker on the crate: lines of text over TCP, two stores in one process, one log each.
//!
//! `cargo run -p mainspring --example line_broker -- [DIR] [HOST:PORT]`, then for instance `nc 127.0.0.1 7070`:
//!
//! | line | answer |
//! |---|---|
//! | `SEND topic text` | `OK shard queue offset`, once the message survives a power cut |
//! | `LATER ms topic text` | `TIMER handle`: the message becomes visible after so many milliseconds |
//! | `CANCEL handle` | `CANCELLED`, `FIRED` or `UNKNOWN`, as the log's order has it |
//! | `SUB group topic` | `OK`: this connection reads the topic for the group |
//! | `NEXT ms` | `MSG number attempt text`, or `NONE` when nothing came for so long |
//! | `ACK number`, `NACK number` | `OK`, `AGAIN` or `DEAD`: done, to be tried again later, or given up |
//!
//! A topic lives in one of the stores, chosen by its name. Kill the process whenever you like and start it again:
//! messages, progress, retries and timers are where they were.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use mainspring::{
    Cancel, Consumer, Delivery, Error, ErrorKind, Failed, Handle, Message, Options, Result, Store,
};

/// Longest line, bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Stores side by side: each has its own log, owner and timers, and knows nothing of the others.
#[derive(Clone, Debug)]
pub struct Shards(Vec<Store>);

impl Shards {
    /// Opens `count` stores below a directory. Topics move if the count changes, so it must not.
    pub fn open(dir: &Path, count: usize) -> Result<Self> {
        // One queue a topic: messages come in the order they were sent.
        let options = Options { default_queues: 1, ..Options::default() };
        let open = |n| Store::open_with(dir.join(format!("shard-{n}")), options.clone());
        (0..count).map(open).collect::<Result<_>>().map(Self)
    }

    fn of_topic(&self, topic: &str) -> usize {
        let hash = mainspring::hash::key_hash("", topic);
        usize::try_from(hash % self.0.len() as u64).unwrap_or(0)
    }

    /// Closes all in order.
    pub fn close(&self) -> Result<()> {
        self.0.iter().try_for_each(Store::close)
    }
}

/// What one connection reads.
struct Subscription {
    consumer: Consumer,
    /// Messages that were handed out and wait for their ACK or NACK.
    open: HashMap<u64, Delivery>,
    next_number: u64,
}

struct Session {
    shards: Shards,
    subscription: Option<Subscription>,
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| invalid(format!("`{text}` is not a number")))
}

impl Session {
    fn answer(&mut self, line: &str) -> Result<String> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "SEND" => self.send(rest),
            "LATER" => self.later(rest),
            "CANCEL" => self.cancel(rest),
            "SUB" => self.subscribe(rest),
            "NEXT" => self.next(Duration::from_millis(number(rest)?)),
            "ACK" => self.decide(number(rest)?, true),
            "NACK" => self.decide(number(rest)?, false),
            other => Err(invalid(format!("no command is called `{other}`"))),
        }
    }

    fn send(&self, rest: &str) -> Result<String> {
        let (topic, text) = rest.split_once(' ').ok_or_else(|| invalid("SEND topic text"))?;
        let shard = self.shards.of_topic(topic);
        let ack = self.shards.0[shard].append(Message::new(topic, text.to_owned()))?.wait()?;
        Ok(format!("OK {shard} {} {}", ack.queue, ack.queue_offset))
    }

    fn later(&self, rest: &str) -> Result<String> {
        let mut words = rest.splitn(3, ' ');
        let (Some(delay), Some(topic), Some(text)) = (words.next(), words.next(), words.next()) else {
            return Err(invalid("LATER ms topic text"));
        };
        let (shard, delay) = (self.shards.of_topic(topic), Duration::from_millis(number(delay)?));
        let timer = self.shards.0[shard].schedule(Message::new(topic, text.to_owned()), delay)?.wait()?;
        Ok(format!("TIMER {shard}:{}", timer.handle))
    }

    fn cancel(&self, rest: &str) -> Result<String> {
        let (shard, handle) = rest.split_once(':').ok_or_else(|| invalid("CANCEL handle"))?;
        let handle: Handle = handle.parse()?;
        let shard = usize::try_from(number(shard)?).ok().and_then(|shard| self.shards.0.get(shard));
        let answer = match shard.ok_or_else(|| invalid("there is no such shard"))?.cancel(&handle)? {
            Cancel::Cancelled => "CANCELLED",
            Cancel::AlreadyFired { .. } => "FIRED",
            Cancel::NotFound => "UNKNOWN",
        };
        Ok(answer.into())
    }

    fn subscribe(&mut self, rest: &str) -> Result<String> {
        let (group, topic) = rest.split_once(' ').ok_or_else(|| invalid("SUB group topic"))?;
        self.subscription = None; // what it had open comes again to the next one
        let consumer = self.shards.0[self.shards.of_topic(topic)].consumer(group, topic)?;
        self.subscription = Some(Subscription { consumer, open: HashMap::new(), next_number: 0 });
        Ok("OK".into())
    }

    fn subscribed(&mut self) -> Result<&mut Subscription> {
        self.subscription.as_mut().ok_or_else(|| invalid("SUB comes first"))
    }

    fn next(&mut self, timeout: Duration) -> Result<String> {
        let subscription = self.subscribed()?;
        let Some(message) = subscription.consumer.poll(1, timeout)?.pop() else { return Ok("NONE".into()) };
        let (number, attempt) = (subscription.next_number, message.failures() + 1);
        subscription.next_number += 1;
        let text = String::from_utf8_lossy(&message.body()).into_owned();
        subscription.open.insert(number, message);
        Ok(format!("MSG {number} {attempt} {text}"))
    }

    fn decide(&mut self, number: u64, done: bool) -> Result<String> {
        let Subscription { consumer, open, .. } = self.subscribed()?;
        let message = open.get(&number).ok_or_else(|| invalid(format!("no message {number} is open")))?;
        let answer = if done {
            consumer.ack(message).map(|()| "OK")?
        } else {
            match consumer.nack(message)? {
                Failed::Again(_) => "AGAIN",
                Failed::DeadLetter | Failed::Dropped => "DEAD",
            }
        };
        open.remove(&number);
        Ok(answer.into())
    }
}

fn talk(stream: TcpStream, shards: Shards) -> std::io::Result<()> {
    let mut session = Session { shards, subscription: None };
    let (mut lines, mut out) = (BufReader::new(stream.try_clone()?), stream);
    let mut line = String::new();
    while lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)? > 0 {
        let answer = if line.ends_with('\n') {
            session.answer(line.trim_end()).unwrap_or_else(|error| format!("ERR {error}"))
        } else {
            lines.skip_until(b'\n')?;
            format!("ERR a line has at most {LINE_BYTES_MAX} bytes")
        };
        writeln!(out, "{answer}")?;
        line.clear();
    }
    Ok(())
}

/// Serves each connection on a thread of its own.
pub fn serve(listener: &TcpListener, shards: &Shards) {
    for stream in listener.incoming() {
        let shards = shards.clone();
        std::thread::spawn(move || stream.and_then(|stream| talk(stream, shards)));
    }
}

#[allow(dead_code, reason = "a test runs the broker without it")]
fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let dir = words.next().unwrap_or_else(|| "line-broker-data".into());
    let address = words.next().unwrap_or_else(|| "127.0.0.1:7070".into());
    let shards = Shards::open(Path::new(&dir), 2)?;
    let cannot = |e| Error::io(format!("cannot listen on {address}"), e);
    let listener = TcpListener::bind(&address).map_err(cannot)?;
    println!("two stores in {dir}, lines on {address}; try: SEND jobs hello");
    serve(&listener, &shards);
    shards.close()
}
