//! Everything that goes on beside messages: locks, questions, connections that come and go, clients that misbehave.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use mainspring_broker::remoting::codes::request as codes;

use crate::{
    Soak,
    chance::Chance,
    clock::pause,
    consume::{GROUPS, heartbeat},
    produce::{QUEUES, TOPICS},
    wire::Client,
};

/// Connections that come and go, a second.
const CHURN_PER_S: u64 = 20;
/// Times a second that every question is asked.
const ASKS_PER_S: u64 = 5;
/// Codes that an administrator's tools ask; a broker that does not serve one says so.
const LISTINGS: [i32; 12] = [21, 28, 200, 201, 202, 203, 204, 206, 208, 300, 305, 315];

/// Two orderly consumers: what one holds the other is refused.
pub(crate) fn locks(soak: &Soak) -> io::Result<()> {
    let (mut one, mut other) = (Client::connect(soak.broker)?, Client::connect(soak.broker)?);
    heartbeat(&mut one, "soak-orderly", TOPICS[0])?;
    while !soak.is_done() {
        for queue in 0..QUEUES {
            let body = |client: &str| {
                serde_json::json!({"clientId": client, "consumerGroup": "soak-orderly",
                    "mqSet": [{"brokerName": "broker-a", "queueId": queue, "topic": TOPICS[0]}]})
                .to_string()
            };
            let held = one.ask(codes::LOCK_BATCH_MQ, &[], body("one").as_bytes())?;
            let refused = other.ask(codes::LOCK_BATCH_MQ, &[], body("other").as_bytes())?;
            let holds = |answer: &[u8]| String::from_utf8_lossy(answer).contains("queueId");
            if !holds(&held.body) || holds(&refused.body) {
                soak.ledger.find(format!("a lock is held by none or two: {held:?}, {refused:?}"));
            }
            one.ask(codes::UNLOCK_BATCH_MQ, &[], body("one").as_bytes())?;
        }
        pause(500);
    }
    Ok(())
}

/// Asks what consoles and clients ask.
pub(crate) fn questions(soak: &Soak) -> io::Result<()> {
    let (mut names, mut broker) = (Client::connect(soak.names)?, Client::connect(soak.broker)?);
    let mut chance = Chance::new(soak.seed, 2_000);
    while !soak.is_done() {
        let topic = TOPICS[usize::try_from(chance.below(3)).unwrap_or(0)];
        let group = GROUPS[usize::try_from(chance.below(3)).unwrap_or(0)];
        for code in [105, 106, 206] {
            names.ask(code, &[("topic", topic)], b"")?;
        }
        let queue = [("topic", topic), ("queueId", "0")];
        let (least, most) = (
            broker.ask(codes::GET_MIN_OFFSET, &queue, b"")?,
            broker.ask(codes::GET_MAX_OFFSET, &queue, b"")?,
        );
        if least.code == 0 && most.code == 0 && least.number("offset")? > most.number("offset")? {
            soak.ledger.find(format!("a queue begins behind its end: {least:?}, {most:?}"));
        }
        broker.ask(29, &[queue[0], queue[1], ("timestamp", "1700000000000")], b"")?;
        broker.ask(32, &queue, b"")?;
        broker.ask(38, &[("consumerGroup", group)], b"")?;
        let key = format!("S{}-{:x}", chance.below(3), chance.below(10_000));
        let end = i64::MAX.to_string();
        let find = [
            ("topic", topic),
            ("key", &*key),
            ("maxNum", "8"),
            ("beginTimestamp", "0"),
            ("endTimestamp", &*end),
        ];
        broker.ask(12, &find, b"")?;
        for code in LISTINGS {
            let fields = [
                ("topic", topic),
                ("consumerGroup", group),
                ("group", group),
                ("producerGroup", "soak-producers"),
                ("statsName", "TOPIC_PUT_NUMS"),
                ("statsKey", topic),
            ];
            broker.ask(code, &fields, b"")?;
        }
        pause(1_000 / ASKS_PER_S);
    }
    Ok(())
}

/// Connections that end in every way.
pub(crate) fn churn(soak: &Soak) -> io::Result<()> {
    let mut chance = Chance::new(soak.seed, 3_000);
    let pull = |client: &mut Client, hold: &str| {
        let fields = [
            ("consumerGroup", "soak-churn"),
            ("topic", TOPICS[0]),
            ("queueId", "0"),
            ("queueOffset", "1"),
            ("maxMsgNums", "32"),
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", hold),
            ("subscription", "nobody"),
            ("expressionType", "TAG"),
            ("subVersion", "0"),
        ];
        client.send(codes::PULL_MESSAGE, &fields, b"").map(drop)
    };
    while !soak.is_done() {
        match chance.below(6) {
            // Says hello, waits for a message, and is gone without a word.
            0 | 1 => {
                let mut client = Client::connect(soak.broker)?;
                heartbeat(&mut client, "soak-churn", TOPICS[0])?;
                pull(&mut client, "20000")?;
            }
            // Asks much and reads nothing.
            2 => {
                let mut client = Client::connect(soak.broker)?;
                for _ in 0..200 {
                    pull(&mut client, "0")?;
                }
                pause(20);
            }
            // Half a frame.
            3 => TcpStream::connect(soak.broker)?.write_all(&[0, 1, 0, 0, 0, 0, 0, 9, b'{'])?,
            // No protocol: the broker hangs up.
            4 => {
                let mut stream = TcpStream::connect(soak.names)?;
                stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
                if stream.read(&mut [0; 16]).is_ok_and(|n| n > 0) {
                    soak.ledger.find(String::from("a question that is no protocol was answered"));
                }
            }
            _ => {
                let mut client = Client::connect(soak.broker)?;
                client.ask(codes::GET_MAX_OFFSET, &[("topic", TOPICS[1]), ("queueId", "1")], b"")?;
            }
        }
        pause(1_000 / CHURN_PER_S);
    }
    Ok(())
}
