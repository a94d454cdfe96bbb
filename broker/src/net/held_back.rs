//! What holds a connection back: a request for which the store is not ready, and a long one for which memory is not.

use std::future::poll_fn;

use mainspring::Pending;
use tokio::time::{Instant, sleep_until};

use crate::{
    memory::{Claim, Waiting},
    patience::Patience,
    remoting::Frame,
};

/// Room for a long request that is still coming.
pub(super) enum Claiming {
    Not,
    Waits(Waiting),
    Granted { _room: Claim },
}

impl Claiming {
    /// Waits for the room; for ever where none was asked for.
    pub(super) async fn granted(&mut self) {
        let Self::Waits(waiting) = self else { return std::future::pending().await };
        let room = waiting.await;
        *self = Self::Granted { _room: room };
    }
}

/// A request that the store cannot take at this moment.
pub(super) struct Stalled {
    pub(super) frame: Frame,
    pub(super) patience: Patience,
    pub(super) at: Instant,
    /// What may bring it about before.
    pub(super) flush: Pending<()>,
}

impl Stalled {
    /// Waits until it is to be tried again; for ever where nothing is stalled.
    pub(super) async fn due(stalled: Option<&mut Self>) {
        let Some(Self { at, flush, .. }) = stalled else { return std::future::pending().await };
        tokio::select! {
            () = sleep_until(*at) => {}
            _ = poll_fn(|context| flush.poll_ready(context)) => {}
        }
    }
}
