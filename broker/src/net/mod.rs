//! The sockets: [`server`] accepts, `connection` serves one.

mod connection;
pub mod server;
