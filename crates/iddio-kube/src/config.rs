//! What the operator says: one TOML file, strict.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The server's chain of certificates, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, private to the user that runs this.
    pub key: PathBuf,
    /// The cluster behind it.
    pub cluster: Cluster,
}

/// A cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name, as policy's `clusters` has it.
    pub name: String,
    /// Its API server: `https://HOST:PORT`.
    pub server: String,
    /// Who vouches for that server, PEM.
    pub certificate_authority: PathBuf,
    /// The gateway's own token, with which it makes tokens of service accounts and can do nothing
    /// else. Read for each one, because it changes.
    pub token_file: PathBuf,
    /// The namespace of those service accounts.
    #[serde(default = "namespace")]
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

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The server is not one that can be connected to.
    #[error("`{0}` is no API server: use https://HOST or https://HOST:PORT")]
    Server(String),
    /// It does not say what it should.
    #[error("`{}`: {reason}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A name has characters that names of Kubernetes have not.
    #[error("`{0}` is no name: use a-z, 0-9 and - within")]
    Name(String),
}

// === impl Config ===

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read or says anything else than it should.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let io = |source| ConfigError::Io { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let wrong = |reason| ConfigError::Text { path: path.to_owned(), reason };
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let _server = config.cluster.server()?;
        for name in [&config.cluster.name, &config.cluster.namespace] {
            if !is_name(name) {
                return Err(ConfigError::Name(name.clone()));
            }
        }
        Ok(config)
    }
}

// === impl Cluster ===

impl Cluster {
    /// Returns where its API server is. Without TLS there is none.
    ///
    /// # Errors
    ///
    /// When the text is no such place.
    pub fn server(&self) -> Result<Server, ConfigError> {
        let wrong = || ConfigError::Server(self.server.clone());
        let rest = self.server.strip_prefix("https://").ok_or_else(wrong)?;
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
            true => Ok(Server { host: host.to_owned(), port }),
            false => Err(wrong()),
        }
    }
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

const HTTPS: u16 = 443;

/// A DNS label's.
const NAME_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
listen = \"127.0.0.1:6443\"
certificate = \"server.pem\"
key = \"server.key\"
[cluster]
name = \"prod\"
server = \"https://10.0.0.1:6443\"
certificate_authority = \"ca.pem\"
token_file = \"token\"
";

    fn read(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kube.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn a_file_says_everything_or_is_refused() {
        let config = read(WHOLE).unwrap();
        assert_eq!(config.cluster.namespace, "iddio");
        let server = Server { host: "10.0.0.1".to_owned(), port: 6443 };
        assert_eq!(config.cluster.server().unwrap(), server);
        for (from, to) in [
            ("listen = \"127.0.0.1:6443\"\n", ""),
            ("name = \"prod\"", "name = \"prod\"\nnames = \"x\""),
            ("name = \"prod\"", "name = \"Prod*\""),
            ("https://10.0.0.1:6443", "http://10.0.0.1:6443"),
            ("https://10.0.0.1:6443", "https://10.0.0.1:x"),
            ("https://10.0.0.1:6443", "https://10.0.0.1/path"),
            ("https://10.0.0.1:6443", "https://a@b"),
            ("https://10.0.0.1:6443", "https://"),
            ("[cluster]", "[clusters]"),
        ] {
            assert!(read(&WHOLE.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_server_has_a_host_and_a_port() {
        let of = |server: &str| {
            let config = read(&WHOLE.replace("https://10.0.0.1:6443", server)).unwrap();
            let Server { host, port } = config.cluster.server().unwrap();
            (host, port)
        };
        assert_eq!(of("https://kube.example"), ("kube.example".to_owned(), 443));
        assert_eq!(of("https://kube.example:8443/"), ("kube.example".to_owned(), 8443));
        assert_eq!(of("https://[::1]:6443"), ("::1".to_owned(), 6443));
    }
}
