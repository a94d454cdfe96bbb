//! What the operating system's errors mean to callers.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// A used up quota is a full disk, to the caller.
pub(crate) fn full(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) if code == Errno::DQUOT.raw_os_error() => io::Error::new(ErrorKind::StorageFull, error),
        _ => error,
    }
}
