//! Finding messages: by key (12), by the position in a message id (33), by time (29).

use std::time::Duration;

use crate::{
    codes::records,
    support::{Answer, Client, Running},
};

async fn query(client: &mut Client, key: &str, changes: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("topic", "T"),
        ("key", key),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
        ("_UNIQUE_KEY_QUERY", "false"),
    ];
    for change in changes {
        fields.retain(|(name, _)| *name != change.0);
        fields.push(*change);
    }
    let answer = client.ask(12, &fields, b"").await;
    assert!(answer.code != 22 || answer.body.is_empty());
    answer
}

fn bodies(answer: &Answer) -> Vec<String> {
    records(answer).into_iter().map(|record| String::from_utf8(record.4).unwrap()).collect()
}

#[tokio::test]
async fn keys_find_messages_newest_first() {
    let running = Running::start().await;
    let mut client = running.client().await;
    assert_eq!(query(&mut client, "same", &[]).await.code, 22);
    for i in 0..70 {
        let properties = format!("KEYS\u{1}same k{i}\u{2}UNIQ_KEY\u{1}U{i}\u{2}");
        let queue = (i % 3).to_string();
        assert_eq!(client.put("T", &queue, &properties, i.to_string().as_bytes()).await.code, 0);
    }
    client.put("Other", "0", "KEYS\u{1}same\u{2}", b"of another topic").await;
    client.put("T", "0", "KEYS\u{1}later\u{2}DELAY\u{1}18\u{2}", b"not yet").await;
    let newest: Vec<String> = (0..70).rev().map(|i| i.to_string()).collect();
    for (key, changes, expected) in [
        ("same", &[][..], &newest[..32]),
        ("same", &[("maxNum", "3")], &newest[..3]),
        ("same", &[("maxNum", "2147483647")], &newest[..64]),
        ("same", &[("indexType", "K"), ("maxNum", "1")], &newest[..1]),
        ("k7", &[], &newest[62..63]),
        ("U7", &[("_UNIQUE_KEY_QUERY", "true"), ("maxNum", "0")], &newest[62..63]),
        ("U7", &[("indexType", "U")], &newest[62..63]),
        ("U7", &[], &newest[62..63]),
        ("k7", &[("indexType", "U")], &[]),
        ("k7", &[("_UNIQUE_KEY_QUERY", "true")], &[]),
        ("k7", &[("indexType", "T")], &[]),
        ("later", &[], &[]),
        ("SAME", &[], &[]),
        ("same", &[("topic", "None")], &[]),
        ("same", &[("maxNum", "0")], &[]),
        ("same", &[("maxNum", "-9")], &[]),
        ("same", &[("beginTimestamp", "9"), ("endTimestamp", "3")], &[]),
        ("same", &[("beginTimestamp", "9223372036854775807"), ("endTimestamp", "-9223372036854775808")], &[]),
        ("same", &[("endTimestamp", "1000")], &[]),
    ] {
        let answer = query(&mut client, key, changes).await;
        assert_eq!(
            (answer.code, &bodies(&answer)[..]),
            (if expected.is_empty() { 22 } else { 0 }, expected),
            "{key} {changes:?}"
        );
    }
    let answer = query(&mut client, "same", &[]).await;
    let stored = u64::from_be_bytes(answer.body[56..64].try_into().unwrap());
    assert!(answer.number("indexLastUpdateTimestamp") as u64 >= stored);
    assert!(answer.number("indexLastUpdatePhyoffset") > 0);
    assert_eq!(query(&mut client, "same", &[("maxNum", "x")]).await.code, 1);
    assert_eq!(client.ask(12, &[("topic", "T")], b"").await.code, 1);
    assert_eq!(query(&mut client, "", &[]).await.code, 1);
    // A long key of nobody's.
    assert_eq!(query(&mut client, &"k".repeat(40_000), &[]).await.code, 22);
    running.stop().await;
}

#[tokio::test]
async fn large_messages_of_one_key_fit_into_a_frame_that_clients_read() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for _ in 0..5 {
        assert_eq!(client.put("T", "0", "KEYS\u{1}k\u{2}", &vec![7; 4 << 20]).await.code, 0);
    }
    let answer = query(&mut client, "k", &[]).await;
    assert_eq!((answer.code, records(&answer).len()), (0, 2));
    running.stop().await;
}

/// The position in an offset message id.
fn position(answer: &Answer) -> i64 {
    i64::from_str_radix(&answer.fields["msgId"][16..], 16).unwrap()
}

async fn view(client: &mut Client, offset: i64) -> Answer {
    client.ask(33, &[("offset", &offset.to_string())], b"").await
}

#[tokio::test]
async fn an_id_finds_its_message_and_forged_ones_find_nothing() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let first = position(&client.put("T", "0", "", b"first").await);
    let second = position(&client.put("T", "1", "", b"second").await);
    assert_eq!(bodies(&view(&mut client, second).await), ["second"]);
    let found = client.ask(33, &[("offset", &first.to_string()), ("topic", "T")], b"").await;
    assert_eq!(bodies(&found), ["first"]);
    for forged in [first + 1, first - 1, first + 20, second + 8, 0, 1, -1, i64::MIN, i64::MAX, 1 << 41] {
        let answer = view(&mut client, forged).await;
        assert_eq!((answer.code, answer.body.len()), (1, 0), "{forged}");
        assert!(answer.remark.unwrap().contains(&forged.to_string()));
    }
    assert_eq!(client.ask(33, &[], b"").await.code, 1);
    // A record within a body: no queue points at it.
    let whole = view(&mut client, second).await.body;
    let outer = position(&client.put("T", "0", "", &whole).await);
    assert_eq!(view(&mut client, outer + 88).await.code, 1);

    let timed = position(&client.put("T", "0", "DELAY\u{1}1\u{2}", b"timed").await);
    let pending = view(&mut client, timed).await;
    if pending.code == 0 {
        assert_eq!(bodies(&pending), ["timed"]);
    }
    let of = [("topic", "T"), ("queueId", "0")];
    while client.ask(30, &of, b"").await.number("offset") < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(view(&mut client, timed).await.code, 1, "it was delivered and has an id of its own");
    let never = position(&client.put("T", "0", "TIMER_DELAY_SEC\u{1}3600\u{2}", b"in an hour").await);
    let pending = view(&mut client, never).await;
    assert_eq!((pending.code, bodies(&pending)), (0, vec!["in an hour".to_owned()]));
    assert_eq!(records(&pending)[0].0, "T");
    running.stop().await;
}

#[tokio::test]
async fn times_have_a_lower_and_an_upper_boundary() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let mut stored = Vec::new();
    for i in 0..3_i64 {
        client.put("T", "0", "", b"x").await;
        let pulled = view_at(&mut client, i).await;
        stored.push(i64::from_be_bytes(pulled.body[56..64].try_into().unwrap()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (ms, lower, upper) in [
        (0, 0, 0),
        (stored[0], 0, 0),
        (stored[0] + 1, 1, 0),
        (stored[1] - 1, 1, 0),
        (stored[1], 1, 1),
        (stored[2], 2, 2),
        (stored[2] + 1, 3, 2),
        (i64::MAX, 3, 2),
        (i64::MIN, 0, 0),
    ] {
        let ms = ms.to_string();
        let of = [("topic", "T"), ("queueId", "0"), ("timestamp", &ms)];
        for (boundary, expected) in
            [("LOWER", lower), ("lower", lower), ("UPPER", upper), ("upper", upper), ("", lower)]
        {
            let fields = [&of[..], &[("boundaryType", boundary)]].concat();
            assert_eq!(client.ask(29, &fields, b"").await.number("offset"), expected, "{ms} {boundary}");
        }
        assert_eq!(client.ask(29, &of, b"").await.number("offset"), lower);
    }
    let empty = [("topic", "T"), ("queueId", "1"), ("timestamp", "5"), ("boundaryType", "UPPER")];
    assert_eq!(client.ask(29, &empty, b"").await.number("offset"), 0);
    running.stop().await;
}

async fn view_at(client: &mut Client, offset: i64) -> Answer {
    let offset = offset.to_string();
    client.ask(11, &crate::support::pull_fields("T", &offset, "0", "*"), b"").await
}
