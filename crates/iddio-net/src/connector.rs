//! Connecting to what was named.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use thiserror::Error;

use crate::address::{Reach, reach};
use crate::destination::{Destination, Host};

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// It answers to an address that is never reached.
    #[error("`{host}` is at {address}, which is never connected to")]
    Forbidden {
        /// What was asked for.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// Nobody named it.
    #[error("`{}` port {port} is not among what was named", host.escape_debug())]
    NotNamed {
        /// What was asked for.
        host: String,
        /// The port.
        port: u16,
    },
    /// It does not answer.
    #[error("`{host}` does not answer: {source}")]
    Silent {
        /// What was asked for.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody knows where it is.
    #[error("`{host}` is not known: {source}")]
    Unknown {
        /// What was asked for.
        host: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Connects to `host` and `port` if `named` covers them.
///
/// The name is resolved once, every address is looked at, and one of these very addresses is connected to. A name
/// any of whose addresses is forbidden is not connected to at all.
pub fn connect(named: &[Destination], host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let host = host.to_ascii_lowercase();
    let by = named.iter().find(|destination| destination.covers(&host, port));
    let by = by.ok_or_else(|| ConnectError::NotNamed { host: host.clone(), port })?;
    let unknown = |source| ConnectError::Unknown { host: host.clone(), source };
    let addresses: Vec<SocketAddr> = match Host::parse(&host) {
        Ok(Host::Address(address)) => vec![SocketAddr::new(address, port)],
        Ok(Host::Name(name)) => (name.as_str(), port).to_socket_addrs().map_err(unknown)?.collect(),
        Ok(Host::Below(_)) | Err(_) => {
            return Err(ConnectError::NotNamed { host: host.clone(), port });
        }
    };
    let forbidden = addresses.iter().map(SocketAddr::ip).find(|address| match reach(*address) {
        Reach::Open => false,
        Reach::Loopback => !by.is_loopback(),
        Reach::Never => true,
    });
    if let Some(address) = forbidden {
        return Err(ConnectError::Forbidden { host, address });
    }
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(address, CONNECT_TIME_MAX) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Silent { host, source: last })
}

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;
/// A server that is there answers sooner.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
