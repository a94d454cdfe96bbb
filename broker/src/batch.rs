//! The body of a batch: messages behind each other.
//!
//! ```text
//! i32 total | i32 magic | i32 crc | i32 flag | i32 length, body | i16 length, properties
//! ```
//!
//! Magic and CRC are 0 from clients and not looked at.

use bytes::{Buf, Bytes};

use crate::remoting::{Response, codes::response};

/// Most messages in one batch.
pub const MESSAGES_MAX: usize = 16_384;

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The user's flag.
    pub flag: i32,
    /// Its body, shared with the batch.
    pub body: Bytes,
    /// Its properties as sent.
    pub properties: Bytes,
}

/// Takes a batch apart.
///
/// # Errors
///
/// 13 where lengths contradict each other, or the batch is empty or holds more than [`MESSAGES_MAX`].
pub fn decode(mut body: Bytes) -> Result<Vec<Item>, Response> {
    let mut items = Vec::new();
    while body.has_remaining() {
        if items.len() == MESSAGES_MAX {
            return Err(illegal("it holds too many messages"));
        }
        items.push(item(&mut body).ok_or_else(|| illegal("a length in it leads outside"))?);
    }
    if items.is_empty() { Err(illegal("it is empty")) } else { Ok(items) }
}

fn illegal(why: &str) -> Response {
    Response::refuse(response::MESSAGE_ILLEGAL, format!("the batch does not decode: {why}"))
}

fn item(body: &mut Bytes) -> Option<Item> {
    let total = usize::try_from(body.try_get_i32().ok()?).ok()?.checked_sub(4)?;
    if total > body.len() {
        return None;
    }
    let mut rest = body.split_to(total);
    rest.try_get_i64().ok()?;
    let flag = rest.try_get_i32().ok()?;
    let body_len = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    if body_len > rest.len() {
        return None;
    }
    let body = rest.split_to(body_len);
    let properties_len = usize::try_from(rest.try_get_i16().ok()?).ok()?;
    (properties_len <= rest.len()).then(|| Item { flag, body, properties: rest.split_to(properties_len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (body, properties) in [("one", "A\u{1}1\u{2}"), ("two!", "")] {
            let total = i32::try_from(22 + body.len() + properties.len()).unwrap();
            bytes.extend(total.to_be_bytes());
            bytes.extend([0; 8]);
            bytes.extend(5i32.to_be_bytes());
            bytes.extend(i32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend(body.bytes());
            bytes.extend(i16::try_from(properties.len()).unwrap().to_be_bytes());
            bytes.extend(properties.bytes());
        }
        bytes
    }

    #[test]
    fn takes_apart() {
        let items = decode(sample().into()).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(
            (items[0].flag, &items[0].body[..], &items[0].properties[..]),
            (5, &b"one"[..], &b"A\x011\x02"[..])
        );
        assert_eq!((&items[1].body[..], items[1].properties.len()), (&b"two!"[..], 0));
    }

    #[test]
    fn refuses_cuts_and_lies() {
        let whole = sample();
        let first = 29;
        for cut in (0..whole.len()).filter(|cut| *cut != first) {
            assert_eq!(decode(Bytes::copy_from_slice(&whole[..cut])).unwrap_err().code, 13, "cut at {cut}");
        }
        for (at, byte) in [(0, 0x80), (3, 1), (16, 0xFF), (23, 0xFF)] {
            let mut bad = whole.clone();
            bad[at] = byte;
            assert!(decode(bad.into()).is_err(), "byte {at}");
        }
    }
}
