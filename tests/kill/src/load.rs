//! Connections that keep requests in flight until the broker dies, and write down what they asked and heard.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use mainspring_broker::remoting::codes::request as codes;

use crate::{
    chance::Chance,
    clock::now_ms,
    journal::{
        self, DELAY_MAX_MS, Delay, Entry, Failed, GROUPS, Journal, Key, LEVELS_MS, Outcome, QUEUES, Request,
        TOPICS,
    },
    wire::{Answer, Client, batch_part},
};

/// Connections.
pub(crate) const CONNECTIONS: u32 = 4;
/// Requests in flight on each.
pub(crate) const IN_FLIGHT: usize = 16;
/// Most messages in a batch.
const BATCH_MAX: u64 = 8;

/// What all connections count together.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The next identity.
    pub(crate) next_id: AtomicU64,
    /// Messages and retries acknowledged in this run.
    pub(crate) acknowledged: AtomicU64,
    /// Requests in flight.
    pub(crate) in_flight: AtomicU64,
}

/// What a connection brings home: its part of the journal, and what went wrong besides the kill.
pub(crate) type Brought = (Vec<Entry>, Option<String>);

/// Starts all connections of one run; they end when the broker does.
pub(crate) fn start(
    address: SocketAddr,
    seed: u64,
    shared: &Arc<Shared>,
    journal: &Journal,
    mut failed: Vec<Failed>,
) -> Vec<JoinHandle<Brought>> {
    let start = |lane: u32| {
        let share = failed.len().div_ceil((CONNECTIONS - lane) as usize);
        let worker = Worker {
            lane,
            chance: Chance::new(seed, u64::from(lane)),
            shared: Arc::clone(shared),
            reached: reached(journal, lane),
            failed: failed.split_off(failed.len() - share).into(),
            outstanding: BTreeMap::new(),
            audits: TOPICS.len(),
            entries: Vec::new(),
        };
        std::thread::spawn(move || worker.run(address))
    };
    (0..CONNECTIONS).map(start).collect()
}

/// How far the groups had come in this connection's queue of each topic, so that they never go back.
fn reached(journal: &Journal, lane: u32) -> Vec<u64> {
    let asked = |key: Key| journal.progress.get(&key).map_or(0, |progress| progress.asked);
    (0..TOPICS.len())
        .map(|topic| (0..GROUPS.len()).map(|group| asked((group, topic, lane))).max().unwrap_or(0))
        .collect()
}

struct Worker {
    lane: u32,
    chance: Chance,
    shared: Arc<Shared>,
    /// By topic: where the next message of this connection's queue stands at least.
    reached: Vec<u64>,
    /// Records to fail.
    failed: VecDeque<Failed>,
    outstanding: BTreeMap<i32, (Request, i64)>,
    /// Commits of the second group that are left in this run.
    audits: usize,
    entries: Vec<Entry>,
}

impl Worker {
    fn run(mut self, address: SocketAddr) -> Brought {
        let fault = match Client::connect(address).and_then(|mut client| self.talk(&mut client)) {
            Ok(()) => None,
            Err(error) if is_end(&error) => None,
            Err(error) => Some(format!("connection {}: {error}", self.lane)),
        };
        let left = std::mem::take(&mut self.outstanding);
        for (request, sent_ms) in left.into_values() {
            self.entries.push(Entry { request, sent_ms, outcome: Outcome::Unknown });
        }
        (self.entries, fault)
    }

    /// Never returns without an error: the broker is killed at some point.
    fn talk(&mut self, client: &mut Client) -> io::Result<()> {
        loop {
            while self.outstanding.len() < IN_FLIGHT {
                let request = self.choose();
                self.send(client, request)?;
            }
            let answer = client.receive()?;
            if let Some((request, sent_ms)) = self.outstanding.remove(&answer.opaque) {
                self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
                let outcome = self.hear(&request, &answer)?;
                self.entries.push(Entry { request, sent_ms, outcome });
            }
        }
    }

    fn choose(&mut self) -> Request {
        let audit_due = self.audits > 0 && self.entries.len() > 100;
        match self.chance.below(100) {
            _ if audit_due => {
                self.audits -= 1;
                self.commit(1, self.audits)
            }
            0..6 => {
                let topic = self.topic();
                self.commit(0, topic)
            }
            6..12 if !self.failed.is_empty() => {
                let failed = self.failed.pop_front().unwrap_or(Failed { id: 0, times: 0, position: 0 });
                Request::Fail(failed)
            }
            12..20 => {
                let count = 2 + self.chance.below(BATCH_MAX - 1);
                self.message(count, Delay::None)
            }
            20..36 => {
                let delay = self.delay();
                self.message(1, delay)
            }
            _ => self.message(1, Delay::None),
        }
    }

    fn topic(&mut self) -> usize {
        usize::from(self.chance.one_in(2))
    }

    fn commit(&self, group: usize, topic: usize) -> Request {
        Request::Commit { key: (group, topic, self.lane), offset: self.reached[topic] }
    }

    fn message(&mut self, count: u64, delay: Delay) -> Request {
        let first = self.shared.next_id.fetch_add(count, Ordering::Relaxed);
        let topic = self.topic();
        let queue = u32::try_from(self.chance.below(u64::from(QUEUES))).unwrap_or(0);
        Request::Send { first, count, topic, queue, delay }
    }

    /// Short delays are as frequent as long ones, so that some fire before the kill, some while nobody runs, and some
    /// much later.
    fn delay(&mut self) -> Delay {
        let doublings = DELAY_MAX_MS.ilog2();
        let about = 1 << self.chance.below(u64::from(doublings));
        let ms = i64::try_from(about + self.chance.below(about)).unwrap_or(1);
        match self.chance.below(4) {
            0 | 1 => {
                let level = 1 + self.chance.below(LEVELS_MS.len() as u64);
                Delay::Level(u32::try_from(level).unwrap_or(1))
            }
            2 => Delay::Ms(ms),
            _ => Delay::Until(now_ms() + ms),
        }
    }

    fn send(&mut self, client: &mut Client, request: Request) -> io::Result<()> {
        let sent_ms = now_ms();
        self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        match write(client, &request) {
            Ok(opaque) => {
                self.outstanding.insert(opaque, (request, sent_ms));
                Ok(())
            }
            Err(error) => {
                self.entries.push(Entry { request, sent_ms, outcome: Outcome::Unknown });
                Err(error)
            }
        }
    }

    fn hear(&mut self, request: &Request, answer: &Answer) -> io::Result<Outcome> {
        let at_ms = now_ms();
        if answer.code != 0 {
            return Ok(Outcome::Refused(answer.code, answer.remark.clone()));
        }
        let mut outcome = Outcome::Done { at_ms, positions: Vec::new(), queue_offset: 0 };
        match request {
            Request::Send { count, topic, queue, delay, .. } => {
                let (found, offset) = (answer.positions()?, answer.number("queueOffset")?);
                if found.len() as u64 != *count {
                    return Err(crate::wire::wrong(format!("{count} messages have {} ids", found.len())));
                }
                self.shared.acknowledged.fetch_add(*count, Ordering::Relaxed);
                if *delay == Delay::None && *queue == self.lane {
                    self.reached[*topic] = self.reached[*topic].max(offset + count);
                }
                outcome = Outcome::Done { at_ms, positions: found, queue_offset: offset };
            }
            Request::Fail(_) => {
                self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Request::Commit { .. } => {}
        }
        Ok(outcome)
    }
}

/// Whether an error is how a killed broker looks like.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof
    )
}

/// Puts a request on the wire as a client does, and gives its number.
fn write(client: &mut Client, request: &Request) -> io::Result<i32> {
    match request {
        Request::Send { first, count: 1, topic, queue, delay } => {
            let properties = properties(*first, *delay);
            let (queue, born) = (queue.to_string(), now_ms().to_string());
            let fields = send_fields(TOPICS[*topic], &queue, &born, &properties, "false");
            client.send(codes::SEND_MESSAGE_V2, &fields, &journal::body(*first))
        }
        Request::Send { first, count, topic, queue, .. } => {
            let (queue, born) = (queue.to_string(), now_ms().to_string());
            let one = |id| batch_part(&journal::body(id), &properties(id, Delay::None));
            let of_all = format!("UNIQ_KEY\u{1}B{first:016X}\u{2}");
            let fields = send_fields(TOPICS[*topic], &queue, &born, &of_all, "true");
            let body: Vec<u8> = (*first..first + count).flat_map(one).collect();
            client.send(codes::SEND_BATCH_MESSAGE, &fields, &body)
        }
        Request::Commit { key: (group, topic, queue), offset } => {
            let (queue, offset) = (queue.to_string(), offset.to_string());
            let fields = [
                ("consumerGroup", GROUPS[*group]),
                ("topic", TOPICS[*topic]),
                ("queueId", &queue),
                ("commitOffset", &offset),
            ];
            client.send(codes::UPDATE_CONSUMER_OFFSET, &fields, b"")
        }
        Request::Fail(failed) => {
            let (offset, id) = (failed.position.to_string(), journal::key(failed.id));
            let fields =
                [("group", GROUPS[0]), ("offset", &offset), ("delayLevel", "0"), ("originMsgId", &id)];
            client.send(codes::CONSUMER_SEND_MSG_BACK, &fields, b"")
        }
    }
}

fn send_fields<'a>(
    topic: &'a str,
    queue: &'a str,
    born: &'a str,
    properties: &'a str,
    batch: &'a str,
) -> [(&'a str, &'a str); 13] {
    [
        ("a", "senders"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", queue),
        ("f", "0"),
        ("g", born),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("m", batch),
        ("n", "broker-a"),
    ]
}

fn properties(id: u64, delay: Delay) -> String {
    let key = journal::key(id);
    let mut text = format!("KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}{key}\u{2}WAIT\u{1}true\u{2}");
    let (name, value) = match delay {
        Delay::None => return text,
        Delay::Level(level) => ("DELAY", i64::from(level)),
        Delay::Ms(ms) => ("TIMER_DELAY_MS", ms),
        Delay::Until(ms) => ("TIMER_DELIVER_MS", ms),
    };
    text.push_str(&format!("{name}\u{1}{value}\u{2}"));
    text
}
