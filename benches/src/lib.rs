//! Benches of Mainspring: seeded workloads, the reference loops that write the same bytes, and the subjects.
//!
//! - [`workload`]: what is appended, by seed, with a hash that names it.
//! - [`mod@reference`]: the encoder that writes byte for byte what the engine writes, with nothing around it.
//! - [`target`]: where its frames go: a prepared mapped segment, or a staged buffer and `pwrite`.
//! - [`group`]: the reference of durable appends: one lock, one flusher, one condition.
//! - [`subject`]: what is measured, each as a function of its parameters; small ones run under `cargo test`.
//! - [`wire`]: a broker, bare servers, and a generator of load for both.
//! - [`measure`], [`table`]: time, medians over interleaved rounds, and the report.
//!
//! A figure is a ratio against a reference of the same process and the same minute; absolute figures do not
//! carry over to another machine or run.

pub mod bed;
pub mod group;
pub mod measure;
pub mod reference;
pub mod report;
pub mod subject;
pub mod table;
pub mod target;
pub mod wire;
pub mod workload;

/// The error of a bench: whatever went wrong ends it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;
