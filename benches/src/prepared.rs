//! A backend whose new segments are writable without a fault, as the engine finds those it reserves ahead.
//!
//! `MmapBackend::create` flushes what it populated, after which the first store to each page faults once
//! more. What `reserve` adds later is populated and not flushed. Where the append itself is measured, both
//! sides take all their space in the second way.

use std::io;
use std::sync::Arc;

use backends::{Backend, Cells, Lock, Name, StreamInfo, StreamReader, StreamWriter, Streams};
use backends_mmap::MmapBackend;

/// Bytes that a segment is created with; the rest is reserved.
const FIRST_BYTES: u64 = 64 << 10;

/// The mmap backend with segments prepared whole.
#[derive(Debug)]
pub struct Prepared(pub MmapBackend);

impl Streams for Prepared {
    fn create(&self, name: &Name, capacity: u64, reserve: u64) -> io::Result<Box<dyn StreamWriter>> {
        let writer = self.0.create(name, capacity, reserve.min(FIRST_BYTES))?;
        writer.control().reserve(reserve)?;
        Ok(writer)
    }

    fn reopen(&self, name: &Name, at: u64) -> io::Result<Box<dyn StreamWriter>> {
        self.0.reopen(name, at)
    }

    fn open(&self, name: &Name) -> io::Result<Arc<dyn StreamReader>> {
        self.0.open(name)
    }

    fn list(&self) -> io::Result<Vec<StreamInfo>> {
        self.0.list()
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        self.0.remove(name)
    }
}

impl Cells for Prepared {
    fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        self.0.read_cell(name)
    }

    fn write_cell(&self, name: &Name, value: &[u8]) -> io::Result<()> {
        self.0.write_cell(name, value)
    }
}

impl Backend for Prepared {
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        self.0.lock()
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.0.free_bytes()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
