//! Order locks: granted, renewed, given up, over, and the same after every reopen.

use std::time::Duration;

use mainspring::{ErrorKind, Message, QueueLock, Store};
use proptest::prelude::*;

use crate::rig::Rig;

const LEASE_MS: u64 = 60_000;
const LEASE: Duration = Duration::from_millis(LEASE_MS);

fn lock(store: &Store, client: &str, queues: &[u32]) -> Vec<bool> {
    let queues: Vec<_> = queues.iter().map(|queue| ("t", *queue)).collect();
    store.lock_queues(&QueueLock { group: "g", client, queues: &queues }, LEASE).unwrap().wait().unwrap()
}

fn unlock(store: &Store, client: &str, queues: &[u32]) {
    let queues: Vec<_> = queues.iter().map(|queue| ("t", *queue)).collect();
    store.unlock_queues(&QueueLock { group: "g", client, queues: &queues }).unwrap().wait().unwrap();
}

#[test]
fn a_lock_survives_kills_and_closes_until_its_lease_ends() {
    let rig = Rig::new();
    let store = rig.open();
    assert_eq!(lock(&store, "a", &[0, 1]), [true, true]);
    assert_eq!(lock(&store, "b", &[1, 2]), [false, true]);
    store.abandon();
    let store = rig.open();
    assert!(store.holds_lock("g") && !store.holds_lock("h"));
    assert_eq!(lock(&store, "b", &[0, 1]), [false, false]);
    assert_eq!(lock(&store, "a", &[0, 1]), [true, true]);
    unlock(&store, "a", &[0]);
    unlock(&store, "b", &[1]);
    store.close().unwrap();
    drop(store);
    let store = rig.open();
    assert_eq!(lock(&store, "b", &[0, 1]), [true, false]);
    rig.clock.advance(LEASE_MS - 1);
    assert_eq!(lock(&store, "c", &[1]), [false]);
    rig.clock.advance(1);
    assert_eq!(lock(&store, "c", &[1, 2]), [true, true]);
    rig.clock.advance(LEASE_MS);
    assert!(!store.holds_lock("g"));
    store.close().unwrap();
}

#[test]
fn a_renewal_writes_a_frame_only_for_the_second_half_of_a_lease() {
    let rig = Rig::new();
    let store = rig.open();
    assert_eq!(lock(&store, "a", &[0]), [true]);
    let tail = |store: &Store| store.stats().tail;
    let before = tail(&store);
    rig.clock.advance(LEASE_MS / 2 - 1);
    assert_eq!((lock(&store, "a", &[0]), lock(&store, "b", &[0])), (vec![true], vec![false]));
    assert_eq!(tail(&store), before, "answered from what is known");
    rig.clock.advance(1);
    assert_eq!(lock(&store, "a", &[0]), [true]);
    assert!(tail(&store) > before);
    rig.clock.advance(LEASE_MS / 2);
    // What is under way is not passed by an answer from what is known.
    let (a, b) = (
        QueueLock { group: "g", client: "a", queues: &[("t", 0)] },
        QueueLock { group: "g", client: "b", queues: &[("t", 0)] },
    );
    drop(store.unlock_queues(&a).unwrap());
    let taken = store.lock_queues(&b, LEASE).unwrap();
    let late = store.lock_queues(&a, LEASE).unwrap();
    assert_eq!((taken.wait().unwrap(), late.wait().unwrap()), (vec![true], vec![false]));
    let before = tail(&store);
    unlock(&store, "a", &[0]);
    assert_eq!(tail(&store), before, "there was nothing to give up");
}

#[test]
fn what_cannot_be_a_lock_is_refused() {
    let store = Rig::new().open();
    let long = "x".repeat(256);
    let queues = [("t", 0)];
    for (group, client, topic) in [(&*long, "c", "t"), ("g", &*long, "t"), ("g", "c", &*long)] {
        let lock = QueueLock { group, client, queues: &[(topic, 0)] };
        assert_eq!(store.lock_queues(&lock, LEASE).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(store.unlock_queues(&lock).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let lock = QueueLock { group: "g", client: "c", queues: &queues };
    let short = store.lock_queues(&lock, Duration::from_micros(999));
    assert_eq!(short.unwrap_err().kind(), ErrorKind::Invalid);
    let forever = store.lock_queues(&lock, Duration::MAX).unwrap().wait().unwrap();
    assert_eq!(forever, [true]);
    assert!(store.lock_queues(&QueueLock { queues: &[], ..lock }, LEASE).unwrap().wait().unwrap().is_empty());
}

/// The same rules, over a list that is searched.
#[derive(Default)]
struct Naive(Vec<(u32, u8, u64)>);

impl Naive {
    fn held(&self, queue: u32, now: u64) -> Option<(u8, u64)> {
        self.0.iter().rev().find(|lock| lock.0 == queue).map(|lock| (lock.1, lock.2)).filter(|l| l.1 > now)
    }

    fn lock(&mut self, client: u8, queues: &[u32], now: u64) -> Vec<bool> {
        let useless = queues.iter().all(|queue| {
            self.held(*queue, now).is_some_and(|(by, until)| by != client || until - now > LEASE_MS / 2)
        });
        let mut answers = Vec::new();
        for queue in queues {
            let granted = self.held(*queue, now).is_none_or(|(by, _)| by == client);
            if granted && !useless {
                self.0.push((*queue, client, now + LEASE_MS));
            }
            answers.push(granted);
        }
        answers
    }

    fn unlock(&mut self, client: u8, queues: &[u32]) {
        for queue in queues {
            let last = self.0.iter().rposition(|lock| lock.0 == *queue);
            if last.is_some_and(|i| self.0[i].1 == client) {
                self.0.retain(|lock| lock.0 != *queue);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Call {
    Lock(u8, Vec<u32>),
    Unlock(u8, Vec<u32>),
    Pass(u64),
    Append,
    Reopen(bool),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let queues = || proptest::collection::vec(0_u32..4, 0..4);
    let call = prop_oneof![
        6 => (0_u8..3, queues()).prop_map(|(client, queues)| Call::Lock(client, queues)),
        2 => (0_u8..3, queues()).prop_map(|(client, queues)| Call::Unlock(client, queues)),
        3 => prop_oneof![Just(1), Just(LEASE_MS / 3), Just(LEASE_MS / 2), Just(LEASE_MS), 1..LEASE_MS]
            .prop_map(Call::Pass),
        1 => Just(Call::Append),
        1 => any::<bool>().prop_map(Call::Reopen),
    ];
    proptest::collection::vec(call, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn locks_are_those_of_a_naive_list(calls in calls()) {
        let rig = Rig::new();
        let (mut store, mut naive, mut now) = (rig.open(), Naive::default(), 0);
        let name = |client: u8| format!("c{client}");
        for call in calls {
            match call {
                Call::Lock(client, queues) => {
                    let expected = naive.lock(client, &queues, now);
                    prop_assert_eq!(lock(&store, &name(client), &queues), expected, "{:?} at {}", queues, now);
                }
                Call::Unlock(client, queues) => {
                    naive.unlock(client, &queues);
                    unlock(&store, &name(client), &queues);
                    store.flush().unwrap();
                    store.step();
                }
                Call::Pass(ms) => {
                    rig.clock.advance(ms);
                    now += ms;
                }
                Call::Append => drop(store.append(Message::new("t", "x")).unwrap().wait().unwrap()),
                Call::Reopen(kill) => store = rig.reopened(store, kill),
            }
            let any = (0..4).any(|queue| naive.held(queue, now).is_some());
            prop_assert_eq!(store.holds_lock("g"), any, "at {}", now);
        }
    }
}
