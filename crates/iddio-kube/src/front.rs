//! What the gateway shows to clients, and whose certificates it believes.
//!
//! The server's certificate is the home's own, issued by its authority and renewed before it ends
//! while connections live on; or it is the operator's, whose files are read again once they changed.
//! Either way what replaced what is on record.

use std::{path::PathBuf, sync::Arc, time::Duration};

use iddio_mint::{
    clients::Clients,
    tls::{self, Served, Serves, TlsError},
};
use iddio_runtime::{
    assemble::Runtime,
    authority::{self, AuthorityError, server_path},
};
use iddio_serve::certificate;
use rustls::ServerConfig;

use crate::config::Config;

/// The listener's side of TLS.
pub struct Front {
    runtime: Arc<Runtime>,
    source: Source,
    served: Arc<Served>,
    clients: Arc<Clients>,
    config: Arc<ServerConfig>,
}

/// Where the server's certificate comes from.
enum Source {
    /// Files that somebody else renews: the chain, the key.
    Files(PathBuf, PathBuf),
    /// This home: where it is kept, and the names it is for.
    Home(PathBuf, Vec<String>),
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The home's authority issues nothing.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificate or the key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

// === impl Front ===

impl Front {
    /// Reads the certificates, issuing what is the home's to issue.
    ///
    /// # Errors
    ///
    /// When one cannot be read, made or recorded.
    pub fn open(runtime: Arc<Runtime>, config: &Config) -> Result<Self, FrontError> {
        let authority = authority::open(&runtime, None)?;
        let source = match &config.identity {
            Some(own) => Source::Files(own.certificate.clone(), own.key.clone()),
            None => Source::Home(server_path(&runtime.home().tls()), config.names()),
        };
        let served = match &source {
            Source::Files(certificate, key) => Served::read(certificate, key)?,
            Source::Home(path, names) => match Served::read(path, path) {
                Ok(served) => served,
                Err(_) => {
                    let path = authority::server(&runtime, &authority, names, None, None)?;
                    Served::read(&path, &path)?
                }
            },
        };
        let believed = authority.certificate().as_bytes();
        let clients = Clients::new(believed, config.client_authority.as_deref())?;
        let config = tls::listener(served.clone(), Some(clients.clone()))?;
        let front = Self { runtime, source, served, clients, config };
        front.look_after()?;
        Ok(front)
    }

    /// What a handshake is made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Whose certificates are believed.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// How the certificate in use is looked after: whenever its files change, and every hour.
    pub fn source(self: &Arc<Self>) -> certificate::Source {
        let (certificate, files) = match &self.source {
            Source::Files(certificate, key) => {
                (certificate.clone(), vec![certificate.clone(), key.clone()])
            }
            Source::Home(path, _) => (path.clone(), vec![path.clone()]),
        };
        let own = self.clone();
        let tend = Box::new(move || own.look_after().map_err(|error| error.to_string()));
        certificate::Source { certificate, files, tend }
    }

    /// Renews the certificate if it is the home's and ends soon or has other names than it should, and
    /// reads it again if it is somebody else's and changed. Where that fails, the old one stays.
    ///
    /// # Errors
    ///
    /// When there is no new certificate although there should be.
    pub fn look_after(&self) -> Result<(), FrontError> {
        let old = self.served.fingerprint();
        match &self.source {
            Source::Files(certificate, key) => {
                self.served.replace(certificate, key)?;
                let new = self.served.fingerprint();
                if new != old {
                    authority::replaced(&self.runtime, &old, &new)?;
                }
            }
            Source::Home(path, names) => {
                let authority = authority::open(&self.runtime, None)?;
                let believed = authority.certificate().as_bytes();
                if self.served.serves(believed, names, RENEW_AHEAD) == Serves::No {
                    let _path =
                        authority::server(&self.runtime, &authority, names, Some(&old), None)?;
                    self.served.replace(path, path)?;
                }
            }
        }
        Ok(())
    }
}

/// How long before its end a certificate is renewed.
const RENEW_AHEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
