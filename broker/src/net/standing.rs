//! Answers that are known, of appends that are not safe yet: each leaves once its append is.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll},
};

use mainspring::{Pending, Result, Wait};

use crate::{net::in_flight::Asked, remoting::Response};

struct Standing {
    safe: Pending<()>,
    asked: Asked,
    answer: Response,
}

impl Standing {
    fn end(self, safe: Result<()>) -> (Asked, Response) {
        (self.asked, safe.map_or_else(Response::from, |()| self.answer))
    }
}

/// Those of one connection. Appends become safe in the order of the log, which is the order in which they came, so only
/// the first of each level is waited for, and one wake-up serves all that are safe by then.
#[derive(Default)]
pub(super) struct Answers {
    flushed: VecDeque<Standing>,
    committed: VecDeque<Standing>,
}

impl Answers {
    pub(super) fn is_empty(&self) -> bool {
        self.flushed.is_empty() && self.committed.is_empty()
    }

    pub(super) fn push(&mut self, safe: Pending<()>, asked: Asked, answer: Response) {
        let queue = if safe.level() == Wait::Flushed { &mut self.flushed } else { &mut self.committed };
        queue.push_back(Standing { safe, asked, answer });
    }

    /// Waits for the next that may leave.
    pub(super) async fn next(&mut self) -> (Asked, Response) {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(Asked, Response)> {
        for queue in [&mut self.flushed, &mut self.committed] {
            if let Some(first) = queue.front_mut()
                && let Poll::Ready(safe) = first.safe.poll_ready(context)
                && let Some(first) = queue.pop_front()
            {
                return Poll::Ready(first.end(safe));
            }
        }
        Poll::Pending
    }

    /// The next one, if it may leave by now.
    pub(super) fn next_now(&mut self) -> Option<(Asked, Response)> {
        [&mut self.flushed, &mut self.committed].into_iter().find_map(|queue| {
            let safe = match queue.front()?.safe.is_ready() {
                Ok(false) => return None,
                done => done.map(|_| ()),
            };
            queue.pop_front().map(|first| first.end(safe))
        })
    }
}
