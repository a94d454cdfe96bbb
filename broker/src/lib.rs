//! A thin RocketMQ-compatible broker over a message storage engine.
//!
//! Unmodified RocketMQ clients connect to its two ports: the name service tells them where topics are, the broker
//! takes their messages and hands them out. The store behind [`engine::Engine`] does the keeping.

pub mod engine;
pub mod message_id;
pub mod remoting;
pub mod tags;
