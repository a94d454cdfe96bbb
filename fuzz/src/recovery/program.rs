//! The program that builds a store, and the model of what it appended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use backends::{Fault, FaultyBackend, OpKind};
use mainspring::{Cancel, CommitRule, ErrorKind, Handle, ManualClock, Message, Options, Store, Wait, draft};

/// A store from open to end.
#[derive(Debug, Arbitrary)]
pub(super) struct Round {
    steps: Vec<Step>,
    end: End,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Append {
        topic: u8,
        size: u16,
        wait: bool,
    },
    Batch {
        topic: u8,
        count: u8,
        wait: bool,
    },
    /// Appends until the segment is full.
    Fill {
        topic: u8,
    },
    Schedule {
        topic: u8,
        size: u16,
        delay: u16,
        far: bool,
    },
    Cancel(u8),
    Progress {
        topic: u8,
        offset: u8,
    },
    DeleteTopic(u8),
    Advance(u16),
    Rest,
    Flush,
    /// The next call of a kind fails.
    Fault {
        kind: u8,
        full: bool,
    },
    /// The machine stops in the middle of a call that changes the medium, so many of them from here.
    CrashIn(u8),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum End {
    Close,
    Kill,
    PowerCut(u64),
}

/// What one message is: everything but its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) topic: u8,
    pub(super) size: usize,
    /// Whether it must be there.
    pub(super) acked: bool,
    pub(super) timer: Option<Handle>,
    /// Whether a cancel was asked for, whatever came of it.
    pub(super) cancelled: bool,
}

/// The medium, its clock, and the model.
#[derive(Debug)]
pub(super) struct Medium {
    pub(super) backend: FaultyBackend,
    pub(super) clock: Arc<ManualClock>,
    pub(super) options: Options,
    pub(super) sent: BTreeMap<u32, Sent>,
    /// Topics that may have been deleted.
    pub(super) deleted: BTreeSet<u8>,
    /// Whether something happened after which acknowledged messages may be gone.
    pub(super) lossy: bool,
}

/// The topics of all programs.
pub(super) const TOPICS: u8 = 3;

/// The name of a topic.
pub(super) fn topic(number: u8) -> String {
    format!("topic-{}", number % TOPICS)
}

/// Bytes of the longest body here: a frame of a segment of 64 KiB takes 16 KiB.
const BODY_MAX: usize = 7000;

/// The body of message `id`.
pub(super) fn body(id: u32, size: usize) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    let mut x = u64::from(id) | 1 << 40;
    while out.len() < size {
        x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        out.extend_from_slice(&x.to_be_bytes());
    }
    out.truncate(size.max(4));
    out
}

impl Medium {
    pub(super) fn new(commit: CommitRule, trims: bool) -> Self {
        let options = Options {
            commit,
            threads: false,
            segment_bytes: 64 << 10,
            reserve_bytes: 64 << 10,
            default_queues: 2,
            near_horizon_ms: 1000,
            fire_reserve_bytes: 64 << 10,
            retention_ms: None,
            retention_bytes: trims.then_some(100 << 10),
            ..Options::default()
        };
        Self {
            backend: FaultyBackend::new(1),
            clock: Arc::new(ManualClock::new(1_000_000)),
            options,
            sent: BTreeMap::new(),
            deleted: BTreeSet::new(),
            lossy: trims,
        }
    }

    pub(super) fn run(&mut self, round: &Round) {
        let backend = Arc::new(self.backend.clone());
        let store = Store::open_on(backend, self.clock.clone(), self.options.clone());
        let store = match store {
            Ok(store) => store,
            Err(error) => panic!("a store without damage opens: {error}"),
        };
        for step in &round.steps {
            self.step(&store, step);
        }
        // A crash that is still to come may come while the store is closed.
        let crash_comes = round.steps.iter().any(|step| matches!(step, Step::CrashIn(_)));
        if !crash_comes {
            self.backend.clear_faults();
        }
        match round.end {
            End::Close => {
                drop(store.close());
                drop(store);
                self.backend = self.backend.kill();
            }
            End::Kill => {
                store.abandon();
                self.backend = self.backend.kill();
            }
            End::PowerCut(seed) => {
                let cut = self.backend.crash(seed);
                store.abandon();
                self.backend = cut;
                self.clock.reboot();
                self.lossy |= self.options.commit == CommitRule::Appended;
            }
        }
    }

    fn step(&mut self, store: &Store, step: &Step) {
        match step {
            Step::Append { topic, size, wait } => drop(self.append(store, *topic, usize::from(*size), *wait)),
            Step::Batch { topic, count, wait } => self.batch(store, *topic, *count % 16 + 1, *wait),
            Step::Fill { topic } => {
                for _ in 0..10 {
                    let _ = self.append(store, *topic, BODY_MAX, false);
                }
            }
            Step::Schedule { topic, size, delay, far } => {
                let delay = u64::from(*delay) << if *far { 16 } else { 0 };
                self.schedule(store, *topic, usize::from(*size) % BODY_MAX, Duration::from_millis(delay));
            }
            Step::Cancel(back) => self.cancel(store, *back),
            Step::Progress { topic: number, offset } => {
                drop(store.commit_offset("group", &topic(*number), 0, u64::from(*offset)));
            }
            Step::DeleteTopic(number) => {
                // Whatever the answer, it may be in the log.
                drop(store.delete_topic(&topic(*number)));
                self.deleted.insert(*number % TOPICS);
            }
            Step::Advance(ms) => {
                self.clock.advance(u64::from(*ms));
                store.step();
            }
            Step::Rest => drop(store.step()),
            Step::Flush => drop(store.flush()),
            Step::CrashIn(calls) => self.backend.crash_at(self.backend.ops() + u64::from(*calls)),
            Step::Fault { kind, full } => {
                let kinds = [OpKind::Create, OpKind::Reserve, OpKind::Flush, OpKind::Seal, OpKind::WriteCell];
                let kind = kinds[usize::from(*kind) % kinds.len()];
                self.backend.fail_next(kind, if *full { Fault::Full } else { Fault::Io });
            }
        }
    }

    /// What must be there: acknowledged, and in a topic that was never deleted.
    pub(super) fn promised(&self) -> impl Iterator<Item = (&u32, &Sent)> {
        self.sent.iter().filter(|(_, sent)| sent.acked && !self.deleted.contains(&sent.topic))
    }

    fn note(&mut self, topic: u8, size: usize) -> u32 {
        let id = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        let topic = topic % TOPICS;
        self.sent.insert(id, Sent { topic, size, acked: false, timer: None, cancelled: false });
        id
    }

    pub(super) fn append(
        &mut self,
        store: &Store,
        number: u8,
        size: usize,
        wait: bool,
    ) -> mainspring::Result<u32> {
        let size = size % (BODY_MAX + 1);
        let id = self.note(number, size);
        let pending = store.append(Message::new(topic(number), body(id, size)));
        let done = pending.and_then(|pending| if wait { pending.wait().map(drop) } else { Ok(()) });
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.acked = wait && done.is_ok();
        }
        done.map(|()| id)
    }

    fn batch(&mut self, store: &Store, number: u8, count: u8, wait: bool) {
        let ids: Vec<u32> = (0..count).map(|_| self.note(number, 300)).collect();
        let bodies: Vec<Vec<u8>> = ids.iter().map(|id| body(*id, 300)).collect();
        let name = topic(number);
        let drafts: Vec<_> = bodies.iter().map(|body| draft(&name, body)).collect();
        let acked = match store.append_batch(&drafts, Wait::Committed) {
            Ok(pending) => wait && pending.wait().is_ok(),
            Err(error) => {
                assert!(error.kind() != ErrorKind::Invalid, "a batch of good messages: {error}");
                false
            }
        };
        for id in ids {
            self.sent.get_mut(&id).into_iter().for_each(|sent| sent.acked = acked);
        }
    }

    fn schedule(&mut self, store: &Store, number: u8, size: usize, delay: Duration) {
        let id = self.note(number, size);
        let done = store.schedule(Message::new(topic(number), body(id, size)), delay);
        if let Ok(scheduled) = done.and_then(mainspring::Pending::wait)
            && let Some(sent) = self.sent.get_mut(&id)
        {
            sent.timer = Some(scheduled.handle);
            sent.acked = true;
        }
    }

    fn cancel(&mut self, store: &Store, back: u8) {
        let timers: Vec<u32> =
            self.sent.iter().filter(|(_, s)| s.timer.is_some()).map(|(id, _)| *id).collect();
        let Some(id) = timers.iter().rev().nth(usize::from(back) % timers.len().max(1)) else { return };
        let Some(sent) = self.sent.get_mut(id) else { return };
        let Some(handle) = sent.timer else { return };
        sent.cancelled = true;
        if let Ok(answer) = store.cancel(&handle) {
            // A medium that is gone cannot say what became of a timer.
            assert!(
                self.lossy || self.backend.is_crashed() || answer != Cancel::NotFound,
                "a timer that was acknowledged is known"
            );
        }
    }
}
