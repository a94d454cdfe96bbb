//! Negative controls: the checker must report each of these, or it has nothing to say about the real broker.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use crate::{
    campaign::{Campaign, Until},
    check::Faults,
    process::Setup,
};

/// Most kills until a control has to show.
const KILLS_MAX: u32 = 8;
/// Bytes at the log's end that [`tear`] wipes out.
const TORN_BYTES: usize = 64 * 1024;

/// One control.
struct Control {
    name: &'static str,
    setup: Setup,
    harm: Option<fn(&Path) -> io::Result<()>>,
    /// What it must be found by.
    count: fn(&Faults) -> u64,
    what: &'static str,
}

/// Runs all controls. True if each was found.
///
/// # Errors
///
/// If a control cannot be run.
pub(crate) fn all(program: &Path, planted: &Path, seed: u64) -> io::Result<bool> {
    let real = Setup {
        program: program.to_owned(),
        commit: "appended",
        segment_bytes: String::from("128KiB"),
        retention_ms: None,
        planted: None,
        hurry: 1,
    };
    let bug =
        |name| Setup { program: planted.to_owned(), commit: "flushed", planted: Some(name), ..real.clone() };
    let controls = [
        Control {
            name: "planted FiresTwice: timers that fired are pending again after a start",
            // Digests at segments' ends show the store itself that timers came back, and it does not open. To see
            // whether the checker sees it too, this control gets one long segment.
            setup: Setup { segment_bytes: String::from("256MiB"), ..bug("FiresTwice") },
            harm: None,
            count: |faults| faults.doubled,
            what: "doubled",
        },
        Control {
            name: "planted OffsetBelowPromised: bases forget the progress of groups",
            setup: bug("OffsetBelowPromised"),
            harm: None,
            count: |faults| faults.progress,
            what: "progress lost",
        },
        Control {
            name: "torn log: after the kill its last 64 KiB are wiped out",
            setup: real.clone(),
            harm: Some(tear),
            count: |faults| faults.lost - faults.progress,
            what: "messages lost",
        },
        Control {
            name: "hasty levels: the broker runs with half the delays that the checker expects",
            setup: Setup { hurry: 2, ..real },
            harm: None,
            count: |faults| faults.early,
            what: "early",
        },
    ];
    let mut found = true;
    for control in controls {
        found &= one(control, seed)?;
    }
    Ok(found)
}

fn one(control: Control, seed: u64) -> io::Result<bool> {
    println!("\ncontrol, {}", control.name);
    let dir = tempfile::Builder::new().prefix("mainspring-kill-control-").tempdir()?;
    let mut campaign = Campaign::start(control.setup, dir.path(), seed)?;
    if let Some(harm) = control.harm {
        campaign = campaign.harmed_by(harm);
    }
    let totals = campaign.run(KILLS_MAX, Until::Fault)?;
    let count = (control.count)(&totals.faults);
    let last = campaign.checker.findings.last().map(String::as_str).unwrap_or_default();
    println!("control {}: {} {count}; {last}", if count > 0 { "found" } else { "NOT FOUND" }, control.what);
    Ok(count > 0)
}

/// Wipes out the end of the newest segment, as a medium does that forgets what it took.
fn tear(data: &Path) -> io::Result<()> {
    let is_segment = |name: &str| name.starts_with("log-");
    let mut segments: Vec<_> = fs::read_dir(data)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(is_segment))
        .map(|entry| entry.path())
        .collect();
    segments.sort();
    // The newest may be one that was prepared and never used.
    for segment in segments.into_iter().rev() {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(segment)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else { continue };
        let from = (last + 1).saturating_sub(TORN_BYTES);
        file.seek(SeekFrom::Start(from as u64))?;
        return file.write_all(&vec![0; last + 1 - from]);
    }
    Ok(())
}
