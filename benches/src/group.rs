//! The reference of durable appends: one lock, the same bytes, one flusher that flushes all that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backends::StreamControl;
use parking_lot::{Condvar, Mutex};

use crate::Result;
use crate::reference::Encoder;
use crate::target::Mapped;
use crate::workload::Workload;

/// A log whose appends return once they are on disk.
#[derive(Debug)]
pub struct Group {
    state: Mutex<(Mapped, Encoder)>,
    control: Arc<dyn StreamControl>,
    tail: AtomicU64,
    flushed: AtomicU64,
    stop: AtomicBool,
    work: (Mutex<bool>, Condvar),
    done: (Mutex<()>, Condvar),
}

impl Group {
    /// A log in this segment.
    #[must_use]
    pub fn new(segment: Mapped, encoder: Encoder) -> Self {
        let control = segment.control();
        Self {
            state: Mutex::new((segment, encoder)),
            control,
            tail: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            work: Default::default(),
            done: Default::default(),
        }
    }

    /// Appends message `i` and waits until it is on disk.
    ///
    /// # Errors
    /// If the segment is full.
    pub fn append(&self, load: &Workload, i: usize) -> Result<()> {
        let end = {
            let mut state = self.state.lock();
            let (segment, encoder) = &mut *state;
            segment.append(encoder, load, i..i + 1, 1)?;
            self.tail.store(segment.published(), Ordering::Release);
            segment.published()
        };
        let mut wanted = self.work.0.lock();
        if !*wanted {
            *wanted = true;
            self.work.1.notify_one();
        }
        drop(wanted);
        let mut done = self.done.0.lock();
        while self.flushed.load(Ordering::Acquire) < end {
            self.done.1.wait(&mut done);
        }
        Ok(())
    }

    /// Flushes until [`stop`](Self::stop).
    ///
    /// # Errors
    /// The medium's.
    pub fn run_flusher(&self) -> Result<()> {
        loop {
            let mut wanted = self.work.0.lock();
            while !*wanted {
                if self.stop.load(Ordering::Acquire) {
                    return Ok(());
                }
                self.work.1.wait(&mut wanted);
            }
            *wanted = false;
            drop(wanted);
            let upto = self.tail.load(Ordering::Acquire);
            self.control.flush(upto)?;
            let done = self.done.0.lock();
            self.flushed.store(upto, Ordering::Release);
            drop(done);
            self.done.1.notify_all();
        }
    }

    /// Ends the flusher.
    pub fn stop(&self) {
        let wanted = self.work.0.lock();
        self.stop.store(true, Ordering::Release);
        drop(wanted);
        self.work.1.notify_one();
    }
}
