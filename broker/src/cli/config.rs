//! What can be set, and where from: flag over environment over file over built-in.
//!
//! [`Given`] is one layer: everything optional, read from flags and environment by clap and from the file by serde, so
//! that all three know the same names. [`Config`] is the result, checked as a whole.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use mainspring::LEVELS_S;
use tracing_subscriber::EnvFilter;

use crate::names;

pub mod shown;
mod values;

pub use values::{Address, Advertise, DelayLevels, Limit, Size, Time};

/// Before the names of environment variables.
pub const ENV_PREFIX: &str = "MAINSPRING_";
/// Names so many edits away from a setting's are mistaken for it.
const TYPO_EDITS: usize = 3;
/// Age from which messages are trimmed, milliseconds: three days.
const RETENTION_MS: u64 = 72 * 3_600_000;
/// Timers this near stay in the log, milliseconds.
const NEAR_HORIZON_MS: u64 = 600_000;
/// Longest near horizon: the log cannot be trimmed meanwhile, milliseconds.
const NEAR_HORIZON_MAX_MS: u64 = 86_400_000;
/// Longest time between a signal and the stop, milliseconds.
const DRAIN_MAX_MS: u64 = 600_000;

/// When a message counts as kept, and its sender is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Commit {
    /// Once it stands in the log: survives a kill of the process; a power cut may lose the last half second.
    Appended,
    /// Once it is on disk: survives a power cut too.
    #[default]
    Flushed,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One layer of settings; an absent one is decided by the layer below.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(default)]
pub struct Given {
    /// Directory of the store [default: ./data]
    #[arg(long, env = "MAINSPRING_DATA_DIR", hide_env = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the broker port [default: 127.0.0.1:10911]
    #[arg(long, env = "MAINSPRING_BROKER_LISTEN", hide_env = true, value_name = "HOST:PORT")]
    pub broker_listen: Option<SocketAddr>,
    /// Address of the name-service port, which clients are given [default: 127.0.0.1:9876]
    #[arg(long, env = "MAINSPRING_NAMESRV_LISTEN", hide_env = true, value_name = "HOST:PORT")]
    pub namesrv_listen: Option<SocketAddr>,
    /// Address of the port for metrics and health checks, or none [default: 127.0.0.1:9877]
    #[arg(long, env = "MAINSPRING_HTTP_LISTEN", hide_env = true, value_name = "HOST:PORT")]
    pub http_listen: Option<Limit<Address>>,
    /// IPv4 address at which clients reach the broker port [default: where it listens]
    #[arg(long, env = "MAINSPRING_ADVERTISE", hide_env = true, value_name = "IP[:PORT]")]
    pub advertise: Option<Advertise>,
    /// When a message counts as kept [default: flushed]
    #[arg(long, env = "MAINSPRING_COMMIT", hide_env = true, value_enum)]
    pub commit: Option<Commit>,
    /// Name of the broker in routes [default: broker-a]
    #[arg(long, env = "MAINSPRING_BROKER_NAME", hide_env = true, value_name = "NAME")]
    pub broker_name: Option<String>,
    /// Name of the cluster in routes [default: DefaultCluster]
    #[arg(long, env = "MAINSPRING_CLUSTER_NAME", hide_env = true, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Delays of the levels from 1 on [default: "1s 5s 10s 30s 1m 2m ... 10m 20m 30m 1h 2h"]
    #[arg(long, env = "MAINSPRING_DELAY_LEVELS", hide_env = true, value_name = "DELAYS")]
    pub delay_levels: Option<DelayLevels>,
    /// Failures after which a message goes to the dead-letter topic, for new groups [default: 16]
    #[arg(long, env = "MAINSPRING_MAX_ATTEMPTS", hide_env = true, value_name = "N")]
    pub max_attempts: Option<i32>,
    /// Most queues of a topic that a first send creates [default: 8]
    #[arg(long, env = "MAINSPRING_DEFAULT_QUEUES", hide_env = true, value_name = "N")]
    pub default_queues: Option<u32>,
    /// Whether a first send creates its topic [default: true]
    #[arg(long, env = "MAINSPRING_AUTO_CREATE_TOPICS", hide_env = true, value_name = "BOOL")]
    pub auto_create_topics: Option<bool>,
    /// Bytes of a log segment, a multiple of 4KiB from 64KiB to 1GiB [default: 256MiB]
    #[arg(long, env = "MAINSPRING_SEGMENT_BYTES", hide_env = true, value_name = "SIZE")]
    pub segment_bytes: Option<Size>,
    /// Age from which messages are trimmed, read or not, from 1s; or none [default: 72h]
    #[arg(long, env = "MAINSPRING_RETENTION", hide_env = true, value_name = "TIME")]
    pub retention: Option<Limit<Time>>,
    /// Bytes of log above which the oldest messages are trimmed, from two segments; or none [default: none]
    #[arg(long, env = "MAINSPRING_RETENTION_BYTES", hide_env = true, value_name = "SIZE")]
    pub retention_bytes: Option<Limit<Size>>,
    /// Timers due within this of their segment's end hold the log back, up to 24h; others are copied [default: 10m]
    #[arg(long, env = "MAINSPRING_NEAR_HORIZON", hide_env = true, value_name = "TIME")]
    pub near_horizon: Option<Time>,
    /// Longest message body [default: 4MiB]
    #[arg(long, env = "MAINSPRING_MAX_MESSAGE_BYTES", hide_env = true, value_name = "SIZE")]
    pub max_message_bytes: Option<Size>,
    /// Most connections at a time, both ports together; more are closed at once [default: 10000]
    #[arg(long, env = "MAINSPRING_MAX_CONNECTIONS", hide_env = true, value_name = "N")]
    pub max_connections: Option<u32>,
    /// Memory of what connections hold beyond 16KiB each: requests and answers under way [default: 512MiB]
    #[arg(long, env = "MAINSPRING_MAX_CONNECTION_MEMORY", hide_env = true, value_name = "SIZE")]
    pub max_connection_memory: Option<Size>,
    /// After a signal, how long the broker still serves while it says that it is not ready, up to 10m [default: 0s]
    #[arg(long, env = "MAINSPRING_DRAIN_TIME", hide_env = true, value_name = "TIME")]
    pub drain_time: Option<Time>,
    /// What is logged: error, warn, info, debug or trace, or one for each module [default: info]
    #[arg(long, env = "MAINSPRING_LOG_LEVEL", hide_env = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How lines of the log look [default: text]
    #[arg(long, env = "MAINSPRING_LOG_FORMAT", hide_env = true, value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Names of all settings, as the file has them.
pub const KEYS: [&str; 22] = [
    "data_dir",
    "broker_listen",
    "namesrv_listen",
    "http_listen",
    "advertise",
    "commit",
    "broker_name",
    "cluster_name",
    "delay_levels",
    "max_attempts",
    "default_queues",
    "auto_create_topics",
    "segment_bytes",
    "retention",
    "retention_bytes",
    "near_horizon",
    "max_message_bytes",
    "max_connections",
    "max_connection_memory",
    "drain_time",
    "log_level",
    "log_format",
];

impl Given {
    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names the key nearest to an unknown one, or the place of a wrong value.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| ConfigError(e.to_string()))?;
        for key in table.keys() {
            known(key)?;
        }
        toml::from_str(text).map_err(|e| ConfigError(e.to_string()))
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    ///
    /// As [`Given::parse`], with the file's name.
    pub fn parse_file(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse(text).map_err(|e| ConfigError(format!("{}: {e}", path.display())))
    }

    /// This layer over another.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(below.data_dir),
            broker_listen: self.broker_listen.or(below.broker_listen),
            namesrv_listen: self.namesrv_listen.or(below.namesrv_listen),
            http_listen: self.http_listen.or(below.http_listen),
            advertise: self.advertise.or(below.advertise),
            commit: self.commit.or(below.commit),
            broker_name: self.broker_name.or(below.broker_name),
            cluster_name: self.cluster_name.or(below.cluster_name),
            delay_levels: self.delay_levels.or(below.delay_levels),
            max_attempts: self.max_attempts.or(below.max_attempts),
            default_queues: self.default_queues.or(below.default_queues),
            auto_create_topics: self.auto_create_topics.or(below.auto_create_topics),
            segment_bytes: self.segment_bytes.or(below.segment_bytes),
            retention: self.retention.or(below.retention),
            retention_bytes: self.retention_bytes.or(below.retention_bytes),
            near_horizon: self.near_horizon.or(below.near_horizon),
            max_message_bytes: self.max_message_bytes.or(below.max_message_bytes),
            max_connections: self.max_connections.or(below.max_connections),
            drain_time: self.drain_time.or(below.drain_time),
            log_level: self.log_level.or(below.log_level),
            log_format: self.log_format.or(below.log_format),
            max_connection_memory: self.max_connection_memory.or(below.max_connection_memory),
        }
    }
}

/// The text of a file with settings.
///
/// # Errors
///
/// The system's, with the file's name.
pub fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|e| ConfigError(format!("{}: {e}", path.display())))
}

/// Checks that no environment variable is a setting misspelt. Other names with our prefix may be somebody else's.
///
/// # Errors
///
/// [`ConfigError`] that names the nearest one.
pub fn check_environment(names: impl Iterator<Item = String>) -> Result<(), ConfigError> {
    for name in names {
        let Some(key) = name.strip_prefix(ENV_PREFIX).map(str::to_ascii_lowercase) else { continue };
        let meant = nearest(&key);
        if key != meant && distance(&key, meant) <= TYPO_EDITS.min(key.len() / 2) && key != "config" {
            let meant = meant.to_ascii_uppercase();
            let text = format!("unknown environment variable {name}; did you mean {ENV_PREFIX}{meant}?");
            return Err(ConfigError(text));
        }
    }
    Ok(())
}

fn known(key: &str) -> Result<(), ConfigError> {
    if KEYS.contains(&key) {
        return Ok(());
    }
    Err(ConfigError(format!("unknown key {key:?}; did you mean {:?}?", nearest(key))))
}

fn nearest(key: &str) -> &'static str {
    KEYS.iter().min_by_key(|known| distance(known, key)).copied().unwrap_or_default()
}

/// Edits that turn one name into the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// What cannot be used, for the person who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// All settings, decided and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Address of the broker port.
    pub broker_listen: SocketAddr,
    /// Address of the name-service port.
    pub namesrv_listen: SocketAddr,
    /// Address of the port for metrics and health checks, if there is one.
    pub http_listen: Option<SocketAddr>,
    /// Whether somebody chose that address.
    pub http_chosen: bool,
    /// Where clients reach the broker port, if not where it listens.
    pub advertise: Option<Advertise>,
    /// When a message counts as kept.
    pub commit: Commit,
    /// Name of the broker in routes.
    pub broker_name: String,
    /// Name of the cluster in routes.
    pub cluster_name: String,
    /// Delays of the levels, milliseconds.
    pub level_delays_ms: Vec<u64>,
    /// Failures after which a message goes to the dead-letter topic.
    pub attempts_max: i32,
    /// Most queues of a topic that a first send creates.
    pub default_queues: u32,
    /// Whether a first send creates its topic.
    pub auto_create_topics: bool,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Age from which messages may be trimmed, milliseconds.
    pub retention_ms: Option<u64>,
    /// Bytes of log above which the oldest segments are trimmed.
    pub retention_bytes: Option<u64>,
    /// Timers due within this of a segment's seal are not copied out of it, milliseconds.
    pub near_horizon_ms: u64,
    /// Longest message body.
    pub message_bytes_max: usize,
    /// Most connections at a time.
    pub connections_max: u32,
    /// How long the broker serves after it was told to stop, milliseconds.
    pub drain_ms: u64,
    /// What is logged.
    pub log_level: String,
    /// How lines of the log look.
    pub log_format: LogFormat,
    /// Bytes that all connections may hold together.
    pub memory_bytes_max: usize,
}

impl Config {
    /// Settings by RocketMQ's names where they mean the same, for administrators' tools, and what else those tools
    /// cannot do without.
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let seconds: Vec<String> = self.level_delays_ms.iter().map(|ms| values::time_text(*ms)).collect();
        let hours = self.retention_ms.map(|ms| (ms / 3_600_000).to_string());
        let fixed = [
            ("autoCreateSubscriptionGroup", "true"),
            ("filterServerNums", "0"),
            ("msgTraceTopicName", names::TRACE_TOPIC),
            ("slaveReadEnable", "false"),
            ("traceOn", "true"),
            ("traceTopicEnable", "true"),
            ("useTLS", "false"),
        ];
        let mut all = vec![
            ("fileReservedTime", hours.unwrap_or_else(|| String::from("none"))),
            ("mappedFileSizeCommitLog", self.segment_bytes.to_string()),
            ("messageDelayLevel", seconds.join(" ")),
            ("storePathRootDir", self.data_dir.display().to_string()),
        ];
        all.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        all
    }

    /// Fills in what was not given and checks the whole.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names the setting to change.
    pub fn new(given: Given) -> Result<Self, ConfigError> {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let levels = || LEVELS_S.iter().map(|s| s * 1000).collect();
        let body = given.max_message_bytes.map_or(4 << 20, |size| size.0);
        let memory = given.max_connection_memory.map_or(512 << 20, |size| size.0);
        let config = Self {
            data_dir: given.data_dir.unwrap_or_else(|| PathBuf::from("data")),
            broker_listen: given.broker_listen.unwrap_or(loopback(10911)),
            namesrv_listen: given.namesrv_listen.unwrap_or(loopback(9876)),
            http_listen: given.http_listen.map_or(Some(loopback(9877)), |at| at.0.map(|at| at.0)),
            http_chosen: given.http_listen.is_some(),
            advertise: given.advertise,
            commit: given.commit.unwrap_or_default(),
            broker_name: given.broker_name.unwrap_or_else(|| String::from("broker-a")),
            cluster_name: given.cluster_name.unwrap_or_else(|| String::from("DefaultCluster")),
            level_delays_ms: given.delay_levels.map_or_else(levels, |levels| levels.0),
            attempts_max: given.max_attempts.unwrap_or(16),
            default_queues: given.default_queues.unwrap_or(8),
            auto_create_topics: given.auto_create_topics.unwrap_or(true),
            segment_bytes: given.segment_bytes.map_or(256 << 20, |size| size.0),
            retention_ms: given.retention.map_or(Some(RETENTION_MS), |age| age.0.map(|time| time.0)),
            retention_bytes: given.retention_bytes.and_then(|most| most.0).map(|size| size.0),
            near_horizon_ms: given.near_horizon.map_or(NEAR_HORIZON_MS, |time| time.0),
            message_bytes_max: usize::try_from(body).unwrap_or(usize::MAX),
            connections_max: given.max_connections.unwrap_or(10_000),
            drain_ms: given.drain_time.map_or(0, |time| time.0),
            log_level: given.log_level.unwrap_or_else(|| String::from("info")),
            log_format: given.log_format.unwrap_or_default(),
            memory_bytes_max: usize::try_from(memory).unwrap_or(usize::MAX),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError(text.to_owned()));
        if self.advertise.is_none() && !self.broker_listen.ip().is_loopback() {
            return wrong(
                "a broker that listens outside of loopback needs --advertise IP (or `advertise` in the file), an \
                 address that clients reach",
            );
        }
        if self.advertise.is_some_and(|at| at.ip.is_unspecified()) {
            return wrong("--advertise needs an address that clients can connect to, not 0.0.0.0");
        }
        if !(1..=1024).contains(&self.default_queues) {
            return wrong("default_queues must be from 1 to 1024");
        }
        if self.attempts_max < 0 {
            return wrong("max_attempts must not be negative");
        }
        if !(1..=8 << 20).contains(&self.message_bytes_max) {
            return wrong("max_message_bytes must be from 1 to 8MiB");
        }
        if !(1..=1_000_000).contains(&self.connections_max) {
            return wrong("max_connections must be from 1 to 1000000");
        }
        if self.memory_bytes_max < 16 << 20 {
            return wrong("max_connection_memory must be at least 16MiB, one longest request");
        }
        if self.retention_ms.is_some_and(|age| age < 1000) {
            return wrong("retention must be at least 1s, or none");
        }
        if self.retention_bytes.is_some_and(|most| most / 2 < self.segment_bytes) {
            return wrong("retention_bytes must be at least two times segment_bytes, or none");
        }
        if self.near_horizon_ms > NEAR_HORIZON_MAX_MS {
            return wrong("near_horizon must be from 0s to 24h");
        }
        if self.drain_ms > DRAIN_MAX_MS {
            return wrong("drain_time must be from 0s to 10m");
        }
        if let Err(why) = EnvFilter::try_new(&self.log_level) {
            let level = &self.log_level;
            return wrong(&format!("log_level {level:?} is no level such as info or debug: {why}"));
        }
        for (key, name) in [("broker_name", &self.broker_name), ("cluster_name", &self.cluster_name)] {
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
            {
                return wrong(&format!(
                    "{key} may hold letters, digits, '-', '_' and '.', and must not be empty"
                ));
            }
        }
        Ok(())
    }

    /// What stands in records and routes, once it is known which port was bound.
    #[must_use]
    pub fn advertised(&self, bound: SocketAddr) -> SocketAddrV4 {
        let listening = match bound {
            SocketAddr::V4(v4) => *v4.ip(),
            SocketAddr::V6(_) => Ipv4Addr::LOCALHOST,
        };
        match self.advertise {
            Some(at) => SocketAddrV4::new(at.ip, at.port.unwrap_or(bound.port())),
            None => SocketAddrV4::new(listening, bound.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, String> {
        Given::parse(text).and_then(Config::new).map_err(|e| e.0)
    }

    #[test]
    fn defaults_are_rocketmqs() {
        let config = config("").unwrap();
        assert_eq!(config.broker_listen, "127.0.0.1:10911".parse().unwrap());
        assert_eq!(config.level_delays_ms.len(), 18);
        assert_eq!((config.level_delays_ms[0], config.level_delays_ms[17]), (1000, 7_200_000));
        assert_eq!(config.advertised(config.broker_listen).to_string(), "127.0.0.1:10911");
        let store = mainspring::Options::default();
        assert_eq!(
            (config.retention_ms, config.retention_bytes),
            (store.retention_ms, store.retention_bytes)
        );
        assert_eq!(
            (config.near_horizon_ms, config.segment_bytes),
            (store.near_horizon_ms, store.segment_bytes)
        );
    }

    #[test]
    fn retention_can_be_switched_off_over_a_file() {
        let off = |text: &str| text.parse().unwrap();
        let below = Given::parse("retention = \"1h\"\nretention_bytes = \"1GiB\"").unwrap();
        assert_eq!(Config::new(below.clone()).unwrap().retention_bytes, Some(1 << 30));
        let over =
            Given { retention: Some(off("none")), retention_bytes: Some(Limit(None)), ..Given::default() };
        let config = Config::new(over.over(below)).unwrap();
        assert_eq!((config.retention_ms, config.retention_bytes), (None, None));
    }

    #[test]
    fn every_key_can_be_set_in_a_file() {
        let text = r#"
            data_dir = "/var/lib/x"
            broker_listen = "0.0.0.0:1"
            namesrv_listen = "[::1]:2"
            http_listen = "none"
            advertise = "192.0.2.7"
            commit = "appended"
            broker_name = "b"
            cluster_name = "c"
            delay_levels = "500ms 2s 1d"
            max_attempts = 3
            default_queues = 2
            auto_create_topics = false
            segment_bytes = "1MiB"
            retention = "36h"
            retention_bytes = 2097152
            near_horizon = "90s"
            max_message_bytes = 1000
            max_connections = 77
            drain_time = "5s"
            log_level = "warn,mainspring=debug"
            log_format = "json"
            max_connection_memory = "32MiB"
        "#;
        for key in KEYS {
            assert!(text.contains(key), "{key}");
        }
        let config = config(text).unwrap();
        assert_eq!(config.level_delays_ms, [500, 2000, 86_400_000]);
        assert_eq!((config.segment_bytes, config.message_bytes_max), (1 << 20, 1000));
        assert_eq!((config.retention_ms, config.retention_bytes), (Some(36 * 3_600_000), Some(2 << 20)));
        assert_eq!((config.near_horizon_ms, config.connections_max), (90_000, 77));
        assert_eq!(config.advertised(config.broker_listen).to_string(), "192.0.2.7:1");
        assert_eq!(config.commit, Commit::Appended);
        assert_eq!((config.http_listen, config.drain_ms, config.log_format), (None, 5_000, LogFormat::Json));
    }

    /// The page has a row for every setting, in their order, and its defaults are those of the code.
    #[test]
    fn the_page_has_every_setting_and_its_default() {
        let page = include_str!("../../../docs/operations.md");
        let settings = page.split("\n## ").find(|part| part.starts_with("Settings\n")).unwrap();
        let rows: Vec<Vec<&str>> = settings
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        assert_eq!(rows.iter().map(|row| row[1]).collect::<Vec<_>>(), KEYS);
        let in_words = ["advertise", "delay_levels"];
        let file: String = rows
            .iter()
            .filter(|row| !in_words.contains(&row[1]))
            .map(|row| match row[2].parse::<i64>().is_ok() || row[2].parse::<bool>().is_ok() {
                true => format!("{} = {}\n", row[1], row[2]),
                false => format!("{} = {:?}\n", row[1], row[2]),
            })
            .collect();
        let chosen = Config { http_chosen: true, ..config("").unwrap() };
        assert_eq!(config(&file).unwrap(), chosen, "{file}");
    }

    #[test]
    fn mistakes_are_named() {
        let told = |text: &str| config(text).unwrap_err();
        assert_eq!(told("brokr_listen = 1"), r#"unknown key "brokr_listen"; did you mean "broker_listen"?"#);
        assert!(told("commit = \"never\"").contains("never"));
        assert!(told("delay_levels = \"1x\"").contains("1x"));
        assert!(told("segment_bytes = \"12parsec\"").contains("12parsec"));
        assert!(told("broker_listen = \"0.0.0.0:1\"").contains("--advertise"));
        assert!(told("advertise = \"0.0.0.0\"").contains("0.0.0.0"));
        assert!(told("default_queues = 0").contains("default_queues"));
        assert!(told("max_message_bytes = \"9MiB\"").contains("max_message_bytes"));
        assert!(told("retention = \"3\"").contains("72h, or none"));
        assert!(told("retention = \"999ms\"").contains("at least 1s"));
        assert!(told("retention_bytes = \"511MiB\"").contains("two times segment_bytes"));
        assert!(told("retention_bytes = \"never\"").contains("256MiB, or none"));
        assert!(told("max_connections = 0").contains("max_connections"));
        assert!(told("max_connection_memory = \"1MiB\"").contains("at least 16MiB"));
        assert!(told("near_horizon = \"25h\"").contains("24h"));
        assert!(told("drain_time = \"11m\"").contains("drain_time"));
        assert!(told("http_listen = \"here\"").contains("127.0.0.1:9877, or none"));
        assert!(told("log_format = \"xml\"").contains("xml"));
        assert!(told("log_level = \"=loud=\"").contains("log_level"));
        let environment =
            ["PATH", "MAINSPRING_DATA_DIR", "MAINSPRING_CONFIG", "MAINSPRING_BIN"].map(String::from);
        assert_eq!(check_environment(environment.into_iter()), Ok(()));
        let wrong = check_environment(std::iter::once(String::from("MAINSPRING_DATADIR"))).unwrap_err();
        assert!(wrong.0.contains("MAINSPRING_DATA_DIR"), "{wrong}");
    }

    #[test]
    fn upper_layers_win() {
        let over = Given { max_attempts: Some(1), ..Given::default() };
        let below = Given { max_attempts: Some(2), default_queues: Some(3), ..Given::default() };
        let both = over.over(below);
        assert_eq!((both.max_attempts, both.default_queues), (Some(1), Some(3)));
    }
}
