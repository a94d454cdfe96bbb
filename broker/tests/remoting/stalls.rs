//! A send for which the store prepares space, or must flush first, holds up what follows on its connection, and nobody else.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use backends::MemoryBackend;
use mainspring::{GroupConfig, ManualClock, Options, Store, TopicConfig};
use tokio::time::{sleep, timeout};

use crate::{
    paced::small,
    support::{Client, Running, any_port, send_fields},
};

/// More of these than the store takes at once.
const SENDS: u8 = 20;

/// A store that takes little at once, and bytes of a body of which it takes some.
struct Lack {
    options: Options,
    body_bytes: usize,
}

/// Not a whole segment of space is prepared.
fn of_space() -> Lack {
    Lack { options: small(), body_bytes: 8 << 10 }
}

/// Half a segment may be appended and not flushed.
fn of_flushes() -> Lack {
    let (segment_bytes, unflushed_bytes_max) = (1 << 20, 512 << 10);
    let options = Options { segment_bytes, reserve_bytes: segment_bytes, unflushed_bytes_max, ..small() };
    Lack { options, body_bytes: 40 << 10 }
}

/// A broker whose store does nothing until a test steps it.
async fn unstepped(options: Options) -> Running {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let open = move |options| Store::open_on(Arc::new(MemoryBackend::new()), clock, options);
    let options = Options { wait_for_space: false, ..options };
    let running = Running::over(options, any_port(), any_port(), open).await;
    running.broker.store.put_topic(&TopicConfig::new("T", 1)).unwrap();
    running
}

/// Such a broker, and the first send of a connection that stalls.
async fn stalled(lack: Lack) -> (Running, Client) {
    let running = unstepped(lack.options).await;
    let mut sender = running.client().await;
    let fields = send_fields("T", "0", "WAIT\u{1}false\u{2}");
    for n in 0..SENDS {
        sender.send(310, &fields, &vec![n; lack.body_bytes]).await;
    }
    let mut other = running.client().await;
    let until_it_stalls = async {
        while running.broker.counters.stalls.load(Ordering::Relaxed) == 0 {
            assert_eq!(other.ask(9999, &[], b"").await.code, 3);
        }
    };
    timeout(Duration::from_secs(20), until_it_stalls).await.unwrap();
    (running, sender)
}

/// There is one thread: whoever blocks it while the store prepares space keeps everybody from an answer.
#[tokio::test]
async fn others_are_served_meanwhile_and_order_is_kept() {
    others_are_served(of_space()).await;
}

#[tokio::test]
async fn a_send_waits_for_the_flush_of_what_was_sent_before() {
    others_are_served(of_flushes()).await;
}

async fn others_are_served(lack: Lack) {
    let (running, mut sender) = stalled(lack).await;
    let mut other = running.client().await;
    for _ in 0..100 {
        assert_eq!(other.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await.code, 0);
        assert_eq!(other.ask(105, &[("topic", "T")], b"").await.code, 0);
    }
    for n in 0..i64::from(SENDS) {
        let answer = loop {
            tokio::select! {
                answer = sender.receive() => break answer,
                () = sleep(Duration::from_millis(1)) => drop(running.broker.store.step()),
            }
        };
        assert_eq!((answer.code, answer.number("queueOffset")), (0, n), "{:?}", answer.remark);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_send_that_gets_no_space_for_long_is_refused_as_busy() {
    is_refused_as_busy(of_space()).await;
}

#[tokio::test]
async fn a_send_that_waits_for_flushes_for_long_is_refused_as_busy() {
    is_refused_as_busy(of_flushes()).await;
}

async fn is_refused_as_busy(lack: Lack) {
    let (running, mut sender) = stalled(lack).await;
    tokio::time::pause();
    let mut kept = 0;
    for _ in 0..SENDS {
        let answer = sender.receive().await;
        assert!(answer.code == 2 || (answer.code == 0 && answer.number("queueOffset") == kept), "{answer:?}");
        kept += i64::from(answer.code == 0);
    }
    assert!((1..i64::from(SENDS)).contains(&kept), "{kept} were kept");
    running.broker.store.step();
    let end = sender.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await;
    assert_eq!(end.number("offset"), kept);
    running.stop().await;
}

#[tokio::test]
async fn a_reset_that_fails_leaves_consumers_alone() {
    let running = unstepped(small()).await;
    let (broker, mut client) = (&running.broker, running.client().await);
    broker.store.put_group(&GroupConfig { retry_queues: 0, ..GroupConfig::new("G") }).unwrap();
    assert_eq!(client.heartbeat("c", "G", "T", "*").await.code, 0);
    while broker.store.commit_offset("G", "T", 0, 0).is_ok() {}
    let reset = [("group", "G"), ("topic", "T"), ("timestamp", "-1"), ("isForce", "true")];
    assert_eq!(client.ask(222, &reset, b"").await.code, 2);
    assert!(!broker.resets.is_pending("G", "T", 0), "what the group commits would not be heard for an hour");
    running.stop().await;
}
