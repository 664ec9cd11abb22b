//! The connections to one API server.
//!
//! Each is TLS to a server that the configured authority vouches for. HTTP/2 carries many requests on
//! one of them; where the server speaks HTTP/1.1 alone, each carries one at a time, and one whose answer
//! was read to its end is kept for the next. A stream into a workload has an HTTP/1.1 connection of its
//! own. A request is sent once: only where it is certain that nothing of it left is it sent on a new
//! connection.
//!
//! INVARIANT: no request waits because another's client is slow: what all requests of a connection may
//! have on their way is as much as each of them may.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::{http1, http2},
    header::{self, HeaderValue},
    http::uri::Scheme,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use iddio_mint::tls::{HTTP_2, TlsError};
use iddio_net::Destination;
use rustls::pki_types::ServerName;
use tokio::{sync::Mutex as Turn, task::JoinHandle, time};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    cluster::{Cluster, Server},
    config::ConfigError,
    socket::{self, ReachError, Stream},
    trust::{Offer, Trust},
};

/// An API server.
pub struct Upstream {
    server: Server,
    named: Destination,
    name: ServerName<'static>,
    trust: Trust,
    pool: Mutex<Pool>,
    dialing: Turn<()>,
}

/// The connections that there are.
#[derive(Default)]
struct Pool {
    shared: Vec<Arc<Shared>>,
    idle: Vec<(Single, Instant)>,
    speaks: Speaks,
}

/// What the server was found to speak.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Speaks {
    Http1,
    Http2,
    #[default]
    Unknown,
}

/// A request's part of a connection.
pub struct Link(Part);

enum Part {
    Seat(Seat),
    Single(Single),
}

/// A connection of HTTP/1.1.
struct Single {
    sender: http1::SendRequest<Full<Bytes>>,
    _driver: Driver,
}

/// A connection of HTTP/2.
struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    taken: AtomicUsize,
    /// How many the server allows.
    most: Arc<AtomicUsize>,
    _driver: Driver,
}

/// A place on one.
struct Seat(Arc<Shared>);

/// What moves a connection's bytes; dropped, it closes it.
struct Driver(JoinHandle<()>);

/// Why there is no API server to speak to.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its authority cannot be read.
    #[error("certificate authority: {0}")]
    Authority(String),
    /// So much is under way that one more would cost others.
    #[error("too much is under way to the API server")]
    Busy,
    /// It is not described.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ReachError),
    /// It speaks something else.
    #[error("the API server broke off: {0}")]
    Http(#[from] hyper::Error),
    /// It does not answer.
    #[error("the API server did not answer in time")]
    Slow,
    /// It is not who it should be.
    #[error("TLS with the API server failed: {0}")]
    Tls(std::io::Error),
}

// === impl Upstream ===

impl Upstream {
    /// Prepares connections that show nobody's certificate. None is made.
    ///
    /// # Errors
    ///
    /// When the configuration does not describe a server, or its authority cannot be read.
    pub fn new(cluster: &Cluster) -> Result<Self, UpstreamError> {
        Self::with(cluster, Trust::new(cluster.authority.clone(), None))
    }

    /// Prepares connections for the gateway itself, that show its certificate if it has one. No request
    /// of a client's may travel on them: the API server would take it for the gateway's.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn own(cluster: &Cluster) -> Result<Self, UpstreamError> {
        let shown = cluster.own.shown().map_err(UpstreamError::Config)?;
        Self::with(cluster, Trust::new(cluster.authority.clone(), shown))
    }

    fn with(cluster: &Cluster, trust: Result<Trust, TlsError>) -> Result<Self, UpstreamError> {
        let server = cluster.server.clone();
        let bad = |what: String| UpstreamError::Authority(what);
        let shown = cluster.tls_name.as_ref().unwrap_or(&server.host).clone();
        let name = ServerName::try_from(shown).map_err(|error| bad(error.to_string()))?;
        let named = server.to_string().parse().map_err(|error| bad(format!("{error}")))?;
        let trust = trust.map_err(|error| bad(error.to_string()))?;
        let (pool, dialing) = (Mutex::default(), Turn::default());
        Ok(Self { server, named, name, trust, pool, dialing })
    }

    /// What the `Host` header says.
    pub fn authority(&self) -> String {
        self.server.to_string()
    }

    /// Sends one request and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// When there is no connection, or no answer in time.
    pub async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Link), UpstreamError> {
        let authority = self.authority();
        for _ in 0..TRIES_MAX {
            let mut link = self.link().await?;
            let sending = link.try_send(&authority, request);
            match time::timeout(ANSWER_MAX, sending).await {
                Err(_) => return Err(UpstreamError::Slow),
                Ok(Ok(response)) => return Ok((response, link)),
                Ok(Err((error, unsent))) => match unsent {
                    // Nothing of it was sent: the server had closed meanwhile.
                    Some(unsent) => request = unsent,
                    None => return Err(error.into()),
                },
            }
        }
        Err(UpstreamError::Busy)
    }

    /// Sends one request that asks for a stream, on an HTTP/1.1 connection of its own, and waits for
    /// the head of its answer. The stream is what [`hyper::upgrade::on`] makes of that answer.
    ///
    /// # Errors
    ///
    /// When there is no connection, or no answer in time.
    pub async fn upgrade(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Link), UpstreamError> {
        let (stream, _) = self.connect(Offer::Http1).await?;
        let (mut sender, connection) = one_by_one().handshake(TokioIo::new(stream)).await?;
        let driver = Driver(tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        }));
        let sending = sender.send_request(single(&self.authority(), request));
        let answer = time::timeout(ANSWER_MAX, sending).await;
        let response = answer.map_err(|_| UpstreamError::Slow)??;
        Ok((response, Link(Part::Single(Single { sender, _driver: driver }))))
    }

    /// Takes back a connection whose answer was read to its end.
    pub fn keep(&self, link: Link) {
        let Link(Part::Single(single)) = link else { return };
        let mut pool = self.pool();
        if pool.idle.len() < IDLE_MAX && !single.sender.is_closed() {
            pool.idle.push((single, Instant::now()));
        }
    }

    async fn link(&self) -> Result<Link, UpstreamError> {
        if let Some(link) = self.kept()? {
            return Ok(link);
        }
        if self.pool().speaks == Speaks::Http1 {
            return self.dial().await;
        }
        // Who comes while somebody dials finds the connection that was made.
        let _turn = self.dialing.lock().await;
        match self.kept()? {
            Some(link) => Ok(link),
            None => self.dial().await,
        }
    }

    fn kept(&self) -> Result<Option<Link>, UpstreamError> {
        let mut pool = self.pool();
        pool.shared.retain(|shared| !shared.sender.is_closed());
        if let Some(seat) = pool.shared.iter().find_map(Shared::seat) {
            return Ok(Some(Link(Part::Seat(seat))));
        }
        if SHARED_MAX <= pool.shared.len() {
            return Err(UpstreamError::Busy);
        }
        pool.idle
            .retain(|(single, since)| since.elapsed() < IDLE_AGE_MAX && !single.sender.is_closed());
        let ready = pool.idle.iter().rposition(|(single, _)| single.sender.is_ready());
        let ready = ready.map(|ready| pool.idle.swap_remove(ready).0);
        Ok(ready.map(|single| Link(Part::Single(single))))
    }

    async fn dial(&self) -> Result<Link, UpstreamError> {
        let (stream, speaks) = self.connect(Offer::Both).await?;
        let stream = TokioIo::new(stream);
        self.pool().speaks = speaks;
        // It ends when its link is dropped; what went wrong on it, whoever sent the request hears.
        if speaks == Speaks::Http2 {
            let (sender, connection) = multiplexing().handshake(stream).await?;
            let most = Arc::new(AtomicUsize::new(STREAMS_MAX));
            let allowed = most.clone();
            let driver = Driver(tokio::spawn(async move {
                let mut connection = pin!(connection);
                poll_fn(|context| {
                    let ended = connection.as_mut().poll(context).map(drop);
                    allowed.store(connection.current_max_send_streams(), Ordering::Release);
                    ended
                })
                .await;
            }));
            let shared = Shared { sender, taken: AtomicUsize::new(0), most, _driver: driver };
            let shared = Arc::new(shared);
            let seat = Shared::seat(&shared).ok_or(UpstreamError::Busy)?;
            self.pool().shared.push(shared);
            return Ok(Link(Part::Seat(seat)));
        }
        let (sender, connection) = one_by_one().handshake(stream).await?;
        let driver = Driver(tokio::spawn(async move {
            let _ = connection.await;
        }));
        Ok(Link(Part::Single(Single { sender, _driver: driver })))
    }

    async fn connect(&self, offer: Offer) -> Result<(TlsStream<Stream>, Speaks), UpstreamError> {
        let Server { host, port } = &self.server;
        let stream = socket::connect(&self.named, host, *port).await?;
        let connector = TlsConnector::from(self.trust.config(offer));
        let handshake = connector.connect(self.name.clone(), stream);
        let stream = time::timeout(HANDSHAKE_MAX, handshake).await;
        let stream = stream.map_err(|_| UpstreamError::Slow)?.map_err(UpstreamError::Tls)?;
        let speaks = match stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
            true => Speaks::Http2,
            false => Speaks::Http1,
        };
        Ok((stream, speaks))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Link ===

impl Link {
    /// Sends a request, or gives it back if nothing of it was sent.
    async fn try_send(
        &mut self,
        authority: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Request<Full<Bytes>>>)> {
        let sent = match &mut self.0 {
            Part::Single(own) => own.sender.try_send_request(single(authority, request)).await,
            Part::Seat(Seat(shared)) => {
                let mut sender = shared.sender.clone();
                sender.try_send_request(multiplexed(authority, request)).await
            }
        };
        sent.map_err(|mut failed| {
            let unsent = failed.take_message();
            (failed.into_error(), unsent)
        })
    }
}

// === impl Shared ===

impl Shared {
    /// Takes a place, if one is free.
    fn seat(shared: &Arc<Self>) -> Option<Seat> {
        let most = STREAMS_MAX.min(shared.most.load(Ordering::Acquire));
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = shared.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Seat(shared.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Writes a request as HTTP/1.1 has it: a path, and the host in a header.
fn single(authority: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    if request.uri().authority().is_some()
        && let Some(path) = request.uri().path_and_query().cloned()
    {
        *request.uri_mut() = Uri::from(path);
    }
    if let Ok(host) = HeaderValue::from_str(authority) {
        let _ = request.headers_mut().insert(header::HOST, host);
    }
    request
}

/// Writes a request as HTTP/2 has it: the host beside the path.
fn multiplexed(authority: &str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = authority.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    let _ = request.headers_mut().remove(header::HOST);
    request
}

fn one_by_one() -> http1::Builder {
    let mut builder = http1::Builder::new();
    let _ = builder.max_buf_size(BUFFER_BYTES_MAX).max_headers(HEADERS_MAX);
    builder
}

fn multiplexing() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let _ = builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_LIST_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_MAX)
        .keep_alive_while_idle(true);
    builder
}

/// How long the head of an answer may take: the API server itself gives up after 60 s.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// How long TLS may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How many connections a request is tried on that turn out to be closed.
const TRIES_MAX: usize = 1 + IDLE_MAX;

/// The most connections of HTTP/1.1 that are kept for later.
const IDLE_MAX: usize = 32;

/// How long one is kept: shorter than API servers and what stands before them do.
const IDLE_AGE_MAX: Duration = Duration::from_secs(30);

/// The most requests at once on one connection of HTTP/2, where the server allows as many.
const STREAMS_MAX: usize = 100;

/// The most connections of HTTP/2: one request each for all that may be decided at once, and ten times
/// as many streams that flow.
const SHARED_MAX: usize = 64;

/// How much of one answer is on its way at once.
const WINDOW_BYTES: u32 = 128 * 1024;

/// The same for all answers of a connection together, so that clients that take nothing hold up nobody.
const CONNECTION_WINDOW_BYTES: u32 = WINDOW_BYTES * STREAMS_MAX as u32;

/// How often a connection of HTTP/2 is asked whether it lives: dead ones are found before a request is.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long it has to say so.
const PING_MAX: Duration = Duration::from_secs(20);

/// The most of an answer that is read before it is passed on.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The most headers of an answer.
const HEADERS_MAX: usize = 128;

/// The most bytes of them, in HTTP/2.
const HEAD_LIST_BYTES_MAX: u32 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_in_both_protocols_and_back_again() {
        let target = "/api/v1/pods?limit=1&fieldSelector=a%3Db";
        let request = || Request::get(target).header("host", "a:1").body(Full::default()).unwrap();
        let shared = multiplexed("a:1", request());
        assert_eq!(shared.uri().to_string(), format!("https://a:1{target}"));
        assert!(shared.headers().get("host").is_none());
        let back = single("a:1", shared);
        assert_eq!(back.uri().to_string(), target);
        assert_eq!(back.headers().get_all("host").iter().count(), 1);
        assert_eq!(single("a:1", request()).uri().to_string(), target);
    }
}
