//! The connections to one API server.
//!
//! Each is TLS to a server that the configured authority vouches for, HTTP/1.1, and used for one
//! request at a time. A connection whose answer was read to its end is kept for the next one; one that
//! was not, or that anything went wrong on, is closed. A request is sent once: only where it is
//! certain that nothing of it left is it sent on a new connection.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use iddio_net::Destination;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{task::JoinHandle, time};
use tokio_rustls::TlsConnector;

use crate::{
    config::{Cluster, ConfigError, Server},
    socket::{self, ReachError},
};

/// An API server.
pub struct Upstream {
    server: Server,
    named: Destination,
    name: ServerName<'static>,
    tls: TlsConnector,
    idle: Mutex<Vec<(Link, Instant)>>,
}

/// One connection to it.
pub struct Link {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// Why there is no API server to speak to.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its authority cannot be read.
    #[error("certificate authority: {0}")]
    Authority(String),
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
    /// Prepares connections. None is made.
    ///
    /// # Errors
    ///
    /// When the configuration does not describe a server, or its authority cannot be read.
    pub fn new(cluster: &Cluster) -> Result<Self, UpstreamError> {
        let server = cluster.server()?;
        let bad = |what: String| UpstreamError::Authority(what);
        let name = ServerName::try_from(server.host.clone()).map_err(|e| bad(e.to_string()))?;
        let named = authority(&server).parse::<Destination>().map_err(|e| bad(e.to_string()))?;
        let roots = roots(&cluster.certificate_authority).map_err(bad)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { server, named, name, tls, idle: Mutex::default() })
    }

    /// What the `Host` header says.
    pub fn authority(&self) -> String {
        authority(&self.server)
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
        while let Some(mut link) = self.kept() {
            match time::timeout(ANSWER_MAX, link.sender.try_send_request(request)).await {
                Err(_) => return Err(UpstreamError::Slow),
                Ok(Ok(response)) => return Ok((response, link)),
                Ok(Err(mut failed)) => match failed.take_message() {
                    // Nothing of it was sent: the server had closed meanwhile.
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
        let mut link = self.dial().await?;
        let answer = time::timeout(ANSWER_MAX, link.sender.send_request(request)).await;
        let response = answer.map_err(|_| UpstreamError::Slow)??;
        Ok((response, link))
    }

    /// Sends one request that wishes for something else than HTTP, on a connection of its own.
    ///
    /// # Errors
    ///
    /// When there is no connection, or no answer in time.
    pub async fn upgrade(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Link), UpstreamError> {
        let mut link = self.dial().await?;
        let answer = time::timeout(ANSWER_MAX, link.sender.send_request(request)).await;
        let response = answer.map_err(|_| UpstreamError::Slow)??;
        Ok((response, link))
    }

    /// Takes back a connection whose answer was read to its end.
    pub fn keep(&self, link: Link) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !link.sender.is_closed() {
            idle.push((link, Instant::now()));
        }
    }

    fn kept(&self) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(link, since)| since.elapsed() < IDLE_AGE_MAX && !link.sender.is_closed());
        let ready = idle.iter().rposition(|(link, _)| link.sender.is_ready())?;
        Some(idle.swap_remove(ready).0)
    }

    async fn dial(&self) -> Result<Link, UpstreamError> {
        let Server { host, port } = &self.server;
        let stream = socket::connect(&self.named, host, *port).await?;
        let handshake = self.tls.connect(self.name.clone(), stream);
        let stream = time::timeout(HANDSHAKE_MAX, handshake).await;
        let stream = stream.map_err(|_| UpstreamError::Slow)?.map_err(UpstreamError::Tls)?;
        let mut builder = http1::Builder::new();
        let _ = builder.max_buf_size(BUFFER_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // It ends when its link is dropped; what went wrong on it, whoever sent the request hears.
        let driver = tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Link { sender, driver })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn authority(server: &Server) -> String {
    let Server { host, port } = server;
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let text = std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err(format!("`{}` holds no certificate", path.display())),
        false => Ok(roots),
    }
}

/// How long the head of an answer may take: the API server itself gives up after 60 s.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// How long TLS may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The most connections that are kept for later.
const IDLE_MAX: usize = 32;

/// How long one is kept: shorter than API servers and what stands before them do.
const IDLE_AGE_MAX: Duration = Duration::from_secs(30);

/// The most of an answer that is read before it is passed on.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The most headers of an answer.
const HEADERS_MAX: usize = 128;
