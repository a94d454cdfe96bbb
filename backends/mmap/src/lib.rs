//! Mainspring's default backend: streams in memory-mapped files of one directory, on Linux.
//!
//! Slices are memory of the mapping, and windows are too unless [`Writes::Copied`] is asked for: no byte is copied
//! between the encoder and the page cache, or from there to a reader. Space is allocated before it is mapped, so a
//! full disk is an error and not a `SIGBUS`. Which files there are is said in `naming.rs`, what the mapping asks of
//! its surroundings in `map.rs`: while a process holds the lock, no other may write to or cut a file of the
//! directory; whoever cuts one ends the process that has it mapped by `SIGBUS`.

#![cfg(target_os = "linux")]

mod dir;
mod disk;
mod errors;
mod map;
mod naming;
mod read_only;
mod registry;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use backends::{
    Backend, Cells, Lock, Name, StreamControl, StreamInfo, StreamReader, StreamWriter, Streams, check,
};
use bytes::Bytes;

use crate::dir::{Dir, Entries};
use crate::disk::{Disk, allocate, free_bytes, prepare};
use crate::errors::full;
use crate::map::{Pages, Region, RegionWriter};
use crate::naming::Kind;

pub use crate::read_only::ReadOnlyBackend;

/// How what is appended comes into the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// It is encoded in the mapping: the least for an append, and 20 us for each page of a flush, which takes the right
    /// to write to it from all processors. For whoever flushes now and then.
    #[default]
    InPlace,
    /// It is encoded beside it and copied by a system call: a microsecond more for an append, and nothing for a page of
    /// a flush. For whoever waits for each flush.
    Copied,
}

/// Streams and cells in the files of one directory; a clone is another handle of the same.
///
/// Everything but [`Backend::lock`], `free_bytes` and `describe` fails with `PermissionDenied` while the lock
/// is not held.
#[derive(Debug, Clone)]
pub struct MmapBackend {
    dir: Arc<Dir>,
}

impl MmapBackend {
    /// Opens a directory, or creates it and what is missing above it.
    ///
    /// # Errors
    /// `NotADirectory`; `PermissionDenied` or `ReadOnlyFilesystem` where it cannot be written to; those of the
    /// file system. The message names the directory.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_for(path, Writes::default())
    }

    /// The same, for one way of writing.
    ///
    /// # Errors
    /// As [`MmapBackend::open`].
    pub fn open_for(path: impl AsRef<Path>, writes: Writes) -> io::Result<Self> {
        Ok(Self { dir: Arc::new(Dir::open(path.as_ref(), writes)?) })
    }

    fn writer(&self, mut entries: Entries<'_>, name: &Name, file: File, writer: RegionWriter) -> Box<Writer> {
        let region = Arc::clone(writer.region());
        let disk = Arc::new(Disk::new(Arc::clone(&self.dir), name.clone(), file, region));
        entries.insert(name, writer.region(), disk.removed_flag());
        let copy = (self.dir.writes == Writes::Copied).then(Vec::new);
        Box::new(Writer { writer, disk, copy, copied: None })
    }

    /// The file of a stream, and whether it is sealed.
    fn find(&self, _: &Entries<'_>, name: &Name) -> io::Result<(String, bool)> {
        for (kind, sealed) in [(Kind::Sealed, true), (Kind::Open, false)] {
            let file = kind.file(name);
            if self.dir.file(&file).try_exists()? {
                return Ok((file, sealed));
            }
        }
        Err(io::Error::new(ErrorKind::NotFound, format!("no stream {name} in {}", self.describe())))
    }

    fn open_file(&self, file: &str) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.file(file))?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }

    /// A new file of `reserve` allocated bytes, mapped and populated, under a name that no stream has yet.
    fn new_file(&self, file: &str, capacity: u64, reserve: u64) -> io::Result<(File, RegionWriter)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(self.dir.file(file)).map_err(full)?;
        allocate(&file, 0, reserve)?;
        let pages = self.dir.pages();
        if pages == Pages::Large || reserve == 0 {
            // Before the pages are populated, which would all be written. Else preparing them makes the file durable.
            rustix::fs::fsync(&file).map_err(|errno| full(errno.into()))?;
        }
        let writer = Region::writable(&file, reserve, capacity, 0)?;
        prepare((&file, writer.region()), 0..reserve, pages, full)?;
        Ok((file, writer))
    }
}

impl Streams for MmapBackend {
    fn create(&self, name: &Name, capacity: u64, reserve: u64) -> io::Result<Box<dyn StreamWriter>> {
        check::sizes(capacity, reserve)?;
        // Held throughout, so that the entries need not be while the disk works.
        let _creating = self.dir.creating.lock();
        if self.find(&self.dir.entries()?, name).is_ok() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("stream {name} exists")));
        }
        let (new, open) = (Kind::NewStream.file(name), Kind::Open.file(name));
        let made = self.new_file(&new, capacity, reserve);
        let entries = self.dir.entries()?;
        match made.and_then(|made| self.dir.rename(&entries, &new, &open).map(|()| made)) {
            Ok((file, writer)) => Ok(self.writer(entries, name, file, writer)),
            Err(error) => {
                // Whichever of the two there is by now; what cannot be removed is the next lock's to clear.
                let _ = fs::remove_file(self.dir.file(&new));
                let _ = fs::remove_file(self.dir.file(&open));
                Err(error)
            }
        }
    }

    fn reopen(&self, name: &Name, at: u64) -> io::Result<Box<dyn StreamWriter>> {
        let entries = self.dir.entries()?;
        let (file, sealed) = self.find(&entries, name)?;
        if sealed {
            return Err(check::invalid(format!("stream {name} is sealed")));
        }
        if entries.region(name).is_some() {
            return Err(check::invalid(format!("stream {name} is in use")));
        }
        let (file, len) = self.open_file(&file)?;
        if at > len {
            return Err(check::invalid(format!("cannot reopen {name} at {at}, it has {len} bytes")));
        }
        // A hole would be a `SIGBUS` on a full disk; this costs nothing where there is none.
        allocate_holes(&file, len)?;
        let writer = Region::writable(&file, len, len, at)?;
        Ok(self.writer(entries, name, file, writer))
    }

    fn open(&self, name: &Name) -> io::Result<Arc<dyn StreamReader>> {
        let mut entries = self.dir.entries()?;
        let (file, _) = self.find(&entries, name)?;
        if let Some(region) = entries.region(name) {
            return Ok(Arc::new(Reader { region }));
        }
        // The file is closed again: the mapping is all that reading needs.
        let file = File::open(self.dir.file(&file))?;
        let region = Region::read_only(&file, file.metadata()?.len())?;
        entries.insert(name, &region, Arc::default());
        Ok(Arc::new(Reader { region }))
    }

    fn list(&self) -> io::Result<Vec<StreamInfo>> {
        let _entries = self.dir.entries()?;
        naming::streams(self.dir.path())
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        let mut entries = self.dir.entries()?;
        let (file, _) = self.find(&entries, name)?;
        fs::remove_file(self.dir.file(&file))?;
        entries.remove(name);
        self.dir.sync(&entries)
    }
}

/// Allocates what is not allocated of the first `len` bytes of `file`.
fn allocate_holes(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let all = rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, all, 0, len).map_err(|errno| full(errno.into()))
}

impl Cells for MmapBackend {
    fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        self.dir.read_cell(name)
    }

    fn write_cell(&self, name: &Name, value: &[u8]) -> io::Result<()> {
        self.dir.write_cell(name, value)
    }
}

impl Backend for MmapBackend {
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(self.dir.lock()?))
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        free_bytes(self.dir.handle()).map(Some)
    }

    fn describe(&self) -> String {
        self.dir.path().display().to_string()
    }
}

#[derive(Debug)]
struct Writer {
    writer: RegionWriter,
    disk: Arc<Disk>,
    /// Where windows lie that are copied.
    copy: Option<Vec<u8>>,
    /// Bytes of the last window, if it lies there.
    copied: Option<usize>,
}

/// Longer windows lie in the mapping: what the system call saves them is not worth the memory.
const COPY_BYTES_MAX: usize = 1 << 20;

impl StreamWriter for Writer {
    fn window(&mut self, len: usize) -> Option<&mut [u8]> {
        let window = self.writer.window(len)?;
        let copy = self.copy.as_mut().filter(|_| len <= COPY_BYTES_MAX);
        self.copied = copy.is_some().then_some(len);
        let Some(copy) = copy else { return Some(window) };
        if copy.len() < len {
            copy.resize(len, 0);
        }
        Some(&mut copy[..len])
    }

    fn publish(&mut self, len: usize) {
        if let (Some(copy), Some(window)) = (&self.copy, self.copied.take()) {
            let bytes = &copy[..window][..len];
            let written = self.disk.write_at(bytes, self.writer.region().published());
            // What the system call could not do the mapping can, or nobody.
            if written.is_err()
                && let Some(window) = self.writer.window(len)
            {
                window.copy_from_slice(bytes);
            }
        }
        self.writer.publish(len);
        if self.copy.is_none() {
            self.writer.fetch_ahead(len);
        }
    }

    fn published(&self) -> u64 {
        self.writer.region().published()
    }

    fn reserved(&self) -> u64 {
        self.writer.region().reserved()
    }

    fn reader(&self) -> Arc<dyn StreamReader> {
        Arc::new(Reader { region: Arc::clone(self.writer.region()) })
    }

    fn control(&self) -> Arc<dyn StreamControl> {
        Arc::<Disk>::clone(&self.disk)
    }
}

#[derive(Debug)]
struct Reader {
    region: Arc<Region>,
}

impl StreamReader for Reader {
    fn published(&self) -> u64 {
        self.region.published()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        check::range(&range, self.published())?;
        self.region.slice(range)
    }
}
