//! Offset message ids: where a record is, as text that clients hand back.
//!
//! | characters | field | meaning |
//! |---|---|---|
//! | 8 or 32 | address | of the store host, IPv4 or IPv6 |
//! | 8 | port | of the store host |
//! | 16 | physical offset | position of the record in the log |
//!
//! Uppercase hexadecimal, big endian; 32 or 56 characters. Both cases are read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::RecordError;

/// Characters of an id with an IPv4 host.
pub const CHARS_V4: usize = 32;
/// Characters of an id with an IPv6 host.
pub const CHARS_V6: usize = 56;

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Writes bytes as uppercase hexadecimal, two characters each; stops where either side ends.
pub fn put_hex(out: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Where a record is: the store that answers for it and its position there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Address of the store.
    pub host: SocketAddr,
    /// Position of the record's first byte in the log.
    pub physical_offset: u64,
}

impl MessageId {
    /// The id of the record at `physical_offset` of the store at `host`.
    pub fn new(host: impl Into<SocketAddr>, physical_offset: u64) -> Self {
        Self { host: host.into(), physical_offset }
    }

    /// Writes the id into `buffer`, without an allocation; gives the part that it takes.
    pub fn put<'a>(&self, buffer: &'a mut [u8; CHARS_V6]) -> &'a str {
        let at = match self.host.ip() {
            IpAddr::V4(ip) => {
                put_hex(buffer, &ip.octets());
                8
            }
            IpAddr::V6(ip) => {
                put_hex(buffer, &ip.octets());
                32
            }
        };
        put_hex(&mut buffer[at..], &u32::from(self.host.port()).to_be_bytes());
        put_hex(&mut buffer[at + 8..], &self.physical_offset.to_be_bytes());
        str::from_utf8(&buffer[..at + 24]).unwrap_or_default()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.put(&mut [0; CHARS_V6]))
    }
}

impl FromStr for MessageId {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let bad = |at| RecordError::Text { field: "message id", at };
        if let Some(at) = text.bytes().position(|byte| !byte.is_ascii_hexdigit()) {
            return Err(bad(at));
        }
        let address = match text.len() {
            CHARS_V4 => 8,
            CHARS_V6 => 32,
            len => return Err(RecordError::Size { declared: CHARS_V4, actual: len }),
        };
        let number = |from: usize, to: usize| {
            text.get(from..to).and_then(|hex| u128::from_str_radix(hex, 16).ok()).ok_or(bad(from))
        };
        let ip = number(0, address)?;
        let ip = match u32::try_from(ip) {
            Ok(bits) if address == 8 => IpAddr::V4(Ipv4Addr::from_bits(bits)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(ip)),
        };
        let port = u16::try_from(number(address, address + 8)?).map_err(|_| bad(address))?;
        let physical_offset =
            u64::try_from(number(address + 8, text.len())?).map_err(|_| bad(address + 8))?;
        Ok(Self { host: SocketAddr::new(ip, port), physical_offset })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden() {
        let id = MessageId::new(([10, 1, 2, 255], 10911), 0x0123_4567_89AB_CDEF);
        assert_eq!(id.to_string(), "0A0102FF00002A9F0123456789ABCDEF");
        assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        let id = MessageId::new((Ipv6Addr::LOCALHOST, 1), 2);
        assert_eq!(id.to_string(), format!("{:032X}{:08X}{:016X}", 1, 1, 2));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in ["", "0A", &"G".repeat(32), &"+".repeat(32), &"F".repeat(32), &"0".repeat(33), "é"] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(ip: u32, v6: u128, port: u16, offset: u64) {
            for ip in [IpAddr::from(ip.to_be_bytes()), IpAddr::from(v6.to_be_bytes())] {
                let id = MessageId::new((ip, port), offset);
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = text.parse::<MessageId>();
        }
    }
}
