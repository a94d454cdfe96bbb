//! The sockets: [`server`] accepts, [`connection`] serves one, on threads that [`runtime`] starts; [`http`] is for those
//! who watch.

pub mod connection;
pub mod http;
pub mod server;

use std::io;

use tokio::runtime::{Builder, Runtime};

/// The threads that serve connections.
///
/// # Errors
///
/// If the system has none to give.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
