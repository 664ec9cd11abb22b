//! Bytes to a typed request: what of a request's head is believed, passed on, stripped, or refused.
//!
//! Headers pass by a list of those that may (threat K05): what identifies somebody to an API server,
//! and what nobody thought of, stays here. A head that two servers could take differently is refused
//! (K26, K28).

use hyper::{
    HeaderMap, Method, Uri, Version, header,
    http::{request::Parts, uri::Scheme},
};
use iddio_mint::Token;

use crate::{connection::HEADERS_MAX, upgrade::wish::holds_credential};

/// What of a request's head goes on.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method, as written.
    pub method: String,
    /// Path and query, as written.
    pub target: String,
    /// The headers that may pass, names in lower case, in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Headers that would have identified somebody and are not passed on.
    pub stripped: Vec<String>,
    /// The headers that say what the connection is to become.
    pub upgrade: Vec<(String, Vec<u8>)>,
    /// Why two servers could take it differently.
    pub fault: Option<&'static str>,
}

/// Why a head is refused before anybody is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// It shows neither a certificate nor a token, or what cannot be one of ours.
    #[error("no certificate and no token of iddio's: `iddio agent add NAME` makes them")]
    Anonymous,
    /// It could be read in two ways.
    #[error("{0}")]
    Ambiguous(&'static str),
}

/// Reads the bearer token of a request, if it has one. Two of them are none (threat K28).
///
/// # Errors
///
/// When there is more than one, or something else that should prove who calls.
pub fn token(headers: &HeaderMap) -> Result<Option<Token>, HeadError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HeadError::Ambiguous("more than one credential"));
    }
    let text = value.to_str().map_err(|_| HeadError::Anonymous)?;
    let (scheme, rest) = text.split_once(' ').ok_or(HeadError::Anonymous)?;
    let bearer = Some(rest).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
    bearer.and_then(Token::parse).map(Some).ok_or(HeadError::Anonymous)
}

/// Reads a head.
pub fn head(parts: &Parts) -> Head {
    let Parts { method, headers, .. } = parts;
    let mut head = Head {
        method: method.as_str().to_owned(),
        target: target(parts),
        headers: Vec::new(),
        stripped: Vec::new(),
        upgrade: Vec::new(),
        fault: fault(parts),
    };
    for (name, value) in headers {
        let name = name.as_str();
        let (own, bytes) = (name.to_owned(), value.as_bytes().to_vec());
        match name {
            _ if UPGRADING.contains(&name) => head.upgrade.push((own, bytes)),
            _ if PASSED.contains(&name) => head.headers.push((own, bytes)),
            _ if identifies(name) && !head.stripped.contains(&own) => head.stripped.push(own),
            _ => {}
        }
    }
    head
}

/// Names what lets two servers see another body, another host or another end.
fn fault(parts: &Parts) -> Option<&'static str> {
    let Parts { method, uri, version, headers, .. } = parts;
    let count = |name| headers.get_all(name).iter().count();
    let (length, coded) = (count(header::CONTENT_LENGTH), count(header::TRANSFER_ENCODING));
    let hosts = match *version {
        Version::HTTP_2 => authority(uri, headers),
        _ => count(header::HOST) == 1,
    };
    let faults = [
        (!SPOKEN.contains(version), "HTTP/1.1 and HTTP/2 are spoken here"),
        (*method == Method::CONNECT, "no tunnels are made here"),
        (!hosts, "a request names one host"),
        (1 < length || 1 < coded, "a length that stands twice"),
        (0 < length && 0 < coded, "two lengths of one body"),
        (holds_credential(headers), "a credential among the protocols of a WebSocket"),
        (HEADERS_MAX < headers.len(), "more headers than any client has"),
    ];
    faults.iter().find(|(bad, _)| *bad).map(|(_, what)| *what)
}

/// Whether a request of HTTP/2 names one host: in its `:authority`, and nowhere else another one.
fn authority(uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(authority) = uri.authority() else { return false };
    let mut hosts = headers.get_all(header::HOST).iter();
    uri.scheme() == Some(&Scheme::HTTPS)
        && hosts.all(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()))
}

/// The target as it was written; one that is no path is kept whole, and refused for it. In HTTP/2 the
/// path stands apart from the rest.
fn target(parts: &Parts) -> String {
    let Parts { uri, version, .. } = parts;
    match (uri.scheme(), uri.authority(), uri.path_and_query()) {
        (None, None, Some(target)) => target.as_str().to_owned(),
        (Some(_), Some(_), Some(target)) if *version == Version::HTTP_2 => {
            target.as_str().to_owned()
        }
        _ => uri.to_string(),
    }
}

/// Whether an API server or a proxy before it could take this for somebody's identity, also where an
/// underscore stands for a hyphen.
fn identifies(name: &str) -> bool {
    let name = name.replace('_', "-");
    ["impersonate-", "x-remote-", "x-forwarded-user", "x-client-cert", "x-auth-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// What says what the connection is to become. None of it goes on as it came.
pub(crate) const UPGRADING: [&str; 6] = [
    "connection",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
    "x-stream-protocol-version",
];

/// The versions of HTTP that have one reading here.
const SPOKEN: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// What may pass. Everything else is between the client and us, or nobody's business.
const PASSED: [&str; 13] = [
    "accept",
    "accept-encoding",
    "cache-control",
    "content-encoding",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "kubectl-command",
    "kubectl-session",
    "traceparent",
    "tracestate",
    "user-agent",
];

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/api/v1/pods?limit=1").header("host", "a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn k05_what_identifies_somebody_is_stripped_in_any_spelling() {
        let head = head(&parts(&[
            ("Impersonate-User", "admin"),
            ("impersonate-user", "admin"),
            ("IMPERSONATE-GROUP", "system:masters"),
            ("Impersonate-Extra-scopes", "a"),
            ("Impersonate_Uid", "1"),
            ("X-Remote-User", "admin"),
            ("X-Remote-Extra-A", "b"),
            ("Authorization", "Bearer x"),
            ("Cookie", "a=b"),
            ("Audit-ID", "1"),
            ("Accept", "application/json"),
            ("User-Agent", "kubectl"),
        ]));
        let passed: Vec<_> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(passed, ["accept", "user-agent"]);
        assert_eq!(head.stripped.len(), 6);
        assert!(head.stripped.iter().all(|name| !name.contains("authorization")));
    }

    #[test]
    fn k26_a_head_with_two_readings_is_refused() {
        for headers in [
            &[("host", "b")][..],
            &[("content-length", "1"), ("transfer-encoding", "chunked")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert!(head(&parts(headers)).fault.is_some(), "{headers:?}");
        }
        let mut old = parts(&[]);
        old.version = Version::HTTP_10;
        assert!(head(&old).fault.is_some());
    }

    #[test]
    fn k26_a_head_of_http_2_names_one_host_and_is_no_tunnel() {
        let of = |method: &str, uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().method(method).version(Version::HTTP_2).uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            head(&request.body(()).unwrap().into_parts().0)
        };
        let good = of("GET", "https://gw:6443/api/v1/pods?limit=1", &[]);
        assert_eq!((good.fault, good.target.as_str()), (None, "/api/v1/pods?limit=1"));
        assert_eq!(of("GET", "https://gw/api", &["gw"]).fault, None);
        for (method, uri, hosts) in [
            ("GET", "https://gw/api", &["other"][..]),
            ("GET", "https://gw/api", &["gw", "other"]),
            ("GET", "http://gw/api", &[]),
            ("GET", "/api", &["gw"]),
            ("CONNECT", "gw:443", &[]),
        ] {
            assert!(of(method, uri, hosts).fault.is_some(), "{method} {uri} {hosts:?}");
        }
    }

    #[test]
    fn k28_two_credentials_are_none() {
        let token = iddio_mint::Token::draw().unwrap();
        let bearer = format!("Bearer {}", token.dangerous_reveal());
        let of = |headers: &[(&str, &str)]| {
            super::token(&parts(headers).headers).is_ok_and(|token| token.is_some())
        };
        assert!(of(&[("authorization", &bearer)]));
        assert!(!of(&[("authorization", &bearer), ("authorization", &bearer)]));
        assert!(!of(&[("authorization", "Bearer abc")]));
        assert!(!of(&[("authorization", "Basic YTpi")]));
        assert!(!of(&[]));
    }
}
