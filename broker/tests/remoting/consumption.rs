//! What becomes of messages whose consumption fails, and of delayed ones, to the millisecond.

use std::{
    io::Write,
    sync::{Arc, Mutex, atomic::Ordering},
};

use backends::{FaultyBackend, MemoryBackend};
use mainspring::{LEVELS_S, Options};

use crate::{
    paced::{Paced, Seen, fail, fail_with, offset_of, resend, seen, small},
    support::{Client, pull_fields},
};

const RETRY: &str = "%RETRY%G";
const DEAD: &str = "%DLQ%G";

/// A broker with a consumer of the topic `T` in the group `G`.
async fn with_consumer() -> (Paced, Client) {
    let paced = Paced::start(Arc::new(MemoryBackend::new()), small()).await;
    let mut client = paced.client().await;
    client.put("T", "0", "", b"first").await;
    assert_eq!(client.heartbeat("c", "G", "T", "*").await.code, 0);
    (paced, client)
}

/// Asserts that the next message of a queue comes after exactly `ms`, and gives it.
async fn comes_after(paced: &Paced, client: &mut Client, (topic, at): (&str, u64), ms: u64) -> Seen {
    paced.pass(ms - 1);
    assert_eq!(paced.seen(client, topic, at).await, [], "it is there a millisecond early");
    paced.pass(1);
    let mut found = paced.seen(client, topic, at).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Q01: level -1 makes a dead letter at once, 0 counts from level 3 on, others are taken; the group must exist.
#[tokio::test]
async fn q01_the_delay_level_says_when_it_comes_again() {
    let (paced, mut client) = with_consumer().await;
    let sent = client.put("T", "0", "TAGS\u{1}A\u{2}", b"x").await;
    let offset = offset_of(&sent);
    let nobody = fail_with(&mut client, offset, &[("group", "nobody"), ("delayLevel", "0")]).await;
    assert_eq!(nobody.code, 26);

    assert_eq!(fail(&mut client, offset, "-1").await.code, 0);
    let dead = paced.seen(&mut client, DEAD, 0).await.remove(0);
    assert_eq!((dead.body.as_slice(), dead.failures), (&b"x"[..], 1));
    assert_eq!(dead.property("RETRY_TOPIC"), Some("T"));
    assert_eq!(dead.property("ORIGIN_MESSAGE_ID"), Some(sent.fields["msgId"].as_str()));

    assert_eq!(fail(&mut client, offset, "0").await.code, 0);
    let first = comes_after(&paced, &mut client, (RETRY, 0), 10_000).await;
    assert_eq!((first.failures, first.property("TAGS")), (1, Some("A")));
    assert_eq!(fail(&mut client, first.offset, "0").await.code, 0);
    let second = comes_after(&paced, &mut client, (RETRY, 1), 30_000).await;
    assert_eq!((second.failures, second.property("RETRY_TOPIC")), (2, Some("T")));
    assert_eq!(second.property("ORIGIN_MESSAGE_ID"), first.property("ORIGIN_MESSAGE_ID"));
    assert_eq!(fail(&mut client, second.offset, "5").await.code, 0);
    let third = comes_after(&paced, &mut client, (RETRY, 2), 60_000).await;
    assert_eq!(third.failures, 3);
    paced.stop().await;
}

/// Q02: after 15 failures a message comes again, after 16 it is a dead letter; a send to the retry topic must be above
/// the limit for that. Clients from 3.4.9 on bring a limit of their own.
#[tokio::test]
async fn q02_the_sixteenth_failure_is_the_last() {
    let (paced, mut client) = with_consumer().await;
    for failures in ["15", "16", "17"] {
        assert_eq!(resend(&mut client, failures, None, "RETRY_TOPIC\u{1}T\u{2}").await.code, 0);
    }
    let stored = paced.seen(&mut client, RETRY, 0).await;
    assert_eq!(stored.iter().map(|seen| seen.failures).collect::<Vec<_>>(), [15, 16]);
    assert_eq!(paced.seen(&mut client, DEAD, 0).await[0].failures, 17);
    assert_eq!(fail(&mut client, stored[1].offset, "0").await.code, 0);
    assert_eq!(paced.seen(&mut client, DEAD, 1).await[0].failures, 17);
    assert_eq!(fail(&mut client, stored[0].offset, "0").await.code, 0);
    assert_eq!(paced.seen(&mut client, DEAD, 2).await, []);
    let last = comes_after(&paced, &mut client, (RETRY, 2), 7_200_000).await;
    assert_eq!(last.failures, 16);
    paced.stop().await;
}

/// Q02: the gate is version 121; older clients send a limit that means nothing.
#[tokio::test]
async fn q02_the_limit_is_the_clients_from_version_121_on() {
    let (paced, mut client) = with_consumer().await;
    let (mut dead, mut again) = (0, 0);
    for (version, honoured) in [(63, false), (120, false), (121, true), (409, true)] {
        client.version = version;
        // A send above the client's limit, but below the group's.
        assert_eq!(resend(&mut client, "3", Some("2"), "RETRY_TOPIC\u{1}T\u{2}").await.code, 0);
        (dead, again) = if honoured { (dead + 1, again) } else { (dead, again + 1) };
        assert_eq!(paced.seen(&mut client, DEAD, 0).await.len(), dead, "version {version}");
        let stored = paced.seen(&mut client, RETRY, 0).await;
        assert_eq!(stored.len(), again, "version {version}");
        // At the limit: the send is stored, the failure is the last one.
        assert_eq!(resend(&mut client, "2", Some("2"), "RETRY_TOPIC\u{1}T\u{2}").await.code, 0);
        let at_limit = paced.seen(&mut client, RETRY, again as u64).await[0].offset;
        again += 1;
        let limit = [("group", "G"), ("delayLevel", "1"), ("maxReconsumeTimes", "2")];
        assert_eq!(fail_with(&mut client, at_limit, &limit).await.code, 0);
        (dead, again) = if honoured { (dead + 1, again) } else { (dead, again + 1) };
        paced.pass(1000);
        assert_eq!(paced.seen(&mut client, DEAD, 0).await.len(), dead, "version {version}");
        assert_eq!(paced.seen(&mut client, RETRY, 0).await.len(), again, "version {version}");
    }
    paced.stop().await;
}

/// Q03: the copy that a client sends when its 36 fails is delivered once, as the message it stands for.
#[tokio::test]
async fn q03_the_clients_own_copy_is_delivered_once() {
    let (paced, mut client) = with_consumer().await;
    let properties = [
        ("RETRY_TOPIC", "T"),
        ("ORIGIN_MESSAGE_ID", "7F00000100002A9F0000000000000539"),
        ("UNIQ_KEY", "U1"),
        ("KEYS", "k1 k2"),
        ("TAGS", "A"),
        ("user", "value"),
        ("DELAY", "4"),
    ];
    let text: String = properties.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect();
    assert_eq!(resend(&mut client, "1", Some("16"), &text).await.code, 0);
    let copy = comes_after(&paced, &mut client, (RETRY, 0), 30_000).await;
    assert_eq!((copy.topic.as_str(), copy.failures, copy.body.as_slice()), (RETRY, 1, &b"1"[..]));
    for (name, value) in &properties[..6] {
        assert_eq!(copy.property(name), Some(*value), "{name}");
    }
    assert_eq!(copy.property("DELAY"), None);
    paced.pass(4 * 7_200_000);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await.len(), 1);
    assert_eq!(paced.seen(&mut client, DEAD, 0).await, []);
    paced.stop().await;
}

/// Q04: any position that is no message's is refused with a text, and nothing is copied.
#[tokio::test]
async fn q04_an_offset_that_is_no_message_is_refused() {
    let (paced, mut client) = with_consumer().await;
    let first = offset_of(&client.put("T", "0", "", b"a message").await);
    let second = offset_of(&client.put("T", "0", "", b"the next one").await);
    // The whole of a stored message as the body of another: bytes of a record where none was appended.
    let stored = paced.running.broker.store.record_at(mainspring::Offset(first)).unwrap();
    let around = offset_of(&client.put("T", "0", "", &stored).await);
    let inside = (first + 1..second).chain([around + 88, 0, 1, u64::from(u32::MAX), i64::MAX as u64]);
    for offset in inside {
        let answer = fail(&mut client, offset, "1").await;
        assert_eq!((answer.code, answer.remark.is_some()), (1, true), "offset {offset}");
    }
    for bad in ["-1", "x", "", "99999999999999999999"] {
        let fields = [("offset", bad), ("group", "G"), ("delayLevel", "1")];
        let answer = client.ask(36, &fields, b"").await;
        assert_eq!((answer.code, answer.remark.is_some()), (1, true), "offset {bad:?}");
    }
    let other = [("group", "G"), ("delayLevel", "1"), ("originMsgId", "7F00000100002A9F0000000000000539")];
    assert_eq!(fail_with(&mut client, first, &other).await.code, 1);
    let other = [("group", "G"), ("delayLevel", "1"), ("originTopic", "Other")];
    assert_eq!(fail_with(&mut client, first, &other).await.code, 1);
    paced.pass(7_200_000);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await, []);
    assert_eq!(fail(&mut client, first, "1").await.code, 0);
    assert_eq!(comes_after(&paced, &mut client, (RETRY, 0), 1000).await.body, b"a message");
    paced.stop().await;
}

/// Q04: a message that retention took away is refused, and none other comes in its place.
#[tokio::test]
async fn q04_an_offset_below_the_start_is_refused() {
    let options = Options { retention_bytes: Some(128 << 10), near_horizon_ms: 0, ..small() };
    let paced = Paced::start(Arc::new(MemoryBackend::new()), options).await;
    let mut client = paced.client().await;
    let gone = offset_of(&client.put("T", "0", "", b"gone soon").await);
    client.heartbeat("c", "G", "T", "*").await;
    let mut sent = 1;
    while client.ask(31, &[("topic", "T"), ("queueId", "0")], b"").await.number("offset") == 0 {
        assert!(sent < 2000, "nothing is ever trimmed");
        assert_eq!(client.put("T", "0", "", &[b'x'; 4000]).await.code, 0);
        sent += 1;
        paced.pass(1000);
    }
    let answer = fail(&mut client, gone, "1").await;
    assert_eq!((answer.code, answer.remark.is_some()), (1, true));
    paced.pass(7_200_000);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await, []);
    paced.stop().await;
}

/// Q04: a message of a topic that the group never read is refused, but only where that is certain.
#[tokio::test]
async fn q04_a_message_of_a_topic_never_read_is_refused() {
    let (paced, mut client) = with_consumer().await;
    let theirs = offset_of(&client.put("U", "0", "", b"theirs").await);
    let answer = fail(&mut client, theirs, "1").await;
    assert_eq!((answer.code, answer.remark.as_deref().unwrap().contains("never read")), (1, true));
    paced.pass(1000);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await, []);

    // A connection that says nothing of itself may well know more: served.
    let mut stranger = paced.client().await;
    assert_eq!(fail(&mut stranger, theirs, "1").await.code, 0);
    // Progress in the topic, from before a restart of all, says that the group read it.
    let offset = [("consumerGroup", "G"), ("topic", "U"), ("queueId", "1"), ("commitOffset", "0")];
    assert_eq!(client.ask(15, &offset, b"").await.code, 0);
    paced.settle();
    assert_eq!(fail(&mut client, theirs, "1").await.code, 0);
    // So does a pull without a subscription.
    let pulled = offset_of(&client.put("V", "0", "", b"pulled").await);
    assert_eq!(fail(&mut client, pulled, "1").await.code, 1);
    assert_eq!(client.ask(11, &pull_fields("V", "0", "0", "*"), b"").await.code, 0);
    assert_eq!(fail(&mut client, pulled, "1").await.code, 0);
    // What came again can fail again.
    paced.pass(1000);
    let again = paced.seen(&mut client, RETRY, 0).await;
    assert_eq!((again.len(), fail(&mut client, again[0].offset, "1").await.code), (3, 0));
    paced.stop().await;
}

/// Q05: while the disk is full, a failed message stays with its consumer; once there is space it comes again.
#[tokio::test]
async fn q05_a_full_disk_refuses_and_keeps_the_message() {
    let backend = FaultyBackend::new(1);
    let paced = Paced::start(Arc::new(backend.clone()), small()).await;
    let mut client = paced.client().await;
    let offset = offset_of(&client.put("T", "0", "", &[b'x'; 1000]).await);
    client.heartbeat("c", "G", "T", "*").await;
    backend.set_capacity(Some(0));
    let mut stored = 1;
    for size in [1000, 100, 1] {
        loop {
            let answer = client.put("T", "0", "", &vec![b'f'; size]).await;
            if answer.code != 0 {
                assert_eq!((answer.code, answer.remark.is_some()), (14, true));
                break;
            }
            stored += 1;
            assert!(stored < 10_000, "the disk never fills");
        }
    }
    let refused = fail(&mut client, offset, "0").await;
    assert_eq!((refused.code, refused.remark.is_some()), (14, true));
    paced.pass(60_000);
    // Reading goes on, and the consumer can see its message all the same.
    assert_eq!(paced.seen(&mut client, "T", 0).await[0].offset, offset);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await, []);
    let end = client.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await.number("offset");
    assert_eq!(end, stored);

    backend.set_capacity(None);
    assert_eq!(fail(&mut client, offset, "0").await.code, 0);
    let again = comes_after(&paced, &mut client, (RETRY, 0), 10_000).await;
    assert_eq!((again.body.len(), again.failures), (1000, 1));
    assert_eq!(client.put("T", "0", "", b"goes on").await.code, 0);
    paced.pass(7_200_000);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await.len(), 1);
    paced.stop().await;
}

/// Q06: of ten messages delivered at once three fail: exactly those come again, after ten seconds.
#[tokio::test]
async fn q06_exactly_the_failed_ones_of_a_batch_come_again() {
    let (paced, mut client) = with_consumer().await;
    for i in 0..10 {
        client.put("T", "0", "", format!("m{i}").as_bytes()).await;
    }
    let batch = paced.seen(&mut client, "T", 1).await;
    assert_eq!(batch.len(), 10);
    for i in [2, 5, 9] {
        assert_eq!(fail(&mut client, batch[i].offset, "0").await.code, 0);
    }
    paced.pass(9_999);
    assert_eq!(paced.seen(&mut client, RETRY, 0).await, []);
    paced.pass(7_200_000);
    let bodies: Vec<Vec<u8>> =
        paced.seen(&mut client, RETRY, 0).await.into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"m2", b"m5", b"m9"]);
    paced.stop().await;
}

/// Q09: clients do not write to topics of the system.
#[tokio::test]
async fn q09_sends_to_topics_of_the_system_are_refused() {
    let (paced, mut client) = with_consumer().await;
    for topic in [
        "SCHEDULE_TOPIC_XXXX",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "rmq_sys_wheel_timer",
    ] {
        let answer = client.put(topic, "0", "", b"x").await;
        assert_eq!((answer.code, answer.remark.unwrap().contains(topic)), (16, true), "{topic}");
    }
    paced.stop().await;
}

/// Q09: every level of RocketMQ's table is kept to the millisecond, and levels above it count as the last.
#[tokio::test]
async fn q09_every_delay_level_is_kept_to_the_millisecond() {
    let (paced, mut client) = with_consumer().await;
    let levels = (1..=18).zip(LEVELS_S).chain([(19, 7200), (i32::MAX, 7200)]);
    for (i, (level, seconds)) in levels.enumerate() {
        let level = level.to_string();
        let sent = client.put("T", "0", &format!("DELAY\u{1}{level}\u{2}"), level.as_bytes()).await;
        assert_eq!(sent.code, 0, "level {level}");
        let came = comes_after(&paced, &mut client, ("T", 1 + i as u64), seconds * 1000).await;
        assert_eq!(came.body, level.as_bytes());
    }
    paced.stop().await;
}

/// Q09: the table can be set; failed messages follow it too.
#[tokio::test]
async fn q09_the_level_table_is_configurable() {
    let options = Options { level_delays_ms: vec![7, 50, 123, 4567], ..small() };
    let paced = Paced::start(Arc::new(MemoryBackend::new()), options).await;
    let mut client = paced.client().await;
    let offset = offset_of(&client.put("T", "0", "", b"x").await);
    client.heartbeat("c", "G", "T", "*").await;
    for (at, (level, ms)) in
        [("1", 7), ("2", 50), ("3", 123), ("4", 4567), ("18", 4567)].into_iter().enumerate()
    {
        client.put("T", "0", &format!("DELAY\u{1}{level}\u{2}"), b"delayed").await;
        comes_after(&paced, &mut client, ("T", 1 + at as u64), ms).await;
    }
    assert_eq!(fail(&mut client, offset, "0").await.code, 0);
    comes_after(&paced, &mut client, (RETRY, 0), 123).await;
    paced.stop().await;
}

/// Q10: a message that was delayed comes with the topic, queue, keys and tag it was sent with, and is found by its tag.
#[tokio::test]
async fn q10_a_fired_message_is_selected_by_its_tag() {
    let (paced, mut client) = with_consumer().await;
    for (tag, delay) in
        [("A", "DELAY\u{1}1\u{2}"), ("B", "TIMER_DELAY_MS\u{1}1000\u{2}"), ("A", "DELAY\u{1}1\u{2}")]
    {
        let text =
            format!("{delay}TAGS\u{1}{tag}\u{2}KEYS\u{1}k1 k2\u{2}UNIQ_KEY\u{1}U{tag}\u{2}user\u{1}v\u{2}");
        assert_eq!(client.put("T", "3", &text, tag.as_bytes()).await.number("queueId"), 3);
    }
    paced.pass(1000);
    for (expression, bodies) in
        [("A", &[&b"A"[..], b"A"][..]), ("B", &[b"B"]), ("A || B", &[b"A", b"B", b"A"]), ("C", &[])]
    {
        let mut fields = pull_fields("T", "0", "0", expression);
        fields.retain(|(name, _)| *name != "queueId");
        fields.push(("queueId", "3"));
        let answer = client.ask(11, &fields, b"").await;
        assert_eq!(
            (answer.code, answer.number("nextBeginOffset")),
            (if bodies.is_empty() { 20 } else { 0 }, 3)
        );
        let found = seen(&answer);
        assert_eq!(found.iter().map(|seen| seen.body.as_slice()).collect::<Vec<_>>(), bodies);
        for seen in found {
            let tag = String::from_utf8(seen.body.clone()).unwrap();
            assert_eq!((seen.topic.as_str(), seen.queue), ("T", 3));
            assert_eq!(seen.property("TAGS"), Some(tag.as_str()));
            assert_eq!((seen.property("KEYS"), seen.property("user")), (Some("k1 k2"), Some("v")));
            assert_eq!(seen.property("UNIQ_KEY"), Some(format!("U{tag}").as_str()));
            assert_eq!((seen.property("DELAY"), seen.property("TIMER_DELAY_MS")), (None, None));
        }
    }
    paced.stop().await;
}

/// What is logged, for a test to read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Q11: a failed message at the name-service port is served as at the broker's where nothing is in doubt, else answered
/// with 3, for then the client sends a copy itself. Each is counted; the log has one warning that names the client.
#[tokio::test]
async fn q11_failed_messages_at_the_name_service_are_served_counted_and_warned_of() {
    let lines = Lines::default();
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let (paced, mut client) = with_consumer().await;
    let mut names = paced.running.names().await;
    let sent = client.put("T", "0", "", b"x").await;
    let offset = offset_of(&sent);
    let theirs = offset_of(&client.put("U", "0", "", b"theirs").await);
    let own = [("group", "G"), ("delayLevel", "0")];
    for doubt in [
        fail_with(&mut names, offset, &[own[0], own[1], ("bname", "another")]).await,
        fail_with(&mut names, offset + 1, &own).await,
        fail_with(&mut names, theirs, &own).await,
        fail_with(&mut names, offset, &[("group", "nobody"), own[1]]).await,
        fail_with(&mut names, offset, &[own[0], own[1], ("originTopic", "U")]).await,
        fail_with(&mut names, offset, &[own[0], own[1], ("originMsgId", "U2")]).await,
    ] {
        assert_eq!(doubt.code, 3, "{:?}", doubt.remark);
    }
    let named = [("originMsgId", sent.fields["msgId"].as_str()), ("originTopic", "T"), ("bname", "broker-a")];
    assert_eq!(fail_with(&mut names, offset, &[&own[..], &named].concat()).await.code, 0);
    let again = comes_after(&paced, &mut client, (RETRY, 0), 10_000).await;
    assert_eq!((again.body.as_slice(), again.failures), (&b"x"[..], 1));
    let counters = &paced.running.broker.counters;
    assert_eq!(counters.misdirected_send_backs.load(Ordering::Relaxed), 7);
    // Other codes of the broker are refused there at once.
    for code in [10, 310, 11, 14, 15, 34] {
        assert_eq!(names.ask(code, &[], b"").await.code, 3);
    }
    let address = names.stream.local_addr().unwrap().to_string();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains("name-service port")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    for part in ["WARN", "group=G", "client=c", &address] {
        assert!(warnings[0].contains(part), "{part} in {}", warnings[0]);
    }
    paced.stop().await;
}
