//! One budget of memory for what all connections hold: requests that come in, requests under way, answers not written.
//!
//! Every connection may hold [`FREE_BYTES`] and serve one request at a time whatever the others hold; only what it holds
//! beyond that counts here. What is there already is *charged*: that never waits, for it is too late. A long request that
//! is still coming must *claim* all its bytes first, and claims wait for room in the order in which they were made.
//!
//! Nobody waits for ever: who waits holds no claim, who holds one needs nothing more to end, and of two claims at least
//! one is granted, however little room there is.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Bytes that a connection may hold beside the budget.
pub const FREE_BYTES: usize = 16 * 1024;

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(usize, oneshot::Sender<Claim>)>,
    granted: usize,
}

/// The budget.
#[derive(Debug)]
pub struct Memory {
    max: usize,
    used: AtomicUsize,
    /// Length of the queue, to look at without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

impl Memory {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        })
    }

    /// Bytes held and claimed. Above the budget by what requests that were let in came to.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// How many wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether a connection may take on more than one request at a time.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.used() < self.max && self.waiting() == 0
    }

    /// An empty charge.
    #[must_use]
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { memory: Arc::clone(self), bytes: 0 }
    }

    /// Asks for room for `bytes` that are still to come; dropping it gives up the place in the queue.
    #[must_use]
    pub fn claim(self: &Arc<Self>, bytes: usize) -> Waiting {
        let (sender, receiver) = oneshot::channel();
        self.queue.lock().waiting.push_back((bytes, sender));
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.grant();
        Waiting { memory: Arc::clone(self), granted: receiver }
    }

    /// Grants as many claims as there is room for, oldest first.
    fn grant(self: &Arc<Self>) {
        while self.waiting() > 0 {
            let Some((bytes, sender)) = self.take_first() else { return };
            // Where nobody waits for it any more, the claim comes back and ends here.
            let _ = sender.send(Claim { memory: Arc::clone(self), bytes });
        }
    }

    fn take_first(&self) -> Option<(usize, oneshot::Sender<Claim>)> {
        let mut queue = self.queue.lock();
        loop {
            let (bytes, sender) = queue.waiting.front()?;
            let (bytes, gone) = (*bytes, sender.is_closed());
            if !gone && queue.granted > 0 && self.used() + bytes > self.max {
                return None;
            }
            let first = queue.waiting.pop_front()?;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            if !gone {
                queue.granted += 1;
                self.used.fetch_add(bytes, Ordering::SeqCst);
                return Some(first);
            }
        }
    }

    fn release(self: &Arc<Self>, bytes: usize) {
        // Pairs with the length of the queue: either that is seen here, or the new claim sees this room.
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        self.grant();
    }
}

/// What one connection holds; dropping it gives all of it back.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Charge {
    /// Sets how much it holds, [`FREE_BYTES`] included.
    pub fn set(&mut self, held: usize) {
        let bytes = held.saturating_sub(FREE_BYTES);
        if bytes > self.bytes {
            self.memory.used.fetch_add(bytes - self.bytes, Ordering::SeqCst);
        } else if bytes < self.bytes {
            self.memory.release(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Room for one request; dropping it gives the room back.
#[derive(Debug)]
pub struct Claim {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.memory.queue.lock().granted -= 1;
        self.memory.release(self.bytes);
    }
}

/// A place in the queue for room.
#[derive(Debug)]
pub struct Waiting {
    memory: Arc<Memory>,
    granted: oneshot::Receiver<Claim>,
}

impl Future for Waiting {
    type Output = Claim;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Claim> {
        match Pin::new(&mut self.granted).poll(cx) {
            Poll::Ready(Ok(claim)) => Poll::Ready(claim),
            // The sender stands in the queue until it is used, so it cannot be gone.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.granted.close();
        self.memory.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn claims_are_granted_in_their_order() {
        let memory = Memory::new(100);
        let mut first = memory.claim(60);
        let mut second = memory.claim(50);
        let mut third = memory.claim(10);
        let held = (&mut first).now_or_never().unwrap();
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none(), "the third passed the second");
        assert_eq!((memory.used(), memory.waiting(), memory.has_room()), (60, 2, false));
        drop(held);
        let held = ((&mut second).now_or_never().unwrap(), (&mut third).now_or_never().unwrap());
        assert_eq!((memory.used(), memory.waiting(), memory.has_room()), (60, 0, true));
        drop(held);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn one_claim_is_always_granted() {
        let memory = Memory::new(100);
        let mut charge = memory.charge();
        charge.set(FREE_BYTES + 1_000);
        let mut large = memory.claim(500);
        let held = (&mut large).now_or_never().unwrap();
        let mut next = memory.claim(1);
        assert!((&mut next).now_or_never().is_none());
        drop(held);
        assert!((&mut next).now_or_never().is_some());
        drop(charge);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn who_gives_up_waiting_is_passed_over() {
        let memory = Memory::new(100);
        let mut first = memory.claim(100);
        let gone = memory.claim(100);
        let mut last = memory.claim(40);
        drop(gone);
        let held = (&mut first).now_or_never().unwrap();
        drop(held);
        assert!((&mut last).now_or_never().is_some());
        assert_eq!((memory.used(), memory.waiting()), (0, 0));
    }

    #[test]
    fn a_charge_counts_what_is_over_the_free_bytes() {
        let memory = Memory::new(100);
        let mut charge = memory.charge();
        charge.set(FREE_BYTES);
        assert_eq!(memory.used(), 0);
        charge.set(FREE_BYTES + 100);
        assert_eq!((memory.used(), memory.has_room()), (100, false));
        let mut claim = memory.claim(10);
        let held = (&mut claim).now_or_never().unwrap();
        let mut second = memory.claim(10);
        assert!((&mut second).now_or_never().is_none());
        charge.set(10);
        assert!((&mut second).now_or_never().is_some());
        drop(held);
        assert_eq!(memory.used(), 0);
    }
}
