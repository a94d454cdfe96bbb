//! A store that is set back.

use crate::rig::{DAY, HOUR, MINUTE, Rig, bodies, seen, timer};

/// U03, <https://github.com/camunda/camunda/issues/61297>. There is no plan to look at and no pace: a backup of
/// yesterday fires at once what fell due since then, and consumers tell repeats by the fire id.
#[test]
fn u03_a_backup_of_yesterday_fires_what_is_overdue_at_once_with_the_same_fire_ids() {
    let rig = Rig::new();
    let store = rig.open();
    for hour in 1..=48 {
        timer(&store, format!("{hour}"), hour * HOUR);
    }
    let backup = rig.copy();
    (0..24).for_each(|_| rig.pass(&store, HOUR));
    let original = seen(&store, "t");
    assert_eq!(original.len(), 24);

    backup.clock.advance(DAY);
    let restored = backup.open();
    restored.step();
    let again = seen(&restored, "t");
    let ids = |fires: &[crate::rig::Seen]| fires.iter().map(|fire| fire.fire_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&original));
    assert!(again.iter().all(|fire| fire.fire_id.is_some() && fire.store_ms == restored.now_ms()));
    assert_eq!(restored.stats().timers_pending, 24);
    backup.pass(&restored, HOUR);
    assert_eq!(bodies(&restored).len(), 25, "and it does not stick");
}

/// U03: a backup older than a week holds absolute timers until somebody confirms the time.
#[test]
fn u03_an_old_backup_waits_for_its_clock_to_be_confirmed() {
    let rig = Rig::new();
    let store = rig.open();
    for day in 1..=20 {
        timer(&store, format!("{day}"), day * DAY);
    }
    let backup = rig.copy();
    store.abandon();
    backup.clock.advance(10 * DAY);
    let restored = backup.open();
    backup.pass(&restored, 10 * MINUTE);
    let stats = restored.stats();
    assert_eq!((stats.fires, stats.timers_pending, stats.clock_held_ms), (0, 20, Some(864_000_000)));
    restored.confirm_clock().unwrap();
    restored.step();
    assert_eq!((bodies(&restored).len(), restored.stats().timers_pending), (10, 10));
}
