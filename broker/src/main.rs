//! The `mainspring` binary.

use std::{net::SocketAddrV4, process::ExitCode, sync::Arc};

use mainspring::{CommitRule, Options, Result, Store};
use mainspring_broker::{
    cli::{
        self,
        config::{Commit, Config},
    },
    clients::holds::Holds,
};

/// The C library keeps a pool of memory for every thread, and none of them shrinks (ADR 12).
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub(crate) fn main() -> ExitCode {
    cli::main(std::env::args_os(), open)
}

/// Opens the store in the configured directory.
fn open(config: &Config, store_host: SocketAddrV4, holds: Arc<Holds>) -> Result<Store> {
    let options = Options {
        commit: match config.commit {
            Commit::Appended => CommitRule::Appended,
            Commit::Flushed => CommitRule::Flushed,
        },
        segment_bytes: config.segment_bytes,
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        near_horizon_ms: config.near_horizon_ms,
        message_bytes_max: config.message_bytes_max,
        wait_for_space: false,     // the runtime's threads must not block
        callers_apply: true,       // connections do, once for all requests of a wake-up
        auto_create_topics: false, // the broker decides, by RocketMQ's rules
        level_delays_ms: config.level_delays_ms.clone(),
        attempts_max: config.attempts_max,
        store_host,
        observer: Some(holds),
        ..Options::default()
    };
    Store::open_with(&config.data_dir, options)
}
