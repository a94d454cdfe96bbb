//! Many timers at once. Order and frames are counted, not the time that it takes.

use std::time::Duration;

use mainspring::{CommitRule, Failure, Message, Wait};

use crate::rig::{DAY, HOUR, Rig, SECOND, bodies, numbered, seen, timer};

/// Fires in one decision of the engine, at most; between two of them others have their turn.
const FIRES_AT_ONCE: u64 = 1024;

/// L05, <https://github.com/qunarcorp/qmq/pull/177>. Frames are fair to appends and to what is due earlier; there is no
/// fair share between topics for what is due in the same millisecond or later.
#[test]
fn l05_a_flood_of_one_topic_goes_out_in_small_parts_behind_what_is_due_before_it() {
    let rig = Rig::with(|options| {
        options.commit = CommitRule::Appended;
        (options.segment_bytes, options.reserve_bytes) = (8 << 20, 8 << 20);
    });
    let store = rig.open();
    for i in 0..6_000 {
        drop(store.schedule(Message::new("flood", numbered(i, 100)), Duration::from_secs(5)).unwrap());
    }
    store.step();
    timer(&store, "one", 5 * SECOND - 1); // scheduled last, due 1 ms earlier
    rig.clock.advance(5 * SECOND);
    let (mut turns, mut before) = (0, 0);
    while store.stats().timers_pending > 0 {
        turns += 1;
        let sent = store.append_draft(&mainspring::draft("plain", b"x"), Wait::Appended).unwrap();
        store.decide();
        while store.perform_one() {}
        let fires = store.stats().fires;
        assert!(fires - before <= FIRES_AT_ONCE, "{} in one turn", fires - before);
        before = fires;
        assert!(store.stats().applied >= sent.end(), "a message is not held up by more than one turn");
        assert_eq!(bodies(&store).len(), usize::from(fires > 0), "the one is among the first that fire");
    }
    assert!((6..30).contains(&turns), "{turns} turns for 6,001 timers");
    assert!(seen(&store, "t")[0].at < seen(&store, "flood")[0].at);
    assert_eq!(seen(&store, "flood").len(), 6_000);
}

/// L07, <https://github.com/nats-io/nats-server/issues/514>
#[test]
fn l07_short_delays_are_not_stuck_behind_long_ones_of_their_queue() {
    let rig = Rig::new();
    let store = rig.open();
    for i in 0..100 {
        timer(&store, "long", 30 * DAY);
        timer(&store, numbered(i, 10), (100 - i) * SECOND);
    }
    for fired in 1..=100 {
        rig.pass(&store, SECOND);
        let shown = seen(&store, "t");
        let last = shown.last().unwrap();
        assert_eq!((shown.len(), &last.body), (fired, &numbered(100 - fired, 10)));
        assert_eq!(last.store_ms, store.now_ms());
    }
    assert_eq!(store.stats().timers_pending, 100);
}

/// L10, <https://github.com/apache/rocketmq/issues/3425>
#[test]
fn l10_a_storm_of_failed_messages_leaves_timers_on_time_and_in_order() {
    let rig = Rig::with(|options| options.commit = CommitRule::Appended);
    let store = rig.open();
    let message = store.append(Message::new("work", "fails")).unwrap().wait().unwrap();
    store.put_group(&mainspring::GroupConfig::new("g")).unwrap();
    let failure = Failure {
        group: "g",
        offset: message.offset,
        delay_level: 3, // 10 s
        attempts_max: None,
        origin_message_id: None,
        origin_topic: None,
    };
    for _ in 0..3_000 {
        drop(store.consume_failed(&failure).unwrap());
    }
    store.step();
    let users: Vec<_> = [9_999, 10_001, HOUR].map(|delay| timer(&store, delay.to_string(), delay)).into();
    rig.pass(&store, 9_999);
    assert_eq!((bodies(&store).len(), store.stats().fires), (1, 1));
    rig.pass(&store, 1);
    assert_eq!(store.stats().fires, 3_001, "the storm");
    rig.pass(&store, 1);
    rig.pass(&store, HOUR - 10_001);
    let fired: Vec<_> = seen(&store, "t").iter().map(|message| message.store_ms).collect();
    assert_eq!(fired, users.iter().map(|timer| timer.due_ms).collect::<Vec<_>>());
    assert_eq!(seen(&store, "%RETRY%g").len(), 3_000);
}
