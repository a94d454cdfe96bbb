//! Length-prefixed frames.
//!
//! ```text
//! i32 total length        of all that follows
//! i32 type and length     top byte: 0 JSON, 1 binary; low 24 bits: header length
//! header
//! body                    the rest
//! ```
//!
//! [`decode`] is a pure function over a buffer: it takes one whole frame off the front or leaves the buffer alone.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Longest frame accepted, without the length word itself.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest header accepted: many times what the longest properties need with every byte escaped.
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;

/// How a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Text, understood by every client.
    Json,
    /// RocketMQ's binary form.
    Binary,
}

/// One frame, its parts shared with the buffer it was read into.
#[derive(Debug, Clone)]
pub struct Frame {
    /// How the header is written.
    pub encoding: Encoding,
    /// Header bytes.
    pub header: Bytes,
    /// Body bytes, possibly none.
    pub body: Bytes,
}

impl Frame {
    /// Bytes of header and body.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }

    /// Whether the frame holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a peer's bytes are no frame; the connection is lost with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// The total length is outside of `4..=`[`FRAME_BYTES_MAX`].
    Length(i32),
    /// The header is longer than the frame or than [`HEADER_BYTES_MAX`].
    HeaderLength(usize),
    /// The header's type byte is unknown.
    Type(u8),
    /// The header does not parse.
    Header(String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(n) => write!(f, "frame length {n} is outside of 4..={FRAME_BYTES_MAX}"),
            Self::HeaderLength(n) => write!(f, "header length {n} exceeds the frame or {HEADER_BYTES_MAX}"),
            Self::Type(t) => write!(f, "header type {t} is neither 0 (JSON) nor 1 (binary)"),
            Self::Header(why) => write!(f, "header does not parse: {why}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Takes one whole frame off the front of `buffer`; `None` if it is not complete yet.
///
/// # Errors
///
/// A [`FrameError`] as soon as the first eight bytes show that no acceptable frame follows; however long the
/// announced length, nothing is reserved for it here.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let announced = i32::from_be_bytes(*head);
    let total = match usize::try_from(announced) {
        Ok(total) if (4..=FRAME_BYTES_MAX).contains(&total) => total,
        _ => return Err(FrameError::Length(announced)),
    };
    let Some(&[.., kind, a, b, c]) = buffer.first_chunk::<8>() else { return Ok(None) };
    let encoding = match kind {
        0 => Encoding::Json,
        1 => Encoding::Binary,
        other => return Err(FrameError::Type(other)),
    };
    let header_len = u32::from_be_bytes([0, a, b, c]) as usize;
    if header_len > total - 4 || header_len > HEADER_BYTES_MAX {
        return Err(FrameError::HeaderLength(header_len));
    }
    if buffer.len() < total + 4 {
        return Ok(None);
    }
    let mut whole = buffer.split_to(total + 4);
    whole.advance(8);
    let mut whole = whole.freeze();
    let header = whole.split_to(header_len);
    Ok(Some(Frame { encoding, header, body: whole }))
}

/// How many bytes the buffer's first frame says that it has, its length word included, within what is allowed.
#[must_use]
pub fn announced(buffer: &[u8]) -> Option<usize> {
    let total = i32::from_be_bytes(*buffer.first_chunk()?);
    Some(4 + usize::try_from(total).unwrap_or(0).min(FRAME_BYTES_MAX))
}

/// How many bytes the buffer lacks until its first frame is complete; 0 where that cannot be told yet.
#[must_use]
pub fn missing(buffer: &[u8]) -> usize {
    announced(buffer).map_or(0, |whole| whole.saturating_sub(buffer.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> BytesMut {
        BytesMut::from(bytes)
    }

    #[test]
    fn takes_one_frame_and_leaves_the_next() {
        let mut bytes = buffer(&[0, 0, 0, 9, 0, 0, 0, 2, b'{', b'}', b'a', b'b', b'c', 0, 0]);
        let frame = decode(&mut bytes).unwrap().unwrap();
        assert_eq!((&frame.header[..], &frame.body[..]), (&b"{}"[..], &b"abc"[..]));
        assert_eq!(frame.len(), 5);
        assert_eq!(&bytes[..], &[0, 0]);
        assert!(decode(&mut bytes).unwrap().is_none());
    }

    #[test]
    fn waits_for_the_rest() {
        let whole = [0, 0, 0, 6, 1, 0, 0, 1, b'x', b'y'];
        for cut in 0..whole.len() {
            let mut part = buffer(&whole[..cut]);
            assert!(decode(&mut part).unwrap().is_none(), "cut at {cut}");
            assert_eq!(part.len(), cut);
            assert_eq!(missing(&part), if cut < 4 { 0 } else { whole.len() - cut });
        }
        assert_eq!(decode(&mut buffer(&whole)).unwrap().unwrap().encoding, Encoding::Binary);
    }

    #[test]
    fn refuses_lengths_that_cannot_be() {
        assert_eq!(decode(&mut buffer(&[0xFF; 8])).unwrap_err(), FrameError::Length(-1));
        assert_eq!(decode(&mut buffer(&[0, 0, 0, 3])).unwrap_err(), FrameError::Length(3));
        assert_eq!(decode(&mut buffer(&[1, 0, 0, 1])).unwrap_err(), FrameError::Length(16_777_217));
        assert_eq!(decode(&mut buffer(b"\0\0\0\x08\x00\0\0\x05")).unwrap_err(), FrameError::HeaderLength(5));
        assert_eq!(decode(&mut buffer(b"\0\0\0\x08\x02\0\0\x04")).unwrap_err(), FrameError::Type(2));
        assert!(matches!(decode(&mut buffer(b"GET / HT")), Err(FrameError::Length(_))));
    }
}
