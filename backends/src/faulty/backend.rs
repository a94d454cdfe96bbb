//! The contract's calls on the medium as a whole.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::FaultyBackend;
use super::disk::Disk;
use super::handles::{Reader, Writer};
use super::schedule::{Fault, OpKind};
use super::world::{InFlight, World, eio};
use crate::contract::{Backend, Cells, Lock, StreamInfo, StreamReader, StreamWriter, Streams};
use crate::{Name, check};

impl Streams for FaultyBackend {
    fn create(&self, name: &Name, capacity: u64, reserve: u64) -> io::Result<Box<dyn StreamWriter>> {
        check::sizes(capacity, reserve)?;
        let mut world = self.world.lock();
        world.alive()?;
        if world.streams.contains_key(name) {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("stream {name} exists")));
        }
        world.check_space(reserve)?;
        let len = usize::try_from(reserve).map_err(|_| check::invalid("more than this memory holds"))?;
        let disk = || Disk::new(capacity, len);
        let in_flight = || Some(InFlight::Create(name.clone(), disk()));
        world.begin_plain(OpKind::Create, Some(name), [capacity, reserve], in_flight)?;
        let disk = Arc::new(Mutex::new(disk()));
        world.streams.insert(name.clone(), Arc::clone(&disk));
        Ok(Box::new(Writer::new(Arc::clone(&self.world), name.clone(), disk)))
    }

    fn reopen(&self, name: &Name, at: u64) -> io::Result<Box<dyn StreamWriter>> {
        let mut world = self.world.lock();
        world.alive()?;
        let disk = world.find(name)?;
        let (len, sealed) = {
            let disk = disk.lock();
            (disk.reserved(), disk.sealed)
        };
        // One is the table's, one is ours.
        if sealed || Arc::strong_count(&disk) > 2 {
            return Err(check::invalid(format!("stream {name} is sealed or in use")));
        }
        if at > len {
            return Err(check::invalid(format!("cannot reopen {name} at {at}, it has {len} bytes")));
        }
        world.begin_plain(OpKind::Reopen, Some(name), [at, 0], || None)?;
        {
            let mut disk = disk.lock();
            disk.capacity = len;
            disk.published = at;
        }
        Ok(Box::new(Writer::new(Arc::clone(&self.world), name.clone(), disk)))
    }

    fn open(&self, name: &Name) -> io::Result<Arc<dyn StreamReader>> {
        let mut world = self.world.lock();
        world.alive()?;
        let disk = world.find(name)?;
        world.begin_plain(OpKind::Open, Some(name), [0, 0], || None)?;
        if Arc::strong_count(&disk) == 2 {
            let mut disk = disk.lock();
            disk.published = disk.reserved();
        }
        Ok(Arc::new(Reader::new(Arc::clone(&self.world), name.clone(), disk)))
    }

    fn list(&self) -> io::Result<Vec<StreamInfo>> {
        {
            let mut world = self.world.lock();
            world.alive()?;
            world.begin_plain(OpKind::List, None, [0, 0], || None)?;
        }
        Ok(self.streams())
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        let mut world = self.world.lock();
        world.alive()?;
        let disk = world.find(name)?;
        let in_flight = || Some(InFlight::Remove(name.clone()));
        world.begin_plain(OpKind::Remove, Some(name), [0, 0], in_flight)?;
        world.streams.remove(name);
        let mut disk = disk.lock();
        disk.removed = true;
        if let Some(removed) = &mut world.removed {
            removed.push((disk.info(name), disk.present().to_vec()));
        }
        Ok(())
    }
}

impl Cells for FaultyBackend {
    fn read_cell(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        let mut world = self.world.lock();
        world.alive()?;
        world.begin_plain(OpKind::ReadCell, Some(name), [0, 0], || None)?;
        Ok(world.cells.get(name).cloned())
    }

    fn write_cell(&self, name: &Name, value: &[u8]) -> io::Result<()> {
        check::cell(value)?;
        let mut world = self.world.lock();
        world.alive()?;
        let (old, new) = (world.cells.get(name).map_or(0, Vec::len) as u64, value.len() as u64);
        world.check_space(new.saturating_sub(old))?;
        let in_flight = || Some(InFlight::WriteCell(name.clone(), value.to_vec()));
        let fault = world.begin(OpKind::WriteCell, Some(name), [new, 0], in_flight)?;
        world.trace.bytes(value);
        let failed = fault == Some(Fault::Io);
        if !failed || world.rng.coin() {
            world.cells.insert(name.clone(), value.to_vec());
        }
        if failed { Err(eio()) } else { Ok(()) }
    }
}

impl Backend for FaultyBackend {
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        let mut world = self.world.lock();
        world.alive()?;
        if std::mem::replace(&mut world.locked, true) {
            return Err(io::Error::new(ErrorKind::WouldBlock, "the faulty medium is locked by this process"));
        }
        Ok(Box::new(Held(Arc::clone(&self.world))))
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        let world = self.world.lock();
        world.alive()?;
        Ok(world.capacity.map(|capacity| capacity.saturating_sub(world.used())))
    }

    fn describe(&self) -> String {
        "faulty memory".into()
    }
}

#[derive(Debug)]
struct Held(Arc<Mutex<World>>);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().locked = false;
    }
}
