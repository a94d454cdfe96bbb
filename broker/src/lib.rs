//! A thin RocketMQ-compatible broker over a message storage engine.
//!
//! Unmodified RocketMQ clients connect to its two ports: the name service tells them where topics are, the broker
//! takes their messages and hands them out. The [`mainspring`] store behind it does the keeping.
//!
//! Map: [`remoting`] is the protocol as pure functions over bytes; [`server`] the sockets; [`broker`] what handlers
//! share; one module each for sends, pulls, offsets, failed messages, membership, topics and routes.

pub mod broker;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
mod connection;
pub mod demo;
mod dispatch;
pub mod heartbeat;
pub mod holds;
pub mod locks;
mod loose;
mod membership;
pub mod names;
mod namesrv;
mod offsets;
mod opening;
mod orderly;
pub mod outgoing;
mod patience;
pub mod peer;
mod pull;
pub mod remoting;
mod retry;
mod send;
pub mod server;
mod topics;
mod unique_ids;
