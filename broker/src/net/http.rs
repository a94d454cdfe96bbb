//! The port for those who watch: `/metrics`, `/livez`, `/readyz`, `/startupz`.
//!
//! It is bound before the store is opened, and answers meanwhile. What one client can take is bounded: so many
//! connections, headers of so many bytes within so long, no bodies; what takes locks runs outside of the runtime's own
//! threads.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    health::{Health, Verdict},
    metrics::{self, Exporter},
};

/// Most connections at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 16;
/// A request's head must have come within this.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// A connection ends after this, whatever it is doing.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the port tells.
#[derive(Debug)]
pub struct Watched {
    /// The state of the process.
    pub health: Arc<Health>,
    exporter: Exporter,
}

impl Watched {
    /// Tells of this.
    #[must_use]
    pub fn new(health: Arc<Health>) -> Arc<Self> {
        Arc::new(Self { health, exporter: Exporter::default() })
    }
}

/// Binds the port.
///
/// # Errors
///
/// The system's.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, watched: Arc<Watched>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let watched = Arc::clone(&watched);
                tokio::spawn(async move {
                    // Its time is over, or it ended by itself: the same to us.
                    let _ = timeout(CONNECTION_MAX, connection(stream, watched)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection of somebody who watches could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, watched: Arc<Watched>) {
    let service = service_fn(move |request| {
        let watched = Arc::clone(&watched);
        async move { Ok::<_, Infallible>(answer(&request, watched).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of somebody who watches failed");
    }
}

async fn answer(request: &Request<Incoming>, watched: Arc<Watched>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/livez" => verdict(&watched.health.live()),
        "/startupz" => verdict(&watched.health.started()),
        "/readyz" => match spawn_blocking(move || watched.health.ready()).await {
            Ok(ready) => verdict(&ready),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the check failed\n"),
        },
        "/metrics" => match spawn_blocking(move || watched.exporter.render(watched.health.broker())).await {
            Ok(page) => typed(StatusCode::OK, metrics::CONTENT_TYPE, page),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics failed\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "/metrics /livez /readyz /startupz\n"),
    }
}

fn verdict(of: &Verdict) -> Response<Full<Bytes>> {
    let status = if of.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(of) {
        Ok(json) => typed(status, "application/json", json + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body.to_owned())
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
