//! The client's encoding of several messages in one request body.
//!
//! Messages follow each other; all integers are big endian:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | total size | bytes of this message, this field included |
//! | 4 | 4 | magic | ignored; clients send 0 |
//! | 8 | 4 | crc | ignored; clients send 0 |
//! | 12 | 4 | flag | the producer's, opaque |
//! | 16 | 4 | body length | n |
//! | 20 | n | body | |
//! | 20 + n | 2 | properties length | p |
//! | 22 + n | p | properties | `name 0x01 value 0x02` repeated |

use super::error::length;
use super::layout::{PROPERTIES_BYTES_MAX, RECORD_BYTES_MAX};
use super::{Cursor, RecordError};

/// Bytes of a message with empty body and properties.
pub const MESSAGE_BYTES_MIN: usize = 22;

/// One message of a batch, borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// The producer's flag.
    pub flag: i32,
    /// The body.
    pub body: &'a [u8],
    /// Its own properties; those of the request come after them.
    pub properties: &'a [u8],
}

/// The messages of a batch in order. Ends after the first error; its position counts from the batch's start.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Batch<'a> {
    /// Reads the body of a batch request.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes) }
    }

    fn message(&mut self) -> Result<BatchMessage<'a>, RecordError> {
        let start = self.cursor.at();
        let have = self.cursor.rest().len();
        let short = RecordError::Short { field: "batch message", at: start, need: MESSAGE_BYTES_MIN, have };
        let size = Cursor::new(self.cursor.rest()).u32().ok_or(short)?;
        let size = length("batch message size", start, size, 0..=RECORD_BYTES_MAX)?;
        if size < MESSAGE_BYTES_MIN {
            return Err(RecordError::Size { declared: size, actual: MESSAGE_BYTES_MIN });
        }
        let cut = RecordError::Short { field: "batch message", at: start, need: size, have };
        let mut fields = Cursor::new(self.cursor.take(size).ok_or(cut)?);
        fields.take(12).ok_or(short)?;
        let flag = fields.i32().ok_or(short)?;
        let body_len = fields.u32().ok_or(short)?;
        let body_len = length("batch body length", start + 16, body_len, 0..=size - MESSAGE_BYTES_MIN)?;
        let body = fields.take(body_len).ok_or(short)?;
        let at = start + fields.at();
        let properties_len = u32::from(fields.u16().ok_or(short)?);
        let properties_len = length("batch properties length", at, properties_len, 0..=PROPERTIES_BYTES_MAX)?;
        if properties_len != fields.rest().len() {
            let declared = size;
            return Err(RecordError::Size { declared, actual: fields.at() + properties_len });
        }
        Ok(BatchMessage { flag, body, properties: fields.rest() })
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<BatchMessage<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.rest().is_empty() {
            return None;
        }
        let message = self.message();
        if message.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(out: &mut Vec<u8>, flag: i32, body: &[u8], properties: &[u8]) {
        let size = u32::try_from(MESSAGE_BYTES_MIN + body.len() + properties.len()).unwrap();
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&flag.to_be_bytes());
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(&u16::try_from(properties.len()).unwrap().to_be_bytes());
        out.extend_from_slice(properties);
    }

    #[test]
    fn golden() {
        let hex =
            [0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2, b'h', b'i', 0, 4, b'k', 1, b'v', 2];
        let mut bytes = Vec::new();
        encode(&mut bytes, 7, b"hi", b"k\x01v\x02");
        assert_eq!(bytes, hex);
        let message = BatchMessage { flag: 7, body: b"hi", properties: b"k\x01v\x02" };
        assert_eq!(Batch::new(&hex).collect::<Vec<_>>(), [Ok(message)]);
        assert_eq!(Batch::new(&[]).count(), 0);
    }

    #[test]
    fn lengths_must_agree() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 0, b"body", b"k\x01v\x02");
        for at in [0, 1, 2, 3, 16, 17, 18, 19, 24, 25] {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                let results: Vec<_> = Batch::new(&bad).collect();
                assert!(results.last().unwrap().is_err(), "byte {at} bit {bit}");
                assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
            }
        }
    }

    fn messages() -> impl Strategy<Value = Vec<(i32, Vec<u8>, Vec<u8>)>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        prop::collection::vec((any::<i32>(), bytes(), bytes()), 0..8)
    }

    proptest! {
        #[test]
        fn round_trip(messages in messages()) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for (flag, body, properties) in &messages {
                encode(&mut bytes, *flag, body, properties);
                ends.push(bytes.len());
            }
            let read: Vec<_> = Batch::new(&bytes).map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), messages.len());
            for (message, (flag, body, properties)) in read.into_iter().zip(&messages) {
                prop_assert_eq!(message, BatchMessage { flag: *flag, body, properties });
            }
            for cut in 0..bytes.len() {
                let whole = Batch::new(&bytes[..cut]).all(|message| message.is_ok());
                prop_assert_eq!(whole, ends.contains(&cut), "cut at {}", cut);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Batch::new(&bytes).count();
        }
    }
}
