//! One request to whoever gives credentials out, and its answer. No redirect is followed.
//!
//! INVARIANT: the connector of [`iddio_net`] connects, so that metadata addresses are never asked; what
//! comes back is bounded in bytes and in time.

use std::{
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use iddio_net::{ConnectError, Destination, connect};
use zeroize::Zeroizing;

use super::Value;

/// What is asked.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    /// Besides those of HTTP itself.
    pub(super) headers: Vec<(String, Value)>,
    pub(super) body: Vec<u8>,
    pub(super) ca_file: Option<&'a Path>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It is no address of this kind.
    #[error("not an address of the form https://HOST[:PORT][/PATH]")]
    Address,
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It says no. What it says besides may hold secrets, and is not repeated.
    #[error("the answer is {0}")]
    Status(u16),
    /// It cannot be believed to be who it should be.
    #[error("TLS: {0}")]
    Tls(String),
    /// What it says is no answer, or too long.
    #[error("the answer is none")]
    Answer,
}

/// An address, taken apart.
pub(super) struct Address {
    pub(super) host: String,
    port: u16,
    pub(super) path: String,
    secure: Secure,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Secure {
    No,
    Yes,
}

// === impl Address ===

impl Address {
    /// Takes an address apart.
    pub(super) fn parse(url: &str) -> Result<Self, HttpError> {
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (Secure::Yes, rest),
            (None, Some(rest)) => (Secure::No, rest),
            (None, None) => return Err(HttpError::Address),
        };
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let usual = if secure == Secure::Yes { 443 } else { 80 };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| HttpError::Address)?),
            None => (place, usual),
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !plain(host) || !plain(path) {
            return Err(HttpError::Address);
        }
        Ok(Self { host: host.to_owned(), port, path: path.to_owned(), secure })
    }

    /// Returns what the header of that name says.
    pub(super) fn authority(&self) -> String {
        match (self.secure, self.port) {
            (Secure::Yes, 443) | (Secure::No, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

// === impl Request ===

impl Request<'_> {
    /// Asks, and returns what was answered.
    pub(super) fn send(&self) -> Result<Zeroizing<Vec<u8>>, HttpError> {
        let address = Address::parse(self.url)?;
        let named = format!("{}:{}", address.host, address.port);
        let named: Destination = named.parse().map_err(|_| HttpError::Address)?;
        let socket = connect(&[named], &address.host, address.port)?;
        socket.set_read_timeout(Some(TIME_MAX))?;
        socket.set_write_timeout(Some(TIME_MAX))?;
        let head = self.head(&address)?;
        match address.secure {
            Secure::No => talk(socket, &head, &self.body),
            Secure::Yes => talk(tls::over(socket, &address.host, self.ca_file)?, &head, &self.body),
        }
    }

    fn head(&self, address: &Address) -> Result<Zeroizing<Vec<u8>>, HttpError> {
        let mut head = Zeroizing::new(Vec::new());
        let Address { path, .. } = address;
        let (method, length) = (self.method, self.body.len());
        let host = address.authority();
        head.extend_from_slice(
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\nAccept-Encoding: identity\r\n")
                .as_bytes(),
        );
        for (name, value) in &self.headers {
            // A line of its own is a header of its own.
            if name.contains(['\r', '\n']) || value.expose().contains(['\r', '\n']) {
                return Err(HttpError::Address);
            }
            head.extend_from_slice(format!("{name}: ").as_bytes());
            head.extend_from_slice(value.expose().as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

fn talk(
    mut stream: impl Read + Write,
    head: &[u8],
    body: &[u8],
) -> Result<Zeroizing<Vec<u8>>, HttpError> {
    stream.write_all(head)?;
    stream.write_all(body)?;
    stream.flush()?;
    let mut answer = Zeroizing::new(Vec::new());
    match stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer) {
        Ok(count) if u64::try_from(count).is_ok_and(|count| count <= ANSWER_BYTES_MAX) => {}
        Ok(_) => return Err(HttpError::Answer),
        // Some end without saying so; whether all is there, the length says.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error.into()),
    }
    read(&answer)
}

/// Reads an answer, and returns its body if it is a good one.
fn read(answer: &[u8]) -> Result<Zeroizing<Vec<u8>>, HttpError> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(HttpError::Answer)?;
    let (head, body) = answer.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| HttpError::Answer)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default();
    let status: u16 = status.parse().map_err(|_| HttpError::Answer)?;
    let header = |wanted: &str| {
        head.split("\r\n").skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    match status {
        200 | 201 => {}
        // There is nothing to say.
        204 => return Ok(Zeroizing::default()),
        status => return Err(HttpError::Status(status)),
    }
    let chunked =
        header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked"));
    let body = match (chunked, header("content-length").map(|length| length.parse::<usize>())) {
        (true, _) => unchunked(body)?,
        (false, Some(Ok(length))) => body.get(..length).ok_or(HttpError::Answer)?.to_vec(),
        (false, Some(Err(_))) => return Err(HttpError::Answer),
        (false, None) => body.to_vec(),
    };
    Ok(Zeroizing::new(body))
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or(HttpError::Answer)?;
        let (line, after) = rest.split_at(end);
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = std::str::from_utf8(digits).map_err(|_| HttpError::Answer)?;
        let length = usize::from_str_radix(digits.trim(), 16).map_err(|_| HttpError::Answer)?;
        let after = after.get(2..).ok_or(HttpError::Answer)?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(after.get(..length).ok_or(HttpError::Answer)?);
        let skipped = length.checked_add(2).ok_or(HttpError::Answer)?;
        rest = after.get(skipped..).ok_or(HttpError::Answer)?;
    }
}

/// TLS, where it is built in.
#[cfg(feature = "tls")]
mod tls {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        path::Path,
        sync::Arc,
    };

    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, StreamOwned,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    };

    use super::HttpError;

    /// Returns what is written and read through TLS, once the server showed who it is.
    pub(super) fn over(
        socket: TcpStream,
        host: &str,
        ca_file: Option<&Path>,
    ) -> Result<impl Read + Write, HttpError> {
        let name = ServerName::try_from(host.to_owned()).map_err(failed)?;
        let tls = ClientConnection::new(Arc::new(config(ca_file)?), name).map_err(failed)?;
        Ok(StreamOwned::new(tls, socket))
    }

    fn config(ca_file: Option<&Path>) -> Result<ClientConfig, HttpError> {
        let mut roots = RootCertStore::empty();
        let path = ca_file.unwrap_or(Path::new(SYSTEM_ROOTS));
        for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
            // One that cannot be understood vouches for nobody.
            let _ = roots.add(certificate.map_err(failed)?);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        Ok(versions.with_root_certificates(roots).with_no_client_auth())
    }

    fn failed(error: impl std::fmt::Display) -> HttpError {
        HttpError::Tls(error.to_string())
    }

    /// Where Debian and its kin keep the authorities that the system trusts.
    const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
}

/// What there is without it: nobody is asked.
#[cfg(not(feature = "tls"))]
mod tls {
    use std::{net::TcpStream, path::Path};

    use super::HttpError;

    pub(super) fn over(_: TcpStream, _: &str, _: Option<&Path>) -> Result<TcpStream, HttpError> {
        Err(HttpError::Tls("not built in".to_owned()))
    }
}

/// Returns bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}

/// How long one wait for an answer may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_or_refused() {
        let parsed = |url| Address::parse(url).map(|at| (at.authority(), at.port, at.path));
        assert_eq!(parsed("https://a.b/c").unwrap(), ("a.b".into(), 443, "/c".into()));
        assert_eq!(parsed("http://a.b:80").unwrap(), ("a.b".into(), 80, "/".into()));
        assert_eq!(parsed("http://a:8200/v1?x").unwrap().0, "a:8200");
        for url in ["a.b", "ftp://a", "https://", "https://u@a/", "http://a b/", "http://a:x/"] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_answer_is_read_or_none() {
        let body = |text: &str| read(text.as_bytes()).map(|body| body.to_vec());
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore";
        assert_eq!(body(text).unwrap(), b"ok");
        let text =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x\r\n!\r\n0\r\n\r\n";
        assert_eq!(body(text).unwrap(), b"ok!");
        assert!(matches!(body("HTTP/1.1 403 No\r\n\r\nsecret"), Err(HttpError::Status(403))));
        assert!(matches!(body("HTTP/1.1 301 There\r\n\r\n"), Err(HttpError::Status(301))));
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nok",
        ] {
            assert!(matches!(body(text), Err(HttpError::Answer)), "{text:?}");
        }
    }
}
