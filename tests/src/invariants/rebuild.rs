//! Everything but the log can be built again: same digest, same answers, same index files.

use std::collections::BTreeMap;
use std::sync::Arc;

use backends::{FaultyBackend, Name, Streams};
use mainspring::{Clock, ManualClock};

use super::{Verdict, Violation, require, views};
use crate::crash::{open_on, remove};
use crate::history::History;
use crate::raw::base::RawBase;
use crate::raw::log::numbered;

const PROPERTY: &str = "rebuild";

/// The index files of segments that start at or above `start`.
fn indexes(backend: &FaultyBackend, start: u64) -> BTreeMap<Name, Vec<u8>> {
    let all = backend.streams().into_iter().map(|info| info.name);
    let live = all.filter(|name| numbered(name, "idx").is_some_and(|at| at >= start));
    live.filter_map(|name| Some((name.clone(), backend.dump(&name)?))).collect()
}

/// Opens a copy without index files, and without bases if the log goes back to its beginning (else without
/// the newest, if there is another), and compares it with the store that was just opened.
///
/// # Errors
/// If anything differs.
pub fn same(history: &mut History) -> Verdict {
    if history.reasons.full {
        return Ok(());
    }
    history.counts.rebuilds += 1;
    let copy = history.backend.kill();
    copy.set_capacity(None);
    let whole = history.model.chain.first().is_some_and(|frame| frame.at == history.model.fold.start);
    let before = indexes(&copy, history.model.fold.start);
    remove(&copy, &["idx"]);
    if whole {
        remove(&copy, &["base"]);
    } else {
        remove_newest_base(&copy);
    }
    let clock = Arc::new(ManualClock::new(history.clock.now().wall_ms));
    let store = open_on(&copy, &clock, &history.options).map_err(|error| Violation {
        property: PROPERTY,
        text: format!("a copy without what can be built again does not open: {error:?}"),
    })?;
    let stopped = store.stats().stopped;
    require(stopped.is_none(), PROPERTY, || format!("a copy that is built again stops: {stopped:?}"))?;
    let (found, expected) = (store.digest(), history.store().digest());
    require(found == expected, PROPERTY, || {
        format!("the state built again has digest {found:?}, the store has {expected:?}")
    })?;
    let pending = store.stats().timers_pending;
    require(pending == history.model.fold.pending, PROPERTY, || format!("{pending} timers pend after that"))?;
    views::same(&store, &history.model.fold, &mut history.rng)?;
    store.abandon();
    for (name, bytes) in before {
        // A damaged one is served from memory and stays as it is.
        let again = copy.dump(&name).unwrap_or_default();
        let harmed = history.harmed.contains(&name);
        require(again == bytes || harmed, PROPERTY, || {
            let differs = again.iter().zip(&bytes).position(|(a, b)| a != b);
            let (now, then) = (again.len(), bytes.len());
            format!("{name} built again differs at {differs:?}: {now} bytes now, {then} before")
        })?;
    }
    Ok(())
}

fn remove_newest_base(copy: &FaultyBackend) {
    let sealed = copy.streams().into_iter().filter(|info| info.sealed).map(|info| info.name);
    let bases: Vec<Name> = sealed.filter(|name| numbered(name, "base").is_some()).collect();
    let sound = |name: &Name| copy.dump(name).and_then(|bytes| RawBase::parse(&bytes)).is_some();
    // What is older than two may be left of a removal that failed: nothing keeps what it needs.
    if let [.., older, newest] = &bases[..]
        && sound(older)
        && sound(newest)
    {
        let _ = copy.remove(newest);
    }
}
