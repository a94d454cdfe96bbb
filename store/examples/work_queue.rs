//! A work queue: jobs that fail come again later, and after the last attempt they are dead letters.
//!
//! `cargo run -p mainspring --example work_queue`

use std::time::Duration;

use mainspring::{Delivery, Message, Options, Result, Store};

fn work(job: &Delivery) -> std::result::Result<(), String> {
    match (&job.body()[..], job.failures()) {
        (b"flaky", 0) => Err("the first attempt fails".into()),
        (b"hopeless", _) => Err("no attempt ever works".into()),
        (b"buggy", 0) => panic!("a handler may panic"),
        _ => Ok(()),
    }
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir().map_err(|e| mainspring::Error::io("cannot make a directory", e))?;
    // Levels of 100 ms, so that this example is short; the default are RocketMQ's 18 levels from 1 s to 2 h.
    let options = Options { level_delays_ms: vec![100], attempts_max: 2, ..Options::default() };
    let store = Store::open_with(dir.path(), options)?;
    for job in ["simple", "flaky", "hopeless", "buggy"] {
        store.append(Message::new("jobs", job).key(job))?.wait()?;
    }

    std::panic::set_hook(Box::new(|_| ())); // the panic below is part of the show
    let mut worker = store.consumer("workers", "jobs")?;
    let mut quiet = 0;
    while quiet < 2 {
        let jobs = worker.poll(10, Duration::from_millis(500))?;
        quiet = if jobs.is_empty() { quiet + 1 } else { 0 };
        for job in jobs {
            let attempt = job.failures() + 1;
            let name = job.key().unwrap_or("?").to_owned();
            let done = worker.handle(&job, |job| {
                let done = work(job);
                println!("{name}, attempt {attempt}: {done:?}");
                done
            });
            done?;
        }
    }
    drop(worker);

    let mut dead = store.consumer("undertaker", "%DLQ%workers")?;
    for job in dead.poll(10, Duration::from_secs(1))? {
        println!("dead letter: {} of topic {}", job.key().unwrap_or("?"), job.topic());
        dead.ack(&job)?;
    }
    drop(dead);
    store.close()
}
