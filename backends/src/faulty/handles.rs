//! The contract's calls on one stream of the faulty medium.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::schedule::{Fault, OpKind};
use super::world::{InFlight, SharedDisk, World, eio};
use crate::contract::{StreamControl, StreamReader, StreamWriter};
use crate::{Name, check};

/// A stream of a medium.
#[derive(Debug, Clone)]
struct Handle {
    world: Arc<Mutex<World>>,
    name: Name,
    disk: SharedDisk,
}

#[derive(Debug)]
pub(super) struct Reader(Handle);

#[derive(Debug)]
struct Control(Handle);

#[derive(Debug)]
pub(super) struct Writer {
    handle: Handle,
    /// The bytes behind the published end, as far as windows reached. They are in the page cache for a crash
    /// to keep parts of, which is settled at every publish and when the writer is dropped.
    staging: Vec<u8>,
    window: usize,
}

/// A length of memory that exists, so it fits.
#[expect(clippy::expect_used, reason = "an index into allocated memory")]
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a length of allocated memory fits into usize")
}

impl Reader {
    pub(super) fn new(world: Arc<Mutex<World>>, name: Name, disk: SharedDisk) -> Self {
        Self(Handle { world, name, disk })
    }
}

impl StreamReader for Reader {
    fn published(&self) -> u64 {
        self.0.disk.lock().published
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut world = self.0.world.lock();
        world.alive()?;
        let disk = self.0.disk.lock();
        check::range(&range, disk.published)?;
        world.begin_plain(OpKind::Read, Some(&self.0.name), [range.start, range.end], || None)?;
        if disk.unreadable.iter().any(|bad| bad.start < range.end && range.start < bad.end) {
            world.injected.io_errors += 1;
            return Err(eio());
        }
        Ok(Bytes::copy_from_slice(&disk.present()[index(range.start)..index(range.end)]))
    }
}

impl Writer {
    pub(super) fn new(world: Arc<Mutex<World>>, name: Name, disk: SharedDisk) -> Self {
        Self { handle: Handle { world, name, disk }, staging: Vec::new(), window: 0 }
    }
}

impl StreamWriter for Writer {
    fn window(&mut self, len: usize) -> Option<&mut [u8]> {
        self.window = 0;
        let disk = self.handle.disk.lock();
        let end = disk.published.checked_add(len as u64)?;
        if end > disk.reserved() || disk.sealed {
            return None;
        }
        if self.staging.len() < len {
            // What a crash left there stays until it is written.
            let from = index(disk.published) + self.staging.len();
            self.staging.extend_from_slice(&disk.present()[from..index(end)]);
        }
        self.window = len;
        Some(&mut self.staging[..len])
    }

    fn publish(&mut self, len: usize) {
        assert!(len <= self.window, "published {len} bytes of a window of {}", self.window);
        let mut world = self.handle.world.lock();
        let mut disk = self.handle.disk.lock();
        let start = disk.published;
        if !world.is_crashed() {
            // A crash here finds the window in the page cache, published or not.
            disk.write(index(start), &self.staging[..self.window], len);
            world.trace.bytes(&self.staging[..len]);
            let _ = world.begin(OpKind::Publish, Some(&self.handle.name), [start, len as u64], || None);
        }
        disk.published = start + len as u64;
        self.staging.drain(..len);
        self.window = 0;
    }

    fn published(&self) -> u64 {
        self.handle.disk.lock().published
    }

    fn reserved(&self) -> u64 {
        self.handle.disk.lock().reserved()
    }

    fn reader(&self) -> Arc<dyn StreamReader> {
        Arc::new(Reader(self.handle.clone()))
    }

    fn control(&self) -> Arc<dyn StreamControl> {
        Arc::new(Control(self.handle.clone()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let world = self.handle.world.lock();
        let mut disk = self.handle.disk.lock();
        if !world.is_crashed() && !disk.sealed {
            let start = index(disk.published);
            disk.write(start, &self.staging, 0);
        }
    }
}

impl Control {
    /// What a crash cuts short, unless the stream is none of the medium any more.
    fn in_flight(&self, make: impl FnOnce(Name) -> InFlight) -> Option<InFlight> {
        let removed = self.0.disk.lock().removed;
        (!removed).then(|| make(self.0.name.clone()))
    }
}

fn poisoned(name: &Name) -> io::Error {
    io::Error::other(format!("stream {name} is poisoned: a flush failed before"))
}

impl StreamControl for Control {
    fn flush(&self, upto: u64) -> io::Result<()> {
        let world = &mut *self.0.world.lock();
        world.alive()?;
        check::flush(upto, self.0.disk.lock().published)?;
        if self.0.disk.lock().poisoned {
            return Err(poisoned(&self.0.name));
        }
        let fault = world.begin(OpKind::Flush, Some(&self.0.name), [upto, 0], || None)?;
        let mut disk = self.0.disk.lock();
        match fault {
            Some(Fault::Lie) => {}
            Some(_) => {
                disk.fail_flush(&mut world.rng, &mut world.injected);
                return Err(eio());
            }
            None => disk.flush(index(upto)),
        }
        Ok(())
    }

    fn reserve(&self, upto: u64) -> io::Result<()> {
        let mut world = self.0.world.lock();
        world.alive()?;
        let (old, capacity, ended, bad) = {
            let disk = self.0.disk.lock();
            (disk.reserved(), disk.capacity, disk.sealed || disk.removed, disk.poisoned)
        };
        if bad {
            return Err(poisoned(&self.0.name));
        }
        let upto = upto.min(capacity);
        if upto <= old || ended {
            return Ok(());
        }
        world.check_space(upto - old)?;
        let len = usize::try_from(upto).map_err(|_| check::invalid("more than this memory holds"))?;
        let in_flight = || self.in_flight(|name| InFlight::Reserve(name, len));
        world.begin_plain(OpKind::Reserve, Some(&self.0.name), [upto, 0], in_flight)?;
        self.0.disk.lock().grow(len);
        Ok(())
    }

    fn seal(&self, len: u64) -> io::Result<()> {
        let world = &mut *self.0.world.lock();
        world.alive()?;
        let (published, sealed, bad) = {
            let disk = self.0.disk.lock();
            (disk.published, disk.sealed, disk.poisoned)
        };
        check::seal(len, published)?;
        if bad {
            return Err(poisoned(&self.0.name));
        }
        if sealed {
            return Ok(());
        }
        let in_flight = || self.in_flight(|name| InFlight::Seal(name, index(len)));
        let fault = world.begin(OpKind::Seal, Some(&self.0.name), [len, 0], in_flight)?;
        let mut disk = self.0.disk.lock();
        match fault {
            Some(Fault::Lie) => disk.seal_unflushed(index(len)),
            Some(_) => {
                disk.fail_flush(&mut world.rng, &mut world.injected);
                return Err(eio());
            }
            None => disk.seal(index(len)),
        }
        Ok(())
    }
}
