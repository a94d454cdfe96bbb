//! One connection: reads frames, runs handlers, writes answers as they come.
//!
//! One task does all three, so a request that is answered at once never changes threads, and all answers of one wake-up
//! leave in one write. Answers that wait for the log stand in a queue beside, requests that wait for more in a set.
//!
//! Invariants:
//!
//! - what a connection holds (requests in flight, answers not written) stays near `IN_FLIGHT_BYTES_MAX`: above it, no
//!   more is read, so the client's own sends block;
//! - what all connections hold stays near the budget of [`crate::memory`]: above it, each goes on with the little that is
//!   its own, and a long request is read once there is room for the whole of it;
//! - a client that does not take its answers, or not finish a request, is closed at the second look, see `LOOK_EVERY`;
//! - a one-way request is never answered;
//! - what had come before the client went is served, whether or not its answers find anybody;
//! - a request for which the store prepares space, or has too much to flush, is tried again and holds back those behind
//!   it on its connection, so that sends keep their order; nobody else waits for it;
//! - whatever the bytes or the handler do, only this connection ends, or not even that.

use std::{
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    broker::{Broker, Counters},
    clients::{
        kept,
        peer::{Peer, Push},
        questions::Told,
    },
    handlers,
    latency::Meter,
    memory::{Charge, FREE_BYTES},
    net::{
        held_back::{Claiming, Stalled},
        in_flight::{Asked, InFlight, kind, panicked},
        standing::Answers,
    },
    patience::Patience,
    remoting::{
        Encoding, Frame, FrameError, Header, Outbox, Reply, Request, Response,
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
const READ_BYTES: (usize, usize) = (1024, 256 * 1024);
/// With less than this left in a buffer, a new one is made.
const READ_BYTES_LEFT: usize = 4 * 1024;
/// A long request claims room once so many bytes of it have come: an announcement alone takes it from nobody.
const CLAIM_AFTER: usize = 4 * 1024;
/// How often a connection looks whether its client keeps up. What waits to be written at one look must be written at
/// the next, and a request that has begun must be whole: so a client that is too slow goes after one to two of these.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The same while it holds memory that others wait for.
const LOOK_IN_NEED: Duration = Duration::from_secs(10);
/// While there is no room for another request, it is looked for this often.
const ROOM_EVERY: Duration = Duration::from_millis(20);

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
    /// The client does not keep up: what with.
    Slow(&'static str),
    /// The client does not speak the protocol.
    Protocol(FrameError),
}

/// Serves a connection, both halves of it, until it ends or `stopping` says so.
pub async fn serve<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    broker: Arc<Broker>,
    (mut reader, mut writer): (R, W),
    (peer, pushes): (Peer, mpsc::Receiver<Box<Push>>),
    stopping: watch::Receiver<bool>,
) {
    let (peer, now) = (Arc::new(peer), Instant::now());
    let _gone = Registered { broker: Arc::clone(&broker), peer: Arc::clone(&peer) };
    let mut connection = Connection {
        broker: Arc::clone(&broker),
        peer: Arc::clone(&peer),
        input: BytesMut::new(),
        buffer: 0,
        read_bytes: READ_BYTES.0,
        claim: Claiming::Not,
        outbox: Outbox::default(),
        in_flight: FuturesUnordered::new(),
        standing: Answers::default(),
        charged: 0,
        held: broker.memory.charge(),
        encoding: Encoding::Json,
        stalled: None,
        behind: false,
        active: now,
        frames: 0,
        came: now,
        meter: Meter::new(Arc::clone(&broker.latencies)),
        written: 0,
        written_at_look: 0,
        last_look: None,
    };
    let end = connection.run(&mut reader, &mut writer, pushes, stopping).await;
    if matches!(end, End::Io(_)) {
        let _ = timeout(LAST_WORDS, connection.hear_out(&mut reader)).await;
    }
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
        End::Slow(what) => {
            Counters::count(&broker.counters.slow_connections);
            if let Some(unsaid) = broker.warnings.slow.pass() {
                tracing::warn!(%client, unsaid, "closing a connection that is too slow: {what}");
            }
        }
        End::Closed | End::Stopped => tracing::debug!(%client, "a connection ended"),
    }
    connection.finish(writer).await;
}

/// Writes some of what is ready. Dropping the future loses nothing.
async fn write<W: AsyncWrite + Unpin>(writer: &mut W, outbox: &mut Outbox) -> io::Result<usize> {
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
    /// Bytes that `input` stands in, all in all.
    buffer: usize,
    read_bytes: usize,
    claim: Claiming,
    outbox: Outbox,
    in_flight: FuturesUnordered<InFlight>,
    standing: Answers,
    charged: usize,
    held: Charge,
    encoding: Encoding,
    stalled: Option<Stalled>,
    /// Something was served that may have appended, and nobody saw to it that it is applied.
    behind: bool,
    /// When something came or went last.
    active: Instant,
    /// Frames that have come.
    frames: u64,
    /// When the last bytes came.
    came: Instant,
    meter: Meter,
    /// Bytes written.
    written: u64,
    /// So many of them had been when the connection was last looked at.
    written_at_look: u64,
    last_look: Option<Look>,
}

/// What a client had to do when it was looked at.
struct Look {
    at: Instant,
    /// Finish the request after so many.
    half: Option<u64>,
    /// Take what was written up to here.
    unwritten: Option<u64>,
}

impl Connection {
    async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
        mut pushes: mpsc::Receiver<Box<Push>>,
        mut stopping: watch::Receiver<bool>,
    ) -> End {
        let mut look = pin!(sleep_until(self.active + LOOK_EVERY));
        let told = stopping.clone();
        let mut stop = pin!(stopping.wait_for(|stop| *stop));
        let mut deadline = None;
        loop {
            // Asked for here, for a client that always has more to read would keep the branch below from its turn.
            if deadline.is_none() && told.has_changed().unwrap_or(true) {
                let at = Instant::now() + LAST_WORDS;
                deadline = Some(at);
                look.as_mut().reset(at);
            }
            if deadline.is_none() {
                if let Err(error) = self.take_frames() {
                    return End::Protocol(error);
                }
            } else if self.is_done() {
                return End::Stopped;
            }
            match self.settle(writer) {
                Ok(true) => continue, // what left made room for what waits, or was the last
                Ok(false) => {}
                Err(end) => return end,
            }
            let no_room = deadline.is_none() && self.waits_for_room();
            let may_read = deadline.is_none() && !no_room && self.may_read();
            if may_read {
                self.make_room();
            }
            // Its heartbeats have free bytes of their own.
            self.held.set(self.holds().max(FREE_BYTES) + kept::beyond_free(&self.peer));
            tokio::select! {
                biased;
                written = write(writer, &mut self.outbox), if !self.outbox.is_empty() => {
                    if let Err(end) = self.wrote(written) {
                        return end;
                    }
                }
                // Before answers, some of which follow from what the client is told here.
                Some(push) = pushes.recv(), if self.outbox.len() < IN_FLIGHT_BYTES_MAX => {
                    self.outbox.push_request(self.encoding, push.opaque, push.one_way, push.request);
                }
                answered = self.standing.next(),
                    if !self.standing.is_empty() && self.outbox.len() < IN_FLIGHT_BYTES_MAX =>
                {
                    self.answered(answered);
                }
                Some(answered) = self.in_flight.next(),
                    if !self.in_flight.is_empty() && self.outbox.len() < IN_FLIGHT_BYTES_MAX =>
                {
                    self.answered(answered);
                }
                () = Stalled::due(self.stalled.as_mut()) => {
                    if let Err(error) = self.try_stalled() {
                        return End::Protocol(error);
                    }
                }
                () = self.claim.granted() => look.as_mut().reset(Instant::now() + LOOK_IN_NEED),
                read = reader.read_buf(&mut self.input), if may_read => match read {
                    Ok(0) => return End::Closed,
                    Ok(n) => self.received(n),
                    Err(error) => return End::Io(error),
                },
                () = async { sleep(ROOM_EVERY).await }, if no_room => {}
                _ = &mut stop, if deadline.is_none() => {}
                () = &mut look => match (deadline, self.look()) {
                    (Some(_), _) => return End::Stopped,
                    (None, Some(end)) => return end,
                    (None, None) => look.as_mut().reset(self.next_look()),
                },
            }
        }
    }

    /// Writes answers if the socket takes any at once, which it tells; else applies what was appended, while the client
    /// reads them, or where it does not.
    fn settle<W: AsyncWrite + Unpin>(&mut self, writer: &mut W) -> Result<bool, End> {
        if !self.outbox.is_empty()
            && let Some(written) = write(writer, &mut self.outbox).now_or_never()
        {
            return self.wrote(written).map(|()| true);
        }
        if self.behind {
            self.catch_up();
        }
        Ok(false)
    }

    /// Shows what was appended, once for all requests of a wake-up.
    fn catch_up(&mut self) {
        self.behind = false;
        self.broker.store.catch_up();
    }

    /// Whether nothing is left to be answered.
    fn is_done(&self) -> bool {
        self.stalled.is_none()
            && self.in_flight.is_empty()
            && self.standing.is_empty()
            && self.outbox.is_empty()
    }

    fn load(&self) -> usize {
        self.charged + self.outbox.len()
    }

    /// Bytes held by requests and answers under way.
    fn busy(&self) -> usize {
        self.charged + self.outbox.owned() + self.stalled.as_ref().map_or(0, |stalled| stalled.frame.len())
    }

    /// Bytes held, but for what is claimed.
    fn holds(&self) -> usize {
        let coming = if matches!(self.claim, Claiming::Granted { .. }) { 0 } else { self.buffer };
        self.busy() + coming
    }

    /// Whether another request may be served: above the budget, only while this connection holds next to nothing.
    fn may_serve(&self) -> bool {
        self.stalled.is_none()
            && self.load() < IN_FLIGHT_BYTES_MAX
            && (self.busy() < FREE_BYTES || self.broker.memory.has_room())
    }

    /// Whether a whole request has come that nothing but the budget holds back.
    fn waits_for_room(&self) -> bool {
        self.stalled.is_none()
            && self.load() < IN_FLIGHT_BYTES_MAX
            && frame::announced(&self.input).is_some_and(|bytes| bytes <= self.input.len())
    }

    fn may_read(&self) -> bool {
        self.stalled.is_none()
            && self.load() < IN_FLIGHT_BYTES_MAX
            && !matches!(self.claim, Claiming::Waits(_))
    }

    /// Makes room to read into: no more ahead than has already come, however long a frame claims to be.
    fn make_room(&mut self) {
        if self.buffer > READ_BYTES.0 && !self.broker.memory.has_room() {
            self.read_bytes = READ_BYTES.0;
        }
        let missing = frame::missing(&self.input).min(self.input.len());
        let wanted = missing.max(self.read_bytes);
        let left = self.input.capacity() - self.input.len();
        let cramped = left < READ_BYTES_LEFT.min(self.read_bytes / 4) || missing > self.read_bytes;
        // An empty one gets its front back, so that one read brings all that is there.
        if cramped || self.input.is_empty() {
            self.input.reserve(wanted);
            self.buffer = self.input.capacity();
        }
    }

    fn received(&mut self, n: usize) {
        self.came = Instant::now();
        self.active = self.came;
        if n >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES.1);
        }
    }

    fn wrote(&mut self, written: io::Result<usize>) -> Result<(), End> {
        match written {
            Ok(0) => Err(End::Closed),
            Ok(n) => {
                self.written += n as u64;
                Ok(())
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Serves all whole frames that have come, as far as the load allows, and claims room for the rest of a long one.
    fn take_frames(&mut self) -> Result<(), FrameError> {
        while self.may_serve()
            && let Some(frame) = frame::decode(&mut self.input)?
        {
            self.frames += 1;
            self.serve_frame(&frame, None)?;
            if !matches!(self.claim, Claiming::Not) {
                // The long request is done with, and so is the long buffer.
                self.input = BytesMut::from(&self.input[..]);
                self.buffer = self.input.len();
                self.claim = Claiming::Not;
            }
        }
        self.meter.settle(|| self.came.elapsed());
        let coming = frame::announced(&self.input).filter(|bytes| *bytes > FREE_BYTES.max(self.input.len()));
        if let Some(bytes) = coming
            && self.input.len() >= CLAIM_AFTER
            && matches!(self.claim, Claiming::Not)
        {
            self.claim = Claiming::Waits(self.broker.memory.claim(bytes));
        }
        Ok(())
    }

    /// Whether the client keeps up; what ends the connection if not. Gives back buffers that nobody needs.
    fn look(&mut self) -> Option<End> {
        let now = Instant::now();
        let wrote = std::mem::replace(&mut self.written_at_look, self.written) < self.written;
        if wrote || matches!(self.claim, Claiming::Waits(_)) {
            // No clock is read at each write, so silence after one is noticed a little later; and one that may not go
            // on is not silent.
            self.active = now;
        }
        let half = !self.input.is_empty() && self.may_read() && !self.waits_for_room();
        let seen = Look {
            at: now,
            half: half.then_some(self.frames),
            unwritten: (!self.outbox.is_empty()).then(|| self.written + self.outbox.len() as u64),
        };
        let last = self.last_look.take();
        let unread = last.as_ref().is_some_and(|last| last.unwritten.is_some_and(|end| self.written < end));
        let unfinished = last.as_ref().is_some_and(|last| last.half.is_some() && last.half == seen.half);
        let begun = last.filter(|_| unread || unfinished).unwrap_or(seen);
        let in_need = self.holds_much() && self.broker.memory.waiting() > 0;
        if now - begun.at >= if in_need { LOOK_IN_NEED } else { LOOK_EVERY } {
            let what =
                if unread { "it does not take its answers" } else { "a request does not come to its end" };
            return Some(End::Slow(what));
        }
        self.last_look = Some(begun);
        if now - self.active >= IDLE_MAX {
            return Some(End::Idle);
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
            (self.buffer, self.read_bytes) = (0, READ_BYTES.0);
        }
        self.outbox.shrink();
        None
    }

    /// Whether it holds memory that others could have.
    fn holds_much(&self) -> bool {
        matches!(self.claim, Claiming::Granted { .. }) || self.holds() > FREE_BYTES
    }

    fn next_look(&self) -> Instant {
        let pause = if self.holds_much() { LOOK_IN_NEED } else { LOOK_EVERY };
        (Instant::now() + pause).min(self.active + IDLE_MAX)
    }

    fn try_stalled(&mut self) -> Result<(), FrameError> {
        if let Some(Stalled { frame, patience, .. }) = self.stalled.take() {
            self.serve_frame(&frame, Some(patience))?;
        }
        self.meter.settle(|| self.came.elapsed());
        Ok(())
    }

    /// Keeps a request to try it again; false if it has had its tries.
    fn stall(&mut self, frame: &Frame, patience: Option<Patience>) -> bool {
        let mut patience = patience.unwrap_or_else(|| {
            Counters::count(&self.broker.counters.stalls);
            Patience::begin()
        });
        let next = patience.next_try();
        let flush = self.broker.store.next_flush();
        self.stalled = next.map(|at| Stalled { frame: frame.clone(), patience, at, flush });
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
        let (code, opaque, one_way) = (header.code, header.opaque, header.is_one_way());
        let request = Request { header, body: frame.body.clone() };
        let reply = catch_unwind(AssertUnwindSafe(|| handlers::handle(&self.broker, &self.peer, &request)))
            .unwrap_or_else(|_| Reply::Now(panicked(&self.broker.counters.panics)));
        match reply {
            Reply::Now(response) if response.not_yet && self.stall(frame, patience) => {}
            Reply::Now(response) => {
                self.meter.at_once(kind(code, &response), || self.came.elapsed());
                if !one_way {
                    self.outbox.push_response(frame.encoding, opaque, response);
                }
            }
            Reply::Standing(safe, answer) => {
                let asked = self.charge(frame, (code, opaque, one_way));
                self.standing.push(safe, asked, answer);
            }
            Reply::Later(answer) => {
                let asked = self.charge(frame, (code, opaque, one_way));
                let broker = Arc::clone(&self.broker);
                self.in_flight.push(InFlight { asked, broker, answer });
            }
        }
        Ok(())
    }

    /// What is kept of a request that is answered later, and counts until then.
    fn charge(&mut self, frame: &Frame, (code, opaque, one_way): (i32, i32, bool)) -> Asked {
        let charge = frame.len() + REQUEST_OVERHEAD;
        self.charged += charge;
        Asked { code, opaque, encoding: frame.encoding, one_way, charge, came: self.came }
    }

    /// Serves what had come when the client went, and answers nothing: its last commits are in there, and a client that
    /// closes its end while an answer is on its way loses what it sent before, otherwise.
    async fn hear_out<R: AsyncRead + Unpin>(&mut self, reader: &mut R) {
        loop {
            self.outbox = Outbox::default();
            if self.take_frames().is_err() || !self.may_serve() || !self.may_read() {
                return;
            }
            self.make_room();
            if !reader.read_buf(&mut self.input).await.is_ok_and(|n| n > 0) {
                return;
            }
        }
    }

    /// Takes one answer that came later, and all others that are there by now.
    fn answered(&mut self, first: (Asked, Response)) {
        self.behind = true;
        let now = Instant::now();
        let mut next = Some(first);
        while let Some((asked, response)) = next.take() {
            self.charged -= asked.charge;
            let took = now.saturating_duration_since(asked.came);
            self.meter.add(kind(asked.code, &response), took);
            if !asked.one_way {
                self.outbox.push_response(asked.encoding, asked.opaque, response);
            }
            if self.outbox.len() < IN_FLIGHT_BYTES_MAX {
                next = self.standing.next_now();
                if next.is_none() && !self.in_flight.is_empty() {
                    next = self.in_flight.next().now_or_never().flatten();
                }
            }
        }
    }

    /// Writes what is ready, and lets requests that are under way end without an answer.
    async fn finish<W: AsyncWrite + Unpin>(mut self, mut writer: W) {
        self.catch_up();
        // A pull that waits goes with its client: woken later, it would take news that nobody reads.
        let under_way = mem::take(&mut self.in_flight).into_iter().filter(|one| !one.asked.is_pull());
        let mut in_flight: FuturesUnordered<_> = under_way.collect();
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
