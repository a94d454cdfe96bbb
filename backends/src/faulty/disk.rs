//! One stream on the faulty medium: what is on the disk, what the page cache shows, and what lies between.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::schedule::{Injected, Rng};
use crate::{Name, StreamInfo};

/// The unit that a medium writes whole, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;

/// Older versions that are kept of a sector that is not flushed.
const MAX_VERSIONS: usize = 4;

/// One stream. `present` and `durable` always have `reserved` bytes.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) capacity: u64,
    pub(super) published: u64,
    pub(super) sealed: bool,
    pub(super) poisoned: bool,
    pub(super) removed: bool,
    /// Ranges that cannot be read.
    pub(super) unreadable: Vec<Range<u64>>,
    /// What a read sees: the page cache.
    present: Vec<u8>,
    /// What a power cut leaves of sectors that are not dirty.
    durable: Vec<u8>,
    /// The length that a power cut leaves at least.
    durable_len: usize,
    /// Sectors written since they were flushed, with the contents they had before the present one.
    dirty: BTreeMap<usize, VecDeque<Vec<u8>>>,
    /// What durable sectors held before their last flush.
    stale: BTreeMap<usize, Vec<u8>>,
}

impl Disk {
    pub(super) fn new(capacity: u64, reserved: usize) -> Self {
        Self {
            capacity,
            published: 0,
            sealed: false,
            poisoned: false,
            removed: false,
            unreadable: Vec::new(),
            present: vec![0; reserved],
            durable: vec![0; reserved],
            durable_len: reserved,
            dirty: BTreeMap::new(),
            stale: BTreeMap::new(),
        }
    }

    pub(super) fn reserved(&self) -> u64 {
        self.present.len() as u64
    }

    pub(super) fn info(&self, name: &Name) -> StreamInfo {
        StreamInfo { name: name.clone(), len: self.reserved(), sealed: self.sealed }
    }

    pub(super) fn present(&self) -> &[u8] {
        &self.present
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    fn sector(&self, sector: usize) -> Range<usize> {
        let start = sector * SECTOR_BYTES;
        start.min(self.present.len())..(start + SECTOR_BYTES).min(self.present.len())
    }

    /// Stores `bytes` at `start` in the page cache. The first `written` of them are dirty in any case, the
    /// others only where they changed: nobody knows what of a window its owner wrote.
    pub(super) fn write(&mut self, start: usize, bytes: &[u8], written: usize) {
        let end = start + bytes.len();
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let range = self.sector(sector);
            let (from, to) = (range.start.max(start), range.end.min(end));
            let new = &bytes[from - start..to - start];
            let changed = self.present[from..to] != *new;
            if from >= start + written && !changed {
                continue;
            }
            let versions = self.dirty.get_mut(&sector);
            match versions {
                Some(versions) if changed => {
                    versions.push_back(self.present[range].to_vec());
                    if versions.len() > MAX_VERSIONS {
                        versions.pop_front();
                    }
                }
                Some(_) => {}
                None => drop(self.dirty.insert(sector, VecDeque::new())),
            }
            self.present[from..to].copy_from_slice(new);
        }
    }

    /// Makes every dirty sector that begins below `upto`, and the length, durable.
    pub(super) fn flush(&mut self, upto: usize) {
        let above = self.dirty.split_off(&upto.div_ceil(SECTOR_BYTES));
        let flushed = std::mem::replace(&mut self.dirty, above);
        flushed.into_keys().for_each(|sector| self.reach(sector));
        self.durable_len = self.present.len();
    }

    /// A flush that fails: every page is clean afterwards, but only some reached the disk.
    pub(super) fn fail_flush(&mut self, rng: &mut Rng, injected: &mut Injected) {
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            if rng.coin() {
                self.reach(sector);
            } else {
                injected.sectors_dropped += 1;
            }
        }
        self.poisoned = true;
    }

    fn reach(&mut self, sector: usize) {
        let range = self.sector(sector);
        self.stale.insert(sector, self.durable[range.clone()].to_vec());
        self.durable[range.clone()].copy_from_slice(&self.present[range]);
    }

    pub(super) fn grow(&mut self, reserved: usize) {
        self.present.resize(reserved, 0);
        self.durable.resize(reserved, 0);
    }

    pub(super) fn cut(&mut self, len: usize) {
        self.present.truncate(len);
        self.durable.truncate(len);
        self.durable_len = self.durable_len.min(len);
        let sectors = len.div_ceil(SECTOR_BYTES);
        drop(self.dirty.split_off(&sectors));
        drop(self.stale.split_off(&sectors));
    }

    pub(super) fn seal(&mut self, len: usize) {
        self.flush(len);
        self.seal_unflushed(len);
    }

    /// A seal whose flush lied.
    pub(super) fn seal_unflushed(&mut self, len: usize) {
        self.cut(len);
        self.durable_len = len;
        self.sealed = true;
    }

    /// What a power cut leaves: of every dirty sector any one version, of the length what was made durable or
    /// what is there now.
    pub(super) fn power_cut(&self, rng: &mut Rng, injected: &mut Injected) -> Self {
        let mut image = self.restarted();
        for (&sector, versions) in &self.dirty {
            let range = self.sector(sector);
            // 0 is the durable one, the last is the present one.
            let choice = rng.below(versions.len() + 2);
            if choice == 0 {
                injected.sectors_lost += 1;
            } else if let Some(version) = versions.get(choice - 1) {
                injected.sectors_old += 1;
                let len = version.len().min(range.len());
                image.durable[range.start..range.start + len].copy_from_slice(&version[..len]);
            } else {
                injected.sectors_kept += 1;
                image.durable[range.clone()].copy_from_slice(&self.present[range]);
            }
        }
        image.dirty.clear();
        image.present.clone_from(&image.durable);
        if !self.sealed && rng.coin() {
            image.cut(self.durable_len);
        }
        image.durable_len = image.present.len();
        image
    }

    /// What a restarted process finds: everything that was written, flushed or not.
    pub(super) fn restarted(&self) -> Self {
        Self { published: 0, poisoned: false, ..self.clone() }
    }

    /// The durable content of a sector before its last flush, zeros if it had none.
    pub(super) fn stale(&self, at: u64) -> Option<Vec<u8>> {
        let sector = self.sector_at(at)?;
        let len = self.sector(sector).len();
        let mut bytes = self.stale.get(&sector).cloned().unwrap_or_default();
        bytes.resize(len, 0);
        Some(bytes)
    }

    pub(super) fn durable_sector(&self, at: u64) -> Option<Vec<u8>> {
        Some(self.durable[self.sector(self.sector_at(at)?)].to_vec())
    }

    fn sector_at(&self, at: u64) -> Option<usize> {
        let at = usize::try_from(at).ok().filter(|&at| at < self.present.len())?;
        Some(at / SECTOR_BYTES)
    }

    /// Changes the durable sector that holds `at`, and what a read sees of it unless it is dirty: then the page
    /// cache hides the damage. Whether anything changed.
    pub(super) fn damage(&mut self, at: u64, change: impl FnOnce(&mut [u8])) -> bool {
        let Some(sector) = self.sector_at(at) else { return false };
        let range = self.sector(sector);
        let before = self.durable[range.clone()].to_vec();
        change(&mut self.durable[range.clone()]);
        let changed = before != self.durable[range.clone()];
        if !self.dirty.contains_key(&sector) {
            self.present[range.clone()].copy_from_slice(&self.durable[range]);
        }
        changed
    }
}
