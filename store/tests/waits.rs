//! Waits that are polled: whoever polls is woken once, when the wait is over, however often he asked before.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use backends::{Fault, FaultyBackend, MemoryBackend, OpKind};
use mainspring::{Ack, CommitRule, ErrorKind, ManualClock, Options, Pending, Store, Wait, draft};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn inline() -> Options {
    Options { commit: CommitRule::Flushed, threads: false, fire_reserve_bytes: 0, ..Options::default() }
}

fn append(store: &Store) -> Pending<Ack> {
    store.append_draft(&draft("t", b"body"), Wait::Committed).unwrap()
}

#[test]
fn one_wake_up_for_a_wait_that_is_polled_often() {
    let medium = Arc::new(MemoryBackend::new());
    let store = Store::open_on(medium, Arc::new(ManualClock::new(1_000_000)), inline()).unwrap();
    let (mut first, ack) = append(&store).split().unwrap();
    let (mut second, later) = append(&store).split().unwrap();
    assert_eq!((ack.queue_offset, first.level()), (0, Wait::Committed));
    assert!(later.offset > ack.offset);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    for _ in 0..10 {
        assert!(first.poll_ready(&mut context).is_pending());
    }
    store.step();
    while store.flush().unwrap() {
        store.step();
    }
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(matches!(first.poll_ready(&mut context), Poll::Ready(Ok(()))));
    assert!(matches!(second.poll_ready(&mut context), Poll::Ready(Ok(()))), "it was over with the first");
}

#[test]
fn who_is_too_fast_is_woken_by_the_next_flush() {
    let medium = Arc::new(MemoryBackend::new());
    let options = Options {
        commit: CommitRule::Appended,
        segment_bytes: 1 << 20,
        unflushed_bytes_max: 512 << 10,
        ..inline()
    };
    let store = Store::open_on(medium, Arc::new(ManualClock::new(1_000_000)), options).unwrap();
    let body = vec![7; 40 << 10];
    let fill = || loop {
        match store.append_draft(&draft("t", &body), Wait::Appended) {
            Ok(pending) => drop(pending.wait().unwrap()),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(fill(), ErrorKind::Busy);
    let mut flush = store.next_flush();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    assert!(flush.poll_ready(&mut context).is_pending());
    assert_eq!(fill(), ErrorKind::Busy);
    store.step();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(flush.poll_ready(&mut context).is_ready());
    store.append_draft(&draft("t", &body), Wait::Appended).unwrap().wait().unwrap();
}

#[test]
fn a_failed_flush_ends_waits_that_are_parted_from_their_outcome() {
    let medium = Arc::new(FaultyBackend::new(1));
    let store = Store::open_on(medium.clone(), Arc::new(ManualClock::new(1_000_000)), inline()).unwrap();
    append(&store).wait().unwrap();
    let (mut safe, _) = append(&store).split().unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    assert!(safe.poll_ready(&mut context).is_pending());
    medium.fail_next(OpKind::Flush, Fault::Io);
    assert!(store.flush().is_err());
    store.step();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Err(error)) = safe.poll_ready(&mut context) else { panic!("it can never be safe") };
    assert_eq!(error.kind(), ErrorKind::Poisoned);
}
