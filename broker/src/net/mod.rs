//! The sockets: [`server`] accepts, [`connection`] serves one, on threads that [`runtime`] starts; [`http`] is for those
//! who watch.

pub mod connection;
mod held_back;
pub mod http;
mod in_flight;
pub mod server;
mod standing;

use std::io;

use tokio::runtime::{Builder, Runtime};

/// The threads that serve connections, by a name that the system shows.
///
/// # Errors
///
/// If the system has none to give.
pub fn runtime(name: &str) -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_name(name).build()
}
