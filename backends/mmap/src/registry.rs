//! Which streams are in use: of one file there is one mapping at most, shared by all its readers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use backends::Name;

use crate::map::Region;

/// What is mapped now, by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    live: HashMap<Name, Live>,
}

#[derive(Debug, Default)]
struct Live {
    region: Weak<Region>,
    /// Raised once its file is gone, for whoever still writes it.
    removed: Arc<AtomicBool>,
}

impl Registry {
    /// The region of a stream in use: a writer, control, reader or slice of it is alive.
    pub(crate) fn region(&self, name: &Name) -> Option<Arc<Region>> {
        self.live.get(name)?.region.upgrade()
    }

    /// Notes the region of a stream that has none, and the flag to raise when its file goes.
    pub(crate) fn insert(&mut self, name: &Name, region: &Arc<Region>, removed: Arc<AtomicBool>) {
        let live = Live { region: Arc::downgrade(region), removed };
        let before = self.live.insert(name.clone(), live);
        debug_assert!(before.is_none_or(|live| live.region.strong_count() == 0), "{name} is mapped twice");
    }

    /// Forgets a stream whose file is gone; what is in use of it stays in use.
    pub(crate) fn remove(&mut self, name: &Name) {
        if let Some(live) = self.live.remove(name) {
            live.removed.store(true, Ordering::Release);
        }
    }
}
