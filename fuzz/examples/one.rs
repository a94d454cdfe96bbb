//! Runs one input, for who looks at a finding: `cargo run --example one TARGET FILE`, in `fuzz/`.

use std::process::ExitCode;

use mainspring_fuzz::{TARGETS, connection, recovery};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [target, file] = args.as_slice() else {
        eprintln!("usage: one TARGET FILE");
        return ExitCode::FAILURE;
    };
    let Some((_, body)) = TARGETS.iter().find(|(name, _)| name == target) else {
        eprintln!("no target {target}");
        return ExitCode::FAILURE;
    };
    let input = match std::fs::read(file) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if target == "recovery" {
        println!("{}", recovery::describe(&input));
    }
    if target == "connection" {
        println!("{}", connection::describe(&input));
    }
    body(&input);
    ExitCode::SUCCESS
}
