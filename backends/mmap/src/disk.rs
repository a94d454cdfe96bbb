//! The file of a stream that has, or may get, a writer: reserve, flush and seal.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backends::{Name, StreamControl, check};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, fdatasync, fstatvfs, fsync, ftruncate};

use crate::dir::Dir;
use crate::errors::full;
use crate::map::Region;
use crate::naming::Kind;

/// Bytes that are populated in one call; the writer may use them as soon as the call is done.
const POPULATE_BYTES: u64 = 8 << 20;

/// The file behind a region. Not held by readers: of a sealed stream only the mapping stays open.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: Arc<Dir>,
    name: Name,
    file: File,
    region: Arc<Region>,
    poisoned: AtomicBool,
    /// Set under the directory's entries lock; the name may then belong to another stream.
    removed: Arc<AtomicBool>,
    /// Held while the file's size changes.
    resize: Mutex<()>,
}

impl Disk {
    pub(crate) fn new(dir: Arc<Dir>, name: Name, file: File, region: Arc<Region>) -> Self {
        Self {
            dir,
            name,
            file,
            region,
            poisoned: AtomicBool::new(false),
            removed: Arc::default(),
            resize: Mutex::new(()),
        }
    }

    /// The flag that says that the file is gone.
    pub(crate) fn removed_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.removed)
    }

    fn check_poison(&self) -> io::Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(io::Error::other(format!("stream {} is poisoned: a flush failed before", self.name)));
        }
        Ok(())
    }

    /// Latches a failure: the kernel may have marked pages clean that never reached the disk.
    fn poison(&self, error: &io::Error) -> io::Error {
        self.poisoned.store(true, Ordering::Release);
        // Never `StorageFull`, which would ask the caller to try again.
        io::Error::other(format!("stream {} cannot be written to disk: {error}", self.name))
    }

    fn cut_and_rename(&self, len: u64) -> io::Result<()> {
        ftruncate(&self.file, len)?;
        fsync(&self.file)?;
        let entries = self.dir.entries.lock();
        if self.removed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.dir.rename(&entries, &Kind::Open.file(&self.name), &Kind::Sealed.file(&self.name))
    }
}

impl StreamControl for Disk {
    fn flush(&self, upto: u64) -> io::Result<()> {
        check::flush(upto, self.region.published())?;
        self.check_poison()?;
        // Writes back what was stored through the mapping too, and the size that `fallocate` set.
        fdatasync(&self.file).map_err(|errno| self.poison(&errno.into()))
    }

    fn reserve(&self, upto: u64) -> io::Result<()> {
        let _resize = self.resize.lock();
        self.check_poison()?;
        let old = self.region.reserved();
        let upto = upto.min(self.region.capacity());
        if upto <= old || self.region.is_sealed() {
            return Ok(());
        }
        allocate(&self.file, old, upto)?;
        let mut done = old;
        while done < upto {
            let next = upto.min(done + POPULATE_BYTES);
            if let Err(error) = self.region.populate(done..next) {
                ftruncate(&self.file, done)?;
                return Err(error);
            }
            self.region.set_reserved(next);
            done = next;
        }
        Ok(())
    }

    fn seal(&self, len: u64) -> io::Result<()> {
        let _resize = self.resize.lock();
        check::seal(len, self.region.published())?;
        self.check_poison()?;
        if self.region.is_sealed() {
            return Ok(());
        }
        // Before the cut: no window may reach beyond it.
        self.region.set_sealed();
        self.cut_and_rename(len).map_err(|error| self.poison(&error))
    }
}

/// Gives `file`, which has `from` bytes, allocated space up to `upto`, all of it or none.
pub(crate) fn allocate(file: &File, from: u64, upto: u64) -> io::Result<()> {
    let len = upto - from;
    if len == 0 {
        return Ok(());
    }
    // Asked first: an allocation that fails half way would fill the disk for everybody for a moment.
    if free_bytes(file)? < len {
        return Err(io::Error::new(ErrorKind::StorageFull, format!("{len} bytes are not free")));
    }
    fallocate(file, FallocateFlags::empty(), from, len).map_err(|errno| {
        // What was allocated before it failed goes back; the first error is the one to tell.
        let _ = ftruncate(file, from);
        full(errno.into())
    })
}

/// Bytes that this process may still allocate on the file system of `file`.
pub(crate) fn free_bytes(file: &File) -> io::Result<u64> {
    let stat = fstatvfs(file)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
