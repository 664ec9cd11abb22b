//! A place on the network that a human named.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// A name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
    /// Every name below this one.
    Below(String),
}

/// Why a text names no destination.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DestinationError {
    /// It is not a host, a colon and a port.
    #[error("`{}` is not HOST:PORT", .0.escape_debug())]
    Form(String),
    /// The host is no name and no address.
    #[error("`{}` is neither a name nor an address", .0.escape_debug())]
    Host(String),
}

// === impl Destination ===

impl Destination {
    /// Whether it names this host and this port, as somebody asks for them.
    pub fn covers(&self, host: &str, port: u16) -> bool {
        let Ok(asked) = Host::parse(host) else { return false };
        self.port == port
            && match (&self.host, &asked) {
                (Host::Below(suffix), Host::Name(name)) => name
                    .strip_suffix(suffix.as_str())
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                (named, asked) => named == asked,
            }
    }

    /// Whether it names this host's own loopback.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == LOCALHOST,
            Host::Below(_) => false,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let form = || DestinationError::Form(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or_else(form)?;
        let host = match host.strip_prefix("*.") {
            Some(suffix) => match Host::parse(suffix)? {
                Host::Name(suffix) if suffix.contains('.') => Host::Below(suffix),
                _ => return Err(DestinationError::Host(host.to_owned())),
            },
            None => Host::parse(host)?,
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{port}"),
            Host::Address(address) => write!(f, "{address}:{port}"),
            Host::Name(name) => write!(f, "{name}:{port}"),
            Host::Below(suffix) => write!(f, "*.{suffix}:{port}"),
        }
    }
}

// === impl Host ===

impl Host {
    /// Reads a name or an address, in the one way we write each.
    pub(crate) fn parse(text: &str) -> Result<Self, DestinationError> {
        let bad = || DestinationError::Host(text.to_owned());
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = inner.parse().map_err(|_| bad())?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let name = text.to_ascii_lowercase();
        let sound = |label: &str| {
            !label.is_empty()
                && label.len() <= LABEL_BYTES_MAX
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        // A last label that is a number makes an address of it, by rules that differ between resolvers.
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.starts_with(|first: char| first.is_ascii_digit());
        match name.len() <= NAME_BYTES_MAX && name.split('.').all(sound) && !numeric {
            true => Ok(Self::Name(name)),
            false => Err(bad()),
        }
    }
}

const LOCALHOST: &str = "localhost";
/// As the name system has it.
const NAME_BYTES_MAX: usize = 253;
/// As the name system has it.
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_covers_what_it_names_and_nothing_else() {
        for (named, host, port, covered) in [
            ("api.example.com:443", "api.example.com", 443, true),
            ("api.example.com:443", "API.Example.com", 443, true),
            ("api.example.com:443", "api.example.com", 80, false),
            ("api.example.com:443", "api.example.com.", 443, false),
            ("api.example.com:443", "x.api.example.com", 443, false),
            ("api.example.com:443", "api.example.com.evil.example", 443, false),
            ("*.example.com:443", "a.example.com", 443, true),
            ("*.example.com:443", "a.b.example.com", 443, true),
            ("*.example.com:443", "example.com", 443, false),
            ("*.example.com:443", "aexample.com", 443, false),
            ("*.example.com:443", ".example.com", 443, false),
            ("10.0.0.1:5432", "10.0.0.1", 5432, true),
            ("10.0.0.1:5432", "167772161", 5432, false),
            ("[::1]:80", "[::1]", 80, true),
        ] {
            let destination: Destination = named.parse().unwrap();
            assert_eq!(destination.covers(host, port), covered, "{named} {host}:{port}");
            assert_eq!(destination.to_string(), named);
        }
    }

    #[test]
    fn what_resolvers_read_in_different_ways_is_no_destination() {
        for text in [
            "",
            "host",
            "host:",
            ":443",
            "host:0",
            "host:65536",
            "host:+80",
            "ho st:80",
            "host/x:80",
            "2130706433:80",
            "0x7f000001:80",
            "127.1:80",
            "0177.0.0.1:80",
            "a..b:80",
            "-a:80",
            "*:443",
            "*.com:443",
            "*.*.com:443",
            "user@host:80",
            "höst:80",
            "::1:80",
            "[::1:80",
            "a.1:80",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
