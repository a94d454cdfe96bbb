//! The mmap backend keeps every promise.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use backends::conformance::Fixture;
use backends_mmap::MmapBackend;

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    Fixture::new(move || Arc::new(MmapBackend::open(dir.path()).unwrap()))
}

backends::conformance::tests!(fixture());
