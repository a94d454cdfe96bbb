//! One medium that is opened again and again.

use std::sync::Arc;

use backends::MemoryBackend;
use mainspring::{CommitRule, ManualClock, Message, Options, Store};

/// A medium and a clock that outlive the store on them.
pub(crate) struct Rig {
    medium: Arc<MemoryBackend>,
    pub(crate) clock: Arc<ManualClock>,
    options: Options,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    /// With these options, as far as they are not about sizes and threads.
    pub(crate) fn with(options: Options) -> Self {
        let options = Options {
            commit: CommitRule::Flushed,
            threads: false,
            segment_bytes: 64 << 10,
            reserve_bytes: 64 << 10,
            fire_reserve_bytes: 0,
            ..options
        };
        let clock = Arc::new(ManualClock::new(1_000_000));
        Self { medium: Arc::new(MemoryBackend::new()), clock, options }
    }

    pub(crate) fn open(&self) -> Store {
        Store::open_on(self.medium.clone(), self.clock.clone(), self.options.clone()).unwrap()
    }

    /// The store after a kill, which replays the log, or after a close, which reads a base.
    pub(crate) fn reopened(&self, store: Store, kill: bool) -> Store {
        let digest = store.digest();
        if kill {
            store.abandon();
        } else {
            store.close().unwrap();
            drop(store);
        }
        let store = self.open();
        if kill {
            assert_eq!(store.digest(), digest);
        }
        store
    }

    /// The store after a kill and then a close.
    pub(crate) fn again(&self, store: Store) -> Store {
        let store = self.reopened(store, true);
        store.append(Message::new("other", "opens an epoch")).unwrap().wait().unwrap();
        self.reopened(store, false)
    }
}
