//! The sockets that a gateway serves: its own, or those that systemd opened for it and keeps.

use std::{io, net::SocketAddr};

use iddio_service::listen::{self, ListenError};
use tokio::net::{TcpListener, UnixListener};

use crate::config::Place;

/// A socket for operators.
pub enum Listener {
    /// An address and a port.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

/// Returns the socket for clients: the one that systemd opened, or else one at `address`.
///
/// One that systemd opened outlives this process, so that whoever connects while it is replaced waits and
/// is not refused.
///
/// # Errors
///
/// When systemd handed over anything but one TCP socket, or the system says no.
pub async fn clients(address: SocketAddr) -> Result<TcpListener, ListenError> {
    match listen::inherited_tcp()? {
        Some(listener) => TcpListener::from_std(listener),
        None => TcpListener::bind(address).await,
    }
    .map_err(|source| ListenError::Io { place: address.to_string().into(), source })
}

/// Returns a socket for operators.
///
/// # Errors
///
/// When the system says no, somebody listens there, or others could replace it.
pub async fn operators(place: &Place) -> Result<Listener, ListenError> {
    let fail = |place: &str, source| ListenError::Io { place: place.into(), source };
    match place {
        Place::Tcp(address) => {
            let bound = TcpListener::bind(address).await;
            bound.map(Listener::Tcp).map_err(|error| fail(&address.to_string(), error))
        }
        Place::Unix(path) => {
            let bound = listen::private(path)?;
            let taken: io::Result<_> = UnixListener::from_std(bound);
            taken.map(Listener::Unix).map_err(|error| fail(&path.to_string_lossy(), error))
        }
    }
}
