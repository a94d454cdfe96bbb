//! The broker over real sockets: every code, and what connections survive.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(clippy::cast_possible_truncation, reason = "numbers here are small")]

mod admin;
mod allocations;
mod bounds;
mod budget;
mod codes;
mod connections;
mod consumption;
mod dialogue;
mod find;
mod hostile;
mod membership;
mod once;
mod orderly;
mod paced;
mod pulls;
mod sql;
mod stalls;
mod support;
mod timers;
mod traffic;
