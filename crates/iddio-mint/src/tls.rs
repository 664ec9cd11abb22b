//! The keys of TLS: read here, lent to the TLS library, shown to nobody.
//!
//! A listener's certificate can be replaced while connections live on ([`Served`]). What a client
//! resumes it resumes with this process alone: the keys of tickets are drawn at the start, change every
//! few hours and are never written down.

use std::{
    fmt,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::WebPkiServerVerifier,
    client::danger::ServerCertVerifier as _,
    crypto::aws_lc_rs::{self, Ticketer},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    clients::Clients,
    file::{FileError, read_private},
};

/// Why a listener has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The chain cannot be read.
    #[error("certificate `{0}`: {1}")]
    Certificate(String, String),
    /// The key's file is not private.
    #[error(transparent)]
    File(#[from] FileError),
    /// The key is none, or not that of the certificate.
    #[error("the key and the certificate do not make a pair: {0}")]
    Pair(String),
}

/// A listener's certificate and key, which may be replaced while it listens.
pub struct Served(RwLock<Arc<CertifiedKey>>);

/// What a client shows of itself: a chain and the first one's key, both PEM.
pub struct Shown {
    /// The chain.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Makes the configuration of a listener: HTTP/2 and HTTP/1.1, and clients with a certificate of those
/// that are believed, or with none.
///
/// # Errors
///
/// When the library says no.
pub fn listener(
    served: Arc<Served>,
    clients: Option<Arc<Clients>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let bad = |error: rustls::Error| TlsError::Pair(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(bad)?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(served);
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    config.ticketer = Ticketer::new().map_err(bad)?;
    // What is read before the handshake ends could be sent twice.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Makes the configuration of a client that believes `authority`, PEM, and may show a certificate.
///
/// # Errors
///
/// When there is no certificate in `authority`, or what it shows is no pair.
pub fn client(authority: &[u8], shown: Option<&Shown>) -> Result<ClientConfig, TlsError> {
    let bad = |error: rustls::Error| TlsError::Pair(error.to_string());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(bad)?;
    let builder = builder.with_root_certificates(roots(authority)?);
    match shown {
        None => Ok(builder.with_no_client_auth()),
        Some(Shown { certificate, key }) => {
            let chain = chain(certificate, "of the client")?;
            let key = PrivateKeyDer::from_pem_slice(key);
            let key = key.map_err(|error| TlsError::Pair(error.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(bad)
        }
    }
}

/// Makes the configuration of a listener for clients without certificates, from files as
/// [`Served::read`] takes them.
///
/// # Errors
///
/// As [`Served::read`].
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    listener(Served::read(certificate, key)?, None)
}

// === impl Served ===

impl Served {
    /// Reads a chain of certificates and the first one's key, both PEM, which may lie in one file. The
    /// key's file is private to the user that runs this.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, others may read the key, or the two do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(pair(certificate, key)?))))
    }

    /// Reads them again, for connections to come. Where they cannot be read, the old ones stay.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn replace(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        let pair = pair(certificate, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let current = self.current();
        let digest = current.cert.first().map(Sha256::digest).unwrap_or_default();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether clients that believe `authority`, PEM, take it for all of these names, now and for
    /// `ahead` to come.
    pub fn serves(&self, authority: &[u8], names: &[String], ahead: Duration) -> Serves {
        match self.good(authority, names, ahead) {
            Some(()) => Serves::Yes,
            None => Serves::No,
        }
    }

    fn good(&self, authority: &[u8], names: &[String], ahead: Duration) -> Option<()> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(roots(authority).ok()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build().ok()?;
        let now = Duration::from_secs(UnixTime::now().as_secs());
        let current = self.current();
        let (own, between) = current.cert.split_first()?;
        for at in [now, now.checked_add(ahead)?].map(UnixTime::since_unix_epoch) {
            for name in names {
                let name = ServerName::try_from(name.as_str()).ok()?;
                let _ = verifier.verify_server_cert(own, between, &name, &[], at).ok()?;
            }
        }
        Some(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a certificate does what it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Serves {
    /// It does not: another name, another authority, or near its end.
    No,
    /// It does.
    Yes,
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served(***)")
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(***)")
    }
}

fn pair(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let named = certificate.display().to_string();
    let text = std::fs::read(certificate);
    let text = text.map_err(|error| TlsError::Certificate(named.clone(), error.to_string()))?;
    let chain = chain(&text, &named)?;
    let secret = read_private(key)?;
    let bad = |error: String| TlsError::Pair(error);
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| bad(error.to_string()))?;
    let provider = aws_lc_rs::default_provider();
    let pair = CertifiedKey::from_der(chain, secret, &provider);
    Ok(Arc::new(pair.map_err(|error| bad(error.to_string()))?))
}

fn chain(text: &[u8], named: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |error: String| TlsError::Certificate(named.to_owned(), error);
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| bad(error.to_string()))?;
    match chain.is_empty() {
        true => Err(bad("it holds no certificate".to_owned())),
        false => Ok(chain),
    }
}

fn roots(authority: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(authority, "of the authority")? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::Pair(error.to_string()))?;
    }
    Ok(roots)
}

/// The protocols, as TLS names them.
pub const HTTP_2: &[u8] = b"h2";

/// The protocols, as TLS names them.
pub const HTTP_1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_makes_no_listener() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let set = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        fs::write(&certificate, own.cert.pem()).unwrap();
        fs::write(&key, "no key").unwrap();
        set(0o644);
        let read = || Served::read(&certificate, &key);
        assert!(matches!(read(), Err(TlsError::File(FileError::Open { .. }))));
        set(0o600);
        assert!(matches!(read(), Err(TlsError::Pair(_))));
        fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(read(), Err(TlsError::Pair(_))), "a key of another certificate");
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        assert!(read().is_ok());
        fs::write(&certificate, "").unwrap();
        assert!(matches!(read(), Err(TlsError::Certificate(..))));
        fs::remove_file(&certificate).unwrap();
        assert!(matches!(read(), Err(TlsError::Certificate(..))));
    }

    #[cfg(feature = "ca")]
    #[test]
    fn a_certificate_serves_its_names_for_as_long_as_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let now = iddio_core::time::Timestamp(UnixTime::now().as_secs() * 1_000_000);
        let opened = crate::ca::Authority::open_or_make(dir.path(), now).unwrap();
        let authority = opened.authority();
        let path = dir.path().join("server.pem");
        authority
            .server(&["gw.example".to_owned(), "::1".to_owned()], now)
            .unwrap()
            .store(&path)
            .unwrap();
        let served = Served::read(&path, &path).unwrap();
        let serves = |names: &[&str], days: u64| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let ahead = Duration::from_secs(days * 86_400);
            served.serves(authority.certificate().as_bytes(), &names, ahead)
        };
        assert_eq!(serves(&["gw.example", "::1"], 30), Serves::Yes);
        assert_eq!(serves(&["gw.example", "other.example"], 30), Serves::No);
        assert_eq!(serves(&["gw.example"], 91), Serves::No);
        let old = served.fingerprint();
        authority.server(&["gw.example".to_owned()], now).unwrap().store(&path).unwrap();
        served.replace(&path, &path).unwrap();
        assert_ne!(served.fingerprint(), old);
        fs::write(&path, "nothing").unwrap();
        let kept = served.fingerprint();
        assert!(served.replace(&path, &path).is_err());
        assert_eq!(served.fingerprint(), kept, "the old one stays");
    }
}
