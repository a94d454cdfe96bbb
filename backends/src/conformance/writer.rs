//! Promises of [`StreamWriter`](crate::StreamWriter).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Fixture, append, name, pattern, read};

/// A window has the length asked for, from nothing to the whole reserve.
pub fn a_window_is_exact(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 10_000, 10_000).unwrap();
    for len in [0, 1, 7, 512, 4096, 10_000] {
        assert_eq!(writer.window(len).map(|w| w.len()), Some(len));
    }
    assert_eq!(writer.published(), 0);
}

/// Bytes encoded into a window are there when it is asked for again, also at another length.
pub fn a_window_asked_again_has_the_same_bytes(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100_000, 100_000).unwrap();
    append(&mut *writer, b"begin");
    writer.window(10).unwrap().copy_from_slice(b"0123456789");
    assert_eq!(writer.window(4).unwrap(), b"0123");
    assert_eq!(&writer.window(90_000).unwrap()[..10], b"0123456789");
    writer.publish(10);
    assert_eq!(read(&*writer.reader(), 0..15), b"begin0123456789");
}

/// No window reaches beyond what is reserved, and being refused one costs nothing.
pub fn a_window_ends_with_the_reserve(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 50).unwrap();
    assert!(writer.window(51).is_none());
    assert!(writer.window(usize::MAX).is_none());
    append(&mut *writer, &pattern(0..50));
    assert!(writer.window(1).is_none());
    assert!(writer.window(usize::MAX).is_none());
    assert_eq!(writer.published(), 50);
    writer.control().reserve(100).unwrap();
    append(&mut *writer, &pattern(50..100));
    assert_eq!(read(&*writer.reader(), 0..100), pattern(0..100));
}

/// Only the front of the window is published; the next window begins behind it.
pub fn publishing_a_part_leaves_the_rest(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    writer.window(6).unwrap().copy_from_slice(b"abcdef");
    writer.publish(2);
    assert_eq!((writer.published(), writer.reader().published()), (2, 2));
    writer.window(0).unwrap();
    writer.publish(0);
    append(&mut *writer, b"XYZ");
    assert_eq!(read(&*writer.reader(), 0..5), b"abXYZ");
}

/// A length that no window had is a programmer's error.
pub fn publishing_more_than_the_window_panics(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    writer.window(8).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| writer.publish(9))).is_err(), "publish(9) of 8 must panic");
    assert_eq!(writer.reader().published(), 0);
}

/// A window is published once.
pub fn a_window_is_used_up_by_publish(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    writer.window(8).unwrap();
    writer.publish(4);
    assert!(catch_unwind(AssertUnwindSafe(|| writer.publish(4))).is_err(), "a second publish must panic");
    assert_eq!(writer.reader().published(), 4);
}

/// The writer works on whatever thread holds it.
pub fn the_writer_may_move_to_another_thread(fixture: &mut Fixture) {
    let s = fixture.start();
    let mut writer = s.create(&name("a"), 100, 100).unwrap();
    append(&mut *writer, b"here ");
    let reader = writer.reader();
    let there = std::thread::spawn(move || append(&mut *writer, b"there"));
    there.join().unwrap();
    assert_eq!(read(&*reader, 0..10), b"here there");
}
