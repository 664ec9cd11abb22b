//! What operators ask for over HTTP: `/metrics`, `/healthz`, `/readyz` and `/status`.
//!
//! It is a listener of its own, on this host unless the operator says otherwise, and reads nothing but
//! the path. INVARIANT: a scraper that hangs or floods holds a few small connections and nothing else.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use iddio_runtime::status::Readiness;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    task::JoinSet,
    time,
};

use crate::{listen::Listener, report::Reporter};

/// Answers on `listener` until it is dropped.
pub async fn serve(listener: Listener, reporter: Arc<Reporter>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let reporter = reporter.clone();
        let accepted = match &listener {
            Listener::Tcp(listener) => {
                listener.accept().await.map(|(stream, _)| Either::Tcp(stream))
            }
            Listener::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| Either::Unix(stream))
            }
        };
        let Ok(stream) = accepted else {
            time::sleep(PAUSE).await;
            continue;
        };
        let _ = connections.spawn(async move {
            match stream {
                Either::Tcp(stream) => connection(stream, reporter).await,
                Either::Unix(stream) => connection(stream, reporter).await,
            }
            drop(place);
        });
    }
}

enum Either<A, B> {
    Tcp(A),
    Unix(B),
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, reporter: Arc<Reporter>) {
    let service = service_fn(|request| {
        let answer = answer(&request, &reporter);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    let _ = builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Whoever does not read its answer loses it.
    let _ = time::timeout(LIFE_MAX, served).await;
}

fn answer(request: &Request<Incoming>, reporter: &Reporter) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => page(StatusCode::OK, METRICS, reporter.metrics()),
        "/healthz" if reporter.lives() => page(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/healthz" => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "silent\n".to_owned()),
        "/readyz" => match reporter.ready() {
            Readiness::Ready => page(StatusCode::OK, TEXT, "ready\n".to_owned()),
            Readiness::Unready { reasons } => {
                page(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n")
            }
        },
        "/status" => match serde_json::to_string(&reporter.report()) {
            Ok(text) => page(StatusCode::OK, JSON, text + "\n"),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        },
        _ => page(StatusCode::NOT_FOUND, TEXT, "/metrics /healthz /readyz /status\n".to_owned()),
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(Bytes::from(text)));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    let _ = headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    let _ = headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    page
}

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// The most at once: a few scrapers.
const CONNECTIONS_MAX: usize = 16;

/// How long a head may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// How long a connection may last.
const LIFE_MAX: Duration = Duration::from_secs(60);

/// The most bytes of a head: hyper takes no less.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The most headers.
const HEADERS_MAX: usize = 32;

/// How long to wait where no connection could be taken.
const PAUSE: Duration = Duration::from_millis(50);
