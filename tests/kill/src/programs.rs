//! Builds the brokers that are killed.

use std::{io, path::PathBuf, process::Command};

use crate::wire::wrong;

/// The real one.
///
/// # Errors
///
/// If it does not build.
pub(crate) fn real() -> io::Result<PathBuf> {
    build("mainspring", &[])
}

/// The one with planted bugs, under a name of its own: the real one is not replaced.
///
/// # Errors
///
/// If it does not build.
pub(crate) fn planted() -> io::Result<PathBuf> {
    build("mainspring-planted", &["--features", "planted"])
}

/// Builds a binary of the broker next to this program, with this program's profile.
fn build(name: &str, more: &[&str]) -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let (profile, target) = own
        .parent()
        .and_then(|profile| Some((profile.file_name()?.to_str()?, profile.parent()?)))
        .ok_or_else(|| wrong("this program is in no target directory; give --bin and --planted-bin"))?;
    // The directory of the profile `dev` is called differently.
    let profile = if profile == "debug" { "dev" } else { profile };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "-p", "mainspring-broker", "--bin", name, "--profile", profile])
        .args(more)
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if status.success() {
        Ok(own.with_file_name(name))
    } else {
        Err(wrong(format!("{name} does not build: {status}")))
    }
}
