//! A cluster, as the operator describes it: by keys of its own, by a kubeconfig, or by the gateway
//! being inside it.
//!
//! INVARIANT: what is described is one server, by TLS alone, that somebody named vouches for, and one
//! credential of the gateway's. A kubeconfig that would start a program, leave out who vouches, go
//! through a proxy or act as somebody else is refused.

use std::{
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use iddio_mint::tls::Shown;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{config::ConfigError, kubeconfig};

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name, as policy's `clusters` and the paths of clients have it.
    pub name: String,
    /// Its API server.
    pub server: Server,
    /// The name that its certificate is for, where that is not the host.
    pub tls_name: Option<String>,
    /// Who vouches for that server.
    pub authority: Pem,
    /// The gateway's own credential, with which it makes tokens of service accounts and can do nothing
    /// else.
    pub own: Own,
    /// The namespace of those service accounts.
    pub namespace: String,
}

/// Where an API server is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Certificates, PEM: in a file that may change, or as they were written down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// As they are.
    Text(Vec<u8>),
}

/// The gateway's own credential.
#[derive(Clone)]
pub enum Own {
    /// A certificate and its key, PEM.
    Certificate(Vec<u8>, Zeroizing<Vec<u8>>),
    /// A token.
    Token(Zeroizing<String>),
    /// A file with a token, read for each use, because it changes.
    TokenFile(PathBuf),
}

/// A cluster, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default = "namespace")]
    namespace: String,
    server: Option<String>,
    certificate_authority: Option<PathBuf>,
    token_file: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    in_cluster: Option<InCluster>,
}

/// `in_cluster = true`, and nothing else.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "bool")]
struct InCluster;

// === impl Cluster ===

impl Cluster {
    /// Reads what the configuration says of one.
    ///
    /// # Errors
    ///
    /// When it does not describe one cluster in one way.
    pub(crate) fn read(value: toml::Value) -> Result<Self, ConfigError> {
        let written: Written =
            value.try_into().map_err(|error| ConfigError::Cluster(format!("{error}")))?;
        let Written { name, namespace, server, certificate_authority, token_file, .. } = written;
        for name in [&name, &namespace] {
            if !is_name(name) {
                return Err(ConfigError::Name(name.clone()));
            }
        }
        let explicit = (server, certificate_authority, token_file);
        let (kubeconfig, context) = (written.kubeconfig, written.context);
        let found = match (explicit, kubeconfig, context, written.in_cluster) {
            ((Some(server), Some(authority), Some(token)), None, None, None) => Found {
                server: Server::parse(&server)?,
                tls_name: None,
                authority: Pem::File(authority),
                own: Own::TokenFile(token),
            },
            ((None, None, None), Some(path), context, None) => {
                kubeconfig::read(&path, context.as_deref())?
            }
            ((None, None, None), None, None, Some(InCluster)) => {
                let variable = |name| std::env::var(name).ok();
                inside(Path::new(SERVICE_ACCOUNT), variable(HOST), variable(PORT))?
            }
            _ => {
                let text = format!("cluster `{name}`: {FORMS}");
                return Err(ConfigError::Cluster(text));
            }
        };
        let Found { server, tls_name, authority, own } = found;
        Ok(Self { name, server, tls_name, authority, own, namespace })
    }
}

/// What a description comes to.
pub(crate) struct Found {
    pub(crate) server: Server,
    pub(crate) tls_name: Option<String>,
    pub(crate) authority: Pem,
    pub(crate) own: Own,
}

/// What a pod finds about the cluster it is in.
fn inside(
    account: &Path,
    host: Option<String>,
    port: Option<String>,
) -> Result<Found, ConfigError> {
    let (Some(host), Some(port)) = (host, port) else {
        let text = format!("`in_cluster`, but {HOST} and {PORT} say of no cluster");
        return Err(ConfigError::Cluster(text));
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(Found {
        server: Server::parse(&format!("https://{host}:{port}"))?,
        tls_name: None,
        authority: Pem::File(account.join("ca.crt")),
        own: Own::TokenFile(account.join("token")),
    })
}

// === impl Server ===

impl Server {
    /// Reads `https://HOST` or `https://HOST:PORT`. Without TLS there is none.
    ///
    /// # Errors
    ///
    /// When the text is no such place.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Server(text.to_owned());
        let rest = text.strip_prefix("https://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.contains(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (rest, HTTPS),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        match !host.is_empty() && host.bytes().all(sound) {
            true => Ok(Self { host: host.to_owned(), port }),
            false => Err(wrong()),
        }
    }
}

/// Writes `HOST:PORT`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

// === impl Pem ===

impl Pem {
    /// Returns the text; on failure, of what, and what the system says.
    pub(crate) fn read(&self) -> Result<Vec<u8>, (String, String)> {
        match self {
            Self::File(path) => {
                fs::read(path).map_err(|error| (path.display().to_string(), error.to_string()))
            }
            Self::Text(text) => Ok(text.clone()),
        }
    }
}

// === impl Own ===

impl Own {
    /// What connections show, if it is a certificate.
    pub(crate) fn shown(&self) -> Result<Option<Shown>, ConfigError> {
        match self {
            Self::Certificate(certificate, key) => {
                Ok(Some(Shown { certificate: certificate.clone(), key: key.clone() }))
            }
            Self::Token(_) | Self::TokenFile(_) => Ok(None),
        }
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(..) => f.write_str("Certificate(***)"),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::TokenFile(path) => f.debug_tuple("TokenFile").field(path).finish(),
        }
    }
}

// === impl InCluster ===

impl TryFrom<bool> for InCluster {
    type Error = &'static str;

    fn try_from(said: bool) -> Result<Self, Self::Error> {
        if said { Ok(Self) } else { Err("`in_cluster` is true or not there") }
    }
}

/// Reads a private file whole.
pub(crate) fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let wrong = |reason: String| ConfigError::Text { path: path.to_owned(), reason };
    let file = iddio_mint::open_private(path).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX));
    let read = file.take(SECRET_BYTES_MAX as u64).read_to_end(&mut bytes);
    let _read = read.map_err(|error| wrong(error.to_string()))?;
    Ok(bytes)
}

/// Whether a text can be a name of Kubernetes that also stands within others.
pub(crate) fn is_name(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(sound)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn namespace() -> String {
    "iddio".to_owned()
}

/// The ways to describe a cluster.
const FORMS: &str = "say `server`, `certificate_authority` and `token_file`, or `kubeconfig` and perhaps \
                     `context`, or `in_cluster = true`";

/// What every pod has.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where a pod finds the API server.
const HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Where a pod finds the API server.
const PORT: &str = "KUBERNETES_SERVICE_PORT";

const HTTPS: u16 = 443;

/// A DNS label's.
const NAME_BYTES_MAX: usize = 63;

/// The most of a kubeconfig or a key that is read.
const SECRET_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_host_and_a_port() {
        let of = |server: &str| {
            let Server { host, port } = Server::parse(server).unwrap();
            (host, port)
        };
        assert_eq!(of("https://kube.example"), ("kube.example".to_owned(), 443));
        assert_eq!(of("https://kube.example:8443/"), ("kube.example".to_owned(), 8443));
        assert_eq!(of("https://[::1]:6443"), ("::1".to_owned(), 6443));
        assert_eq!(Server::parse("https://[::1]:6443").unwrap().to_string(), "[::1]:6443");
        for text in
            ["http://a", "https://a:x", "https://a/path", "https://a@b", "https://", "a:443"]
        {
            assert!(Server::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pod_finds_the_cluster_it_is_in() {
        let text = |text: &str| Some(text.to_owned());
        let found = inside(Path::new("/s"), text("10.0.0.1"), text("443")).unwrap();
        assert_eq!(found.server, Server { host: "10.0.0.1".to_owned(), port: 443 });
        assert_eq!(found.authority, Pem::File("/s/ca.crt".into()));
        assert!(matches!(found.own, Own::TokenFile(path) if path == Path::new("/s/token")));
        let found = inside(Path::new("/s"), text("fd00::1"), text("443")).unwrap();
        assert_eq!(found.server.host, "fd00::1");
        assert!(inside(Path::new("/s"), None, text("443")).is_err());
        assert!(inside(Path::new("/s"), text("a b"), text("443")).is_err());
    }

    #[test]
    fn a_cluster_is_described_in_one_way() {
        let read = |text: &str| Cluster::read(toml::from_str(text).unwrap());
        let explicit = "name='a'\nserver='https://a'\ncertificate_authority='c'\ntoken_file='t'\n";
        assert!(read(explicit).is_ok());
        for more in ["in_cluster=true", "kubeconfig='/k'", "context='x'", "in_cluster=false"] {
            assert!(read(&format!("{explicit}{more}\n")).is_err(), "{more}");
        }
        for text in ["name='a'", "name='a'\nserver='https://a'", "name='a'\ncontext='x'"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
