//! A stream in memory that refuses to be read beyond its end, loudly.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use backends::StreamReader;
use bytes::Bytes;

#[derive(Debug)]
struct Slice(Bytes);

/// A reader of `bytes`.
pub(crate) fn reader(bytes: &[u8]) -> Arc<dyn StreamReader> {
    Arc::new(Slice(Bytes::copy_from_slice(bytes)))
}

impl StreamReader for Slice {
    fn published(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let len = self.published();
        assert!(range.start <= range.end && range.end <= len, "read {range:?} of a stream of {len} bytes");
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        Ok(self.0.slice(index(range.start)..index(range.end)))
    }
}
