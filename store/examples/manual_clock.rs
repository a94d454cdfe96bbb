//! Time in a test: a store in memory, on a clock that moves only when told to. Nothing sleeps.
//!
//! `cargo run -p mainspring --example manual_clock`

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use mainspring::{ManualClock, Message, Options, Result, Store};

fn main() -> Result<()> {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let options = Options { threads: false, ..Options::default() };
    let store = Store::open_on(Arc::new(MemoryBackend::new()), clock.clone(), options)?;

    let _ =
        store.schedule(Message::new("reminders", "in a year"), Duration::from_secs(365 * 86_400))?.wait()?;
    let mut reminders = store.consumer("me", "reminders")?;
    assert!(reminders.poll(1, Duration::ZERO)?.is_empty());

    // A wall clock that jumps far ahead is not believed; time that goes by is.
    for _ in 0..365 {
        clock.advance(86_400_000);
        store.step();
    }
    let due = reminders.poll(1, Duration::ZERO)?;
    println!("after a year that took no time: {:?}", due[0].body());
    assert_eq!(&due[0].body()[..], b"in a year");
    reminders.ack(&due[0])?;
    drop(reminders);
    store.close()
}
