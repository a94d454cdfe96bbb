//! Each fault does what it says.

use std::io::ErrorKind;

use super::{Crashed, Damage, Fault, FaultyBackend, OpKind};
use crate::{Backend, Cells, Name, StreamWriter, Streams};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn append(writer: &mut dyn StreamWriter, bytes: &[u8]) {
    writer.window(bytes.len()).unwrap().copy_from_slice(bytes);
    writer.publish(bytes.len());
}

fn stream(medium: &FaultyBackend, len: u64) -> Box<dyn StreamWriter> {
    medium.create(&name("a"), len, len).unwrap()
}

fn dump(medium: &FaultyBackend) -> Vec<u8> {
    medium.dump(&name("a")).unwrap()
}

#[test]
fn flushed_bytes_survive_every_power_cut_and_others_come_in_any_version() {
    let medium = FaultyBackend::new(1);
    let mut writer = stream(&medium, 4096);
    append(&mut *writer, &[1; 1024]);
    writer.control().flush(1024).unwrap();
    (0..4).for_each(|round| append(&mut *writer, &[2 + round; 128]));
    writer.window(512).unwrap().fill(9);
    drop(writer);
    let images: Vec<_> = (0..200).map(|seed| dump(&medium.crash(seed))).collect();
    assert!(images.iter().all(|image| image[..1024] == [1; 1024]));
    let middles: std::collections::BTreeSet<_> =
        images.iter().map(|image| image[1024..1536].to_vec()).collect();
    // Nothing, after one to three appends, all.
    assert_eq!(middles.len(), 5);
    assert!(images.iter().any(|image| image[1536..2048] == [9; 512]), "a window not published may be kept");
    assert!(images.iter().any(|image| image[1536..2048] == [0; 512]), "and may be lost");
    assert_eq!(dump(&medium.crash(5)), dump(&medium.crash(5)));
}

#[test]
fn pages_of_a_failed_flush_are_gone_at_the_power_cut_though_a_later_flush_succeeds() {
    let mut dropped = 0;
    for seed in 0..20 {
        let medium = FaultyBackend::new(seed);
        let mut writer = stream(&medium, 4096);
        append(&mut *writer, &[7; 2048]);
        medium.fail_next(OpKind::Flush, Fault::Io);
        writer.control().flush(2048).unwrap_err();
        assert_eq!(writer.reader().read(0..2048).unwrap(), [7; 2048][..]);
        writer.control().flush(2048).unwrap_err();
        writer.control().reserve(4096).unwrap_err();
        writer.control().seal(2048).unwrap_err();
        // A new process flushes again, and is told that all is well.
        let restarted = medium.kill();
        assert_eq!(dump(&restarted)[..2048], [7; 2048]);
        restarted.reopen(&name("a"), 2048).unwrap().control().flush(2048).unwrap();
        let after = restarted.crash(seed);
        let lost = dump(&after)[..2048].chunks(512).filter(|sector| **sector == [0; 512]).count() as u64;
        assert_eq!(lost, after.injected().sectors_dropped);
        dropped += lost;
        // One that writes them again first keeps them.
        let restarted = medium.kill();
        let mut writer = restarted.reopen(&name("a"), 0).unwrap();
        append(&mut *writer, &[7; 2048]);
        writer.control().flush(2048).unwrap();
        assert_eq!(dump(&restarted.crash(seed))[..2048], [7; 2048]);
    }
    assert!(dropped > 0);
}

#[test]
fn a_kill_keeps_what_was_written_and_a_power_cut_after_it_may_not() {
    let medium = FaultyBackend::new(1);
    append(&mut *stream(&medium, 1024), &[3; 1024]);
    let killed = medium.kill();
    assert_eq!(dump(&killed), [3; 1024]);
    assert!((0..50).any(|seed| dump(&killed.crash(seed)) != [3; 1024]));
}

#[test]
fn no_space_changes_nothing_and_passes() {
    let medium = FaultyBackend::new(1);
    medium.set_capacity(Some(1000));
    let full = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::StorageFull);
    for kind in [OpKind::Create, OpKind::Reserve, OpKind::WriteCell] {
        medium.fail_next(kind, Fault::Full);
    }
    full(medium.create(&name("a"), 10, 10).unwrap_err());
    let writer = medium.create(&name("a"), 2000, 10).unwrap();
    full(writer.control().reserve(20).unwrap_err());
    full(medium.write_cell(&name("c"), b"x").unwrap_err());
    assert_eq!((writer.reserved(), medium.cells().len()), (10, 0));
    full(writer.control().reserve(1001).unwrap_err());
    medium.set_capacity(Some(5));
    assert_eq!(medium.free_bytes().unwrap(), Some(0));
    full(writer.control().reserve(11).unwrap_err());
    medium.set_capacity(None);
    writer.control().reserve(2000).unwrap();
    assert_eq!(medium.injected().full, 5);
    medium.fail_next(OpKind::Flush, Fault::Full);
    assert_eq!(writer.control().flush(0).unwrap_err().kind(), ErrorKind::Other);
}

#[test]
fn unreadable_ranges_fail_until_they_are_healed() {
    let medium = FaultyBackend::new(1);
    let mut writer = stream(&medium, 1024);
    append(&mut *writer, &[1; 1024]);
    medium.fail_reads(&name("a"), 100..200);
    let reader = writer.reader();
    reader.read(0..101).unwrap_err();
    reader.read(0..100).unwrap();
    reader.read(200..300).unwrap();
    medium.heal_reads(&name("a"));
    reader.read(0..1024).unwrap();
    medium.fail_next(OpKind::Read, Fault::Io);
    reader.read(0..1).unwrap_err();
    reader.read(0..1).unwrap();
}

/// One of everything; stops at the first error.
fn script(medium: &FaultyBackend) -> std::io::Result<()> {
    medium.write_cell(&name("c"), b"old")?;
    let mut writer = medium.create(&name("a"), 4096, 1024)?;
    append(&mut *writer, &[1; 700]);
    writer.control().flush(700)?;
    writer.control().reserve(2048)?;
    append(&mut *writer, &[2; 700]);
    medium.write_cell(&name("c"), b"new")?;
    writer.control().seal(1400)?;
    medium.remove(&name("a"))
}

#[test]
fn a_crash_at_every_operation_leaves_it_done_or_not() {
    let whole = FaultyBackend::new(1);
    script(&whole).unwrap();
    assert_eq!(whole.ops(), 9);
    for op in 0..whole.ops() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let medium = FaultyBackend::new(1);
            medium.crash_at(op);
            let result = script(&medium);
            assert!(medium.is_crashed());
            assert!(result.is_err_and(|error| Crashed::is(&error)), "operation {op}");
            assert!(Crashed::is(&medium.list().unwrap_err()));
            let after = if seed % 2 == 0 { medium.crash(seed) } else { medium.kill() };
            if op > 3 && op < 8 {
                assert_eq!(dump(&after)[..700], [1; 700]);
            }
            assert!(after.list().unwrap().iter().all(|info| !info.sealed || info.len == 1400));
            seen.insert((after.streams(), after.cells(), after.dump(&name("a"))));
        }
        assert!(seen.len() > 1, "operation {op} always ends in one way");
    }
}

#[test]
fn damage_shows_on_the_disk_and_a_dirty_page_hides_it() {
    let medium = FaultyBackend::new(1);
    let mut writer = medium.create(&name("a"), 2048, 2048).unwrap();
    append(&mut *writer, &[1; 600]);
    writer.control().flush(600).unwrap();
    append(&mut *writer, &[2; 1000]);
    writer.control().flush(1600).unwrap();
    assert!(medium.damage(&name("a"), 5, &Damage::Flip(0x80)));
    assert_eq!(dump(&medium)[4..7], [1, 0x81, 1]);
    assert!(medium.damage(&name("a"), 700, &Damage::Stale));
    assert_eq!((dump(&medium)[599], dump(&medium)[600]), (1, 0));
    assert!(medium.damage(&name("a"), 0, &Damage::Misdirect { to: name("a"), at: 1024 }));
    assert_eq!((dump(&medium)[0], dump(&medium)[1024 + 5]), (0, 0x81));
    assert!(medium.damage(&name("a"), 1024, &Damage::Zero));
    assert_eq!(dump(&medium)[1024..1536], [0; 512]);
    append(&mut *writer, &[3; 100]);
    assert!(medium.damage(&name("a"), 1600, &Damage::Flip(1)));
    assert_eq!(dump(&medium)[1600], 3);
    assert_ne!(medium.dump_durable(&name("a")).unwrap()[1600], 3);
    assert!(!medium.damage(&name("a"), 2048, &Damage::Zero));
    medium.write_cell(&name("c"), b"abc").unwrap();
    assert!(medium.damage_cell(&name("c"), 1, 1));
    assert_eq!(medium.read_cell(&name("c")).unwrap().unwrap(), b"acc");
    assert_eq!(medium.injected().damages, 6);
}

#[test]
fn a_flush_that_lies_is_found_out_by_the_power_cut() {
    let medium = FaultyBackend::new(1);
    let mut writer = stream(&medium, 1024);
    append(&mut *writer, &[1; 1024]);
    medium.fail_next(OpKind::Flush, Fault::Lie);
    writer.control().flush(1024).unwrap();
    assert!((0..50).any(|seed| dump(&medium.crash(seed)) != [1; 1024]));
}

#[test]
fn a_seal_that_lies_is_sealed_and_its_bytes_may_be_gone() {
    let medium = FaultyBackend::new(1);
    let mut writer = stream(&medium, 1024);
    append(&mut *writer, &[1; 1024]);
    medium.fail_next(OpKind::Seal, Fault::Lie);
    writer.control().seal(1024).unwrap();
    assert!((0..50).all(|seed| medium.crash(seed).streams()[0].sealed));
    assert!((0..50).any(|seed| dump(&medium.crash(seed)) != [1; 1024]));
    assert_eq!(medium.injected().lies, 1);
}

#[test]
fn a_checker_is_told_what_failed_and_what_went() {
    let medium = FaultyBackend::new(1);
    medium.keep_removed();
    drop(stream(&medium, 8));
    medium.fail_next(OpKind::Remove, Fault::Io);
    medium.hold_faults(true);
    medium.remove(&name("a")).unwrap();
    medium.hold_faults(false);
    let removed = medium.take_removed();
    assert_eq!((removed.len(), &removed[0].0.name, &removed[0].1[..]), (1, &name("a"), &[0; 8][..]));
    drop(stream(&medium, 8));
    medium.remove(&name("a")).unwrap_err();
    assert_eq!(medium.take_failures(), [(OpKind::Remove, Some(name("a")))]);
    assert!(medium.take_failures().is_empty() && medium.take_removed().is_empty());
}

#[test]
fn one_seed_is_one_trace() {
    let run = |seed, op| {
        let medium = FaultyBackend::new(seed);
        medium.record_trace(true);
        medium.at(op, Fault::Io);
        let _ = script(&medium);
        let after = medium.crash(seed);
        (after.trace_hash(), after.trace(), after.streams(), after.cells())
    };
    assert_eq!(run(3, 4), run(3, 4));
    assert_ne!(run(3, 4).0, run(3, 5).0);
    assert_eq!(run(3, 3).1[3], "Flush a 700 0 Io");
}
