//! What is measured, one file a subject.

pub mod append;
pub mod durable;
pub mod read;
pub mod reopen;
pub mod sustained;
pub mod timers;
pub mod visibility;
pub mod wheel;
pub mod wire;
