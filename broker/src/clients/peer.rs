//! One connected client, as handlers see it.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

use tokio::sync::mpsc;

use crate::remoting::Response;

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

/// A one-way request to a client: `code` is a request code.
#[derive(Debug)]
pub struct Push {
    /// Correlation number.
    pub opaque: i32,
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
    pushes: mpsc::Sender<Push>,
    opaque: AtomicI32,
}

impl Peer {
    /// A client and the queue of requests to it, which the connection drains.
    #[must_use]
    pub fn new(id: u64, address: SocketAddr, port: Port) -> (Self, mpsc::Receiver<Push>) {
        let (pushes, queue) = mpsc::channel(PUSHES_MAX);
        let warned = AtomicBool::new(false);
        (Self { id, address, port, warned, pushes, opaque: AtomicI32::new(0) }, queue)
    }

    /// True the first time: one warning about a client is enough.
    pub fn first_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }

    /// Queues a one-way request; false if the client is gone or does not read.
    pub fn push(&self, request: Response) -> bool {
        let opaque = self.opaque.fetch_add(1, Ordering::Relaxed);
        self.pushes.try_send(Push { opaque, request }).is_ok()
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
