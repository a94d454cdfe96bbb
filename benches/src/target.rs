//! Where the reference's frames go: files of the same kind as the engine's, prepared in the same way.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use backends::{Backend, Lock, Name, StreamControl, StreamWriter, Streams};
use backends_mmap::MmapBackend;

use crate::Result;
use crate::reference::Encoder;
use crate::workload::Workload;

/// Where the reference's log starts: the first offset of epoch 1.
const LOG_START: u64 = 1 << 40;

/// A segment that is allocated, mapped and populated over its whole length, as the engine prepares its own.
#[derive(Debug)]
pub struct Mapped {
    writer: Box<dyn StreamWriter>,
    control: Arc<dyn StreamControl>,
    _lock: Box<dyn Lock>,
}

impl Mapped {
    /// A segment of `bytes` in a directory.
    ///
    /// # Errors
    /// The medium's.
    pub fn create(path: &Path, bytes: u64) -> Result<Self> {
        let backend = MmapBackend::open(path)?;
        let lock = backend.lock()?;
        let name = Name::new("reference").ok_or("a valid name")?;
        let writer = backend.create(&name, bytes, bytes)?;
        let control = writer.control();
        Ok(Self { writer, control, _lock: lock })
    }

    /// The handle that flushes.
    #[must_use]
    pub fn control(&self) -> Arc<dyn StreamControl> {
        Arc::clone(&self.control)
    }

    /// Bytes published so far.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.writer.published()
    }

    /// Everything that was published.
    ///
    /// # Errors
    /// The medium's.
    pub fn bytes(&self) -> Result<bytes::Bytes> {
        Ok(self.writer.reader().read(0..self.published())?)
    }

    /// Encodes and publishes messages `from..to`, so many a frame, with nothing in between.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn append(
        &mut self,
        encoder: &mut Encoder,
        load: &Workload,
        range: std::ops::Range<usize>,
        batch: usize,
    ) -> Result<()> {
        let start = LOG_START + self.writer.published();
        let room = usize::try_from(self.writer.reserved() - self.writer.published())?;
        let window = self.writer.window(room).ok_or("a window")?;
        let (mut at, mut first) = (0, range.start);
        while first < range.end {
            let bodies = (first..range.end.min(first + batch)).map(|i| load.body(i));
            let len = encoder.frame_bytes(bodies.clone());
            let frame = window.get_mut(at..at + len).ok_or("the reference's segment is full")?;
            encoder.encode(start + at as u64, bodies, frame);
            at += len;
            first += batch;
        }
        self.writer.publish(at);
        Ok(())
    }
}

/// A staged buffer that goes to an allocated file by `pwrite` before each acknowledgement, so that what was
/// acknowledged survives a kill; it rolls over fresh segments.
#[derive(Debug)]
pub struct Staged<'a> {
    path: &'a Path,
    segment_bytes: u64,
    buffer: Vec<u8>,
    file: Arc<File>,
    written: u64,
    segments: u64,
}

impl<'a> Staged<'a> {
    /// A log in a directory.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(path: &'a Path, segment_bytes: u64) -> Result<Self> {
        let file = Self::segment(path, 0, segment_bytes)?;
        Ok(Self { path, segment_bytes, buffer: Vec::new(), file, written: 0, segments: 1 })
    }

    fn segment(path: &Path, number: u64, bytes: u64) -> Result<Arc<File>> {
        let file = File::create(path.join(format!("staged-{number:06}")))?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        Ok(Arc::new(file))
    }

    /// The file that is being written.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Segments so far.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// Encodes one frame and writes it; true if that began another segment.
    ///
    /// # Errors
    /// The file system's.
    pub fn append<'b>(
        &mut self,
        encoder: &mut Encoder,
        bodies: impl Iterator<Item = &'b [u8]> + Clone,
    ) -> Result<(usize, bool)> {
        let len = encoder.frame_bytes(bodies.clone());
        let rolled = self.written + len as u64 > self.segment_bytes;
        if rolled {
            self.file = Self::segment(self.path, self.segments, self.segment_bytes)?;
            (self.written, self.segments) = (0, self.segments + 1);
        }
        self.buffer.resize(len, 0);
        let at = LOG_START + (self.segments - 1) * self.segment_bytes + self.written;
        encoder.encode(at, bodies, &mut self.buffer);
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += len as u64;
        Ok((len, rolled))
    }
}
