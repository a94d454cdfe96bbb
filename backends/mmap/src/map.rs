//! One stream's mapping: the one module with `unsafe`.
//!
//! A [`Region`] is a mapping of a file over the stream's whole capacity. The proofs below rest on these rules:
//!
//! 1. **File.** The file is at least `reserved` bytes long while the region lives, and those bytes are
//!    allocated. `disk.rs` raises `reserved` only after `fallocate`, and a file is cut only by `seal`, to
//!    exactly `published`. Files are never cut by another process, because the directory's lock is held.
//! 2. **One writer.** A region is made with at most one [`RegionWriter`], which is not `Clone`; and of one
//!    file there is at most one region, because `registry.rs` gives no second one while the first lives.
//! 3. **Frontier.** Bytes below `published` are never written; only the writer touches bytes at or above it, in place or
//!    by writing to the file.
//!    `published` only grows, by a Release store after the bytes were written; readers load it with Acquire.
//!
//! **What breaks them:** another process that cuts the file, or a medium that fails to read a page, ends this
//! process by `SIGBUS` at the next access; a window that is used after `seal` does the same. Another process
//! that writes to the file changes bytes under a shared slice, which no process can defend itself against:
//! keep others out of the directory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{Advice, madvise};

/// Start of what `populate` asks for is rounded down to this, a multiple of every page size in use.
const PAGE_ALIGN: u64 = 64 * 1024;

/// Bytes of a line of the processor's caches.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;
/// Most bytes fetched ahead; the processor itself goes on with longer windows.
#[cfg(target_arch = "x86_64")]
const FETCH_BYTES_MAX: usize = 4 * 1024;

/// How the pages of a region are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// To be written to in place, 2 MiB each where the kernel can.
    Large,
    /// To be written to in place, of the least size.
    Small,
    /// Of the least size, to be written to by system calls: the mapping is for reading only.
    Copied,
}

/// The mapping of one stream's file, and how far it is published and reserved.
#[derive(Debug)]
pub(crate) struct Region {
    map: MmapRaw,
    capacity: u64,
    published: AtomicU64,
    reserved: AtomicU64,
    sealed: AtomicBool,
}

/// The right to write to a region; there is at most one.
#[derive(Debug)]
pub(crate) struct RegionWriter {
    region: Arc<Region>,
    published: usize,
    window: usize,
}

/// Bytes of a region, which it keeps mapped.
struct Slice {
    region: Arc<Region>,
    range: Range<usize>,
}

impl Region {
    /// Maps `file` for writing behind `published`; it has `reserved` allocated bytes and may grow to `capacity`.
    pub(crate) fn writable(
        file: &File,
        reserved: u64,
        capacity: u64,
        published: u64,
    ) -> io::Result<RegionWriter> {
        assert!(published <= reserved && reserved <= capacity, "{published} <= {reserved} <= {capacity}");
        let map = MmapOptions::new().len(length(capacity)?).map_raw(file)?;
        let region = Self {
            map,
            capacity,
            published: AtomicU64::new(published),
            reserved: AtomicU64::new(reserved),
            sealed: AtomicBool::new(false),
        };
        Ok(RegionWriter { region: Arc::new(region), published: length(published)?, window: 0 })
    }

    /// Maps `file` for reading its `len` bytes.
    pub(crate) fn read_only(file: &File, len: u64) -> io::Result<Arc<Self>> {
        let map = MmapOptions::new().len(length(len)?).map_raw_read_only(file)?;
        let region = Self {
            map,
            capacity: len,
            published: AtomicU64::new(len),
            reserved: AtomicU64::new(len),
            sealed: AtomicBool::new(false),
        };
        Ok(Arc::new(region))
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Lets the writer have windows up to `upto`, which are allocated.
    pub(crate) fn set_reserved(&self, upto: u64) {
        assert!(upto <= self.capacity, "{upto} bytes reserved of {}", self.capacity);
        self.reserved.store(upto, Ordering::Release);
    }

    /// Ends the region at what is published: no window is given any more.
    pub(crate) fn set_sealed(&self) {
        self.sealed.store(true, Ordering::Release);
        self.reserved.store(self.published(), Ordering::Release);
    }

    /// The bytes of `range`, which the caller checked against [`published`](Self::published).
    pub(crate) fn slice(self: &Arc<Self>, range: Range<u64>) -> io::Result<Bytes> {
        assert!(range.start <= range.end && range.end <= self.published(), "{range:?} is published");
        if range.is_empty() {
            // Nothing to keep the mapping for.
            return Ok(Bytes::new());
        }
        let range = length(range.start)?..length(range.end)?;
        Ok(Bytes::from_owner(Slice { region: Arc::clone(self), range }))
    }

    /// Writes the pages of `range`, which is allocated, to the disk and waits until they are durable.
    pub(crate) fn sync(&self, range: Range<u64>) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.capacity, "{range:?} is mapped");
        let start = length(range.start)?;
        self.map.flush_range(start, length(range.end)? - start)
    }

    /// Has the pages of `range`, which is allocated, in memory and mapped, so that nobody meets a fault there.
    ///
    /// A kernel before 5.14 does not know how; then nothing is done.
    pub(crate) fn populate(&self, range: Range<u64>, pages: Pages) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.capacity, "{range:?} is mapped");
        let start = length(range.start / PAGE_ALIGN * PAGE_ALIGN)?;
        let len = length(range.end)? - start;
        if len == 0 {
            return Ok(());
        }
        if pages == Pages::Large {
            // Refused by a kernel without them: small pages do the same, at more cost.
            let _ = self.map.advise_range(memmap2::Advice::HugePage, start, len);
        }
        let advice =
            if pages == Pages::Copied { Advice::LinuxPopulateRead } else { Advice::LinuxPopulateWrite };
        // SAFETY: `start + len <= capacity`, the length of the mapping, so the pages are ours. The advice
        // faults them in and changes no byte, so it may run beside the writer and readers (rule 3).
        let advised = unsafe {
            let at = self.map.as_mut_ptr().add(start);
            madvise(at.cast(), len, advice)
        };
        match advised {
            Err(rustix::io::Errno::INVAL) => Ok(()),
            other => Ok(other?),
        }
    }
}

impl RegionWriter {
    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// The `len` bytes behind the published end, `None` if they are not all reserved or the region is sealed.
    #[inline]
    pub(crate) fn window(&mut self, len: usize) -> Option<&mut [u8]> {
        self.window = 0;
        let end = self.published.checked_add(len)?;
        if end as u64 > self.region.reserved() || self.region.is_sealed() {
            return None;
        }
        self.window = len;
        // SAFETY: `published + len <= reserved <= capacity`, so the bytes are within the mapping, and the file
        // has them (rule 1); the mapping is writable, for only `Region::writable` makes a writer. They are at
        // or above `published`, so no reader has them (rule 3: `slice` gives only what is below), and
        // `&mut self` keeps this the only window of the only writer (rule 2). `&self.region` keeps it mapped.
        Some(unsafe { std::slice::from_raw_parts_mut(self.region.map.as_mut_ptr().add(self.published), len) })
    }

    /// Lets readers see the first `len` bytes of the last window.
    #[inline]
    pub(crate) fn publish(&mut self, len: usize) {
        assert!(len <= self.window, "published {len} bytes of a window of {}", self.window);
        self.window = 0;
        self.published += len;
        self.region.published.store(self.published as u64, Ordering::Release);
    }

    /// Has the processor fetch `len` bytes behind the published end, some kilobytes at most: the next window, mostly. The
    /// zeros there left the caches long ago, and who sums up what he encoded in place would wait for them.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn fetch_ahead(&self, len: usize) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let end = self.published.saturating_add(len.min(FETCH_BYTES_MAX)).min(self.region.map.len());
        for line in (self.published..end).step_by(LINE_BYTES) {
            // SAFETY: `line` is within the mapping. A hint shows nobody any bytes, and where no page is it does nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.region.map.as_ptr().add(line).cast()) };
        }
    }

    /// Here the processor is left to itself.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn fetch_ahead(&self, _len: usize) {}
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `range.end <= published` when the slice was made (`Region::slice`), and `published` only
        // grows: the bytes are within the mapping and the file (rule 1, `seal` cuts at `published`), their
        // writes happened before (rule 3, Acquire in `published`), and nobody writes them again (rules 2, 3).
        // `self.region` keeps them mapped, also when the file is unlinked.
        unsafe {
            std::slice::from_raw_parts(self.region.map.as_ptr().add(self.range.start), self.range.len())
        }
    }
}

/// A length in this process's address space; the whole range of `isize` at most, as slices need it.
fn length(bytes: u64) -> io::Result<usize> {
    isize::try_from(bytes)
        .map(isize::unsigned_abs)
        .map_err(|_| backends::check::invalid(format!("{bytes} bytes cannot be mapped")))
}
