//! The bytes of an index file. All integers are big endian; times are ms since 1970; checksums are CRC32C.
//!
//! Header, then three sections without gaps: directory, units, keys.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | magic | `MSINDEX` and a 0 byte |
//! | 8 | 4 | version | 1 |
//! | 12 | 4 | last frame crc | checksum of the segment's last frame |
//! | 16 | 8 | segment start | log offset of the segment's first byte |
//! | 24 | 8 | segment end | log offset behind its last frame |
//! | 32 | 8 | first store ms | smallest owner time of a frame, and so of a record's store time |
//! | 40 | 8 | last store ms | largest owner time of a frame, by which retention counts |
//! | 48 | 4 | queues | entries in the directory |
//! | 52 | 4 | unit count | units |
//! | 56 | 4 | key count | keys |
//! | 60 | 4 | directory crc | checksum of the directory |
//! | 64 | 8 | units at | position of the units: the directory ends there |
//! | 72 | 8 | keys at | position of the keys: `units at` + 20 * `unit count` |
//! | 80 | 8 | file length | bytes of the whole file: `keys at` + 16 * `key count` |
//! | 88 | 4 | units crc | checksum of the units |
//! | 92 | 4 | keys crc | checksum of the keys |
//! | 96 | 4 | header crc | checksum of the 96 bytes before it |
//!
//! The places of magic, version and header crc, and the header's length, are the same in every version.
//!
//! The directory, from byte 100, holds the queues sorted by topic (as bytes), then queue; each is:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 2 | topic length | t, at most 255 |
//! | 2 | t | topic | UTF-8 |
//! | 2 + t | 4 | queue | |
//! | 6 + t | 4 | runs | r, at least 1 |
//! | 10 + t | 16 * r | runs | ascending, not touching each other |
//!
//! A run is:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | run first | queue offset of its first unit |
//! | 8 | 4 | run count | units in it, at least 1 |
//! | 12 | 4 | run position | number of its first unit: all counts before it in the directory |
//!
//! A unit, as in a consume queue of the reference, is:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | unit physical offset | position of the record's first byte in the log |
//! | 8 | 4 | unit size | bytes of the record |
//! | 12 | 8 | unit tags | code of its tag |
//!
//! A key, sorted by hash, then offset, no two the same, is:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | key hash | xxh3-64 of topic, a 0 byte, key |
//! | 8 | 8 | key physical offset | position of the record's first byte in the log |

use crate::codec::fill;

/// What an index file starts with.
pub const MAGIC: [u8; 8] = *b"MSINDEX\0";
/// The one version.
pub const VERSION: u32 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 100;
/// Bytes of the header that its checksum covers.
pub const HEADER_CRC: usize = HEADER_BYTES - 4;
/// Bytes of a directory entry without topic and runs.
pub const QUEUE_BYTES_MIN: usize = 10;
/// Bytes of a run.
pub const RUN_BYTES: usize = 16;
/// Bytes of a unit.
pub const UNIT_BYTES: usize = 20;
/// Offset of a unit's size.
pub const UNIT_SIZE: usize = 8;
/// Offset of a unit's tag code.
pub const UNIT_TAGS: usize = 12;
/// Bytes of a key.
pub const KEY_BYTES: usize = 16;

/// Bytes of the longest topic.
pub const TOPIC_BYTES_MAX: usize = crate::record::layout::TOPIC_BYTES_MAX_PREFIXED;
/// Bytes of the longest directory: it is read into memory whole.
pub const DIRECTORY_BYTES_MAX: u64 = 1 << 30;

/// `(field, offset, size)` of the header, in order.
pub const HEADER_FIELDS: &[(&str, usize, usize)] = &[
    ("magic", 0, MAGIC.len()),
    ("version", 8, 4),
    ("last frame crc", 12, 4),
    ("segment start", 16, 8),
    ("segment end", 24, 8),
    ("first store ms", 32, 8),
    ("last store ms", 40, 8),
    ("queues", 48, 4),
    ("unit count", 52, 4),
    ("key count", 56, 4),
    ("directory crc", 60, 4),
    ("units at", 64, 8),
    ("keys at", 72, 8),
    ("file length", 80, 8),
    ("units crc", 88, 4),
    ("keys crc", 92, 4),
    ("header crc", HEADER_CRC, 4),
];
/// `(field, offset, size)` of a run, in order.
pub const RUN_FIELDS: &[(&str, usize, usize)] =
    &[("run first", 0, 8), ("run count", 8, 4), ("run position", 12, 4)];
/// `(field, offset, size)` of a unit, in order.
pub const UNIT_FIELDS: &[(&str, usize, usize)] =
    &[("unit physical offset", 0, 8), ("unit size", UNIT_SIZE, 4), ("unit tags", UNIT_TAGS, 8)];
/// `(field, offset, size)` of a key, in order.
pub const KEY_FIELDS: &[(&str, usize, usize)] = &[("key hash", 0, 8), ("key physical offset", 8, 8)];

const _: () = assert!(fill(HEADER_FIELDS, 0, HEADER_BYTES));
const _: () = assert!(fill(RUN_FIELDS, 0, RUN_BYTES));
const _: () = assert!(fill(UNIT_FIELDS, 0, UNIT_BYTES));
const _: () = assert!(fill(KEY_FIELDS, 0, KEY_BYTES));
