//! The persistence contract: bounded write-once **streams** and atomic **cells**.
//!
//! A stream is what a segment, an index file, a part of a base or a due bucket is made of:
//!
//! ```text
//!   0            published        reserved            capacity
//!   |--- readable ---|--- window ---|--- not touched ---|
//!                    ^ the one writer encodes here, in place
//! ```
//!
//! `published <= reserved <= capacity`. Bytes below `published` never change while the store is open; bytes
//! at or above it belong to the writer alone. `flush` makes a published prefix durable; `seal` ends the
//! stream at a length, for good.
//!
//! What a crash may leave of a stream that is not sealed: everything that was flushed, byte for byte, and of
//! the rest of the reserved length any mixture, sector by sector, of what was there at any time since.
//! Readers opened after a crash see the whole reserved length; what of it is valid only its owner can say.
//!
//! Everything here may block except the methods of [`StreamWriter`] and [`StreamReader::published`].
//! A call that fails with [`std::io::ErrorKind::StorageFull`] has changed nothing and may be tried again.
//! After any other failure of [`StreamControl::flush`] or [`StreamControl::seal`], except `InvalidInput`, the
//! stream is *poisoned*: every later flush, reserve and seal of it fails too, because the pages that failed
//! may be marked clean.
//!
//! A stream is *in use* while a writer, reader or control of it is alive (and, where slices are not copies, a
//! slice).

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::name::Name;

/// One stream as [`Streams::list`] finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamInfo {
    /// Its name.
    pub name: Name,
    /// Bytes that can be read: the sealed length, or the reserved length where it is not sealed.
    pub len: u64,
    /// Whether it is sealed.
    pub sealed: bool,
}

/// Bounded write-once byte streams.
///
/// An implementation must
/// - keep `create` and `remove` durable when they return (directory entries included), each whole or not at all;
/// - refuse `create` of a name that exists, and `reopen` of a sealed stream or of one in use;
/// - list every stream exactly once, sorted by name.
pub trait Streams {
    /// Creates an empty stream of at most `capacity` bytes with `reserve` of them allocated.
    ///
    /// # Errors
    /// `AlreadyExists`; `StorageFull` if `reserve` bytes cannot be had (nothing is left behind);
    /// `InvalidInput` if `reserve > capacity` or `capacity == 0`.
    fn create(&self, name: &Name, capacity: u64, reserve: u64) -> io::Result<Box<dyn StreamWriter>>;

    /// Opens the writer of a stream again, its published end at `at`; used before any reader of it exists.
    ///
    /// Bytes below `at` are kept and count as published, bytes above are as a crash left them until written
    /// again. The capacity is what `list` gives as `len`.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` if sealed, in use, or `at` is above `len`.
    fn reopen(&self, name: &Name, at: u64) -> io::Result<Box<dyn StreamWriter>>;

    /// Opens a stream for reading; all of its `len` bytes count as published.
    ///
    /// While the stream is in use this is one more reader beside those it has, and sees what they see.
    ///
    /// # Errors
    /// `NotFound`.
    fn open(&self, name: &Name) -> io::Result<Arc<dyn StreamReader>>;

    /// All streams, sorted by name.
    ///
    /// # Errors
    /// Only those of the medium; an alien entry that no stream could have made is left out.
    fn list(&self) -> io::Result<Vec<StreamInfo>>;

    /// Removes a stream. Slices that were read from it stay valid until they are dropped.
    ///
    /// # Errors
    /// `NotFound`.
    fn remove(&self, name: &Name) -> io::Result<()>;
}

/// The one writer of a stream. Its methods wait for no medium, and allocate no more than a buffer for a window.
pub trait StreamWriter: Debug + Send {
    /// Exactly the `len` bytes behind the published end, to be encoded in place; `None` if they are not all
    /// reserved, or the stream is sealed. Contents are unspecified. Calling it again gives the same bytes.
    fn window(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Publishes the first `len` bytes of the last window: readers see them once this returns. That window
    /// is then used up.
    ///
    /// # Panics
    /// If `len` is more than the last window's length.
    fn publish(&mut self, len: usize);

    /// Bytes published so far.
    fn published(&self) -> u64;

    /// Bytes reserved so far; moved by [`StreamControl::reserve`].
    fn reserved(&self) -> u64;

    /// A reader of the published prefix.
    fn reader(&self) -> Arc<dyn StreamReader>;

    /// The handle that flushes, reserves and seals; usable from another thread while the writer writes.
    fn control(&self) -> Arc<dyn StreamControl>;
}

/// Flushes, reserves and seals a stream, beside its writer.
pub trait StreamControl: Debug + Send + Sync {
    /// Makes the first `upto` bytes durable; `upto` is at most what was published before the call.
    ///
    /// # Errors
    /// `InvalidInput` if `upto` is above what was published. Any other error poisons the stream; `StorageFull`
    /// is none of them, for what a flush could not write is not to be tried again.
    fn flush(&self, upto: u64) -> io::Result<()>;

    /// Allocates the stream up to `upto` bytes (capped at the capacity), and prepares them to be written
    /// without page faults where the medium knows such a thing. Less than what is reserved changes nothing.
    ///
    /// # Errors
    /// `StorageFull`: nothing changed, try again later.
    fn reserve(&self, upto: u64) -> io::Result<()>;

    /// Ends the stream at `len` bytes, durably: they are flushed, the rest of the reserved length is given
    /// back, and no writer can be had again. Sealing again at the same length succeeds and changes nothing.
    /// No window may be written to any more: its bytes may be gone.
    ///
    /// # Errors
    /// `InvalidInput` if `len` is not exactly what was published (what readers may hold does not go away).
    /// Any other error, never `StorageFull`, poisons the stream.
    fn seal(&self, len: u64) -> io::Result<()>;
}

/// Reads the published prefix of a stream. Cheap to clone behind its `Arc`; any number of threads may read.
pub trait StreamReader: Debug + Send + Sync {
    /// Bytes that can be read now. Never goes back.
    fn published(&self) -> u64;

    /// The bytes of `range`, owned: they stay valid and unchanged for as long as the slice is kept, also
    /// after the stream is removed. Zero-copy where the medium allows it.
    ///
    /// # Errors
    /// `InvalidInput` if `range` is not within the published prefix; otherwise those of the medium.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// Small values that are replaced whole.
///
/// An implementation must make `write` atomic and durable: after a crash a cell holds the old or the new
/// value, never a mixture, and the new one once `write` has returned.
pub trait Cells {
    /// The value of a cell, `None` if it was never written.
    ///
    /// # Errors
    /// Those of the medium. Unreadable is never `None`.
    fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the value of a cell (at most 64 KiB).
    ///
    /// # Errors
    /// `InvalidInput` if it is longer. Those of the medium; the old value is then still there, or the new one is.
    fn write_cell(&self, name: &Name, value: &[u8]) -> io::Result<()>;
}

/// Holds a backend for one process; released when dropped.
pub trait Lock: Debug + Send + Sync {}

/// A medium that keeps streams and cells.
pub trait Backend: Streams + Cells + Debug + Send + Sync + 'static {
    /// Takes the exclusive lock; must be held before anything else is called.
    ///
    /// # Errors
    /// `WouldBlock` if another holder has it; the message names the holder where it is known (its process id).
    fn lock(&self) -> io::Result<Box<dyn Lock>>;

    /// Bytes that can still be allocated, `None` where the medium cannot say.
    ///
    /// # Errors
    /// Those of the medium.
    fn free_bytes(&self) -> io::Result<Option<u64>>;

    /// Where this is, for messages: a path, `"memory"`.
    fn describe(&self) -> String;
}
