//! How long the engine works at a stretch, under the views' lock, while segments end with many timers pending.
//!
//! `cargo run --release -p mainspring --example segment_end -- [TIMERS] [SEGMENTS]`. Processor time of one
//! decision is told, so that a busy machine does not matter; what helpers do is not in it.

use std::time::Duration;

use mainspring::{CommitRule, Error, Message, Options, Result, Store};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread, microseconds.
fn spent_us() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

/// Decides and performs until nothing is left to do. The longest decision, microseconds.
fn settle(store: &Store) -> Result<i64> {
    let mut longest_us = 0;
    loop {
        let flushed = store.flush()?;
        let start_us = spent_us();
        let step = store.decide();
        longest_us = longest_us.max(spent_us() - start_us);
        let mut worked = step.again || flushed;
        while store.perform_one() {
            worked = true;
        }
        if !worked {
            return Ok(longest_us);
        }
    }
}

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
    let (timers, segments) = (numbers.next().unwrap_or(2_000_000), numbers.next().unwrap_or(8));
    let dir = tempfile::tempdir().map_err(|e| Error::io("cannot make a directory", e))?;
    let commit = CommitRule::Appended;
    let options = Options { commit, segment_bytes: 64 << 20, threads: false, ..Options::default() };
    let store = Store::open_with(dir.path(), options)?;
    let mut longest_us = 0;
    for i in 0..timers {
        let later = Duration::from_secs(86_400 + i % 1_000);
        drop(store.schedule(Message::new("later", vec![7; 100]), later)?);
        if i % 1_000 == 0 {
            longest_us = longest_us.max(settle(&store)?);
        }
    }
    longest_us = longest_us.max(settle(&store)?);
    println!("{} timers are pending; until then {longest_us} us at most", store.stats().timers_pending);
    for segment in 0..segments {
        let rolls = store.stats().rolls;
        let mut longest_us = 0;
        while store.stats().rolls == rolls {
            drop(store.append(Message::new("now", vec![1; 16 << 10]))?);
            longest_us = longest_us.max(settle(&store)?);
        }
        println!("segment {segment}: {longest_us} us at most, {} bases", store.stats().bases);
    }
    store.close()
}
