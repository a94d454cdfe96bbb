//! What the broker asks and tells clients: 307, 309, 221 to 223, and replies to requests (324 to 326).

use crate::{
    paced::{offset_of, seen},
    support::{Answer, Client, Running, pull_fields, send_fields},
};

const INFO: [(&str, &str); 3] = [("consumerGroup", "G"), ("clientId", "c"), ("jstackEnable", "true")];

/// A broker, a consumer of `T` in the group `G`, and somebody who asks about it.
async fn with_consumer() -> (Running, Client, Client) {
    let running = Running::start().await;
    let (mut admin, mut consumer) = (running.client().await, running.client().await);
    admin.put("T", "0", "", b"first").await;
    assert_eq!(consumer.heartbeat("c", "G", "T", "*").await.code, 0);
    (running, admin, consumer)
}

#[tokio::test]
async fn a_consumer_tells_how_it_is() {
    let (running, mut admin, mut consumer) = with_consumer().await;
    let opaque = admin.send(307, &INFO, b"").await;
    let asked = consumer.asked(307).await;
    assert_eq!(asked.flag, 0);
    for (name, value) in INFO {
        assert_eq!(asked.fields[name], value);
    }
    // Neither what nobody asked for nor a second answer reaches anybody.
    consumer.reply(asked.opaque + 1000, 0, b"made up").await;
    consumer.reply(asked.opaque, 0, b"{\"mqTable\":{{}:1}}").await;
    consumer.reply(asked.opaque, 0, b"again").await;
    let told = admin.answer_to(opaque).await;
    assert_eq!((told.code, told.remark.as_deref()), (0, Some("as told")));
    assert_eq!(told.text(), "{\"mqTable\":{{}:1}}");

    // A refusal is passed on as it is, and the next question has a number of its own.
    let opaque = admin.send(307, &INFO, b"").await;
    let next = consumer.asked(307).await;
    assert_ne!(next.opaque, asked.opaque);
    consumer.reply(next.opaque, 1, b"").await;
    assert_eq!(admin.answer_to(opaque).await.code, 1);
    assert_eq!(consumer.heartbeat("c", "G", "T", "*").await.code, 0);
    running.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_a_consumer_that_cannot_answer() {
    let (running, mut admin, mut consumer) = with_consumer().await;
    for wrong in [[("consumerGroup", "G"), ("clientId", "d")], [("consumerGroup", "H"), ("clientId", "c")]] {
        assert_eq!(admin.ask(307, &wrong, b"").await.code, 206);
    }
    assert_eq!(admin.ask(307, &INFO[..1], b"").await.code, 1);
    let mut old = running.client().await;
    old.version = 61;
    old.heartbeat("old", "G", "T", "*").await;
    let refused = admin.ask(307, &[("consumerGroup", "G"), ("clientId", "old")], b"").await;
    assert!(refused.code == 1 && refused.remark.unwrap().contains("3.1.8"));

    // One that owes too many answers is asked no more; its end ends all waits at once.
    let mut waiting = Vec::new();
    for _ in 0..16 {
        waiting.push(admin.send(307, &INFO, b"").await);
        consumer.asked(307).await;
    }
    assert_eq!(admin.ask(307, &INFO, b"").await.code, 2);
    drop(consumer);
    for _ in 0..16 {
        let answer = admin.receive().await;
        assert_eq!(answer.code, 206);
        waiting.retain(|opaque| *opaque != answer.opaque);
    }
    assert!(waiting.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_consumer_consumes_one_message_on_request() {
    let (running, mut admin, mut consumer) = with_consumer().await;
    let sent = admin.put("T", "1", "TAGS\u{1}A\u{2}", b"this one").await;
    let id = sent.fields["msgId"].as_str();
    let fields = [("consumerGroup", "G"), ("clientId", "c"), ("msgId", id), ("topic", "T")];
    let opaque = admin.send(309, &fields, b"").await;
    let asked = consumer.asked(309).await;
    for (name, value) in fields {
        assert_eq!(asked.fields[name], value);
    }
    assert_eq!(asked.fields["brokerName"], "broker-a");
    let record = &seen(&asked)[0];
    assert_eq!(
        (record.body.as_slice(), record.queue, record.property("TAGS")),
        (&b"this one"[..], 1, Some("A"))
    );
    let result = br#"{"autoCommit":true,"consumeResult":"CR_SUCCESS","order":false,"spentTimeMills":0}"#;
    consumer.reply(asked.opaque, 0, result).await;
    assert_eq!(admin.answer_to(opaque).await.body, &result[..]);

    // An id that is no message's is refused before the consumer is asked.
    let beside = format!("{}{:016X}", &id[..16], offset_of(&sent) + 8);
    for forged in [beside.as_str(), "7F00000100002A9FFFFFFFFFFFFFFFFF", "C0A80001", "zz", "\u{1b}[2J"] {
        let fields = [("consumerGroup", "G"), ("clientId", "c"), ("msgId", forged)];
        let refused = admin.ask(309, &fields, b"").await;
        assert!(refused.code == 1 && !refused.remark.unwrap().is_empty(), "{forged}");
    }
    assert_eq!(consumer.heartbeat("c", "G", "T", "*").await.code, 0);
    assert!(consumer.pushed.iter().all(|push| push.code != 309));
    running.stop().await;
}

async fn progress(client: &mut Client, queue: &str) -> i64 {
    client.ask(14, &[("consumerGroup", "G"), ("topic", "T"), ("queueId", queue)], b"").await.number("offset")
}

async fn commit(client: &mut Client, queue: &str, offset: &str) -> Answer {
    let fields = [("consumerGroup", "G"), ("topic", "T"), ("queueId", queue), ("commitOffset", offset)];
    client.ask(15, &fields, b"").await
}

fn reset<'a>(timestamp: &'a str, force: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("group", "G"), ("topic", "T"), ("timestamp", timestamp), ("isForce", force)]
}

#[tokio::test]
async fn a_reset_reaches_the_log_and_every_member_in_its_own_form() {
    let (running, mut admin, mut java) = with_consumer().await;
    let mut cpp = running.client().await;
    (cpp.language, cpp.version) = ("CPP", 63);
    cpp.heartbeat("d", "G", "T", "*").await;
    for _ in 0..4 {
        admin.put("T", "0", "", b"more").await;
    }
    commit(&mut java, "0", "5").await;
    let done = admin.ask(222, &reset("0", "true"), b"").await;
    assert_eq!(done.code, 0, "{:?}", done.remark);
    let name = |queue| format!(r#"{{"brokerName":"broker-a","queueId":{queue},"topic":"T"}}:0"#);
    let map = format!("{{\"offsetTable\":{{{}}}}}", [0, 1, 2, 3].map(name).join(","));
    assert_eq!(done.text(), map);

    let told = java.asked(220).await;
    assert_eq!((told.flag, told.text()), (2, map));
    let fields = ["topic", "group", "timestamp", "isForce"].map(|name| told.fields[name].as_str());
    assert_eq!(fields, ["T", "G", "0", "true"]);
    let list: serde_json::Value = serde_json::from_slice(&cpp.asked(220).await.body).unwrap();
    let first = serde_json::json!({"brokerName": "broker-a", "queueId": 0, "topic": "T", "offset": 0});
    assert_eq!((&list["offsetTable"][0], list["offsetTable"].as_array().unwrap().len()), (&first, 4));

    // What members commit before they have pulled there is their old place.
    assert_eq!(progress(&mut admin, "0").await, 0);
    assert_eq!(commit(&mut java, "0", "5").await.code, 0);
    let mut old_place = pull_fields("T", "5", "0", "*");
    old_place.retain(|(name, _)| !["sysFlag", "commitOffset"].contains(name));
    old_place.extend([("sysFlag", "5"), ("commitOffset", "5")]);
    // Java and Go follow 220, so they are only kept from their old place; C++ is sent on, once.
    let stays = java.ask(11, &old_place, b"").await;
    assert_eq!((stays.code, stays.number("nextBeginOffset"), stays.number("maxOffset")), (19, 5, 5));
    assert_eq!(progress(&mut admin, "0").await, 0);
    let moved = cpp.ask(11, &old_place, b"").await;
    assert_eq!((moved.code, moved.number("nextBeginOffset"), moved.number("maxOffset")), (21, 0, 5));
    assert_eq!(moved.remark.as_deref(), Some("OFFSET_RESET"));
    assert_eq!(progress(&mut admin, "0").await, 0);
    assert_eq!(cpp.ask(11, &pull_fields("T", "5", "0", "*"), b"").await.code, 19);
    commit(&mut cpp, "0", "3").await;
    cpp.until_offset(&[("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")], 3).await;

    // Who follows is heard from his first pull at the new place on.
    assert_eq!(admin.ask(222, &reset("0", "true"), b"").await.code, 0);
    assert_eq!(java.ask(11, &old_place, b"").await.code, 19);
    assert_eq!(java.ask(11, &pull_fields("T", "0", "0", "*"), b"").await.code, 0);
    commit(&mut java, "0", "4").await;
    java.until_offset(&[("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")], 4).await;
    running.stop().await;
}

async fn until_held(running: &Running) {
    while running.broker.holds.waiting() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_held_pull_is_told_of_a_reset_at_once() {
    let (running, mut admin, mut consumer) = with_consumer().await;
    consumer.language = "CPP";
    consumer.heartbeat("c", "G", "T", "*").await;
    let opaque = consumer.send(11, &pull_fields("T", "1", "15000", "*"), b"").await;
    until_held(&running).await;
    assert_eq!(admin.ask(222, &reset("0", "true"), b"").await.code, 0);
    let moved = consumer.answer_to(opaque).await;
    assert_eq!((moved.code, moved.number("nextBeginOffset")), (21, 0));
    // A pull that is at the new place already is served.
    assert_eq!(admin.ask(222, &reset("0", "true"), b"").await.code, 0);
    assert_eq!(consumer.ask(11, &pull_fields("T", "0", "0", "*"), b"").await.code, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_held_pull_of_one_that_follows_by_himself_ends_without_news() {
    let (running, mut admin, mut java) = with_consumer().await;
    let opaque = java.send(11, &pull_fields("T", "1", "15000", "*"), b"").await;
    until_held(&running).await;
    assert_eq!(admin.ask(222, &reset("0", "true"), b"").await.code, 0);
    let ended = java.answer_to(opaque).await;
    assert_eq!((ended.code, ended.number("nextBeginOffset")), (19, 1));
    assert!(java.pushed.iter().any(|push| push.code == 220), "told before");
    // What comes meanwhile is for the new place.
    admin.put("T", "0", "", b"second").await;
    assert_eq!(java.ask(11, &pull_fields("T", "1", "0", "*"), b"").await.code, 19);
    assert_eq!(java.ask(11, &pull_fields("T", "0", "0", "*"), b"").await.code, 0);
    assert_eq!(java.ask(11, &pull_fields("T", "1", "0", "*"), b"").await.code, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_reset_takes_times_offsets_and_force() {
    let (running, mut admin, consumer) = with_consumer().await;
    drop(consumer);
    for _ in 0..4 {
        admin.put("T", "0", "", b"more").await;
    }
    commit(&mut admin, "0", "2").await;
    // Forward only by force; the end is -1.
    assert_eq!(admin.ask(222, &reset("-1", "false"), b"").await.code, 0);
    assert_eq!(progress(&mut admin, "0").await, 2);
    assert_eq!(admin.ask(222, &reset("-1", "true"), b"").await.code, 0);
    assert_eq!(progress(&mut admin, "0").await, 5);
    // One queue, by offset.
    let one = |queue, offset| [reset("-1", "true"), vec![("queueId", queue), ("offset", offset)]].concat();
    let done = admin.ask(222, &one("0", "3"), b"").await;
    assert_eq!(done.text(), r#"{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"T"}:3}}"#);
    assert_eq!(progress(&mut admin, "0").await, 3);
    for (queue, offset) in [("0", "6"), ("0", "9223372036854775807"), ("4", "0"), ("2147483648", "0")] {
        assert_eq!(admin.ask(222, &one(queue, offset), b"").await.code, 29, "{queue} {offset}");
    }
    let unknown = [("group", "H"), ("topic", "T"), ("timestamp", "0")];
    assert_eq!(admin.ask(222, &unknown, b"").await.code, 26);
    let unknown = [("group", "G"), ("topic", "U"), ("timestamp", "0")];
    assert_eq!(admin.ask(222, &unknown, b"").await.code, 17);
    assert_eq!(admin.ask(222, &reset("soon", "true"), b"").await.code, 1);

    let mut old = running.client().await;
    old.version = 27;
    old.heartbeat("old", "G", "T", "*").await;
    assert_eq!(admin.ask(222, &reset("0", "true"), b"").await.code, 1);
    assert_eq!(progress(&mut admin, "0").await, 3);
    running.stop().await;
}

#[tokio::test]
async fn members_tell_where_they_stand() {
    let (running, mut admin, mut c) = with_consumer().await;
    let mut d = running.client().await;
    d.heartbeat("d", "G", "T", "*").await;
    let of = [("topic", "T"), ("group", "G")];
    let opaque = admin.send(223, &of, b"").await;
    let asked = c.asked(221).await;
    assert_eq!((asked.fields["topic"].as_str(), asked.fields["group"].as_str()), ("T", "G"));
    let table = r#"{{"brokerName":"broker-a","queueId":0,"topic":"T"}:7}"#;
    c.reply(asked.opaque, 0, format!(r#"{{"consumerTable":{{}},"messageQueueTable":{table}}}"#).as_bytes())
        .await;
    let asked = d.asked(221).await;
    d.reply(asked.opaque, 1, b"").await;
    let told = admin.answer_to(opaque).await;
    assert_eq!((told.code, told.text()), (0, format!(r#"{{"consumerTable":{{"c":{table}}}}}"#)));

    let only = [("topic", "T"), ("group", "G"), ("clientAddr", "d")];
    let opaque = admin.send(223, &only, b"").await;
    let asked = d.asked(221).await;
    d.reply(asked.opaque, 0, b"no table").await;
    assert_eq!(admin.answer_to(opaque).await.text(), r#"{"consumerTable":{"d":{}}}"#);
    let nobody = [("topic", "T"), ("group", "G"), ("clientAddr", "e")];
    assert_eq!(admin.ask(223, &nobody, b"").await.code, 206);
    running.stop().await;
}

const REPLY: &str = "CORRELATION_ID\u{1}x\u{2}REPLY_TO_CLIENT\u{1}c\u{2}MSG_TYPE\u{1}reply\u{2}";

#[tokio::test]
async fn a_reply_goes_to_the_requester_and_into_the_log() {
    let (running, mut replier, mut requester) = with_consumer().await;
    // Clients ask for the route before the first reply.
    let mut names = running.names().await;
    assert_eq!(names.ask(105, &[("topic", "DefaultCluster_REPLY_TOPIC")], b"").await.code, 0);
    let fields = send_fields("DefaultCluster_REPLY_TOPIC", "0", REPLY);
    let long = [
        ("producerGroup", "P"),
        ("topic", "DefaultCluster_REPLY_TOPIC"),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", "0"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1795321267159"),
        ("flag", "0"),
        // Java 4.9 leaves the last separator out.
        ("properties", &REPLY[..REPLY.len() - 1]),
    ];
    for (code, fields, place) in [(325, &fields[..], 0), (324, &long[..], 1)] {
        let opaque = replier.send(code, fields, b"the reply").await;
        let pushed = requester.asked(326).await;
        assert_eq!((pushed.flag, &pushed.body[..]), (0, &b"the reply"[..]));
        let known = [("producerGroup", "P"), ("queueId", "0"), ("bornTimestamp", "1795321267159")];
        for (name, value) in known {
            assert_eq!(pushed.fields[name], value);
        }
        let store_host = running.broker_at.to_string();
        assert_eq!((&pushed.fields["storeHost"], pushed.number("sysFlag")), (&store_host, 0));
        let properties = &pushed.fields["properties"];
        assert!(
            properties.starts_with(REPLY) && properties.contains("PUSH_REPLY_TIME\u{1}"),
            "{properties:?}"
        );
        requester.reply(pushed.opaque, 0, b"").await;
        let answer = replier.answer_to(opaque).await;
        assert_eq!((answer.code, answer.number("queueOffset")), (0, place), "{:?}", answer.remark);
    }
    let stored = replier.ask(11, &pull_fields("DefaultCluster_REPLY_TOPIC", "0", "0", "*"), b"").await;
    assert_eq!(seen(&stored).len(), 2);
    assert_eq!(seen(&stored)[0].property("CORRELATION_ID"), Some("x"));
    running.stop().await;
}

#[tokio::test]
async fn a_reply_without_requester_is_refused_with_the_reason() {
    let (running, mut replier, mut requester) = with_consumer().await;
    let send = |properties| send_fields("DefaultCluster_REPLY_TOPIC", "0", properties);
    let lost = replier.ask(325, &send("CORRELATION_ID\u{1}x\u{2}"), b"r").await;
    assert!(lost.code == 1 && lost.remark.unwrap().contains("REPLY_TO_CLIENT"));
    let lost = replier.ask(325, &send("REPLY_TO_CLIENT\u{1}gone\u{2}"), b"r").await;
    assert!(lost.code == 1 && lost.remark.unwrap().contains("gone"));
    assert_eq!(replier.ask(325, &send(REPLY), b"").await.code, 13, "no body");
    // The requester refuses, then leaves.
    let opaque = replier.send(325, &send(REPLY), b"r").await;
    let pushed = requester.asked(326).await;
    requester.reply(pushed.opaque, 1, b"").await;
    assert_eq!(replier.answer_to(opaque).await.code, 1);
    let opaque = replier.send(325, &send(REPLY), b"r").await;
    requester.asked(326).await;
    drop(requester);
    assert_eq!(replier.answer_to(opaque).await.code, 1);
    running.stop().await;
}
