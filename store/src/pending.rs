//! The wait for an append that was made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::Result;
use crate::frame::Wait;
use crate::offset::Offset;
use crate::shell::Core;

type Answer<T> = Box<dyn FnOnce() -> Result<T> + Send>;

/// The outcome of an append, once it is as safe as was asked for. Block on it or await it, on any runtime.
///
/// Dropping it cancels nothing: what was appended stays appended.
#[must_use = "the append is made, but only waiting tells whether it is safe"]
pub struct Pending<T> {
    /// Who tells, `None` where there is nothing to wait for.
    core: Option<Arc<Core>>,
    wait: Wait,
    end: Offset,
    value: Option<T>,
    answer: Option<Answer<T>>,
    /// Who is woken when it is over.
    told: Option<Waker>,
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("wait", &self.wait).field("end", &self.end).finish_non_exhaustive()
    }
}

impl<T> Pending<T> {
    #[inline]
    pub(crate) fn new(core: &Arc<Core>, wait: Wait, end: Offset, value: T) -> Self {
        let core = (wait != Wait::Appended).then(|| Arc::clone(core));
        Self { core, wait, end, value: Some(value), answer: None, told: None }
    }

    /// The value is what `answer` gives once the wait is over.
    pub(crate) fn answered_by(mut self, answer: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        self.answer = Some(Box::new(answer));
        self
    }

    /// What is waited for.
    #[must_use]
    pub fn level(&self) -> Wait {
        self.wait
    }

    /// Parts the wait from what is known of its outcome already; gives it back whole where nothing is.
    ///
    /// # Errors
    /// The wait itself.
    pub fn split(mut self) -> std::result::Result<(Pending<()>, T), Self> {
        if self.answer.is_some() {
            return Err(self);
        }
        let Some(value) = self.value.take() else { return Err(self) };
        let Self { core, wait, end, told, .. } = self;
        Ok((Pending { core, wait, end, value: Some(()), answer: None, told }, value))
    }

    /// The log position behind the frame.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Whether the wait is over.
    ///
    /// # Errors
    /// Why it never will be.
    pub fn is_ready(&self) -> Result<bool> {
        self.core.as_ref().map_or(Ok(true), |core| core.reached(self.wait, self.end))
    }

    /// Where the append came to stand, before it is known to be safe.
    #[must_use]
    pub fn peek(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.answer.is_none())
    }

    /// Whether the wait is over; if not, the task is woken once it is. The outcome is not taken.
    ///
    /// # Errors
    /// As [`Pending::is_ready`].
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            match self.is_ready() {
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(false) => {}
            }
            // Whoever was told stays so until the wait is over.
            let Some(core) = self.core.as_ref() else { return Poll::Pending };
            if self.told.as_ref().is_some_and(|told| told.will_wake(context.waker())) {
                return Poll::Pending;
            }
            core.wake_at(self.wait, self.end, context.waker());
            self.told = Some(context.waker().clone());
        }
    }

    /// Takes the outcome if it is known already, else gives the wait back.
    ///
    /// # Errors
    /// The wait itself.
    pub fn try_take(mut self) -> std::result::Result<Result<T>, Self> {
        match self.is_ready() {
            Ok(true) => Ok(self.take()),
            Err(error) => Ok(Err(error)),
            Ok(false) => Err(self),
        }
    }

    /// Blocks until it is as safe as was asked for.
    ///
    /// # Errors
    /// [`Poisoned`](crate::ErrorKind::Poisoned), [`Closed`](crate::ErrorKind::Closed) or what else stopped the
    /// store. Whether the append survives is then not known.
    #[inline]
    pub fn wait(mut self) -> Result<T> {
        if let Some(core) = &self.core {
            core.wait(self.wait, self.end)?;
        }
        self.take()
    }

    #[inline]
    fn take(&mut self) -> Result<T> {
        match (self.answer.take(), self.value.take()) {
            (Some(answer), _) => answer(),
            (None, Some(value)) => Ok(value),
            (None, None) => panic!("a wait was polled after it was over"),
        }
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.poll_ready(context).map(|done| done.and_then(|()| this.take()))
    }
}
