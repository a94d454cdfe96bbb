//! The memory backend keeps every promise.

use std::sync::Arc;

use backends::MemoryBackend;
use backends::conformance::Fixture;

fn fixture() -> Fixture {
    let memory = MemoryBackend::with_capacity(16 << 20);
    Fixture::new(move || Arc::new(memory.clone()))
}

backends::conformance::tests!(fixture());
