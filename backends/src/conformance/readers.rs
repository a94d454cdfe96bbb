//! Promises of [`StreamReader`](crate::StreamReader).

use std::io::ErrorKind::InvalidInput;
use std::ops::Range;

use super::{Fixture, append, kind, name, pattern, read};

/// What is published is read at once, by readers taken before and after.
pub fn readers_see_what_is_published(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    let before = writer.reader();
    append(&mut *writer, b"hello");
    for reader in [before, writer.reader()] {
        assert_eq!(reader.published(), 5);
        assert_eq!(read(&*reader, 0..5), b"hello");
        assert_eq!(read(&*reader, 1..3), b"el");
        assert_eq!(read(&*reader, 5..5), b"");
    }
}

/// A range that is not within the published prefix is refused, not cut.
pub fn readers_refuse_what_is_not_published(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"hello");
    writer.window(10).unwrap().fill(b'!');
    let reader = writer.reader();
    let ranges = [0..6, 5..6, 6..6, 0..u64::MAX, u64::MAX..u64::MAX, Range { start: 3, end: 2 }];
    for range in ranges {
        assert_eq!(kind(reader.read(range.clone())), Some(InvalidInput), "{range:?}");
    }
    drop((writer, reader));
    let reader = s.open(&name("a")).unwrap();
    assert_eq!(kind(reader.read(0..101)), Some(InvalidInput));
}

/// A range may span windows, blocks, pages.
pub fn readers_read_across_windows(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 1 << 20, 1 << 20).unwrap();
    let mut at = 0;
    for len in [1, 2, 3, 511, 512, 4095, 4096, 65_536, 100_000, 1] {
        append(&mut *writer, &pattern(at..at + len));
        at += len;
    }
    let reader = writer.reader();
    assert_eq!(read(&*reader, 0..at), pattern(0..at));
    for start in (0..at).step_by(9973) {
        let end = (start + 20_000).min(at);
        assert_eq!(read(&*reader, start..end), pattern(start..end));
    }
}

/// Every later look sees as much or more.
pub fn published_never_goes_back(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 4096, 4096).unwrap();
    let reader = writer.reader();
    let watcher = std::thread::spawn(move || {
        let mut last = 0;
        while last < 4096 {
            let now = reader.published();
            assert!(now >= last, "published went from {last} to {now}");
            last = now;
        }
        reader
    });
    (0..4096).for_each(|at| append(&mut *writer, &pattern(at..at + 1)));
    let reader = watcher.join().unwrap();
    writer.control().seal(4096).unwrap();
    drop(writer);
    assert_eq!(reader.published(), 4096);
}

/// A slice stays as it was read while the stream grows, is flushed and sealed.
pub fn slices_do_not_change(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100_000, 10_000).unwrap();
    append(&mut *writer, &pattern(0..5000));
    let (one, reader) = (writer.reader().read(100..5000).unwrap(), writer.reader());
    writer.window(5000).unwrap().fill(0xEE);
    append(&mut *writer, &[0xEE; 5000]);
    let two = reader.read(0..10_000).unwrap();
    writer.control().reserve(50_000).unwrap();
    append(&mut *writer, &[0xDD; 30_000]);
    writer.control().flush(40_000).unwrap();
    writer.control().seal(40_000).unwrap();
    drop(writer);
    assert_eq!(one, pattern(100..5000));
    assert_eq!(two[..5000], pattern(0..5000));
    assert_eq!(two[5000..], [0xEE; 5000]);
}

/// A slice of a removed stream is readable for as long as it is kept, sealed or not.
pub fn slices_outlive_remove(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut slices = Vec::new();
    for text in ["sealed", "open"] {
        let mut writer = s.create(&name(text), 50_000, 50_000).unwrap();
        append(&mut *writer, &pattern(0..20_000));
        if text == "sealed" {
            writer.control().seal(20_000).unwrap();
        }
        drop(writer);
        slices.push(s.open(&name(text)).unwrap().read(0..20_000).unwrap());
        s.remove(&name(text)).unwrap();
    }
    append(&mut *s.create(&name("open"), 50_000, 50_000).unwrap(), &[0; 50_000]);
    for slice in slices {
        assert_eq!(slice, pattern(0..20_000));
        assert_eq!(slice.slice(10..20), pattern(10..20));
    }
}

/// A slice is owned: it needs neither reader nor backend.
pub fn slices_outlive_everything(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 50_000, 50_000).unwrap();
    append(&mut *writer, &pattern(0..20_000));
    let slice = writer.reader().read(1..20_000).unwrap();
    drop(writer);
    drop(s);
    let thread = std::thread::spawn(move || slice == pattern(1..20_000));
    assert!(thread.join().unwrap(), "the slice is as it was read");
}

/// Readers on other threads read whatever is published, whole, while the writer writes.
pub fn readers_work_beside_the_writer(fixture: &mut Fixture) {
    const END: u64 = 256 * 1024;
    let s = fixture.start();
    let mut writer = s.create(&name("a"), END, END).unwrap();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let reader = writer.reader();
            std::thread::spawn(move || {
                let mut at = 0;
                while at < END {
                    let end = reader.published();
                    assert_eq!(read(&*reader, at..end), pattern(at..end));
                    at = end;
                }
            })
        })
        .collect();
    for at in (0..END).step_by(512) {
        append(&mut *writer, &pattern(at..at + 512));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
