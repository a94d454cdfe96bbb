//! Promises of [`Streams`](crate::Streams).

use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotFound, StorageFull};

use super::{Fixture, append, info, kind, name, pattern, read, too_many};

/// A stream just created has the reserve asked for, nothing published, and is listed.
pub fn create_gives_an_empty_stream(fixture: &mut Fixture) {
    let s = fixture.start();
    assert_eq!(s.list().unwrap(), []);
    let writer = s.create(&name("a"), 10_000, 5000).unwrap();
    assert_eq!((writer.published(), writer.reserved()), (0, 5000));
    assert_eq!(writer.reader().published(), 0);
    assert_eq!(s.list().unwrap(), [info("a", 5000, false)]);
    let none = s.create(&name("b"), 10_000, 0).unwrap();
    assert_eq!((none.published(), none.reserved()), (0, 0));
    let all = s.create(&name("c"), 10_000, 10_000).unwrap();
    assert_eq!(all.reserved(), 10_000);
}

/// A name in use cannot be created, sealed or not, and what it names stays as it is.
pub fn create_refuses_a_name_that_exists(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut open = s.create(&name("open"), 100, 100).unwrap();
    append(&mut *open, b"kept");
    let mut sealed = s.create(&name("sealed"), 100, 100).unwrap();
    append(&mut *sealed, b"kept");
    sealed.control().seal(4).unwrap();
    assert_eq!(kind(s.create(&name("open"), 100, 100)), Some(AlreadyExists));
    assert_eq!(kind(s.create(&name("sealed"), 100, 100)), Some(AlreadyExists));
    assert_eq!(s.list().unwrap(), [info("open", 100, false), info("sealed", 4, true)]);
    assert_eq!(read(&*open.reader(), 0..4), b"kept");
    assert_eq!(read(&*s.open(&name("sealed")).unwrap(), 0..4), b"kept");
}

/// A capacity of nothing, or less than the reserve, is refused.
pub fn create_refuses_impossible_sizes(fixture: &mut Fixture) {
    let s = fixture.start();
    assert_eq!(kind(s.create(&name("a"), 0, 0)), Some(InvalidInput));
    assert_eq!(kind(s.create(&name("a"), 10, 11)), Some(InvalidInput));
    assert_eq!(s.list().unwrap(), []);
}

/// A stream whose reserve cannot be had does not exist, and its name stays free.
pub fn create_without_space_leaves_nothing(fixture: &mut Fixture) {
    let s = fixture.start();
    let Some(much) = too_many(&s) else { return };
    assert_eq!(kind(s.create(&name("a"), much, much)), Some(StorageFull));
    assert_eq!(s.list().unwrap(), []);
    assert_eq!(kind(s.open(&name("a"))), Some(NotFound));
    s.create(&name("a"), 100, 100).unwrap();
}

/// A stream is there after a restart, also if nothing was ever flushed.
pub fn create_survives_a_restart(fixture: &mut Fixture) {
    let s = fixture.start();
    drop(s.create(&name("a"), 10_000, 5000).unwrap());
    drop(s);
    assert_eq!(fixture.start().list().unwrap(), [info("a", 5000, false)]);
}

/// The shortest and the longest name, and all that a name may be made of.
pub fn every_name_can_be_used(fixture: &mut Fixture) {
    let s = fixture.start();
    let longest = "x".repeat(crate::Name::MAX_LEN);
    let texts = ["0", "a", "a-", "a-0", "abcdefghijklmnopqrstuvwxyz-0123456789", "lock", "open", &longest];
    for text in texts {
        append(&mut *s.create(&name(text), 100, 100).unwrap(), text.as_bytes());
        s.write_cell(&name(text), text.as_bytes()).unwrap();
    }
    drop(s);
    let s = fixture.start();
    for text in texts {
        let len = text.len() as u64;
        assert_eq!(read(&*s.open(&name(text)).unwrap(), 0..len), text.as_bytes());
        assert_eq!(s.read_cell(&name(text)).unwrap().as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(s.list().unwrap().len(), texts.len());
}

/// The order of `list` is that of the names, each once.
pub fn list_is_sorted_by_name(fixture: &mut Fixture) {
    let s = fixture.start();
    for text in ["b", "a-b", "a", "10", "2", "ab", "a0"] {
        let mut writer = s.create(&name(text), 100, 10).unwrap();
        if text.len() == 2 {
            append(&mut *writer, b"x");
            writer.control().seal(1).unwrap();
        }
    }
    let names: Vec<String> = s.list().unwrap().iter().map(|i| i.name.to_string()).collect();
    assert_eq!(names, ["10", "2", "a", "a-b", "a0", "ab", "b"]);
}

/// `len` is the reserved length before the seal and the sealed length after it.
pub fn list_tells_length_and_seal(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100_000, 10_000).unwrap();
    append(&mut *writer, &pattern(0..7000));
    writer.control().reserve(50_000).unwrap();
    assert_eq!(s.list().unwrap(), [info("a", 50_000, false)]);
    writer.control().seal(7000).unwrap();
    assert_eq!(s.list().unwrap(), [info("a", 7000, true)]);
}

/// A removed stream is gone, also after a restart, and the others are not.
pub fn remove_is_whole_and_final(fixture: &mut Fixture) {
    let s = fixture.start();
    for text in ["a", "b", "c"] {
        let mut writer = s.create(&name(text), 100, 100).unwrap();
        if text == "b" {
            append(&mut *writer, b"x");
            writer.control().seal(1).unwrap();
        }
    }
    s.remove(&name("a")).unwrap();
    s.remove(&name("b")).unwrap();
    assert_eq!(s.list().unwrap(), [info("c", 100, false)]);
    drop(s);
    let s = fixture.start();
    assert_eq!(s.list().unwrap(), [info("c", 100, false)]);
    assert_eq!(kind(s.remove(&name("a"))), Some(NotFound));
}

/// The next stream of a name has nothing of the one before, even while handles of that are alive.
pub fn a_removed_name_can_be_created_again(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut old = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *old, b"old");
    let reader = old.reader();
    s.remove(&name("a")).unwrap();
    let mut new = s.create(&name("a"), 200, 200).unwrap();
    assert_eq!(new.published(), 0);
    append(&mut *new, b"newer");
    append(&mut *old, b"est");
    let _ = old.control().seal(6);
    drop(old);
    assert_eq!(read(&*reader, 0..6), b"oldest");
    assert_eq!(read(&*s.open(&name("a")).unwrap(), 0..5), b"newer");
    new.control().seal(5).unwrap();
    assert_eq!(s.list().unwrap(), [info("a", 5, true)]);
}

/// Whatever takes a name says `NotFound` where there is none.
pub fn what_is_missing_is_not_found(fixture: &mut Fixture) {
    let s = fixture.start();
    assert_eq!(kind(s.open(&name("a"))), Some(NotFound));
    assert_eq!(kind(s.reopen(&name("a"), 0)), Some(NotFound));
    assert_eq!(kind(s.remove(&name("a"))), Some(NotFound));
}

/// What is below the place stays and counts as published; the next window begins there.
pub fn reopen_goes_on_where_it_is_told(fixture: &mut Fixture) {
    let s = fixture.start();
    append(&mut *s.create(&name("a"), 10_000, 10_000).unwrap(), &pattern(0..6000));
    drop(s);
    let s = fixture.start();
    let mut writer = s.reopen(&name("a"), 5000).unwrap();
    assert_eq!(writer.published(), 5000);
    assert_eq!(writer.reader().published(), 5000);
    append(&mut *writer, b"new");
    assert_eq!(read(&*writer.reader(), 0..5000), pattern(0..5000));
    assert_eq!(read(&*writer.reader(), 4999..5003)[1..], *b"new");
    writer.control().flush(5003).unwrap();
    writer.control().seal(5003).unwrap();
    assert_eq!(s.list().unwrap(), [info("a", 5003, true)]);
}

/// What was published above the place is still there for the next open, until it is written again.
pub fn reopen_keeps_what_stood_above_until_written(fixture: &mut Fixture) {
    let s = fixture.start();
    append(&mut *s.create(&name("a"), 10_000, 10_000).unwrap(), &pattern(0..9000));
    append(&mut *s.reopen(&name("a"), 1000).unwrap(), b"new");
    drop(s);
    let s = fixture.start();
    let reader = s.open(&name("a")).unwrap();
    let mut expected = pattern(0..9000);
    expected[1000..1003].copy_from_slice(b"new");
    assert_eq!(read(&*reader, 0..9000), expected);
}

/// A stream opened again can be filled to its length and no further.
pub fn reopen_takes_the_length_as_capacity(fixture: &mut Fixture) {
    let s = fixture.start();
    drop(s.create(&name("a"), 100_000, 8192).unwrap());
    let mut writer = s.reopen(&name("a"), 0).unwrap();
    writer.control().reserve(100_000).unwrap();
    assert_eq!(writer.reserved(), 8192);
    append(&mut *writer, &pattern(0..8192));
    assert!(writer.window(1).is_none());
    assert_eq!(read(&*writer.reader(), 0..8192), pattern(0..8192));
}

/// A sealed stream has no writer again.
pub fn reopen_refuses_a_sealed_stream(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"x");
    writer.control().seal(1).unwrap();
    drop(writer);
    assert_eq!(kind(s.reopen(&name("a"), 1)), Some(InvalidInput));
    drop(s);
    assert_eq!(kind(fixture.start().reopen(&name("a"), 1)), Some(InvalidInput));
}

/// While a writer, reader or control is alive there is no other writer; then there is.
pub fn reopen_refuses_a_stream_in_use(fixture: &mut Fixture) {
    let s = fixture.start();
    let writer = s.create(&name("a"), 100, 100).unwrap();
    assert_eq!(kind(s.reopen(&name("a"), 0)), Some(InvalidInput));
    let (reader, control) = (writer.reader(), writer.control());
    drop(writer);
    assert_eq!(kind(s.reopen(&name("a"), 0)), Some(InvalidInput));
    drop(reader);
    assert_eq!(kind(s.reopen(&name("a"), 0)), Some(InvalidInput));
    drop(control);
    let writer = s.reopen(&name("a"), 0).unwrap();
    assert_eq!(kind(s.reopen(&name("a"), 0)), Some(InvalidInput));
    drop(writer);
    let reader = s.open(&name("a")).unwrap();
    assert_eq!(kind(s.reopen(&name("a"), 0)), Some(InvalidInput));
    drop(reader);
    s.reopen(&name("a"), 0).unwrap();
}

/// The place may be the length, not more.
pub fn reopen_refuses_a_place_above_the_length(fixture: &mut Fixture) {
    let s = fixture.start();
    drop(s.create(&name("a"), 1000, 100).unwrap());
    assert_eq!(kind(s.reopen(&name("a"), 101)), Some(InvalidInput));
    assert_eq!(s.reopen(&name("a"), 100).unwrap().published(), 100);
}

/// A reader opened while nobody uses the stream sees the whole reserved length, zeros where never written.
pub fn open_shows_the_reserved_length(fixture: &mut Fixture) {
    let s = fixture.start();
    append(&mut *s.create(&name("a"), 100_000, 20_000).unwrap(), &pattern(0..7000));
    drop(s);
    let s = fixture.start();
    let reader = s.open(&name("a")).unwrap();
    assert_eq!(reader.published(), 20_000);
    let bytes = read(&*reader, 0..20_000);
    assert_eq!(bytes[..7000], pattern(0..7000));
    assert!(bytes[7000..].iter().all(|&b| b == 0), "bytes never written are zero");
    drop(reader);
    assert_eq!(s.reopen(&name("a"), 7000).unwrap().published(), 7000);
}

/// A reader opened beside a writer sees what the writer published, and its seal.
pub fn open_joins_a_stream_in_use(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"one");
    let reader = s.open(&name("a")).unwrap();
    assert_eq!(reader.published(), 3);
    append(&mut *writer, b"two");
    assert_eq!(read(&*reader, 0..6), b"onetwo");
    writer.control().seal(6).unwrap();
    drop(writer);
    let later = s.open(&name("a")).unwrap();
    assert_eq!((reader.published(), later.published()), (6, 6));
}
