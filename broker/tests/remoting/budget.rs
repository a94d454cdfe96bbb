//! What all connections may hold together: many slow clients, and who is served meanwhile.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::BytesMut;
use mainspring_broker::{
    clients::peer::{Peer, Port},
    memory::FREE_BYTES,
    net::connection,
    remoting::{Header, frame},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::support::{Client, Running, any_port, frame_of, pull_fields, send_fields};

/// Clients that do not do their part.
const SLOW: usize = 24;
/// Bytes of a request and its answer that a connection may hold beside everything.
const ONE_REQUEST: usize = 64 << 10;

/// Memory that none of the slow ones passes, however many requests they have sent.
fn bound(running: &Running) -> usize {
    running.broker.memory.max() + (SLOW + 1) * (FREE_BYTES + ONE_REQUEST)
}

async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
}

/// Lists of topics are made for each answer, so answers that nobody reads are memory.
#[tokio::test]
async fn many_slow_readers_share_the_budget_and_hold_nobody_up() {
    let running = Running::tight(256 << 10).await;
    let mut good = running.client().await;
    for n in 0..100 {
        let name = format!("{n:0100}");
        assert_eq!(good.put(&name, "0", "", b"x").await.code, 0);
    }
    let requests = 2_000;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut client = running.client().await;
        let bytes: Vec<u8> = (0..requests).flat_map(|_| client.encode(206, 0, &[], b"")).collect();
        let (reader, mut writer) = client.stream.into_split();
        let writes = tokio::spawn(async move { writer.write_all(&bytes).await.map(|()| writer) });
        slow.push((reader, writes));
    }
    until(|| !running.broker.memory.has_room()).await;
    for n in 0..20 {
        assert_eq!(good.put("T", "0", "", &[n; 100]).await.code, 0);
        let used = running.broker.memory.used();
        assert!(used <= bound(&running), "{used} bytes are held");
    }
    // They are not deaf for ever: every answer comes. All read at once, before one is ended for being slow.
    let read = |(mut reader, writes): (OwnedReadHalf, JoinHandle<std::io::Result<OwnedWriteHalf>>)| async move {
        let (mut input, mut answers) = (BytesMut::new(), 0);
        while answers < requests {
            let read = reader.read_buf(&mut input);
            assert!(timeout(Duration::from_secs(60), read).await.unwrap().unwrap() > 0);
            while frame::decode(&mut input).unwrap().is_some() {
                answers += 1;
            }
        }
        drop(writes.await.unwrap().unwrap());
    };
    futures_util::future::join_all(slow.into_iter().map(read)).await;
    until(|| running.broker.memory.used() == 0).await;
    running.stop().await;
}

/// Records are slices of the log, so answers to pulls take up none of the budget, read or not.
#[tokio::test]
async fn records_that_nobody_reads_are_no_memory() {
    let running = Running::tight(64 << 10).await;
    let mut good = running.client().await;
    good.put("T", "0", "", &vec![1; 1 << 20]).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = running.client().await;
        let pull = client.encode(11, 0, &pull_fields("T", "0", "0", "*"), b"");
        client.stream.write_all(&pull.repeat(12)).await.unwrap();
        slow.push(client);
    }
    for n in 0..50 {
        assert_eq!(good.put("T", "0", "", &[n; 100]).await.code, 0);
        assert!(running.broker.memory.used() < 64 << 10, "{}", running.broker.memory.used());
    }
    for client in &mut slow {
        for _ in 0..12 {
            assert!(client.receive().await.body.len() > 1 << 20);
        }
    }
    running.stop().await;
}

/// A long request waits for room before it is read, and is served when there is some.
#[tokio::test]
async fn long_requests_wait_for_room_in_their_order() {
    let running = Running::tight(2 << 20).await;
    let body = vec![7; 900 << 10];
    let mut senders = Vec::new();
    for _ in 0..8 {
        let mut client = running.client().await;
        let bytes = client.encode(310, 0, &send_fields("T", "0", ""), &body);
        client.stream.write_all(&bytes[..32 << 10]).await.unwrap();
        senders.push((client, bytes));
    }
    // Two have room, the others wait for it.
    until(|| running.broker.memory.waiting() == 6).await;
    assert!(running.broker.memory.used() <= 2 << 20);
    let mut good = running.client().await;
    assert_eq!(good.put("T", "0", "", &[1; 8 << 10]).await.code, 0);
    let finish = senders.into_iter().map(|(client, bytes)| {
        tokio::spawn(async move {
            let mut client = client;
            client.stream.write_all(&bytes[32 << 10..]).await.unwrap();
            assert_eq!(client.receive().await.code, 0);
        })
    });
    for sender in finish.collect::<Vec<_>>() {
        timeout(Duration::from_secs(20), sender).await.unwrap().unwrap();
    }
    until(|| running.broker.memory.used() == 0 && running.broker.memory.waiting() == 0).await;
    running.stop().await;
}

/// A connection through a pipe: with real sockets, time that stands still would run ahead of the network.
struct Piped {
    stream: DuplexStream,
    input: BytesMut,
    _stopping: watch::Sender<bool>,
}

impl Piped {
    fn connect(running: &Running) -> Self {
        let (stream, server) = duplex(4 << 10);
        let (stopping, stopped) = watch::channel(false);
        let peer = Peer::new(u64::MAX, any_port(), Port::Broker);
        tokio::spawn(connection::serve(running.broker.clone(), split(server), peer, stopped));
        Self { stream, input: BytesMut::new(), _stopping: stopping }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The code of the next answer; nothing at the end.
    async fn receive(&mut self) -> Option<i32> {
        loop {
            if let Some(found) = frame::decode(&mut self.input).unwrap() {
                return Some(Header::parse(&found).unwrap().code);
            }
            if !self.stream.read_buf(&mut self.input).await.is_ok_and(|n| n > 0) {
                return None;
            }
        }
    }
}

/// A request that nobody serves, so that its answer is there at once.
fn unknown(body: usize) -> Vec<u8> {
    frame_of(br#"{"code":9999,"flag":0,"opaque":1}"#, &vec![7; body])
}

/// Whoever announces much and brings nothing keeps room from others for twenty seconds at most.
#[tokio::test(start_paused = true)]
async fn room_comes_back_from_who_does_not_use_it() {
    let running = Running::tight(2 << 20).await;
    let mut hostile = Vec::new();
    for _ in 0..3 {
        let mut client = Piped::connect(&running);
        client.send(&unknown(1 << 20)[..8 << 10]).await;
        hostile.push(client);
    }
    let (mut good, before) = (Piped::connect(&running), Instant::now());
    good.send(&unknown(1 << 20)).await;
    assert_eq!(good.receive().await, Some(3));
    let waited = before.elapsed();
    assert!((10..=60).contains(&waited.as_secs()), "{waited:?}");
    for client in &mut hostile {
        assert_eq!(client.receive().await, None);
    }
    assert_eq!(running.broker.counters.slow_connections.load(Ordering::Relaxed), 3);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_of_one_byte_a_second_is_closed() {
    let running = Running::start().await;
    let (mut slow, mut good) = (Piped::connect(&running), Piped::connect(&running));
    let mut written = 0;
    for byte in unknown(200) {
        sleep(Duration::from_secs(1)).await;
        if slow.stream.write_all(&[byte]).await.is_err() {
            break;
        }
        written += 1;
        good.send(&unknown(0)).await;
        assert_eq!(good.receive().await, Some(3));
    }
    assert!((60..=120).contains(&written), "closed after {written} bytes");
    assert_eq!(running.broker.counters.slow_connections.load(Ordering::Relaxed), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_his_answers_is_closed() {
    let running = Running::start().await;
    let (mut slow, mut good) = (Piped::connect(&running), Piped::connect(&running));
    slow.send(&unknown(0).repeat(90)).await;
    let before = Instant::now();
    while running.broker.counters.slow_connections.load(Ordering::Relaxed) == 0 {
        // The other one stays, as it does its part.
        sleep(Duration::from_secs(1)).await;
        good.send(&unknown(0)).await;
        assert_eq!(good.receive().await, Some(3));
        assert!(before.elapsed() <= Duration::from_secs(121));
    }
    assert!(before.elapsed() >= Duration::from_secs(60), "{:?}", before.elapsed());
    running.stop().await;
}

/// A client with a slow line that keeps going is not closed: each look finds it on another request.
#[tokio::test(start_paused = true)]
async fn a_slow_client_that_does_its_part_stays() {
    let running = Running::start().await;
    let mut slow = Piped::connect(&running);
    for _ in 0..8 {
        let bytes = unknown(4_000);
        for part in bytes.chunks(bytes.len().div_ceil(5)) {
            sleep(Duration::from_secs(10)).await;
            slow.send(part).await;
        }
        assert_eq!(slow.receive().await, Some(3));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_disappears_in_a_long_poll_leaves_nothing_behind() {
    let running = Running::start().await;
    let mut good = running.client().await;
    good.put("T", "0", "", b"x").await;
    let mut gone: Vec<Client> = Vec::new();
    for n in 0..20 {
        let mut client = running.client().await;
        client.heartbeat(&format!("c{n}"), "G", "T", "*").await;
        client.send(11, &pull_fields("T", "1", "30000", "*"), b"").await;
        gone.push(client);
    }
    until(|| running.broker.holds.waiting() == 20).await;
    assert_eq!(running.broker.clients.counts(), (20, 20));
    drop(gone);
    until(|| running.broker.clients.counts() == (0, 0)).await;
    until(|| running.broker.holds.waiting() == 0).await;
    assert_eq!(running.broker.memory.used(), 0);
    // Nobody listens any more to what would have woken them.
    assert_eq!(good.put("T", "0", "", b"y").await.code, 0);
    running.stop().await;
}
