//! What an image opens to, held against the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backends::MemoryBackend;
use mainspring::record::Record;
use mainspring::{Error, ErrorKind, Message, ReadRequest, ReadStatus, Store, TagFilter};

use super::image::Image;
use super::program::{Medium, TOPICS, body, topic};

const CELLS: [&str; 3] = ["identity", "epoch", "checkpoint"];

/// The message at each place of each queue, and why reading some stopped.
#[derive(Debug, Default, PartialEq, Eq)]
struct Served {
    at: BTreeMap<(String, u32, u64), u32>,
    failed: BTreeMap<(String, u32), ErrorKind>,
}

pub(super) fn check(image: &Image, medium: &Medium, damaged: bool) {
    let backend = image.medium();
    let first = match open(&backend, medium) {
        Ok(store) => store,
        Err(error) => {
            assert!(damaged, "a store without damage opens: {error}");
            clear(&error);
            let again = open(&backend, medium).expect_err("what cannot be opened cannot be opened later");
            assert_eq!((again.kind(), again.to_string()), (error.kind(), error.to_string()));
            return;
        }
    };
    let (digest, end) = (first.digest(), first.report().end);
    let served = serve(&first, medium);
    complete(&served, medium, damaged);
    first.abandon();
    if image.has_identity() {
        // What an open writes depends on nothing but the image; a first open draws a secret.
        let once = Image::of_memory(&backend, &CELLS);
        let other = image.medium();
        open(&other, medium).expect("what was opened opens again").abandon();
        assert!(Image::of_memory(&other, &CELLS) == once, "an open is deterministic");
    }

    let second = open(&backend, medium).expect("what was opened opens again");
    assert_eq!((second.digest(), second.report().end), (digest, end), "opening twice gives the same state");
    assert_eq!(serve(&second, medium), served, "opening twice serves the same");
    goes_on(second, &backend, (medium, damaged), served);
}

fn open(backend: &Arc<MemoryBackend>, medium: &Medium) -> mainspring::Result<Store> {
    // What retention takes away is not missing.
    let options = mainspring::Options { retention_bytes: None, ..medium.options.clone() };
    Store::open_on(backend.clone(), medium.clock.clone(), options)
}

/// An error that says what is wrong.
fn clear(error: &Error) {
    let known = [ErrorKind::Corrupt, ErrorKind::Version, ErrorKind::ReadOnly];
    assert!(known.contains(&error.kind()), "damage is told as damage: {error:?}");
    assert!(error.to_string().len() > 10, "{error:?}");
}

/// Reads everything and checks that it was appended.
fn serve(store: &Store, medium: &Medium) -> Served {
    let mut served = Served::default();
    let mut seen = BTreeSet::new();
    let filter = TagFilter::all();
    for number in 0..TOPICS {
        let name = topic(number);
        for queue in 0..2 {
            let Some(range) = store.queue_range(&name, queue) else { continue };
            let (mut from, mut reads) = (range.start, 0);
            loop {
                reads += 1;
                assert!(reads < 10_000, "a queue is read in a bounded number of steps");
                let (topic, max_records, max_bytes) = (name.as_str(), 32, 1 << 20);
                let request = ReadRequest { topic, queue, from, max_records, max_bytes, filter: &filter };
                let result = match store.read(&request) {
                    Ok(result) => result,
                    Err(error) => {
                        clear(&error);
                        served.failed.insert((name.clone(), queue), error.kind());
                        break;
                    }
                };
                for bytes in result.records.iter() {
                    let (offset, id) = message(bytes, &name, queue, medium);
                    assert!(
                        (from..result.next).contains(&offset),
                        "offset {offset} of {from}..{}",
                        result.next
                    );
                    assert!(seen.insert(id), "message {id} is served twice");
                    served.at.insert((name.clone(), queue, offset), id);
                }
                if result.status == ReadStatus::AtEnd {
                    break;
                }
                assert!(result.next > from, "a read goes on: {result:?}");
                from = result.next;
            }
        }
    }
    served
}

/// The queue offset and number of a record, which must be one that was appended.
fn message(bytes: &[u8], name: &str, queue: u32, medium: &Medium) -> (u64, u32) {
    let record = Record::parse(bytes).expect("a record that is served can be parsed");
    record.verify_body().expect("a record that is served is whole");
    let id = record.body().first_chunk().map_or(u32::MAX, |id| u32::from_be_bytes(*id));
    let sent = medium.sent.get(&id).unwrap_or_else(|| panic!("message {id} was never appended"));
    assert!(record.body() == body(id, sent.size), "message {id} is served as it was appended");
    assert_eq!((record.topic(), record.queue()), (name, queue), "message {id}");
    assert_eq!(record.topic(), topic(sent.topic), "message {id}");
    (record.queue_offset(), id)
}

/// Without damage and loss, what was acknowledged is there.
fn complete(served: &Served, medium: &Medium, damaged: bool) {
    if damaged {
        return;
    }
    assert!(served.failed.is_empty(), "{:?}", served.failed);
    if medium.lossy {
        return;
    }
    let there: BTreeSet<u32> = served.at.values().copied().collect();
    for (id, sent) in medium.promised().filter(|(_, s)| s.timer.is_none()) {
        assert!(there.contains(id), "message {id} was acknowledged and is gone: {sent:?}");
    }
}

/// Lets all timers fire. They may not take anything away.
fn fire(store: &Store, medium: &Medium, damaged: bool) {
    for _ in 0..2 {
        // Longer than any delay of a program.
        medium.clock.advance(1 << 33);
        store.step();
    }
    let stats = store.stats();
    assert!(damaged || stats.timers_quarantined == 0, "timers are set aside: {stats:?}");
    assert!(damaged || stats.timers_pending == 0, "timers are left: {stats:?}");
}

/// Appends, closes and opens again: what was served is served, and what is new besides.
fn goes_on(
    store: Store,
    backend: &Arc<MemoryBackend>,
    (medium, damaged): (&Medium, bool),
    mut served: Served,
) {
    let id = u32::MAX - 1;
    let appended = store.append(Message::new("after", body(id, 50))).and_then(mainspring::Pending::wait);
    match appended {
        Ok(ack) => {
            let record = store.record_at(ack.offset).expect("what was acknowledged can be read");
            let record = Record::parse(&record).expect("a record");
            assert!(record.body() == body(id, 50), "what is read is what was appended");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ReadOnly, "refused with a reason: {error:?}");
            assert!(
                error.to_string().contains("damaged") || error.to_string().contains("incomplete"),
                "{error}"
            );
        }
    }
    fire(&store, medium, damaged);
    served.at.extend(serve(&store, medium).at);
    if !damaged && !medium.lossy {
        let there: BTreeSet<u32> = served.at.values().copied().collect();
        for (id, sent) in medium.promised().filter(|(_, s)| s.timer.is_some() && !s.cancelled) {
            assert!(there.contains(id), "timer {id} was acknowledged and never came: {sent:?}");
        }
    }
    let closed = store.close();
    assert!(closed.is_ok(), "a sound medium lets a store be closed: {closed:?}");
    drop(store);
    let store = open(backend, medium).expect("what was closed opens again");
    let now = serve(&store, medium);
    for (place, id) in &served.at {
        let failed = now.failed.contains_key(&(place.0.clone(), place.1));
        assert!(
            failed || now.at.get(place) == Some(id),
            "{place:?} held message {id}, now {:?}",
            now.at.get(place)
        );
    }
    store.abandon();
}
