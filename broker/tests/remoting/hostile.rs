//! Bad input by sockets: whatever a client sends, it gets one answer or loses its own connection, and nobody else notices.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{io::AsyncWriteExt, time::timeout};

use crate::support::{Client, Running, frame_of, pull_fields, send_fields};

/// Codes below this are asked one by one.
const CODES: i32 = 420;

/// Fields of all requests together, each with the same value where it is to be wrong.
fn fields(wrong: Option<&str>) -> Vec<(&str, &str)> {
    let good = [
        ("topic", "T"),
        ("queueId", "0"),
        ("consumerGroup", "G"),
        ("producerGroup", "P"),
        ("group", "G"),
        ("groupName", "G"),
        ("clientID", "c"),
        ("clientId", "c"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("offset", "0"),
        ("delayLevel", "0"),
        ("originMsgId", ""),
        ("timestamp", "0"),
        ("key", "k"),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", "6"),
        ("statsName", "TOPIC_PUT_NUMS"),
        ("statsKey", "T"),
        ("index", "0"),
        ("count", "10"),
    ];
    good.iter()
        .chain(&send_fields("T", "0", ""))
        .map(|(name, value)| (*name, wrong.unwrap_or(value)))
        .collect()
}

/// Asks a code on a connection of its own kind and gives whether it was answered.
async fn asked(client: &mut Client, code: i32, fields: &[(&str, &str)], body: &[u8]) {
    let opaque = client.send(code, fields, body).await;
    let answer = timeout(Duration::from_secs(20), client.receive_or_end()).await;
    let answer = answer.unwrap_or_else(|_| panic!("{code} is not answered"));
    let answer = answer.unwrap_or_else(|| panic!("{code} ends the connection"));
    assert_eq!((answer.opaque, answer.flag & 1), (opaque, 1), "{code}: {answer:?}");
}

#[tokio::test]
async fn every_code_is_answered_once_whatever_its_fields() {
    let running = Running::start().await;
    running.client().await.put("T", "0", "KEYS\u{1}k\u{2}", b"x").await;
    let deep = "[".repeat(100_000);
    for port in [running.broker_at, running.names_at] {
        let mut client = Client::connect(port).await;
        for code in (0..CODES).chain([901, 904, 200_050, 200_051, 200_052, i32::MIN, i32::MAX]) {
            asked(&mut client, code, &fields(None), b"").await;
            for wrong in ["", "-1", "9223372036854775807", "-9223372036854775808", "%", "\u{0}\u{10FFFF}"] {
                asked(&mut client, code, &fields(Some(wrong)), b"{}").await;
            }
            for body in [&b"[[["[..], b"{\"mqSet\":7,\"consumerDataSet\":{}}", &[0xFF; 300], deep.as_bytes()]
            {
                asked(&mut client, code, &fields(None), body).await;
            }
        }
    }
    assert_eq!(running.broker.counters.panics.load(Ordering::Relaxed), 0);
    running.stop().await;
}

/// One-way requests of every kind, and answers to questions that nobody asked.
#[tokio::test]
async fn nothing_is_answered_that_asks_for_no_answer() {
    let running = Running::start().await;
    running.client().await.put("T", "0", "", b"x").await;
    for port in [running.broker_at, running.names_at] {
        let mut client = Client::connect(port).await;
        for code in 0..CODES {
            for flag in [1, 2, 3] {
                let bytes = client.encode(code, flag, &fields(None), b"{}");
                client.stream.write_all(&bytes).await.unwrap();
            }
        }
        let last = client.ask(9999, &[], b"").await;
        assert_eq!(last.code, 3);
        assert!(client.pushed.iter().all(|push| push.flag & 1 == 0), "{:?}", client.pushed);
    }
    assert_eq!(running.broker.counters.panics.load(Ordering::Relaxed), 0);
    running.stop().await;
}

/// A message whose body is itself a record: an offset into it names no message, whoever asks.
#[tokio::test]
async fn forged_offsets_and_ids_name_nothing() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.heartbeat("c", "G", "T", "*").await;
    client.put("T", "0", "KEYS\u{1}k\u{2}", b"original").await;
    let stolen = client.ask(11, &pull_fields("T", "0", "0", "*"), b"").await.body;
    let real = client.put("T", "0", "", &stolen).await;
    let id = real.fields["msgId"].clone();
    let position = i64::from_str_radix(&id[16..], 16).unwrap();
    let bytes = client.ask(11, &pull_fields("T", "1", "0", "*"), b"").await.body;
    let inside = bytes.windows(stolen.len()).position(|part| part == stolen).unwrap() as i64;
    let forged = [position + inside, position + 1, position - 8, 0, -1, i64::MAX, i64::MIN, 1 << 40];
    for offset in forged {
        let text = offset.to_string();
        for code in [33, 36, 39] {
            let asked = [
                ("group", "G"),
                ("offset", &*text),
                ("delayLevel", "0"),
                ("topic", "T"),
                ("commitLogOffset", &*text),
                ("msgId", &*id),
                ("tranStateTableOffset", &*text),
            ];
            let answer = client.ask(code, &asked, b"").await;
            assert_ne!(answer.code, 0, "code {code} takes the offset {offset}: {answer:?}");
            assert!(answer.body.is_empty(), "code {code} reads at the offset {offset}");
        }
    }
    for id in
        ["", "7F", &"F".repeat(32), &"G".repeat(32), &"0".repeat(56), &format!("{id}00"), &"é".repeat(16)]
    {
        let answer = client
            .ask(
                12,
                &[
                    ("topic", "T"),
                    ("key", id),
                    ("maxNum", "32"),
                    ("beginTimestamp", "0"),
                    ("endTimestamp", "9223372036854775807"),
                ],
                b"",
            )
            .await;
        assert!(answer.body.is_empty(), "{id:?} finds {answer:?}");
    }
    assert_eq!(running.broker.counters.panics.load(Ordering::Relaxed), 0);
    running.stop().await;
}

/// Batches whose lengths lie.
#[tokio::test]
async fn batches_that_lie_are_refused_whole() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "", b"x").await;
    let part = |total: i32, body: i32, properties: i16| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&total.to_be_bytes());
        bytes.extend_from_slice(&[0; 12]);
        bytes.extend_from_slice(&body.to_be_bytes());
        bytes.extend_from_slice(b"body");
        bytes.extend_from_slice(&properties.to_be_bytes());
        bytes
    };
    let good = part(26, 4, 0);
    let bad = [
        part(27, 4, 0),
        part(26, 5, 0),
        part(26, -1, 0),
        part(26, i32::MAX, 0),
        part(-26, 4, 0),
        part(0, 4, 0),
        part(i32::MAX, 4, 0),
        part(i32::MIN, 4, 0),
        part(26, 4, 1),
        part(26, 4, -1),
        good[..25].to_vec(),
    ];
    let fields = send_fields("T", "0", "");
    for bad in bad {
        for body in [bad.clone(), [&good[..], &bad].concat(), [&bad[..], &good].concat()] {
            let answer = client.ask(320, &fields, &body).await;
            assert_ne!(answer.code, 0, "{body:?}");
        }
    }
    let end = client.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await;
    assert_eq!(end.fields["offset"], "1", "a part of a batch was kept");
    assert_eq!(client.ask(320, &fields, &good.repeat(3)).await.code, 0);
    running.stop().await;
}

/// A body is the producer's own: one that says it is compressed and is not comes back as it was, to whom it concerns.
#[tokio::test]
async fn compression_that_lies_is_the_clients_affair() {
    let running = Running::start().await;
    let mut client = running.client().await;
    // Long enough not to stand in a time or an address by chance.
    let bodies: [&[u8]; 4] = [
        b"plain",
        &[0x78, 0x9C, 0xFF, 0xFF, 0xFF],
        &[0x28, 0xB5, 0x2F, 0xFD, 0xFF],
        &[0x04, 0x22, 0x4D, 0x18, 0xFF],
    ];
    for (n, body) in bodies.iter().enumerate() {
        for kind in ["1", "257", "513", "769", "1025"] {
            let mut fields = send_fields("T", "0", "");
            fields.iter_mut().filter(|(name, _)| *name == "f").for_each(|field| field.1 = kind);
            assert_eq!(client.ask(310, &fields, body).await.code, 0);
        }
        let from = (5 * n).to_string();
        let pulled = client.ask(11, &pull_fields("T", &from, "0", "*"), b"").await;
        assert_eq!(pulled.body.windows(body.len()).filter(|part| part == body).count(), 5);
    }
    running.stop().await;
}

/// Lengths of a frame and a binary header that lead nowhere end their connection, and only that.
#[tokio::test]
async fn lengths_that_lie_end_their_connection() {
    let running = Running::start().await;
    let mut good = running.client().await;
    let binary = |remark: i32, fields: i32, name: i16, value: i32| {
        let mut header = vec![0, 105, 0, 1, 0x99, 0, 0, 0, 5, 0, 0, 0, 0];
        header.extend_from_slice(&remark.to_be_bytes());
        header.extend_from_slice(&fields.to_be_bytes());
        header.extend_from_slice(&name.to_be_bytes());
        header.extend_from_slice(b"topic");
        header.extend_from_slice(&value.to_be_bytes());
        header.extend_from_slice(b"T");
        let mut frame = frame_of(&header, b"");
        frame[4] = 1;
        frame
    };
    let bad = [
        binary(-1, 12, 5, 1),
        binary(i32::MAX, 12, 5, 1),
        binary(0, -1, 5, 1),
        binary(0, 13, 5, 1),
        binary(0, 12, -1, 1),
        binary(0, 12, 6, 1),
        binary(0, 12, 5, -1),
        binary(0, 12, 5, i32::MAX),
    ];
    for port in [running.broker_at, running.names_at] {
        for bytes in &bad {
            let mut client = Client::connect(port).await;
            client.stream.write_all(bytes).await.unwrap();
            let ended = timeout(Duration::from_secs(20), client.receive_or_end()).await.unwrap();
            assert!(ended.is_none(), "{bytes:?} is answered: {ended:?}");
        }
        assert_eq!(good.ask(9999, &[], b"").await.code, 3);
    }
    running.stop().await;
}
