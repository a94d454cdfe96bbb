//! The first inputs of each target: small, well-formed, one of each kind.

use std::net::{Ipv4Addr, SocketAddrV4};

use mainspring::base::Buckets;
use mainspring::cells::{self, Checkpoint, EpochRecord, Identity};
use mainspring::envelope::HEAD_BYTES;
use mainspring::frame::{Frame, Op, OpKind, Opening};
use mainspring::index::{IndexBuilder, IndexEntry, Unit};
use mainspring::record::{Limits, Stamp, properties};
use mainspring::views::{Context, Effects, Views};
use mainspring::{Bytes, Draft, Epoch, GroupConfig, Offset, TopicConfig, bucket};

use crate::frames::{SECRET, START, operation, sealed};

/// (target, name, bytes).
pub type Seed = (&'static str, String, Vec<u8>);

/// All of them.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    frames(&mut seeds);
    records(&mut seeds);
    indexes(&mut seeds);
    bases(&mut seeds);
    remoting(&mut seeds);
    filters(&mut seeds);
    for (target, count) in [("recovery", 96), ("wheel_vs_model", 16), ("connection", 64)] {
        for i in 0..count {
            seeds.push((target, format!("chance-{i:02}"), chance(i, 64 + usize::from(i as u8) * 6)));
        }
    }
    seeds
}

/// Bytes that look like chance and are the same every time.
fn chance(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_be_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

fn record(topic: &str, body: &[u8], queue_offset: u64) -> Vec<u8> {
    let text = [(properties::KEYS, "k1 k2"), (properties::TAGS, "red"), (properties::UNIQ_KEY, "u")];
    let raw = properties::build(text);
    let draft = Draft { properties: &raw, queue: Some(1), ..Draft::new(topic, body) };
    let prepared = draft.prepare(&Limits { body_bytes_max: 1 << 20 }).expect("a good draft");
    let stamp = Stamp {
        queue: 1,
        queue_offset,
        physical_offset: START.0,
        store_ms: 1_000_000,
        store_host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 10911),
    };
    let mut out = vec![0; prepared.len()];
    prepared.encode(&stamp, &mut out);
    out
}

/// Every operation once: its kind and payload.
fn operations() -> Vec<(OpKind, Vec<u8>)> {
    let place = START.plus(64);
    let plain = [
        Op::Open(Opening {
            previous_end: Offset(0),
            segment_bytes: 64 << 10,
            queue_skips: 1,
            commit_rule: 1,
            node: 1,
            boot_id: 5,
        }),
        Op::Segment { previous_end: START },
        Op::Cancel { due_ms: 1_001_000, schedule: place },
        Op::Offset { group: "g", topic: "orders", queue: 1, offset: 3 },
        Op::Topic { name: "orders", config: Some(TopicConfig::new("orders", 2)) },
        Op::Topic { name: "orders", config: None },
        Op::Group { name: "g", config: Some(GroupConfig::new("g")) },
        Op::Group { name: "g", config: None },
        Op::Trim { start: START },
        Op::ClockStep { from_ms: 1, to_ms: 2 },
        Op::Digest { at: place, digest: 7 },
    ];
    let mut all: Vec<_> = plain.iter().map(Op::payload).collect();
    let due = 1_001_000_i64.to_be_bytes();
    let schedule = place.0.to_be_bytes();
    let record = record("orders", b"hello", 0);
    let tags = [0; 8];
    all.push((OpKind::Append, [&tags[..], &record].concat()));
    all.push((OpKind::Schedule, [&due[..], &tags, &record].concat()));
    all.push((OpKind::Fire, [&due[..], &schedule, &tags, &record].concat()));
    all
}

fn frames(seeds: &mut Vec<Seed>) {
    let mut one = vec![1; 17];
    let mut many = vec![2];
    for (kind, payload) in operations() {
        let op = operation(kind, &payload);
        let body = [&[0; 16], &op[..]].concat();
        seeds.push(("frame_decode", format!("seed-{}", kind as u8), [&[1], &body[..]].concat()));
        one.extend_from_slice(&op);
        many.extend_from_slice(&u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
        many.extend_from_slice(&body);
    }
    seeds.push(("frame_decode", "seed-all-in-one".into(), one));
    seeds.push(("frame_decode", "seed-many".into(), many));
}

fn records(seeds: &mut Vec<Seed>) {
    let long = format!("%RETRY%{}", "g".repeat(130));
    for (name, mode, topic) in [("raw", 0, "orders"), ("v1", 1, "t"), ("v2", 2, long.as_str())] {
        let bytes = [&[mode], &record(topic, b"body", 5)[..]].concat();
        seeds.push(("record_decode", format!("seed-{name}"), bytes));
    }
    let mut batch = vec![3];
    for _ in 0..2 {
        batch.extend_from_slice(&[0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        batch.extend_from_slice(&[0, 0, 0, 2, b'h', b'i', 0, 4, b'k', 1, b'v', 2]);
    }
    seeds.push(("record_decode", "seed-batch".into(), batch));
    let texts: [(&str, &[u8]); 4] = [
        ("properties", b"\x04KEYS\x01a b\x02TAGS\x01t\x02k\x01v\x02gone\x01x\x02"),
        ("message-id", b"\x050A0102FF00002A9F0123456789ABCDEF"),
        ("message-id-v6", b"\x0500000000000000000000000000000001000000010000000000000002"),
        ("filter", b"\x06a || b ||c"),
    ];
    seeds.extend(texts.map(|(name, bytes)| ("record_decode", format!("seed-{name}"), bytes.to_vec())));
}

fn indexes(seeds: &mut Vec<Seed>) {
    let mut builder = IndexBuilder::new(START.0);
    for i in 0..6_u64 {
        let unit = Unit { physical_offset: START.0 + i * 100, size: 100, tags: 7 };
        let topic = if i < 3 { "orders" } else { "paid" };
        let entry = IndexEntry { topic, queue: 0, queue_offset: i * 2 / 3, unit };
        if i != 1 && i != 4 {
            builder.add(&entry, ["k"].into_iter());
        }
    }
    let file = builder.finish(START.0 + 1000, 9);
    for mode in [0, 1] {
        seeds.push(("index_open", format!("seed-{mode}"), [&[mode], &file[..]].concat()));
    }
    seeds.push(("index_open", "seed-built".into(), [&[2], &chance(3, 400)[..]].concat()));
}

fn bases(seeds: &mut Vec<Seed>) {
    let mut views = Views::empty(0);
    let (mut at, mut folded) = (START, vec![7]);
    for (kind, payload) in operations() {
        let bytes = sealed(&[&[0; 16], &operation(kind, &payload)[..]].concat(), at);
        let frame = Frame::parse(&bytes, SECRET, at).expect("it was sealed");
        let context = Context { segment: START, units: true, replay: false };
        let _ = views.apply(&frame, context, &mut Effects::default());
        at = frame.end();
    }
    let numbers = [(3, 7), (10, 7), (5, 8), (0, 12), (1, 13), (2, 14), (7, 9), (6, 0)];
    for (kind, index) in numbers {
        let index = index.min(operations().len() - 1);
        let payload = &operations()[index].1;
        folded.push(kind);
        folded.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
        folded.extend_from_slice(payload);
    }
    seeds.push(("base_and_cells", "seed-folded".into(), folded));
    let base = views.freeze(&Buckets::new()).map(|s| s.bytes).unwrap_or_default();
    let timers =
        (0..20).map(|i| (i64::from(i) * 100, START.plus(i as u64 * 8), Bytes::from(vec![i as u8; 9])));
    let bucket = bucket::encode(START, timers.collect());
    let identity = Identity { secret: 1, created_ms: 2 };
    let epoch =
        EpochRecord { epoch: Epoch(1), node: 1, commit_rule: 1, boot_id: 3, clean: true, queue_skips: 4 };
    let checkpoint = Checkpoint { flushed: START };
    let parts: [(&str, u8, Vec<u8>); 8] = [
        ("base", 0, base.clone()),
        ("base-patched", 1, base[HEAD_BYTES..].to_vec()),
        ("bucket", 2, bucket.clone()),
        ("bucket-patched", 3, bucket[HEAD_BYTES..].to_vec()),
        ("identity", 4, cells::encode(&identity)),
        ("epoch", 4, cells::encode(&epoch)),
        ("checkpoint", 4, cells::encode(&checkpoint)),
        ("bucket-built", 6, chance(9, 100)),
    ];
    for (name, mode, bytes) in parts {
        seeds.push(("base_and_cells", format!("seed-{name}"), [&[mode], &bytes[..]].concat()));
    }
    let payload = cells::encode(&epoch).split_off(HEAD_BYTES);
    seeds.push(("base_and_cells", "seed-cell-patched".into(), [&[5], &payload[..]].concat()));
}

fn remoting(seeds: &mut Vec<Seed>) {
    let json = br#"{"code":310,"language":"JAVA","version":476,"opaque":7,"flag":2,"remark":"r\u0041","extFields":{"b":"orders","queueId":3,"x":null,"ok":true}}
"#;
    let mut bin = vec![0, 11, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, b'r', 0, 0, 0, 12];
    bin.extend_from_slice(&[0, 5, b't', b'o', b'p', b'i', b'c', 0, 0, 0, 1, b'o']);
    let mut frames = vec![1];
    for (kind, header) in [(0, &json[..]), (1, &bin[..])] {
        let len = u16::try_from(header.len()).unwrap_or(0).to_be_bytes();
        frames.extend_from_slice(&[kind, 0xf0 | len[0], len[1]]);
        frames.extend_from_slice(header);
    }
    let raw = [&[0, 0, 0, 0, 9, 0, 0, 0, 2][..], b"{}abc"].concat();
    let parts: [(&str, Vec<u8>); 5] = [
        ("raw", raw),
        ("frames", frames),
        ("json", [&[2], &json[..]].concat()),
        ("binary", [&[3], &bin[..]].concat()),
        ("answer", b"\x04say \"no\"\n\x01".to_vec()),
    ];
    seeds.extend(parts.map(|(name, bytes)| ("remoting_header", format!("seed-{name}"), bytes)));
}

fn filters(seeds: &mut Vec<Seed>) {
    let message =
        properties::build([("a", "5"), ("b", "it's"), ("c", "-2.5e1"), ("TAGS", "T"), ("d", "true")]);
    let texts = [
        "a > 4 AND (b = 'it''s' OR c <= 1.5)",
        "a NOT BETWEEN 1 AND 3 or x is null",
        "TAGS IN ('T', 'U') and not (d = FALSE)",
        "b CONTAINS 't' AND b NOT STARTSWITH 'x' AND b endswith 's'",
        "x <> 1 OR c < -.5E2 OR d IS NOT NULL",
        "(a = 5) = TRUE",
        "a BETWEEN 3 AND 1",
        "NOT a = 5",
    ];
    for (i, text) in texts.iter().enumerate() {
        let length = u16::try_from(text.len()).unwrap_or(0).to_be_bytes();
        seeds.push(("sql_filter", format!("seed-{i}"), [&length, text.as_bytes(), &message].concat()));
    }
}
