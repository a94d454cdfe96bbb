//! Promises of [`Cells`](crate::Cells), of the lock and of the backend as a whole.

use std::io::ErrorKind::{InvalidInput, WouldBlock};

use super::{Fixture, append, info, kind, name, pattern};

/// Never written is `None`, and differs from an empty value.
pub fn a_cell_never_written_is_none(fixture: &mut Fixture) {
    let s = fixture.start();
    assert_eq!(s.read_cell(&name("a")).unwrap(), None);
    s.write_cell(&name("a"), b"").unwrap();
    assert_eq!(s.read_cell(&name("a")).unwrap(), Some(Vec::new()));
    assert_eq!(s.read_cell(&name("b")).unwrap(), None);
}

/// A shorter value leaves nothing of a longer one.
pub fn a_cell_is_replaced_whole(fixture: &mut Fixture) {
    let s = fixture.start();
    for value in ["one", "three and four", "2", "", "last"] {
        s.write_cell(&name("a"), value.as_bytes()).unwrap();
        assert_eq!(s.read_cell(&name("a")).unwrap().as_deref(), Some(value.as_bytes()));
    }
}

/// 64 KiB fit; one byte more is refused and changes nothing.
pub fn a_cell_holds_64_kib(fixture: &mut Fixture) {
    let s = fixture.start();
    let value = pattern(0..64 * 1024);
    s.write_cell(&name("a"), &value).unwrap();
    assert_eq!(kind(s.write_cell(&name("a"), &pattern(0..64 * 1024 + 1))), Some(InvalidInput));
    assert_eq!(s.read_cell(&name("a")).unwrap(), Some(value));
}

/// Cells are there after a restart.
pub fn cells_survive_a_restart(fixture: &mut Fixture) {
    let s = fixture.start();
    s.write_cell(&name("a"), b"old").unwrap();
    s.write_cell(&name("a"), b"new").unwrap();
    s.write_cell(&name("b"), b"other").unwrap();
    drop(s);
    let s = fixture.start();
    assert_eq!(s.read_cell(&name("a")).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(s.read_cell(&name("b")).unwrap().as_deref(), Some(&b"other"[..]));
}

/// A cell and a stream of one name know nothing of each other.
pub fn cells_and_streams_share_no_names(fixture: &mut Fixture) {
    let s = fixture.start();
    s.write_cell(&name("a"), b"cell").unwrap();
    assert_eq!(s.list().unwrap(), []);
    append(&mut *s.create(&name("a"), 100, 100).unwrap(), b"stream");
    assert_eq!(s.list().unwrap(), [info("a", 100, false)]);
    assert_eq!(s.read_cell(&name("a")).unwrap().as_deref(), Some(&b"cell"[..]));
    s.remove(&name("a")).unwrap();
    assert_eq!(s.read_cell(&name("a")).unwrap().as_deref(), Some(&b"cell"[..]));
}

/// One holder at a time, whichever handle of the medium it asks.
pub fn the_lock_is_exclusive(fixture: &mut Fixture) {
    let s = fixture.start();
    assert_eq!(kind(s.lock()), Some(WouldBlock));
    let other = (fixture.open)();
    let refused = other.lock().map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), WouldBlock);
    assert!(!refused.to_string().is_empty(), "the message says who holds the lock");
    drop(other);
    assert_eq!(kind(s.lock()), Some(WouldBlock));
}

/// The lock can be taken again once it was dropped, also by another handle, also within one handle's life.
pub fn the_lock_is_released_when_dropped(fixture: &mut Fixture) {
    let backend = (fixture.open)();
    drop(backend.lock().unwrap());
    drop(backend.lock().unwrap());
    drop(backend);
    drop(fixture.start());
    fixture.start();
}

/// There is something to print in a message.
pub fn the_medium_describes_itself(fixture: &mut Fixture) {
    let s = fixture.start();
    assert!(!s.describe().is_empty());
    s.free_bytes().unwrap();
}
