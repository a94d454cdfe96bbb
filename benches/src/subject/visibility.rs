//! From the append to a reader that sees the message, under rule `appended`.

use mainspring::{CommitRule, Wait};

use crate::Result;
use crate::bed::Bed;
use crate::measure::{Figure, now, pause};
use crate::workload::Workload;

/// Microseconds from the call of an append until a reader sees the message, one message at a time.
///
/// With `Wait::Appended` a reader looks until it is there; with `Wait::Committed` the append waits for that.
///
/// # Errors
/// The store's.
pub fn ours(load: &Workload, wait: Wait, gap: std::time::Duration) -> Result<Figure> {
    let bed = Bed::prepared(CommitRule::Appended, super::append::segment_bytes(load))?;
    let mut figure = Figure::default();
    for i in 0..load.messages {
        if !gap.is_zero() {
            pause(gap);
        }
        let draft = mainspring::draft(load.topic, load.body(i));
        let start = now();
        let ack = bed.store.append_draft(&draft, wait)?.wait()?;
        while bed.store.queue_range(load.topic, ack.queue).is_none_or(|r| r.end <= ack.queue_offset) {
            std::hint::spin_loop();
        }
        figure.push(start.elapsed().as_secs_f64() * 1e6);
    }
    bed.store.abandon();
    Ok(figure)
}
