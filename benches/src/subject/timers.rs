//! Timers in the log: what a schedule and a fire cost beside an append, and how late fires come out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::{CommitRule, ManualClock, Observer, Options, Store, TopicConfig, Wait};
use parking_lot::Mutex;

use crate::Result;
use crate::bed::{Bed, QUEUES, directory, prepared};
use crate::measure::{Figure, Timing, now, pause, wall_ms};
use crate::workload::Workload;

/// Processor time of the one thread that does everything, for a workload's messages.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Append and apply.
    pub append: Timing,
    /// Schedule and apply.
    pub schedule: Timing,
    /// Fire and apply.
    pub fire: Timing,
}

/// Applies what was appended after so many messages, as a group of producers would have it.
const APPLY_EVERY: usize = 256;

/// Appends, schedules and fires a workload, 64 MiB at most, on one thread, on a manual clock, with default options but rule
/// `appended`; what each of them costs includes applying it.
///
/// # Errors
/// The store's.
pub fn costs(load: &Workload) -> Result<Costs> {
    let dir = directory()?;
    let clock = Arc::new(ManualClock::new(1_795_000_000_000));
    let options = Options { threads: false, ..prepared(CommitRule::Appended, segment_bytes(load)) };
    let backend = Arc::new(backends_mmap::MmapBackend::open(dir.path())?);
    let store = Store::open_on(backend, Arc::<ManualClock>::clone(&clock), options)?;
    store.put_topic(&TopicConfig::new(load.topic, QUEUES))?;
    let due = store.now_ms() + 60_000;
    let run = |one: &dyn Fn(&mainspring::Draft<'_>) -> mainspring::Result<()>| {
        Timing::of(|| {
            for i in 0..load.messages {
                one(&mainspring::draft(load.topic, load.body(i)))?;
                if i % APPLY_EVERY == 0 {
                    store.step();
                }
            }
            store.step();
            Ok::<_, crate::Error>(())
        })
    };
    let (append, done) = run(&|draft| store.append_draft(draft, Wait::Appended).map(drop));
    done?;
    let (schedule, done) = run(&|draft| store.schedule_draft(draft, due, Wait::Appended).map(drop));
    done?;
    clock.advance(60_001);
    let (fire, _) = Timing::of(|| store.step());
    let stats = store.stats();
    if stats.fires != load.messages as u64 || stats.timers_pending != 0 {
        return Err(format!("{} of {} timers fired", stats.fires, load.messages).into());
    }
    store.abandon();
    Ok(Costs { append, schedule, fire })
}

/// Bytes of the segment: three times the workload and some, below its half.
fn segment_bytes(load: &Workload) -> u64 {
    let bytes = (load.body_bytes + 400) as u64 * 3 * load.messages as u64;
    (bytes * 21 / 10).next_multiple_of(1 << 20).clamp(1 << 20, 1 << 30)
}

/// Notes when messages become visible.
#[derive(Debug, Default)]
struct Arrivals {
    count: AtomicUsize,
    at_ms: Mutex<Vec<f64>>,
}

impl Observer for Arrivals {
    fn arrived(&self, _: &str, _: u32, _: u64, _: i64) {
        self.at_ms.lock().push(wall_ms());
        self.count.fetch_add(1, Ordering::Release);
    }
}

impl Arrivals {
    fn wait_for(&self, count: usize) -> Result<()> {
        let start = now();
        while self.count.load(Ordering::Acquire) < count {
            if start.elapsed() > Duration::from_secs(30) {
                return Err(format!("{} of {count} arrived", self.count.load(Ordering::Acquire)).into());
            }
            pause(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn watched(commit: CommitRule) -> Result<(Bed, Arc<Arrivals>)> {
    let arrivals = Arc::new(Arrivals::default());
    let observer: Arc<dyn Observer> = Arc::<Arrivals>::clone(&arrivals);
    let bed = Bed::open(Options { commit, observer: Some(observer), ..Options::default() })?;
    Ok((bed, arrivals))
}

/// Schedules the workload for one instant with default options; how late each message is seen, milliseconds.
///
/// # Errors
/// The store's.
pub fn instant(load: &Workload, commit: CommitRule, lead_ms: i64) -> Result<Figure> {
    let (bed, arrivals) = watched(commit)?;
    let due = bed.store.now_ms() + lead_ms;
    let mut last = None;
    for i in 0..load.messages {
        let draft = mainspring::draft(load.topic, load.body(i));
        last = Some(bed.store.schedule_draft(&draft, due, Wait::Committed)?);
    }
    last.ok_or("no timers")?.wait()?;
    if bed.store.now_ms() >= due {
        return Err("the timers were due before all of them were scheduled".into());
    }
    arrivals.wait_for(load.messages)?;
    let at = std::mem::take(&mut *arrivals.at_ms.lock());
    bed.store.abandon();
    lateness(&at, |_| due)
}

/// One timer at a time on an idle store; how late each message is seen, milliseconds.
///
/// # Errors
/// The store's.
pub fn idle(load: &Workload, commit: CommitRule, delay_ms: i64) -> Result<Figure> {
    let (bed, arrivals) = watched(commit)?;
    let mut dues = Vec::new();
    for i in 0..load.messages {
        let due = bed.store.now_ms() + delay_ms;
        let draft = mainspring::draft(load.topic, load.body(i));
        bed.store.schedule_draft(&draft, due, Wait::Committed)?.wait()?;
        dues.push(due);
        arrivals.wait_for(i + 1)?;
    }
    let at = std::mem::take(&mut *arrivals.at_ms.lock());
    bed.store.abandon();
    lateness(&at, |i| dues[i])
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
fn lateness(at: &[f64], due: impl Fn(usize) -> i64) -> Result<Figure> {
    let late: Figure = at.iter().enumerate().map(|(i, at)| at - due(i) as f64).collect();
    // A millisecond's tick is the clock's; anything earlier would be a broken promise.
    if late.at(0.0) < 0.0 {
        return Err(format!("a message came {} ms early", -late.at(0.0)).into());
    }
    Ok(late)
}
