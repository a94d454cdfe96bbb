//! The tools: commands that ask a running broker, or look at a store at rest.
//!
//! Every one prints a table or lines for people, and with `-o json` one JSON object a line for scripts. What failed goes
//! to standard error. Exit codes: 0 done, 1 failed or something is wrong, 2 not understood.

mod bench;
mod lanes;
mod listing;
mod print;
mod rest;
mod send;
mod tail;
mod target;
mod timer;
mod verify;
mod when;

use clap::Subcommand;

pub(crate) use print::Failure;

/// The tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Sends messages, at once or later
    Send(send::Send),
    /// Shows messages as they come
    Tail(tail::Tail),
    /// Lists topics
    Topics(listing::Topics),
    /// Lists consumer groups and how far behind they are
    Groups(listing::Groups),
    /// Lists, shows and cancels pending timers
    #[command(subcommand)]
    Timer(timer::Timer),
    /// Shows what is in a store at rest, without changing it
    Inspect(rest::Inspect),
    /// Checks every checksum of a store at rest, without changing it
    Verify(verify::Verify),
    /// Sends and reads as fast as it can, and says how fast that was
    Bench(bench::Bench),
}

/// Runs one.
///
/// # Errors
///
/// What to tell, and the exit code.
pub(crate) fn run(tool: &Tool) -> Result<(), Failure> {
    match tool {
        Tool::Send(send) => send.run(),
        Tool::Tail(tail) => tail.run(),
        Tool::Topics(topics) => topics.run(),
        Tool::Groups(groups) => groups.run(),
        Tool::Timer(timer) => timer.run(),
        Tool::Inspect(inspect) => inspect.run(),
        Tool::Verify(verify) => verify.run(),
        Tool::Bench(bench) => bench.run(),
    }
}
