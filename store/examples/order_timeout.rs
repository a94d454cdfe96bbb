//! An order that is not paid in time is called off: schedule a timer with the order, cancel it on payment.
//!
//! `cargo run -p mainspring --example order_timeout`

use std::time::Duration;

use mainspring::{Cancel, Message, Result, Store};

fn main() -> Result<()> {
    let dir = tempfile::tempdir().map_err(|e| mainspring::Error::io("cannot make a directory", e))?;
    let store = Store::open(dir.path())?;
    let timeout = |order: &str| Message::new("orders-unpaid", order.to_owned()).key(order.to_owned());

    let paid = store.schedule(timeout("o-1"), Duration::from_millis(300))?.wait()?;
    let unpaid = store.schedule(timeout("o-2"), Duration::from_millis(300))?.wait()?;
    println!(
        "o-1 and o-2 must be paid within 300 ms; their timers are {} and {}",
        paid.handle, unpaid.handle
    );

    // The payment of o-1 arrives. The log's order decides between the payment and the timer.
    match store.cancel(&paid.handle)? {
        Cancel::Cancelled => println!("o-1 was paid in time"),
        Cancel::AlreadyFired { .. } => println!("o-1 was paid too late"),
        Cancel::NotFound => println!("there is no such timer"),
    }

    let mut timeouts = store.consumer("call-off", "orders-unpaid")?;
    for late in timeouts.poll(10, Duration::from_secs(5))? {
        println!("{} was not paid, it is called off", late.key().unwrap_or("?"));
        timeouts.ack(&late)?;
    }
    assert!(
        matches!(store.cancel(&unpaid.handle)?, Cancel::AlreadyFired { at_ms: Some(at) } if at >= unpaid.due_ms)
    );
    drop(timeouts);
    store.close()
}
