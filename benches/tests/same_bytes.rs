//! The reference writes byte for byte what the engine writes.

use std::sync::Arc;

use backends::{Backend, MemoryBackend, Streams};
use mainspring::frame::{Frame, Header, OpKind};
use mainspring::{CommitRule, ManualClock, Offset, Options, Store, TopicConfig, Wait};
use mainspring_benches::Result;
use mainspring_benches::bed::QUEUES;
use mainspring_benches::reference::{Encoder, Stamp};
use mainspring_benches::target::Mapped;
use mainspring_benches::workload::Workload;

/// The engine's log after the topic was created: where it starts, and its bytes.
fn engine(load: &Workload, batches: &[usize]) -> Result<(Offset, bytes::Bytes)> {
    let backend = Arc::new(MemoryBackend::new());
    let clock = Arc::new(ManualClock::new(1_795_000_000_000));
    let options = Options {
        commit: CommitRule::Appended,
        threads: false,
        segment_bytes: 8 << 20,
        reserve_bytes: 8 << 20,
        fire_reserve_bytes: 0,
        ..Options::default()
    };
    let store = Store::open_on(backend.clone(), clock.clone(), options)?;
    store.put_topic(&TopicConfig::new(load.topic, QUEUES))?;
    let from = store.stats().tail;
    let mut first = 0;
    for batch in batches {
        clock.advance(3);
        let bodies = (first..first + batch).map(|i| load.body(i));
        let drafts: Vec<_> = bodies.map(|body| mainspring::draft(load.topic, body)).collect();
        store.append_batch(&drafts, Wait::Appended)?.wait()?;
        first += batch;
    }
    let end = store.stats().tail;
    store.abandon();
    let _lock = backend.lock()?;
    let name = backend
        .list()?
        .into_iter()
        .map(|s| s.name)
        .find(|n| n.as_str().starts_with("log-"))
        .ok_or("a log")?;
    let start: u64 = name.as_str()[4..].parse()?;
    let bytes = backend.open(&name)?.read(from.0 - start..end.0 - start)?;
    Ok((from, bytes))
}

#[test]
fn the_reference_writes_the_same_bytes_checksums_included() {
    for body_bytes in [0, 1, 128, 1024, 16 << 10] {
        let batches = [1, 1, 1, 32, 1, 7, 32];
        let load = Workload::new(1, body_bytes, batches.iter().sum());
        let (mut at, bytes) = engine(&load, &batches).unwrap();
        let secret = u64::from_be_bytes(*bytes[16..].first_chunk().unwrap());
        let mut encoder = Encoder::new(load.topic, QUEUES as usize, Stamp::default());
        let (mut first, mut rest) = (0, &bytes[..]);
        for batch in batches {
            let frame = Frame::parse(rest, secret, at).unwrap();
            assert_eq!(frame.bytes[64], OpKind::Append as u8);
            let Header { owner_ms, flushed, committed, .. } = frame.header;
            let (flushed, committed) = (flushed.0, committed.0);
            encoder.stamp = Stamp { secret, owner_ms, flushed, committed, ..Stamp::default() };
            let bodies = (first..first + batch).map(|i| load.body(i));
            let mut ours = vec![0xAA; encoder.frame_bytes(bodies.clone())];
            encoder.encode(at.0, bodies, &mut ours);
            assert!(ours == frame.bytes, "bodies of {body_bytes} B, message {first}");
            (at, first, rest) = (frame.end(), first + batch, &rest[frame.bytes.len()..]);
        }
        assert!(rest.is_empty());
        assert_eq!(encoder.units(), load.messages);
    }
}

#[test]
fn the_mapped_segment_holds_frames_in_a_row() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let load = Workload::new(2, 100, 64);
    let stamp = Stamp::default();
    let mut encoder = Encoder::new(load.topic, 4, stamp);
    let mut segment = Mapped::create(dir.path(), 1 << 20)?;
    segment.append(&mut encoder, &load, 0..40, 1)?;
    segment.append(&mut encoder, &load, 40..64, 8)?;
    let bytes = segment.bytes()?;
    let (mut at, mut frames) = (0, 0);
    while at < bytes.len() {
        let offset = Offset((1 << 40) + at as u64);
        let frame = Frame::parse(&bytes[at..], stamp.secret, offset).map_err(|bad| bad.to_string())?;
        (at, frames) = (at + frame.bytes.len(), frames + 1);
    }
    assert_eq!((frames, encoder.units()), (43, 64));
    Ok(())
}
