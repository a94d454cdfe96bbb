//! Folding a base: the last one on the medium, and the log's frames over it, by the same `apply`.
//!
//! A helper does this beside the running store, whose views and their lock have no part in it. The result
//! has the bytes that freezing the views at that position would give. While it runs there is a second state in
//! memory.

use std::collections::BTreeSet;

use backends::Backend;

use super::whole::write_whole;
use crate::base::{Buckets, Generation, Snapshot};
use crate::commitlog::{Log, scan};
use crate::error::{Error, ErrorKind, Result};
use crate::naming::StreamKind;
use crate::offset::Offset;
use crate::views::Views;

/// A base to be folded.
#[derive(Debug)]
pub struct Fold {
    /// Its number.
    pub number: u64,
    /// First offset that is not folded in; below it everything is committed and flushed.
    pub upto: Offset,
    /// The bases that are on the medium, newest first.
    pub bases: Vec<u64>,
    /// The buckets that are on the medium. They stay there until this is done.
    pub buckets: Buckets,
}

/// A base that was folded and written.
#[derive(Debug)]
pub struct Folded {
    /// What is on the medium now.
    pub generation: Generation,
    /// The bases that turned out to be unreadable. Nobody counts on them any more.
    pub unreadable: Vec<u64>,
}

impl Fold {
    pub(super) fn write(self, backend: &dyn Backend, log: &Log) -> Result<Folded> {
        let (views, unreadable) = self.last(backend, log)?;
        let snapshot = self.over(views, log)?;
        write_whole(backend, StreamKind::Base(self.number), &snapshot.bytes)?;
        let Snapshot { at, start, buckets, .. } = snapshot;
        Ok(Folded { generation: Generation { number: self.number, at, start, buckets }, unreadable })
    }

    /// The state of the newest base that can be read, or of no log at all; and the bases that cannot. As long
    /// as no newer one is there, the log is kept from the older one's B on.
    fn last(&self, backend: &dyn Backend, log: &Log) -> Result<(Views, Vec<u64>)> {
        let mut unreadable = Vec::new();
        for number in &self.bases {
            match self.read(backend, *number) {
                Ok(views) => return Ok((views, unreadable)),
                Err(error) => {
                    tracing::warn!(number, %error, "a base generation cannot be used any more");
                    unreadable.push(*number);
                }
            }
        }
        let first = log.segments().first().cloned();
        let named = match &first {
            Some(first) => scan::previous_end(&first.bytes()?, log.secret(), first.start),
            None => None,
        };
        if named != Some(Offset(0)) {
            let text = "no base generation can be read any more and the log's first frames were trimmed";
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        Ok((Views::empty(0), unreadable))
    }

    fn read(&self, backend: &dyn Backend, number: u64) -> Result<Views> {
        let name = StreamKind::Base(number).name();
        let failed = |e| Error::io(format!("cannot read {name}"), e);
        let reader = backend.open(&name).map_err(failed)?;
        let bytes = reader.read(0..reader.published()).map_err(failed)?;
        Views::thaw(&bytes, &self.buckets, 0)
    }

    /// Folds the log over `views` and freezes the result.
    fn over(&self, mut views: Views, log: &Log) -> Result<Snapshot> {
        let frames = views.replay(log, self.upto, |_| {})?;
        if views.applied != self.upto {
            let text = format!("the log's frames end at {}, below the base's end", views.applied);
            return Err(Error::new(ErrorKind::Corrupt, text).at(self.upto));
        }
        if log.find(self.upto).is_some_and(|segment| segment.end() == Some(self.upto)) {
            views.end_segment();
        }
        let named: BTreeSet<Offset> = views.timers.buckets().collect();
        for bucket in self.buckets.values().filter(|bucket| !named.contains(&bucket.segment)) {
            views.adopt(bucket)?;
        }
        tracing::debug!(number = self.number, upto = %self.upto, frames, "folded a base");
        views.freeze(&self.buckets).ok_or_else(|| {
            let text = "a pending timer's record lies below the log's start and in no bucket";
            Error::new(ErrorKind::NotFound, text).at(self.upto)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use backends::MemoryBackend;

    use crate::{
        CommitRule, GroupConfig, Handle, ManualClock, Message, OnceDraft, Options, QueueLock, Store,
        TopicConfig, draft,
    };

    /// What the compared bases held, so that the comparison is not an empty one.
    #[derive(Debug, Default)]
    struct Seen {
        voids: u64,
        cancelled: u64,
        logged: u64,
        buckets: u64,
        digests: u64,
        trims: u64,
        skips: u64,
        epochs: u64,
        locks: u64,
        keys: u64,
        compared: u64,
    }

    struct History {
        random: u64,
        medium: Arc<MemoryBackend>,
        clock: Arc<ManualClock>,
        options: Options,
        timers: Vec<Handle>,
        seen: Seen,
    }

    impl History {
        fn new(seed: u64) -> Self {
            let options = Options {
                commit: if seed.is_multiple_of(2) { CommitRule::Appended } else { CommitRule::Flushed },
                threads: false,
                segment_bytes: 64 << 10,
                reserve_bytes: 64 << 10,
                default_queues: 2,
                near_horizon_ms: 1_000,
                retention_bytes: Some(200 << 10),
                fire_reserve_bytes: 0,
                once_window_ms: 5_000,
                once_keys_max: 4,
                ..Options::default()
            };
            Self {
                random: seed,
                medium: Arc::new(MemoryBackend::new()),
                clock: Arc::new(ManualClock::new(1_000_000)),
                options,
                timers: Vec::new(),
                seen: Seen::default(),
            }
        }

        fn below(&mut self, end: u64) -> u64 {
            self.random =
                self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.random >> 33) % end
        }

        fn message(&mut self) -> Message {
            let len = usize::try_from(self.below(4_000)).unwrap();
            Message::new(format!("t{}", self.below(3)), vec![7; len])
        }

        fn call(&mut self, store: &Store) {
            let message = self.message();
            match self.below(18) {
                0..4 => drop(store.append(message).unwrap()),
                4..9 => {
                    let delay = Duration::from_millis(self.below(20_000));
                    self.timers.push(store.schedule(message, delay).unwrap().wait().unwrap().handle);
                }
                // A cancel that is not applied yet while the timer fires: the fire is void.
                9..12 if !self.timers.is_empty() => {
                    let at = self.below(self.timers.len() as u64);
                    let handle = self.timers[usize::try_from(at).unwrap()];
                    drop(store.cancel_start(&handle).unwrap());
                    let wait_ms = handle.due_ms.saturating_sub(store.now_ms()).clamp(0, 500).unsigned_abs();
                    self.clock.advance(wait_ms);
                    store.decide();
                }
                12 => drop(store.commit_offset("g", "t0", 0, self.below(1 << 40)).unwrap()),
                13 => {
                    let config =
                        TopicConfig::new(format!("n{}", self.below(4)), 1 + u32::from(self.below(2) == 0));
                    store.put_topic(&config).unwrap();
                    store.delete_topic("n1").unwrap();
                }
                14 => store.put_group(&GroupConfig::new(format!("g{}", self.below(3)))).unwrap(),
                15 => {
                    let client = format!("c{}", self.below(2));
                    let queues = [("t0", 0), ("t1", u32::from(self.below(2) == 0))];
                    let lock = QueueLock { group: "g", client: &client, queues: &queues };
                    if self.below(3) == 0 {
                        drop(store.unlock_queues(&lock).unwrap());
                    } else {
                        drop(store.lock_queues(&lock, Duration::from_secs(2)).unwrap());
                    }
                }
                16 => {
                    let (key, timed) = (format!("k{}", self.below(6)), self.below(2) == 0);
                    let due_ms = timed.then(|| store.now_ms() + 3_000);
                    let message = OnceDraft { draft: draft("t0", b"once"), due_ms, key: Some(&key) };
                    drop(store.store_once(&[message]).unwrap());
                }
                _ => {
                    let ms = self.below(2_000);
                    self.clock.advance(ms);
                }
            }
        }

        /// Each base on the medium, and none at all, folds to what the live views freeze to.
        fn compare(&mut self, store: &Store) {
            let core = store.core();
            let applier = core.applier.lock();
            let views = core.views.read();
            let mut fold = applier.upkeep().fold(views.applied);
            let frozen = views.freeze(&fold.buckets).unwrap();
            let whole = core.log.segments()[0].start.0 == 1 << 40;
            for _ in 0..fold.bases.len() + usize::from(whole) {
                let (last, unreadable) = fold.last(&*core.backend, &core.log).unwrap();
                assert!(unreadable.is_empty(), "{unreadable:?}");
                let folded = fold.over(last, &core.log).unwrap();
                assert!(folded.bytes == frozen.bytes, "{:?} up to {}", fold.bases, fold.upto);
                assert_eq!((folded.start, &folded.buckets), (frozen.start, &frozen.buckets));
                self.seen.compared += 1;
                if !fold.bases.is_empty() {
                    fold.bases.remove(0);
                }
            }
            let seen = &mut self.seen;
            seen.voids += u64::from(!views.voids.is_empty());
            seen.cancelled += u64::from(views.timers.cancelled().len() > 0);
            seen.logged += u64::from(views.timers.first_logged().is_some());
            seen.buckets += u64::from(!frozen.buckets.is_empty());
            seen.digests += u64::from(views.segment_digest.is_some());
            seen.trims += u64::from(views.start.0 != 1 << 40);
            seen.skips += u64::from(views.queue_skips > 0);
            seen.locks += u64::from(views.locks.iter().len() > 0);
            seen.keys += u64::from(!views.once.is_empty());
            seen.epochs += u64::from(views.applied.epoch().0 > 1);
        }

        fn run(mut self) -> Seen {
            for _ in 0..4 {
                let clock: Arc<ManualClock> = Arc::clone(&self.clock);
                let store = Store::open_on(self.medium.clone(), clock, self.options.clone()).unwrap();
                drop(store.append(self.message()).unwrap());
                for call in 0..200 {
                    self.call(&store);
                    if call % 10 == 9 {
                        store.flush().unwrap();
                        store.step();
                        self.compare(&store);
                    }
                }
                if self.below(2) == 0 {
                    store.close().unwrap();
                } else {
                    store.abandon();
                    self.clock.reboot();
                }
            }
            self.seen
        }
    }

    #[test]
    fn a_folded_base_has_the_bytes_of_the_frozen_views() {
        let (mut voids, mut skips) = (0, 0);
        for seed in 0..6 {
            let seen = History::new(seed).run();
            let all = [
                seen.cancelled,
                seen.logged,
                seen.buckets,
                seen.digests,
                seen.trims,
                seen.epochs,
                seen.locks,
            ];
            assert!(all.iter().all(|n| *n > 0) && seen.compared > 80, "seed {seed}: {seen:?}");
            (voids, skips) = (voids + seen.voids, skips + seen.skips);
        }
        assert!(voids > 0 && skips > 0, "{voids} with voids, {skips} with skips");
    }
}
