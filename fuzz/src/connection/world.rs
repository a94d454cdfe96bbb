//! A broker over a store in memory, and the connections to it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backends::MemoryBackend;
use bytes::{Bytes, BytesMut};
use mainspring::{CommitRule, ManualClock, Options, ReadRequest, Store, TagFilter};
use mainspring_broker::broker::{Broker, Settings};
use mainspring_broker::clients::holds::Holds;
use mainspring_broker::clients::peer::{Peer, Port};
use mainspring_broker::clock::RuntimeClock;
use mainspring_broker::net::connection;
use mainspring_broker::remoting::frame::{FRAME_BYTES_MAX, decode};
use mainspring_broker::remoting::{Frame, Header};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Connections; the last one goes to the name service.
const CONNECTIONS: u8 = 3;
/// Bytes on their way in a pipe.
const PIPE_BYTES: usize = 8 << 10;
/// Longest hold of a pull, and what a client that is too slow gets, several times over.
const PATIENCE: Duration = Duration::from_secs(900);
/// A connection's answers in progress get five seconds when it ends.
const LAST_WORDS: Duration = Duration::from_secs(6);
/// What a connection may hold beside the budget: read buffers, one request, one answer.
const BESIDE: usize = 700 << 10;
/// Message ids that are remembered.
const IDS_MAX: usize = 16;

/// What a client heard.
#[derive(Default)]
struct Heard {
    answers: Vec<i32>,
    /// Their codes and how long their bodies were.
    #[cfg(test)]
    bodies: Vec<(i32, usize)>,
    ids: Vec<String>,
    ended: bool,
    wrong: Option<String>,
}

struct Wire {
    sent: BytesMut,
    writer: Option<WriteHalf<DuplexStream>>,
    reader: JoinHandle<()>,
    served: JoinHandle<()>,
    heard: Arc<Mutex<Heard>>,
    deaf: watch::Sender<bool>,
}

/// A broker and its clients.
pub(crate) struct World {
    backend: Arc<MemoryBackend>,
    clock: Arc<ManualClock>,
    options: Options,
    broker: Arc<Broker>,
    stepper: JoinHandle<()>,
    nudge: Arc<Notify>,
    stopping: watch::Sender<bool>,
    wires: Vec<Wire>,
    next: i32,
    ids: Vec<String>,
    old: Vec<Wire>,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().expect("nobody panics with it")
}

impl World {
    pub(crate) fn open(flushed: bool, tight: bool) -> Self {
        let holds = Holds::new();
        let advertised = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 10911);
        let options = Options {
            commit: if flushed { CommitRule::Flushed } else { CommitRule::Appended },
            segment_bytes: 64 << 10,
            reserve_bytes: 64 << 10,
            fire_reserve_bytes: 0,
            message_bytes_max: 8 << 10,
            level_delays_ms: vec![20, 50, 100],
            near_horizon_ms: 1_000,
            wait_for_space: false,
            auto_create_topics: false,
            store_host: advertised,
            observer: Some(holds.clone()),
            threads: false,
            ..Options::default()
        };
        let (backend, clock) =
            (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_700_000_000_000)));
        let store =
            Store::open_on(backend.clone(), clock.clone(), options.clone()).expect("an empty store opens");
        let settings = Settings {
            default_queues: 2,
            message_bytes_max: 8 << 10,
            attempts_max: 2,
            memory_bytes_max: if tight { 32 << 10 } else { 1 << 20 },
            ..Settings::new(advertised)
        };
        let nudge = Arc::new(Notify::new());
        let stepper = tokio::spawn(drive(store.clone(), clock.clone(), nudge.clone()));
        let broker = Broker::new(store, holds, Arc::new(RuntimeClock::start()), settings);
        let (stopping, _) = watch::channel(false);
        let mut world = Self {
            backend,
            clock,
            options,
            broker,
            stepper,
            nudge,
            stopping,
            wires: Vec::new(),
            next: 1,
            ids: Vec::new(),
            old: Vec::new(),
        };
        for at in 0..CONNECTIONS {
            let wire = world.connect(at);
            world.wires.push(wire);
        }
        world
    }

    fn connect(&self, at: u8) -> Wire {
        let (client, server) = duplex(PIPE_BYTES);
        let port = if at + 1 == CONNECTIONS { Port::NameService } else { Port::Broker };
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000 + u16::from(at)).into();
        let number = (self.old.len() + self.wires.len()) as u64;
        let peer = Peer::new(number, address, port);
        let served = connection::serve(self.broker.clone(), split(server), peer, self.stopping.subscribe());
        let (reader, writer) = split(client);
        let (deaf, hears) = watch::channel(false);
        let heard = Arc::new(Mutex::new(Heard::default()));
        Wire {
            sent: BytesMut::new(),
            writer: Some(writer),
            reader: tokio::spawn(listen(reader, heard.clone(), hears)),
            served: tokio::spawn(served),
            heard,
            deaf,
        }
    }

    /// The number of the next request.
    pub(crate) fn next(&mut self) -> i32 {
        self.next += 1;
        self.next
    }

    /// Codes of the answers on a connection, and how long their bodies were.
    #[cfg(test)]
    pub(crate) fn answers(&self, at: u8) -> Vec<(i32, usize)> {
        lock(&self.wires[usize::from(at)].heard).bodies.clone()
    }

    /// Message ids that the broker gave.
    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }

    pub(crate) async fn write(&mut self, at: u8, bytes: &[u8]) {
        let wire = &mut self.wires[usize::from(at % CONNECTIONS)];
        wire.sent.extend_from_slice(bytes);
        self.nudge.notify_one();
        if let Some(writer) = &mut wire.writer {
            let written = timeout(PATIENCE, writer.write_all(bytes)).await;
            if written.expect("a connection neither reads nor ends").is_err() {
                wire.writer = None;
            }
        }
        sleep(Duration::from_millis(1)).await;
        let heard = lock(&wire.heard);
        self.ids.extend(heard.ids.iter().skip(self.ids.len()).take(IDS_MAX).cloned());
    }

    pub(crate) fn set_deaf(&self, at: u8, deaf: bool) {
        self.wires[usize::from(at % CONNECTIONS)].deaf.send_replace(deaf);
    }

    /// Ends a connection from the client's side, whatever is under way, and makes a new one.
    pub(crate) fn connect_again(&mut self, at: u8) {
        let at = at % CONNECTIONS;
        let wire = self.connect(at);
        let old = std::mem::replace(&mut self.wires[usize::from(at)], wire);
        self.old.push(old.hang_up());
    }

    /// One long request may be let in whatever it takes, and every connection has a little of its own.
    pub(crate) fn check_memory(&self) {
        let memory = &self.broker.memory;
        let most = memory.max().max(FRAME_BYTES_MAX + 4) + usize::from(CONNECTIONS) * BESIDE;
        assert!(memory.used() <= most, "connections hold {} bytes, {most} are allowed", memory.used());
    }

    /// Waits for all answers, hangs up, and looks at what is left.
    pub(crate) async fn end(mut self) {
        self.nudge.notify_one();
        for wire in &self.wires {
            wire.deaf.send_replace(false);
        }
        for wire in &mut self.wires {
            let expected = wire.expected();
            let all = async {
                while !wire.is_done(&expected) {
                    sleep(Duration::from_millis(500)).await;
                }
            };
            let (broker, heard) = (&self.broker, &wire.heard);
            if timeout(PATIENCE, all).await.is_err() {
                let (said, used) = (lock(heard), broker.memory.used());
                panic!("{:?} expected, {:?} answered, {used} bytes are held", expected.0, said.answers);
            }
        }
        sleep(Duration::from_secs(1)).await;
        for wire in &self.wires {
            wire.check();
        }
        let wires = self.wires.drain(..).map(Wire::hang_up).chain(self.old.drain(..));
        for wire in wires.collect::<Vec<_>>() {
            let served = timeout(PATIENCE, wire.served).await.expect("a connection outlives its client");
            served.expect("a connection's task panics");
        }
        sleep(LAST_WORDS).await;
        self.check_left();
        self.check_store().await;
    }

    fn check_left(&self) {
        let broker = &self.broker;
        assert_eq!((broker.memory.used(), broker.memory.waiting()), (0, 0), "memory is held for nobody");
        assert_eq!(broker.holds.waiting(), 0, "pulls are held for nobody");
        assert_eq!(broker.clients.counts(), (0, 0), "clients that are gone are counted");
        assert_eq!(broker.counters.panics.load(Ordering::Relaxed), 0, "a handler panicked");
    }

    async fn check_store(self) {
        self.stepper.abort();
        let _ = self.stepper.await; // an error that says that it was aborted
        let store = self.broker.store.clone();
        drop(self.broker);
        while store.step().again {}
        let before = contents(&store);
        store.close().expect("it closes");
        drop(store);
        let options = Options { observer: None, ..self.options };
        let again = Store::open_on(self.backend, self.clock, options).expect("it opens again");
        assert!(again.report().clean, "it was closed and has to be recovered: {:?}", again.report());
        assert_eq!(contents(&again), before, "it serves something else after it was opened again");
    }
}

impl Wire {
    fn hang_up(mut self) -> Self {
        self.reader.abort();
        self.writer = None;
        self
    }

    /// Requests to be answered, and whether the bytes behind them are no protocol.
    fn expected(&self) -> (Vec<i32>, bool) {
        let (mut bytes, mut numbers) = (self.sent.clone(), Vec::new());
        loop {
            let frame: Frame = match decode(&mut bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => return (numbers, false),
                Err(_) => return (numbers, true),
            };
            match Header::parse(&frame) {
                Ok(header) if header.is_response() || header.is_one_way() => {}
                Ok(header) => numbers.push(header.opaque),
                Err(_) => return (numbers, true),
            }
        }
    }

    fn is_done(&self, (numbers, broken): &(Vec<i32>, bool)) -> bool {
        let heard = lock(&self.heard);
        heard.ended || (!broken && heard.answers.len() >= numbers.len())
    }

    fn check(&self) {
        let (mut expected, broken) = self.expected();
        let heard = lock(&self.heard);
        assert_eq!(heard.wrong, None, "an answer cannot be read");
        assert!(heard.ended || !broken, "bytes that are no protocol leave the connection open");
        let mut answers = heard.answers.clone();
        expected.sort_unstable();
        answers.sort_unstable();
        if heard.ended {
            let mut rest = expected.iter();
            let asked = answers.iter().all(|answer| rest.any(|number| number == answer));
            assert!(asked, "{answers:?} answered, of {expected:?}");
        } else {
            assert_eq!(answers, expected, "each request is answered once");
        }
    }
}

/// Reads what comes, but for times when nothing is to be read.
async fn listen(
    mut reader: ReadHalf<DuplexStream>,
    heard: Arc<Mutex<Heard>>,
    mut deaf: watch::Receiver<bool>,
) {
    let mut input = BytesMut::new();
    loop {
        if deaf.wait_for(|deaf| !deaf).await.is_err() {
            return;
        }
        let ended = matches!(reader.read_buf(&mut input).await, Ok(0) | Err(_));
        let mut heard = lock(&heard);
        heard.ended = ended;
        if let Err(error) = heard.take(&mut input) {
            heard.wrong = Some(error);
        }
        if ended {
            return;
        }
    }
}

impl Heard {
    fn take(&mut self, input: &mut BytesMut) -> Result<(), String> {
        while let Some(frame) = decode(input).map_err(|error| error.to_string())? {
            let header = Header::parse(&frame).map_err(|error| error.to_string())?;
            if header.is_response() {
                self.answers.push(header.opaque);
                #[cfg(test)]
                self.bodies.push((header.code, frame.body.len()));
            }
            #[cfg(feature = "planted_panic")]
            assert!(
                frame.body.is_empty() || header.fields.get("nextBeginOffset").is_none(),
                "the planted panic: a message was sent and pulled"
            );
            if let Some(id) = header.fields.get("msgId").filter(|_| self.ids.len() < IDS_MAX) {
                self.ids.push(id.to_owned());
            }
        }
        Ok(())
    }
}

/// Lets the store act, often after something happened and ever more seldom then.
async fn drive(store: Store, clock: Arc<ManualClock>, nudge: Arc<Notify>) {
    let mut pause = Duration::from_millis(1);
    loop {
        let before = Instant::now();
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_millis(500)),
            () = nudge.notified() => pause = Duration::from_millis(1),
        }
        clock.advance(before.elapsed().as_millis() as u64);
        while store.step().again {}
    }
}

/// Every queue's records.
fn contents(store: &Store) -> BTreeMap<(String, u32), Vec<Bytes>> {
    let (mut all, filter) = (BTreeMap::new(), TagFilter::all());
    for topic in store.topics() {
        for queue in 0..topic.read_queues.max(topic.write_queues) {
            let Some(range) = store.queue_range(&topic.name, queue) else { continue };
            let (mut from, mut records) = (range.start, Vec::new());
            while from < range.end {
                let request = ReadRequest {
                    topic: &topic.name,
                    queue,
                    from,
                    max_records: 1_000,
                    max_bytes: 1 << 20,
                    filter: &filter,
                };
                let read = store.read(&request).expect("what is stored can be read");
                records.extend(read.records.slices());
                assert!(read.next > from, "a read goes on");
                from = read.next;
            }
            all.insert((topic.name.clone(), queue), records);
        }
    }
    all
}
