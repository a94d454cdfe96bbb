//! The file of a stream that has, or may get, a writer: reserve, flush and seal.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backends::{Name, StreamControl, check};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs, fsync, ftruncate};

use crate::dir::Dir;
use crate::errors::full;
use crate::map::{Pages, Region};
use crate::naming::Kind;

/// Bytes that are populated in one call; the writer may use them as soon as the call is done.
const POPULATE_BYTES: u64 = 8 << 20;

/// Where so many bytes wait for their flush, flushes are large, and space is prepared for that.
const BULK_BYTES: u64 = 2 << 20;

/// Bytes of the least page.
const PAGE_BYTES: usize = 4096;

/// Has the allocated bytes of `range` ready to be written to without a fault and flushed at the least cost.
///
/// A flush takes the right to write from each page that it writes, and every processor must hear of each:
/// some 20 us for 4 KiB, or for 2 MiB. So large flushes get large pages. But a page is written whole, so small
/// flushes get small ones; and as each would have to tell the file system that its bytes are written now,
/// which costs as much as the flush itself, they are told so here, once for all, by writing them.
///
/// From pages that are written to by system calls there is no right to take. They are written one by one, since the
/// file system looks at all blocks of a page when it writes to one, and makes pages as large as the first write.
///
/// What a failed write means is for the caller to say, by `unwritten`.
pub(crate) fn prepare(
    (file, region): (&File, &Region),
    range: Range<u64>,
    pages: Pages,
    unwritten: impl Fn(io::Error) -> io::Error,
) -> io::Result<()> {
    match pages {
        Pages::Large => region.populate(range, pages),
        Pages::Small => {
            region.populate(range.clone(), pages)?;
            region.sync(range.clone()).map_err(unwritten)?;
            region.populate(range, pages)
        }
        Pages::Copied => {
            write_zeros(file, range.clone()).map_err(&unwritten)?;
            region.sync(range.clone()).map_err(&unwritten)?;
            region.populate(range, pages)
        }
    }
}

/// Writes zeros, no more than a page at a time.
fn write_zeros(file: &File, range: Range<u64>) -> io::Result<()> {
    let page = PAGE_BYTES as u64;
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min((at / page + 1) * page);
        let bytes = usize::try_from(end - at).unwrap_or(PAGE_BYTES);
        write_at(file, &[0; PAGE_BYTES][..bytes], at)?;
        at = end;
    }
    Ok(())
}

/// Writes all of `bytes`, which the file has space for.
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// The file behind a region. Not held by readers: of a sealed stream only the mapping stays open.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: Arc<Dir>,
    name: Name,
    file: File,
    region: Arc<Region>,
    /// Bytes that a flush made durable.
    flushed: AtomicU64,
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
            flushed: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            removed: Arc::default(),
            resize: Mutex::new(()),
        }
    }

    /// The flag that says that the file is gone.
    pub(crate) fn removed_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.removed)
    }

    /// Writes bytes behind those that are published.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        write_at(&self.file, bytes, at)
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
        let from = self.flushed.load(Ordering::Acquire);
        if from >= upto {
            return Ok(());
        }
        // Only what was published: the pages populated beyond it would be written for nothing, and each would
        // fault once more when the writer comes to it. On the disk afterwards, as by `fdatasync`: these bytes,
        // and the size and extents that lead to them.
        self.region.sync(from..upto).map_err(|error| self.poison(&error))?;
        self.flushed.fetch_max(upto, Ordering::AcqRel);
        Ok(())
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
        let waiting = self.region.published().saturating_sub(self.flushed.load(Ordering::Acquire));
        self.dir.bulk.store(waiting >= BULK_BYTES, Ordering::Relaxed);
        let pages = self.dir.pages();
        let mut done = old;
        while done < upto {
            let next = upto.min(done + POPULATE_BYTES);
            // The kernel tells of a page that it could not write once only, whoever asks.
            let unwritten = |error| self.poison(&error);
            if let Err(error) = prepare((&self.file, &self.region), done..next, pages, unwritten) {
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
