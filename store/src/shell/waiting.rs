//! Waiting for a cursor: blocking, with a waker, or until something new is visible.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Core;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Wait;
use crate::offset::Offset;
use crate::options::CommitRule;
use crate::planted::{self, Bug};

/// Those who wait for a cursor.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) count: AtomicUsize,
    pub(super) wakers: Mutex<Vec<(Wait, Offset, Waker)>>,
    pub(super) moved: Condvar,
}

impl Core {
    /// Whether `end` is reached at this level; an error if it never will be.
    pub(crate) fn reached(&self, wait: Wait, end: Offset) -> Result<bool> {
        let cursor = match wait {
            Wait::Appended => return Ok(true),
            Wait::Flushed => self.cursors.flushed(),
            Wait::Committed if planted::is(Bug::AckBeforeFlush) => self.cursors.tail(),
            Wait::Committed => self.cursors.applied(),
        };
        if cursor >= end {
            return Ok(true);
        }
        if !self.cursors.are_stopped() {
            return Ok(false);
        }
        match self.appender.lock().stopped() {
            Some(error) => Err(error),
            None => Ok(false),
        }
    }

    /// Waits until `end` is reached at this level.
    ///
    /// # Errors
    /// Why it never will be. Whether the frame survives is then not known.
    pub(crate) fn wait(&self, wait: Wait, end: Offset) -> Result<()> {
        while !self.reached(wait, end)? {
            if !self.options.threads {
                self.step();
                if !self.reached(wait, end)? {
                    self.flush()?;
                }
                continue;
            }
            if self.options.commit == CommitRule::Appended && wait == Wait::Committed {
                self.help();
                if self.reached(wait, end)? {
                    return Ok(());
                }
            }
            let mut guard = self.waiters.wakers.lock();
            self.waiters.count.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let ready = self.reached(wait, end);
            if matches!(ready, Ok(false)) {
                self.waiters.moved.wait_for(&mut guard, Duration::from_secs(1));
            }
            self.waiters.count.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Waits until something beyond `seen` was applied, or the time is up.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the store is closed.
    pub(crate) fn wait_beyond(&self, seen: Offset, at_most: Duration) -> Result<()> {
        let mut guard = self.waiters.wakers.lock();
        self.waiters.count.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.cursors.applied() <= seen && !self.closed.load(Ordering::Acquire) {
            self.waiters.moved.wait_for(&mut guard, at_most);
        }
        self.waiters.count.fetch_sub(1, Ordering::SeqCst);
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed"));
        }
        Ok(())
    }

    /// Wakes `waker` once `end` is reached at this level, or never will be.
    pub(crate) fn wake_at(&self, wait: Wait, end: Offset, waker: &Waker) {
        let mut wakers = self.waiters.wakers.lock();
        self.waiters.count.fetch_add(1, Ordering::SeqCst);
        wakers.push((wait, end, waker.clone()));
        drop(wakers);
        fence(Ordering::SeqCst);
        if !matches!(self.reached(wait, end), Ok(false)) {
            self.wake();
        } else if self.options.callers_apply && self.options.commit == CommitRule::Appended {
            self.engine.raise(); // he waits instead of catching up
        }
    }

    /// Tells everybody who waits that a cursor moved, or that none will move any more.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.waiters.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let stopped = self.cursors.are_stopped();
        let mut ready = Vec::new();
        let mut wakers = self.waiters.wakers.lock();
        wakers.retain(|(wait, end, waker)| {
            let cursor = match wait {
                Wait::Appended => self.cursors.tail(),
                Wait::Flushed => self.cursors.flushed(),
                Wait::Committed => self.cursors.applied(),
            };
            let done = stopped || cursor >= *end;
            if done {
                ready.push(waker.clone());
            }
            !done
        });
        self.waiters.count.fetch_sub(ready.len(), Ordering::SeqCst);
        self.waiters.moved.notify_all();
        drop(wakers);
        ready.into_iter().for_each(Waker::wake);
    }
}
