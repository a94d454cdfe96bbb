//! What may be lost, and what may not: by crash, commit rule and level.

use super::{Verdict, place, require};
use crate::model::Model;

const PROPERTY: &str = "durable";

/// After a crash the log ends at `end`; `power` if power was lost too.
///
/// # Errors
/// If that takes away what was promised.
pub fn survives(model: &Model, end: u64, power: bool) -> Verdict {
    let promised = if power { model.durable } else { model.end() };
    require(end >= promised.min(model.end()), PROPERTY, || {
        let cause = if power { "power cut" } else { "kill" };
        format!("after a {cause} the log ends at {}, promised up to {}", place(end), place(promised))
    })
}

/// Up to `applied`, which consumers were shown under the rule `flushed`, everything is on the disk.
///
/// # Errors
/// If it is not.
pub fn shown(model: &Model, from: u64, applied: u64, on_disk: impl Fn(u64, usize) -> Option<u32>) -> Verdict {
    let first = model.chain.partition_point(|frame| frame.end <= from);
    for frame in model.chain.iter().skip(first).take_while(|frame| frame.end <= applied) {
        let len = usize::try_from(frame.end - frame.at).unwrap_or(0);
        require(on_disk(frame.at, len) == Some(frame.crc), PROPERTY, || {
            let found = on_disk(frame.at, len).is_some();
            format!("the frame at {} is shown and not on the disk ({found})", place(frame.at))
        })?;
    }
    Ok(())
}
