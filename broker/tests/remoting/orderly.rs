//! Codes 41 and 42: locks of orderly consumers, also over restarts.

use std::sync::Arc;

use backends::MemoryBackend;

use crate::paced::{Paced, small};
use crate::support::{Client, Running};

const HELD: &str = r#"{"lockOKMQSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}]}"#;
const NONE: &str = r#"{"lockOKMQSet":[]}"#;

fn body(client: &str, queue: i64) -> Vec<u8> {
    serde_json::json!({"clientId": client, "consumerGroup": "G", "onlyThisBroker": false,
        "mqSet": [{"brokerName": "broker-a", "queueId": queue, "topic": "T"}]})
    .to_string()
    .into_bytes()
}

async fn lock(client: &mut Client, name: &str) -> String {
    client.ask(41, &[], &body(name, 0)).await.text()
}

#[tokio::test]
async fn orderly_consumers_lock_queues() {
    for slow in [false, true] {
        let running = Running::start_with(slow).await;
        let mut client = running.client().await;
        assert_eq!(lock(&mut client, "a").await, NONE, "a queue that is not there was locked");
        client.put("T", "0", "", b"first").await;
        assert_eq!(client.ask(41, &[], &body("a", 1 << 20)).await.text(), NONE);
        let held = client.ask(41, &[], &body("a", 0)).await;
        assert_eq!((held.code, held.text().as_str()), (0, HELD));
        assert_eq!(lock(&mut client, "b").await, NONE);
        // Whatever an orderly group sends to its retry topic is given up on.
        client.heartbeat("a", "G", "T", "*").await;
        assert_eq!(client.put("%RETRY%G", "0", "RETRY_TOPIC\u{1}T\u{2}", b"x").await.code, 0);
        assert_eq!(client.ask(30, &[("topic", "%DLQ%G"), ("queueId", "0")], b"").await.number("offset"), 1);
        assert_eq!(client.ask(42, &[], &body("b", 0)).await.code, 0);
        assert_eq!(lock(&mut client, "b").await, NONE, "the lock was not b's to give up");
        assert_eq!(client.ask(42, &[], &body("a", 0)).await.code, 0);
        assert_eq!(lock(&mut client, "b").await, HELD);
        assert_eq!(client.ask(41, &[], b"{").await.code, 1);
        assert_eq!(client.ask(41, &[], &body("b", -1)).await.text(), NONE);
        assert_eq!(client.ask(41, &[], &body(&"x".repeat(300), 1)).await.code, 13);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_lock_outlives_its_connection_and_its_broker() {
    let backend = Arc::new(MemoryBackend::new());
    let paced = Paced::start(backend.clone(), small()).await;
    let mut client = paced.client().await;
    client.heartbeat("a", "G", "T", "*").await;
    client.put("T", "0", "", b"first").await;
    assert_eq!(lock(&mut client, "a").await, HELD);
    paced.pass(10_000);
    client.ask(35, &[("clientID", "a"), ("consumerGroup", "G")], b"").await;
    drop(client);
    let mut client = paced.client().await;
    assert_eq!(lock(&mut client, "b").await, NONE);
    // The process goes away without a word; the next one finds everything in the log.
    let passed = paced.kill().await;
    let paced = Paced::start_later(backend, small(), passed).await;
    let mut client = paced.client().await;
    assert_eq!(lock(&mut client, "b").await, NONE);
    assert_eq!(lock(&mut client, "a").await, HELD);
    paced.pass(49_999);
    assert_eq!(lock(&mut client, "b").await, NONE);
    paced.pass(1);
    assert_eq!(lock(&mut client, "b").await, HELD);
    assert_eq!(lock(&mut client, "a").await, NONE);
    paced.stop().await;
}
