//! The conformance suite: one named function for every promise of the [contract](crate::contract).
//!
//! A backend's tests say, once,
//!
//! ```
//! use std::sync::Arc;
//!
//! use backends::MemoryBackend;
//! use backends::conformance::Fixture;
//!
//! fn fixture() -> Fixture {
//!     let memory = MemoryBackend::new();
//!     Fixture::new(move || Arc::new(memory.clone()))
//! }
//!
//! backends::conformance::tests!(fixture());
//! # backends::conformance::all(&mut fixture);
//! ```
//!
//! and get one `#[test]` a promise. A promise that fails panics and says what was expected.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test suite: a promise not kept panics")]

mod cells;
mod control;
mod readers;
mod streams;
mod writer;

use std::fmt;
use std::io;
use std::ops::{Deref, Range};
use std::sync::Arc;

pub use self::cells::*;
pub use self::control::*;
pub use self::readers::*;
pub use self::streams::*;
pub use self::writer::*;
use crate::contract::{Backend, Lock, StreamReader, StreamWriter};
use crate::{Name, StreamInfo};

/// One empty medium, and how to open it.
pub struct Fixture {
    open: Box<dyn FnMut() -> Arc<dyn Backend>>,
}

impl Fixture {
    /// `open` opens the medium; the suite calls it again after it dropped all that came from the call before,
    /// as a process does that was restarted, and expects to find everything.
    pub fn new(open: impl FnMut() -> Arc<dyn Backend> + 'static) -> Self {
        Self { open: Box::new(open) }
    }

    /// Opens the medium and takes its lock.
    fn start(&mut self) -> Session {
        let backend = (self.open)();
        let lock = backend.lock().expect("the lock is free");
        Session { backend, _lock: lock }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fixture")
    }
}

/// An open medium whose lock is held.
struct Session {
    backend: Arc<dyn Backend>,
    _lock: Box<dyn Lock>,
}

impl Deref for Session {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.backend
    }
}

/// Calls a macro with its first arguments and the names of all promises.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_promises {
    ([$($call:tt)*] $($first:tt)*) => {
        $($call)* ! { { $($first)* }
            create_gives_an_empty_stream, create_refuses_a_name_that_exists, create_refuses_impossible_sizes,
            create_without_space_leaves_nothing, create_survives_a_restart, every_name_can_be_used,
            list_is_sorted_by_name, list_tells_length_and_seal, remove_is_whole_and_final,
            a_removed_name_can_be_created_again, what_is_missing_is_not_found,
            reopen_goes_on_where_it_is_told, reopen_keeps_what_stood_above_until_written,
            reopen_takes_the_length_as_capacity, reopen_refuses_a_sealed_stream,
            reopen_refuses_a_stream_in_use, reopen_refuses_a_place_above_the_length,
            open_shows_the_reserved_length, open_joins_a_stream_in_use,
            a_window_is_exact, a_window_asked_again_has_the_same_bytes, a_window_ends_with_the_reserve,
            publishing_a_part_leaves_the_rest, publishing_more_than_the_window_panics,
            a_window_is_used_up_by_publish, the_writer_may_move_to_another_thread,
            flush_takes_what_is_published, flush_refuses_what_is_not_published, reserve_moves_the_end,
            reserve_stops_at_the_capacity, reserve_of_less_changes_nothing,
            reserve_without_space_changes_nothing, reserve_works_beside_the_writer,
            flush_works_beside_the_writer, seal_ends_the_stream, seal_again_changes_nothing,
            seal_refuses_another_length, seal_survives_a_restart, seal_of_an_empty_stream,
            readers_see_what_is_published, readers_refuse_what_is_not_published,
            readers_read_across_windows, published_never_goes_back, slices_do_not_change,
            slices_outlive_remove, slices_outlive_everything, readers_work_beside_the_writer,
            a_cell_never_written_is_none, a_cell_is_replaced_whole, a_cell_holds_64_kib,
            cells_survive_a_restart, cells_and_streams_share_no_names,
            the_lock_is_exclusive, the_lock_is_released_when_dropped, the_medium_describes_itself
        }
    };
}

/// Expands to one `#[test]` for every promise, each on a fresh [`Fixture`] that the expression makes.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => { $crate::conformance_promises!([$crate::conformance_tests] $make); };
    ({ $make:expr } $($promise:ident),+) => {
        $(
            #[test]
            fn $promise() {
                $crate::conformance::$promise(&mut $make);
            }
        )+
    };
}

pub use crate::conformance_tests as tests;

macro_rules! promise_list {
    ({ $($nothing:tt)* } $($promise:ident),+) => { &[$((stringify!($promise), $promise)),+] };
}

/// Checks one promise; panics where it is not kept.
pub type Promise = fn(&mut Fixture);

/// Every promise by its name.
pub const PROMISES: &[(&str, Promise)] = conformance_promises!([promise_list]);

/// Checks every promise, each on a medium of its own.
///
/// # Panics
/// At the first promise that is not kept.
pub fn all(make: &mut dyn FnMut() -> Fixture) {
    for (_, promise) in PROMISES {
        promise(&mut make());
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the suite's names are names")
}

/// Encodes `bytes` in one window and publishes them.
fn append(writer: &mut dyn StreamWriter, bytes: &[u8]) {
    writer.window(bytes.len()).expect("the reserve holds the window").copy_from_slice(bytes);
    writer.publish(bytes.len());
}

fn read(reader: &dyn StreamReader, range: Range<u64>) -> Vec<u8> {
    reader.read(range).expect("a published range is read").to_vec()
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

fn info(text: &str, len: u64, sealed: bool) -> StreamInfo {
    StreamInfo { name: name(text), len, sealed }
}

/// Bytes that tell their position.
fn pattern(range: Range<u64>) -> Vec<u8> {
    range.map(|at| u8::try_from(at % 251 + 1).unwrap()).collect()
}

/// More bytes than the medium has, `None` where it cannot say.
fn too_many(session: &Session) -> Option<u64> {
    let free = session.free_bytes().expect("free bytes are told")?;
    Some(free.saturating_mul(2).saturating_add(1 << 30))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_promise_is_listed() {
        let files = [
            include_str!("cells.rs"),
            include_str!("control.rs"),
            include_str!("readers.rs"),
            include_str!("streams.rs"),
            include_str!("writer.rs"),
        ];
        let written: BTreeSet<&str> = files
            .iter()
            .flat_map(|file| file.lines())
            .filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next())
            .collect();
        let listed: BTreeSet<&str> = super::PROMISES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, written);
    }
}
