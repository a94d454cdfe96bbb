//! A backend that fails as media do, for crash tests and simulators; deterministic by seed.
//!
//! It lives in memory and keeps, of every stream, what the page cache shows apart from what is on the disk.
//! Faults are scheduled by the number of the operation or for the next one of a kind; a crash gives a *new*
//! backend over what is left, and the old one can be thrown away or asked for another crash:
//!
//! ```
//! use backends::{Backend, Fault, FaultyBackend, Name, OpKind, Streams};
//!
//! let name = Name::new("a").unwrap();
//! let medium = FaultyBackend::new(1);
//! medium.fail_next(OpKind::Flush, Fault::Io);
//! let mut writer = medium.create(&name, 4096, 4096)?;
//! writer.window(5).unwrap().copy_from_slice(b"hello");
//! writer.publish(5);
//! assert!(writer.control().flush(5).is_err());
//! assert_eq!(&medium.dump(&name).unwrap()[..5], b"hello");
//!
//! let after = medium.crash(7);
//! assert_eq!(after.streams().len(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```

mod backend;
mod disk;
mod handles;
mod schedule;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::schedule::{Crashed, Fault, Injected, OpKind};
use self::world::World;
use crate::{Name, StreamInfo};

/// A faulty medium; a clone is another handle of the same one.
#[derive(Debug, Clone)]
pub struct FaultyBackend {
    world: Arc<Mutex<World>>,
}

/// Damage to a durable sector of 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// Flips the bits of the byte that are set in the mask.
    Flip(u8),
    /// Zeros the sector.
    Zero,
    /// Takes the sector back to what it held before its last flush (zeros if it was flushed once).
    Stale,
    /// The last write of the sector went to another place: that has its content, the sector itself is stale.
    Misdirect {
        /// The stream that was hit.
        to: Name,
        /// A position in the sector that was hit.
        at: u64,
    },
}

impl FaultyBackend {
    /// An empty medium without a limit. The seed decides whatever a fault leaves open.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_world(World::new(seed))
    }

    fn from_world(world: World) -> Self {
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Operations counted so far, on this side of the last crash; the next one has this number.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.world.lock().schedule.ops
    }

    /// Lets the operation of number `op` meet `fault`.
    pub fn at(&self, op: u64, fault: Fault) {
        self.world.lock().schedule.at(op, fault);
    }

    /// Lets the next operation of a kind meet `fault`; several queue up.
    pub fn fail_next(&self, kind: OpKind, fault: Fault) {
        self.world.lock().schedule.next(kind, fault);
    }

    /// Crashes in the middle of the operation of number `op`: it and all later ones fail with [`Crashed`].
    pub fn crash_at(&self, op: u64) {
        self.at(op, Fault::Crash);
    }

    /// Forgets the faults that were scheduled and have not happened.
    pub fn clear_faults(&self) {
        self.world.lock().schedule.clear();
    }

    /// While held, faults of [`fail_next`](Self::fail_next) wait: what a checker does meets none.
    pub fn hold_faults(&self, held: bool) {
        self.world.lock().schedule.held = held;
    }

    /// The calls that met [`Fault::Io`] on this side of the last crash since this was last asked.
    #[must_use]
    pub fn take_failures(&self) -> Vec<(OpKind, Option<Name>)> {
        std::mem::take(&mut self.world.lock().failures)
    }

    /// Whether a [`Fault::Crash`] happened.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.world.lock().is_crashed()
    }

    /// Limits what streams can reserve and cells can hold together, in bytes; less than is used leaves nothing
    /// free.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world.lock().capacity = bytes;
    }

    /// Lets every read that touches `range` of a stream fail, until healed, over crashes too.
    pub fn fail_reads(&self, name: &Name, range: Range<u64>) {
        if let Some(disk) = self.world.lock().streams.get(name) {
            disk.lock().unreadable.push(range);
        }
    }

    /// Lets all of a stream be read again.
    pub fn heal_reads(&self, name: &Name) {
        if let Some(disk) = self.world.lock().streams.get(name) {
            disk.lock().unreadable.clear();
        }
    }

    /// The medium after a power cut: of every sector written and not flushed, any version since; of the length
    /// reserved since the last flush, all or nothing; the operation in flight happened, or not, or in part.
    ///
    /// The same medium and `seed` give the same result, and this medium stays as it is.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        Self::from_world(self.world.lock().power_cut(seed))
    }

    /// The medium after the process was killed: everything written is there, and what was not flushed is still
    /// lost by a later power cut. The operation in flight happened, or not.
    #[must_use]
    pub fn kill(&self) -> Self {
        Self::from_world(self.world.lock().kill())
    }

    /// Damages the durable sector of a stream that holds `at`. A sector that is not flushed is damaged below
    /// the page cache, where only a power cut shows it. Whether anything changed.
    pub fn damage(&self, name: &Name, at: u64, damage: &Damage) -> bool {
        let mut world = self.world.lock();
        let Some(disk) = world.streams.get(name).cloned() else { return false };
        let Some(sector) = disk.lock().durable_sector(at) else { return false };
        let Some(stale) = disk.lock().stale(at) else { return false };
        let changed = match damage {
            Damage::Flip(mask) => {
                let index = usize::try_from(at).unwrap_or(0) % disk::SECTOR_BYTES;
                disk.lock().damage(at, |bytes| bytes[index] ^= mask)
            }
            Damage::Zero => disk.lock().damage(at, |bytes| bytes.fill(0)),
            Damage::Stale => disk.lock().damage(at, |bytes| bytes.copy_from_slice(&stale)),
            Damage::Misdirect { to, at: target } => {
                let Some(hit) = world.streams.get(to).cloned() else { return false };
                let own = disk.lock().damage(at, |bytes| bytes.copy_from_slice(&stale));
                let other = hit.lock().damage(*target, |bytes| {
                    let len = bytes.len().min(sector.len());
                    bytes[..len].copy_from_slice(&sector[..len]);
                });
                own | other
            }
        };
        world.injected.damages += u64::from(changed);
        world.trace.event("damage", at);
        changed
    }

    /// Flips bits of one byte of a cell's value. Whether anything changed.
    pub fn damage_cell(&self, name: &Name, at: usize, mask: u8) -> bool {
        let mut world = self.world.lock();
        let Some(byte) = world.cells.get_mut(name).and_then(|value| value.get_mut(at)) else { return false };
        *byte ^= mask;
        world.injected.damages += u64::from(mask != 0);
        world.trace.event("damage cell", at as u64);
        mask != 0
    }

    /// All of a stream's reserved bytes as a read would see them, for a checker: no operation, no fault.
    #[must_use]
    pub fn dump(&self, name: &Name) -> Option<Vec<u8>> {
        self.world.lock().streams.get(name).map(|disk| disk.lock().present().to_vec())
    }

    /// All of a stream's reserved bytes as they are on the disk: what a power cut leaves if it loses most.
    #[must_use]
    pub fn dump_durable(&self, name: &Name) -> Option<Vec<u8>> {
        self.world.lock().streams.get(name).map(|disk| disk.lock().durable().to_vec())
    }

    /// All streams, for a checker.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamInfo> {
        let world = self.world.lock();
        world.streams.iter().map(|(name, disk)| disk.lock().info(name)).collect()
    }

    /// Keeps what is removed from now on, for [`take_removed`](Self::take_removed), over crashes too.
    pub fn keep_removed(&self) {
        self.world.lock().removed.get_or_insert_default();
    }

    /// The streams removed on this side of the last crash since this was last asked, as they were, for a
    /// checker that must see what came and went meanwhile.
    #[must_use]
    pub fn take_removed(&self) -> Vec<(StreamInfo, Vec<u8>)> {
        self.world.lock().removed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All cells, for a checker.
    #[must_use]
    pub fn cells(&self) -> BTreeMap<Name, Vec<u8>> {
        self.world.lock().cells.clone()
    }

    /// What was injected so far, crashes included.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.world.lock().injected
    }

    /// Keeps the trace in words from now on, or no longer.
    pub fn record_trace(&self, on: bool) {
        self.world.lock().trace.lines = on.then(Vec::new);
    }

    /// The trace in words, one line an operation, while it is recorded.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.world.lock().trace.lines.clone().unwrap_or_default()
    }

    /// A hash of every operation, its fault and the bytes published, over crashes too.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.world.lock().trace.hash
    }
}
