//! `record_decode`: records, properties, batches, message ids and tag filters, on any bytes.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use mainspring::TagFilter;
use mainspring::record::layout::{MAGIC, MAGIC_V1, MAGIC_V2, STORE_HOST_V6, TOTAL_SIZE};
use mainspring::record::{
    Batch, Limits, MessageId, Record, Stamp, patch, patch_store_host, properties, tags,
};

use crate::put;

/// The first byte chooses what the rest is read as.
pub fn record_decode(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 7 {
        0 => record(rest),
        1 => record(&patched(rest, MAGIC_V1)),
        2 => record(&patched(rest, MAGIC_V2)),
        3 => batch(rest),
        4 => properties_of(rest),
        5 => message_id(&String::from_utf8_lossy(rest)),
        _ => filter(&String::from_utf8_lossy(rest)),
    }
}

/// The bytes with the size and magic of a record.
fn patched(bytes: &[u8], magic: u32) -> Vec<u8> {
    let mut out = bytes.to_vec();
    put(&mut out, TOTAL_SIZE, &u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    put(&mut out, MAGIC, &magic.to_be_bytes());
    out
}

fn record(bytes: &[u8]) {
    let first = Record::split_first(bytes);
    if let Ok((record, rest)) = first {
        assert_eq!(record.bytes().len() + rest.len(), bytes.len(), "a split loses nothing");
        assert_eq!(Record::parse(record.bytes()), Ok(record));
    }
    let Ok(record) = Record::parse(bytes) else { return };
    let _ = record.verify_body();
    properties_of(record.raw_properties());
    assert!(record.index_keys().all(|key| !key.is_empty()));
    let _ = record.tags_code();
    message_id(&record.message_id().to_string());
    written_again(&record);
    restamped(&record);
}

/// What a draft can hold comes back from its bytes.
fn written_again(record: &Record<'_>) {
    let draft = record.fields();
    let limits = Limits { body_bytes_max: 8 << 20 };
    let Ok(prepared) = draft.prepare(&limits) else { return };
    let stamp = Stamp {
        queue: record.queue(),
        queue_offset: record.queue_offset(),
        physical_offset: record.physical_offset(),
        store_ms: record.store_ms(),
        store_host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7),
    };
    let mut out = vec![0; prepared.len()];
    prepared.encode(&stamp, &mut out);
    let again = Record::parse(&out).expect("what is encoded can be parsed");
    assert_eq!(again.verify_body(), Ok(()));
    let born_ms = if record.born_ms() == 0 { record.store_ms() } else { record.born_ms() };
    let expected = mainspring::Draft { born_ms, ..draft };
    assert_eq!(again.fields(), expected, "every field of the draft comes back");
    assert_eq!((again.queue_offset(), again.store_ms()), (record.queue_offset(), record.store_ms()));
    assert_eq!(again.tags_code(), record.tags_code());
    assert_eq!(again.store_host(), SocketAddr::V4(stamp.store_host));
}

/// A patch changes what it says and nothing else.
fn restamped(record: &Record<'_>) {
    let mut bytes = record.bytes().to_vec();
    patch(&mut bytes, 1, 2, 3).expect("a record can be patched");
    let host = patch_store_host(&mut bytes, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9));
    assert_eq!(host.is_err(), record.sys_flag() & STORE_HOST_V6 != 0, "an IPv4 host fits where one is");
    let again = Record::parse(&bytes).expect("a patched record is a record");
    assert_eq!((again.queue_offset(), again.physical_offset(), again.store_ms()), (1, 2, 3));
    assert_eq!(again.fields(), record.fields(), "a patch leaves what the producer decided");
    assert_eq!(again.body_crc(), record.body_crc());
}

fn batch(bytes: &[u8]) {
    let mut parts = 0;
    for message in Batch::new(bytes) {
        let Ok(message) = message else { return };
        parts += 22 + message.body.len() + message.properties.len();
    }
    assert_eq!(parts, bytes.len(), "a batch without an error is all of its bytes");
}

fn properties_of(raw: &[u8]) {
    let pairs: Vec<_> = properties::pairs(raw).collect();
    for (name, value) in &pairs {
        assert!(!name.is_empty() && !value.is_empty());
        assert!(properties::get(raw, name).is_some(), "a name that is listed is found");
    }
    assert!(properties::keys(raw).all(|key| !key.is_empty() && !key.contains(' ')));
    let edited = properties::edit(raw, &[("k", "v")], &["gone"]);
    assert_eq!(properties::get(&edited, "k"), Some("v"));
    assert_eq!(properties::get(&edited, "gone"), None);
    assert_eq!(properties::edit(&edited, &[], &[]), edited, "an edit of what is in order changes nothing");
    let kept = pairs.iter().filter(|(name, _)| *name != "k" && *name != "gone").copied();
    assert!(kept.chain([("k", "v")]).eq(properties::pairs(&edited)), "other pairs keep their order");
}

fn message_id(text: &str) {
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string(), text.to_ascii_uppercase(), "an id is written as it is read");
    }
}

fn filter(expression: &str) {
    let filter = TagFilter::parse(expression);
    assert_eq!(filter, TagFilter::parse(expression));
    if !filter.is_all() {
        let wanted = expression.split("||").map(|tag| tag.trim_matches(|c: char| c <= ' '));
        assert!(wanted.filter(|tag| !tag.is_empty()).all(|tag| filter.matches(tags::code(tag))));
    }
}
