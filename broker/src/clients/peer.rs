//! One connected client, as handlers see it.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    clients::questions::{Questions, Told, Unanswered},
    remoting::Response,
};

/// Which port a client came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The broker: messages.
    Broker,
    /// The name service: routes.
    NameService,
}

/// Requests to a client that may wait for it to read; more are dropped, since clients poll for the same news.
const PUSHES_MAX: usize = 64;

/// A request to a client: `code` is a request code.
#[derive(Debug)]
pub struct Push {
    /// Correlation number, of the broker's own counting.
    pub opaque: i32,
    /// Nobody waits for an answer.
    pub one_way: bool,
    /// The command.
    pub request: Response,
}

/// One connected client.
#[derive(Debug)]
pub struct Peer {
    /// Number of the connection, never used twice.
    pub id: u64,
    /// The client's address.
    pub address: SocketAddr,
    /// Where it connected.
    pub port: Port,
    /// Whether the log has its warning about this client.
    warned: AtomicBool,
    // Boxed: a channel has places for many beforehand, in every connection.
    pushes: mpsc::Sender<Box<Push>>,
    opaque: AtomicI32,
    /// Fingerprint of the last heartbeat that named its subscriptions; 0 before the first.
    fingerprint: AtomicI64,
    memberships: AtomicUsize,
    kept_bytes: AtomicUsize,
    questions: Questions,
}

impl Peer {
    /// A client and the queue of requests to it, which the connection drains.
    #[must_use]
    pub fn new(id: u64, address: SocketAddr, port: Port) -> (Self, mpsc::Receiver<Box<Push>>) {
        let (pushes, queue) = mpsc::channel(PUSHES_MAX);
        let peer = Self {
            id,
            address,
            port,
            warned: AtomicBool::new(false),
            pushes,
            opaque: AtomicI32::new(0),
            fingerprint: AtomicI64::new(0),
            memberships: AtomicUsize::new(0),
            kept_bytes: AtomicUsize::new(0),
            questions: Questions::default(),
        };
        (peer, queue)
    }

    /// True the first time: one warning about a client is enough.
    pub fn first_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// Queues a one-way request; false if the client is gone or does not read.
    pub fn push(&self, request: Response) -> bool {
        let opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        self.pushes.try_send(Box::new(Push { opaque, one_way: true, request })).is_ok()
    }

    /// Sends a request and waits for the client's answer, whatever its code.
    ///
    /// # Errors
    ///
    /// [`Unanswered`] if there is none within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Once dropped, an answer that comes is ignored.
    pub async fn ask(&self, request: Response, limit: Duration) -> Result<Told, Unanswered> {
        let opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        let question = self.questions.open(opaque)?;
        let push = Box::new(Push { opaque, one_way: false, request });
        self.pushes.try_send(push).map_err(|refused| match refused {
            TrySendError::Full(_) => Unanswered::Busy,
            TrySendError::Closed(_) => Unanswered::Gone,
        })?;
        question.answer(limit).await
    }

    /// Takes in an answer of the client; false where nobody waits for it.
    pub fn answered(&self, opaque: i32, told: impl FnOnce() -> Told) -> bool {
        self.questions.answered(opaque, told)
    }

    /// Ends all requests that wait for this client: its connection has ended.
    pub fn gone(&self) {
        self.questions.close();
    }

    /// How many groups it is in.
    pub fn memberships(&self) -> usize {
        self.memberships.load(Ordering::Relaxed)
    }

    pub(super) fn joined(&self) {
        self.memberships.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.memberships.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes of what it said that are kept, see [`super::kept`].
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn keeps(&self, bytes: usize) {
        self.kept_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Keeps the fingerprint of what the client wants; true if it is another than before.
    pub fn wants(&self, fingerprint: i64) -> bool {
        self.fingerprint.swap(fingerprint, Ordering::Relaxed) != fingerprint
    }

    /// Whether the client's subscriptions are those that it gave with this fingerprint.
    pub fn still_wants(&self, fingerprint: i64) -> bool {
        self.fingerprint.load(Ordering::Relaxed) == fingerprint
    }

    /// The address as records keep it; records hold IPv4 only, since C++ clients read nothing else.
    #[must_use]
    pub fn born_host(&self) -> SocketAddrV4 {
        match self.address {
            SocketAddr::V4(v4) => v4,
            SocketAddr::V6(v6) => {
                let ip = match v6.ip().to_ipv4_mapped() {
                    Some(ip) => ip,
                    None if v6.ip().is_loopback() => Ipv4Addr::LOCALHOST,
                    None => Ipv4Addr::UNSPECIFIED,
                };
                SocketAddrV4::new(ip, v6.port())
            }
        }
    }
}
