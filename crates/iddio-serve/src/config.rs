//! What an operator says of all this, within the one file of a gateway: strict, and off unless said.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use serde::Deserialize;

/// `[operations]`: where metrics, health and readiness are asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    /// `127.0.0.1:9464`, or `unix:/run/iddio-kube/operations.sock`.
    pub listen: Place,
}

/// `[traces]`: where spans are sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// The collector, `http://127.0.0.1:4318/v1/traces`. Without TLS only this host is spoken to.
    pub endpoint: Endpoint,
    /// Who vouches for a collector elsewhere, PEM.
    pub certificate_authority: Option<PathBuf>,
}

/// `[log]`: how a gateway says what happens to it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Lines for people, or for programs.
    #[serde(default)]
    pub format: LogFormat,
    /// What is worth a line.
    #[serde(default)]
    pub level: LogLevel,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Words.
    #[default]
    Text,
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What began, ended and changed.
    #[default]
    Info,
    /// What is odd.
    Warn,
}

/// Where something listens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum Place {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// Where spans are posted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Endpoint {
    /// Whether the connection is TLS.
    pub scheme: Scheme,
    /// The host, as written.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// In the clear, to this host.
    Http,
    /// By TLS.
    Https,
}

/// A place or an address is none.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No collector.
    #[error(
        "`{0}` is no collector: use http://127.0.0.1:PORT/v1/traces or https://HOST:PORT/v1/traces"
    )]
    Endpoint(String),
    /// No place to listen.
    #[error("`{0}` is no place to listen: use ADDRESS:PORT or unix:/PATH")]
    Place(String),
}

// === impl Place ===

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let wrong = || PlaceError::Place(text.to_owned());
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err(wrong()),
            None => text.parse().map(Self::Tcp).map_err(|_| wrong()),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        text.parse()
    }
}

// === impl Endpoint ===

impl FromStr for Endpoint {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let wrong = || PlaceError::Endpoint(text.to_owned());
        let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (Scheme::Http, rest),
            (None, Some(rest)) => (Scheme::Https, rest),
            (None, None) => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "v1/traces"));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, OTLP_PORT),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let here = matches!(host, "127.0.0.1" | "::1" | "localhost");
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        let sound = !host.is_empty()
            && host.bytes().all(letter)
            && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound || (scheme == Scheme::Http && !here) {
            return Err(wrong());
        }
        Ok(Self { scheme, host: host.to_owned(), port, path: format!("/{path}") })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        text.parse()
    }
}

/// OTLP over HTTP.
const OTLP_PORT: u16 = 4318;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_path() {
        let address = "127.0.0.1:9464".parse::<Place>().unwrap();
        assert_eq!(address, Place::Tcp("127.0.0.1:9464".parse().unwrap()));
        let path = "unix:/run/x.sock".parse::<Place>().unwrap();
        assert_eq!(path, Place::Unix("/run/x.sock".into()));
        for wrong in ["", "9464", "unix:", "unix:x.sock", "localhost:9464", "127.0.0.1"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_collector_elsewhere_is_spoken_to_by_tls_alone() {
        let of = |text: &str| text.parse::<Endpoint>();
        let here = of("http://127.0.0.1:4318/v1/traces").unwrap();
        assert_eq!((here.port, here.path.as_str()), (4318, "/v1/traces"));
        assert_eq!(of("http://[::1]").unwrap().host, "::1");
        assert_eq!(of("https://otel.example/x").unwrap().port, 4318);
        for wrong in [
            "http://otel.example/v1/traces",
            "http://127.0.0.1.example/",
            "https://",
            "https://a b/",
            "https://user@host/",
            "https://host:x/",
            "ftp://127.0.0.1/",
            "https://host/a\r\nb",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
