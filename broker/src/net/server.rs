//! The two ports: accepts connections, and stops gracefully.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    time::{interval, sleep, timeout},
};

use crate::{
    broker::{Broker, Counters},
    clients::peer::{Peer, Port},
    net::connection,
};

/// How often clients that fell silent are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(10);
/// How often the counters of traffic are told the time.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failed accept: mostly a lack of file descriptors, which closing connections cures.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections get this long to end when the broker stops.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The bound ports, before anything is served.
#[derive(Debug)]
pub struct Listeners {
    broker: TcpListener,
    name_service: TcpListener,
}

/// A port that could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// Which.
    pub port: Port,
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, flag) = match self.port {
            Port::Broker => ("broker", "--broker-listen"),
            Port::NameService => ("name service", "--namesrv-listen"),
        };
        if self.source.kind() == io::ErrorKind::AddrInUse {
            return write!(
                f,
                "the {what} cannot listen on {}: the port is in use; choose another with {flag} HOST:PORT",
                self.address
            );
        }
        write!(f, "the {what} cannot listen on {} ({flag}): {}", self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Listeners {
    /// Binds both ports.
    ///
    /// # Errors
    ///
    /// [`BindError`] that names the flag to change.
    pub async fn bind(broker: SocketAddr, name_service: SocketAddr) -> Result<Self, BindError> {
        let bind = async |port, address| {
            TcpListener::bind(address).await.map_err(|source| BindError { port, address, source })
        };
        Ok(Self {
            broker: bind(Port::Broker, broker).await?,
            name_service: bind(Port::NameService, name_service).await?,
        })
    }

    /// Where the broker listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn broker_address(&self) -> io::Result<SocketAddr> {
        self.broker.local_addr()
    }

    /// Where the name service listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn name_service_address(&self) -> io::Result<SocketAddr> {
        self.name_service.local_addr()
    }
}

struct Gate {
    broker: Arc<Broker>,
    next_id: AtomicU64,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

impl Gate {
    /// Notes that a connection is closed at once, since there are too many.
    fn refuse(&self, client: SocketAddr) {
        let refused = &self.broker.counters.refused_connections;
        Counters::count(refused);
        if let Some(unsaid) = self.broker.warnings.refused.pass() {
            let (max, refused) = (self.broker.settings.connections_max, refused.load(Ordering::Relaxed));
            tracing::warn!(%client, max, refused, unsaid, "a connection was refused: max_connections are open");
        }
    }
}

/// A connection that is counted while it is open.
struct Open(Arc<Broker>);

impl Open {
    fn count(broker: &Arc<Broker>) -> Self {
        broker.counters.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(broker))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves both ports until `stop` ends; then answers what is under way and closes. The store stays open.
pub async fn run(broker: Arc<Broker>, listeners: Listeners, stop: impl Future<Output = ()>) {
    let (stopper, stopping) = watch::channel(false);
    let (alive, mut all_gone) = mpsc::channel(1);
    let gate = Arc::new(Gate {
        broker: Arc::clone(&broker),
        next_id: AtomicU64::new(1),
        places: Arc::new(Semaphore::new(broker.settings.connections_max as usize)),
        stopping,
        alive,
    });
    let tasks = [
        tokio::spawn(accept(Arc::clone(&gate), listeners.broker, Port::Broker)),
        tokio::spawn(accept(gate, listeners.name_service, Port::NameService)),
        tokio::spawn(expire(Arc::clone(&broker))),
        tokio::spawn(count(Arc::clone(&broker))),
    ];
    stop.await;
    for task in tasks {
        task.abort();
        // An aborted task ends with an error that says so.
        let _ = task.await;
    }
    broker.holds.stop();
    stopper.send_replace(true);
    if timeout(STOP_MAX, all_gone.recv()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

async fn accept(gate: Arc<Gate>, listener: TcpListener, port: Port) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(unsaid) = gate.broker.warnings.accept.pass() {
                    tracing::warn!(%error, unsaid, "a connection could not be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&gate.places).try_acquire_owned() else {
            gate.refuse(address);
            continue;
        };
        // Small answers must not wait for the client's acknowledgement of earlier ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(client = %address, %error, "a connection ended at once");
            continue;
        }
        let id = gate.next_id.fetch_add(1, Ordering::Relaxed);
        let peer = Peer::new(id, address, port);
        let (broker, stopping) = (Arc::clone(&gate.broker), gate.stopping.clone());
        let held = (place, gate.alive.clone(), Open::count(&gate.broker));
        tokio::spawn(async move {
            // Made here, it stands in the task once.
            connection::serve(broker, stream.into_split(), peer, stopping).await;
            drop(held);
        });
    }
}

async fn expire(broker: Arc<Broker>) {
    let mut tick = interval(EXPIRY_INTERVAL);
    loop {
        tick.tick().await;
        broker.clients.expire(broker.clock.elapsed_ms());
        broker.resets.expire(broker.clock.elapsed_ms());
        let Broker { store, traffic, .. } = &*broker;
        traffic.retain(|topic| store.topic(topic).is_some(), |group| store.group(group).is_some());
    }
}

async fn count(broker: Arc<Broker>) {
    let mut tick = interval(COUNT_INTERVAL);
    loop {
        tick.tick().await;
        broker.traffic.tick(broker.store.now_ms());
    }
}
