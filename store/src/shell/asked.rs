//! Frames that are requests: their answer is the result of applying them.

use std::sync::Arc;

use super::{Answer, Core};
use crate::engine::OpDraft;
use crate::error::Result;
use crate::frame::Wait;
use crate::offset::Offset;
use crate::views::Effects;

/// A request that stands in the log. Dropping it forgets its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    core: Arc<Core>,
    frame: Offset,
    /// The position behind its frame.
    pub(crate) end: Offset,
}

impl Asked {
    /// The answer, once the frame is applied.
    pub(crate) fn take(&self) -> Option<Answer> {
        self.core.answers.lock().get_mut(&self.frame).and_then(Option::take)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.core.answers.lock().remove(&self.frame);
    }
}

impl Core {
    /// Appends a frame that is a request.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub(crate) fn ask_log(self: &Arc<Self>, ops: &mut [OpDraft<'_>]) -> Result<Asked> {
        let done = self.submit_by(|| {
            // Held until the frame is noted, as it may be applied at once; and never while space is waited for, since
            // the applier needs it.
            let mut answers = self.answers.lock();
            let tried = self.try_append(Wait::Committed, ops);
            if let Ok(appended) = &tried {
                answers.insert(appended.at, None);
            }
            tried
        })?;
        Ok(Asked { core: Arc::clone(self), frame: done.at, end: done.end })
    }

    /// Keeps the answers that somebody waits for.
    pub(super) fn answer(&self, effects: &Effects) {
        if effects.answers.is_empty() {
            return;
        }
        let mut answers = self.answers.lock();
        for (frame, answer) in &effects.answers {
            answers.entry(*frame).and_modify(|kept| *kept = Some(answer.clone()));
        }
    }
}
