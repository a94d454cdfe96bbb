//! The argument checks that every backend makes in the same way.

use std::io;
use std::ops::Range;

/// Longest value of a cell, in bytes.
pub const MAX_CELL_BYTES: usize = 64 * 1024;

/// An `InvalidInput` error that says `what`.
#[must_use]
pub fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.into())
}

/// Checks the arguments of [`create`](crate::Streams::create).
///
/// # Errors
/// `InvalidInput` if `capacity` is 0 or `reserve` is above it.
pub fn sizes(capacity: u64, reserve: u64) -> io::Result<()> {
    if capacity == 0 || reserve > capacity {
        return Err(invalid(format!("cannot reserve {reserve} bytes of a capacity of {capacity}")));
    }
    Ok(())
}

/// Checks the argument of [`read`](crate::StreamReader::read).
///
/// # Errors
/// `InvalidInput` if `range` is not within `0..published`.
pub fn range(range: &Range<u64>, published: u64) -> io::Result<()> {
    if range.start > range.end || range.end > published {
        return Err(invalid(format!("bytes {range:?} are not within the {published} published ones")));
    }
    Ok(())
}

/// Checks the argument of [`flush`](crate::StreamControl::flush).
///
/// # Errors
/// `InvalidInput` if `upto` is above `published`.
pub fn flush(upto: u64, published: u64) -> io::Result<()> {
    if upto > published {
        return Err(invalid(format!("cannot flush {upto} bytes, {published} are published")));
    }
    Ok(())
}

/// Checks the argument of [`seal`](crate::StreamControl::seal) on a stream that is not sealed.
///
/// # Errors
/// `InvalidInput` if `len` is not `published`.
pub fn seal(len: u64, published: u64) -> io::Result<()> {
    if len != published {
        return Err(invalid(format!("cannot seal at {len} bytes, {published} are published")));
    }
    Ok(())
}

/// Checks the value given to [`write_cell`](crate::Cells::write_cell).
///
/// # Errors
/// `InvalidInput` if it is longer than [`MAX_CELL_BYTES`].
pub fn cell(value: &[u8]) -> io::Result<()> {
    if value.len() > MAX_CELL_BYTES {
        return Err(invalid(format!("a cell of {} bytes, at most {MAX_CELL_BYTES} fit", value.len())));
    }
    Ok(())
}
