//! Pulls in all their variants, and bodies that the broker passes on as they are.

use crate::{
    codes::records,
    support::{Answer, Client, Running, pull_fields, send_fields},
};

fn bodies(answer: &Answer) -> Vec<Vec<u8>> {
    records(answer).into_iter().map(|record| record.4).collect()
}

fn with<'a>(mut fields: Vec<(&'a str, &'a str)>, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    for change in changes {
        fields.retain(|(name, _)| *name != change.0);
        fields.push(*change);
    }
    fields
}

fn pull<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    with(pull_fields("T", "0", "0", "*"), changes)
}

/// "hello " twenty times, as the tools of zlib, LZ4 and Zstandard write it; the flags that clients send with each.
const COMPRESSED: [(&str, &[u8]); 4] = [
    ("1", b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\xa0\x3b\x09\x00\x77\xba\x2c\x11"),
    ("769", b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\xa0\x3b\x09\x00\x77\xba\x2c\x11"),
    (
        "257",
        b"\x04\x22\x4d\x18\x64\x40\xa7\x10\x00\x00\x00\x6f\x68\x65\x6c\x6c\x6f\x20\x06\x00\x5a\x50\x65\x6c\x6c\x6f\
        \x20\x00\x00\x00\x00\x2f\x1d\x05\x74",
    ),
    (
        "513",
        b"\x28\xb5\x2f\xfd\x24\x78\x6d\x00\x00\x30\x68\x65\x6c\x6c\x6f\x20\x01\x00\x2f\x69\x29\x02\x7a\x3e\x7c\x28",
    ),
];

fn sys_flag(record: &[u8]) -> String {
    i32::from_be_bytes(record[36..40].try_into().unwrap()).to_string()
}

#[tokio::test]
async fn compressed_bodies_and_their_flags_pass_untouched() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for (flag, body) in COMPRESSED {
        let fields = with(send_fields("T", "0", ""), &[("f", flag)]);
        assert_eq!(client.ask(310, &fields, body).await.code, 0);
    }
    // What is no compressed body at all is the consumers' affair; bits of the layout are the broker's.
    let claims = with(send_fields("T", "0", ""), &[("f", "817")]);
    assert_eq!(client.ask(310, &claims, b"not compressed").await.code, 0);
    let answer = client.ask(11, &pull(&[]), b"").await;
    let sent: Vec<Vec<u8>> = COMPRESSED.iter().map(|(_, body)| body.to_vec()).collect();
    let pulled = bodies(&answer);
    assert_eq!((&pulled[..4], &pulled[4][..]), (&sent[..], &b"not compressed"[..]));
    let mut rest = &answer.body[..];
    for expected in COMPRESSED.iter().map(|(flag, _)| *flag).chain(["769"]) {
        assert_eq!(sys_flag(rest), expected);
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[size as usize..];
    }
    running.stop().await;
}

#[tokio::test]
async fn each_message_of_a_batch_keeps_the_compression_of_the_batch() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let (flag, body) = COMPRESSED[2];
    let mut batch = Vec::new();
    for _ in 0..3 {
        batch.extend((22 + body.len() as u32).to_be_bytes());
        batch.extend([0; 12]);
        batch.extend((body.len() as u32).to_be_bytes());
        batch.extend(body);
        batch.extend([0; 2]);
    }
    let fields = with(send_fields("T", "0", ""), &[("f", flag), ("m", "true")]);
    for code in [320, 310] {
        assert_eq!(client.ask(code, &fields, &batch).await.code, 0);
    }
    let answer = client.ask(11, &pull(&[]), b"").await;
    assert_eq!(bodies(&answer), vec![body.to_vec(); 6]);
    assert_eq!(sys_flag(&answer.body), flag);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_holds_as_much_as_the_client_says() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for i in 0..20_u8 {
        client.put("T", "0", "", &[i; 1_000]).await;
    }
    let size = u32::from_be_bytes(client.ask(11, &pull(&[]), b"").await.body[..4].try_into().unwrap());
    let just = (3 * size).to_string();
    let less = (3 * size - 1).to_string();
    for (changes, count) in [
        (&[("maxMsgBytes", just.as_str())], 3),
        (&[("maxMsgBytes", &less)], 2),
        (&[("maxMsgBytes", "1")], 1),
        (&[("maxMsgBytes", "0")], 20),
        (&[("maxMsgBytes", "-5")], 20),
        (&[("maxMsgBytes", "9223372036854775807")], 20),
        (&[("maxMsgNums", "7")], 7),
        (&[("maxMsgNums", "0")], 1),
        (&[("maxMsgNums", "-1")], 1),
        (&[("maxMsgNums", "9223372036854775807")], 20),
    ] {
        for code in [11, 361] {
            let answer = client.ask(code, &pull(changes), b"").await;
            assert_eq!((answer.code, bodies(&answer).len()), (0, count), "{changes:?}");
            assert_eq!(answer.number("nextBeginOffset"), count as i64);
        }
    }
    for (changes, code) in [
        (&[("queueOffset", "9223372036854775807")], 21),
        (&[("queueOffset", "-1")], 0),
        (&[("suspendTimeoutMillis", "-1")], 1),
        (&[("maxMsgNums", "x")], 1),
        (&[("sysFlag", "x")], 1),
    ] {
        assert_eq!(client.ask(11, &pull(changes), b"").await.code, code, "{changes:?}");
    }
    running.stop().await;
}

/// Lite pull consumers have no subscription in their heartbeats: what they assign themselves comes with each pull.
#[tokio::test]
async fn a_lite_pull_brings_its_subscription_and_its_progress() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for tag in ["A", "B", "A"] {
        client.put("T", "0", &format!("TAGS\u{1}{tag}\u{2}"), tag.as_bytes()).await;
    }
    let body = serde_json::json!({"clientID": "c", "consumerDataSet": [{"groupName": "G", "consumeType":
        "CONSUME_ACTIVELY", "messageModel": "CLUSTERING", "subscriptionDataSet": []}]});
    assert_eq!(client.ask(34, &[], body.to_string().as_bytes()).await.code, 0);
    // Commit, subscription, lite: as Java 5 sets them.
    let lite = pull(&[("sysFlag", "21"), ("subscription", "A"), ("commitOffset", "2"), ("subVersion", "9")]);
    let answer = client.ask(361, &lite, b"").await;
    assert_eq!((answer.code, bodies(&answer)), (0, vec![b"A".to_vec(), b"A".to_vec()]));
    assert_eq!((answer.number("nextBeginOffset"), answer.number("suggestWhichBrokerId")), (3, 0));
    client.until_offset(&[("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")], 2).await;
    // Without the bit, an offset that comes along is not kept.
    let plain = pull(&[("sysFlag", "20"), ("commitOffset", "3")]);
    assert_eq!(client.ask(361, &plain, b"").await.code, 0);
    client.until_offset(&[("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")], 2).await;
    // A class at the client filters: everything goes out.
    let class = pull(&[("sysFlag", "12"), ("subscription", "org.example.Filter")]);
    assert_eq!(bodies(&client.ask(11, &class, b"").await).len(), 3);
    running.stop().await;
}

async fn broadcast_member(client: &mut Client, id: &str) {
    let body = serde_json::json!({"clientID": id, "consumerDataSet": [{"groupName": "B", "consumeType":
        "CONSUME_PASSIVELY", "messageModel": "BROADCASTING", "subscriptionDataSet":
        [{"topic": "T", "subString": "*", "subVersion": 1}]}]});
    assert_eq!(client.ask(34, &[], body.to_string().as_bytes()).await.code, 0);
}

/// Members of a broadcast group keep their progress themselves: they never ask for each other or for offsets.
#[tokio::test]
async fn members_of_a_broadcast_group_each_pull_everything() {
    let running = Running::start().await;
    let (mut a, mut b) = (running.client().await, running.client().await);
    a.put("T", "0", "", b"one").await;
    broadcast_member(&mut a, "a").await;
    broadcast_member(&mut b, "b").await;
    let fields = pull(&[("consumerGroup", "B"), ("sysFlag", "0"), ("subVersion", "1")]);
    for client in [&mut a, &mut b] {
        assert_eq!(bodies(&client.ask(11, &fields, b"").await), [b"one".to_vec()]);
    }
    assert_eq!(running.broker.store.committed_offset("B", "T", 0), None);
    assert!(running.broker.store.topic("%RETRY%B").is_none(), "a broadcast group never retries");
    running.stop().await;
}
