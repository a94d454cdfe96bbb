//! `connection`: whole connections against the real broker, over pipes in memory and a clock that only tests move.
//!
//! - No handler panics and no connection's task does.
//! - Every request that can be read and is not one-way is answered once, by its number, or its connection ends; nothing
//!   else is ever answered. Bytes that are no protocol end their connection.
//! - What connections hold stays within the budget; once they are gone nothing of them is left.
//! - The store closes, opens again, and serves what it served before.

mod program;
mod request;
mod world;

use arbitrary::{Arbitrary, Unstructured};

use program::Program;

/// The bytes are a program of some clients.
pub fn connection(data: &[u8]) {
    let Ok(program) = Program::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(program::run(&program));
}

/// The input as the program that it is, for who looks at a finding.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    format!("{:#?}", Program::arbitrary_take_rest(Unstructured::new(data)))
}
