//! The settings as they are in the end, each with where it comes from.

use std::{fmt, path::PathBuf};

use clap::{ArgMatches, parser::ValueSource};
use serde::Serialize;
use serde_json::{Value, json};
use toml::de::DeTable;

use super::{Commit, Config, ENV_PREFIX, KEYS};

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag, by its name.
    Flag(String),
    /// An environment variable, by its name.
    Environment(String),
    /// A line of a file.
    File(PathBuf, usize),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting, shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its name in files.
    pub key: &'static str,
    /// Its value, as a file may have it.
    pub value: Value,
    /// Where it comes from.
    pub origin: String,
}

/// All settings in their order. `matches` are the flags and variables, `file` the file's path and text.
#[must_use]
pub fn shown(config: &Config, matches: &ArgMatches, file: Option<(PathBuf, &str)>) -> Vec<Shown> {
    let origin = |key: &'static str| match matches.value_source(key) {
        Some(ValueSource::CommandLine) => Origin::Flag(format!("--{}", key.replace('_', "-"))),
        Some(ValueSource::EnvVariable) => Origin::Environment(format!("{ENV_PREFIX}{}", key.to_uppercase())),
        _ => match file.as_ref().and_then(|(path, text)| Some((path, line_of(text, key)?))) {
            Some((path, line)) => Origin::File(path.clone(), line),
            None => Origin::Default,
        },
    };
    KEYS.into_iter()
        .zip(values(config))
        .map(|(key, value)| Shown { key, value, origin: origin(key).to_string() })
        .collect()
}

/// The line of a file in which a key stands, from 1 on.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (name, _) = table.get_ref().iter().find(|(name, _)| name.get_ref() == key)?;
    Some(text.get(..name.span().start)?.matches('\n').count() + 1)
}

/// The values in the order of [`KEYS`].
fn values(config: &Config) -> [Value; KEYS.len()] {
    let limit = |bound: Option<String>| json!(bound.unwrap_or_else(|| String::from("none")));
    let delays: Vec<String> = config.level_delays_ms.iter().map(|ms| time(*ms)).collect();
    [
        json!(config.data_dir.display().to_string()),
        json!(config.broker_listen),
        json!(config.namesrv_listen),
        limit(config.http_listen.map(|at| at.to_string())),
        json!(config.advertised(config.broker_listen)),
        json!(match config.commit {
            Commit::Appended => "appended",
            Commit::Flushed => "flushed",
        }),
        json!(config.broker_name),
        json!(config.cluster_name),
        json!(delays.join(" ")),
        json!(config.attempts_max),
        json!(config.default_queues),
        json!(config.auto_create_topics),
        json!(size(config.segment_bytes)),
        limit(config.retention_ms.map(time)),
        limit(config.retention_bytes.map(size)),
        json!(time(config.near_horizon_ms)),
        json!(size(config.message_bytes_max as u64)),
        json!(config.connections_max),
        json!(size(config.memory_bytes_max as u64)),
        json!(time(config.drain_ms)),
        json!(config.log_level),
        json!(match config.log_format {
            super::LogFormat::Text => "text",
            super::LogFormat::Json => "json",
        }),
    ]
}

/// In the largest unit that leaves a whole number.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    whole(bytes, &units).unwrap_or_else(|| bytes.to_string())
}

/// In the largest unit that leaves a whole number.
fn time(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    if ms == 0 {
        return String::from("0s");
    }
    whole(ms, &units).unwrap_or_else(|| format!("{ms}ms"))
}

fn whole(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let fits = |unit: &&(&str, u64)| number > 0 && number.is_multiple_of(unit.1);
    units.iter().find(fits).map(|(name, unit)| format!("{}{name}", number / unit))
}

/// A table for people.
#[must_use]
pub fn table(shown: &[Shown]) -> String {
    let rows: Vec<[String; 3]> = shown
        .iter()
        .map(|row| {
            let value = row.value.as_str().map_or_else(|| row.value.to_string(), str::to_owned);
            [row.key.to_owned(), value, row.origin.clone()]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(0), width(1));
    rows.iter().map(|[key, value, origin]| format!("{key:keys$}  {value:values$}  {origin}\n")).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::*;
    use crate::cli::config::Given;

    fn matches(arguments: &[&str]) -> ArgMatches {
        Given::augment_args(Command::new("x")).try_get_matches_from(arguments).unwrap()
    }

    #[test]
    fn every_value_has_its_origin() {
        let text = "# ours\nmax_attempts = 3\n\nretention_bytes = \"4GiB\" # enough\n";
        let below = Given::parse(text).unwrap();
        let matches = matches(&["x", "--max-attempts", "4", "--near-horizon", "90s"]);
        let over = <Given as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        let config = Config::new(over.over(below)).unwrap();
        let all = shown(&config, &matches, Some((PathBuf::from("a.toml"), text)));
        let of = |key: &str| all.iter().find(|row| row.key == key).unwrap().clone();
        let row = |key, value, origin: &str| Shown { key, value, origin: origin.to_owned() };
        assert_eq!(of("max_attempts"), row("max_attempts", json!(4), "--max-attempts"));
        assert_eq!(of("retention_bytes"), row("retention_bytes", json!("4GiB"), "a.toml:4"));
        assert_eq!(of("near_horizon"), row("near_horizon", json!("90s"), "--near-horizon"));
        assert_eq!(of("commit"), row("commit", json!("flushed"), "default"));
        assert!(table(&all).lines().any(|line| {
            line.split_whitespace().collect::<Vec<_>>() == ["retention_bytes", "4GiB", "a.toml:4"]
        }));
    }

    #[test]
    fn what_is_shown_can_be_a_file() {
        let odd = "segment_bytes = \"68KiB\"\nretention = \"1001ms\"\nnear_horizon = \"0s\"\n\
                   drain_time = \"7s\"\nhttp_listen = \"none\"\nadvertise = \"192.0.2.1:5\"\n";
        for text in ["", odd] {
            let config = Config::new(Given::parse(text).unwrap()).unwrap();
            let file: String = shown(&config, &matches(&["x"]), None)
                .iter()
                .map(|row| format!("{} = {}\n", row.key, row.value))
                .collect();
            let mut again = Config::new(Given::parse(&file).unwrap()).unwrap();
            (again.advertise, again.http_chosen) = (config.advertise, config.http_chosen);
            assert_eq!(again, config, "{file}");
        }
    }
}
