//! Appends over many fresh segments, with the flushing that bounds what a power cut may take.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainspring::{CommitRule, Options, Wait};
use parking_lot::Mutex;

use crate::Result;
use crate::bed::{Bed, QUEUES, directory, warm};
use crate::measure::{Timing, now, pause};
use crate::reference::{Encoder, Stamp};
use crate::target::Staged;
use crate::workload::Workload;

/// The store's default: how much may be appended and not flushed, and at how much of it the flusher starts.
const UNFLUSHED_MAX: u64 = 64 << 20;
const FLUSH_AT: u64 = UNFLUSHED_MAX / 4;
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes that a run of this workload writes, roughly.
fn total(load: &Workload) -> u64 {
    (load.body_bytes + 200) as u64 * load.messages as u64
}

/// Appends with default options under rule `appended`, from so many threads.
///
/// # Errors
/// The store's.
pub fn ours(load: &Workload, batch: usize, producers: usize, segment_bytes: u64) -> Result<Timing> {
    let options =
        Options { commit: CommitRule::Appended, segment_bytes, retention_ms: None, ..Options::default() };
    let bed = Bed::open(options)?;
    warm(bed.dir.path(), total(load))?;
    let share = load.messages / producers;
    let (timing, done) = Timing::of(|| {
        std::thread::scope(|scope| {
            let run = |p: usize| bed.append(load, p * share..(p + 1) * share, batch, Wait::Appended);
            let threads: Vec<_> = (0..producers).map(|p| scope.spawn(move || run(p))).collect();
            threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a producer panicked")?)
        })
    });
    done?;
    bed.settle();
    let expected = (share * producers) as u64;
    if bed.count() != expected {
        return Err(format!("{} of {expected} messages are visible", bed.count()).into());
    }
    bed.store.abandon();
    Ok(timing)
}

/// What the reference's flusher shares with its producer.
#[derive(Debug, Default)]
struct Flushing {
    files: Mutex<Vec<Arc<File>>>,
    appended: AtomicU64,
    flushed: AtomicU64,
    stop: AtomicBool,
}

impl Flushing {
    fn run(&self) -> Result<()> {
        let mut last = now();
        while !self.stop.load(Ordering::Acquire) {
            let waiting = self.appended.load(Ordering::Acquire) - self.flushed.load(Ordering::Acquire);
            if waiting < FLUSH_AT && last.elapsed() < FLUSH_INTERVAL {
                pause(Duration::from_millis(1));
                continue;
            }
            last = now();
            let upto = self.appended.load(Ordering::Acquire);
            let files: Vec<Arc<File>> = self.files.lock().clone();
            files.iter().try_for_each(|file| file.sync_data())?;
            self.files.lock().drain(..files.len() - 1);
            self.flushed.store(upto, Ordering::Release);
        }
        Ok(())
    }
}

/// The staged-buffer loop: a `pwrite` before each acknowledgement, fresh segments, the same flushing.
///
/// # Errors
/// The file system's.
pub fn reference(load: &Workload, batch: usize, segment_bytes: u64) -> Result<Timing> {
    let dir = directory()?;
    warm(dir.path(), total(load))?;
    let mut encoder = Encoder::new(load.topic, QUEUES as usize, Stamp::default());
    let flushing = Flushing::default();
    let (timing, done) = Timing::of(|| {
        std::thread::scope(|scope| {
            let mut log = Staged::create(dir.path(), segment_bytes)?;
            flushing.files.lock().push(log.file());
            let flusher = scope.spawn(|| flushing.run());
            let mut done = Ok(());
            let mut first = 0;
            while first < load.messages && done.is_ok() {
                let bodies = (first..load.messages.min(first + batch)).map(|i| load.body(i));
                done = log.append(&mut encoder, bodies).map(|(len, rolled)| {
                    if rolled {
                        flushing.files.lock().push(log.file());
                    }
                    let tail = flushing.appended.fetch_add(len as u64, Ordering::AcqRel) + len as u64;
                    while tail - flushing.flushed.load(Ordering::Acquire) > UNFLUSHED_MAX
                        && !flusher.is_finished()
                    {
                        pause(Duration::from_micros(50));
                    }
                });
                first += batch;
            }
            flushing.stop.store(true, Ordering::Release);
            flusher.join().map_err(|_| "the flusher panicked")??;
            done
        })
    });
    done?;
    Ok(timing)
}
