//! What the operator says: one TOML file, strict.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use iddio_serve::config::{Log, Operations, Traces};
use serde::Deserialize;

use crate::cluster::Cluster;

/// The file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The names and addresses that clients reach this gateway by, besides `listen` and this host's own.
    pub named: Vec<String>,
    /// The certificate it shows; the home's own if there is none here.
    pub identity: Option<Identity>,
    /// Whose client certificates are believed besides the home's, PEM: those of a signer.
    pub client_authority: Option<PathBuf>,
    /// The clusters behind it, at least one.
    pub clusters: Vec<Cluster>,
    /// Where operators ask how it is.
    pub operations: Option<Operations>,
    /// Where spans are sent.
    pub traces: Option<Traces>,
    /// How it says what happens to it.
    pub log: Log,
}

/// A certificate of somebody else's.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The chain of certificates, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, private to the user that runs this.
    pub key: PathBuf,
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    listen: SocketAddr,
    #[serde(default)]
    names: Vec<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_authority: Option<PathBuf>,
    cluster: toml::Value,
    operations: Option<Operations>,
    traces: Option<Traces>,
    #[serde(default)]
    log: Log,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A cluster is not described, or in two ways.
    #[error("{0}")]
    Cluster(String),
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
        let written: Written = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let Written { listen, names: named, certificate, key, client_authority, .. } = written;
        let Written { cluster, operations, traces, log, .. } = written;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            _ => return Err(wrong("`certificate` and `key` come together".to_owned())),
        };
        let clusters = clusters(cluster)?;
        let mut taken = BTreeSet::new();
        for cluster in &clusters {
            if !taken.insert(cluster.name.as_str()) {
                return Err(wrong(format!("two clusters are called `{}`", cluster.name)));
            }
        }
        if clusters.is_empty() {
            return Err(wrong("there is no cluster".to_owned()));
        }
        Ok(Self { listen, named, identity, client_authority, clusters, operations, traces, log })
    }

    /// Returns every name and address that the home's certificate is for.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.named.clone();
        let address = self.listen.ip();
        if !address.is_unspecified() {
            names.push(address.to_string());
        }
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

/// Reads `[cluster]`, or any number of `[[cluster]]`.
fn clusters(value: toml::Value) -> Result<Vec<Cluster>, ConfigError> {
    match value {
        toml::Value::Array(clusters) => clusters.into_iter().map(Cluster::read).collect(),
        cluster => Ok(vec![Cluster::read(cluster)?]),
    }
}

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
        let [cluster] = config.clusters.as_slice() else { panic!("one cluster") };
        assert_eq!(cluster.namespace, "iddio");
        assert_eq!(cluster.server.to_string(), "10.0.0.1:6443");
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
    fn clusters_are_any_number_and_each_has_a_name_of_its_own() {
        let (head, cluster) = WHOLE.split_once("[cluster]").unwrap();
        let two = format!("{head}[[cluster]]{cluster}[[cluster]]{cluster}");
        assert!(read(&two).is_err(), "two of one name");
        let other = cluster.replace("\"prod\"", "\"staging\"");
        let config = read(&format!("{head}[[cluster]]{cluster}[[cluster]]{other}")).unwrap();
        let names: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        assert_eq!(names, ["prod", "staging"]);
        assert!(read(&format!("{head}cluster = []\n")).is_err());
        let strange = cluster.replace("name =", "strange = 1\nname =");
        assert!(read(&format!("{head}[[cluster]]{strange}")).is_err());
    }

    #[test]
    fn without_a_certificate_the_homes_own_is_shown_for_every_name() {
        let own = WHOLE.replace(
            "certificate = \"server.pem\"\nkey = \"server.key\"\n",
            "names = [\"gw.example\"]\n",
        );
        let config = read(&own).unwrap();
        assert!(config.identity.is_none());
        assert_eq!(config.names(), ["gw.example", "127.0.0.1", "localhost", "::1"]);
        assert!(read(&WHOLE.replace("key = \"server.key\"\n", "")).is_err());
    }
}
