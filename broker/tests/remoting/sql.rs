//! Consumers that select by an SQL92 expression.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    codes::records,
    support::{Answer, Client, Running, pull_fields},
};

fn bodies(answer: &Answer) -> Vec<String> {
    records(answer).into_iter().map(|record| String::from_utf8(record.4).unwrap()).collect()
}

async fn heartbeat(client: &mut Client, expression: &str, version: i64) -> i32 {
    let body = serde_json::json!({"clientID": "c", "consumerDataSet": [{"groupName": "G",
        "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING", "subscriptionDataSet":
        [{"topic": "T", "subString": expression, "expressionType": "SQL92", "subVersion": version}]}]});
    client.ask(34, &[], body.to_string().as_bytes()).await.code
}

/// A pull as Java's push consumer sends it: the expression is the heartbeat's.
fn pushed<'a>(offset: &'a str, version: &'a str, suspend: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = pull_fields("T", offset, suspend, "");
    fields.retain(|(name, _)| !["sysFlag", "subVersion", "subscription", "expressionType"].contains(name));
    let flag = if suspend == "0" { "0" } else { "2" };
    fields.extend([("sysFlag", flag), ("subVersion", version), ("expressionType", "SQL92")]);
    fields
}

/// A pull that brings its expression.
fn given<'a>(offset: &'a str, expression: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = pull_fields("T", offset, "0", expression);
    fields.retain(|(name, _)| *name != "expressionType");
    fields.push(("expressionType", "SQL92"));
    fields
}

async fn put(client: &mut Client, a: i32) {
    let properties = format!("a\u{1}{a}\u{2}TAGS\u{1}T{a}\u{2}");
    assert_eq!(client.put("T", "0", &properties, a.to_string().as_bytes()).await.code, 0);
}

#[tokio::test]
async fn only_what_the_expression_selects_is_handed_out() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for a in 0..10 {
        put(&mut client, a).await;
    }
    client.put("T", "0", "", b"without a").await;
    assert_eq!(heartbeat(&mut client, "a > 6 OR TAGS IN ('T1', 'T2')", 5).await, 0);
    let pulled = client.ask(11, &pushed("0", "5", "0"), b"").await;
    assert_eq!((pulled.code, bodies(&pulled)), (0, ["1", "2", "7", "8", "9"].map(String::from).to_vec()));
    assert_eq!(pulled.number("nextBeginOffset"), 11);
    for (expression, expected) in [
        ("a BETWEEN 3 AND 4", vec!["3", "4"]),
        ("a IS NULL", vec!["without a"]),
        ("NOT (a > 0)", vec!["0"]),
        ("a > 6 OR TAGS IN ('T1', 'T2')", vec!["1", "2", "7", "8", "9"]),
    ] {
        for code in [11, 361] {
            assert_eq!(
                bodies(&client.ask(code, &given("0", expression), b"").await),
                expected,
                "{expression}"
            );
        }
    }
    // Nothing selected: the client moves on.
    let none = client.ask(11, &given("2", "a > 100"), b"").await;
    assert_eq!((none.code, none.number("nextBeginOffset"), none.body.len()), (20, 11, 0));
    assert_eq!(client.ask(11, &given("11", "a > 100"), b"").await.code, 19);
    assert_eq!(client.ask(11, &given("12", "a > 100"), b"").await.code, 21);
    // At most so many: the next pull goes on where this one ended.
    let mut few = given("0", "a > 6");
    few.retain(|(name, _)| *name != "maxMsgNums");
    few.push(("maxMsgNums", "2"));
    let some = client.ask(11, &few, b"").await;
    assert_eq!((bodies(&some), some.number("nextBeginOffset")), (vec!["7".to_owned(), "8".to_owned()], 9));
    running.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_not_known_gets_nothing_that_it_may_not_want() {
    let running = Running::start().await;
    let mut client = running.client().await;
    put(&mut client, 1).await;
    assert_eq!(heartbeat(&mut client, "a > 5", 5).await, 0);
    assert_eq!(client.ask(11, &pushed("0", "5", "0"), b"").await.code, 20);
    assert_eq!(client.ask(11, &pushed("0", "6", "0"), b"").await.code, 25);
    // Without a type, it is the heartbeat's.
    let mut untyped = pushed("0", "6", "0");
    untyped.retain(|(name, _)| *name != "expressionType");
    assert_eq!(client.ask(11, &untyped, b"").await.code, 25);
    assert_eq!(heartbeat(&mut client, "a > 0", 6).await, 0);
    assert_eq!(client.ask(11, &pushed("0", "6", "0"), b"").await.code, 0);
    // The same expression under a newer version.
    assert_eq!(heartbeat(&mut client, "a > 0", 7).await, 0);
    assert_eq!(client.ask(11, &pushed("0", "7", "0"), b"").await.code, 0);
    // One that cannot be read is told to whoever pulls by it.
    assert_eq!(heartbeat(&mut client, "a > > 0", 8).await, 0);
    let refused = client.ask(11, &pushed("0", "8", "0"), b"").await;
    assert_eq!(refused.code, 23);
    assert!(refused.remark.unwrap().contains("position 4"));
    // As after a restart: the group is stored, nobody is online.
    let unregister = [("clientID", "c"), ("producerGroup", ""), ("consumerGroup", "G")];
    assert_eq!(client.ask(35, &unregister, b"").await.code, 0);
    assert_eq!(client.ask(11, &pushed("0", "8", "0"), b"").await.code, 24);
    running.stop().await;
}

/// The next answer; requests of the broker are passed over.
async fn answer_of(client: &mut Client) -> Answer {
    loop {
        let next = client.receive().await;
        if next.flag & 1 == 1 {
            return next;
        }
    }
}

#[tokio::test]
async fn a_held_pull_waits_for_what_is_selected() {
    let running = Running::start().await;
    let mut consumer = running.client().await;
    let mut producer = running.client().await;
    put(&mut producer, 0).await;
    assert_eq!(heartbeat(&mut consumer, "a > 5", 5).await, 0);
    consumer.pushed.clear();
    let held = consumer.send(11, &pushed("1", "5", "15000"), b"").await;
    while running.broker.holds.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    for a in 0..5 {
        put(&mut producer, a).await;
    }
    let early = timeout(Duration::from_millis(200), answer_of(&mut consumer)).await;
    assert!(early.is_err(), "none was selected");
    put(&mut producer, 6).await;
    let answer = answer_of(&mut consumer).await;
    assert_eq!((answer.opaque, answer.code, bodies(&answer)), (held, 0, vec!["6".to_owned()]));
    assert_eq!(answer.number("nextBeginOffset"), 7);
    // At the client's limit it moves on behind what was not selected.
    let held = consumer.send(11, &pushed("7", "5", "400"), b"").await;
    while running.broker.holds.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    put(&mut producer, 1).await;
    let answer = answer_of(&mut consumer).await;
    assert_eq!((answer.opaque, answer.code, answer.number("nextBeginOffset")), (held, 20, 8));
    running.stop().await;
}

#[tokio::test]
async fn expressions_are_checked_before_a_consumer_starts() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let long = format!("a IN ({})", vec!["'x'"; 3_000].join(","));
    let deep = format!("{}a > 1{}", "(".repeat(3_000), ")".repeat(3_000));
    let nots = "NOT ".repeat(2_000) + "TRUE";
    for (kind, expression, code, part) in [
        ("TAG", "a > > 1", 0, ""),
        ("SQL92", "a > 1 AND b IS NOT NULL", 0, ""),
        ("SQL92", "a > > 1", 23, "position 4"),
        ("SQL92", "", 23, "found the end"),
        ("SQL92", "*", 23, "position 0"),
        ("SQL92", &long, 23, "bytes"),
        ("SQL92", &deep, 23, "nested"),
        ("SQL92", &nots, 23, "nested"),
        ("SQL92", "a = 'x", 23, "quote"),
        ("XPATH", "/a", 1, "XPATH"),
    ] {
        let body = serde_json::json!({"clientId": "c", "group": "G", "namespace": null, "subscriptionData":
            {"topic": "T", "subString": expression, "expressionType": kind, "subVersion": 1}});
        let answer = client.ask(46, &[], body.to_string().as_bytes()).await;
        let remark = answer.remark.unwrap_or_default();
        assert!(answer.code == code && remark.contains(part), "{} {remark}", answer.code);
        if code == 23 {
            client.put("T", "0", "", b"x").await;
            assert_eq!(client.ask(11, &given("0", expression), b"").await.code, 23);
        }
    }
    running.stop().await;
}
