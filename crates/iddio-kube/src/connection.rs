//! One connection of a client: TLS, then HTTP/1.1 or HTTP/2, as the client chose.
//!
//! Who shows a certificate is looked at in the handshake, and again once a minute for as long as the
//! connection lives, a resumed one like any other: what was believed once is not believed for ever.
//! Whether the agent is still registered is asked for each request.
//!
//! A peer that vanished is found within a minute: by pings of HTTP/2, by probes of the kernel below
//! everything else (fault F7).

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::{
    Method, Request as HttpRequest, Response, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use iddio_mint::{
    clients::{Certified, Clients},
    tls::HTTP_2,
};
use iddio_serve::{
    drain::Phase,
    penalties::Visit,
    trace::{Attribute, Outcome, Said},
};
use rustls::{
    HandshakeKind, ServerConnection,
    pki_types::{CertificateDer, UnixTime},
};
use tokio::{sync::mpsc, time};
use tokio_rustls::TlsAcceptor;

use crate::{
    refuse::Body,
    serve::Gateway,
    socket::{self, Stream},
};

/// Who is at the other end of a connection.
pub(crate) struct Peer {
    /// Where from.
    pub(crate) address: IpAddr,
    /// Held until all that flows on it is on record.
    pub(crate) hold: mpsc::Sender<()>,
    /// The certificates it showed, its own first.
    chain: Vec<CertificateDer<'static>>,
    looked: Mutex<Option<(Option<Certified>, Instant)>>,
    /// What it costs its source.
    pub(crate) visit: Arc<Visit>,
}

/// What a peer showed of itself in the handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    /// A certificate that says who it is.
    Agent(Certified),
    /// No certificate.
    Nothing,
    /// A certificate that is nobody's by now.
    Stale,
}

// === impl Peer ===

impl Peer {
    /// Takes what was shown in a handshake.
    fn of(
        tls: &ServerConnection,
        clients: &Clients,
        address: IpAddr,
        hold: mpsc::Sender<()>,
        visit: Arc<Visit>,
    ) -> Self {
        let chain = tls.peer_certificates().unwrap_or_default();
        let chain: Vec<_> =
            chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let looked = match tls.handshake_kind() {
            // What was resumed was verified whenever that was.
            Some(HandshakeKind::Resumed) | None => None,
            // Verified just now.
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) => {
                let certified = clients.certified(&chain, UnixTime::now()).ok();
                Some((certified, Instant::now()))
            }
        };
        Self { address, hold, chain, looked: Mutex::new(looked), visit }
    }

    /// Says whose certificate it showed, if that is still somebody's.
    pub(crate) fn shown(&self, clients: &Clients) -> Shown {
        if self.chain.is_empty() {
            return Shown::Nothing;
        }
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let certified = match looked.as_ref() {
            Some((certified, when)) if when.elapsed() < LOOK_AGAIN => certified.clone(),
            _ => {
                let certified = clients.certify(&self.chain, UnixTime::now()).ok();
                *looked = Some((certified.clone(), Instant::now()));
                certified
            }
        };
        certified.map_or(Shown::Stale, Shown::Agent)
    }
}

// === impl Gateway ===

impl Gateway {
    /// Serves one connection until it ends, or is told to.
    pub(crate) async fn connection(
        self: Arc<Self>,
        stream: Stream,
        address: IpAddr,
        acceptor: TlsAcceptor,
        visit: Arc<Visit>,
        hold: mpsc::Sender<()>,
    ) {
        socket::tend(&stream);
        let handshake = tokio::select! {
            handshake = time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)) => handshake,
            () = visit.overdue() => return self.meters.overdue(),
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => {
                self.meters.handshake();
                return self.strangers.count(address);
            }
            Err(_) => return self.meters.overdue(),
        };
        let drained = self.shared.drain.listen();
        let (_, tls) = stream.get_ref();
        let multiplexed = tls.alpn_protocol() == Some(HTTP_2);
        let peer = Arc::new(Peer::of(tls, self.front.clients(), address, hold, visit));
        let service = service_fn(|request| {
            let answering = self.clone().answer(request, peer.clone());
            let drained = drained.clone();
            async move {
                let mut answer = answering.await;
                if Phase::Serving < drained.phase() && answer.version() == Version::HTTP_11 {
                    let _ =
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let stream = TokioIo::new(stream);
        if multiplexed {
            let mut connection = pin!(multiplexing().serve_connection(stream, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = peer.visit.overdue() => return self.meters.overdue(),
                () = drained.reaches(Phase::Closing) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        } else {
            let connection = one_by_one().serve_connection(stream, service).with_upgrades();
            let mut connection = pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = peer.visit.overdue() => return self.meters.overdue(),
                () = drained.reaches(Phase::Closing) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: HttpRequest<Incoming>,
        peer: Arc<Peer>,
    ) -> Response<Body> {
        let tracer = &self.shared.tracer.clone();
        let came = request.headers().get("traceparent").and_then(|came| came.to_str().ok());
        let span = tracer.begin(came);
        let method = span.as_ref().map(|_| method(request.method()));
        let goes = span.as_ref().and_then(|span| HeaderValue::from_str(&span.traceparent()).ok());
        let answered = self.serve(request, peer, goes).await;
        let answer = answered.unwrap_or_else(|denial| denial.response());
        if let (Some(span), Some(method)) = (span, method) {
            tracer.end(span, said(method, answer.status()));
        }
        answer
    }
}

/// Says of a request what a span says: nothing of a client's own words.
fn said(method: &'static str, status: StatusCode) -> Said {
    let attributes = vec![
        ("http.request.method", Attribute::Text(method.to_owned())),
        ("http.response.status_code", Attribute::Int(i64::from(status.as_u16()))),
    ];
    let outcome = match status.is_server_error() {
        true => Outcome::Error,
        false => Outcome::Ok,
    };
    Said { name: "kubernetes request", attributes, outcome }
}

fn method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| method == known).unwrap_or("_OTHER")
}

/// HTTP/1.1, within its limits.
fn one_by_one() -> http1::Builder {
    let mut builder = http1::Builder::new();
    let _ = builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
}

/// HTTP/2, within its limits.
fn multiplexing() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let _ = builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(FAULTS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_MAX);
    builder
}

/// How long TLS may take with a client.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a certificate is believed before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How long a head may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// The most bytes of a head: a path and a query of 4 KiB, a token, a dozen headers, and words of a
/// command.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The same, in HTTP/2, where it may come in any number of frames: beyond it the connection ends.
const HEAD_LIST_BYTES_MAX: u32 = 64 * 1024;

/// The most headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;

/// The most requests at once on one connection: what servers written in Go allow, which API servers
/// are, so that no client finds less here.
const STREAMS_MAX: u32 = 250;

/// The most requests that a client took back before they were looked at (CVE-2023-44487): beyond it
/// the connection ends. Honest clients take back a few when they stop.
const RESETS_MAX: usize = 64;

/// The most requests that this side had to break off because of what the client did: an honest client
/// causes none.
const FAULTS_MAX: usize = 64;

/// How much of one body may be on its way: a body has 3 MiB at most, and most have a few KiB.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// How much of all bodies of a connection may be on its way.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How much of an answer waits for a client that does not take it.
const SEND_BYTES_MAX: usize = 128 * 1024;

/// How often a connection of HTTP/2 is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long it has to say so.
const PING_MAX: Duration = Duration::from_secs(20);
