//! The bytes of a record. All integers are big endian.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | total size | bytes of the whole record, this field included |
//! | 4 | 4 | magic | `0xDAA320A7` (V1) or `0xDAA320AB` (V2) |
//! | 8 | 4 | body crc | CRC-32 of the body, its highest bit cleared |
//! | 12 | 4 | queue | queue of the topic |
//! | 16 | 4 | flag | the producer's, opaque |
//! | 20 | 8 | queue offset | index of the record in its queue |
//! | 28 | 8 | physical offset | position of the record's first byte in the log |
//! | 36 | 4 | sys flag | bits below |
//! | 40 | 8 | born ms | the producer's time |
//! | 48 | 8 | born host | 4 address bytes, 4-byte port; 16 + 4 with bit `0x10` |
//! | 56 | 8 | store ms | the owner's time at append |
//! | 64 | 8 | store host | 4 address bytes, 4-byte port; 16 + 4 with bit `0x20` |
//! | 72 | 4 | reconsume times | deliveries that failed before this copy |
//! | 76 | 8 | prepared transaction offset | queue offset of the half message, else 0 |
//! | 84 | 4 | body length | n |
//! | 88 | n | body | as sent, compressed or not |
//! | 88 + n | 1 | topic length | t; 2 bytes in V2 |
//! | 89 + n | t | topic | UTF-8 |
//! | 89 + n + t | 2 | properties length | p |
//! | 91 + n + t | p | properties | `name 0x01 value 0x02` repeated |
//!
//! Offsets are those with two IPv4 hosts, which is all that is written here; each IPv6 host moves what
//! follows by 12 bytes and is understood when read. V2 is written only for a topic above 127 bytes.
//!
//! Bits of the sys flag: `0x1` compressed, `0x2` multiple tags, `0x4` prepared, `0x8` commit, `0xC` rollback,
//! `0x10` IPv6 born host, `0x20` IPv6 store host, `0x40` needs unwrap, `0x80` inner batch,
//! `0x100`/`0x200`/`0x300` LZ4/ZSTD/ZLIB.

/// Offset of the total size.
pub const TOTAL_SIZE: usize = 0;
/// Offset of the magic.
pub const MAGIC: usize = 4;
/// Offset of the body checksum.
pub const BODY_CRC: usize = 8;
/// Offset of the queue.
pub const QUEUE: usize = 12;
/// Offset of the producer's flag.
pub const FLAG: usize = 16;
/// Offset of the queue offset.
pub const QUEUE_OFFSET: usize = 20;
/// Offset of the physical offset.
pub const PHYSICAL_OFFSET: usize = 28;
/// Offset of the sys flag.
pub const SYS_FLAG: usize = 36;
/// Offset of the producer's time.
pub const BORN_MS: usize = 40;
/// Offset of the producer's address.
pub const BORN_HOST: usize = 48;
/// Offset of the owner's time, with an IPv4 born host.
pub const STORE_MS: usize = 56;
/// Offset of the store's address, with an IPv4 born host.
pub const STORE_HOST: usize = 64;
/// Offset of the count of failed deliveries, with two IPv4 hosts.
pub const RECONSUME_TIMES: usize = 72;
/// Offset of the half message's queue offset, with two IPv4 hosts.
pub const PREPARED_TRANSACTION_OFFSET: usize = 76;
/// Offset of the body's length, with two IPv4 hosts.
pub const BODY_LENGTH: usize = 84;
/// Offset of the body, and the length of what stands before it, with two IPv4 hosts.
pub const BODY: usize = 88;

/// `(field, offset, size)` of everything before the body, in order.
pub const FIELDS: &[(&str, usize, usize)] = &[
    ("total size", TOTAL_SIZE, 4),
    ("magic", MAGIC, 4),
    ("body crc", BODY_CRC, 4),
    ("queue", QUEUE, 4),
    ("flag", FLAG, 4),
    ("queue offset", QUEUE_OFFSET, 8),
    ("physical offset", PHYSICAL_OFFSET, 8),
    ("sys flag", SYS_FLAG, 4),
    ("born ms", BORN_MS, 8),
    ("born host", BORN_HOST, HOST_BYTES),
    ("store ms", STORE_MS, 8),
    ("store host", STORE_HOST, HOST_BYTES),
    ("reconsume times", RECONSUME_TIMES, 4),
    ("prepared transaction offset", PREPARED_TRANSACTION_OFFSET, 8),
    ("body length", BODY_LENGTH, 4),
];

/// Magic of a record with a 1-byte topic length.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a 2-byte topic length.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;

/// Bytes of an IPv4 host: address and port.
pub const HOST_BYTES: usize = 8;
/// Bytes that an IPv6 host has more than an IPv4 one.
pub const HOST_V6_EXTRA: usize = 12;

/// Bytes of the smallest record: IPv4 hosts, empty body, topic and properties.
pub const RECORD_BYTES_MIN: usize = BODY + 1 + 2;
/// Bytes of the largest record: no frame holds more.
pub const RECORD_BYTES_MAX: usize = 8 << 20;
/// Bytes of the longest topic, and of the longest that V1 can hold.
pub const TOPIC_BYTES_MAX: usize = 127;
/// Bytes of the longest topic that starts with [`RETRY_PREFIX`] or [`DEAD_LETTER_PREFIX`].
pub const TOPIC_BYTES_MAX_PREFIXED: usize = 255;
/// Bytes of the longest properties.
pub const PROPERTIES_BYTES_MAX: usize = 32_767;

/// What the topic of a group's retries starts with.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// What the topic of a group's dead letters starts with.
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";

/// Sys flag: the body is compressed.
pub const COMPRESSED: i32 = 0x1;
/// Sys flag: there is more than one tag.
pub const MULTI_TAGS: i32 = 0x2;
/// Sys flag: the two bits of the transaction state; 0 is a plain message.
pub const TRANSACTION_MASK: i32 = 0xC;
/// Sys flag under [`TRANSACTION_MASK`]: a half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// Sys flag under [`TRANSACTION_MASK`]: committed.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// Sys flag under [`TRANSACTION_MASK`]: rolled back.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// Sys flag: the born host is IPv6.
pub const BORN_HOST_V6: i32 = 0x10;
/// Sys flag: the store host is IPv6.
pub const STORE_HOST_V6: i32 = 0x20;
/// Sys flag: an inner batch that is to be unwrapped.
pub const NEED_UNWRAP: i32 = 0x40;
/// Sys flag: an inner batch.
pub const INNER_BATCH: i32 = 0x80;
/// Sys flag: the three bits of the compression type.
pub const COMPRESSION_MASK: i32 = 0x700;

const _: () = {
    let mut end = 0;
    let mut i = 0;
    while i < FIELDS.len() {
        assert!(FIELDS[i].1 == end, "fields follow each other without a gap");
        end += FIELDS[i].2;
        i += 1;
    }
    assert!(end == BODY, "the body follows the last fixed field");
    assert!(RECORD_BYTES_MIN == 91);
    assert!(PROPERTIES_BYTES_MAX == i16::MAX as usize);
    assert!(TOPIC_BYTES_MAX == i8::MAX as usize);
    assert!(RECORD_BYTES_MAX <= i32::MAX as usize);
};
