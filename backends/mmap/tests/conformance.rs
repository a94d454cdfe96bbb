//! The mmap backend keeps every promise.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use backends::conformance::Fixture;
use backends_mmap::{MmapBackend, Writes};

fn fixture(writes: Writes) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    Fixture::new(move || Arc::new(MmapBackend::open_for(dir.path(), writes).unwrap()))
}

mod in_place {
    backends::conformance::tests!(super::fixture(backends_mmap::Writes::InPlace));
}

mod copied {
    backends::conformance::tests!(super::fixture(backends_mmap::Writes::Copied));
}
