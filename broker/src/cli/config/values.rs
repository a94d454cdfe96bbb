//! Values as people write them: sizes, times, addresses, lists of delays.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    str::FromStr,
};

use serde::Deserialize;

use super::ConfigError;

/// Where clients reach the broker port; without a port, the one it listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Advertise {
    /// Address: records hold IPv4 only.
    pub ip: Ipv4Addr,
    /// Port, if it is another.
    pub port: Option<u16>,
}

impl FromStr for Advertise {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        let wrong = |_| ConfigError(format!("{text:?} is no IPv4 address, with or without a port"));
        let both: SocketAddrV4 = text.parse().map_err(wrong)?;
        Ok(Self { ip: *both.ip(), port: Some(both.port()) })
    }
}

impl TryFrom<String> for Advertise {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

/// An address and a port to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = |_| ConfigError(format!("{text:?} is no address such as 127.0.0.1:9877"));
        text.parse().map(Self).map_err(wrong)
    }
}

/// A number of bytes: `4096`, `64KiB`, `256MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Size(pub u64);

/// A time, milliseconds: `500ms`, `90s`, `10m`, `72h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Time(pub u64);

/// A bound that may be absent: `none`, or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar", bound = "T: FromStr<Err = ConfigError>")]
pub struct Limit<T>(pub Option<T>);

/// A value in a file: a number counts as its digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

impl Scalar {
    fn parse<T: FromStr<Err = ConfigError>>(self) -> Result<T, ConfigError> {
        match self {
            Self::Number(n) => n.to_string().parse(),
            Self::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<Scalar> for Size {
    type Error = ConfigError;

    fn try_from(given: Scalar) -> Result<Self, ConfigError> {
        given.parse()
    }
}

impl TryFrom<Scalar> for Time {
    type Error = ConfigError;

    fn try_from(given: Scalar) -> Result<Self, ConfigError> {
        given.parse()
    }
}

impl<T: FromStr<Err = ConfigError>> TryFrom<Scalar> for Limit<T> {
    type Error = ConfigError;

    fn try_from(given: Scalar) -> Result<Self, ConfigError> {
        given.parse()
    }
}

impl<T: FromStr<Err = ConfigError>> FromStr for Limit<T> {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if text == "none" {
            return Ok(Self(None));
        }
        let value = text.parse().map_err(|e: ConfigError| ConfigError(format!("{e}, or none")))?;
        Ok(Self(Some(value)))
    }
}

impl FromStr for Time {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let ms = time_ms(text);
        ms.map(Self).ok_or_else(|| ConfigError(format!("{text:?} is no time such as 500ms, 10m or 72h")))
    }
}

impl FromStr for Size {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let (number, unit) = split_unit(text);
        let shift = match unit {
            "" | "B" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let size = shift.zip(number.parse::<u64>().ok()).and_then(|(shift, n)| n.checked_mul(1 << shift));
        size.map(Self)
            .ok_or_else(|| ConfigError(format!("{text:?} is no size such as 4096, 64KiB or 256MiB")))
    }
}

/// Delays of the levels, from 1 on: `1s 5s 10s 30s 1m 1h 1d`, or `500ms`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DelayLevels(pub Vec<u64>);

impl FromStr for DelayLevels {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let delays: Option<Vec<u64>> = text.split_ascii_whitespace().map(time_ms).collect();
        match delays {
            Some(delays) if (1..=64).contains(&delays.len()) => Ok(Self(delays)),
            Some(delays) => {
                Err(ConfigError(format!("1 to 64 delay levels are allowed, not {}", delays.len())))
            }
            None => Err(ConfigError(format!("{text:?} is no list of delays such as \"1s 5s 1m 2h\""))),
        }
    }
}

impl TryFrom<String> for DelayLevels {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

/// A time as it is written, in the largest unit that gives a whole number.
#[must_use]
pub(super) fn time_text(ms: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let whole = units.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

fn time_ms(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number, unit.trim())
}
