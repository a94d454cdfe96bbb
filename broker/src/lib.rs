//! A thin RocketMQ-compatible broker over a message storage engine.
//!
//! Unmodified RocketMQ clients connect to its two ports: the name service tells them where topics are, the broker
//! takes their messages and hands them out. The [`mainspring`] store behind it does the keeping.
//!
//! Map, each knowing only those before it: [`sql`] and [`filter`] say which messages are wanted; [`remoting`] is the
//! protocol as pure functions over bytes; [`clients`] who is connected and waits; [`traffic`] how many messages pass, [`latency`] how long requests take;
//! [`broker`] what handlers share; [`health`] and [`metrics`] what is told to those who watch; `handlers` one module for
//! each kind of request; [`net`] the sockets; [`client`] the other side of the protocol, which knows only that and names;
//! [`cli`] the command line.

pub mod broker;
pub mod cli;
pub mod client;
pub mod clients;
pub mod clock;
pub mod filter;
pub mod handlers;
pub mod health;
pub mod latency;
mod loose;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod net;
mod patience;
pub mod remoting;
pub mod sql;
mod throttle;
pub mod traffic;
mod unique_ids;
