//! Counts.

use std::collections::BTreeMap;

use mainspring::{Cancel, Handle, Message, Offset};

use crate::rig::{Rig, SECOND, body_set, fill, numbered};

/// O01, <https://github.com/apache/rocketmq/issues/7381>
#[test]
fn o01_the_count_of_pending_timers_is_exact_after_any_mix() {
    let mut rig = Rig::new();
    let mut store = rig.open();
    // What must pend, by handle; and what became of the others.
    let mut pending: BTreeMap<Handle, usize> = BTreeMap::new();
    let (mut fired, mut cancelled) = (Vec::new(), Vec::new());
    for i in 0..400_usize {
        let delay = [0, -5_000, 700, 3_000, 40_000, 3_600_000][i % 6]; // some are born expired
        let message = Message::new(if i % 7 == 3 { "gone" } else { "t" }, numbered(i, 300));
        let scheduled = store.schedule_at(message, store.now_ms() + delay).unwrap().wait().unwrap();
        pending.insert(scheduled.handle, i);
        match i % 11 {
            2 => {
                let handle = *pending.keys().nth(i / 11 % pending.len()).unwrap();
                let answer = store.cancel(&handle).unwrap();
                if answer == Cancel::Cancelled {
                    cancelled.extend(pending.remove(&handle));
                }
                assert_eq!(store.cancel(&handle).unwrap(), answer);
            }
            4 => {
                let nothing = Handle { due_ms: 1, schedule: Offset(i as u64) };
                assert_eq!(store.cancel(&nothing).unwrap(), Cancel::NotFound);
            }
            6 => rig.clock.advance(400),
            8 if i % 5 == 0 => store.delete_topic("gone").unwrap(),
            9 if i % 3 == 0 => store = rig.kill(store),
            10 if i % 3 == 0 => store = rig.restart(store),
            _ => {}
        }
        store.step();
        let now_ms = store.now_ms();
        fired.extend(pending.extract_if(.., |handle, _| handle.due_ms <= now_ms).map(|(_, i)| i));
        assert_eq!(store.stats().timers_pending, pending.len(), "after {i}");
        assert_eq!(store.stats().next_due_ms, pending.keys().next().map(|handle| handle.due_ms));
    }
    fill(&store, 1);
    rig.pass(&store, 3_700 * SECOND);
    fired.extend(pending.into_values());
    assert_eq!((store.stats().timers_pending, store.stats().timers_overdue), (0, 0));
    let shown = body_set(&store);
    let expected = fired.iter().filter(|i| **i % 7 != 3).map(|i| numbered(*i, 300)).collect();
    assert!(shown == expected && !cancelled.is_empty(), "{} and {}", shown.len(), fired.len());
}
