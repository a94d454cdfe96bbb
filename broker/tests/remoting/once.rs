//! Producers that ask for a message to be stored once (Q13): by property, by topic, alone, in batches, delayed, over
//! restarts.

use std::sync::Arc;

use backends::MemoryBackend;

use crate::paced::{Paced, small};
use crate::support::{Answer, Client, Running, send_fields};

/// What tells a producer where its message is.
fn place(answer: &Answer) -> (i32, String, i64, i64) {
    let text = answer.remark.clone().unwrap_or_default();
    assert_eq!(answer.code, 0, "{text}");
    (answer.code, answer.fields["msgId"].clone(), answer.number("queueId"), answer.number("queueOffset"))
}

async fn end(client: &mut Client, queue: &str) -> i64 {
    client.ask(30, &[("topic", "T"), ("queueId", queue)], b"").await.number("offset")
}

#[tokio::test]
async fn q13_a_repeated_send_is_stored_twice_unless_it_asks_for_once() {
    for slow in [false, true] {
        let running = Running::start_with(slow).await;
        let mut client = running.client().await;
        let plain = "UNIQ_KEY\u{1}u0\u{2}";
        let (a, b) = (client.put("T", "0", plain, b"x").await, client.put("T", "0", plain, b"x").await);
        assert_ne!(place(&a), place(&b));
        let once = "UNIQ_KEY\u{1}u1\u{2}STORE_ONCE\u{1}true\u{2}";
        let first = place(&client.put("T", "0", once, b"x").await);
        assert_eq!(first.3, 2);
        // A client that tries again takes another queue.
        assert_eq!(place(&client.put("T", "1", once, b"x").await), first);
        assert_eq!((end(&mut client, "0").await, end(&mut client, "1").await), (3, 0));
        // Its own key outlives its unique keys.
        let own = |key: &str| format!("UNIQ_KEY\u{1}{key}\u{2}STORE_ONCE\u{1}order-7\u{2}");
        let first = place(&client.put("T", "0", &own("u2"), b"x").await);
        assert_eq!(place(&client.put("T", "0", &own("u3"), b"x").await), first);
        assert_ne!(place(&client.put("U", "0", &own("u4"), b"x").await), first);
        let none = client.put("T", "0", "STORE_ONCE\u{1}true\u{2}", b"x").await;
        assert_eq!(none.code, 13);
        running.stop().await;
    }
}

#[tokio::test]
async fn q13_repeats_in_flight_at_once_are_one_message() {
    let running = Running::start_with(true).await;
    let mut client = running.client().await;
    assert_eq!(client.put("T", "0", "", b"makes the topic").await.code, 0);
    let once = "UNIQ_KEY\u{1}u1\u{2}STORE_ONCE\u{1}true\u{2}";
    for _ in 0..8 {
        client.send(310, &send_fields("T", "0", once), b"x").await;
    }
    let mut places = Vec::new();
    for _ in 0..8 {
        places.push(place(&client.receive().await));
    }
    assert!(places.iter().all(|found| *found == places[0]), "{places:?}");
    let pulled = client.ask(11, &crate::support::pull_fields("T", "0", "0", "*"), b"").await;
    assert_eq!(crate::paced::seen(&pulled).len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn q13_a_timer_is_one_timer_also_after_a_kill_and_after_it_fired() {
    let backend = Arc::new(MemoryBackend::new());
    let paced = Paced::start(backend.clone(), small()).await;
    let mut client = paced.client().await;
    let due = 1_700_000_000_000_u64 + 5_000;
    let once = format!("UNIQ_KEY\u{1}u1\u{2}STORE_ONCE\u{1}true\u{2}TIMER_DELIVER_MS\u{1}{due}\u{2}");
    let sent = client.put("T", "0", &once, b"x").await;
    let (first, repeat) = (place(&sent), client.put("T", "0", &once, b"x").await);
    assert_eq!(
        (place(&repeat), &repeat.fields["recallHandle"]),
        (first.clone(), &sent.fields["recallHandle"])
    );
    let passed = paced.kill().await;
    let paced = Paced::start_later(backend, small(), passed).await;
    let mut client = paced.client().await;
    // The host in a message id is the broker's; its port is another one now. The position is the same.
    let position = |place: &(i32, String, i64, i64)| place.1[16..].to_owned();
    assert_eq!(position(&place(&client.put("T", "0", &once, b"x").await)), position(&first));
    assert_eq!(paced.running.broker.store.stats().timers_pending, 1);
    paced.pass(6_000);
    // By now it would be delivered at once: it was.
    assert_eq!(position(&place(&client.put("T", "0", &once, b"x").await)), position(&first));
    assert_eq!(paced.seen(&mut client, "T", 0).await.len(), 1);
    paced.stop().await;
}

#[tokio::test]
async fn q13_a_topic_can_ask_for_all_its_messages_and_batches_repeat_by_message() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let once = "+store.once=true,+message.type=NORMAL";
    let topic = [("topic", "T"), ("readQueueNums", "2"), ("writeQueueNums", "2"), ("attributes", once)];
    assert_eq!(client.ask(17, &topic, b"").await.code, 0);
    let shown = client.ask(351, &[("topic", "T")], b"").await.text();
    assert!(shown.contains(r#""attributes":{"message.type":"NORMAL","store.once":"true"}"#), "{shown}");
    let key = |key: &str| format!("UNIQ_KEY\u{1}{key}\u{2}");
    let first = place(&client.put("T", "0", &key("u1"), b"one").await);
    assert_eq!(place(&client.put("T", "0", &key("u1"), b"one").await), first);
    // Without a key of the producer nothing tells a repeat.
    assert_eq!(client.put("T", "0", "", b"x").await.number("queueOffset"), 1);
    assert_eq!(client.put("T", "0", "", b"x").await.number("queueOffset"), 2);
    let part = |key: &str| {
        let properties = format!("UNIQ_KEY\u{1}{key}\u{2}");
        let mut bytes = Vec::new();
        let total = u32::try_from(4 + 4 + 4 + 4 + 4 + 1 + 2 + properties.len()).unwrap();
        for word in [total, 0, 0, 0, 1] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.push(b'x');
        bytes.extend_from_slice(&u16::try_from(properties.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(properties.as_bytes());
        bytes
    };
    let batch = [part("u2"), part("u1"), part("u3")].concat();
    let unique = key("batch");
    let mut fields = send_fields("T", "0", &unique);
    fields.retain(|(name, _)| *name != "m");
    fields.push(("m", "true"));
    let sent = place(&client.ask(320, &fields, &batch).await);
    let ids: Vec<&str> = sent.1.split(',').collect();
    assert_eq!((ids.len(), ids[1], sent.3), (3, first.1.as_str(), 3));
    assert_eq!(place(&client.ask(320, &fields, &batch).await), sent);
    let again = client.ask(11, &crate::support::pull_fields("T", "0", "0", "*"), b"").await;
    assert_eq!(crate::paced::seen(&again).len(), 5);
    assert_eq!(running.broker.traffic.put().messages, 5, "a repeat was counted as a message");
    running.stop().await;
}

#[tokio::test]
async fn a_copy_of_a_failed_message_is_no_repeat() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.heartbeat("c", "G", "T", "*").await;
    let once = "UNIQ_KEY\u{1}u1\u{2}STORE_ONCE\u{1}true\u{2}RETRY_TOPIC\u{1}T\u{2}";
    let a = place(&client.put("%RETRY%G", "0", once, b"x").await);
    let b = place(&client.put("%RETRY%G", "0", once, b"x").await);
    assert_ne!(a, b);
    running.stop().await;
}
