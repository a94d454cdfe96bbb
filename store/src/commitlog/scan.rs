//! Walking the frames of a segment, and finding the durable mark behind a bad one.

use bytes::Bytes;

use crate::frame::{ALIGN, BadFrame, FEATURE_LEVEL, Frame, MAGIC, Op};
use crate::offset::Offset;
use crate::options::UNFLUSHED_BYTES_LIMIT;

/// How far a walk over a segment got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// Where the last good frame ends.
    pub end: Offset,
    /// The highest `flushed` cursor that a good frame carries.
    pub flushed: Offset,
    /// The highest owner time that a good frame carries, milliseconds.
    pub owner_ms: i64,
    /// The last good frame's checksum, 0 without one.
    pub last_checksum: u32,
    /// Good frames.
    pub frames: u64,
    /// The first good frame that needs rules of `apply` which are not known here, and their level.
    pub newer: Option<(Offset, u16)>,
    /// Why the walk ended, `None` at the end of the bytes.
    pub bad: Option<BadFrame>,
}

/// Walks the frames in `bytes`, the first of which stands at `start`.
pub fn walk(bytes: &[u8], secret: u64, start: Offset) -> Walk {
    let mut walk = Walk {
        end: start,
        flushed: Offset(0),
        owner_ms: i64::MIN,
        last_checksum: 0,
        frames: 0,
        newer: None,
        bad: None,
    };
    let mut at = 0;
    while at < bytes.len() {
        match Frame::parse(&bytes[at..], secret, walk.end) {
            Ok(frame) => {
                at += frame.bytes.len();
                let level = frame.header.feature_level;
                walk.newer = walk.newer.or((level > FEATURE_LEVEL).then_some((walk.end, level)));
                walk.end = frame.end();
                walk.flushed = walk.flushed.max(frame.header.flushed);
                walk.owner_ms = walk.owner_ms.max(frame.header.owner_ms);
                walk.last_checksum = frame.checksum();
                walk.frames += 1;
            }
            Err(bad) => {
                walk.bad = Some(bad);
                return walk;
            }
        }
    }
    walk
}

/// Where the first frame of a segment says that the log before it ended; `None` if it is no good first frame.
pub fn previous_end(bytes: &[u8], secret: u64, start: Offset) -> Option<Offset> {
    let frame = Frame::parse(bytes, secret, start).ok()?;
    match frame.ops().next()?.ok()? {
        Op::Open(opening) => Some(opening.previous_end),
        Op::Segment { previous_end } => Some(previous_end),
        _ => None,
    }
}

/// What stands behind a bad frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    /// The highest `flushed` cursor of a valid frame there.
    pub flushed: Offset,
    /// Valid frames there.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Searches `bytes`, whose first byte stands at `start`, for valid frames at every aligned position.
pub fn search(bytes: &Bytes, secret: u64, start: Offset) -> Behind {
    let mut behind = Behind::default();
    let magic = MAGIC.to_be_bytes();
    let limit = bytes.len().min(usize::try_from(UNFLUSHED_BYTES_LIMIT).unwrap_or(usize::MAX));
    let mut at = start.0.next_multiple_of(ALIGN as u64) - start.0;
    while let Some(rest) = usize::try_from(at).ok().filter(|at| *at < limit).and_then(|at| bytes.get(at..)) {
        let found =
            rest.starts_with(&magic).then(|| Frame::parse(rest, secret, start.plus(at)).ok()).flatten();
        at += match found {
            Some(frame) => {
                behind.flushed = behind.flushed.max(frame.header.flushed);
                behind.frames += 1;
                behind.bytes += u64::from(frame.header.len);
                u64::from(frame.header.len)
            }
            None => ALIGN as u64,
        };
    }
    behind
}
