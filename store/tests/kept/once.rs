//! Messages that are stored once: the same answer for every repeat, within their window, over every reopen.

use std::collections::HashMap;

use mainspring::{
    Cancel, ErrorKind, Message, Once, OnceDraft, Options, Pending, ReadRequest, Store, Stored, TagFilter,
    Wait, draft,
};
use proptest::prelude::*;

use crate::rig::Rig;

const WINDOW_MS: u64 = 60_000;
const MOST: u32 = 5;

fn rig(once_keys_max: u32) -> Rig {
    let (default_queues, once_window_ms) = (1, WINDOW_MS);
    Rig::with(Options { default_queues, once_window_ms, once_keys_max, ..Options::default() })
}

fn ask(store: &Store, topic: &str, key: &str, due_ms: Option<i64>) -> Pending<Vec<Once>> {
    store.store_once(&[OnceDraft { draft: draft(topic, b"body"), due_ms, key: Some(key) }]).unwrap()
}

fn once(store: &Store, topic: &str, key: &str, due_ms: Option<i64>) -> Once {
    ask(store, topic, key, due_ms).wait().unwrap()[0]
}

fn count(store: &Store, topic: &str) -> usize {
    let filter = TagFilter::all();
    let range = store.queue_range(topic, 0).unwrap();
    let (mut from, mut found) = (range.start, 0);
    while from < range.end {
        let request =
            ReadRequest { topic, queue: 0, from, max_records: 1_000, max_bytes: 1 << 20, filter: &filter };
        let read = store.read(&request).unwrap();
        (found, from) = (found + read.records.len(), read.next);
    }
    found
}

#[test]
fn a_repeat_has_the_answer_of_the_first() {
    let rig = rig(100);
    let store = rig.open();
    let first = once(&store, "t", "k", None);
    assert!(!first.repeated);
    let repeat = once(&store, "t", "k", None);
    assert_eq!((repeat.stored, repeat.repeated), (first.stored, true));
    let tail = store.stats().tail;
    once(&store, "t", "k", Some(2_000_000));
    assert_eq!(store.stats().tail, tail, "what is known needs no frame");
    assert!(!once(&store, "u", "k", None).repeated);
    assert!(!once(&store, "t", "l", None).repeated);
    let none = OnceDraft { draft: draft("t", b"body"), due_ms: None, key: None };
    let plain = store.store_once(&[none, none]).unwrap().wait().unwrap();
    assert!(plain.iter().all(|once| !once.repeated));
    assert_eq!((count(&store, "t"), count(&store, "u")), (4, 1));
    rig.clock.advance(WINDOW_MS);
    assert!(!once(&store, "t", "k", None).repeated);
    assert_eq!(store.store_once(&[]).unwrap_err().kind(), ErrorKind::Invalid);
    let early = OnceDraft { due_ms: Some(-1), ..none };
    assert_eq!(store.store_once(&[early]).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn repeats_that_are_under_way_together_leave_blanks_that_stay() {
    let rig = rig(100);
    let store = rig.open();
    let asked: Vec<_> = (0..5).map(|_| ask(&store, "t", "k", None)).collect();
    let plain = store.append(Message::new("t", "plain")).unwrap();
    let answers: Vec<_> = asked.into_iter().map(|asked| asked.wait().unwrap()[0]).collect();
    assert_eq!(answers.iter().filter(|once| !once.repeated).count(), 1);
    assert!(answers.iter().all(|once| once.stored == answers[0].stored));
    assert_eq!(plain.wait().unwrap().queue_offset, 5);
    assert_eq!(count(&store, "t"), 2);
    for _ in 0..40 {
        store.append(Message::new("t", vec![7; 4_000])).unwrap().wait().unwrap();
        store.step();
    }
    assert!(store.stats().indexes > 0);
    assert_eq!(count(&store, "t"), 42);
    let digest = store.digest();
    store.abandon();
    let store = rig.open();
    assert_eq!((store.digest(), count(&store, "t")), (digest, 42));
    assert_eq!(once(&store, "t", "k", None).stored, answers[0].stored);
}

#[test]
fn a_timer_is_one_timer_and_its_repeats_name_its_handle() {
    let rig = rig(100);
    let store = rig.open();
    let due = Some(1_010_000);
    let (first, second) = (ask(&store, "t", "k", due), ask(&store, "t", "k", Some(1_020_000)));
    // Behind the second frame's header stand the request and the schedule's head.
    let second_place = mainspring::Offset(first.end().0 + 64 + 40 + 24);
    let (first, second) = (first.wait().unwrap()[0], second.wait().unwrap()[0]);
    let Stored::Timer(timer) = first.stored else { panic!("{first:?}") };
    assert_eq!((second.stored, second.repeated), (first.stored, true));
    assert_eq!(store.stats().timers_pending, 1);
    // The schedule that was refused is no timer, whoever guesses its handle.
    let refused = mainspring::Handle { due_ms: 1_020_000, schedule: second_place };
    assert_eq!(store.cancel(&refused).unwrap(), Cancel::NotFound);
    rig.clock.advance(10_000);
    store.step();
    store.flush().unwrap();
    store.step();
    assert_eq!(count(&store, "t"), 1);
    assert_eq!(once(&store, "t", "k", None).stored, first.stored);
    assert!(matches!(store.cancel(&timer.handle).unwrap(), Cancel::AlreadyFired { .. }));
}

#[test]
fn a_batch_is_decided_message_by_message() {
    let rig = rig(100);
    let store = rig.open();
    let one = |key| OnceDraft { draft: draft("t", b"body"), due_ms: None, key };
    let keys = [Some("a"), None, Some("b"), Some("a")];
    let first = store.store_once(&keys.map(one)).unwrap().wait().unwrap();
    assert_eq!(first.iter().map(|once| once.repeated).collect::<Vec<_>>(), [false, false, false, true]);
    assert_eq!(first[3].stored, first[0].stored);
    let timed = OnceDraft { due_ms: Some(2_000_000), ..one(Some("c")) };
    let mixed = [one(Some("b")), timed, one(None)];
    let second = store.store_once(&mixed).unwrap().wait().unwrap();
    assert_eq!(second.iter().map(|once| once.repeated).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(second[0].stored, first[2].stored);
    assert_eq!((count(&store, "t"), store.stats().timers_pending), (4, 1));
}

#[test]
fn a_deleted_topic_takes_its_keys_along() {
    let rig = rig(100);
    let store = rig.open();
    for topic in ["t", "u"] {
        once(&store, topic, "k", None);
    }
    store.delete_topic("t").unwrap();
    assert!(!once(&store, "t", "k", None).repeated && once(&store, "u", "k", None).repeated);
}

/// The same rules, over a list.
#[derive(Default)]
struct Naive {
    kept: Vec<(u8, Stored, u64)>,
    stored: HashMap<u8, usize>,
}

#[derive(Debug, Clone)]
enum Call {
    Once(u8, Option<u32>),
    Together(u8, u8),
    Pass(u64),
    Plain,
    Reopen(bool),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        6 => (0_u8..8, proptest::option::weighted(0.3, 0_u32..90_000))
            .prop_map(|(key, due)| Call::Once(key, due)),
        2 => (0_u8..8, 0_u8..8).prop_map(|(a, b)| Call::Together(a, b)),
        3 => prop_oneof![Just(1), Just(WINDOW_MS / 2), Just(WINDOW_MS), 1..WINDOW_MS].prop_map(Call::Pass),
        1 => Just(Call::Plain),
        1 => any::<bool>().prop_map(Call::Reopen),
    ];
    proptest::collection::vec(call, 1..60)
}

impl Naive {
    fn judge(&mut self, key: u8, answer: Once, now: u64) -> Result<(), TestCaseError> {
        self.kept.retain(|kept| kept.2 > now);
        match self.kept.iter().find(|kept| kept.0 == key) {
            Some(kept) => prop_assert_eq!((answer.stored, answer.repeated), (kept.1, true), "key {}", key),
            None => {
                prop_assert!(!answer.repeated, "key {} at {}", key, now);
                self.kept.push((key, answer.stored, now + WINDOW_MS));
                *self.stored.entry(key).or_default() += 1;
                if self.kept.len() > MOST as usize {
                    // Of those that end together, which goes is a matter of their hashes: the test leaves no two.
                    self.kept.remove(0);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_those_of_a_naive_list(calls in calls()) {
        let rig = rig(MOST);
        let (mut store, mut naive, mut now) = (rig.open(), Naive::default(), 0);
        let pass = |now: &mut u64, ms| {
            rig.clock.advance(ms);
            *now += ms;
        };
        for call in calls {
            pass(&mut now, 1);
            match call {
                Call::Once(key, due) => {
                    let due_ms = due.map(|due| store.now_ms() + i64::from(due));
                    let answer = once(&store, "t", &format!("k{key}"), due_ms);
                    naive.judge(key, answer, now)?;
                }
                Call::Together(a, b) => {
                    let first = ask(&store, "t", &format!("k{a}"), None);
                    let at = now;
                    pass(&mut now, 1);
                    // What is known already is answered at once, whatever the first one makes of the keys.
                    let known = naive.kept.iter().find(|kept| kept.0 == b && kept.2 > now).map(|kept| kept.1);
                    let second = ask(&store, "t", &format!("k{b}"), None);
                    naive.judge(a, first.wait().unwrap()[0], at)?;
                    let second = second.wait().unwrap()[0];
                    match known {
                        Some(first) => prop_assert_eq!((second.stored, second.repeated), (first, true)),
                        None => naive.judge(b, second, now)?,
                    }
                }
                Call::Pass(ms) => pass(&mut now, ms),
                Call::Plain => {
                    let sent = store.append_draft(&draft("t", b"plain"), Wait::Committed).unwrap();
                    sent.wait().unwrap();
                }
                Call::Reopen(kill) => store = rig.reopened(store, kill),
            }
        }
    }
}
