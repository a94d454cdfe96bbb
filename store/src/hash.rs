//! The two hashes of persisted bytes: CRC32C for structures, xxh3 for keys.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

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
    fn separator_keeps_topic_and_key_apart() {
        assert_ne!(key_hash("ab", "c"), key_hash("a", "bc"));
    }

    #[test]
    fn checksum_is_crc32c_and_continues() {
        assert_eq!(checksum(b"123456789"), 0xE306_9283);
        assert_eq!(checksum_more(checksum(b"1234"), b"56789"), 0xE306_9283);
    }
}
