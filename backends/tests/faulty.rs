//! The faulty backend keeps every promise as long as no fault is injected.

use std::sync::Arc;

use backends::FaultyBackend;
use backends::conformance::Fixture;

/// Opened again in the same process.
fn fixture() -> Fixture {
    let medium = FaultyBackend::new(1);
    medium.set_capacity(Some(16 << 20));
    Fixture::new(move || Arc::new(medium.clone()))
}

backends::conformance::tests!(fixture());
