//! Times as people write and read them.

use jiff::Timestamp;
use mainspring::{Clock, SystemClock};

use crate::cli::config::Time;

/// The wall clock, milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now().wall_ms
}

/// A moment: `2026-11-22T12:00:00Z`, `+5m` from now, `-10m` ago, or milliseconds since the Unix epoch.
///
/// # Errors
///
/// What it can be.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let wrong =
        || format!("{text:?} is no time such as +5m, -10m, 2026-11-22T12:00:00Z or milliseconds since 1970");
    let span = |text: &str| {
        let time: Time = text.parse().map_err(|_| wrong())?;
        i64::try_from(time.0).map_err(|_| wrong())
    };
    if let Some(later) = text.strip_prefix('+') {
        return now_ms().checked_add(span(later)?).ok_or_else(wrong);
    }
    if let Some(ago) = text.strip_prefix('-') {
        return now_ms().checked_sub(span(ago)?).ok_or_else(wrong);
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| wrong())
}

/// A moment in UTC, to the millisecond; the number itself where no calendar has it.
pub(crate) fn utc(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// A span in its two largest units: `3d 4h`, `59m 59s`, `1.500s`.
pub(crate) fn span(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let text = match (days, hours, minutes) {
        (0, 0, 0) => format!("{}.{:03}s", seconds, ms % 1000),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_shown() {
        assert_eq!(moment("2026-11-22T12:00:00Z"), Ok(1_795_348_800_000));
        assert_eq!(moment("1795348800000"), Ok(1_795_348_800_000));
        assert_eq!(utc(1_795_348_800_001), "2026-11-22 12:00:00.001Z");
        assert_eq!(utc(i64::MAX), i64::MAX.to_string());
        let (before, later) = (now_ms(), moment("+5m").unwrap());
        assert!((before + 300_000..before + 310_000).contains(&later));
        assert!(moment("-1h").unwrap() < before);
        for bad in ["", "+", "+5", "soon", "2026-11-22", "+99999999999999999d"] {
            assert!(moment(bad).unwrap_err().contains("+5m"), "{bad}");
        }
    }

    #[test]
    fn spans_have_two_units() {
        let told = [1_500, 61_000, 3_660_000, 90_000_000, -5_000].map(span);
        assert_eq!(told, ["1.500s", "1m 1s", "1h 1m", "1d 1h", "-5.000s"]);
    }
}
