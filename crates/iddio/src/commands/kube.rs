//! What the command line knows of a host's Kubernetes gateway: where clients find it. The gateway
//! reads its configuration strictly; here only what a kubeconfig says is taken from it.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use iddio_core::principal::Identified;
use iddio_runtime::{
    agents::{AgentCertificate, Agents},
    assemble::Runtime,
    authority, kubeconfig,
};
use serde::Deserialize;

use crate::exit::Failure;

/// Where a gateway is, and what is behind it.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    names: Vec<String>,
    clusters: Vec<String>,
    shows: Shows,
}

/// Whose certificate a gateway shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shows {
    /// The home's.
    Own,
    /// Somebody else's.
    Foreign,
}

/// What is taken from the file.
#[derive(Deserialize)]
struct Written {
    listen: SocketAddr,
    #[serde(default)]
    names: Vec<String>,
    certificate: Option<PathBuf>,
    cluster: Option<toml::Value>,
}

/// Gives a registered agent a certificate and a kubeconfig, and returns where that is.
pub(crate) fn equip(
    runtime: &Runtime,
    by: &Identified,
    name: &str,
    gateway: &Gateway,
) -> Result<PathBuf, Failure> {
    let by = Some(by.principal());
    let authority = authority::open(runtime, by).map_err(Failure::unavailable)?;
    let issued = authority::agent(runtime, &authority, name, by).map_err(Failure::unavailable)?;
    let (serial, until) = (issued.facts.serial.clone(), issued.facts.until.to_string());
    Agents::of(runtime.home()).certify(name, AgentCertificate { serial, until })?;
    let vouches = (gateway.shows == Shows::Own).then(|| authority.certificate());
    let places = gateway.places();
    let written = kubeconfig::write(runtime.home(), name, vouches, &issued, &places);
    written.map_err(Failure::unavailable)
}

// === impl Gateway ===

impl Gateway {
    /// Reads where the gateway is: in the file that was named, or the host's, or where it is by
    /// default.
    pub(crate) fn of(named: Option<&Path>) -> Result<Self, Failure> {
        let path = named.unwrap_or(Path::new(CONFIGURATION));
        let said = |error: &dyn std::fmt::Display| {
            Failure::unavailable(format!("`{}`: {error}", path.display()))
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            // Who runs no gateway, or may not see the host's, is told where one would be.
            Err(error) if named.is_none() && away(&error) => return Self::default_one(),
            Err(error) => return Err(said(&error)),
        };
        let written: Written = toml::from_str(&text).map_err(|error| said(&error))?;
        let clusters = match written.cluster {
            Some(toml::Value::Array(clusters)) => clusters,
            cluster => cluster.into_iter().collect(),
        };
        let name = |cluster: toml::Value| {
            let name = cluster.get("name").and_then(toml::Value::as_str).map(str::to_owned);
            name.filter(|name| is_plain(name)).ok_or_else(|| said(&"a cluster without a name"))
        };
        let clusters = clusters.into_iter().map(name).collect::<Result<_, _>>()?;
        if let Some(name) = written.names.iter().find(|name| !is_plain(name)) {
            return Err(said(&format_args!("`{name}` is no name")));
        }
        let shows = if written.certificate.is_some() { Shows::Foreign } else { Shows::Own };
        Ok(Self { address: written.listen, names: written.names, clusters, shows })
    }

    /// The names that the home's certificate for it is for.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.names.clone();
        if !self.address.ip().is_unspecified() {
            names.push(self.address.ip().to_string());
        }
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn default_one() -> Result<Self, Failure> {
        let address = DEFAULT.parse().map_err(Failure::unavailable)?;
        Ok(Self { address, names: Vec::new(), clusters: Vec::new(), shows: Shows::Own })
    }

    fn places(&self) -> Vec<kubeconfig::Place> {
        let (ip, port) = (self.address.ip(), self.address.port());
        let host = match self.names.first() {
            Some(name) if name.contains(':') => format!("[{name}]"),
            Some(name) => name.clone(),
            None if ip.is_unspecified() => "localhost".to_owned(),
            None if ip.is_ipv6() => format!("[{ip}]"),
            None => ip.to_string(),
        };
        let server = format!("https://{host}:{port}");
        if self.clusters.is_empty() {
            return vec![kubeconfig::Place { name: "iddio".to_owned(), server }];
        }
        let named = |name: &String| kubeconfig::Place {
            name: name.clone(),
            server: format!("{server}/clusters/{name}"),
        };
        self.clusters.iter().map(named).collect()
    }
}

fn away(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

/// Whether a word can stand in a kubeconfig as it is.
fn is_plain(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    !text.is_empty() && text.bytes().all(sound) && !text.starts_with('-')
}

/// Where the host's gateway is configured.
const CONFIGURATION: &str = "/etc/iddio/kube.toml";

/// Where a gateway listens that nobody configured.
const DEFAULT: &str = "127.0.0.1:6443";
