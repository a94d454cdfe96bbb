//! A thin RocketMQ-compatible broker over a message storage engine.
//!
//! Unmodified RocketMQ clients connect to its two ports: the name service tells them where topics are, the broker
//! takes their messages and hands them out. The [`mainspring`] store behind it does the keeping.
//!
//! Map, each knowing only those before it: [`sql`] and [`filter`] say which messages are wanted; [`remoting`] is the
//! protocol as pure functions over bytes; [`clients`] who is connected and waits; [`traffic`] how many messages pass;
//! [`broker`] what handlers share; `handlers` one module for each kind of request; [`net`] the sockets; [`cli`] the
//! command line.

pub mod broker;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod filter;
pub mod handlers;
mod loose;
pub mod memory;
pub mod names;
pub mod net;
mod patience;
pub mod remoting;
pub mod sql;
pub mod traffic;
mod unique_ids;
