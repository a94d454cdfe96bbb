//! Timers over the wire: recall handles and code 370, and the tools' own codes.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Answer, Client, Running};

const LIST: i32 = 77_001;
const SHOW: i32 = 77_002;
const CANCEL: i32 = 77_003;
const FORECAST: i32 = 77_004;
const GROUPS: i32 = 77_005;
const RECALL: i32 = 370;

fn json(answer: &Answer) -> Value {
    assert_eq!(answer.code, 0, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Sends a message that is due in an hour; gives the recall handle.
async fn delayed(client: &mut Client, topic: &str, key: &str) -> String {
    let properties = format!("KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}U-{key}\u{2}TIMER_DELAY_SEC\u{1}3600\u{2}");
    let answer = client.put(topic, "1", &properties, b"later").await;
    assert_eq!(answer.code, 0);
    answer.fields["recallHandle"].clone()
}

async fn listed(client: &mut Client, fields: &[(&str, &str)]) -> Vec<Value> {
    let answer = client.ask(LIST, fields, b"").await;
    json(&answer)["timers"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_producer_takes_a_delayed_message_back() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let plain = client.put("T", "0", "", b"now").await;
    assert!(!plain.fields.contains_key("recallHandle"), "only what is delayed can be taken back");
    let handle = delayed(&mut client, "T", "a").await;
    let other = delayed(&mut client, "T", "b").await;
    let answer = client.ask(RECALL, &[("topic", "T"), ("recallHandle", &handle)], b"").await;
    assert_eq!((answer.code, answer.fields["msgId"].as_str()), (0, "U-a"));
    let again = client.ask(RECALL, &[("topic", "T"), ("recallHandle", &handle)], b"").await;
    assert_eq!(again.code, 0, "repeating it is harmless");
    let left = listed(&mut client, &[]).await;
    assert_eq!((left.len(), left[0]["keys"][0].as_str()), (1, Some("b")));
    let padded = format!("{other}AAAA");
    let wrong: [&[(&str, &str)]; 5] = [
        &[("topic", "U"), ("recallHandle", &other)],
        &[("topic", "T"), ("recallHandle", "none")],
        &[("topic", "T"), ("recallHandle", &padded)],
        &[("topic", "T"), ("recallHandle", "djEgVCBicm9rZXItYSA1IFU6MDAwMDAwMDAwMDAwMDAwMQ==")],
        &[("topic", "T"), ("recallHandle", "djEgVCBicm9rZXItYiA1IFU6MDAwMDAwMDAwMDAwMDAwMQ==")],
    ];
    for fields in wrong {
        let answer = client.ask(RECALL, fields, b"").await;
        assert_eq!(answer.code, 604, "{fields:?}: {answer:?}");
    }
    assert_eq!(client.ask(RECALL, &[("topic", "T")], b"").await.code, 1);
    assert_eq!(listed(&mut client, &[]).await.len(), 1, "nothing else was taken back");
}

#[tokio::test]
async fn a_message_that_was_delivered_cannot_be_taken_back() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let sent = client.put("T", "0", "TIMER_DELAY_MS\u{1}20\u{2}KEYS\u{1}k\u{2}", b"soon").await;
    let handle = sent.fields["recallHandle"].clone();
    while client.ask(30, &[("topic", "T"), ("queueId", "0")], b"").await.fields["offset"] == "0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = client.ask(RECALL, &[("topic", "T"), ("recallHandle", &handle)], b"").await;
    assert_eq!(answer.code, 604);
    assert!(answer.remark.unwrap().contains("delivered already"));
}

#[tokio::test]
async fn timers_are_listed_shown_counted_and_cancelled() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for n in 0..5 {
        delayed(&mut client, if n == 4 { "B" } else { "A" }, &format!("order-{n}")).await;
    }
    let all = listed(&mut client, &[]).await;
    assert_eq!(all.len(), 5);
    assert_eq!(listed(&mut client, &[("topic", "B")]).await.len(), 1);
    assert_eq!(listed(&mut client, &[("keyPrefix", "order-2"), ("topic", "A")]).await.len(), 1);
    let page = json(&client.ask(LIST, &[("limit", "2")], b"").await);
    assert_eq!((page["timers"].as_array().unwrap().len(), page["pending"].as_u64()), (2, Some(5)));
    let rest = listed(&mut client, &[("after", page["next"].as_str().unwrap())]).await;
    assert_eq!(rest, all[2..]);
    let third = all[2]["due_ms"].as_i64().unwrap().to_string();
    assert!(listed(&mut client, &[("toMs", &third)]).await.len() <= 2);

    let handle = all[0]["handle"].as_str().unwrap();
    let shown = json(&client.ask(SHOW, &[("handle", handle)], b"").await);
    assert_eq!((shown["state"].as_str(), shown["topic"].as_str()), (Some("pending"), Some("A")));
    assert!(shown["place"].as_str().unwrap().starts_with("log at 1:"), "{shown}");
    let now_ms = shown["now_ms"].as_i64().unwrap();
    let times = format!("{now_ms},{}", now_ms + 7_200_000);
    let counts = json(&client.ask(FORECAST, &[("times", &times)], b"").await);
    assert_eq!(counts["counts"], serde_json::json!([0, 5, 0]));
    let cancelled = json(&client.ask(CANCEL, &[("handle", handle)], b"").await);
    assert_eq!(cancelled["result"].as_str(), Some("cancelled"));
    let shown = json(&client.ask(SHOW, &[("handle", handle)], b"").await);
    assert_eq!(shown["state"].as_str(), Some("cancelled"));
    let unknown = json(&client.ask(CANCEL, &[("handle", "5-0000000000000005")], b"").await);
    assert_eq!(unknown["result"].as_str(), Some("not_found"));
    let shown = json(&client.ask(SHOW, &[("handle", "5-0000000000000005")], b"").await);
    assert_eq!(shown["state"].as_str(), Some("unknown"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_place() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let long = "9".repeat(60_000);
    for bad in ["x", "1-2", "-", "\u{1b}[2J", &long] {
        for code in [SHOW, CANCEL] {
            let answer = client.ask(code, &[("handle", bad)], b"").await;
            assert_eq!(answer.code, 29, "{bad:.20}");
            let remark = answer.remark.unwrap();
            assert!(remark.len() < 1_000 && !remark.contains('\u{1b}'), "{remark}");
        }
        assert_eq!(client.ask(LIST, &[("after", bad)], b"").await.code, 29);
    }
    let many = vec!["1"; 300].join(",");
    for times in ["x", "2,1", "1,,2", "1,99999999999999999999", &many] {
        assert_eq!(client.ask(FORECAST, &[("times", times)], b"").await.code, 29, "{times:.20}");
    }
    assert_eq!(client.ask(FORECAST, &[], b"").await.code, 1);
    assert_eq!(client.ask(SHOW, &[], b"").await.code, 1);
    for (name, value) in [("limit", "-1"), ("limit", "x"), ("fromMs", "soon")] {
        assert_eq!(client.ask(LIST, &[(name, value)], b"").await.code, 1, "{name}={value}");
    }
    assert!(listed(&mut client, &[("limit", "0"), ("fromMs", "-9223372036854775808")]).await.is_empty());
    assert_eq!(client.ask(77_999, &[], b"").await.code, 3);
}

#[tokio::test]
async fn groups_are_listed_with_their_lag() {
    let running = Running::start().await;
    let mut client = running.client().await;
    assert_eq!(client.put("T", "0", "", b"1").await.code, 0);
    assert_eq!(client.put("T", "0", "", b"2").await.code, 0);
    let pull = |group: &'static str| {
        [
            ("consumerGroup", group),
            ("topic", "T"),
            ("queueId", "0"),
            ("queueOffset", "0"),
            ("sysFlag", "4"),
            ("subscription", "*"),
        ]
    };
    assert_eq!(client.ask(11, &pull("TOOLS_CONSUMER"), b"").await.code, 0);
    assert_eq!(client.ask(11, &pull("g"), b"").await.code, 0);
    let commit = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "1")];
    assert_eq!(client.ask(15, &commit, b"").await.code, 0);
    loop {
        let groups = json(&client.ask(GROUPS, &[], b"").await)["groups"].clone();
        assert_eq!(groups.as_array().unwrap().len(), 1, "tools leave no trace: {groups}");
        assert_eq!((groups[0]["group"].as_str(), groups[0]["online"].as_u64()), (Some("g"), Some(0)));
        if let Some(queue) = groups[0]["queues"].get(0) {
            assert_eq!((queue["offset"].as_u64(), queue["lag"].as_u64()), (Some(1), Some(1)));
            break;
        }
    }
    let none = json(&client.ask(GROUPS, &[("group", "other")], b"").await);
    assert_eq!(none["groups"], serde_json::json!([]));
}
