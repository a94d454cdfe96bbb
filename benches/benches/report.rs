//! One markdown table of everything that is measured: `cargo bench -p mainspring-benches --bench report`.
//!
//! Arguments behind `--` choose rows by a part of their name and set `rounds=N` (default 5).

use mainspring_benches::report::{Plan, run};
use mainspring_benches::{Result, table};

fn main() -> Result<()> {
    let mut plan = Plan::full();
    for argument in std::env::args().skip(1).filter(|a| a != "--bench") {
        match argument.strip_prefix("rounds=") {
            Some(rounds) => plan.rounds = rounds.parse()?,
            None => plan.only.push(argument),
        }
    }
    println!("{}, {} rounds in turn\n", table::surroundings(), plan.rounds);
    println!("{}", table::head());
    run(&plan, &mut |row| println!("{}", row.line()))?;
    println!("\nload at the end: {}", table::surroundings());
    Ok(())
}
