//! The two hashes of persisted bytes: CRC32C for structures, xxh3 for keys. And those of maps in memory that
//! are looked up for each message or timer.

use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Bytes of topic, separator and key that are hashed on the stack in one go; longer ones are streamed.
const STACK_BYTES: usize = 256;

/// The checksum of every structure of the store except record bodies: CRC32C.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Continues [`checksum`] over the bytes that follow.
pub fn checksum_more(checksum: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(checksum, bytes)
}

/// The hash under which an index file keeps a key of a topic: xxh3-64 of topic, one 0 byte, key.
///
/// Topics hold no 0 byte, so different pairs never hash the same text. Different texts may still share a
/// hash: who reads by key compares the record's own key.
pub fn key_hash(topic: &str, key: &str) -> u64 {
    let (topic, key) = (topic.as_bytes(), key.as_bytes());
    let len = topic.len() + 1 + key.len();
    if len > STACK_BYTES {
        let mut hash = Xxh3::new();
        hash.update(topic);
        hash.update(&[0]);
        hash.update(key);
        return hash.digest();
    }
    let mut text = [0; STACK_BYTES];
    text[..topic.len()].copy_from_slice(topic);
    text[topic.len() + 1..len].copy_from_slice(key);
    xxh3_64(&text[..len])
}

/// Hashes names in a map: xxh3 with a seed that nobody outside knows, the log's secret.
#[derive(Debug, Clone)]
pub(crate) struct NameHash {
    seed: u64,
}

impl NameHash {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl BuildHasher for NameHash {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher(self.seed)
    }
}

/// See [`NameHash`].
#[derive(Debug)]
pub(crate) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The end mark of a text; a name is all that is hashed.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes log offsets in a map; the owner chooses them, so nobody can make them collide.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OffsetHasher(u64);

impl Hasher for OffsetHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, offset: u64) {
        let product = u128::from(offset ^ self.0) * 0x9E37_79B9_7F4A_7C15;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are folded together")]
        let folded = (product >> 64) as u64 ^ product as u64;
        self.0 = folded;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_keys_hash_the_same_text() {
        for len in [0, 1, 200, 250, 251, 252, 253, 254, 255, 256, 300, 5000] {
            let key = "k".repeat(len);
            let text = format!("topic\0{key}");
            assert_eq!(key_hash("topic", &key), xxh3_64(text.as_bytes()), "key of {len} bytes");
        }
    }

    #[test]
    fn hashes_are_persisted_so_they_never_change() {
        assert_eq!(xxh3_64(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(key_hash("orders", "k1"), 0xD80B_41A5_5276_A61E);
    }

    #[test]
    fn maps_spread_offsets_and_names_by_seed() {
        use std::collections::HashSet;
        use std::hash::BuildHasherDefault;
        let hash = BuildHasherDefault::<OffsetHasher>::default();
        let offsets = (0..4096_u64).map(|i| hash.hash_one(crate::offset::Offset((3 << 40) + i * 312)));
        let low: HashSet<u64> = offsets.clone().map(|h| h % 4096).collect();
        let high: HashSet<u64> = offsets.map(|h| h >> 57).collect();
        assert!(low.len() > 2000 && high.len() == 128, "{} {}", low.len(), high.len());
        assert_eq!(NameHash::new(1).hash_one("a"), NameHash::new(1).hash_one(Box::<str>::from("a")));
        assert_ne!(NameHash::new(1).hash_one("a"), NameHash::new(2).hash_one("a"));
    }

    #[test]
    fn separator_keeps_topic_and_key_apart() {
        assert_ne!(key_hash("ab", "c"), key_hash("a", "bc"));
    }

    #[test]
    fn checksum_is_crc32c_and_continues() {
        assert_eq!(checksum(b"123456789"), 0xE306_9283);
        assert_eq!(checksum_more(checksum(b"1234"), b"56789"), 0xE306_9283);
    }
}
