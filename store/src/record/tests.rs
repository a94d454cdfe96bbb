use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use proptest::prelude::*;

use super::layout::*;
use super::*;

const LIMITS: Limits = Limits { body_bytes_max: 4 << 20 };

fn stamp() -> Stamp {
    Stamp {
        queue: 3,
        queue_offset: 0x0102_0304,
        physical_offset: 0x0000_0100_0000_0040,
        store_ms: 0x0000_0190_0000_0001,
        store_host: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 10911),
    }
}

fn encode(draft: &Draft<'_>, stamp: &Stamp) -> Vec<u8> {
    let prepared = draft.prepare(&LIMITS).unwrap();
    let mut out = vec![0xEE; prepared.len()];
    prepared.encode(stamp, &mut out);
    out
}

fn golden_draft() -> Draft<'static> {
    Draft {
        properties: b"TAGS\x01TagA\x02KEYS\x01k1 k2\x02",
        flag: 7,
        sys_flag: BORN_HOST_V6 | STORE_HOST_V6 | COMPRESSED,
        born_ms: 0x0000_0190_0000_0000,
        born_host: SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), 50000),
        reconsume_times: 2,
        prepared_transaction_offset: 9,
        ..Draft::new("orders", b"hello")
    }
}

/// Checked by hand against the table; the checksum is zlib's of `hello`.
const GOLDEN: &str = "
    0000007B DAA320A7 3610A686 00000003 00000007
    0000000001020304 0000010000000040 00000001
    0000019000000000 C0A80102 0000C350
    0000019000000001 0A000001 00002A9F
    00000002 0000000000000009
    00000005 68656C6C6F
    06 6F7264657273
    0015 5441475301 5461674102 4B45595301 6B31206B3202";

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn golden_v1() {
    let bytes = encode(&golden_draft(), &stamp());
    assert_eq!(bytes, unhex(GOLDEN));
    let record = Record::parse(&bytes).unwrap();
    record.verify_body().unwrap();
    assert_eq!(record.fields(), Draft { queue: Some(3), sys_flag: COMPRESSED, ..golden_draft() });
    assert_eq!(record.queue_offset(), stamp().queue_offset);
    assert_eq!(record.physical_offset(), stamp().physical_offset);
    assert_eq!(record.store_ms(), stamp().store_ms);
    assert_eq!(record.store_host(), SocketAddr::V4(stamp().store_host));
    assert_eq!(record.born_host(), SocketAddr::V4(golden_draft().born_host));
    assert_eq!(record.tags_code(), 2_598_919);
    assert_eq!(record.keys().collect::<Vec<_>>(), ["k1", "k2"]);
    assert_eq!(record.uniq_key(), None);
    assert_eq!(record.message_id().to_string(), "0A00000100002A9F0000010000000040");
    assert_eq!(record.bytes(), bytes);
}

#[test]
fn table_names_the_constants() {
    let table: Vec<(String, usize, usize)> = include_str!("layout.rs")
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("//! | ")?.split(" | ").collect();
            Some((cells[2].to_owned(), cells[0].parse().ok()?, cells[1].parse().ok()?))
        })
        .collect();
    let fields: Vec<_> = FIELDS.iter().map(|(name, at, size)| ((*name).to_owned(), *at, *size)).collect();
    assert_eq!(table, fields);
}

#[test]
fn smallest_record_is_the_minimum_and_its_topic_byte() {
    let bytes = encode(&Draft::new("t", b""), &stamp());
    assert_eq!(bytes.len(), RECORD_BYTES_MIN + 1);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(record.born_ms(), stamp().store_ms, "without a time of its own, the owner's");
    assert_eq!((record.tags_code(), record.body_crc()), (0, 0));
    assert_eq!(record.index_keys().count(), 0);
}

#[test]
fn topics() {
    for good in ["a", "%RETRY%ns%group", "A-z_0|9", &"t".repeat(127), &format!("%DLQ%{}", "g".repeat(250))] {
        check_topic(good).unwrap();
        let bytes = encode(&Draft::new(good, b"x"), &stamp());
        let record = Record::parse(&bytes).unwrap();
        assert_eq!(record.topic(), good);
        let magic = if good.len() > 127 { MAGIC_V2 } else { MAGIC_V1 };
        assert_eq!(bytes[MAGIC..BODY_CRC], magic.to_be_bytes());
    }
    for bad in ["", "a b", "a.b", "é", "a\0", &"t".repeat(128), &format!("%DLQ%{}", "g".repeat(251))] {
        assert!(Draft::new(bad, b"x").prepare(&LIMITS).is_err(), "{bad:?}");
    }
}

#[test]
fn drafts_beyond_the_limits_are_refused() {
    let draft = Draft::new("t", b"12345");
    assert!(draft.prepare(&Limits { body_bytes_max: 5 }).is_ok());
    let error = draft.prepare(&Limits { body_bytes_max: 4 }).unwrap_err();
    assert_eq!(error.to_string(), "body length at byte 0 is 5, must be 0 to 4");
    let long = vec![b'x'; PROPERTIES_BYTES_MAX + 1];
    assert!(Draft { properties: &long, ..draft }.prepare(&LIMITS).is_err());
    assert!(Draft { properties: &long[1..], ..draft }.prepare(&LIMITS).is_ok());
    for (bad, at) in [(&b"a\x01\0"[..], 2), (b"\xFF", 0), (b"ab\xC3", 2)] {
        let error = Draft { properties: bad, ..draft }.prepare(&LIMITS).unwrap_err();
        assert_eq!(error, RecordError::Text { field: "properties", at });
    }
    let huge = vec![0; RECORD_BYTES_MAX];
    let unlimited = Limits { body_bytes_max: usize::MAX };
    assert!(Draft::new("t", &huge).prepare(&unlimited).is_err());
}

#[test]
fn truncated_at_every_length_is_an_error() {
    let bytes = encode(&golden_draft(), &stamp());
    for cut in 0..bytes.len() {
        assert!(Record::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        let mut whole = bytes[..cut].to_vec();
        if let Some(size) = whole.first_chunk_mut() {
            *size = u32::try_from(cut).unwrap().to_be_bytes();
        }
        assert!(Record::parse(&whole).is_err(), "cut at {cut}, and saying so");
    }
    let mut long = bytes.clone();
    long.push(0);
    assert!(Record::parse(&long).is_err());
    assert_eq!(Record::split_first(&long).unwrap().1, [0]);
    let size = u32::try_from(long.len()).unwrap();
    long[..4].copy_from_slice(&size.to_be_bytes());
    assert!(Record::parse(&long).is_err());
}

#[test]
fn a_flipped_length_magic_port_or_body_bit_is_an_error() {
    let bytes = encode(&golden_draft(), &stamp());
    let covered = [0..12, 52..54, 68..70, 84..94, 100..102];
    for bit in covered.into_iter().flatten().flat_map(|at| at * 8..at * 8 + 8) {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let verified = Record::parse(&bad).and_then(|record| record.verify_body());
        assert!(verified.is_err(), "bit {bit}");
    }
}

#[test]
fn ipv6_hosts_are_read() {
    let v4 = encode(&golden_draft(), &stamp());
    let ip = Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1);
    for (flag, at) in [(BORN_HOST_V6, BORN_HOST), (STORE_HOST_V6, STORE_HOST)] {
        let mut v6 = v4.clone();
        v6.splice(at..at + 4, ip.octets());
        let size = u32::try_from(v6.len()).unwrap();
        v6[..4].copy_from_slice(&size.to_be_bytes());
        v6[SYS_FLAG..BORN_MS].copy_from_slice(&flag.to_be_bytes());
        let record = Record::parse(&v6).unwrap();
        let hosts = [record.born_host(), record.store_host()];
        assert_eq!(hosts[usize::from(flag == STORE_HOST_V6)].ip(), ip);
        assert_eq!((record.body(), record.topic()), (&b"hello"[..], "orders"));
        assert_eq!(record.message_id().to_string().len(), if flag == STORE_HOST_V6 { 56 } else { 32 });
        let again = encode(&record.fields(), &stamp());
        assert_eq!(again.len(), v4.len());

        let host = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        let mut patched = v6.clone();
        patch(&mut patched, 11, 12, 13).unwrap();
        assert_eq!(patch_store_host(&mut patched, host).is_ok(), flag == BORN_HOST_V6);
        let patched = Record::parse(&patched).unwrap();
        assert_eq!((patched.queue_offset(), patched.physical_offset(), patched.store_ms()), (11, 12, 13));
        assert_eq!(patched.body(), record.body());
    }
}

#[test]
fn patched_is_as_if_encoded_then() {
    let mut bytes = encode(&golden_draft(), &stamp());
    let host = SocketAddrV4::new(Ipv4Addr::new(1, 2, 3, 4), 5);
    let later = Stamp { queue_offset: 8, physical_offset: 9, store_ms: 10, store_host: host, ..stamp() };
    patch(&mut bytes, 8, 9, 10).unwrap();
    patch_store_host(&mut bytes, host).unwrap();
    assert_eq!(bytes, encode(&golden_draft(), &later));
    for cut in 0..BODY {
        assert!(patch(&mut bytes[..cut], 0, 0, 0).is_err());
        assert!(patch_store_host(&mut bytes[..cut], host).is_err());
    }
}

#[test]
#[should_panic(expected = "exactly its length")]
fn encoding_into_another_length_panics() {
    let draft = Draft::new("t", b"x");
    draft.prepare(&LIMITS).unwrap().encode(&stamp(), &mut [0; 200]);
}

/// `cargo test --release -p mainspring encode_cost -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn encode_cost() {
    use std::hint::black_box;
    let properties = b"UNIQ_KEY\x017F0000010000000000000000000000AB\x02TAGS\x01TagA\x02";
    let body = [7; 128];
    let draft = Draft { properties, ..Draft::new("orders", &body) };
    let prepared = draft.prepare(&LIMITS).unwrap();
    let mut out = vec![0; prepared.len()];
    let copy = out.clone();
    let rounds = 5_000_000_u32;
    let mut measure = |name: &str, work: &mut dyn FnMut(&mut [u8])| {
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            work(black_box(&mut out));
        }
        let ns = start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds);
        println!("{name}: {ns:.1} ns for {} bytes", copy.len());
    };
    measure("memcpy", &mut |out| out.copy_from_slice(black_box(&copy)));
    measure("encode", &mut |out| black_box(&prepared).encode(black_box(&stamp()), out));
    measure("prepare", &mut |_| _ = black_box(black_box(&draft).prepare(&LIMITS)));
    measure("parse", &mut |_| _ = black_box(Record::parse(black_box(&copy))));
}

proptest! {
    #[test]
    fn round_trip(
        topic in "[a-zA-Z0-9%|_-]{1,127}",
        body in prop::collection::vec(any::<u8>(), 0..300),
        properties in "([a-z]{0,4}(\u{1}[a-z é]{0,5})?\u{2}?){0,6}",
        numbers: (i32, i32, i64, i32, i64),
        hosts: (u32, u16, u32, u16),
        stamps: (u32, u64, u64, i64),
    ) {
        let (flag, sys_flag, born_ms, reconsume_times, prepared_transaction_offset) = numbers;
        let host = |ip, port| SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
        let draft = Draft {
            topic: &topic, queue: Some(stamps.0), body: &body, properties: properties.as_bytes(), flag,
            sys_flag: sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6), born_ms: born_ms | 1,
            born_host: host(hosts.0, hosts.1), reconsume_times, prepared_transaction_offset,
        };
        let stamp = Stamp {
            queue: stamps.0, queue_offset: stamps.1, physical_offset: stamps.2, store_ms: stamps.3,
            store_host: host(hosts.2, hosts.3),
        };
        let bytes = encode(&draft, &stamp);
        let record = Record::parse(&bytes).unwrap();
        record.verify_body().unwrap();
        prop_assert_eq!(record.fields(), draft);
        prop_assert_eq!(encode(&record.fields(), &stamp), &bytes[..]);
        prop_assert_eq!(record.queue_offset(), stamps.1);
        prop_assert_eq!(record.physical_offset(), stamps.2);
        prop_assert_eq!(record.store_ms(), stamps.3);
        prop_assert_eq!(record.tags_code(), draft.prepare(&LIMITS).unwrap().tags_code());
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), honest: bool) {
        if honest && bytes.len() >= 8 {
            let size = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&size.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
        }
        let _ = Record::parse(&bytes).map(|record| record.index_keys().count());
        let _ = patch(&mut bytes, 1, 2, 3);
        let _ = patch_store_host(&mut bytes, stamp().store_host);
    }

    #[test]
    fn mutated_records_never_panic(flips in prop::collection::vec((0..123_usize, any::<u8>()), 1..6)) {
        let mut bytes = encode(&golden_draft(), &stamp());
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        if let Ok(record) = Record::parse(&bytes) {
            let _ = (record.properties().count(), record.message_id().to_string());
        }
    }
}
