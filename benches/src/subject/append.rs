//! Appends into a prepared segment, against the loop that writes the same bytes into the same kind of file.

use mainspring::{CommitRule, Wait};
use tempfile::TempDir;

use crate::Result;
use crate::bed::{Bed, QUEUES, directory};
use crate::measure::Timing;
use crate::reference::{Encoder, Stamp};
use crate::target::Mapped;
use crate::workload::Workload;

/// How appends are made.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Messages a frame.
    pub batch: usize,
    /// How long each append waits.
    pub wait: Wait,
    /// Threads that append; the messages are divided among them.
    pub producers: usize,
}

/// Bytes of a segment that is never filled beyond its half, where the next one would be prepared.
#[must_use]
pub fn segment_bytes(load: &Workload) -> u64 {
    // Frames and records add less than 300 bytes a message; the first tenth of a run warms up.
    let bytes = (load.body_bytes + 300) as u64 * load.messages as u64;
    (bytes * 23 / 10).next_multiple_of(1 << 20).clamp(1 << 20, 1 << 30)
}

/// Appends the workload to a fresh store under rule `appended`; the first tenth more is not timed.
///
/// # Errors
/// The store's.
pub fn ours(load: &Workload, shape: Shape) -> Result<Timing> {
    let bed = Bed::prepared(CommitRule::Appended, segment_bytes(load))?;
    let warm = load.messages / 10;
    bed.append(load, 0..warm, shape.batch, shape.wait)?;
    let timing = if shape.producers == 1 {
        let (timing, done) =
            Timing::of(|| bed.append(load, warm..warm + load.messages, shape.batch, shape.wait));
        done?;
        timing
    } else {
        producers(&bed, load, shape)?
    };
    bed.settle();
    if bed.count() != (warm + load.messages) as u64 {
        return Err(format!("{} of {} messages are visible", bed.count(), warm + load.messages).into());
    }
    bed.store.abandon();
    Ok(timing)
}

fn producers(bed: &Bed, load: &Workload, shape: Shape) -> Result<Timing> {
    let share = load.messages / shape.producers;
    let (timing, done) = Timing::of(|| {
        std::thread::scope(|scope| {
            let run = |p: usize| {
                let last = p + 1 == shape.producers;
                let end = if last { load.messages } else { (p + 1) * share };
                bed.append(load, p * share..end, shape.batch, shape.wait)
            };
            let threads: Vec<_> = (0..shape.producers).map(|p| scope.spawn(move || run(p))).collect();
            threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a producer panicked")?)
        })
    });
    done?;
    Ok(timing)
}

/// The reference of [`ours`]: a prepared segment and the encoder alone.
#[derive(Debug)]
pub struct Loop {
    segment: Mapped,
    encoder: Encoder,
    _dir: TempDir,
}

impl Loop {
    /// A segment for this workload.
    ///
    /// # Errors
    /// The medium's.
    pub fn new(load: &Workload) -> Result<Self> {
        let dir = directory()?;
        let segment = Mapped::create(dir.path(), segment_bytes(load))?;
        Ok(Self { segment, encoder: Encoder::new(load.topic, QUEUES as usize, Stamp::default()), _dir: dir })
    }

    /// Appends messages `range`, so many a frame.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn append(&mut self, load: &Workload, range: std::ops::Range<usize>, batch: usize) -> Result<()> {
        self.segment.append(&mut self.encoder, load, range, batch)
    }

    /// Messages it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.encoder.units()
    }
}

/// The reference of [`ours`], timed in the same way.
///
/// # Errors
/// The medium's.
pub fn reference(load: &Workload, batch: usize) -> Result<Timing> {
    let mut bare = Loop::new(load)?;
    let warm = load.messages / 10;
    bare.append(load, 0..warm, batch)?;
    let (timing, done) = Timing::of(|| bare.append(load, warm..warm + load.messages, batch));
    done?;
    Ok(timing)
}
