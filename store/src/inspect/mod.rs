//! Looking at a store at rest without changing a byte of it: what is there, every frame, and whether it is whole.
//!
//! [`Image`] is what an open would come to, had it not to write anything; [`verify()`] checks every file by itself.
//! Both hold the lock while they look, so nobody opens the store meanwhile.

mod image;
mod summary;
mod verify;

pub use image::{FrameInfo, Image, OpInfo};
pub use summary::{
    BaseInfo, BucketInfo, EpochInfo, IndexInfo, Progress, SegmentInfo, Summary, TopicInfo, summary,
};
#[cfg(feature = "mmap")]
pub use verify::verify_dir;
pub use verify::{Checked, Finding, Verified, verify};

use backends::{Backend, Lock};

#[cfg(feature = "mmap")]
use crate::error::ErrorKind;
use crate::error::{Error, Result};

/// Takes the lock of `backend` for looking.
fn lock(backend: &dyn Backend) -> Result<Box<dyn Lock>> {
    backend.lock().map_err(|e| Error::io("it is in use", e))
}

/// A directory that cannot be looked at.
#[cfg(feature = "mmap")]
fn no_directory(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, error.to_string()),
        _ => Error::io("the directory cannot be looked at", error),
    }
}
