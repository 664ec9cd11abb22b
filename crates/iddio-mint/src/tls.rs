//! The key of a TLS listener: read here, lent to the TLS library, shown to nobody.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::file::{FileError, read_private};

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
    #[error("the key and the certificate do not make a server: {0}")]
    Pair(String),
}

/// Makes the configuration of a listener from a chain of certificates and the first one's key, both
/// PEM. The key's file is private to the user that runs this. HTTP/1.1 is what it offers.
///
/// # Errors
///
/// When a file cannot be read, others may read the key, or the two do not belong together.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unread = |error: String| TlsError::Certificate(certificate.display().to_string(), error);
    let text = std::fs::read(certificate).map_err(|error| unread(error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| unread(error.to_string()))?;
    let secret = read_private(key)?;
    let pair = |error: String| TlsError::Pair(error);
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| pair(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| pair(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| pair(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_makes_no_listener() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
        let set = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&certificate, "").unwrap();
        fs::write(&key, "no key").unwrap();
        set(0o644);
        assert!(matches!(server(&certificate, &key), Err(TlsError::File(FileError::Open { .. }))));
        set(0o600);
        assert!(matches!(server(&certificate, &key), Err(TlsError::Pair(_))));
        fs::remove_file(&certificate).unwrap();
        assert!(matches!(server(&certificate, &key), Err(TlsError::Certificate(..))));
    }
}
