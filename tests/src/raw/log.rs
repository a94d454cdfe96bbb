//! The log as it lies on the medium: segments, the frames in them, and how they follow each other.

use std::collections::HashMap;
use std::rc::Rc;

use backends::{FaultyBackend, Name};

use super::frame::{self, RawFrame};

/// Frames that were read before, by position: parsed once.
pub type Known = HashMap<u64, Rc<RawFrame>>;

/// One segment stream.
#[derive(Debug)]
pub struct RawSegment {
    /// The stream's name.
    pub name: Name,
    /// Its first offset.
    pub start: u64,
    /// Whether the stream is sealed.
    pub sealed: bool,
    /// Bytes of the stream.
    pub len: u64,
    /// Its good frames from the start on.
    pub frames: Vec<Rc<RawFrame>>,
}

impl RawSegment {
    /// Where its last good frame ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.frames.last().map_or(self.start, |frame| frame.end)
    }
}

/// The log.
#[derive(Debug)]
pub struct RawLog {
    /// All segment streams, in order.
    pub segments: Vec<RawSegment>,
    /// The ones that follow each other from the oldest on, by their place among `segments`.
    pub chain: Vec<usize>,
}

/// The log's secret, as its cell has it.
#[must_use]
pub fn secret(backend: &FaultyBackend) -> Option<u64> {
    let cells = backend.cells();
    let cell = cells.get(&Name::new("identity")?)?;
    super::Bytes(cell.get(20..)?).u64()
}

/// The number in the name of a stream of this kind.
#[must_use]
pub fn numbered(name: &Name, kind: &str) -> Option<u64> {
    name.as_str().strip_prefix(kind)?.strip_prefix('-')?.parse().ok()
}

impl RawLog {
    /// Reads what a process would see, and what was removed since the last time. `is_known` knows segments by
    /// their start, and the log is known to begin at or below `trimmed`.
    #[must_use]
    pub fn read(
        backend: &FaultyBackend,
        secret: u64,
        known: &mut Known,
        is_known: impl Fn(u64) -> bool,
        trimmed: u64,
    ) -> Self {
        let mut segments = Vec::new();
        let present = backend.streams().into_iter().map(|info| {
            let bytes = backend.dump(&info.name).unwrap_or_default();
            (info, bytes)
        });
        for (info, bytes) in backend.take_removed().into_iter().chain(present) {
            let Some(start) = numbered(&info.name, "log") else { continue };
            let frames = frames(&bytes, secret, start, known);
            segments.push(RawSegment { name: info.name, start, sealed: info.sealed, len: info.len, frames });
        }
        segments.sort_by_key(|segment| segment.start);
        let chain = chain(&segments, is_known, trimmed);
        Self { segments, chain }
    }

    /// The frames of the chain, in order.
    pub fn frames(&self) -> impl Iterator<Item = &Rc<RawFrame>> {
        self.chain.iter().flat_map(|i| &self.segments[*i].frames)
    }

    /// Where the chain ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.chain.last().map_or(0, |i| self.segments[*i].end())
    }
}

fn frames(bytes: &[u8], secret: u64, start: u64, known: &mut Known) -> Vec<Rc<RawFrame>> {
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
        let at = start + place as u64;
        let Some(head) = frame::head(rest, secret, at) else { break };
        let cached = known.get(&at).filter(|f| f.crc == head.crc && f.end == at + head.len as u64).cloned();
        let frame = match cached {
            Some(frame) => frame,
            None => match RawFrame::parse(rest, head, at, start) {
                Some(frame) => Rc::new(frame),
                None => break,
            },
        };
        known.entry(at).or_insert_with(|| Rc::clone(&frame));
        place += head.len;
        found.push(frame);
    }
    found
}

/// From the oldest segment on: each one's first frame names where the one before ended.
///
/// A log that was never trimmed begins with the frame that names nothing before it, whatever else is there. One
/// that was trimmed may have lost any segments below, and leftovers of earlier trims may stand there still: it is
/// the chain with the highest known segment that is not above `trimmed`, for only what is durable is trimmed.
fn chain(segments: &[RawSegment], is_known: impl Fn(u64) -> bool, trimmed: u64) -> Vec<usize> {
    let previous = |i: usize| segments[i].frames.first().and_then(|f| f.previous_end());
    let good = || (0..segments.len()).filter(|i| previous(*i).is_some());
    let from = |head: usize| {
        let mut chain = vec![head];
        let mut end = segments[head].end();
        for (i, segment) in segments.iter().enumerate().skip(head + 1) {
            if previous(i) == Some(end) {
                chain.push(i);
                end = segment.end();
            }
        }
        chain
    };
    let known = || good().filter(|i| segments[*i].start <= trimmed && is_known(segments[*i].start));
    let first = good().find(|i| previous(*i) == Some(0));
    match known().last() {
        Some(kept) => known().map(from).find(|chain| chain.contains(&kept)).unwrap_or_default(),
        None => first.map(from).unwrap_or_default(),
    }
}
