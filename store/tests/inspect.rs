//! Looking at a store at rest: what is shown is there, nothing is changed, and damage of any file is found and named.

#![cfg(feature = "mmap")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backends::Backend;
use backends_mmap::{MmapBackend, ReadOnlyBackend};
use mainspring::inspect::{Image, Verified, summary, verify};
use mainspring::record::Record;
use mainspring::{
    ErrorKind, Explained, Handle, ManualClock, Message, Offset, Options, Place, Result, Store, TimerQuery,
};
use tempfile::tempdir;

const NOW_MS: i64 = 1_700_000_000_000;

fn options() -> Options {
    Options {
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 2,
        near_horizon_ms: 1_000,
        retention_ms: None,
        fire_reserve_bytes: 0,
        ..Options::default()
    }
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Store {
    let backend = MmapBackend::open(dir).unwrap();
    Store::open_on(Arc::new(backend), clock.clone(), options()).unwrap()
}

/// A store with several segments, index files, a due bucket, two bases, progress, a cancel and a fire.
fn filled(dir: &Path) -> Vec<Handle> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let store = open(dir, &clock);
    let mut handles = Vec::new();
    let timer = |n: u64, delay_ms| {
        let message = Message::new("later", format!("timer {n}")).key(format!("order-{n}"));
        store.schedule(message, Duration::from_millis(delay_ms)).unwrap().wait().unwrap().handle
    };
    for n in 0..6 {
        handles.push(timer(n, 3_600_000 * (n + 1)));
    }
    for n in 0..40_u64 {
        store.append(Message::new("t", vec![7; 4_000]).key(format!("k{n}"))).unwrap().wait().unwrap();
        store.step();
    }
    handles.push(timer(6, 10));
    clock.advance(20);
    store.step();
    let _ = store.cancel(&handles[5]).unwrap();
    store.commit_offset("g", "t", 0, 3).unwrap().wait().unwrap();
    for _ in 0..4 {
        store.step();
    }
    store.close().unwrap();
    handles
}

fn image(dir: &Path) -> Result<Image> {
    Image::open_on(Arc::new(ReadOnlyBackend::open(dir).unwrap()))
}

fn check(dir: &Path) -> Result<Verified> {
    let backend: Arc<dyn Backend> = Arc::new(ReadOnlyBackend::open(dir).unwrap());
    verify(&backend, |_, _| ())
}

/// Every file with its bytes and the time it was changed last.
fn listing(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        let changed = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), (fs::read(entry.path()).unwrap(), changed))
    };
    entries.map(read).collect()
}

#[test]
fn what_is_there_is_shown_and_nothing_changes() {
    let dir = tempdir().unwrap();
    let handles = filled(dir.path());
    let before = listing(dir.path());
    let image = image(dir.path()).unwrap();
    let shown = summary(&image).unwrap();
    assert_eq!(shown.damage, None);
    assert!(shown.epoch.unwrap().clean);
    assert!(shown.segments.len() >= 3 && shown.indexes.len() >= 2 && shown.bases.len() == 2, "{shown:?}");
    assert!(shown.indexes.iter().all(|index| index.counts.is_ok()));
    assert!(shown.buckets.iter().map(|bucket| bucket.timers.unwrap()).sum::<u32>() >= 6);
    assert_eq!(shown.timers, 5);
    let names: Vec<&str> = shown.topics.iter().map(|topic| topic.config.name.as_str()).collect();
    assert_eq!(names, ["later", "t"]);
    assert_eq!(shown.topics[1].queues.iter().map(|q| q.end - q.start).sum::<u64>(), 40);
    assert_eq!((shown.progress[0].group.as_str(), shown.progress[0].offset), ("g", 3));
    // Timers: two due within two hours, three later.
    assert_eq!(image.timer_forecast(&[NOW_MS, NOW_MS + 7_300_000]), [0, 2, 3]);
    let page = image.timers(&TimerQuery { limit: 2, ..TimerQuery::default() });
    assert_eq!(page.timers.iter().map(|timer| timer.handle).collect::<Vec<_>>(), handles[..2]);
    let rest = image.timers(&TimerQuery { after: page.next, ..TimerQuery::default() });
    assert_eq!((rest.timers.len(), rest.next), (3, None));
    assert!(matches!(page.timers[0].place, Place::Bucket { .. }), "{:?}", page.timers[0]);
    assert_eq!(page.timers[0].message.as_ref().unwrap().keys, ["order-0"]);
    assert!(matches!(image.explain(&handles[0]), Explained::Pending(_)));
    assert_eq!(image.explain(&handles[5]), Explained::Cancelled);
    assert_eq!(image.explain(&handles[6]), Explained::Fired { at_ms: None });
    assert_eq!(image.explain(&Handle { due_ms: 1, ..handles[6] }), Explained::Unknown);
    drop(image);
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn frames_are_shown_from_anywhere_and_records_by_their_position() {
    let dir = tempdir().unwrap();
    filled(dir.path());
    let image = image(dir.path()).unwrap();
    let mut all = Vec::new();
    image
        .frames(Offset(0), |frame| {
            all.push(frame);
            true
        })
        .unwrap();
    let count = |kind: &str| all.iter().flat_map(|frame| &frame.ops).filter(|op| op.kind == kind).count();
    assert_eq!((count("append"), count("schedule"), count("fire"), count("cancel")), (40, 7, 1, 1));
    assert_eq!((count("open"), count("unreadable")), (1, 0));
    assert_eq!(count("segment") + 1, summary(&image).unwrap().segments.len());
    let middle = &all[all.len() / 2];
    let mut from = Vec::new();
    image
        .frames(middle.at.plus(9), |frame| {
            from.push(frame);
            from.len() < 2
        })
        .unwrap();
    assert_eq!(from, all[all.len() / 2..][..2]);
    let append = middle.ops.iter().find(|op| op.kind == "append").unwrap();
    let (_, at) = append.fields.iter().find(|(name, _)| *name == "record").unwrap();
    let (epoch, byte) = at.split_once(':').unwrap();
    let at = Offset(epoch.parse::<u64>().unwrap() * (1 << 40) + byte.parse::<u64>().unwrap());
    assert_eq!(Record::parse(&image.record(at).unwrap()).unwrap().topic(), "t");
    assert_eq!(image.record(at.plus(1)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(image.record(Offset(5)).unwrap_err().kind(), ErrorKind::NotFound);
    let beyond = image.frames(Offset(u64::MAX), |_| true).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::NotFound);
}

#[test]
fn a_store_in_use_is_refused_and_lookers_keep_stores_out() {
    let dir = tempdir().unwrap();
    filled(dir.path());
    let clock = Arc::new(ManualClock::new(NOW_MS + 60_000));
    let store = open(dir.path(), &clock);
    for refused in [image(dir.path()).err().unwrap(), check(dir.path()).unwrap_err()] {
        assert_eq!(refused.kind(), ErrorKind::Locked);
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    }
    store.close().unwrap();
    drop(store);
    let looking = image(dir.path()).unwrap();
    assert!(check(dir.path()).unwrap().is_sound(), "two may look at once");
    let backend = MmapBackend::open(dir.path()).unwrap();
    let refused = Store::open_on(Arc::new(backend), clock.clone(), options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    drop(looking);
    open(dir.path(), &clock).close().unwrap();
}

#[test]
fn a_directory_without_a_store_is_told() {
    let dir = tempdir().unwrap();
    assert_eq!(image(dir.path()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(check(dir.path()).unwrap_err().kind(), ErrorKind::NotFound);
    let missing = Image::open(dir.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("none does not exist"), "{missing}");
    assert_eq!(listing(dir.path()), BTreeMap::new());
}

#[test]
fn a_store_that_was_killed_is_sound_and_shown_up_to_its_end() {
    let dir = tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let store = open(dir.path(), &clock);
    for _ in 0..20 {
        store.append(Message::new("t", vec![7; 4_000])).unwrap().wait().unwrap();
    }
    store.abandon();
    let verified = check(dir.path()).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
    let shown = summary(&image(dir.path()).unwrap()).unwrap();
    assert!(!shown.epoch.unwrap().clean);
    assert_eq!(shown.topics[0].queues.iter().map(|q| q.end).sum::<u64>(), 20);
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_its_file_is_named() {
    let dir = tempdir().unwrap();
    filled(dir.path());
    let sound = check(dir.path()).unwrap();
    assert_eq!(sound.findings, []);
    assert!(sound.checked.indexes >= 2 && sound.checked.bucket_records >= 6, "{:?}", sound.checked);
    let shown = summary(&image(dir.path()).unwrap()).unwrap();
    let files = listing(dir.path());
    for kind in ["log-", "idx-", "due-", "base-", "identity", "epoch", "checkpoint"] {
        assert!(files.keys().any(|file| file.starts_with(kind)), "{kind} among {:?}", files.keys());
    }
    for (file, (bytes, _)) in files.iter().filter(|(file, _)| *file != "lock") {
        let name = file.split('.').next().unwrap();
        // Behind the last frame of the segment that was written last the bytes belong to nobody.
        let used = shown.segments.iter().find(|segment| name == format!("log-{:020}", segment.start.0));
        let used = used.map_or(bytes.len() as u64, |segment| segment.end.unwrap().0 - segment.start.0);
        let used = usize::try_from(used).unwrap();
        for at in (0..used).step_by(used.div_ceil(24)).chain([used - 1]) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            fs::write(dir.path().join(file), &bad).unwrap();
            match check(dir.path()) {
                Ok(verified) => {
                    let named = verified.findings.iter().any(|found| found.damage && found.file == name);
                    assert!(named, "{file} at {at}: {:?}", verified.findings);
                }
                Err(error) => panic!("{file} at {at}: {error}"),
            }
        }
        fs::write(dir.path().join(file), bytes).unwrap();
    }
    assert!(check(dir.path()).unwrap().is_sound());
}

#[test]
fn every_bad_frame_of_a_segment_is_told_by_its_place() {
    let dir = tempdir().unwrap();
    filled(dir.path());
    let shown = summary(&image(dir.path()).unwrap()).unwrap();
    let first = shown.segments[0];
    let file = dir.path().join(format!("log-{:020}.stream", first.start.0));
    let mut bytes = fs::read(&file).unwrap();
    let mut starts = Vec::new();
    image(dir.path())
        .unwrap()
        .frames(Offset(0), |frame| {
            starts.push(frame.at.0 - first.start.0);
            starts.len() < 12
        })
        .unwrap();
    for at in [starts[3], starts[7]] {
        bytes[usize::try_from(at).unwrap() + 70] ^= 1;
    }
    fs::write(&file, &bytes).unwrap();
    let verified = check(dir.path()).unwrap();
    let found: Vec<u64> = verified
        .findings
        .iter()
        .filter(|found| found.file.starts_with("log-"))
        .filter_map(|found| found.at)
        .collect();
    assert_eq!(found, [starts[3], starts[7]], "{:?}", verified.findings);
}

#[test]
fn a_missing_file_is_told() {
    let dir = tempdir().unwrap();
    filled(dir.path());
    let second = summary(&image(dir.path()).unwrap()).unwrap().segments[1].start;
    fs::remove_file(dir.path().join(format!("log-{:020}.stream", second.0))).unwrap();
    let verified = check(dir.path()).unwrap();
    assert!(!verified.is_sound());
    assert!(verified.findings.iter().any(|found| found.what.contains("missing")), "{:?}", verified.findings);
}
