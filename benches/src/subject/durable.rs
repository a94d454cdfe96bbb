//! Appends that return once they are on disk, from many writers at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use mainspring::{CommitRule, Wait};

use crate::Result;
use crate::bed::{Bed, QUEUES, directory};
use crate::group::Group;
use crate::measure::{Figure, Timing, now};
use crate::reference::{Encoder, Stamp};
use crate::target::Mapped;
use crate::workload::Workload;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Durable {
    /// Appends a second.
    pub per_s: f64,
    /// How long each append took, microseconds.
    pub latency_us: Figure,
}

fn run(load: &Workload, writers: usize, append: impl Fn(usize) -> Result<()> + Sync) -> Result<Durable> {
    let next = AtomicUsize::new(0);
    let writer = || -> Result<Vec<f64>> {
        let mut latencies = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= load.messages {
                return Ok(latencies);
            }
            let start = now();
            append(i)?;
            latencies.push(start.elapsed().as_secs_f64() * 1e6);
        }
    };
    let (timing, done) = Timing::of(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers).map(|_| scope.spawn(writer)).collect();
            let mut all = Vec::new();
            for thread in threads {
                all.extend(thread.join().map_err(|_| "a writer panicked")??);
            }
            Ok::<_, crate::Error>(all)
        })
    });
    Ok(Durable { per_s: timing.per_s(load.messages), latency_us: done?.into_iter().collect() })
}

/// Bytes of the one segment, which is not filled to its half.
fn segment_bytes(load: &Workload) -> u64 {
    super::append::segment_bytes(load)
}

/// Appends under rule `flushed`, each writer waiting for its commit.
///
/// # Errors
/// The store's.
pub fn ours(load: &Workload, writers: usize) -> Result<Durable> {
    let bed = Bed::prepared(CommitRule::Flushed, segment_bytes(load))?;
    let append = |i: usize| {
        let draft = mainspring::draft(load.topic, load.body(i));
        bed.store.append_draft(&draft, Wait::Committed)?.wait()?;
        Ok(())
    };
    (0..load.messages / 10).try_for_each(append)?;
    let done = run(load, writers, append)?;
    if bed.count() != (load.messages / 10 + load.messages) as u64 {
        return Err("messages are missing".into());
    }
    bed.store.abandon();
    Ok(done)
}

/// The reference: a lock, the same bytes in the same kind of segment, one flusher.
///
/// # Errors
/// The medium's.
pub fn reference(load: &Workload, writers: usize) -> Result<Durable> {
    let dir = directory()?;
    let segment = Mapped::create(dir.path(), segment_bytes(load))?;
    let group = Group::new(segment, Encoder::new(load.topic, QUEUES as usize, Stamp::default()));
    std::thread::scope(|scope| {
        let flusher = scope.spawn(|| group.run_flusher());
        let append = |i: usize| group.append(load, i);
        let done = (0..load.messages / 10).try_for_each(append).and_then(|()| run(load, writers, append));
        group.stop();
        flusher.join().map_err(|_| "the flusher panicked")??;
        done
    })
}
