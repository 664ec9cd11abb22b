//! Sockets, as this runtime has them: one that listens where the operator said, and connections that
//! `iddio-net` made, which alone says who may be reached.

use std::{io, net::SocketAddr, time::Duration};

use iddio_net::{ConnectError, Destination};
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
    set_tcp_user_timeout,
};
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

/// Has the kernel find out whether a peer that says nothing is still there, and not wait longer for
/// one that takes nothing: a connection whose peer vanished ends within a minute (fault F7).
pub fn tend(stream: &Stream) {
    let probed = || -> rustix::io::Result<()> {
        set_socket_keepalive(stream, true)?;
        set_tcp_keepidle(stream, PROBE_AFTER)?;
        set_tcp_keepintvl(stream, PROBE_EVERY)?;
        set_tcp_keepcnt(stream, PROBES_MAX)?;
        set_tcp_user_timeout(stream, UNTAKEN_MILLIS_MAX)?;
        set_tcp_nodelay(stream, true)
    };
    // A socket that cannot be tended is gone, which the next read says.
    let _ = probed();
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
    let stream = Stream::from_std(stream)?;
    tend(&stream);
    Ok(stream)
}

/// How long a peer may say nothing before it is probed.
const PROBE_AFTER: Duration = Duration::from_secs(20);

/// How long until it is probed again.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// How many probes it may leave unanswered.
const PROBES_MAX: u32 = 3;

/// How long what was sent may stay unacknowledged.
const UNTAKEN_MILLIS_MAX: u32 = 50_000;
