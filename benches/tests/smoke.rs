//! Every row of the report with small parameters, so that no bench rots. No assertion about time.

use std::time::Duration;

use mainspring::{CommitRule, Wait};
use mainspring_benches::Result;
use mainspring_benches::report::{Plan, run};
use mainspring_benches::subject::read::{Library, Use};
use mainspring_benches::subject::{append, durable, reopen, sustained, timers, visibility, wheel};
use mainspring_benches::workload::Workload;

#[test]
fn every_row_of_the_report_is_measured() -> Result<()> {
    let mut rows = Vec::new();
    run(&Plan::small(), &mut |row| rows.push(row))?;
    for row in &rows {
        let (_, values) = (row.line(), row.pair.ours.values());
        assert!(!values.is_empty() && values.iter().all(|v| v.is_finite()), "{row:?}");
    }
    assert!(rows.len() > 40, "{} rows", rows.len());
    Ok(())
}

#[test]
fn rows_are_chosen_by_name() -> Result<()> {
    let mut works = Vec::new();
    run(&Plan { only: vec!["wheel".to_owned()], ..Plan::small() }, &mut |row| works.push(row.work))?;
    assert!(!works.is_empty() && works.iter().all(|work| work.contains("wheel")), "{works:?}");
    Ok(())
}

#[test]
fn appends_are_counted() -> Result<()> {
    let load = Workload::new(1, 128, 640);
    // Each of these fails if what is visible in the end is not what was appended.
    for (batch, producers, wait) in [(1, 1, Wait::Appended), (32, 1, Wait::Committed), (1, 4, Wait::Appended)]
    {
        append::ours(&load, append::Shape { batch, wait, producers })?;
    }
    let mut bare = append::Loop::new(&load)?;
    bare.append(&load, 0..640, 32)?;
    assert_eq!(bare.count(), 640);
    sustained::ours(&load, 1, 2, 1 << 20)?;
    assert_eq!(durable::ours(&load, 4)?.latency_us.values().len(), 640);
    assert_eq!(durable::reference(&load, 4)?.latency_us.values().len(), 640);
    let seen = visibility::ours(&Workload::new(1, 10, 5), Wait::Appended, Duration::ZERO)?;
    assert_eq!(seen.values().len(), 5);
    Ok(())
}

#[test]
fn both_sides_read_the_same() -> Result<()> {
    let library = Library::new(&Workload::new(1, 100, 1000))?;
    assert_eq!(library.len().0, 1000);
    for how in [Use::Walk, Use::Copy] {
        assert_eq!(library.ours(32, how)?.1, library.reference(how).1);
    }
    Ok(())
}

#[test]
fn structures_hand_out_the_same_timers() {
    let dues = wheel::Dues::new(1, 5_000);
    for done in [wheel::wheel(&dues), wheel::tree(&dues), wheel::heap(&dues)] {
        assert_eq!(done.sum, dues.sum());
    }
}

#[test]
fn what_was_appended_is_there_after_a_kill() -> Result<()> {
    let load = Workload::new(1, 1024, 5_000);
    let done = reopen::ours(&load, 1 << 20)?;
    assert_eq!(done.messages, 5_000);
    assert!(done.report.walked_bytes > 0 && done.log_bytes > 5 << 20, "{done:?}");
    Ok(())
}

#[test]
fn timers_fire_late_and_never_early() -> Result<()> {
    let load = Workload::new(1, 128, 50);
    timers::costs(&load)?;
    assert_eq!(timers::instant(&load, CommitRule::Flushed, 300)?.values().len(), 50);
    Ok(())
}

#[test]
fn workloads_are_named_by_their_bytes() {
    assert_eq!(Workload::new(1, 1024, 1000).name(), Workload::new(1, 1024, 1000).name());
}
