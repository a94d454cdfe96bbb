//! Who is in a group: heartbeats of both versions, broadcasts, namespaces, and what names may hold.

use std::sync::Arc;

use backends::MemoryBackend;
use mainspring::GroupConfig;

use crate::{
    paced::{Paced, fail_with, offset_of, small},
    support::{Answer, Client, Running, pull_fields},
};

/// A heartbeat with a fingerprint, as 5.x sends it.
async fn beat(client: &mut Client, fingerprint: i32, without: bool, topics: &[&str]) -> Answer {
    let subscriptions: Vec<_> = topics
        .iter()
        .map(|topic| serde_json::json!({"topic": topic, "subString": "A", "subVersion": fingerprint}))
        .collect();
    let body = serde_json::json!({"clientID": "c", "producerDataSet": [], "heartbeatFingerprint": fingerprint,
        "withoutSub": without, "consumerDataSet": [{"groupName": "G", "consumeType": "CONSUME_PASSIVELY",
        "messageModel": "CLUSTERING", "subscriptionDataSet": subscriptions}]});
    let answer = client.ask(34, &[], body.to_string().as_bytes()).await;
    assert_eq!((answer.code, answer.fields["IS_SUPPORT_HEART_BEAT_V2"].as_str()), (0, "true"));
    answer
}

#[tokio::test]
async fn a_short_heartbeat_keeps_what_is_known() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "TAGS\u{1}B\u{2}", b"not wanted").await;
    let changed = |answer: Answer| answer.fields["IS_SUB_CHANGE"] == "true";
    // The client leaves its subscriptions out once it hears that nothing changed.
    assert!(changed(beat(&mut client, 7, false, &["T"]).await));
    assert!(!changed(beat(&mut client, 7, false, &["T"]).await));
    assert!(!changed(beat(&mut client, 7, true, &[]).await));
    // The heartbeat's filter still holds: what it does not want is passed over.
    let mut pull = pull_fields("T", "0", "0", "*");
    pull.retain(|(name, _)| !["sysFlag", "subscription", "subVersion"].contains(name));
    pull.extend([("sysFlag", "0"), ("subVersion", "7")]);
    assert_eq!(client.ask(11, &pull, b"").await.code, 20);
    assert!(changed(beat(&mut client, 8, true, &[]).await), "another fingerprint");

    // After a reconnect the client is a member at once, and is asked for the rest.
    let mut again = running.client().await;
    drop(client);
    while !running.broker.clients.consumer_ids("G").is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(changed(beat(&mut again, 7, true, &[]).await));
    assert_eq!(again.ask(38, &[("consumerGroup", "G")], b"").await.text(), r#"{"consumerIdList":["c"]}"#);
    assert_eq!(again.ask(11, &pull, b"").await.code, 0, "nobody stands still until the next heartbeat");
    running.stop().await;
}

#[tokio::test]
async fn members_are_told_of_changes_and_of_nothing_else() {
    let running = Running::start().await;
    let (mut a, mut b) = (running.client().await, running.client().await);
    let mut told = 0;
    a.heartbeat("a", "G", "T", "*").await;
    told += 1;
    // Another group of the same client, the same again, a producer: no change of this group.
    a.heartbeat("a", "H", "T", "*").await;
    for _ in 0..3 {
        a.heartbeat("a", "G", "T", "*").await;
    }
    let producer = br#"{"clientID":"p","producerDataSet":[{"groupName":"G"}],"consumerDataSet":[]}"#;
    b.ask(34, &[], producer).await;
    b.heartbeat("b", "G", "T", "*").await;
    told += 1;
    b.ask(35, &[("clientID", "b"), ("producerGroup", "G"), ("consumerGroup", "H")], b"").await;
    b.ask(35, &[("clientID", "b"), ("producerGroup", ""), ("consumerGroup", "G")], b"").await;
    told += 1;
    b.heartbeat("b", "G", "T", "*").await;
    drop(b);
    told += 2;
    let mut seen = 0;
    while seen < told {
        seen += usize::from(a.asked(40).await.fields["consumerGroup"] == "G");
    }
    // The order on a connection holds, so whatever else was told would be here by now.
    a.ask(38, &[("consumerGroup", "G")], b"").await;
    assert!(a.pushed.iter().all(|push| push.fields["consumerGroup"] == "H"), "{:?}", a.pushed);
    running.stop().await;
}

/// Q07: a broadcast group has no retry topic, and what it sends back all the same is refused, not lost in silence.
#[tokio::test]
async fn q07_a_broadcast_group_retries_nothing() {
    let paced = Paced::start(Arc::new(MemoryBackend::new()), small()).await;
    let mut client = paced.client().await;
    let sent = client.put("T", "0", "", b"x").await;
    assert_eq!(client.heartbeat_as("BROADCASTING", "c", "G", ("T", "*")).await.code, 0);
    let refused = fail_with(&mut client, offset_of(&sent), &[("group", "G"), ("delayLevel", "0")]).await;
    assert!(refused.code == 213 && refused.remark.unwrap().contains("broadcast"));
    paced.pass(7_200_000);
    let store = &paced.running.broker.store;
    assert!(store.topic("%RETRY%G").is_none() && store.topic("%DLQ%G").is_none());
    assert_eq!(paced.seen(&mut client, "T", 0).await.len(), 1);

    // A group that may not broadcast does not get to read.
    store.put_group(&GroupConfig { broadcast: false, ..GroupConfig::new("G") }).unwrap();
    let refused = client.ask(11, &pull_fields("T", "0", "0", "*"), b"").await;
    assert!(refused.code == 16 && refused.remark.unwrap().contains("broadcast"));
    client.heartbeat("c", "G", "T", "*").await;
    assert_eq!(client.ask(11, &pull_fields("T", "0", "0", "*"), b"").await.code, 0);
    paced.stop().await;
}

/// Q08: a namespace is part of the names; prefixes go before it, and a `%` anywhere survives.
#[tokio::test]
async fn q08_namespaces_are_part_of_names() {
    for (topic, group) in [("ns%T", "ns%G"), ("%T%", "%%G%"), ("ns|1%T", "a%RETRY%b")] {
        let paced = Paced::start(Arc::new(MemoryBackend::new()), small()).await;
        let mut client = paced.client().await;
        let sent = client.put(topic, "0", "", b"x").await;
        client.heartbeat("c", group, topic, "*").await;
        let (retry, dead) = (format!("%RETRY%{group}"), format!("%DLQ%{group}"));
        assert_eq!(client.ask(105, &[("topic", &retry)], b"").await.code, 0);
        let offset = offset_of(&sent);
        // The fields by which 5.x names namespaces are no part of the names here.
        let again =
            [("group", group), ("delayLevel", "1"), ("ns", "other"), ("nsd", "true"), ("lo", "false")];
        assert_eq!(fail_with(&mut client, offset, &again).await.code, 0);
        assert_eq!(fail_with(&mut client, offset, &[("group", group), ("delayLevel", "-1")]).await.code, 0);
        paced.pass(1_000);
        let (failed, lost) =
            (paced.seen(&mut client, &retry, 0).await, paced.seen(&mut client, &dead, 0).await);
        assert_eq!((failed.len(), lost.len()), (1, 1), "{topic} {group}");
        assert_eq!(failed[0].property("RETRY_TOPIC"), Some(topic));
        let of = [("consumerGroup", group), ("topic", topic), ("queueId", "0")];
        client.ask(15, &[&of[..], &[("commitOffset", "1")]].concat(), b"").await;
        client.until_offset(&of, 1).await;
        paced.stop().await;
    }
}
