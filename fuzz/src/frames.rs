//! `frame_decode`: a frame, its operations and the walk over a segment, on any bytes.

use bytes::Bytes;
use mainspring::commitlog::scan;
use mainspring::frame::{self, Frame, Header, Op, OpKind};
use mainspring::record::Record;
use mainspring::{Epoch, Offset, Wait};

use crate::put;

/// The secret of the log that the frames are of.
pub(crate) const SECRET: u64 = 0x5ec2_e700_0000_0001;

/// Where the first frame stands.
pub(crate) const START: Offset = Epoch(3).first();

/// The first byte chooses: the bytes as they are, one frame whose header is made right, or several of them.
pub fn frame_decode(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let bytes = match mode % 3 {
        0 => rest.to_vec(),
        1 => sealed(rest, START),
        _ => segment(rest),
    };
    if let Ok(frame) = Frame::parse(&bytes, SECRET, START) {
        check(&frame);
    }
    scans(&bytes, mode % 3 == 2);
}

/// A frame at `at` with `body` behind a header that passes every check; some of it comes from `body` too.
pub(crate) fn sealed(body: &[u8], at: Offset) -> Vec<u8> {
    let (head, body) = body.split_at(body.len().min(16));
    let mut frame = vec![0; frame::aligned(frame::HEADER_BYTES + body.len())];
    put(&mut frame, frame::HEADER_BYTES, body);
    let byte = |i: usize| head.get(i).copied().unwrap_or(0);
    let header = Header {
        wait: [Wait::Committed, Wait::Flushed, Wait::Appended][usize::from(byte(0)) % 3],
        feature_level: frame::FEATURE_LEVEL,
        len: u32::try_from(frame.len()).unwrap_or(0),
        ops: u32::from(byte(1)),
        at,
        owner_ms: i64::from(byte(2)) << 32 | i64::from(byte(3)),
        flushed: Offset(START.0 + u64::from(byte(4)) * 8),
        committed: Offset(START.0 + u64::from(byte(5)) * 8),
    };
    header.seal(SECRET, &mut frame);
    frame
}

/// Frames one after the other, each behind a two-byte length.
fn segment(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(([high, low], more)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high & 0x0f, *low])).min(more.len());
        let frame = sealed(&more[..len], START.plus(out.len() as u64));
        // A length with its highest bit set leaves the frame torn.
        out.extend_from_slice(if high & 0x80 == 0 { &frame } else { &frame[..frame.len() / 16 * 8] });
        rest = &more[len..];
    }
    out
}

fn check(frame: &Frame<'_>) {
    assert_eq!(frame.end().0, START.0 + frame.bytes.len() as u64, "a frame ends behind its bytes");
    assert_eq!(frame.bytes.len() % frame::ALIGN, 0, "a frame's length is aligned");
    let mut bad = false;
    for op in frame.ops() {
        assert!(!bad, "nothing follows an operation that cannot be read");
        match op {
            Ok(op) => check_op(&op, frame.bytes),
            Err(error) => {
                bad = true;
                assert!(error.at < frame.bytes.len() && error.at % frame::ALIGN == 0, "{error:?}");
            }
        }
    }
}

fn check_op(op: &Op<'_>, bytes: &[u8]) {
    match op {
        Op::Append { at, record, .. } | Op::Schedule { at, record, .. } | Op::Fire { at, record, .. } => {
            let at = *at as usize;
            assert_eq!(bytes.get(at..at + record.len()), Some(*record), "a record is where it is said to be");
            if let Ok(parsed) = Record::parse(record) {
                assert_eq!(parsed.bytes(), *record);
            }
        }
        plain => {
            if let Op::ClockStep { from_ms, to_ms } = plain {
                let planted = cfg!(feature = "planted_panic") && to_ms < from_ms;
                assert!(!planted, "the planted panic: a clock that steps back");
            }
            let (kind, payload) = plain.payload();
            let again = [&[0; 16], &operation(kind, &payload)[..]].concat();
            let again = sealed(&again, START);
            let frame = Frame::parse(&again, SECRET, START).expect("it was sealed");
            assert_eq!(frame.ops().next(), Some(Ok(plain.clone())), "what is read is what is written again");
        }
    }
}

/// An operation's head and payload, padded.
pub(crate) fn operation(kind: OpKind, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; frame::OP_HEAD_BYTES + frame::aligned(payload.len())];
    out[0] = kind as u8;
    put(&mut out, 4, &u32::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    put(&mut out, frame::OP_HEAD_BYTES, payload);
    out
}

fn scans(bytes: &[u8], many: bool) {
    let walk = scan::walk(bytes, SECRET, START);
    let walked = usize::try_from(walk.end.0 - START.0).unwrap_or(usize::MAX);
    assert!(walked <= bytes.len(), "a walk ends within its bytes");
    assert_eq!(walk.bad.is_none(), walked == bytes.len(), "a walk ends early at a bad frame only");
    assert_eq!(walk, scan::walk(&bytes[..walked], SECRET, START).with_bad(walk.bad));
    if many {
        let _ = scan::previous_end(bytes, SECRET, START);
        let behind = scan::search(&Bytes::copy_from_slice(bytes), SECRET, START);
        assert!(behind.frames >= walk.frames, "a search finds what a walk finds");
        assert!(behind.flushed >= walk.flushed);
        assert!(behind.bytes <= bytes.len() as u64, "frames do not overlap");
    }
}

trait WithBad {
    fn with_bad(self, bad: Option<frame::BadFrame>) -> Self;
}

impl WithBad for scan::Walk {
    fn with_bad(self, bad: Option<frame::BadFrame>) -> Self {
        Self { bad, ..self }
    }
}
