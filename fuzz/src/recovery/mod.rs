//! `recovery`: a program builds a small store, the image it leaves is damaged, and the store is opened.
//!
//! - Opening neither panics nor hangs, and does the same twice.
//! - What is served was appended, byte for byte, and no message is served twice.
//! - Appends work, and everything served before is served afterwards; or they are refused with a clear error.
//! - Where nothing was damaged, everything that was acknowledged is served.

mod check;
mod image;
mod program;

use arbitrary::{Arbitrary, Unstructured};
use mainspring::CommitRule;

use image::{Image, Mutation};
use program::{Medium, Round};

/// A whole input.
#[derive(Debug, Arbitrary)]
struct Program {
    appended: bool,
    trims: bool,
    rounds: Vec<Round>,
    mutations: Vec<Mutation>,
    /// The machine was off before the damaged image is opened.
    reboot: bool,
}

/// Rounds of a program at most: each opens a store.
const ROUNDS_MAX: usize = 4;
/// Mutations of an image at most.
const MUTATIONS_MAX: usize = 8;

/// The bytes are a program and what damages its image.
pub fn recovery(data: &[u8]) {
    let Ok(program) = Program::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let commit = if program.appended { CommitRule::Appended } else { CommitRule::Flushed };
    let mut medium = Medium::new(commit, program.trims);
    let mut images = vec![Image::of(&medium.backend)];
    for round in program.rounds.iter().take(ROUNDS_MAX) {
        medium.run(round);
        images.push(Image::of(&medium.backend));
    }
    let mut image = images.pop().unwrap_or_default();
    let mut damaged = false;
    for mutation in program.mutations.iter().take(MUTATIONS_MAX) {
        damaged |= image.mutate(mutation, &images);
    }
    if program.reboot {
        medium.clock.reboot();
    }
    check::check(&image, &medium, damaged);
}

/// The input as the program that it is, for who looks at a finding.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    format!("{:#?}", Program::arbitrary_take_rest(Unstructured::new(data)))
}
