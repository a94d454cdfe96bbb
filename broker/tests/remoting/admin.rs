//! Administrators' codes over raw sockets: what bodies hold, and what hostile requests come to.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use mainspring::GroupConfig;

use crate::support::{Answer, Client, Running, pull_fields};

fn parsed(answer: &Answer) -> Value {
    assert_eq!(answer.code, 0, "{:?}", answer.remark);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Four messages in queue 0 of `T`, the first two of them consumed by `G`, whose member is online.
async fn scene(client: &mut Client) {
    for body in [b"a", b"b", b"c", b"d"] {
        assert_eq!(client.put("T", "0", "TAGS\u{1}x\u{2}", body).await.code, 0);
    }
    assert_eq!(client.heartbeat("c1", "G", "T", "x||y").await.code, 0);
    let progress = [("consumerGroup", "G"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "2")];
    assert_eq!(client.ask(15, &progress, b"").await.code, 0);
}

#[tokio::test]
async fn queues_and_progress_are_keyed_by_objects() {
    let running = Running::start().await;
    let mut client = running.client().await;
    scene(&mut client).await;
    let key = r#"{"brokerName":"broker-a","queueId":0,"topic":"T"}"#;

    let status = client.ask(202, &[("topic", "T")], b"").await.text();
    let begin = format!(r#"{{"offsetTable":{{{key}:{{"lastUpdateTimestamp":"#);
    assert!(status.starts_with(&begin) && status.contains(r#""maxOffset":4,"minOffset":0}"#), "{status}");
    assert!(status.ends_with(r#"},"topicPutTps":0.0}"#), "{status}");
    assert_eq!(client.ask(202, &[("topic", "U")], b"").await.code, 17);

    for fields in [vec![("consumerGroup", "G")], vec![("consumerGroup", "G"), ("topic", "T")]] {
        let stats = client.ask(208, &fields, b"").await.text();
        let begin =
            format!(r#"{{"consumeTps":0.0,"offsetTable":{{{key}:{{"brokerOffset":4,"consumerOffset":2,"#);
        assert!(stats.starts_with(&begin), "{stats}");
    }
    let other = client.ask(208, &[("consumerGroup", "G"), ("topic", "U")], b"").await.text();
    assert_eq!(other, r#"{"consumeTps":0.0,"offsetTable":{}}"#);
    assert_eq!(client.ask(208, &[("consumerGroup", "nobody")], b"").await.code, 26);

    let all = client.ask(317, &[("isOrder", "false")], b"").await.text();
    assert!(
        all.contains(r#""consumeStatsList":[{"G":[{"consumeTps":"#) && all.ends_with(r#""totalDiff":2}"#),
        "{all}"
    );
    assert_eq!(parsed(&client.ask(300, &[("topic", "T")], b"").await), json!({"groupList": ["G"]}));
    assert_eq!(parsed(&client.ask(343, &[("group", "G")], b"").await), json!({"topicList": ["T"]}));
    assert_eq!(parsed(&client.ask(43, &[], b"").await), json!({"offsetTable": {"T@G": {"0": 2}}}));

    let spans = parsed(&client.ask(303, &[("topic", "T"), ("group", "G")], b"").await);
    let span = &spans["consumeTimeSpanSet"][0];
    assert_eq!(span["messageQueue"], json!({"brokerName": "broker-a", "queueId": 0, "topic": "T"}));
    assert!(span["minTimeStamp"].as_i64() <= span["consumeTimeStamp"].as_i64(), "{span}");
    assert_eq!(spans["consumeTimeSpanSet"][1]["maxTimeStamp"], -1);

    let units = [("topic", "T"), ("queueId", "0"), ("index", "1"), ("count", "2"), ("consumerGroup", "G")];
    let units = parsed(&client.ask(321, &units, b"").await);
    assert_eq!((&units["minQueueIndex"], &units["maxQueueIndex"]), (&json!(0), &json!(4)));
    let data = units["queueData"].as_array().unwrap();
    assert_eq!((data.len(), &data[0]["tagsCode"], &data[0]["eval"]), (2, &json!(120), &json!(true)));
    running.stop().await;
}

#[tokio::test]
async fn groups_are_made_read_copied_and_deleted() {
    let running = Running::start().await;
    let mut client = running.client().await;
    scene(&mut client).await;
    let body = json!({"groupName": "H", "consumeBroadcastEnable": false, "retryQueueNums": 3, "retryMaxTimes": 7,
        "groupRetryPolicy": {"type": "CUSTOMIZED"}, "attributes": {}, "whatever": [1]});
    assert_eq!(client.ask(200, &[], body.to_string().as_bytes()).await.code, 0);
    let one = parsed(&client.ask(352, &[("group", "H")], b"").await);
    assert_eq!((&one["retryMaxTimes"], &one["consumeBroadcastEnable"]), (&json!(7), &json!(false)));
    // Attributes of a group are an embedder's: shown, kept when an administrator changes the rest.
    let attributes: mainspring::Attributes = [("x".to_owned(), "y".to_owned())].into();
    let marked = GroupConfig { attributes, ..(*running.broker.store.group("H").unwrap()).clone() };
    running.broker.store.put_group(&marked).unwrap();
    assert_eq!(client.ask(200, &[], body.to_string().as_bytes()).await.code, 0);
    assert_eq!(parsed(&client.ask(352, &[("group", "H")], b"").await)["attributes"], json!({"x": "y"}));
    let one = parsed(&client.ask(352, &[("group", "H")], b"").await);
    let route = client.ask(105, &[("topic", "%RETRY%H")], b"").await.text();
    assert!(route.contains(r#""readQueueNums":3"#), "{route}");

    let all = client.ask(201, &[], b"").await;
    assert_eq!(all.number("totalGroupNum"), 2);
    assert_eq!(parsed(&all)["subscriptionGroupTable"]["H"], one);
    let page = client.ask(201, &[("groupSeq", "1"), ("maxGroupNum", "1")], b"").await;
    let page = parsed(&page);
    assert_eq!(page["subscriptionGroupTable"].as_object().unwrap().keys().collect::<Vec<_>>(), ["H"]);
    assert_eq!(page["dataVersion"], parsed(&all)["dataVersion"]);

    let copy = [("srcGroup", "G"), ("destGroup", "H"), ("topic", "T"), ("offline", "false")];
    assert_eq!(client.ask(314, &copy, b"").await.code, 0);
    let progress = [("consumerGroup", "H"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(client.ask(14, &progress, b"").await.number("offset"), 2);

    // Without its progress the group begins again where it was, with it nowhere.
    assert_eq!(client.ask(207, &[("groupName", "H"), ("cleanOffset", "false")], b"").await.code, 0);
    assert_eq!(client.ask(352, &[("group", "H")], b"").await.code, 26);
    assert_eq!(running.broker.store.committed_offset("H", "T", 0), Some(2));
    assert_eq!(client.ask(207, &[("groupName", "H"), ("removeOffset", "true")], b"").await.code, 0);
    assert_eq!(running.broker.store.committed_offset("H", "T", 0), None);

    let list = json!({"groupConfigList": [{"groupName": "L1"}, {"groupName": "L2", "consumeEnable": false}]});
    assert_eq!(client.ask(225, &[], list.to_string().as_bytes()).await.code, 0);
    assert_eq!(parsed(&client.ask(352, &[("group", "L2")], b"").await)["consumeEnable"], false);
    // What would silently not happen is refused, and nothing of the list is done.
    for (name, value) in [
        ("consumeMessageOrderly", json!(true)),
        ("notifyConsumerIdsChangedEnable", json!(false)),
        ("groupRetryPolicy", json!({"type": "EXPONENTIAL"})),
        ("attributes", json!({"+x": "y"})),
    ] {
        let list = json!({"groupConfigList": [{"groupName": "M1"}, {"groupName": "M2", name: value}]});
        let answer = client.ask(225, &[], list.to_string().as_bytes()).await;
        assert_eq!(answer.code, 29, "{name}");
        assert!(answer.remark.unwrap().contains("M2"));
    }
    assert!(running.broker.store.group("M1").is_none());
    running.stop().await;
}

#[tokio::test]
async fn topics_are_listed_deleted_and_kept_from_producers() {
    let running = Running::start().await;
    let mut client = running.client().await;
    scene(&mut client).await;
    let list = json!({"topicConfigList": [{"topicName": "A", "readQueueNums": 2, "writeQueueNums": 1, "perm": 6,
        "attributes": {"+message.type": "FIFO"}}, {"topicName": "B", "attributes": {"store.once": "true"}}]});
    assert_eq!(client.ask(18, &[], list.to_string().as_bytes()).await.code, 0);
    let all = client.ask(21, &[], b"").await;
    let table = parsed(&all)["topicConfigTable"].clone();
    assert_eq!(all.number("totalTopicNum"), table.as_object().unwrap().len() as i64);
    assert_eq!(
        (&table["A"]["readQueueNums"], &table["A"]["attributes"]),
        (&json!(2), &json!({"message.type": "FIFO"}))
    );
    assert!(table["TBW102"]["perm"] == 7 && table["%RETRY%G"]["perm"] == 6);

    assert_eq!(table["B"]["attributes"], json!({"store.once": "true"}));

    let update =
        [("topic", "A"), ("readQueueNums", "2"), ("writeQueueNums", "2"), ("attributes", "-message.type")];
    assert_eq!(client.ask(17, &update, b"").await.code, 0);
    assert_eq!(parsed(&client.ask(351, &[("topic", "A")], b"").await)["attributes"], json!({}));
    for (changes, says) in [
        ("+queue.type=BatchCQ", "means nothing"),
        ("store.once=true", "+name=value"),
        ("+store.once=yes", "true, false"),
        ("+store.once=true,-store.once", "twice"),
    ] {
        let update =
            [("topic", "A"), ("readQueueNums", "2"), ("writeQueueNums", "2"), ("attributes", changes)];
        let refused = client.ask(17, &update, b"").await;
        assert!(
            refused.code == 29 && refused.remark.as_ref().unwrap().contains(says),
            "{:?}",
            refused.remark
        );
    }

    // Deleted, it is gone; made again, its queues go on where they ended.
    assert_eq!(client.ask(215, &[("topic", "T")], b"").await.code, 0);
    assert_eq!(client.ask(215, &[("topic", "T")], b"").await.code, 0);
    assert_eq!(client.ask(105, &[("topic", "T")], b"").await.code, 17);
    assert_eq!(client.put("T", "0", "", b"again").await.number("queueOffset"), 4);
    for reserved in ["SCHEDULE_TOPIC_XXXX", "TBW102"] {
        assert_eq!(client.ask(215, &[("topic", reserved)], b"").await.code, 1);
    }

    let mut names = running.names().await;
    assert_eq!(names.ask(205, &[("brokerName", "other")], b"").await.code, 29);
    assert!(names.ask(205, &[("brokerName", "broker-a")], b"").await.number("wipeTopicCount") > 2);
    assert!(names.ask(105, &[("topic", "T")], b"").await.text().contains(r#""perm":4"#));
    assert_eq!(names.ask(205, &[("brokerName", "broker-a")], b"").await.number("wipeTopicCount"), 0);
    assert!(names.ask(327, &[("brokerName", "broker-a")], b"").await.number("addTopicCount") > 2);
    assert!(names.ask(105, &[("topic", "T")], b"").await.text().contains(r#""perm":6"#));

    let order = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "A"), ("value", "broker-a:2")];
    assert_eq!(names.ask(101, &order[..2], b"").await.code, 22);
    assert_eq!(names.ask(100, &order, b"").await.code, 0);
    assert_eq!(names.ask(101, &order[..2], b"").await.fields["value"], "broker-a:2");
    assert_eq!(parsed(&names.ask(219, &order[..1], b"").await), json!({"table": {"A": "broker-a:2"}}));
    assert!(names.ask(105, &[("topic", "A")], b"").await.text().contains(r#""orderTopicConf":"broker-a:2""#));
    assert_eq!(names.ask(102, &order[..2], b"").await.code, 0);
    assert_eq!(names.ask(219, &order[..1], b"").await.code, 22);
    running.stop().await;
}

fn setting<'a>(namespace: &'a str, key: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    [("namespace", namespace), ("key", key), ("value", value)]
}

#[tokio::test]
async fn settings_of_any_namespace_are_kept() {
    let running = Running::start().await;
    let mut names = running.names().await;
    assert_eq!(names.ask(219, &setting("N", "", "")[..1], b"").await.code, 22);
    for (namespace, key, value) in [("N", "k", "v"), ("N", "other", "ü=,"), ("M", "k", "w"), ("N", "k", "v2")]
    {
        assert_eq!(names.ask(100, &setting(namespace, key, value), b"").await.code, 0);
    }
    assert_eq!(names.ask(101, &setting("N", "k", "")[..2], b"").await.fields["value"], "v2");
    assert_eq!(names.ask(101, &setting("M", "other", "")[..2], b"").await.code, 22);
    let all = names.ask(219, &setting("N", "", "")[..1], b"").await;
    assert_eq!(parsed(&all), json!({"table": {"k": "v2", "other": "ü=,"}}));
    assert_eq!(names.ask(102, &setting("N", "k", "")[..2], b"").await.code, 0);
    assert_eq!(names.ask(102, &setting("N", "k", "")[..2], b"").await.code, 0);
    assert_eq!(names.ask(101, &setting("N", "k", "")[..2], b"").await.code, 22);

    // They have a bound, and what does not fit changes nothing; names that could be taken for others are refused.
    let long = "x".repeat(16 << 10);
    let refused = names.ask(100, &setting("N", "long", &long), b"").await;
    assert_eq!(refused.code, 29);
    assert!(refused.remark.unwrap().contains("16384 are kept"));
    assert_eq!(names.ask(101, &setting("N", "long", "")[..2], b"").await.code, 22);
    assert_eq!(names.ask(100, &setting("N\tk", "x", "v"), b"").await.code, 29);
    assert_eq!(names.ask(100, &setting("N", "", "v"), b"").await.code, 1);

    // The topic that keeps them is nobody's.
    let mut client = running.client().await;
    assert_eq!(client.put("rmq_sys_kv_config", "0", "", b"x").await.code, 16);
    assert_eq!(client.ask(11, &pull_fields("rmq_sys_kv_config", "0", "0", "*"), b"").await.code, 16);
    assert_eq!(client.ask(215, &[("topic", "rmq_sys_kv_config")], b"").await.code, 1);
    assert_eq!(names.ask(101, &setting("M", "k", "")[..2], b"").await.fields["value"], "w");
    running.stop().await;
}

#[tokio::test]
async fn what_members_hold_is_under_way() {
    let running = Running::start().await;
    let mut client = running.client().await;
    scene(&mut client).await;
    let mut pulled = async |changes: &[(&str, &str)]| {
        for (from, found) in changes {
            let mut fields = pull_fields("T", from, "0", "*");
            fields.retain(|(name, _)| *name != "maxMsgNums");
            fields.push(("maxMsgNums", "1"));
            assert_eq!(client.ask(11, &fields, b"").await.code.to_string(), *found);
        }
        let stats = client.ask(208, &[("consumerGroup", "G")], b"").await.text();
        let (_, pulled) = stats.split_once(r#""pullOffset":"#).unwrap();
        pulled.split_once('}').unwrap().0.parse::<u64>().unwrap()
    };
    assert_eq!(pulled(&[]).await, 2);
    assert_eq!(pulled(&[("2", "0"), ("3", "0")]).await, 4);
    // The member began again at its progress, as whoever takes a queue over does.
    assert_eq!(pulled(&[("2", "0")]).await, 3);
    assert_eq!(pulled(&[("0", "0")]).await, 2, "nothing is under way below the progress");
    assert_eq!(pulled(&[("2", "0"), ("3", "0")]).await, 4);

    let reset = [("topic", "T"), ("group", "G"), ("timestamp", "0"), ("isForce", "true")];
    assert_eq!(client.ask(222, &reset, b"").await.code, 0);
    let stats = client.ask(208, &[("consumerGroup", "G")], b"").await.text();
    assert!(stats.contains(r#""pullOffset":0"#), "{stats}");
    running.stop().await;
}

#[tokio::test]
async fn traces_have_a_topic_before_the_first() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let trace = [("topic", "RMQ_SYS_TRACE_TOPIC")];
    assert!(client.ask(105, &trace, b"").await.text().contains(r#""writeQueueNums":1"#));
    assert!(!client.ask(206, &[], b"").await.text().contains("TRACE"));
    assert_eq!(client.put("RMQ_SYS_TRACE_TOPIC", "0", "", b"x").await.code, 0);
    assert!(client.ask(206, &[], b"").await.text().contains("RMQ_SYS_TRACE_TOPIC"));
    running.stop().await;
}

#[tokio::test]
async fn connections_and_figures_are_real() {
    let running = Running::start().await;
    let mut client = running.client().await;
    scene(&mut client).await;
    let consumers = parsed(&client.ask(203, &[("consumerGroup", "G")], b"").await);
    let wanted = &consumers["subscriptionTable"]["T"];
    assert_eq!((&wanted["tagsSet"], &wanted["codeSet"]), (&json!(["x", "y"]), &json!([120, 121])));
    assert_eq!(consumers["connectionSet"][0]["clientId"], "c1");
    assert_eq!(
        (&consumers["consumeType"], &consumers["messageModel"]),
        (&json!("CONSUME_PASSIVELY"), &json!("CLUSTERING"))
    );
    assert_eq!(client.ask(203, &[("consumerGroup", "nobody")], b"").await.code, 206);
    let producers = parsed(&client.ask(204, &[("producerGroup", "P")], b"").await);
    assert_eq!(producers["connectionSet"][0]["language"], "JAVA");
    assert_eq!(client.ask(204, &[("producerGroup", "nobody")], b"").await.code, 1);
    assert_eq!(parsed(&client.ask(328, &[], b"").await)["data"]["P"][0]["version"], 409);
    let wants = parsed(&client.ask(345, &[("group", "G"), ("topic", "T")], b"").await);
    assert_eq!(wants["subscriptionData"]["subString"], "x||y");

    let info = parsed(&client.ask(28, &[], b"").await)["table"].clone();
    assert_eq!((&info["msgPutTotalTodayNow"], &info["putMessageSizeTotal"]), (&json!("4"), &json!("4")));
    assert_eq!((&info["brokerActive"], &info["consumerConnections"]), (&json!("true"), &json!("1")));
    assert_eq!(info["putTps"].as_str().unwrap().split(' ').count(), 3);
    running.broker.traffic.tick(running.broker.store.now_ms() + 10_000);
    let put = parsed(&client.ask(315, &[("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "T")], b"").await);
    assert_eq!((&put["statsMinute"]["sum"], &put["statsDay"]["sum"]), (&json!(4), &json!(4)));
    for (name, key) in
        [("TOPIC_PUT_NUMS", "U"), ("GROUP_GET_NUMS", "T@G"), ("NOTHING", "T"), ("GROUP_GET_NUMS", "T")]
    {
        assert_eq!(client.ask(315, &[("statsName", name), ("statsKey", key)], b"").await.code, 1);
    }
    let settings = client.ask(26, &[], b"").await.text();
    assert!(
        settings.contains("brokerName=broker-a\n") && settings.contains("brokerClusterName=DefaultCluster\n")
    );
    for code in [25, 318] {
        let refused = client.ask(code, &[], b"autoCreateTopicEnable=false").await;
        assert!(refused.code == 16 && refused.remark.unwrap().contains("start"));
    }
    let refused = client.ask(3001, &[], b"{}").await;
    assert!(refused.code == 3 && refused.remark.unwrap().contains("no users"));
    running.stop().await;
}

/// Every code, each with nothing, with wrong types, with names that move a terminal, with numbers too large: answered,
/// by no success where there is nothing to do it with, and the connection lives on.
#[tokio::test]
async fn hostile_requests_are_answered() {
    let running = Running::start().await;
    let mut client = running.client().await;
    scene(&mut client).await;
    let codes = [
        17, 18, 21, 25, 26, 28, 43, 100, 101, 102, 200, 201, 202, 203, 204, 205, 207, 208, 215, 216, 219,
        224, 225, 300, 303, 304, 305, 306, 314, 315, 316, 317, 318, 319, 321, 327, 328, 329, 343, 345, 351,
        352, 401,
    ];
    let names = [
        "topic",
        "group",
        "consumerGroup",
        "producerGroup",
        "groupName",
        "brokerName",
        "cluster",
        "namespace",
        "key",
        "value",
        "srcGroup",
        "destGroup",
        "statsName",
        "statsKey",
        "queueId",
        "index",
        "count",
        "readQueueNums",
        "writeQueueNums",
        "perm",
        "topicSeq",
        "maxTopicNum",
        "groupSeq",
        "maxGroupNum",
        "attributes",
        "cleanOffset",
    ];
    let long = "n".repeat(35_000);
    let values = [
        "",
        "\u{1b}[2J\n\u{1}\u{2}",
        "T",
        "G",
        "-1",
        "9223372036854775807",
        "99999999999999999999",
        "%s{}\"\\",
        &long,
    ];
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 6] =
        [b"", b"null", b"{\"groupName\":7,\"topicConfigList\":{}}", b"[[[", b"\xFF\xFE", deep.as_bytes()];
    for code in codes {
        for (value, body) in values.iter().zip(bodies.iter().cycle()) {
            let fields: Vec<(&str, &str)> = names.iter().map(|name| (*name, *value)).collect();
            let answer = client.ask(code, &fields, body).await;
            let remark = answer.remark.unwrap_or_default();
            assert!(!remark.contains('\u{1b}') && remark.len() < 1000, "{code} {value:.20}: {remark:.200}");
        }
        client.ask(code, &[], b"").await;
    }
    assert_eq!(running.broker.counters.panics.load(std::sync::atomic::Ordering::Relaxed), 0);
    // A list that is too long is refused before anything of it is done.
    let many: Vec<Value> =
        (0..5000).map(|i| json!({"topicName": format!("X{i}"), "groupName": format!("X{i}")})).collect();
    for (code, key) in [(18, "topicConfigList"), (225, "groupConfigList")] {
        assert_eq!(client.ask(code, &[], json!({key: many}).to_string().as_bytes()).await.code, 29);
    }
    assert!(running.broker.store.topic("X0").is_none() && running.broker.store.group("X0").is_none());
    running.stop().await;
}

/// The codes that a line of the page lists, as `10-12, 14`.
fn listed(page: &str, port: &str) -> BTreeSet<i32> {
    let codes = page.split_once("\n## Codes\n").unwrap().1;
    let (_, rest) = codes.split_once(&format!("\n- {port}: ")).unwrap();
    let list = &rest[..rest.find(['.', ';']).unwrap()];
    let expanded = list.split(',').flat_map(|codes| {
        let (first, last) = codes.trim().split_once('-').unwrap_or((codes.trim(), codes.trim()));
        first.parse::<i32>().unwrap()..=last.parse().unwrap()
    });
    expanded.collect()
}

#[tokio::test]
async fn the_page_lists_the_codes_that_are_served() {
    let running = Running::start().await;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/coming-from-rocketmq.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (port, mut client) in
        [("Broker port", running.client().await), ("Name-service port", running.names().await)]
    {
        let mut served = BTreeSet::new();
        for code in (0..=1100).chain(77_000..=77_010) {
            let answer = client.ask(code, &[], b"").await;
            if answer.code != 3 {
                served.insert(code);
            }
        }
        assert_eq!(served, listed(&page, port), "{port}");
    }
    running.stop().await;
}
