//! The ledger: what pends, when, and what became of one, beside a list of what must pend.

use std::collections::BTreeSet;

use mainspring::{Cancel, Explained, Handle, Message, Offset, Place, Store, TimerQuery};

use crate::rig::{MINUTE, Rig, SECOND, fill, numbered};

fn all(store: &Store, query: &TimerQuery<'_>) -> Vec<Handle> {
    let mut found = Vec::new();
    let mut query = *query;
    loop {
        let page = store.timers(&query).unwrap();
        found.extend(page.timers.iter().map(|timer| timer.handle));
        query.after = page.next;
        if page.next.is_none() {
            return found;
        }
    }
}

#[test]
fn pages_ranges_and_forecasts_are_exact_over_crashes_and_copies() {
    let mut rig = Rig::new();
    let mut store = rig.open();
    let start_ms = store.now_ms();
    let mut pending: BTreeSet<(Handle, usize)> = BTreeSet::new();
    for i in 0..240_usize {
        let delay = [900, 30_000, 600_000, 3_600_000, 86_400_000][i % 5];
        let topic = if i % 3 == 0 { "a" } else { "b" };
        let message = Message::new(topic, numbered(i, 900)).key(format!("key-{}", i % 4));
        let scheduled = store.schedule_at(message, store.now_ms() + delay).unwrap().wait().unwrap();
        pending.insert((scheduled.handle, i));
        match i % 40 {
            7 => {
                let gone = *pending.last().unwrap();
                assert_eq!(store.cancel(&gone.0).unwrap(), Cancel::Cancelled);
                pending.remove(&gone);
            }
            19 => store = rig.kill(store),
            31 => store = rig.restart(store),
            _ => rig.clock.advance(17),
        }
        store.step();
        let now_ms = store.now_ms();
        pending.retain(|(handle, _)| handle.due_ms > now_ms);
    }
    fill(&store, 2);
    let now_ms = store.now_ms();
    pending.retain(|(handle, _)| handle.due_ms > now_ms);
    let expected: Vec<Handle> = pending.iter().map(|(handle, _)| *handle).collect();
    assert_eq!((store.timers_pending(), store.timers_pending() > 100), (expected.len(), true));
    for limit in [1, 7, 5_000] {
        assert_eq!(all(&store, &TimerQuery { limit, ..TimerQuery::default() }), expected);
    }
    let of = |take: &dyn Fn(usize) -> bool| -> Vec<Handle> {
        pending.iter().filter(|(_, i)| take(*i)).map(|(handle, _)| *handle).collect()
    };
    let counted: Vec<(String, u64)> = store.timer_topics(usize::MAX).unwrap().into_iter().collect();
    let a = pending.iter().filter(|(_, i)| i % 3 == 0).count() as u64;
    assert_eq!(counted, [("a".into(), a), ("b".into(), pending.len() as u64 - a)]);
    // Every seventh stands for seven.
    let sampled: u64 = store.timer_topics(pending.len().div_ceil(7)).unwrap().values().sum();
    assert_eq!(sampled, pending.len().div_ceil(7) as u64 * 7);
    let by_topic = TimerQuery { topic: Some("a"), limit: 9, ..TimerQuery::default() };
    assert_eq!(all(&store, &by_topic), of(&|i| i % 3 == 0));
    let by_key = TimerQuery { key_prefix: Some("key-2"), topic: Some("b"), ..TimerQuery::default() };
    assert_eq!(all(&store, &by_key), of(&|i| i % 4 == 2 && i % 3 != 0));
    assert_eq!(all(&store, &TimerQuery { topic: Some("none"), ..TimerQuery::default() }), []);
    let (from_ms, to_ms) = (expected[20].due_ms, expected[90].due_ms);
    let within = TimerQuery { from_ms, to_ms, limit: 11, ..TimerQuery::default() };
    let in_range = |handle: &&Handle| (from_ms..to_ms).contains(&handle.due_ms);
    assert_eq!(all(&store, &within), expected.iter().filter(in_range).copied().collect::<Vec<_>>());
    let edges: Vec<i64> = [0, 10_000, 700_000, 4_000_000].iter().map(|ms| start_ms + ms).collect();
    let mut counts = vec![0; edges.len() + 1];
    for handle in &expected {
        counts[edges.iter().filter(|edge| **edge <= handle.due_ms).count()] += 1;
    }
    assert_eq!(store.timer_forecast(&edges).unwrap(), counts);
    // Both kinds of places are among them.
    let page = store.timers(&TimerQuery::default()).unwrap();
    assert!(page.timers.iter().any(|timer| timer.place == Place::Log), "none in the log");
    assert!(page.timers.iter().any(|timer| timer.place != Place::Log), "none in a bucket");
}

#[test]
fn what_became_of_a_timer_is_told_as_the_log_has_it() {
    let mut rig = Rig::new();
    let mut store = rig.open();
    let schedule = |store: &Store, name: &'static str, delay_ms| {
        let message = Message::new("t", name).key(name);
        let due_ms = store.now_ms() + delay_ms;
        store.schedule_at(message, due_ms).unwrap().wait().unwrap().handle
    };
    let [fires, cancelled, pends] =
        [("fires", 5_000), ("cancelled", 6_000), ("pends", 900_000)].map(|(n, ms)| schedule(&store, n, ms));
    assert_eq!(store.cancel(&cancelled).unwrap(), Cancel::Cancelled);
    let check = |store: &Store, fired: bool| {
        match store.explain(&fires).unwrap() {
            Explained::Fired { at_ms } if fired => assert_eq!(at_ms, Some(fires.due_ms)),
            Explained::Pending(timer) if !fired => assert_eq!(timer.handle, fires),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.explain(&cancelled).unwrap(), Explained::Cancelled);
        let Explained::Pending(timer) = store.explain(&pends).unwrap() else { panic!("it pends") };
        let message = timer.message.unwrap();
        assert_eq!(
            (message.topic.as_str(), message.body_bytes, &message.keys[..]),
            ("t", 5, &["pends".into()][..])
        );
        for wrong in [
            Handle { due_ms: pends.due_ms + 1, ..pends },
            Handle { schedule: Offset(pends.schedule.0 + 8), ..pends },
            Handle { due_ms: 0, schedule: Offset(0) },
            Handle { due_ms: i64::MAX, schedule: Offset(u64::MAX >> 1) },
        ] {
            assert_eq!(store.explain(&wrong).unwrap(), Explained::Unknown, "{wrong}");
        }
        timer.place
    };
    assert_eq!(check(&store, false), Place::Log);
    rig.clock.advance(4 * SECOND);
    store.step();
    rig.clock.advance(SECOND);
    store.step();
    assert_eq!(check(&store, true), Place::Log);
    store = rig.kill(store);
    check(&store, true);
    fill(&store, 2);
    assert_ne!(check(&store, true), Place::Log);
    store = rig.restart(store);
    assert_ne!(check(&store, true), Place::Log);
    rig.pass(&store, 20 * MINUTE);
    assert!(matches!(store.explain(&pends).unwrap(), Explained::Fired { at_ms: Some(_) }));
    assert_eq!(store.timers_pending(), 0);
}
