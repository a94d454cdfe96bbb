//! The two message ids of RocketMQ: where a record stands, and what its producer called it.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::{AtomicU16, Ordering},
};

use bytes::{BufMut, BytesMut};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Writes the offset message id: upper-case hex of address, port as four bytes, log position.
pub fn put_offset_id(out: &mut BytesMut, host: SocketAddrV4, offset: u64) {
    put_hex(out, &host.ip().octets());
    put_hex(out, &u32::from(host.port()).to_be_bytes());
    put_hex(out, &offset.to_be_bytes());
}

/// The offset message id as text.
#[must_use]
pub fn offset_id(host: SocketAddrV4, offset: u64) -> String {
    let mut out = BytesMut::with_capacity(32);
    put_offset_id(&mut out, host, offset);
    into_text(&out)
}

fn put_hex(out: &mut BytesMut, bytes: &[u8]) {
    for byte in bytes {
        out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn into_text(hex: &[u8]) -> String {
    hex.iter().copied().map(char::from).collect()
}

/// Makes unique keys for messages that come without one, in the layout that tools take the time out of:
/// address, process, salt, milliseconds since the month began, counter.
#[derive(Debug)]
pub struct UniqueIds {
    prefix: [u8; 10],
    counter: AtomicU16,
}

impl UniqueIds {
    /// `salt` tells two processes with the same address and process number apart.
    #[must_use]
    pub fn new(ip: Ipv4Addr, process: u32, salt: u32) -> Self {
        let mut prefix = [0; 10];
        prefix[..4].copy_from_slice(&ip.octets());
        prefix[4..6].copy_from_slice(&process.to_be_bytes()[2..]);
        prefix[6..].copy_from_slice(&salt.to_be_bytes());
        Self { prefix, counter: AtomicU16::new(0) }
    }

    /// A new key.
    #[must_use]
    pub fn next(&self, now_ms: i64) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut out = BytesMut::with_capacity(32);
        put_hex(&mut out, &self.prefix);
        put_hex(&mut out, &ms_in_month(now_ms).to_be_bytes());
        put_hex(&mut out, &count.to_be_bytes());
        into_text(&out)
    }
}

/// Milliseconds since the first of the month, UTC.
fn ms_in_month(now_ms: i64) -> u32 {
    const DAY_MS: i64 = 86_400_000;
    // Days since 0000-03-01 of the proleptic calendar, then the day within its 400-year era and year.
    let days = now_ms.div_euclid(DAY_MS) + 719_468;
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months counted from March have 153 days in each five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5;
    u32::try_from(day * DAY_MS + now_ms.rem_euclid(DAY_MS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_have_the_known_form() {
        let host = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 20911);
        assert_eq!(offset_id(host, 0x484D75), "7F000001000051AF0000000000484D75");
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        assert_eq!(ms_in_month(0), 0);
        assert_eq!(ms_in_month(86_400_000 + 5), 86_400_005);
        // 2024-02-29 and 2024-03-01 at noon UTC.
        assert_eq!(ms_in_month(1_709_208_000_000), 28 * 86_400_000 + 43_200_000);
        assert_eq!(ms_in_month(1_709_294_400_000), 43_200_000);
    }

    #[test]
    fn unique_ids_differ() {
        let ids = UniqueIds::new(Ipv4Addr::LOCALHOST, 70_000, 7);
        let (a, b) = (ids.next(1_709_208_000_000), ids.next(1_709_208_000_000));
        assert_ne!(a, b);
        assert_eq!((a.len(), &a[..8]), (32, "7F000001"));
    }
}
