//! Counters of traffic equal what was sent, pulled and failed.

use mainspring_broker::traffic::{Kind, Totals};

use crate::support::{Running, pull_fields, send_fields};

/// A message of a batch without properties.
fn in_batch(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(22 + body.len()).unwrap();
    let body_length = u32::try_from(body.len()).unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(&body_length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&[0; 2]);
    bytes
}

/// Requests, messages and bytes.
fn counts(totals: Totals) -> (u64, u64, u64) {
    (totals.requests, totals.messages, totals.bytes)
}

#[tokio::test]
async fn every_message_is_counted_once() {
    let running = Running::start().await;
    let traffic = &running.broker.traffic;
    let mut client = running.client().await;
    let sent = client.put("T", "0", "", &[1; 100]).await;
    client.put("T", "0", "__SHARDINGKEY\u{1}k\u{2}", &[1; 2000]).await;
    client.put("T", "0", "DELAY\u{1}5\u{2}", &[1; 30]).await;
    let batch = [in_batch(&[2; 10]), in_batch(&[3; 20]), in_batch(&[4; 30])].concat();
    assert_eq!(client.ask(320, &send_fields("T", "0", ""), &batch).await.code, 0);
    // Refused ones do not count.
    assert_eq!(client.put("T", "99", "", b"x").await.code, 29);
    assert_eq!(client.put("T", "0", "", b"").await.code, 13);

    let of = |kind: Kind| traffic.topics.find("T", kind.name()).map(|flow| counts(flow.totals()));
    assert_eq!(of(Kind::Normal), Some((2, 4, 160)));
    assert_eq!(of(Kind::Fifo), Some((1, 1, 2000)));
    assert_eq!(of(Kind::Delay), Some((1, 1, 30)));
    assert_eq!(counts(traffic.put()), (4, 6, 2190));
    assert_eq!(traffic.sizes().counts, [5, 1, 0, 0, 0, 0, 0]);

    client.heartbeat("c", "G", "T", "*").await;
    let pulled = client.ask(11, &pull_fields("T", "0", "0", "*"), b"").await;
    let group = traffic.groups.find("G", "T").unwrap();
    assert_eq!(counts(group.out.totals()), (1, 5, pulled.body.len() as u64));
    // One that finds nothing does not count.
    assert_eq!(client.ask(11, &pull_fields("T", "5", "0", "*"), b"").await.code, 19);
    assert_eq!(counts(traffic.get()), (1, 5, pulled.body.len() as u64));

    let offset = u64::from_str_radix(&sent.fields["msgId"][16..], 16).unwrap().to_string();
    for (level, code) in [("5", 0), ("-1", 0)] {
        let failed = [("offset", offset.as_str()), ("group", "G"), ("delayLevel", level)];
        assert_eq!(client.ask(36, &failed, b"").await.code, code);
    }
    // The client's own way: a send to the retry topic; above the limit a dead letter.
    let mut fields = send_fields("%RETRY%G", "0", "RETRY_TOPIC\u{1}T\u{2}DELAY\u{1}5\u{2}");
    fields.retain(|(name, _)| *name != "j");
    for tries in ["1", "3"] {
        let resend = [&fields[..], &[("j", tries), ("l", "2")]].concat();
        assert_eq!(client.ask(310, &resend, b"again").await.code, 0);
    }
    assert_eq!(counts(group.failed.totals()), (2, 2, 105));
    assert_eq!(counts(group.dead.totals()), (2, 2, 105));
    running.stop().await;
}
