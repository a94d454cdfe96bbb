//! What a consumer inside of the process does with a handler that fails.

use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use mainspring::{ManualClock, Message, Options, ReadRequest, Store, TagFilter};

/// Q12: a handler that returns an error or panics counts as one failure, with the same delays and limit as every other;
/// the process and the other messages go on.
#[test]
fn q12_a_handler_that_fails_or_panics_is_a_failed_consumption() {
    let clock = Arc::new(ManualClock::new(1_000_000));
    let options = Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        fire_reserve_bytes: 0,
        attempts_max: 3,
        ..Options::default()
    };
    let store = Store::open_on(Arc::new(MemoryBackend::new()), clock.clone(), options).unwrap();
    for body in ["good", "fails", "panics"] {
        store.append(Message::new("jobs", body)).unwrap().wait().unwrap();
    }
    let mut consumer = store.consumer("workers", "jobs").unwrap();
    let mut calls: Vec<(String, i32, i64)> = Vec::new();
    let start_ms = store.now_ms();
    for _ in 0..400 {
        for job in consumer.poll(32, Duration::ZERO).unwrap() {
            let body = String::from_utf8(job.body().to_vec()).unwrap();
            calls.push((body.clone(), job.failures(), store.now_ms() - start_ms));
            consumer
                .handle(&job, |_| match body.as_str() {
                    "fails" => Err("no"),
                    "panics" => panic!("a handler panicked, as this test wants"),
                    _ => Ok(()),
                })
                .unwrap();
        }
        clock.advance(1_000);
        store.step();
    }
    let of = |wanted: &str| -> Vec<(i32, i64)> {
        calls.iter().filter(|(body, ..)| body == wanted).map(|(_, failures, at)| (*failures, *at)).collect()
    };
    assert_eq!(of("good"), [(0, 0)]);
    // Levels 3, 4 and 5: after 10, 30 and 60 seconds; the fourth failure is above the limit.
    let expected = [(0, 0), (1, 10_000), (2, 40_000), (3, 100_000)];
    assert_eq!(of("fails"), expected);
    assert_eq!(of("panics"), expected);
    let all = TagFilter::all();
    let dead = ReadRequest {
        topic: "%DLQ%workers",
        queue: 0,
        from: 0,
        max_records: 32,
        max_bytes: 1 << 20,
        filter: &all,
    };
    assert_eq!(store.read(&dead).unwrap().records.len(), 2);
    assert_eq!(store.committed_offset("workers", "jobs", 0), Some(3));
    store.append(Message::new("jobs", "after")).unwrap().wait().unwrap();
    assert_eq!(&consumer.poll(1, Duration::ZERO).unwrap()[0].body()[..], b"after");
}
