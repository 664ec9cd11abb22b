//! One request to one place, in HTTP/1.1: a checkpoint goes there, a status comes back.
//!
//! Nothing is followed, kept open, retried or decoded. What comes back is read as far as its first
//! line.

use std::{
    fmt,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use iddio_net::{ConnectError, Destination, connect};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use zeroize::Zeroizing;

/// Where a checkpoint is posted.
#[derive(Clone, Debug)]
pub struct Place {
    destination: Destination,
    host: String,
    port: u16,
    path: String,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Clear,
    Tls,
}

/// What goes along with every request.
#[derive(Clone)]
pub struct Credentials {
    /// Who vouches for the place.
    pub tls: Arc<ClientConfig>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Zeroizing<String>>,
}

/// A text names no place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlaceError {
    /// It leads out of this host in clear.
    #[error("`{0}` leads out of this host in clear; use https")]
    Clear(String),
    /// It is no URL of the kind that is taken.
    #[error("`{0}` is not https://HOST[:PORT]/PATH")]
    Form(String),
}

/// Nothing was delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or was too slow.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The place would not take it.
    #[error("it was answered with status {0}")]
    Status(u16),
    /// What came back is no answer.
    #[error("what came back is no HTTP answer")]
    Strange,
    /// The place is not who it says it is.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

// === impl Place ===

impl Place {
    /// Reads `https://host[:port]/path`; `http://` is taken for this host's own loopback alone.
    ///
    /// # Errors
    ///
    /// When it is anything else.
    pub fn parse(url: &str) -> Result<Self, PlaceError> {
        let form = || PlaceError::Form(url.to_owned());
        let (scheme, rest, usual) = match url.split_once("://").ok_or_else(form)? {
            ("https", rest) => (Scheme::Tls, rest, 443),
            ("http", rest) => (Scheme::Clear, rest, 80),
            _ => return Err(form()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let sound = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !path.bytes().all(sound) || authority.contains(['@', '?', '*']) {
            return Err(form());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let authority =
            if has_port { authority.to_owned() } else { format!("{authority}:{usual}") };
        let destination: Destination = authority.parse().map_err(|_| form())?;
        let (host, _) = authority.rsplit_once(':').ok_or_else(form)?;
        if scheme == Scheme::Clear && !destination.is_loopback() {
            return Err(PlaceError::Clear(url.to_owned()));
        }
        let (host, port) = (host.to_owned(), destination.port());
        Ok(Self { destination, host, port, path: path.to_owned(), scheme })
    }

    /// Posts `body`, and returns when it was taken.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn post(&self, body: &[u8], credentials: &Credentials) -> Result<(), PostError> {
        let stream = connect(std::slice::from_ref(&self.destination), &self.host, self.port)?;
        stream.set_read_timeout(Some(STEP_MAX))?;
        stream.set_write_timeout(Some(STEP_MAX))?;
        let status = match self.scheme {
            Scheme::Clear => self.exchange(stream, body, credentials)?,
            Scheme::Tls => {
                let bare = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare).map_err(|_| PostError::Strange)?;
                let connection = ClientConnection::new(credentials.tls.clone(), name)?;
                let stream = StreamOwned::new(connection, stream);
                self.exchange(stream, body, credentials)?
            }
        };
        match status {
            200..=299 => Ok(()),
            status => Err(PostError::Status(status)),
        }
    }

    fn exchange(
        &self,
        mut stream: impl Read + Write,
        body: &[u8],
        credentials: &Credentials,
    ) -> Result<u16, PostError> {
        let (path, host, port, length) = (&self.path, &self.host, self.port, body.len());
        let mut head = Zeroizing::new(format!(
            "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: iddio-push\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Connection: close\r\n"
        ));
        if let Some(token) = &credentials.token {
            head.push_str("Authorization: Bearer ");
            head.push_str(token);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()?;
        status(&mut stream)
    }
}

// === impl Credentials ===

impl Credentials {
    /// Trusts those whose certificates are in the file `roots`, PEM.
    ///
    /// # Errors
    ///
    /// When it holds none.
    pub fn trusting(roots: &Path, token: Option<Zeroizing<String>>) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(roots).map_err(io::Error::other)?;
        for certificate in certificates {
            let certificate = certificate.map_err(io::Error::other)?;
            // A bundle of a system holds some that nobody can use; the others count.
            let _ = store.add(certificate);
        }
        if store.is_empty() {
            return Err(io::Error::other("there is no certificate in it"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(io::Error::other)?;
        let tls = tls.with_root_certificates(store).with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), token })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Reads the first line of an answer: `HTTP/1.1 204 No Content`.
fn status(stream: &mut impl Read) -> Result<u16, PostError> {
    let began = Instant::now();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        if LINE_BYTES_MAX <= line.len() || ANSWER_MAX <= began.elapsed() {
            return Err(PostError::Strange);
        }
        match stream.read(&mut byte) {
            Ok(0) => return Err(PostError::Strange),
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| PostError::Strange)?;
    let mut words = text.split_ascii_whitespace();
    let version = words.next().filter(|word| word.starts_with("HTTP/1."));
    let code = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok());
    version.and(code).ok_or(PostError::Strange)
}

/// How long one read or write may take.
const STEP_MAX: Duration = Duration::from_secs(10);

/// How long the first line of an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How long that line may be.
const LINE_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_kind_of_address_is_a_place_and_clear_text_stays_within_this_host() {
        for good in [
            "https://witness.example/iddio",
            "https://witness.example",
            "https://witness.example:8443/a?b=c",
            "https://192.0.2.7/",
            "http://127.0.0.1:9/a",
            "http://localhost:9",
            "https://[2001:db8::1]:8443/a",
        ] {
            assert!(Place::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://witness.example/",
            "http://10.0.0.1/",
            "ftp://witness.example/",
            "witness.example",
            "https://user:secret@witness.example/",
            "https://*.example/",
            "https://witness.example/a b",
            "https://witness.example/a\r\nX: y",
            "https://witness.example/#a",
            "https:///a",
            "https://witness.example:0/",
            "https://",
        ] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_is_read_from_an_answer_and_from_nothing_else() {
        let read = |mut bytes: &[u8]| status(&mut bytes).ok();
        assert_eq!(read(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
        assert_eq!(read(b"HTTP/1.0 500\r\n"), Some(500));
        let long = [&b"HTTP/1.1 200 "[..], &[b'a'; 2_000]].concat();
        for strange in
            [&b""[..], b"200 OK\r\n", b"HTTP/2 200\n", b"HTTP/1.1 20\r\n", b"\xff\n", &long]
        {
            assert_eq!(read(strange), None, "{strange:?}");
        }
    }
}
