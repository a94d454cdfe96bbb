//! The simulator: histories of clients, clocks and crashes, by seed, over the real engine.
//!
//! One seed is one history. It drives a store without threads on a faulty medium and a manual clock, and
//! decides when the store decides, flushes and performs, and when the machine crashes. A model sees what
//! clients asked and were told and the raw bytes of the log, never the store's views; [`invariants`] compare
//! the two after every reopen and at the end. The same seed gives the same history, always.
#![allow(clippy::expect_used, reason = "a checker: what cannot be is a failure of its own")]

pub mod campaign;
pub mod counts;
mod crash;
mod damage;
pub mod exhaustive;
mod flights;
pub mod fold;
pub mod history;
pub mod invariants;
pub mod model;
mod ops;
pub mod plan;
pub mod raw;
mod requested;
pub mod requests;
pub mod rng;
mod scenarios;

pub use invariants::{Verdict, Violation};
