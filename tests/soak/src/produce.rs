//! Producers: messages of many sizes, batches, and timed ones, at a steady pace.

use std::io;

use mainspring_broker::remoting::codes::request as codes;

use crate::{
    Soak,
    chance::Chance,
    clock::{now_ms, pause},
    wire::{Answer, Client, batch_part, wrong},
};

/// Topics that are sent to.
pub(crate) const TOPICS: [&str; 3] = ["soak-orders", "soak-bills", "soak-timers"];
/// Queues of each.
pub(crate) const QUEUES: u32 = 4;
/// Producers, each with a connection of its own.
pub(crate) const PRODUCERS: u32 = 3;
/// Delays of the levels from 1 on, milliseconds.
pub(crate) const LEVELS_MS: [i64; 6] = [500, 1_000, 2_000, 5_000, 10_000, 30_000];
/// Longest delay, milliseconds.
pub(crate) const DELAY_MAX_MS: i64 = 60_000;
/// Bytes before the filler of a body: producer, number, due time.
const HEAD: usize = 20;
/// Requests in flight on each connection.
const IN_FLIGHT: usize = 8;
/// Refused as busy: tried again.
const BUSY: [i32; 2] = [2, 14];

/// Which message a body is, and when it is due; 0 if at once.
pub(crate) fn parse(body: &[u8]) -> Option<((u32, u64), i64)> {
    let (producer, rest) = body.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (due, _) = rest.split_first_chunk()?;
    Some(((u32::from_be_bytes(*producer), u64::from_be_bytes(*number)), i64::from_be_bytes(*due)))
}

fn body(producer: u32, number: u64, due_ms: i64, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len);
    body.extend_from_slice(&producer.to_be_bytes());
    body.extend_from_slice(&number.to_be_bytes());
    body.extend_from_slice(&due_ms.to_be_bytes());
    body.resize(len.max(HEAD), b'a' + u8::try_from(number % 26).unwrap_or(0));
    body
}

/// What is put on the wire, to send it again where the broker is busy.
struct Request {
    code: i32,
    topic: &'static str,
    queue: u32,
    properties: String,
    body: Vec<u8>,
    count: u64,
}

impl Request {
    fn send(&self, client: &mut Client) -> io::Result<i32> {
        let (queue, born) = (self.queue.to_string(), now_ms().to_string());
        let fields = [
            ("a", "soak-producers"),
            ("b", self.topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &queue),
            ("f", "0"),
            ("g", &born),
            ("h", "0"),
            ("i", &self.properties),
            ("j", "0"),
            ("k", "false"),
            ("m", if self.count > 1 { "true" } else { "false" }),
            ("n", "broker-a"),
        ];
        client.send(self.code, &fields, &self.body)
    }
}

/// One producer.
pub(crate) struct Producer<'a> {
    soak: &'a Soak,
    number: u32,
    chance: Chance,
    next: u64,
}

impl<'a> Producer<'a> {
    pub(crate) fn new(soak: &'a Soak, number: u32) -> Self {
        Self { soak, number, chance: Chance::new(soak.seed, u64::from(number)), next: 0 }
    }

    /// Sends until the load is to end.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut client = Client::connect(self.soak.broker)?;
        let (started, mut done) = (now_ms(), 0u64);
        while self.soak.goes_on() {
            // In groups of some in flight; what is ahead of the pace waits.
            let mut flying = Vec::new();
            for _ in 0..IN_FLIGHT {
                let request = self.choose();
                done += request.count;
                flying.push((request.send(&mut client)?, request));
            }
            for _ in 0..IN_FLIGHT {
                let answer = client.receive()?;
                let at = flying.iter().position(|(opaque, _)| *opaque == answer.opaque);
                let (_, request) = flying.swap_remove(at.ok_or_else(|| wrong("an answer to nothing"))?);
                self.settle(&mut client, &request, answer, &mut flying)?;
            }
            let ahead_ms = i64::try_from(done * 1_000 / self.soak.pace).unwrap_or(0) - (now_ms() - started);
            if ahead_ms > 0 {
                pause(ahead_ms.unsigned_abs().min(1_000));
            }
        }
        Ok(())
    }

    /// Counts an answer, and has a busy broker asked again until it takes the message.
    fn settle(
        &self,
        client: &mut Client,
        request: &Request,
        mut answer: Answer,
        flying: &mut Vec<(i32, Request)>,
    ) -> io::Result<()> {
        while BUSY.contains(&answer.code) {
            // Others in flight may be answered in between, so none may be.
            if !flying.is_empty() {
                let fields = (request.code, request.topic, request.queue);
                let again = Request {
                    code: fields.0,
                    topic: fields.1,
                    queue: fields.2,
                    properties: request.properties.clone(),
                    body: request.body.clone(),
                    count: request.count,
                };
                pause(10);
                flying.push((again.send(client)?, again));
                answer = client.receive()?;
                let at = flying.iter().position(|(opaque, _)| *opaque == answer.opaque);
                let (_, other) = flying.swap_remove(at.ok_or_else(|| wrong("an answer to nothing"))?);
                return self.settle(client, &other, answer, flying);
            }
            pause(10);
            request.send(client)?;
            answer = client.receive()?;
        }
        if answer.code != 0 {
            self.soak.ledger.find(format!("a send was refused: {} {}", answer.code, answer.remark));
        }
        self.soak.ledger.sent(self.number, request.count);
        Ok(())
    }

    fn choose(&mut self) -> Request {
        let queue = u32::try_from(self.chance.below(u64::from(QUEUES))).unwrap_or(0);
        let topic = TOPICS[usize::try_from(self.chance.below(2)).unwrap_or(0)];
        match self.chance.below(100) {
            0..5 => self.batch(topic, queue),
            5..20 => self.timed(queue),
            _ => {
                let len = self.len();
                let (number, properties) = (self.take(1), self.properties());
                let body = body(self.number, number, 0, len);
                Request { code: codes::SEND_MESSAGE_V2, topic, queue, properties, body, count: 1 }
            }
        }
    }

    fn take(&mut self, count: u64) -> u64 {
        let first = self.next;
        self.next += count;
        first
    }

    /// Mostly some hundred bytes, often some thousand, seldom many.
    fn len(&mut self) -> usize {
        let len = match self.chance.below(1_000) {
            0 => self.chance.below(512 << 10),
            1..20 => self.chance.below(32 << 10),
            20..300 => self.chance.below(2_000),
            _ => self.chance.below(300),
        };
        usize::try_from(len).unwrap_or(0)
    }

    fn properties(&self) -> String {
        let key = format!("S{}-{:x}", self.number, self.next - 1);
        format!(
            "KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}{key}\u{2}TAGS\u{1}t{}\u{2}WAIT\u{1}true\u{2}",
            self.next % 3
        )
    }

    fn timed(&mut self, queue: u32) -> Request {
        let (number, now) = (self.take(1), now_ms());
        let (name, value, due_ms) = match self.chance.below(3) {
            0 => {
                let level = self.chance.below(LEVELS_MS.len() as u64);
                let delay = LEVELS_MS[usize::try_from(level).unwrap_or(0)];
                ("DELAY", i64::try_from(level + 1).unwrap_or(1), now + delay)
            }
            1 => {
                let delay = 1 + self.chance.below(DELAY_MAX_MS.unsigned_abs()).cast_signed();
                ("TIMER_DELAY_MS", delay, now + delay)
            }
            _ => {
                let due = now + 1 + self.chance.below(DELAY_MAX_MS.unsigned_abs()).cast_signed();
                ("TIMER_DELIVER_MS", due, due)
            }
        };
        let properties = format!("{}{name}\u{1}{value}\u{2}", self.properties());
        let body = body(self.number, number, due_ms, self.len().min(4_000));
        Request { code: codes::SEND_MESSAGE_V2, topic: TOPICS[2], queue, properties, body, count: 1 }
    }

    fn batch(&mut self, topic: &'static str, queue: u32) -> Request {
        let count = 2 + self.chance.below(15);
        let mut all = Vec::new();
        for _ in 0..count {
            let len = self.len().min(2_000);
            let (number, properties) = (self.take(1), self.properties());
            let body = body(self.number, number, 0, len);
            all.extend(batch_part(&body, &properties));
        }
        let properties = format!("UNIQ_KEY\u{1}SB{}-{:x}\u{2}", self.number, self.next);
        Request { code: codes::SEND_BATCH_MESSAGE, topic, queue, properties, body: all, count }
    }
}
