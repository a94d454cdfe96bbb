//! A store on a temporary directory, and what is warmed before it is measured.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainspring::{CommitRule, Draft, ErrorKind, Options, Pending, Store, TopicConfig, Wait};
use tempfile::TempDir;

use crate::Result;
use crate::measure::pause;
use crate::workload::Workload;

/// Where the benches write: `MAINSPRING_BENCH_DIR`, or the directory for temporary files.
#[must_use]
pub fn base() -> PathBuf {
    std::env::var_os("MAINSPRING_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A fresh directory to write to, removed when dropped.
///
/// # Errors
/// The file system's.
pub fn directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("mainspring-bench-").tempdir_in(base())?)
}

/// Touches as much page cache as a run will, and frees it again.
///
/// Memory that was free for long costs thirty times as much at its first touch; both sides start after this.
///
/// # Errors
/// The file system's.
pub fn warm(path: &Path, bytes: u64) -> Result<()> {
    let name = path.join("warm");
    let mut file = File::create(&name)?;
    let block = vec![0x5A; 1 << 20];
    for _ in 0..bytes.div_ceil(1 << 20) {
        file.write_all(&block)?;
    }
    drop(file);
    std::fs::remove_file(name)?;
    Ok(())
}

/// A store that is thrown away.
#[derive(Debug)]
pub struct Bed {
    /// The store.
    pub store: Store,
    /// Its directory, which outlives it.
    pub dir: TempDir,
}

/// Queues of the benches' topic.
pub const QUEUES: u32 = 4;

/// A segment that is prepared whole, and no flush while it is filled: what is measured is the append alone.
#[must_use]
pub fn prepared(commit: CommitRule, segment_bytes: u64) -> Options {
    Options {
        commit,
        segment_bytes,
        reserve_bytes: segment_bytes,
        unflushed_bytes_max: 256 << 20,
        flush_interval_ms: 3_600_000,
        retention_ms: None,
        fire_reserve_bytes: 0,
        ..Options::default()
    }
}

impl Bed {
    /// A store with the benches' topic in it.
    ///
    /// # Errors
    /// The store's.
    pub fn open(options: Options) -> Result<Self> {
        let dir = directory()?;
        let store = Store::open_with(dir.path(), options)?;
        store.put_topic(&TopicConfig::new("bench", QUEUES))?;
        Ok(Self { store, dir })
    }

    /// The same with segments that are prepared whole; see [`prepared`].
    ///
    /// # Errors
    /// The store's.
    pub fn prepared(commit: CommitRule, segment_bytes: u64) -> Result<Self> {
        Self::open(prepared(commit, segment_bytes))
    }

    /// Appends messages `range` of a workload, so many a frame, and waits for each frame as far as `wait` says.
    /// Gives the last frame's end.
    ///
    /// # Errors
    /// The store's.
    pub fn append(
        &self,
        load: &Workload,
        range: std::ops::Range<usize>,
        batch: usize,
        wait: Wait,
    ) -> Result<()> {
        if batch == 1 {
            for i in range {
                let draft = mainspring::draft(load.topic, load.body(i));
                patiently(|| self.store.append_draft(&draft, wait))?.wait()?;
            }
            return Ok(());
        }
        let mut drafts: Vec<Draft<'_>> = Vec::with_capacity(batch);
        let mut first = range.start;
        while first < range.end {
            drafts.clear();
            let bodies = (first..range.end.min(first + batch)).map(|i| load.body(i));
            drafts.extend(bodies.map(|body| mainspring::draft(load.topic, body)));
            patiently(|| self.store.append_batch(&drafts, wait))?.wait()?;
            first += batch;
        }
        Ok(())
    }

    /// Waits until everything that was appended is applied.
    pub fn settle(&self) {
        loop {
            let stats = self.store.stats();
            if stats.applied == stats.tail {
                return;
            }
            pause(Duration::from_millis(1));
        }
    }

    /// Messages in the benches' topic.
    #[must_use]
    pub fn count(&self) -> u64 {
        let ends = (0..QUEUES).filter_map(|queue| self.store.queue_range("bench", queue));
        ends.map(|range| range.end - range.start).sum()
    }
}

/// Appends, and again for as long as too much waits for its flush.
fn patiently<T>(
    mut append: impl FnMut() -> mainspring::Result<Pending<T>>,
) -> mainspring::Result<Pending<T>> {
    loop {
        match append() {
            Err(error) if error.kind() == ErrorKind::Busy => pause(Duration::from_micros(50)),
            done => return done,
        }
    }
}
