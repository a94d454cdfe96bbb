//! A store on threads, on memory-mapped files and the system's clock.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use mainspring::{CommitRule, ErrorKind, Message, Options, ReadRequest, Store, TagFilter};

fn read_all(store: &Store, topic: &str) -> usize {
    let all = TagFilter::all();
    let queues = store.topic(topic).map_or(0, |t| t.read_queues);
    let mut count = 0;
    for queue in 0..queues {
        let mut from = 0;
        loop {
            let request =
                ReadRequest { topic, queue, from, max_records: 1000, max_bytes: 1 << 20, filter: &all };
            let result = store.read(&request).unwrap();
            count += result.records.len();
            if result.next == from || result.next >= result.max {
                break;
            }
            from = result.next;
        }
    }
    count
}

#[test]
fn producers_on_threads_lose_nothing_over_reopens() {
    for commit in [CommitRule::Flushed, CommitRule::Appended] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            commit,
            segment_bytes: 1 << 20,
            reserve_bytes: 64 << 10,
            fire_reserve_bytes: 1 << 20,
            ..Options::default()
        };
        let mut sent = 0;
        for _ in 0..3 {
            let store = Store::open_with(dir.path(), options.clone()).unwrap();
            std::thread::scope(|scope| {
                for p in 0..4 {
                    let store = &store;
                    scope.spawn(move || {
                        let mut last = None;
                        for i in 0..500 {
                            let body = format!("{p}-{i}-{}", "y".repeat(1000));
                            last = Some(store.append(Message::new("orders", body)).unwrap());
                            if i % 50 == 0 {
                                last.take().unwrap().wait().unwrap();
                            }
                        }
                        last.unwrap().wait().unwrap();
                    });
                }
            });
            sent += 2000;
            assert_eq!(read_all(&store, "orders"), sent);
            store.close().unwrap();
        }
    }
}

#[test]
fn a_timer_fires_on_time_and_a_directory_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let locked = Store::open(dir.path()).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked);
    assert!(locked.to_string().contains(&std::process::id().to_string()), "{locked}");
    let mut consumer = store.consumer("g", "t").unwrap();
    let t = store.schedule(Message::new("t", "late"), Duration::from_millis(150)).unwrap().wait().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test measures what a user would see")]
    let start = Instant::now();
    let got = consumer.poll(1, Duration::from_secs(10)).unwrap();
    assert_eq!(got.len(), 1);
    assert!(got[0].store_ms() >= t.due_ms);
    println!("visible after {:?}, {} ms late", start.elapsed(), got[0].store_ms() - t.due_ms);
    consumer.ack(&got[0]).unwrap();
    drop(consumer);
    store.close().unwrap();
    assert_eq!(store.append(Message::new("t", "x")).unwrap_err().kind(), ErrorKind::Closed);
}
