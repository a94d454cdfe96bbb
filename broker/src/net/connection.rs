//! One connection: reads frames, runs handlers, writes answers as they come.
//!
//! One task does all three, so a request that is answered at once never changes threads, and all answers of one wake-up
//! leave in one write. Requests that wait stay in a set beside.
//!
//! Invariants:
//!
//! - what a connection holds (requests in flight, answers not written) stays near [`IN_FLIGHT_BYTES_MAX`]: above it, no
//!   more is read, so the client's own sends block;
//! - a one-way request is never answered;
//! - a request for which the store prepares space is tried again and holds back those behind it on its connection, so
//!   that sends keep their order; nobody else waits for it;
//! - whatever the bytes or the handler do, only this connection ends, or not even that.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    broker::{Broker, Counters},
    clients::{
        peer::{Peer, Push},
        questions::Told,
    },
    handlers,
    patience::Patience,
    remoting::{
        Encoding, Frame, FrameError, Header, Outbox, Reply, Request, Response,
        codes::response,
        command::Later,
        frame::{self},
    },
};

/// Bytes of requests in flight and answers not written above which nothing more is read.
const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A connection without traffic is closed after this long.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Answers in progress get this long when the connection or the broker ends.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What a request in flight costs beside its frame.
const REQUEST_OVERHEAD: usize = 512;
/// Least and most bytes asked of the socket at a time.
const READ_BYTES: (usize, usize) = (16 * 1024, 256 * 1024);

/// Why a connection ended.
enum End {
    /// The client closed it.
    Closed,
    /// Nothing came or went for [`IDLE_MAX`].
    Idle,
    /// The broker stops.
    Stopped,
    /// The socket failed.
    Io(io::Error),
    /// The client does not speak the protocol.
    Protocol(FrameError),
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    stream: TcpStream,
    peer: Peer,
    pushes: mpsc::Receiver<Push>,
    stopping: watch::Receiver<bool>,
) {
    let peer = Arc::new(peer);
    let _gone = Registered { broker: Arc::clone(&broker), peer: Arc::clone(&peer) };
    let (reader, writer) = stream.into_split();
    let mut connection = Connection {
        broker: Arc::clone(&broker),
        peer: Arc::clone(&peer),
        input: BytesMut::new(),
        read_bytes: READ_BYTES.0,
        outbox: Outbox::default(),
        in_flight: FuturesUnordered::new(),
        charged: 0,
        encoding: Encoding::Json,
        stalled: None,
        behind: false,
        active: Instant::now(),
        wrote: false,
    };
    let mut writer = writer;
    let end = connection.run(reader, &mut writer, pushes, stopping).await;
    // Nobody reads this client's answers any more.
    peer.gone();
    let client = peer.address;
    match end {
        End::Protocol(error) => {
            Counters::count(&broker.counters.protocol_errors);
            if let Some(unsaid) = broker.warnings.protocol.pass() {
                tracing::warn!(%client, %error, unsaid, "closing a connection that does not speak the protocol");
            }
        }
        End::Io(error) => tracing::debug!(%client, %error, "a connection failed"),
        End::Idle => tracing::debug!(%client, "closing a connection that has been silent for too long"),
        End::Closed | End::Stopped => tracing::debug!(%client, "a connection ended"),
    }
    connection.finish(writer).await;
}

/// Writes some of what is ready. Dropping the future loses nothing.
async fn write(writer: &mut OwnedWriteHalf, outbox: &mut Outbox) -> io::Result<usize> {
    if !outbox.is_one_piece() {
        return writer.write_buf(outbox).await;
    }
    // A plain write costs the system less than a gathering one.
    let written = writer.write(outbox.chunk()).await?;
    outbox.advance(written);
    Ok(written)
}

/// Takes the client out of all groups however its task ends.
struct Registered {
    broker: Arc<Broker>,
    peer: Arc<Peer>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.peer.gone();
        self.broker.clients.disconnected(&self.peer);
    }
}

struct Connection {
    broker: Arc<Broker>,
    peer: Arc<Peer>,
    input: BytesMut,
    read_bytes: usize,
    outbox: Outbox,
    in_flight: FuturesUnordered<InFlight>,
    charged: usize,
    encoding: Encoding,
    stalled: Option<Stalled>,
    /// Something was served that may have appended, and nobody saw to it that it is applied.
    behind: bool,
    /// When something came last.
    active: Instant,
    /// Something went since the connection was last looked at for silence.
    wrote: bool,
}

/// A request for which the store prepares space.
struct Stalled {
    frame: Frame,
    patience: Patience,
    at: Instant,
}

impl Stalled {
    /// Waits until it is to be tried again; for ever where nothing is stalled.
    async fn due(at: Option<Instant>) {
        match at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

impl Connection {
    async fn run(
        &mut self,
        mut reader: OwnedReadHalf,
        writer: &mut OwnedWriteHalf,
        mut pushes: mpsc::Receiver<Push>,
        mut stopping: watch::Receiver<bool>,
    ) -> End {
        let mut idle = pin!(sleep_until(self.active + IDLE_MAX));
        let mut stop = pin!(stopping.wait_for(|stop| *stop));
        let mut deadline = None;
        loop {
            if deadline.is_none() {
                if let Err(error) = self.take_frames() {
                    return End::Protocol(error);
                }
            } else if self.stalled.is_none() && self.in_flight.is_empty() && self.outbox.is_empty() {
                return End::Stopped;
            }
            // Answers leave at once; what was appended is applied while the client reads them, or where it does not.
            if !self.outbox.is_empty()
                && let Some(written) = write(writer, &mut self.outbox).now_or_never()
                && let Err(end) = self.written(written)
            {
                return end;
            }
            if self.behind {
                self.catch_up();
            }
            let may_read = deadline.is_none() && self.stalled.is_none() && self.load() < IN_FLIGHT_BYTES_MAX;
            if may_read {
                self.make_room();
            }
            tokio::select! {
                biased;
                written = write(writer, &mut self.outbox), if !self.outbox.is_empty() => {
                    if let Err(end) = self.written(written) {
                        return end;
                    }
                }
                Some(answered) = self.in_flight.next(),
                    if !self.in_flight.is_empty() && self.outbox.len() < IN_FLIGHT_BYTES_MAX =>
                {
                    self.answered(answered);
                }
                () = Stalled::due(self.stalled.as_ref().map(|stalled| stalled.at)) => {
                    if let Err(error) = self.try_stalled() {
                        return End::Protocol(error);
                    }
                }
                Some(push) = pushes.recv() => {
                    self.outbox.push_request(self.encoding, push.opaque, push.one_way, push.request);
                }
                read = reader.read_buf(&mut self.input), if may_read => match read {
                    Ok(0) => return End::Closed,
                    Ok(n) => self.received(n),
                    Err(error) => return End::Io(error),
                },
                _ = &mut stop, if deadline.is_none() => {
                    let at = Instant::now() + LAST_WORDS;
                    deadline = Some(at);
                    idle.as_mut().reset(at);
                }
                () = &mut idle => match deadline {
                    Some(_) => return End::Stopped,
                    // No clock is read at each write, so silence after one is noticed up to this much later.
                    None if std::mem::take(&mut self.wrote) => idle.as_mut().reset(Instant::now() + IDLE_MAX),
                    None if self.active.elapsed() >= IDLE_MAX => return End::Idle,
                    None => idle.as_mut().reset(self.active + IDLE_MAX),
                },
            }
        }
    }

    fn written(&mut self, written: io::Result<usize>) -> Result<(), End> {
        match written {
            Ok(0) => Err(End::Closed),
            Ok(_) => {
                self.wrote = true;
                Ok(())
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Shows what was appended, once for all requests of a wake-up.
    fn catch_up(&mut self) {
        self.behind = false;
        self.broker.store.catch_up();
    }

    fn load(&self) -> usize {
        self.charged + self.outbox.len()
    }

    /// Makes room to read into: no more ahead than has already come, however long a frame claims to be.
    fn make_room(&mut self) {
        let missing = frame::missing(&self.input).min(self.input.len());
        let wanted = missing.max(self.read_bytes);
        if self.input.capacity() - self.input.len() < READ_BYTES.0 / 4 || missing > self.read_bytes {
            self.input.reserve(wanted);
        }
    }

    fn received(&mut self, n: usize) {
        self.active = Instant::now();
        if n >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES.1);
        }
    }

    /// Serves all whole frames that have come, as far as the load allows.
    fn take_frames(&mut self) -> Result<(), FrameError> {
        while self.stalled.is_none()
            && self.load() < IN_FLIGHT_BYTES_MAX
            && let Some(frame) = frame::decode(&mut self.input)?
        {
            self.serve_frame(&frame, None)?;
        }
        Ok(())
    }

    fn try_stalled(&mut self) -> Result<(), FrameError> {
        match self.stalled.take() {
            Some(Stalled { frame, patience, .. }) => self.serve_frame(&frame, Some(patience)),
            None => Ok(()),
        }
    }

    /// Keeps a request to try it again; false if it has had its tries.
    fn stall(&mut self, frame: &Frame, patience: Option<Patience>) -> bool {
        let mut patience = patience.unwrap_or_else(|| {
            Counters::count(&self.broker.counters.stalls);
            Patience::begin()
        });
        let next = patience.next_try();
        self.stalled = next.map(|at| Stalled { frame: frame.clone(), patience, at });
        next.is_some()
    }

    fn serve_frame(&mut self, frame: &Frame, patience: Option<Patience>) -> Result<(), FrameError> {
        let header = Header::parse(frame)?;
        if header.is_response() {
            let told = || Told {
                code: header.code,
                remark: header.remark.as_deref().map(str::to_owned),
                body: frame.body.clone(),
            };
            if !self.peer.answered(header.opaque, told) {
                tracing::debug!(client = %self.peer.address, "an answer came that nobody waits for");
            }
            return Ok(());
        }
        self.encoding = frame.encoding;
        self.behind = true;
        let (opaque, one_way) = (header.opaque, header.is_one_way());
        let request = Request { header, body: frame.body.clone() };
        let reply = catch_unwind(AssertUnwindSafe(|| handlers::handle(&self.broker, &self.peer, &request)))
            .unwrap_or_else(|_| Reply::Now(panicked(&self.broker.counters.panics)));
        match reply {
            Reply::Now(response) if response.not_yet && self.stall(frame, patience) => {}
            Reply::Now(_) if one_way => {}
            Reply::Now(response) => self.outbox.push_response(frame.encoding, opaque, response),
            Reply::Later(answer) => {
                let charge = frame.len() + REQUEST_OVERHEAD;
                self.charged += charge;
                let encoding = frame.encoding;
                let broker = Arc::clone(&self.broker);
                self.in_flight.push(InFlight { opaque, encoding, one_way, charge, broker, answer });
            }
        }
        Ok(())
    }

    /// Takes one answer that came later, and all others that are there by now.
    fn answered(&mut self, first: Answered) {
        self.behind = true;
        let mut next = Some(first);
        while let Some(answered) = next.take() {
            self.charged -= answered.charge;
            if !answered.one_way {
                self.outbox.push_response(answered.encoding, answered.opaque, answered.response);
            }
            if self.outbox.len() < IN_FLIGHT_BYTES_MAX {
                next = self.in_flight.next().now_or_never().flatten();
            }
        }
    }

    /// Writes what is ready, and lets requests that are under way end without an answer.
    async fn finish(mut self, mut writer: OwnedWriteHalf) {
        self.catch_up();
        let mut in_flight = std::mem::take(&mut self.in_flight);
        if !in_flight.is_empty() {
            let store = self.broker.store.clone();
            tokio::spawn(timeout(LAST_WORDS, async move {
                while in_flight.next().await.is_some() {
                    store.catch_up();
                }
            }));
        }
        let _ = timeout(LAST_WORDS, async {
            while !self.outbox.is_empty() && write(&mut writer, &mut self.outbox).await.is_ok_and(|n| n > 0) {
            }
            writer.shutdown().await
        })
        .await;
    }
}

fn panicked(counter: &AtomicU64) -> Response {
    Counters::count(counter);
    Response::refuse(response::SYSTEM_ERROR, "the broker failed to serve this request; its log says why")
}

/// A request whose answer comes later.
struct InFlight {
    opaque: i32,
    encoding: Encoding,
    one_way: bool,
    charge: usize,
    broker: Arc<Broker>,
    answer: Later,
}

struct Answered {
    opaque: i32,
    encoding: Encoding,
    one_way: bool,
    charge: usize,
    response: Response,
}

impl Future for InFlight {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let this = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| this.answer.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(panicked(&this.broker.counters.panics)));
        polled.map(|response| Answered {
            opaque: this.opaque,
            encoding: this.encoding,
            one_way: this.one_way,
            charge: this.charge,
            response,
        })
    }
}
