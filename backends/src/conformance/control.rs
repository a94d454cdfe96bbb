//! Promises of [`StreamControl`](crate::StreamControl).

use std::io::ErrorKind::{InvalidInput, StorageFull};

use super::{Fixture, append, info, kind, name, pattern, read, too_many};

/// Any prefix of what is published can be flushed, repeatedly.
pub fn flush_takes_what_is_published(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 10_000, 10_000).unwrap();
    let control = writer.control();
    control.flush(0).unwrap();
    append(&mut *writer, &pattern(0..5000));
    for upto in [10, 5000, 10, 5000] {
        control.flush(upto).unwrap();
    }
    append(&mut *writer, &pattern(5000..6000));
    control.flush(6000).unwrap();
    assert_eq!(read(&*writer.reader(), 0..6000), pattern(0..6000));
}

/// What is not published cannot be flushed, and trying does no harm.
pub fn flush_refuses_what_is_not_published(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"abc");
    assert_eq!(kind(writer.control().flush(4)), Some(InvalidInput));
    writer.control().flush(3).unwrap();
    writer.control().reserve(100).unwrap();
    writer.control().seal(3).unwrap();
}

/// The reserved end moves to where it was told, and windows with it.
pub fn reserve_moves_the_end(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 1 << 20, 0).unwrap();
    assert!(writer.window(1).is_none());
    let mut from = 0;
    for upto in [1, 4095, 4097, 100_000, 1 << 20] {
        writer.control().reserve(upto).unwrap();
        assert_eq!(writer.reserved(), upto);
        append(&mut *writer, &pattern(from..upto));
        from = upto;
    }
    assert_eq!(read(&*writer.reader(), 0..1 << 20), pattern(0..1 << 20));
}

/// More than the capacity reserves the capacity.
pub fn reserve_stops_at_the_capacity(fixture: &mut Fixture) {
    let s = fixture.start();
    let writer = s.create(&name("a"), 9000, 10).unwrap();
    writer.control().reserve(u64::MAX).unwrap();
    assert_eq!(writer.reserved(), 9000);
    writer.control().reserve(9001).unwrap();
    assert_eq!(writer.reserved(), 9000);
}

/// What is reserved stays reserved.
pub fn reserve_of_less_changes_nothing(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 9000, 5000).unwrap();
    append(&mut *writer, &pattern(0..5000));
    for upto in [0, 1, 4999, 5000] {
        writer.control().reserve(upto).unwrap();
        assert_eq!(writer.reserved(), 5000);
    }
    assert_eq!(read(&*writer.reader(), 0..5000), pattern(0..5000));
}

/// A full medium says so, nothing changes, and what fits is still given.
pub fn reserve_without_space_changes_nothing(fixture: &mut Fixture) {
    let s = fixture.start();
    let Some(much) = too_many(&s) else { return };
    // Where so large a stream is not possible at all there is nothing to show.
    let Ok(mut writer) = s.create(&name("a"), much, 100) else { return };
    append(&mut *writer, b"kept");
    assert_eq!(kind(writer.control().reserve(much)), Some(StorageFull));
    assert_eq!(writer.reserved(), 100);
    assert_eq!(s.list().unwrap(), [info("a", 100, false)]);
    writer.control().reserve(200).unwrap();
    assert_eq!(writer.reserved(), 200);
    append(&mut *writer, &[b'x'; 196]);
    writer.control().flush(200).unwrap();
    assert_eq!(read(&*writer.reader(), 0..4), b"kept");
}

/// Another thread reserves ahead while the writer writes, which gets windows as the end moves.
pub fn reserve_works_beside_the_writer(fixture: &mut Fixture) {
    const STEP: u64 = 32 * 1024;
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 32 * STEP, 0).unwrap();
    let control = writer.control();
    let ahead = std::thread::spawn(move || (1..=32).try_for_each(|step| control.reserve(step * STEP)));
    let mut from = 0;
    while from < 32 * STEP {
        let bytes = pattern(from..from + 1024);
        match writer.window(1024) {
            Some(window) => window.copy_from_slice(&bytes),
            None => {
                std::thread::yield_now();
                continue;
            }
        }
        writer.publish(1024);
        from += 1024;
    }
    ahead.join().unwrap().unwrap();
    assert_eq!(read(&*writer.reader(), 0..32 * STEP), pattern(0..32 * STEP));
}

/// Another thread flushes what is published while the writer writes.
pub fn flush_works_beside_the_writer(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 1 << 20, 1 << 20).unwrap();
    let (control, reader) = (writer.control(), writer.reader());
    let flusher = std::thread::spawn(move || {
        while reader.published() < 64 * 1024 {
            control.flush(reader.published()).unwrap();
        }
    });
    for at in (0..64 * 1024).step_by(256) {
        append(&mut *writer, &pattern(at..at + 256));
    }
    flusher.join().unwrap();
    assert_eq!(read(&*writer.reader(), 0..64 * 1024), pattern(0..64 * 1024));
}

/// After the seal there are no windows, and the bytes are there.
pub fn seal_ends_the_stream(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 10_000, 10_000).unwrap();
    append(&mut *writer, &pattern(0..5000));
    writer.control().seal(5000).unwrap();
    assert!(writer.window(1).is_none());
    assert!(writer.window(0).is_none());
    writer.control().reserve(10_000).unwrap();
    assert!(writer.window(1).is_none());
    assert_eq!(s.list().unwrap(), [info("a", 5000, true)]);
    assert_eq!(read(&*writer.reader(), 0..5000), pattern(0..5000));
}

/// The seal may be asked for twice: the first answer may have been lost.
pub fn seal_again_changes_nothing(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"abc");
    let control = writer.control();
    for _ in 0..3 {
        control.seal(3).unwrap();
    }
    drop(writer);
    control.seal(3).unwrap();
    control.flush(3).unwrap();
    assert_eq!(s.list().unwrap(), [info("a", 3, true)]);
}

/// A stream is sealed at exactly what was published, and once.
pub fn seal_refuses_another_length(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"abc");
    assert_eq!(kind(writer.control().seal(4)), Some(InvalidInput));
    assert_eq!(kind(writer.control().seal(2)), Some(InvalidInput));
    assert_eq!(s.list().unwrap(), [info("a", 100, false)]);
    append(&mut *writer, b"d");
    writer.control().seal(4).unwrap();
    assert_eq!(kind(writer.control().seal(3)), Some(InvalidInput));
    assert_eq!(kind(writer.control().seal(5)), Some(InvalidInput));
    assert_eq!(s.list().unwrap(), [info("a", 4, true)]);
}

/// A sealed stream is sealed, with its bytes, after a restart.
pub fn seal_survives_a_restart(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100_000, 100_000).unwrap();
    append(&mut *writer, &pattern(0..33_333));
    writer.control().seal(33_333).unwrap();
    drop(writer);
    drop(s);
    let s = fixture.start();
    assert_eq!(s.list().unwrap(), [info("a", 33_333, true)]);
    let reader = s.open(&name("a")).unwrap();
    assert_eq!(reader.published(), 33_333);
    assert_eq!(read(&*reader, 0..33_333), pattern(0..33_333));
}

/// A stream may end before it began.
pub fn seal_of_an_empty_stream(fixture: &mut Fixture) {
    let s = fixture.start();
    s.create(&name("a"), 100, 100).unwrap().control().seal(0).unwrap();
    let reader = s.open(&name("a")).unwrap();
    assert_eq!((reader.published(), read(&*reader, 0..0)), (0, Vec::new()));
    drop((reader, s));
    let s = fixture.start();
    assert_eq!(s.list().unwrap(), [info("a", 0, true)]);
    assert_eq!(read(&*s.open(&name("a")).unwrap(), 0..0), b"");
}
