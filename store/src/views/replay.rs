//! Folding in frames that were written before: when a store is opened, and for a base.

use super::{Context, Effects, Views};
use crate::commitlog::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
use crate::offset::Offset;

impl Views {
    /// Folds in the log's frames up to `upto`, where one ends, and checks each. How many there were; `folded` is
    /// told of the bytes of each segment.
    ///
    /// Units are not taken: who needs them serves queues from index files.
    ///
    /// # Errors
    /// [`ErrorKind::Version`] for a frame of a later version, [`ErrorKind::Corrupt`] if one fails a check or the state differs from a digest in the log, or the
    /// medium's. The state must then not be used any further.
    pub(crate) fn replay(&mut self, log: &Log, upto: Offset, mut folded: impl FnMut(u64)) -> Result<u64> {
        let mut frames = 0;
        for segment in log.segments().iter() {
            let end = segment.start.plus(segment.len_bytes()).min(upto);
            if end <= self.applied || end <= segment.start {
                continue;
            }
            if self.applied != Offset(0) && segment.start > self.applied {
                self.end_segment();
            }
            let mut at = self.applied.max(segment.start);
            let bytes = segment.slice(at, end.0 - at.0)?;
            let context = Context { segment: segment.start, units: false, replay: true };
            let mut effects = Effects::default();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let frame = Frame::parse(rest, log.secret(), at).map_err(|bad| bad.error(at))?;
                self.apply(&frame, context, &mut effects).map_err(|bad| bad.error(at))?;
                frames += 1;
                at = frame.end();
                rest = &rest[frame.bytes.len()..];
            }
            if let Some((end, stored, own)) = effects.diverged {
                let text = format!("the state's digest at {end} is {own:016x}, the log says {stored:016x}");
                return Err(Error::new(ErrorKind::Corrupt, text).at(end));
            }
            folded(bytes.len() as u64);
        }
        Ok(frames)
    }
}
