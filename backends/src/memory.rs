//! The reference backend: streams and cells in this process's memory.
//!
//! It keeps every promise that can be kept without a medium: nothing survives the process, and nothing is
//! lost within it. Clones of a [`MemoryBackend`] are handles of one medium.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};

use crate::contract::{Backend, Cells, Lock, StreamControl, StreamInfo, StreamReader, StreamWriter, Streams};
use crate::{Name, check};

/// Smallest block the writer takes from the allocator, in bytes; windows are cut from such blocks.
const BLOCK_BYTES: usize = 64 * 1024;

/// A medium in memory; a clone is another handle of the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    capacity: Option<u64>,
    locked: AtomicBool,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    streams: BTreeMap<Name, Arc<Stream>>,
    cells: BTreeMap<Name, Vec<u8>>,
    /// Bytes reserved by streams and held by cells.
    used: u64,
}

#[derive(Debug)]
struct Stream {
    capacity: AtomicU64,
    reserved: AtomicU64,
    published: AtomicU64,
    sealed: AtomicBool,
    removed: AtomicBool,
    /// What was published, by its position; no two overlap, and bytes in none of them are zero.
    chunks: RwLock<BTreeMap<u64, Bytes>>,
}

impl MemoryBackend {
    /// A medium without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A medium on which streams can reserve and cells can hold `bytes` bytes together.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        let shared = Shared { capacity: Some(bytes), ..Shared::default() };
        Self { shared: Arc::new(shared) }
    }

    fn find(tables: &Tables, name: &Name) -> io::Result<Arc<Stream>> {
        tables.streams.get(name).cloned().ok_or_else(|| not_found(name))
    }

    fn writer(&self, stream: Arc<Stream>) -> Box<dyn StreamWriter> {
        Box::new(Writer { shared: Arc::clone(&self.shared), stream, staging: BytesMut::new(), window: 0 })
    }
}

fn not_found(name: &Name) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no stream {name}"))
}

impl Shared {
    /// Replaces `old` used bytes by `new` ones, or changes nothing.
    fn account(&self, tables: &mut Tables, old: u64, new: u64) -> io::Result<()> {
        let used = (tables.used - old).saturating_add(new);
        if new > old && self.capacity.is_some_and(|capacity| used > capacity) {
            let text = format!("{new} bytes do not fit into memory of {:?}", self.capacity);
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        tables.used = used;
        Ok(())
    }
}

impl Stream {
    fn new(capacity: u64, reserved: u64) -> Self {
        Self {
            capacity: AtomicU64::new(capacity),
            reserved: AtomicU64::new(reserved),
            published: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            chunks: RwLock::default(),
        }
    }

    /// Puts `chunk` at `start`, in the place of whatever an earlier writer left there.
    fn put(&self, start: u64, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let end = start + chunk.len() as u64;
        let mut chunks = self.chunks.write();
        let old: Vec<u64> = chunks.range(..end).rev().map_while(|(&at, c)| overlaps(at, c, start)).collect();
        for at in old {
            let Some(chunk) = chunks.remove(&at) else { continue };
            if at < start {
                chunks.insert(at, chunk.slice(..index(start - at)));
            }
            if at + chunk.len() as u64 > end {
                chunks.insert(end, chunk.slice(index(end - at)..));
            }
        }
        chunks.insert(start, chunk);
    }

    fn read(&self, range: Range<u64>) -> Bytes {
        let chunks = self.chunks.read();
        if let Some((&at, chunk)) = chunks.range(..=range.start).next_back()
            && at + chunk.len() as u64 >= range.end
        {
            return chunk.slice(index(range.start - at)..index(range.end - at));
        }
        let mut copy = vec![0; index(range.end - range.start)];
        for (&at, chunk) in chunks.range(..range.end).rev() {
            let (from, to) = (at.max(range.start), (at + chunk.len() as u64).min(range.end));
            if from >= to {
                break;
            }
            copy[index(from - range.start)..index(to - range.start)]
                .copy_from_slice(&chunk[index(from - at)..index(to - at)]);
        }
        copy.into()
    }
}

/// `at` if the chunk there reaches beyond `start`.
fn overlaps(at: u64, chunk: &Bytes, start: u64) -> Option<u64> {
    (at + chunk.len() as u64 > start).then_some(at)
}

/// A length within memory that exists, so it fits.
#[expect(clippy::expect_used, reason = "an index into allocated memory")]
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a length within allocated memory fits into usize")
}

impl Streams for MemoryBackend {
    fn create(&self, name: &Name, capacity: u64, reserve: u64) -> io::Result<Box<dyn StreamWriter>> {
        check::sizes(capacity, reserve)?;
        let mut tables = self.shared.tables.lock();
        if tables.streams.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("stream {name} exists")));
        }
        self.shared.account(&mut tables, 0, reserve)?;
        let stream = Arc::new(Stream::new(capacity, reserve));
        tables.streams.insert(name.clone(), Arc::clone(&stream));
        Ok(self.writer(stream))
    }

    fn reopen(&self, name: &Name, at: u64) -> io::Result<Box<dyn StreamWriter>> {
        let tables = self.shared.tables.lock();
        let stream = Self::find(&tables, name)?;
        let len = stream.reserved.load(Ordering::Acquire);
        if stream.sealed.load(Ordering::Acquire) {
            return Err(check::invalid(format!("stream {name} is sealed")));
        }
        // One is the table's, one is ours.
        if Arc::strong_count(&stream) > 2 {
            return Err(check::invalid(format!("stream {name} is in use")));
        }
        if at > len {
            return Err(check::invalid(format!("cannot reopen {name} at {at}, it has {len} bytes")));
        }
        stream.capacity.store(len, Ordering::Release);
        stream.published.store(at, Ordering::Release);
        Ok(self.writer(stream))
    }

    fn open(&self, name: &Name) -> io::Result<Arc<dyn StreamReader>> {
        let tables = self.shared.tables.lock();
        let stream = Self::find(&tables, name)?;
        if Arc::strong_count(&stream) == 2 {
            stream.published.store(stream.reserved.load(Ordering::Acquire), Ordering::Release);
        }
        Ok(Arc::new(Reader { stream }))
    }

    fn list(&self) -> io::Result<Vec<StreamInfo>> {
        let info = |(name, stream): (&Name, &Arc<Stream>)| StreamInfo {
            name: name.clone(),
            len: stream.reserved.load(Ordering::Acquire),
            sealed: stream.sealed.load(Ordering::Acquire),
        };
        Ok(self.shared.tables.lock().streams.iter().map(info).collect())
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        let mut tables = self.shared.tables.lock();
        let stream = tables.streams.remove(name).ok_or_else(|| not_found(name))?;
        stream.removed.store(true, Ordering::Release);
        tables.used -= stream.reserved.load(Ordering::Acquire);
        Ok(())
    }
}

impl Cells for MemoryBackend {
    fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        Ok(self.shared.tables.lock().cells.get(name).cloned())
    }

    fn write_cell(&self, name: &Name, value: &[u8]) -> io::Result<()> {
        check::cell(value)?;
        let mut tables = self.shared.tables.lock();
        let old = tables.cells.get(name).map_or(0, |old| old.len() as u64);
        self.shared.account(&mut tables, old, value.len() as u64)?;
        tables.cells.insert(name.clone(), value.to_vec());
        Ok(())
    }
}

impl Backend for MemoryBackend {
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        if self.shared.locked.swap(true, Ordering::AcqRel) {
            let text = format!("memory is locked by this process, {}", std::process::id());
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        Ok(Box::new(Held(Arc::clone(&self.shared))))
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        let used = self.shared.tables.lock().used;
        Ok(self.shared.capacity.map(|capacity| capacity.saturating_sub(used)))
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

#[derive(Debug)]
struct Held(Arc<Shared>);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    /// The bytes behind the published end; what is published is cut off its front, without a copy.
    staging: BytesMut,
    window: usize,
}

impl StreamWriter for Writer {
    fn window(&mut self, len: usize) -> Option<&mut [u8]> {
        self.window = 0;
        let end = self.published().checked_add(len as u64)?;
        if end > self.reserved() || self.stream.sealed.load(Ordering::Acquire) {
            return None;
        }
        if self.staging.len() < len {
            if self.staging.capacity() < len {
                self.staging.reserve(len.max(BLOCK_BYTES) - self.staging.len());
            }
            self.staging.resize(len, 0);
        }
        self.window = len;
        Some(&mut self.staging[..len])
    }

    fn publish(&mut self, len: usize) {
        assert!(len <= self.window, "published {len} bytes of a window of {}", self.window);
        self.window = 0;
        let start = self.published();
        self.stream.put(start, self.staging.split_to(len).freeze());
        self.stream.published.store(start + len as u64, Ordering::Release);
    }

    fn published(&self) -> u64 {
        self.stream.published.load(Ordering::Acquire)
    }

    fn reserved(&self) -> u64 {
        self.stream.reserved.load(Ordering::Acquire)
    }

    fn reader(&self) -> Arc<dyn StreamReader> {
        Arc::new(Reader { stream: Arc::clone(&self.stream) })
    }

    fn control(&self) -> Arc<dyn StreamControl> {
        Arc::new(Control { shared: Arc::clone(&self.shared), stream: Arc::clone(&self.stream) })
    }
}

#[derive(Debug)]
struct Control {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
}

impl StreamControl for Control {
    fn flush(&self, upto: u64) -> io::Result<()> {
        check::flush(upto, self.stream.published.load(Ordering::Acquire))
    }

    fn reserve(&self, upto: u64) -> io::Result<()> {
        let mut tables = self.shared.tables.lock();
        let old = self.stream.reserved.load(Ordering::Acquire);
        let new = upto.min(self.stream.capacity.load(Ordering::Acquire));
        let ended = self.stream.sealed.load(Ordering::Acquire) || self.stream.removed.load(Ordering::Acquire);
        if new > old && !ended {
            self.shared.account(&mut tables, old, new)?;
            self.stream.reserved.store(new, Ordering::Release);
        }
        Ok(())
    }

    fn seal(&self, len: u64) -> io::Result<()> {
        let mut tables = self.shared.tables.lock();
        check::seal(len, self.stream.published.load(Ordering::Acquire))?;
        if self.stream.sealed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let reserved = self.stream.reserved.swap(len, Ordering::AcqRel);
        if !self.stream.removed.load(Ordering::Acquire) {
            tables.used -= reserved - len;
        }
        let _ = self.stream.chunks.write().split_off(&len);
        Ok(())
    }
}

#[derive(Debug)]
struct Reader {
    stream: Arc<Stream>,
}

impl StreamReader for Reader {
    fn published(&self) -> u64 {
        self.stream.published.load(Ordering::Acquire)
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        check::range(&range, self.published())?;
        Ok(self.stream.read(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::new("a").unwrap()
    }

    fn append(writer: &mut dyn StreamWriter, bytes: &[u8]) {
        writer.window(bytes.len()).unwrap().copy_from_slice(bytes);
        writer.publish(bytes.len());
    }

    #[test]
    fn a_read_within_one_window_is_not_a_copy() {
        let mut writer = MemoryBackend::new().create(&name(), 100, 100).unwrap();
        append(&mut *writer, b"hello");
        append(&mut *writer, b"world");
        let reader = writer.reader();
        let (one, two) = (reader.read(1..5).unwrap(), reader.read(2..4).unwrap());
        assert_eq!(one.as_ptr().wrapping_add(1), two.as_ptr());
        assert_eq!(&reader.read(3..8).unwrap()[..], b"lowor");
    }

    #[test]
    fn leftovers_stand_until_they_are_written_again() {
        let memory = MemoryBackend::new();
        let mut writer = memory.create(&name(), 12, 12).unwrap();
        append(&mut *writer, b"abcdefgh");
        drop(writer);
        let mut writer = memory.reopen(&name(), 2).unwrap();
        append(&mut *writer, b"XY");
        drop(writer);
        assert_eq!(&memory.open(&name()).unwrap().read(0..12).unwrap()[..], b"abXYefgh\0\0\0\0");
        assert_eq!(&memory.open(&name()).unwrap().read(3..6).unwrap()[..], b"Yef");
    }

    #[test]
    fn space_is_counted_and_given_back() {
        let memory = MemoryBackend::with_capacity(100);
        let free = || memory.free_bytes().unwrap();
        let mut writer = memory.create(&name(), 90, 40).unwrap();
        memory.write_cell(&name(), &[0; 30]).unwrap();
        assert_eq!(free(), Some(30));
        let full = writer.control().reserve(80).unwrap_err();
        assert_eq!((full.kind(), free()), (io::ErrorKind::StorageFull, Some(30)));
        append(&mut *writer, b"0123456789");
        writer.control().seal(10).unwrap();
        assert_eq!(free(), Some(60));
        memory.write_cell(&name(), b"").unwrap();
        memory.remove(&name()).unwrap();
        assert_eq!(free(), Some(100));
    }
}
