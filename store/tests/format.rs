//! The page that describes the bytes of a store says what the codecs do, and version 1 stays version 1.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backends::MemoryBackend;
use fixture::Fixture;
use mainspring::cells::{self, CellValue, Checkpoint, EpochRecord, Identity};
use mainspring::frame::{self, Op, OpKind, Opening};
use mainspring::record::{Record, layout};
use mainspring::{
    CommitRule, Epoch, GroupConfig, ManualClock, Message, Offset, Options, ReadRequest, Store, TagFilter,
    TopicConfig, base, bucket, envelope, index, offset, views,
};

const PAGE: &str = include_str!("../../docs/on-disk-format.md");

/// The rows of a section's tables, cell by cell, without their heads.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines = PAGE.lines().skip_while(|line| line.trim_start_matches('#').trim() != section);
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in lines.skip(1).take_while(|line| !line.starts_with('#')) {
        if !line.starts_with('|') {
            in_table = false;
        } else if line.starts_with("|---") {
            in_table = true;
        } else if in_table {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
    }
    assert!(!rows.is_empty(), "the page has a section `{section}` with a table");
    rows
}

/// The fields of a section at fixed places: (name, offset, size).
fn fields(section: &str) -> Vec<(String, usize, usize)> {
    let numbers = |row: &Vec<String>| Some((row[2].clone(), row[0].parse().ok()?, row[1].parse().ok()?));
    rows(section).iter().filter(|row| row.len() == 4).filter_map(numbers).collect()
}

fn compare(section: &str, code: &[(&str, usize, usize)]) {
    let code: Vec<_> = code.iter().map(|(name, at, size)| ((*name).to_owned(), *at, *size)).collect();
    let page = fields(section);
    assert_eq!(&page[..code.len().min(page.len())], code, "section `{section}`");
}

#[test]
fn fields_stand_where_the_page_says() {
    compare("Envelope", envelope::FIELDS);
    compare("Frame", frame::FIELDS);
    compare("Operations", frame::OP_FIELDS);
    compare("Record", layout::FIELDS);
    compare("Index header", index::layout::HEADER_FIELDS);
    compare("Run", index::layout::RUN_FIELDS);
    compare("Unit", index::layout::UNIT_FIELDS);
    compare("Key", index::layout::KEY_FIELDS);
    compare("Base header", base::HEADER_FIELDS);
    compare("Bucket header", bucket::HEADER_FIELDS);
    compare("Bucket entry", bucket::ENTRY_FIELDS);
    compare("Identity cell", Identity::FIELDS);
    compare("Epoch cell", EpochRecord::FIELDS);
    compare("Checkpoint cell", Checkpoint::FIELDS);
}

#[test]
fn cells_are_as_long_as_their_fields() {
    fn length<V: CellValue>() {
        let end = V::FIELDS.last().map_or(0, |(_, at, size)| at + size);
        assert_eq!(end, envelope::HEAD_BYTES + V::PAYLOAD_BYTES, "cell `{}`", V::NAME);
    }
    length::<Identity>();
    length::<EpochRecord>();
    length::<Checkpoint>();
}

/// A codec's file starts with its table. It is on the page too, row by row.
#[test]
fn the_tables_in_the_code_are_those_of_the_page() {
    let files = [
        include_str!("../src/envelope.rs"),
        include_str!("../src/frame/mod.rs"),
        include_str!("../src/frame/op.rs"),
        include_str!("../src/record/layout.rs"),
        include_str!("../src/index/layout.rs"),
        include_str!("../src/base.rs"),
        include_str!("../src/bucket.rs"),
        include_str!("../src/cells.rs"),
    ];
    let mut count = 0;
    for row in files.iter().flat_map(|file| file.lines()).filter_map(|line| line.strip_prefix("//! |")) {
        let row = format!("|{row}");
        assert!(PAGE.lines().any(|line| line == row), "the page lacks the row\n{row}");
        count += 1;
    }
    assert!(count > 100, "{count} rows were found");
}

#[test]
fn maxima_are_those_of_the_page() {
    let code: [(&str, u64); 15] = [
        ("frame", frame::FRAME_BYTES_MAX as u64),
        ("record", layout::RECORD_BYTES_MAX as u64),
        ("topic", layout::TOPIC_BYTES_MAX as u64),
        ("properties", layout::PROPERTIES_BYTES_MAX as u64),
        ("index directory", index::layout::DIRECTORY_BYTES_MAX),
        ("cell", cells::CELL_BYTES_MAX),
        ("base", base::BASE_BYTES_MAX),
        ("bucket directory", bucket::DIRECTORY_BYTES_MAX),
        ("queues", u64::from(mainspring::QUEUES_MAX)),
        ("queue offset", views::QUEUE_OFFSET_MAX),
        ("epoch", u64::from(offset::EPOCH_MAX)),
        ("frame alignment", frame::ALIGN as u64),
        ("queue skip", views::QUEUE_SKIP),
        ("locks", views::LOCKS_MAX as u64),
        ("search", 256 << 20),
    ];
    let page = rows("Conventions");
    for (name, value) in code {
        let row = page.iter().find(|row| row[0] == name);
        assert_eq!(row.map(|row| row[1].clone()), Some(value.to_string()), "maximum `{name}`");
    }
    assert_eq!(page.len(), code.len());
}

#[test]
fn magics_are_those_of_the_page() {
    let magic = |section: &str| rows(section)[0][3].clone();
    for (section, code) in [
        ("Frame", frame::MAGIC),
        ("Envelope", base::MAGIC),
        ("Envelope", bucket::MAGIC),
        ("Envelope", Identity::MAGIC),
        ("Envelope", EpochRecord::MAGIC),
        ("Envelope", Checkpoint::MAGIC),
    ] {
        let text = String::from_utf8(code.to_be_bytes().to_vec()).unwrap();
        assert!(magic(section).contains(&format!("`{text}`")), "{section}: {text}");
    }
    assert!(magic("Index header").contains("`MSINDEX`"));
    for code in [layout::MAGIC_V1, layout::MAGIC_V2] {
        assert!(rows("Record")[1][3].contains(&format!("{code:#010X}").replace("0X", "0x")), "{code:#X}");
    }
}

/// The sum of the sizes in a payload's text, `None` where it holds something of any length.
fn payload_bytes(text: &str) -> Option<usize> {
    let size = |part: &str| part.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
    text.split(", ").map(size).sum()
}

#[test]
fn operations_are_those_of_the_page() {
    let opening = Opening {
        previous_end: Offset(1),
        segment_bytes: 2,
        queue_skips: 3,
        commit_rule: 0,
        node: 4,
        boot_id: 5,
    };
    let topic = Some(TopicConfig::new("t", 1));
    let group = Some(GroupConfig::new("g"));
    let plain = [
        ("open", Op::Open(opening)),
        ("segment", Op::Segment { previous_end: Offset(1) }),
        ("cancel", Op::Cancel { due_ms: 1, schedule: Offset(2) }),
        ("offset", Op::Offset { group: "g", topic: "t", queue: 1, offset: 2 }),
        ("topic", Op::Topic { name: "t", config: topic }),
        ("group", Op::Group { name: "g", config: group }),
        ("trim", Op::Trim { start: Offset(1) }),
        ("clock step", Op::ClockStep { from_ms: 1, to_ms: 2 }),
        ("digest", Op::Digest { at: Offset(1), digest: 2 }),
        ("lock", Op::Lock { group: "g", client: "c", lease_ms: 1, queues: vec![("t", 2)] }),
        ("unlock", Op::Unlock { group: "g", client: "c", queues: vec![("t", 2)] }),
        ("attributes", Op::Attributes { of_group: false, name: "t", attributes: vec![("a", "b")] }),
        ("clear", Op::Clear { group: "g", topic: "t" }),
        ("once", Op::Once(frame::Once { key: 1, window_ms: 2, most: 3 })),
    ];
    let page: BTreeMap<String, (String, String)> = rows("Operations")
        .into_iter()
        .filter(|row| row.len() == 3)
        .map(|row| (row[1].clone(), (row[0].clone(), row[2].clone())))
        .collect();
    for (name, op) in plain {
        let (number, text) = &page[name];
        let (kind, payload) = op.payload();
        assert_eq!(*number, (kind as u8).to_string(), "the number of `{name}`");
        // What has any length here is a text of one character, and settings.
        let settings: usize = match name {
            "topic" => fields_end("The settings of a topic"),
            "group" => fields_end("The settings of a group"),
            _ => 0,
        };
        let texts = text.matches(" text").count() * 3;
        let fixed: Vec<&str> =
            text.split(", ").filter(|part| !part.ends_with("text") && *part != "settings").collect();
        let fixed = if fixed.is_empty() { Some(0) } else { payload_bytes(&fixed.join(", ")) };
        assert_eq!(fixed.map(|fixed| fixed + texts + settings), Some(payload.len()), "`{name}`: {text}");
    }
    for (name, kind, record_at) in [
        ("append", OpKind::Append, frame::RECORD_AT_APPEND),
        ("schedule", OpKind::Schedule, frame::RECORD_AT_SCHEDULE),
        ("fire", OpKind::Fire, frame::RECORD_AT_FIRE),
    ] {
        let (number, text) = &page[name];
        assert_eq!(*number, (kind as u8).to_string());
        let head = text.split(", record").next().unwrap();
        assert_eq!(payload_bytes(head), Some(record_at), "`{name}`: {text}");
    }
    assert_eq!(page.len(), 18, "every operation has a row");
}

/// Where the table behind a line of the page ends, in bytes.
fn fields_end(line: &str) -> usize {
    let rest = &PAGE[PAGE.find(line).unwrap()..];
    let table = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let ends = table.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        Some(cells[1].parse::<usize>().ok()? + cells[2].parse::<usize>().ok()?)
    });
    ends.max().unwrap()
}

// ---- a whole store of format version 1 -----------------------------------------------------

const GOLDEN: &str = include_str!("fixtures/format-1.txt");

fn options() -> Options {
    Options {
        commit: CommitRule::Flushed,
        threads: false,
        segment_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        default_queues: 1,
        near_horizon_ms: 1_000,
        fire_reserve_bytes: 0,
        retention_ms: None,
        ..Options::default()
    }
}

fn open(backend: &Arc<MemoryBackend>, clock: &Arc<ManualClock>) -> Store {
    Store::open_on(backend.clone(), clock.clone(), options()).unwrap()
}

/// Everything once: two epochs, an index file, a due bucket, bases, all cells, and an end that is not sealed.
fn golden_store() -> (Arc<MemoryBackend>, Arc<ManualClock>) {
    let (backend, clock) = (Arc::new(MemoryBackend::new()), Arc::new(ManualClock::new(1_000_000)));
    let store = open(&backend, &clock);
    let paid = Message::new("orders", "first").key("k1").tag("paid").property("region", "eu");
    store.append(paid).unwrap().wait().unwrap();
    store.append(Message::new("orders", "second")).unwrap().wait().unwrap();
    let late =
        store.schedule(Message::new("orders", "late"), Duration::from_secs(3_600)).unwrap().wait().unwrap();
    let never =
        store.schedule(Message::new("orders", "never"), Duration::from_secs(60)).unwrap().wait().unwrap();
    assert_eq!(store.cancel(&never.handle).unwrap(), mainspring::Cancel::Cancelled);
    assert_eq!(late.due_ms, 4_600_000);
    store.put_group(&GroupConfig::new("billing")).unwrap();
    store.commit_offset("billing", "orders", 0, 1).unwrap().wait().unwrap();
    store.close().unwrap();
    drop(store);
    clock.advance(500);
    // This one is killed: its segment stays open, its base is the one before.
    let store = open(&backend, &clock);
    store.schedule(Message::new("orders", "soon"), Duration::from_millis(10)).unwrap().wait().unwrap();
    clock.advance(10);
    store.step();
    store.append(Message::new("orders", "third")).unwrap().wait().unwrap();
    store.step();
    store.abandon();
    (backend, clock)
}

fn bodies(store: &Store) -> Vec<String> {
    let filter = TagFilter::all();
    let request = ReadRequest {
        topic: "orders",
        queue: 0,
        from: 0,
        max_records: 32,
        max_bytes: 1 << 20,
        filter: &filter,
    };
    let text = |bytes: &[u8]| {
        let record = Record::parse(bytes).unwrap();
        record.verify_body().unwrap();
        String::from_utf8(record.body().to_vec()).unwrap()
    };
    store.read(&request).unwrap().records.iter().map(text).collect()
}

#[test]
fn a_store_of_version_1_opens_and_says_the_same() {
    let golden = Fixture::parse(GOLDEN);
    let kinds = ["log-", "idx-", "due-", "base-"];
    assert!(kinds.iter().all(|kind| golden.names().any(|name| name.starts_with(kind))), "one of each kind");
    let (backend, clock) = (golden.medium(), Arc::new(ManualClock::new(1_000_510)));
    let store = open(&backend, &clock);
    assert_eq!(bodies(&store), ["first", "second", "soon", "third"]);
    assert_eq!(store.digest(), (store.report().end, 15_531_480_637_861_243_433));
    assert_eq!(store.report().end.epoch(), Epoch(2));
    assert_eq!(store.committed_offset("billing", "orders", 0), Some(1));
    assert!(store.group("billing").is_some());
    // A message id names this position for as long as the message is kept.
    let first = store.record_at(Offset((1 << 40) + 232)).unwrap();
    let first = Record::parse(&first).unwrap();
    assert_eq!((first.body(), first.property("region")), (&b"first"[..], Some("eu")));
    assert_eq!(
        (first.tags_code(), first.keys().next()),
        (mainspring::record::tags::code("paid"), Some("k1"))
    );
    clock.advance(3_600_000);
    store.append(Message::new("orders", "fourth")).unwrap().wait().unwrap();
    store.step();
    assert_eq!(bodies(&store), ["first", "second", "soon", "third", "fourth", "late"]);
    store.close().unwrap();
}

/// The same calls give the same bytes. Where this fails, the format changed: that needs a new version.
#[test]
fn the_bytes_of_version_1_are_still_written() {
    let (backend, _) = golden_store();
    let written = Fixture::of(&backend);
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.txt");
        std::fs::write(path, written.to_string()).unwrap();
    }
    assert!(written == Fixture::parse(GOLDEN), "the bytes of a store changed:\n{written}");
}
