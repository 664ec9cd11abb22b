//! One connection of a client: TLS, then HTTP, a request at a time.

use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Request as HttpRequest, Response, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_rustls::TlsAcceptor;

use crate::{refuse::Body, serve::Gateway, socket::Stream};

// === impl Gateway ===

impl Gateway {
    /// Serves one connection until it ends, or is told to.
    pub(crate) async fn connection(
        self: Arc<Self>,
        stream: Stream,
        peer: IpAddr,
        acceptor: TlsAcceptor,
        mut stopped: watch::Receiver<()>,
        hold: mpsc::Sender<()>,
    ) {
        let handshake = time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
        let Ok(Ok(stream)) = handshake else { return };
        let service = service_fn(|request| {
            let (own, hold) = (self.clone(), hold.clone());
            async move { Ok::<_, Infallible>(own.answer(request, peer, hold).await) }
        });
        let mut builder = http1::Builder::new();
        let _ = builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        let mut connection =
            pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn answer(
        self: Arc<Self>,
        request: HttpRequest<Incoming>,
        peer: IpAddr,
        hold: mpsc::Sender<()>,
    ) -> Response<Body> {
        let answered = self.serve(request, peer, hold).await;
        answered.unwrap_or_else(|denial| denial.response())
    }
}

/// How long TLS may take with a client.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a head may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// The most bytes of a head: a path and a query of 4 KiB, a token, a dozen headers, and words of a
/// command.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
