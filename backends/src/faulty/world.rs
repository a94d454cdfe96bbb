//! Everything on the faulty medium, and what a crash makes of it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::Disk;
use super::schedule::{Crashed, Fault, Injected, OpKind, Rng, Schedule, Trace};
use crate::{Name, StreamInfo};

pub(super) type SharedDisk = Arc<Mutex<Disk>>;

/// The medium. Locked before any of its disks, never after.
#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) streams: BTreeMap<Name, SharedDisk>,
    pub(super) cells: BTreeMap<Name, Vec<u8>>,
    pub(super) capacity: Option<u64>,
    pub(super) locked: bool,
    pub(super) schedule: Schedule,
    pub(super) injected: Injected,
    pub(super) trace: Trace,
    /// Calls that failed and nobody asked for yet.
    pub(super) failures: Vec<(OpKind, Option<Name>)>,
    /// What was removed and nobody asked for yet, while it is kept.
    pub(super) removed: Option<Vec<(StreamInfo, Vec<u8>)>>,
    crashed: bool,
    in_flight: Option<InFlight>,
}

/// The operation that a crash cut short.
#[derive(Debug)]
pub(super) enum InFlight {
    Create(Name, Disk),
    Remove(Name),
    Reserve(Name, usize),
    Seal(Name, usize),
    WriteCell(Name, Vec<u8>),
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            streams: BTreeMap::new(),
            cells: BTreeMap::new(),
            capacity: None,
            locked: false,
            schedule: Schedule::default(),
            injected: Injected::default(),
            trace: Trace::default(),
            failures: Vec::new(),
            removed: None,
            crashed: false,
            in_flight: None,
        }
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.crashed
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other(Crashed)) } else { Ok(()) }
    }

    pub(super) fn find(&self, name: &Name) -> io::Result<SharedDisk> {
        let disk = self.streams.get(name).cloned();
        disk.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no stream {name}")))
    }

    /// Counts and traces an operation. The fault it meets, if it is one that the operation must act out;
    /// `in_flight` is what a crash cuts short.
    pub(super) fn begin(
        &mut self,
        kind: OpKind,
        name: Option<&Name>,
        args: [u64; 2],
        in_flight: impl FnOnce() -> Option<InFlight>,
    ) -> io::Result<Option<Fault>> {
        let fault = self.schedule.take(kind);
        self.trace.note(kind, name, args, fault);
        let flushes = matches!(kind, OpKind::Flush | OpKind::Seal);
        match fault {
            Some(Fault::Crash) => {
                self.injected.cut_operations += 1;
                self.crashed = true;
                self.in_flight = in_flight();
                Err(io::Error::other(Crashed))
            }
            Some(Fault::Full) if !flushes && kind != OpKind::Publish => {
                self.injected.full += 1;
                Err(io::Error::new(ErrorKind::StorageFull, "injected: no space"))
            }
            Some(Fault::Io | Fault::Full) if kind != OpKind::Publish => {
                self.injected.io_errors += 1;
                self.injected.failed_flushes += u64::from(flushes);
                self.failures.push((kind, name.cloned()));
                Ok(Some(Fault::Io))
            }
            Some(Fault::Lie) if flushes => {
                self.injected.lies += 1;
                Ok(Some(Fault::Lie))
            }
            _ => Ok(None),
        }
    }

    /// [`begin`](Self::begin) for an operation that has changed nothing when it fails.
    pub(super) fn begin_plain(
        &mut self,
        kind: OpKind,
        name: Option<&Name>,
        args: [u64; 2],
        in_flight: impl FnOnce() -> Option<InFlight>,
    ) -> io::Result<()> {
        match self.begin(kind, name, args, in_flight)? {
            Some(Fault::Io) => Err(eio()),
            _ => Ok(()),
        }
    }

    /// Bytes reserved by streams and held by cells.
    pub(super) fn used(&self) -> u64 {
        let streams: u64 = self.streams.values().map(|disk| disk.lock().reserved()).sum();
        streams + self.cells.values().map(|cell| cell.len() as u64).sum::<u64>()
    }

    /// Checks that `bytes` more can be had.
    pub(super) fn check_space(&mut self, bytes: u64) -> io::Result<()> {
        let used = self.used();
        if bytes > 0 && self.capacity.is_some_and(|capacity| used.saturating_add(bytes) > capacity) {
            self.injected.full += 1;
            return Err(io::Error::new(ErrorKind::StorageFull, format!("{bytes} bytes are not free")));
        }
        Ok(())
    }

    /// The medium after the machine lost power.
    pub(super) fn power_cut(&self, seed: u64) -> Self {
        let mut next = self.successor("power cut", seed);
        next.injected.power_cuts += 1;
        let mut rng = Rng::new(seed ^ 0x70CC);
        let disks = self.disks();
        for (name, mut disk) in next.with_in_flight(self.in_flight.as_ref(), disks, &mut rng, true) {
            disk = disk.power_cut(&mut rng, &mut next.injected);
            next.streams.insert(name, Arc::new(Mutex::new(disk)));
        }
        next
    }

    /// The medium after the process was killed.
    pub(super) fn kill(&self) -> Self {
        let mut next = self.successor("kill", 0);
        next.injected.kills += 1;
        let mut rng = next.rng.clone();
        let disks = self.disks();
        for (name, disk) in next.with_in_flight(self.in_flight.as_ref(), disks, &mut rng, false) {
            next.streams.insert(name, Arc::new(Mutex::new(disk.restarted())));
        }
        next
    }

    fn disks(&self) -> BTreeMap<Name, Disk> {
        self.streams.iter().map(|(name, disk)| (name.clone(), disk.lock().clone())).collect()
    }

    /// This medium without its streams, opened by nobody, and with no fault to come.
    fn successor(&self, what: &str, seed: u64) -> Self {
        let mut next = Self::new(0);
        next.rng = Rng::new(self.rng.clone().next() ^ seed);
        next.cells.clone_from(&self.cells);
        next.capacity = self.capacity;
        next.injected = self.injected;
        next.trace = self.trace.clone();
        next.removed = self.removed.as_ref().map(|_| Vec::new());
        next.trace.event(what, seed);
        next
    }

    /// `disks` and this medium's cells as the operation cut short left them; `power` if power was lost too.
    fn with_in_flight(
        &mut self,
        in_flight: Option<&InFlight>,
        mut disks: BTreeMap<Name, Disk>,
        rng: &mut Rng,
        power: bool,
    ) -> BTreeMap<Name, Disk> {
        let Some(in_flight) = in_flight.filter(|_| rng.coin()) else { return disks };
        match in_flight {
            InFlight::Create(name, disk) => drop(disks.insert(name.clone(), disk.clone())),
            InFlight::Remove(name) => drop(disks.remove(name)),
            InFlight::WriteCell(name, value) => drop(self.cells.insert(name.clone(), value.clone())),
            InFlight::Reserve(name, upto) => {
                if let Some(disk) = disks.get_mut(name) {
                    disk.grow(*upto);
                }
            }
            InFlight::Seal(name, len) => {
                if let Some(disk) = disks.get_mut(name) {
                    // Flushed only, cut only, both, or sealed.
                    match rng.below(if power { 4 } else { 1 }) {
                        0 => disk.seal(*len),
                        1 => disk.flush(*len),
                        2 => disk.cut(*len),
                        _ => {
                            disk.flush(*len);
                            disk.cut(*len);
                        }
                    }
                }
            }
        }
        disks
    }
}

/// An injected error of the medium.
pub(super) fn eio() -> io::Error {
    io::Error::other("injected: input/output error")
}
