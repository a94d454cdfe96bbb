//! The `mainspring-planted` binary: the same program, with a known bug in it where `serve --planted NAME` asks for one.
//! Only built with the feature `planted`, under a name of its own so that it never replaces the real one.

#[path = "main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
