//! What connections survive: pipelining, one-way requests, panics, nonsense, floods.

use std::{
    io::{self, Write as _},
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use crate::support::{Client, Running, any_port, frame_of, pull_fields, send_fields};
use mainspring_broker::{
    cli::config::DelayLevels,
    clients::peer::{Peer, Port},
    net::connection,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, duplex},
    sync::watch,
    time::{sleep, timeout},
};

#[tokio::test]
async fn pipelined_requests_are_all_answered() {
    for slow in [false, true] {
        let running = Running::start_with(slow).await;
        let mut client = running.client().await;
        let mut bytes = Vec::new();
        for _ in 0..500 {
            bytes.extend(client.encode(310, 0, &send_fields("T", "0", ""), b"x"));
        }
        client.stream.write_all(&bytes).await.unwrap();
        let mut seen: Vec<i32> = Vec::new();
        for _ in 0..500 {
            let answer = client.receive().await;
            assert_eq!(answer.code, 0);
            seen.push(answer.opaque);
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=500).collect::<Vec<_>>());
        running.stop().await;
    }
}

#[tokio::test]
async fn one_way_requests_and_answers_are_never_answered() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for (code, flag) in [(310, 2), (9999, 2), (36, 2), (11, 2), (40, 1), (310, 3)] {
        let bytes = client.encode(code, flag, &send_fields("T", "0", ""), b"one way");
        client.stream.write_all(&bytes).await.unwrap();
    }
    let last = client.ask(9999, &[], b"").await;
    assert_eq!(last.code, 3);
    assert!(last.remark.unwrap().contains("9999"));
    let mut end = String::new();
    while end != "1" {
        end = client.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await.fields["offset"].clone();
    }
    running.stop().await;
}

/// While there is always more to read, the connection must still hear that the broker stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_pauses_does_not_hold_up_a_stop() {
    let running = Running::start().await;
    let mut client = running.client().await;
    // These take longer to serve than to write.
    let groups: Vec<_> = (0..100).map(|n| serde_json::json!({"groupName": format!("P{n}")})).collect();
    let beat = serde_json::json!({"clientID": "c", "producerDataSet": groups}).to_string();
    let beats = client.encode(34, 2, &[], beat.as_bytes()).repeat(16);
    let mut stream = client.stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let flood = std::thread::spawn(move || while stream.write_all(&beats).is_ok() {});
    while running.broker.clients.counts().0 == 0 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
    let ended = async {
        while !flood.is_finished() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), ended).await.expect("the connection outlived the broker");
}

#[tokio::test]
async fn a_one_way_send_outlives_its_connection() {
    let running = Running::start_with(true).await;
    let mut client = running.client().await;
    let bytes = client.encode(310, 2, &send_fields("New", "0", ""), b"x");
    client.stream.write_all(&bytes).await.unwrap();
    drop(client);
    let mut other = running.client().await;
    let found = timeout(Duration::from_secs(5), async {
        while other.ask(30, &[("topic", "New"), ("queueId", "0")], b"").await.fields["offset"] != "1" {}
    });
    found.await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn nonsense_closes_only_its_own_connection() {
    let running = Running::start().await;
    let mut good = running.client().await;
    let deep = format!("{{\"extFields\":{}", "[".repeat(200_000));
    let nonsense: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xFF; 64],
        vec![0; 64],
        frame_of(b"{\"code\":", b""),
        frame_of(b"[]", b""),
        frame_of(b"", b""),
        frame_of(deep.as_bytes(), b""),
        [&[0, 0, 0, 20, 1, 0, 0, 16][..], &[0x7F; 16]].concat(),
        [0x00, 0xFF, 0xFF, 0xFF, 0x00, 0xFF, 0xFF, 0xF0].to_vec(),
    ];
    for port in [running.broker_at, running.names_at] {
        for bytes in &nonsense {
            let mut client = Client::connect(port).await;
            client.stream.write_all(bytes).await.unwrap();
            let ended = timeout(Duration::from_secs(5), client.receive_or_end()).await;
            assert!(ended.expect("the connection hangs").is_none(), "{:?}", &bytes[..bytes.len().min(20)]);
        }
        // Half a frame and nothing more is no error, only a wait.
        let mut half = Client::connect(port).await;
        half.stream.write_all(&[0, 0, 0, 100, 0, 0]).await.unwrap();
        assert_eq!(good.ask(9999, &[], b"").await.code, 3);
    }
    let errors = running.broker.counters.protocol_errors.load(Ordering::Relaxed);
    assert_eq!(errors, 2 * nonsense.len() as u64);
    running.stop().await;
}

#[tokio::test]
async fn wrong_types_are_refused_not_fatal() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "", b"x").await;
    for code in [10, 310, 320, 11, 361, 14, 15, 17, 29, 30, 31, 32, 34, 35, 36, 38, 46, 105, 106, 206, 351] {
        for fields in [
            vec![],
            vec![("topic", ""), ("b", ""), ("queueId", "x")],
            vec![
                ("topic", "T"),
                ("consumerGroup", "G"),
                ("group", "G"),
                ("queueId", "99999999999"),
                ("offset", "-1"),
            ],
            vec![
                ("topic", "\u{0}\u{7f}é"),
                ("b", "%"),
                ("queueId", "-2147483648"),
                ("consumerGroup", "\u{1}"),
            ],
        ] {
            for body in [&b""[..], b"[[[", &[0xFF; 100]] {
                let answer = client.ask(code, &fields, body).await;
                assert!((0..=29).contains(&answer.code), "{code}: {answer:?}");
            }
        }
    }
    assert_eq!(running.broker.counters.panics.load(Ordering::Relaxed), 0);
    running.stop().await;
}

#[tokio::test]
async fn binary_peers_are_answered_in_binary() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let mut header = vec![0, 105, 0, 1, 0x99, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17];
    header.extend_from_slice(b"\0\x05topic\0\0\0\x06TBW102");
    let mut bytes = frame_of(&header, b"");
    bytes[4] = 1;
    client.stream.write_all(&bytes).await.unwrap();
    let answer = client.receive().await;
    assert_eq!((answer.code, answer.opaque, answer.raw_header[0]), (0, 5, 0));
    assert!(answer.text().contains("brokerDatas"));
    running.stop().await;
}

/// A client that sends and never reads is held back, and the broker's memory with it.
#[tokio::test]
async fn a_client_that_does_not_read_is_held_back() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "", &vec![1; 1 << 20]).await;
    let pull = client.encode(11, 0, &pull_fields("T", "0", "0", "*"), b"");
    let flood = async {
        loop {
            client.stream.write_all(&pull).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(2), flood).await.is_err());
    let mut other = running.client().await;
    assert_eq!(other.put("T", "0", "", b"x").await.code, 0);
    drop(client);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn silent_connections_are_closed() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let before = tokio::time::Instant::now();
    assert!(client.receive_or_end().await.is_none());
    assert!(before.elapsed() >= Duration::from_secs(120), "{:?}", before.elapsed());
    running.stop().await;
}

/// Serves real clients until the process is killed: `cargo test --test remoting -- --ignored serve`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs until it is killed"]
async fn serve() {
    let address = |name, default: &str| std::env::var(name).unwrap_or(default.into()).parse().unwrap();
    let levels = std::env::var("SERVE_LEVELS").ok().map(|text| text.parse::<DelayLevels>().unwrap().0);
    let broker = address("SERVE_BROKER", "127.0.0.1:10911");
    let names = address("SERVE_NAMESRV", "127.0.0.1:9876");
    let _running = Running::start_at(true, levels, broker, names).await;
    std::future::pending::<()>().await;
}

/// The socket of a client that has closed its own.
struct Gone;

impl AsyncWrite for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn commit(offset: &str) -> [(&str, &str); 4] {
    [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", offset)]
}

const COMMITTED: [(&str, &str); 3] = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];

/// A consumer says how far it came and closes, and at the same moment messages come that its pulls waited for: the
/// answer that nobody takes must not cost the commit behind it.
#[tokio::test]
async fn last_commits_count_though_an_answer_finds_nobody() {
    let running = Running::start().await;
    let mut client = running.client().await;
    assert_eq!(client.put("T", "0", "", b"x").await.code, 0);
    client.heartbeat("c", "g", "T", "*").await;
    let (mut stream, server) = duplex(64 << 10);
    // Longer than what is read at a time, so that the commits are not read yet when the answer fails.
    let mut bytes = client.encode(9999, 0, &[], &[7; 4000]);
    for offset in ["1", "2", "3"] {
        bytes.extend(client.encode(15, 2, &commit(offset), b""));
    }
    stream.write_all(&bytes).await.unwrap();
    drop(stream);
    let (_stopping, stopped) = watch::channel(false);
    let peer = Peer::new(u64::MAX, any_port(), Port::Broker);
    connection::serve(running.broker.clone(), (server, Gone), peer, stopped).await;
    assert_eq!(client.ask(14, &COMMITTED, b"").await.fields["offset"], "3");
    running.stop().await;
}

#[tokio::test]
async fn a_question_for_an_offset_sees_the_commit_before_it() {
    for slow in [false, true] {
        let running = Running::start_with(slow).await;
        let mut client = running.client().await;
        assert_eq!(client.put("T", "0", "", b"x").await.code, 0);
        client.heartbeat("c", "g", "T", "*").await;
        for offset in ["1", "2", "3"] {
            let mut bytes = client.encode(15, 2, &commit(offset), b"");
            let question = client.next;
            bytes.extend(client.encode(14, 0, &COMMITTED, b""));
            client.stream.write_all(&bytes).await.unwrap();
            assert_eq!(client.answer_to(question).await.fields["offset"], offset);
        }
        running.stop().await;
    }
}
