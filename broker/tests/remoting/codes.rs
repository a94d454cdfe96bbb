//! Every code over real sockets, with frames as the clients write them.

use std::time::Duration;

use crate::support::{Answer, Client, Running, frame_of, pull_fields, send_fields};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

/// Topic, queue, queue offset, tag and body of each record in a pull's body, by the layout clients know.
pub(crate) fn records(answer: &Answer) -> Vec<(String, u32, u64, String, Vec<u8>)> {
    let mut rest = &answer.body[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let at = |from: usize, n: usize| {
            rest[from..from + n].iter().fold(0u64, |value, b| value << 8 | u64::from(*b))
        };
        assert_eq!(at(4, 4), 0xDAA3_20A7);
        let body_len = at(84, 4) as usize;
        let topic_len = at(88 + body_len, 1) as usize;
        let topic = String::from_utf8(rest[89 + body_len..][..topic_len].to_vec()).unwrap();
        let properties = &rest[89 + body_len + topic_len + 2..at(0, 4) as usize];
        let properties = String::from_utf8(properties.to_vec()).unwrap();
        let body = rest[88..88 + body_len].to_vec();
        found.push((topic, at(12, 4) as u32, at(20, 8), properties, body));
        rest = &rest[at(0, 4) as usize..];
    }
    found
}

#[tokio::test]
async fn routes_are_what_each_client_parses() {
    let running = Running::start().await;
    let mut names = running.names().await;
    let missing = names.ask(105, &[("topic", "T")], b"").await;
    assert_eq!(missing.code, 17);
    assert!(missing.remark.unwrap().contains('T'));

    let default = names.ask(105, &[("topic", "TBW102")], b"").await;
    let expected = format!(
        concat!(
            r#"{{"brokerDatas":[{{"brokerAddrs":{{"0":"{}"}},"brokerName":"broker-a","cluster":"DefaultCluster","#,
            r#""enableActingMaster":false}}],"filterServerTable":{{}},"queueDatas":[{{"brokerName":"broker-a","#,
            r#""perm":7,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}}]}}"#
        ),
        running.broker_at
    );
    assert_eq!((default.code, default.text()), (0, expected));

    names.version = 317;
    let old = names.ask(105, &[("topic", "TBW102")], b"").await;
    assert!(old.text().contains("{0:\"127.0.0.1:"), "{}", old.text());
    let strict = names.ask(105, &[("topic", "TBW102"), ("acceptStandardJsonOnly", "true")], b"").await;
    assert!(strict.text().contains("{\"0\":\"127.0.0.1:"));

    // The broker port answers the name service's codes too; the other way round is refused.
    let mut client = running.client().await;
    assert_eq!(client.ask(105, &[("topic", "TBW102")], b"").await.code, 0);
    assert_eq!(client.put("T", "0", "", b"x").await.code, 0);
    assert_eq!(names.ask(310, &send_fields("T", "0", ""), b"x").await.code, 3);
    let cluster = client.ask(106, &[], b"").await.text();
    assert!(cluster.contains(r#""clusterAddrTable":{"DefaultCluster":["broker-a"]}"#), "{cluster}");
    let topics = names.ask(206, &[], b"").await.text();
    assert_eq!(topics, r#"{"topicList":["T","TBW102"]}"#);
    running.stop().await;
}

#[tokio::test]
async fn sends_are_stored_and_answered_as_clients_expect() {
    for slow in [false, true] {
        let running = Running::start_with(slow).await;
        let mut client = running.client().await;
        let first = client.put("T", "2", "KEYS\u{1}k\u{2}TAGS\u{1}A\u{2}UNIQ_KEY\u{1}U1\u{2}", b"one").await;
        assert_eq!(first.code, 0, "{:?}", first.remark);
        assert_eq!(first.fields["transactionId"], "U1");
        assert_eq!((first.number("queueId"), first.number("queueOffset")), (2, 0));
        assert_eq!(
            (first.fields["MSG_REGION"].as_str(), first.fields["TRACE_ON"].as_str()),
            ("DefaultRegion", "true")
        );
        assert!(first.fields["msgId"].len() == 32 && first.fields["msgId"].starts_with("7F000001"));
        assert_eq!(client.put("T", "2", "", b"two").await.number("queueOffset"), 1);

        // The long names, with numbers in place of texts and a line feed, as C++ writes them.
        let header = concat!(
            r#"{"code":10,"extFields":{"AccessKey":"","batch":"0","bornTimestamp":"1","defaultTopic":"TBW102","#,
            r#""defaultTopicQueueNums":4,"flag":3,"producerGroup":"g","properties":"TAGS\u0001B\u0002","queueId":2,"#,
            r#""reconsumeTimes":"0","sysFlag":0,"topic":"T","unitMode":"0"},"flag":0,"language":"CPP","opaque":77,"#,
            r#""version":63}"#,
            "\n"
        );
        client.stream.write_all(&frame_of(header.as_bytes(), b"three")).await.unwrap();
        let third = client.receive().await;
        assert_eq!((third.code, third.opaque, third.number("queueOffset")), (0, 77, 2));

        let topic = client.ask(351, &[("topic", "T")], b"").await.text();
        assert!(topic.contains(r#""writeQueueNums":4"#), "{topic}");
        let pulled = client.ask(11, &pull(&[("topic", "T"), ("queueId", "2")]), b"").await;
        assert_eq!((pulled.code, pulled.number("nextBeginOffset"), pulled.number("maxOffset")), (0, 3, 3));
        let records = records(&pulled);
        let bodies: Vec<&[u8]> = records.iter().map(|record| &record.4[..]).collect();
        assert_eq!(bodies, [&b"one"[..], b"two", b"three"]);
        for part in ["KEYS\u{1}k\u{2}", "UNIQ_KEY\u{1}U1\u{2}", "CLUSTER\u{1}DefaultCluster\u{2}"] {
            assert!(records[0].3.contains(part));
        }
        assert!(records[1].3.contains("UNIQ_KEY\u{1}7F000001"));
        running.stop().await;
    }
}

type Changes<'a> = &'a [(&'a str, &'a str)];

fn pull<'a>(changes: Changes<'a>) -> Vec<(&'a str, &'a str)> {
    let mut fields = pull_fields("T", "0", "0", "*");
    for change in changes {
        fields.retain(|(name, _)| *name != change.0);
        fields.push(*change);
    }
    fields
}

#[tokio::test]
async fn sends_that_cannot_be_are_refused_by_code() {
    let running = Running::start().await;
    let mut client = running.client().await;
    assert_eq!(client.put("T", "0", "", b"x").await.code, 0);
    assert_eq!(client.put("SCHEDULE_TOPIC_XXXX", "0", "", b"x").await.code, 16);
    assert_eq!(client.put("T", "0", "", b"").await.code, 13);
    assert_eq!(client.put("T", "0", "", &vec![0; (4 << 20) + 1]).await.code, 13);
    assert_eq!(client.put("T", "0", &"p".repeat(32_768), b"x").await.code, 13);
    assert_eq!(client.put("T", "4", "", b"x").await.code, 29);
    assert_eq!(client.put("a b", "0", "", b"x").await.code, 1);
    assert_eq!(client.put(&"t".repeat(128), "0", "", b"x").await.code, 13);
    assert_eq!(client.put("T", "0", "TIMER_DELAY_SEC\u{1}99999999999999999\u{2}", b"x").await.code, 13);
    assert_eq!(client.put("T", "0", "TIMER_DELAY_MS\u{1}-1\u{2}", b"x").await.code, 13);
    assert_eq!(client.put("T", "0", "TRAN_MSG\u{1}true\u{2}", b"x").await.code, 16);
    assert_eq!(client.put("%RETRY%nobody", "0", "", b"x").await.code, 26);
    assert_eq!(client.put("T", "-1", "", b"x").await.code, 0);
    let mut fields = send_fields("Other", "0", "");
    fields[2] = ("c", "NO_SUCH_DEFAULT");
    assert_eq!(client.ask(310, &fields, b"x").await.code, 17);
    assert_eq!(client.ask(310, &[("a", "P")], b"x").await.code, 1);
    running.stop().await;
}

#[tokio::test]
async fn batches_become_single_messages() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let mut body = Vec::new();
    for text in ["one", "two"] {
        let properties = format!("UNIQ_KEY\u{1}{text}\u{2}");
        body.extend((22 + 3 + properties.len() as i32).to_be_bytes());
        body.extend([0; 12]);
        body.extend(3i32.to_be_bytes());
        body.extend(text.bytes());
        body.extend((properties.len() as i16).to_be_bytes());
        body.extend(properties.bytes());
    }
    let answer = client.ask(320, &send_fields("T", "0", "UNIQ_KEY\u{1}all\u{2}"), &body).await;
    assert_eq!((answer.code, answer.fields["transactionId"].as_str()), (0, "all"));
    assert_eq!(answer.fields["msgId"].split(',').filter(|id| id.len() == 32).count(), 2);
    assert_eq!(answer.number("queueOffset"), 0);
    let pulled = records(&client.ask(11, &pull(&[]), b"").await);
    assert_eq!((pulled.len(), pulled[1].2, &pulled[1].4[..]), (2, 1, &b"two"[..]));
    assert!(pulled[1].3.contains("UNIQ_KEY\u{1}two\u{2}"));
    assert_eq!(client.ask(320, &send_fields("T", "0", ""), &body[..40]).await.code, 13);
    running.stop().await;
}

#[tokio::test]
async fn pulls_answer_every_case_with_all_four_offsets() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "TAGS\u{1}A\u{2}", b"a").await;
    client.put("T", "0", "TAGS\u{1}B\u{2}", b"b").await;
    let cases: [(Changes<'_>, i32, i64); 7] = [
        (&[("queueOffset", "0")], 0, 2),
        (&[("subscription", "B || C")], 0, 2),
        (&[("subscription", "C")], 20, 2),
        (&[("queueOffset", "2")], 19, 2),
        (&[("queueOffset", "9")], 21, 2),
        (&[("queueId", "1")], 19, 0),
        (&[("queueId", "1"), ("queueOffset", "5")], 21, 0),
    ];
    for (changes, code, next) in cases {
        let answer = client.ask(11, &pull(changes), b"").await;
        assert_eq!((answer.code, answer.number("nextBeginOffset")), (code, next), "{changes:?}");
        for name in ["suggestWhichBrokerId", "minOffset", "maxOffset"] {
            answer.number(name);
        }
    }
    assert_eq!(records(&client.ask(361, &pull(&[("subscription", "B")]), b"").await)[0].4, b"b");
    let refusals: [(Changes<'_>, i32); 6] = [
        (&[("topic", "None")], 17),
        (&[("queueId", "4")], 29),
        (&[("queueId", "-1")], 29),
        (&[("expressionType", "SQL92")], 23),
        (&[("expressionType", "XPATH")], 1),
        (&[("sysFlag", "0"), ("consumerGroup", "nobody")], 24),
    ];
    for (changes, code) in refusals {
        assert_eq!(client.ask(11, &pull(changes), b"").await.code, code, "{changes:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn pulls_use_what_the_heartbeat_said() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "TAGS\u{1}A\u{2}", b"a").await;
    client.put("T", "0", "TAGS\u{1}B\u{2}", b"b").await;
    assert_eq!(client.heartbeat("c1", "G", "T", "B").await.code, 0);
    // As after a restart: the group is known, but nobody has said what it wants.
    let mut early = running.client().await;
    let unregister = [("clientID", "c1"), ("producerGroup", ""), ("consumerGroup", "G")];
    assert_eq!(client.ask(35, &unregister, b"").await.code, 0);
    let pulled = early.ask(11, &pull(&[("sysFlag", "0"), ("subVersion", "5")]), b"").await;
    assert_eq!((pulled.code, records(&pulled).len()), (0, 2));
    assert_eq!(client.heartbeat("c1", "G", "T", "B").await.code, 0);
    let pulled = client.ask(11, &pull(&[("sysFlag", "0"), ("subVersion", "5")]), b"").await;
    assert_eq!(records(&pulled)[0].4, b"b");
    // A newer subscription than the heartbeat's may want anything, and its client filters again.
    let newer = client.ask(11, &pull(&[("sysFlag", "0"), ("subVersion", "6")]), b"").await;
    assert_eq!((newer.code, records(&newer).len()), (0, 2));
    client.put("U", "0", "", b"x").await;
    assert_eq!(client.ask(11, &pull(&[("sysFlag", "0"), ("topic", "U")]), b"").await.code, 24);
    running.stop().await;
}

#[tokio::test]
async fn a_held_pull_ends_with_the_message_it_waits_for() {
    let running = Running::start().await;
    let mut consumer = running.client().await;
    let mut producer = running.client().await;
    producer.put("T", "0", "", b"first").await;
    let held = consumer.send(11, &pull_fields("T", "1", "15000", "A"), b"").await;
    // The connection serves other requests meanwhile.
    assert_eq!(consumer.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await.number("offset"), 1);
    while running.broker.holds.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    producer.put("T", "0", "TAGS\u{1}B\u{2}", b"other").await;
    producer.put("T", "1", "TAGS\u{1}A\u{2}", b"other queue").await;
    assert!(timeout(Duration::from_millis(200), consumer.receive()).await.is_err());
    producer.put("T", "0", "TAGS\u{1}A\u{2}", b"wanted").await;
    let answer = consumer.receive().await;
    assert_eq!((answer.opaque, answer.code), (held, 0));
    assert_eq!((records(&answer)[0].4.as_slice(), answer.number("nextBeginOffset")), (&b"wanted"[..], 3));
    let (mut counted, name) = (Vec::new(), |a: &str, b: &str, held| format!("{a} {b} {held}"));
    running.broker.latencies.each(|request, response, held, latency| {
        let requests: u64 = latency.counts().iter().sum();
        counted.push((name(request, response, held), requests));
    });
    assert!(counted.contains(&(name("pull_message", "success", true), 1)), "{counted:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_held_pull_ends_at_the_clients_limit() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "", b"x").await;
    let before = Instant::now();
    let answer = client.ask(11, &pull_fields("T", "1", "300", "*"), b"").await;
    assert_eq!((answer.code, answer.number("nextBeginOffset")), (19, 1));
    assert!(before.elapsed() >= Duration::from_millis(300));
    running.stop().await;
}

#[tokio::test]
async fn stopping_answers_held_pulls() {
    let mut running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "", b"x").await;
    let held = client.send(11, &pull_fields("T", "1", "15000", "*"), b"").await;
    while running.broker.holds.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    running.begin_stop();
    let answer = timeout(Duration::from_secs(3), client.receive()).await.unwrap();
    assert_eq!((answer.opaque, answer.code), (held, 19));
    assert!(client.receive_or_end().await.is_none());
    running.stop().await;
}

#[tokio::test]
async fn offsets_are_kept_and_looked_up() {
    let running = Running::start().await;
    let mut client = running.client().await;
    client.put("T", "0", "", b"x").await;
    let of = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0")];
    let with = |name, value| [&of[..], &[(name, value)]].concat();
    assert_eq!(client.ask(15, &with("commitOffset", "1"), b"").await.code, 26);
    client.heartbeat("c", "G", "T", "*").await;
    assert_eq!(client.ask(14, &of, b"").await.number("offset"), 0);
    assert_eq!(client.ask(14, &with("setZeroIfNotFound", "false"), b"").await.code, 22);
    assert_eq!(client.ask(14, &[of[0], ("topic", "None"), of[2]], b"").await.code, 22);
    assert_eq!(client.ask(15, &with("commitOffset", "1"), b"").await.code, 0);
    assert_eq!(client.ask(15, &[of[0], ("topic", "None"), of[2], ("commitOffset", "1")], b"").await.code, 17);
    let beside = client.ask(15, &[of[0], of[1], ("queueId", "70000"), ("commitOffset", "1")], b"").await;
    assert_eq!(beside.code, 29, "progress in a queue that is not there is kept for ever");
    // Commits are answered once they stand in the log; reads follow what is applied.
    client.until_offset(&of, 1).await;
    let committing = pull(&[("sysFlag", "5"), ("commitOffset", "0"), ("queueOffset", "0")]);
    assert_eq!(client.ask(11, &committing, b"").await.code, 0);
    client.until_offset(&of, 0).await;

    assert_eq!(client.ask(30, &of[1..], b"").await.number("offset"), 1);
    assert_eq!(client.ask(31, &of[1..], b"").await.number("offset"), 0);
    let stored = client.ask(32, &of[1..], b"").await.number("timestamp");
    assert!(stored > 0);
    assert_eq!(client.ask(32, &[of[1], ("queueId", "3")], b"").await.number("timestamp"), -1);
    let later = (stored + 1).to_string();
    assert_eq!(client.ask(29, &[of[1], of[2], ("timestamp", &later)], b"").await.number("offset"), 1);
    assert_eq!(client.ask(29, &[of[1], of[2], ("timestamp", "0")], b"").await.number("offset"), 0);
    running.stop().await;
}

/// Waits for the group's members to be told of a change; gives how often.
async fn notified(client: &mut Client) -> usize {
    if client.pushed.is_empty() {
        let next = client.receive().await;
        client.pushed.push(next);
    }
    let told = std::mem::take(&mut client.pushed);
    for push in &told {
        assert_eq!((push.code, push.flag, push.fields["consumerGroup"].as_str()), (40, 2, "G"));
    }
    told.len()
}

#[tokio::test]
async fn members_of_a_group_hear_of_each_other() {
    let running = Running::start().await;
    let mut a = running.client().await;
    assert_eq!(a.ask(38, &[("consumerGroup", "G")], b"").await.code, 1);
    a.heartbeat("a", "G", "T", "*").await;
    // Its route must exist before the first failure.
    assert_eq!(running.names().await.ask(105, &[("topic", "%RETRY%G")], b"").await.code, 0);
    let mut b = running.client().await;
    b.heartbeat("b", "G", "T", "*").await;
    // Once for itself, once for the other.
    let mut told = 0;
    while told < 2 {
        told += notified(&mut a).await;
    }
    drop(b);
    assert_eq!(notified(&mut a).await, 1);
    let list = a.ask(38, &[("consumerGroup", "G")], b"").await;
    assert_eq!(list.text(), r#"{"consumerIdList":["a"]}"#);
    let unregister = [("clientID", "a"), ("producerGroup", ""), ("consumerGroup", "G")];
    a.ask(35, &unregister, b"").await;
    assert_eq!(a.ask(38, &[("consumerGroup", "G")], b"").await.code, 1);
    assert_eq!(a.ask(34, &[], b"{").await.code, 1);
    running.stop().await;
}

#[tokio::test]
async fn failed_messages_come_again_or_go_to_the_dead_letters() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let sent = client.put("T", "0", "TAGS\u{1}A\u{2}", b"x").await;
    let offset = u64::from_str_radix(&sent.fields["msgId"][16..], 16).unwrap().to_string();
    let failed =
        [("offset", offset.as_str()), ("group", "G"), ("delayLevel", "1"), ("maxReconsumeTimes", "16")];
    assert_eq!(client.ask(36, &failed, b"").await.code, 26);
    client.heartbeat("c", "G", "T", "*").await;
    assert_eq!(client.ask(36, &failed, b"").await.code, 0);
    let waiting = pull(&[("topic", "%RETRY%G"), ("sysFlag", "6"), ("suspendTimeoutMillis", "5000")]);
    let again = client.ask(11, &waiting, b"").await;
    let again = records(&again);
    assert_eq!((again[0].0.as_str(), again[0].4.as_slice()), ("%RETRY%G", &b"x"[..]));
    assert!(again[0].3.contains("RETRY_TOPIC\u{1}T\u{2}") && again[0].3.contains("TAGS\u{1}A\u{2}"));
    let dead = [failed[0], failed[1], ("delayLevel", "-1")];
    assert_eq!(client.ask(36, &dead, b"").await.code, 0);
    assert_eq!(records(&client.ask(11, &pull(&[("topic", "%DLQ%G")]), b"").await)[0].4, b"x");
    let nowhere = client.ask(36, &[("offset", "99999"), failed[1], failed[2]], b"").await;
    assert_eq!((nowhere.code, nowhere.remark.is_some()), (1, true));

    // The client's own way when 36 fails: a send to the retry topic, dead above the limit.
    let mut fields = send_fields("%RETRY%G", "0", "RETRY_TOPIC\u{1}T\u{2}DELAY\u{1}1\u{2}");
    fields.retain(|(name, _)| *name != "j");
    let resend = [&fields[..], &[("j", "3"), ("l", "2")]].concat();
    assert_eq!(client.ask(310, &resend, b"y").await.code, 0);
    let pulled = records(&client.ask(11, &pull(&[("topic", "%DLQ%G"), ("queueOffset", "1")]), b"").await);
    assert_eq!(pulled[0].4, b"y");
    running.stop().await;
}

#[tokio::test]
async fn failed_messages_at_the_name_service_are_served_only_without_doubt() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let mut names = running.names().await;
    let sent = client.put("T", "0", "", b"x").await;
    client.heartbeat("c", "G", "T", "*").await;
    let offset = u64::from_str_radix(&sent.fields["msgId"][16..], 16).unwrap().to_string();
    let failed = [("offset", offset.as_str()), ("group", "G"), ("delayLevel", "-1")];
    assert_eq!(names.ask(36, &[&failed[..], &[("bname", "another")]].concat(), b"").await.code, 3);
    assert_eq!(names.ask(36, &[("offset", "5"), failed[1], failed[2]], b"").await.code, 3);
    assert_eq!(names.ask(36, &[failed[0], ("group", "nobody"), failed[2]], b"").await.code, 3);
    assert_eq!(names.ask(36, &failed, b"").await.code, 0);
    assert_eq!(records(&client.ask(11, &pull(&[("topic", "%DLQ%G")]), b"").await).len(), 1);
    let counted = running.broker.counters.misdirected_send_backs.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(counted, 4);
    running.stop().await;
}

#[tokio::test]
async fn delayed_messages_come_as_they_were_sent() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let before = running.broker.store.now_ms();
    let properties =
        ["DELAY\u{1}2\u{2}TAGS\u{1}A\u{2}KEYS\u{1}k\u{2}", "TIMER_DELAY_MS\u{1}300\u{2}TAGS\u{1}A\u{2}"];
    for (i, properties) in properties.iter().enumerate() {
        let sent = client.put("T", "0", properties, b"x").await;
        assert_eq!((sent.code, sent.number("queueId")), (0, 0), "{:?}", sent.remark);
        let offset = i.to_string();
        let fields = pull_fields("T", &offset, "5000", "A");
        let pulled = records(&client.ask(11, &fields, b"").await);
        assert_eq!((pulled[0].0.as_str(), pulled[0].1), ("T", 0));
        assert!(!pulled[0].3.contains("DELAY"), "{:?}", pulled[0].3);
    }
    assert!(running.broker.store.now_ms() - before >= 500);
    let past = client.put("T", "0", "TIMER_DELIVER_MS\u{1}1000\u{2}", b"past").await;
    assert_eq!(past.number("queueOffset"), 2);
    running.stop().await;
}

#[tokio::test]
async fn administrators_make_topics() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let fields = |topic, queues| {
        [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", queues),
            ("writeQueueNums", queues),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ]
    };
    assert_eq!(client.ask(17, &fields("T", "3"), b"").await.code, 0);
    let config = client.ask(351, &[("topic", "T"), ("lo", "true")], b"").await.text();
    let expected = concat!(
        r#"{"attributes":{},"order":false,"perm":6,"readQueueNums":3,"topicFilterType":"SINGLE_TAG","#,
        r#""topicName":"T","topicSysFlag":0,"writeQueueNums":3}"#
    );
    assert_eq!(config, expected);
    assert_eq!(client.ask(17, &fields("T", "0"), b"").await.code, 1);
    assert_eq!(client.ask(17, &fields("SCHEDULE_TOPIC_XXXX", "3"), b"").await.code, 1);
    assert_eq!(client.ask(351, &[("topic", "U")], b"").await.code, 17);
    let tag = br#"{"clientId":"c","group":"G","subscriptionData":{"topic":"T","subString":"*","expressionType":"TAG"}}"#;
    assert_eq!(client.ask(46, &[], tag).await.code, 0);
    let sql =
        br#"{"clientId":"c","group":"G","subscriptionData":{"expressionType":"SQL92","subString":"a > 1"}}"#;
    assert_eq!(client.ask(46, &[], sql).await.code, 0);
    running.stop().await;
}
