//! Sockets, as this runtime has them: one that listens where the operator said, and connections that
//! `iddio-net` made, which alone says who may be reached.

use std::{io, net::SocketAddr};

use iddio_net::{ConnectError, Destination};
use tokio::net::{TcpListener, TcpStream};

/// A connection.
pub type Stream = TcpStream;

/// A socket that takes connections.
pub type Listener = TcpListener;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// It was not made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It could not be taken over.
    #[error("a connection could not be used: {0}")]
    Io(#[from] io::Error),
}

/// Takes connections at an address.
///
/// # Errors
///
/// When the system says no.
pub async fn listen(address: SocketAddr) -> io::Result<Listener> {
    Listener::bind(address).await
}

/// Connects to the one destination that was named.
///
/// # Errors
///
/// When it is not there, or is where nobody may connect to.
pub async fn connect(named: &Destination, host: &str, port: u16) -> Result<Stream, ReachError> {
    let (named, host) = (named.clone(), host.to_owned());
    let connecting = move || iddio_net::connect(std::slice::from_ref(&named), &host, port);
    let connected = tokio::task::spawn_blocking(connecting).await;
    let stream = connected.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(Stream::from_std(stream)?)
}
