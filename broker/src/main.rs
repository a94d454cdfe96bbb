//! The `mainspring` binary.

use std::{net::SocketAddrV4, process::ExitCode, sync::Arc};

use mainspring_broker::{
    cli,
    config::Config,
    engine::{Engine, Error, ErrorKind, Result},
    holds::Holds,
};

fn main() -> ExitCode {
    cli::main(std::env::args_os(), open)
}

/// Opens the store in the configured directory.
fn open(_config: &Config, _store_host: SocketAddrV4, _holds: Arc<Holds>) -> Result<Arc<dyn Engine>> {
    Err(Error::new(ErrorKind::Closed, "this build is without a store"))
}
