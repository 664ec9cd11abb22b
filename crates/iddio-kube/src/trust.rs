//! Whom connections to an API server believe, and what they show.
//!
//! An authority that lies in a file is read again once the file changed, as clusters renew theirs. One
//! that cannot be read then is not taken: the old one stays.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use iddio_mint::tls::{self, HTTP_1, HTTP_2, Shown, TlsError};
use rustls::ClientConfig;

use crate::cluster::Pem;

/// Whom connections believe.
pub(crate) struct Trust {
    authority: Pem,
    shown: Option<Shown>,
    current: Mutex<Current>,
}

/// What a client offers to speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offer {
    /// HTTP/2, or HTTP/1.1.
    Both,
    /// HTTP/1.1, which alone can become something else.
    Http1,
}

struct Current {
    stamp: Option<Stamp>,
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

/// What tells one content of a file from another.
type Stamp = (SystemTime, u64);

// === impl Trust ===

impl Trust {
    /// Reads the authority.
    pub(crate) fn new(authority: Pem, shown: Option<Shown>) -> Result<Self, TlsError> {
        let current = Mutex::new(Current::read(&authority, shown.as_ref())?);
        Ok(Self { authority, shown, current })
    }

    /// What a handshake is made with.
    pub(crate) fn config(&self, offer: Offer) -> Arc<ClientConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp(&self.authority) != current.stamp {
            match Current::read(&self.authority, self.shown.as_ref()) {
                Ok(read) => *current = read,
                Err(error) => tracing::error!(%error, "what was believed before stays"),
            }
        }
        match offer {
            Offer::Both => current.both.clone(),
            Offer::Http1 => current.http1.clone(),
        }
    }
}

// === impl Current ===

impl Current {
    fn read(authority: &Pem, shown: Option<&Shown>) -> Result<Self, TlsError> {
        let stamp = stamp(authority);
        let text = authority.read();
        let text = text.map_err(|error| TlsError::Certificate(error.0, error.1))?;
        let mut both = tls::client(&text, shown)?;
        let mut http1 = both.clone();
        both.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        http1.alpn_protocols = vec![HTTP_1.to_vec()];
        Ok(Self { stamp, both: Arc::new(both), http1: Arc::new(http1) })
    }
}

fn stamp(authority: &Pem) -> Option<Stamp> {
    let Pem::File(path) = authority else { return None };
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_read_again_once_it_changed_and_kept_if_it_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let made = |name: &str| {
            let now = iddio_core::time::Timestamp(1_790_000_000_000_000);
            let opened = iddio_mint::ca::Authority::open_or_make(&dir.path().join(name), now);
            opened.unwrap().authority().certificate().to_owned()
        };
        fs::write(&path, made("a")).unwrap();
        let trust = Trust::new(Pem::File(path.clone()), None).unwrap();
        let first = trust.config(Offer::Both);
        assert!(Arc::ptr_eq(&first, &trust.config(Offer::Both)));
        fs::write(&path, made("b") + "\n").unwrap();
        let second = trust.config(Offer::Both);
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(&path, "nothing").unwrap();
        assert!(Arc::ptr_eq(&second, &trust.config(Offer::Both)));
        assert_eq!(trust.config(Offer::Http1).alpn_protocols, [HTTP_1]);
    }
}
