//! `mainspring verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use mainspring::inspect::{Finding, Verified, verify_dir};

use super::{
    print::{Failure, Output, Progress, bytes, json as print_json, line, plain},
    target::at_rest,
};

/// Checks every checksum of a store at rest.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Directory of the store; no broker may have it open
    dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut progress = Progress::start();
        let verified = verify_dir(&self.dir, |done, to_do| progress.bytes("checked", done, to_do));
        progress.end();
        let verified = verified.map_err(|error| at_rest(&self.dir, &error))?;
        match self.output.is_json() {
            true => self.tell_json(&verified)?,
            false => self.tell(&verified)?,
        }
        if verified.is_sound() { Ok(()) } else { Err(Failure::Quiet(1)) }
    }

    fn tell(&self, verified: &Verified) -> Result<(), Failure> {
        for found in &verified.findings {
            let kind = if found.damage { "DAMAGED" } else { "note" };
            let at = found.at.map_or_else(String::new, |at| format!(" at byte {at}"));
            let log = found.offset.map_or_else(String::new, |offset| format!(" (log offset {offset})"));
            line(format!("{kind}  {}{at}{log}: {}", self.file(found), plain(&found.what)))?;
        }
        let checked = &verified.checked;
        line(format!(
            "{} files, {} checked: {} frames, {} index files built again, {} timers in due buckets",
            checked.files,
            bytes(checked.bytes),
            checked.frames,
            checked.indexes,
            checked.bucket_records
        ))?;
        let damaged = verified.findings.iter().filter(|found| found.damage).count();
        match damaged {
            0 => line("everything is whole"),
            1 => line("1 place is damaged"),
            n => line(format!("{n} places are damaged")),
        }
    }

    fn tell_json(&self, verified: &Verified) -> Result<(), Failure> {
        for found in &verified.findings {
            print_json(&json!({
                "file": self.file(found),
                "at": found.at,
                "offset": found.offset.map(|offset| offset.to_string()),
                "what": found.what,
                "damage": found.damage,
            }))?;
        }
        let checked = &verified.checked;
        print_json(&json!({
            "sound": verified.is_sound(),
            "files": checked.files,
            "bytes": checked.bytes,
            "frames": checked.frames,
            "indexes": checked.indexes,
            "bucket_records": checked.bucket_records,
        }))
    }

    /// The file's name as the directory has it.
    fn file(&self, found: &Finding) -> String {
        let with = |extension: &str| format!("{}.{extension}", found.file);
        let there = |name: &String| Path::new(&self.dir).join(name).exists();
        let known = ["stream", "open", "cell"].map(with).into_iter().find(there);
        match found.file.is_empty() {
            true => String::from("the store"),
            false => known.unwrap_or_else(|| found.file.clone()),
        }
    }
}
