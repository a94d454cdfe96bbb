//! Requests of a connection whose answers come later.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
};

use tokio::time::Instant;

use crate::{
    broker::{Broker, Counters},
    latency::Kind,
    remoting::{
        Encoding, Response,
        codes::{request as codes, response},
        command::Later,
    },
};

/// What a request counts as by its answer.
pub(super) fn kind(request: i32, answer: &Response) -> Kind {
    Kind { request, response: answer.code, held: answer.held }
}

pub(super) fn panicked(counter: &AtomicU64) -> Response {
    Counters::count(counter);
    Response::refuse(response::SYSTEM_ERROR, "the broker failed to serve this request; its log says why")
}

/// What is kept of a request until it is answered.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) code: i32,
    pub(super) opaque: i32,
    pub(super) encoding: Encoding,
    pub(super) one_way: bool,
    /// Bytes that it counts for.
    pub(super) charge: usize,
    /// When it came.
    pub(super) came: Instant,
}

impl Asked {
    pub(super) fn is_pull(&self) -> bool {
        matches!(self.code, codes::PULL_MESSAGE | codes::LITE_PULL_MESSAGE)
    }
}

/// A request whose answer comes later.
pub(super) struct InFlight {
    pub(super) asked: Asked,
    pub(super) broker: Arc<Broker>,
    pub(super) answer: Later,
}

impl Future for InFlight {
    type Output = (Asked, Response);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| this.answer.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(panicked(&this.broker.counters.panics)));
        polled.map(|response| (this.asked, response))
    }
}
