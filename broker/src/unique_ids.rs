//! The unique keys of messages whose producer gave none.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU16, Ordering},
};

use mainspring::record::message_id::put_hex;

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
        let mut out = [0; 32];
        put_hex(&mut out[..20], &self.prefix);
        put_hex(&mut out[20..28], &ms_in_month(now_ms).to_be_bytes());
        put_hex(&mut out[28..], &count.to_be_bytes());
        out.map(char::from).iter().collect()
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
