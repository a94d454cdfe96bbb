//! A frame that passes every check but names a queue that no appender gives takes no memory: it is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::sync::Arc;

use backends::StreamReader;
use mainspring::frame::{FEATURE_LEVEL, Frame, HEADER_BYTES, Header, Op, OpKind, aligned};
use mainspring::index::{IndexBuilder, IndexEntry, IndexFile, Unit};
use mainspring::record::{Limits, Stamp};
use mainspring::views::{BadApply, Context, Effects, QUEUE_OFFSET_MAX, Views};
use mainspring::{Bytes, Draft, Epoch, GroupConfig, Offset, QUEUES_MAX, TopicConfig, Wait};

const START: Offset = Epoch(1).first();

/// What applying a frame of this one operation comes to.
fn applied(kind: OpKind, payload: &[u8]) -> Result<Views, BadApply> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(&[kind as u8, 0, 0, 0]);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(aligned(bytes.len()), 0);
    let header = Header {
        wait: Wait::Committed,
        feature_level: FEATURE_LEVEL,
        len: u32::try_from(bytes.len()).unwrap(),
        ops: 1,
        at: START,
        owner_ms: 5,
        flushed: Offset(0),
        committed: Offset(0),
    };
    header.seal(7, &mut bytes);
    let frame = Frame::parse(&bytes, 7, START).unwrap();
    let mut views = Views::empty(0);
    let context = Context { segment: START, units: true, replay: false };
    views.apply(&frame, context, &mut Effects::default()).map(|()| views)
}

/// An append of a record with this place in its topic.
fn append(queue: u32, queue_offset: u64) -> Result<Views, BadApply> {
    let draft = Draft::new("t", b"body");
    let draft = draft.prepare(&Limits { body_bytes_max: 100 }).unwrap();
    let store_host = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let stamp = Stamp { queue, queue_offset, physical_offset: START.0, store_ms: 5, store_host };
    let mut payload = vec![0; 8 + draft.len()];
    draft.encode(&stamp, &mut payload[8..]);
    applied(OpKind::Append, &payload)
}

#[test]
fn records() {
    let ends = |views: &Views| {
        let topic = views.topics().next().unwrap();
        (topic.queues.len(), topic.queues.last().unwrap().end)
    };
    assert_eq!(append(0, 0).map(|v| ends(&v)).unwrap(), (1, 1));
    let last = append(QUEUES_MAX - 1, QUEUE_OFFSET_MAX - 1);
    assert_eq!(last.map(|v| ends(&v)).unwrap(), (QUEUES_MAX as usize, QUEUE_OFFSET_MAX));
    for (queue, offset) in [(QUEUES_MAX, 0), (u32::MAX, 0), (0, QUEUE_OFFSET_MAX), (0, u64::MAX)] {
        assert!(matches!(append(queue, offset), Err(BadApply::Record(..))), "{queue} {offset}");
    }
}

#[test]
fn settings() {
    let topic = |queues| {
        let (kind, payload) = Op::Topic { name: "t", config: Some(TopicConfig::new("t", queues)) }.payload();
        applied(kind, &payload)
    };
    assert!(topic(QUEUES_MAX).is_ok());
    assert!(matches!(topic(QUEUES_MAX + 1), Err(BadApply::Op(_))));
    let group = |retry_queues| {
        let config = GroupConfig { retry_queues, ..GroupConfig::new("g") };
        let (kind, payload) = Op::Group { name: "g", config: Some(config) }.payload();
        applied(kind, &payload)
    };
    assert!(group(QUEUES_MAX).is_ok());
    assert!(matches!(group(QUEUES_MAX + 1), Err(BadApply::Op(_))));
}

#[derive(Debug)]
struct File(Bytes);

impl StreamReader for File {
    fn published(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let at = |position| usize::try_from(position).unwrap();
        Ok(self.0.slice(at(range.start)..at(range.end)))
    }
}

#[test]
fn index_files() {
    let open = |queue| {
        let mut builder = IndexBuilder::new(START.0);
        let unit = Unit { physical_offset: START.0, size: 100, tags: 7 };
        let entry = IndexEntry { topic: "t", queue, queue_offset: 0, unit };
        builder.add(&entry, ["k"].into_iter());
        IndexFile::open(Arc::new(File(builder.finish(START.0 + 100, 9).into())))
    };
    assert!(open(QUEUES_MAX - 1).is_ok());
    let error = open(QUEUES_MAX).unwrap_err();
    assert!(error.to_string().contains("number of a queue"), "{error}");
}
