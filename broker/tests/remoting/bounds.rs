//! What one client can have the broker keep: what its heartbeats say, and the topics and groups that it makes.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::{Answer, Client, Running, pull_fields};

async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
}

fn refused(answer: &Answer, code: i32, part: &str) {
    let remark = answer.remark.as_deref().unwrap_or_default();
    assert!(answer.code == code && remark.contains(part), "{} {remark}", answer.code);
}

#[tokio::test]
async fn a_client_that_wants_too_much_is_refused_and_others_go_on() {
    let running = Running::tight(16 << 20).await;
    let (mut hostile, mut good) = (running.client().await, running.client().await);
    let tags = "x".repeat(300_000);
    let (mut taken, mut expression) = (0, String::new());
    let last = loop {
        // Texts of their own, so that nothing of it is the same.
        expression.clone_from(&tags);
        expression.push_str(&taken.to_string());
        let answer = hostile.heartbeat("h", &format!("H{taken}"), "T", &expression).await;
        if answer.code != 0 {
            break answer;
        }
        taken += 1;
        assert!(taken < 10, "{} bytes are kept", running.broker.clients.kept_bytes());
    };
    refused(&last, 1, "the heartbeat is refused");
    assert!(taken > 0 && running.broker.clients.kept_bytes() <= 4 << 20);
    assert!(running.broker.clients.consumer_ids(&format!("H{taken}")).is_empty());
    // It counts for what all connections hold, and is told again as often as the client likes.
    until(|| running.broker.memory.used() >= running.broker.clients.kept_bytes()).await;
    expression.clone_from(&tags);
    expression.push('0');
    assert_eq!(hostile.heartbeat("h", "H0", "T", &expression).await.code, 0);

    assert_eq!(good.heartbeat("g", "G", "T", "a || b").await.code, 0);
    assert_eq!(good.put("T", "0", "TAGS\u{1}a\u{2}", b"x").await.code, 0);
    assert_eq!(good.ask(11, &pull_fields("T", "0", "0", "a || b"), b"").await.code, 0);
    drop(hostile);
    until(|| running.broker.clients.kept_bytes() == 0 && running.broker.memory.used() == 0).await;
    assert_eq!(good.heartbeat("g", "H", "T", &tags).await.code, 0);
    running.stop().await;
}

async fn make_topic(client: &mut Client, topic: &str) -> Answer {
    let fields = [("topic", topic), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6")];
    client.ask(17, &fields, b"").await
}

#[tokio::test]
async fn clients_make_so_many_groups_and_topics_and_administrators_more() {
    let running = Running::with_names(4).await;
    let mut client = running.client().await;
    for n in 0..4 {
        assert_eq!(client.heartbeat("c", &format!("G{n}"), "T", "*").await.code, 0);
    }
    let store = running.broker.store.clone();
    refused(&client.heartbeat("c", "G4", "T", "*").await, 26, "delete groups that nobody uses");
    assert!(store.group("G4").is_none() && store.topic("%RETRY%G3").is_some(), "a group has its retry topic");
    // What there is goes on.
    assert_eq!(client.heartbeat("c", "G0", "T", "*").await.code, 0);
    for topic in ["T", "U"] {
        refused(&client.put(topic, "0", "", b"x").await, 17, "let an administrator make the topic");
    }
    assert_eq!(client.ask(200, &[], br#"{"groupName":"G4"}"#).await.code, 0);
    assert_eq!(client.heartbeat("c", "G4", "T", "*").await.code, 0);
    assert_eq!(make_topic(&mut client, "T").await.code, 0);
    assert_eq!(client.put("T", "0", "", b"x").await.code, 0);
    // A group that is deleted makes room for another one.
    for group in ["G0", "G1"] {
        assert_eq!(client.ask(207, &[("groupName", group)], b"").await.code, 0);
    }
    assert_eq!(client.heartbeat("c", "G5", "T", "*").await.code, 0);

    // Administrators have ten times as much, for what is kept for ever must have an end.
    let mut made = store.topics_known();
    let last = loop {
        let answer = make_topic(&mut client, &format!("A{made}")).await;
        if answer.code != 0 {
            break answer;
        }
        made += 1;
    };
    refused(&last, 17, "administrators make 40 at most");
    assert_eq!((made, store.topics_known()), (40, 40));
    assert_eq!(make_topic(&mut client, "T").await.code, 0, "changes are none the less made");
    running.stop().await;
}

/// A pull that waits when its client goes takes no news that another member is to hear.
#[tokio::test]
async fn a_pull_ends_with_its_connection() {
    let running = Running::start().await;
    let (mut gone, mut here) = (running.client().await, running.client().await);
    here.language = "CPP"; // its pulls are sent on
    here.put("T", "0", "", b"x").await;
    gone.heartbeat("gone", "G", "T", "*").await;
    here.heartbeat("here", "G", "T", "*").await;
    gone.send(11, &pull_fields("T", "1", "90000", "*"), b"").await;
    until(|| running.broker.holds.waiting() == 1).await;
    drop(gone);
    until(|| running.broker.clients.consumer_ids("G") == ["here"]).await;
    assert_eq!(running.broker.holds.waiting(), 0);
    let reset = [("topic", "T"), ("group", "G"), ("timestamp", "0"), ("isForce", "true")];
    assert_eq!(here.ask(222, &reset, b"").await.code, 0);
    let moved = here.ask(11, &pull_fields("T", "1", "0", "*"), b"").await;
    assert_eq!((moved.code, moved.number("nextBeginOffset")), (21, 0));
    running.stop().await;
}
