//! What a service says of itself, and how it is asked: `iddio status`.
//!
//! Every gateway answers at a socket in its own home, which only its user and root may reach. What it
//! says names no caller and holds nothing of what passes.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::home::Home;

/// What a running service says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Which service: `iddio-kube`.
    pub service: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it has run, in seconds.
    pub running_secs: u64,
    /// Whether it takes requests, or why not.
    pub ready: Readiness,
    /// The policy in force.
    pub policy: PolicyReport,
    /// The certificate that it shows clients, if it has one.
    pub certificate: Option<CertificateReport>,
    /// The number of the last record that it stored.
    pub log_head: u64,
    /// How many freezes are in force; `None` if that cannot be told, and everybody is frozen.
    pub freezes: Option<u64>,
    /// How many agents are known; `None` if that cannot be told, and nobody is known.
    pub agents: Option<u64>,
    /// What it counted since it started, by name.
    pub counts: std::collections::BTreeMap<String, u64>,
}

/// Whether a service takes requests.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not.
    Unready {
        /// Why not, one line for each reason.
        reasons: Vec<String>,
    },
}

/// The policy in force.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicyReport {
    /// The digest that records carry.
    pub version: String,
    /// Why nothing is allowed, if no policy is in force.
    pub fault: Option<String>,
}

/// A certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateReport {
    /// Its SHA-256.
    pub fingerprint: String,
    /// When it ends, in seconds since 1970; `None` if that cannot be read.
    pub not_after: Option<i64>,
}

/// A service does not say how it is.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody answers.
    #[error("it does not run: `{}`: {source}", socket.display())]
    Away {
        /// Where it would answer.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What it says is no report.
    #[error("it does not speak as it should: {0}")]
    Garbled(String),
}

/// Returns where the service of `home` answers.
pub fn socket(home: &Home) -> PathBuf {
    socket_in(home.root())
}

/// Returns where the service whose home is at `root` answers.
pub fn socket_in(root: &Path) -> PathBuf {
    root.join("status.sock")
}

/// Asks the service at `socket` how it is.
///
/// # Errors
///
/// When nobody answers in time, or something else does.
pub fn ask(socket: &Path) -> Result<Report, StatusError> {
    let away = |source| StatusError::Away { socket: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).map_err(away)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(away)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(away)?;
    let request = b"GET /status HTTP/1.1\r\nHost: iddio\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(away)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(away)?;
    read(&answer)
}

fn read(answer: &[u8]) -> Result<Report, StatusError> {
    let garbled = |what: &str| StatusError::Garbled(what.to_owned());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, rest) =
        end.and_then(|end| answer.split_at_checked(end)).ok_or_else(|| garbled("no answer"))?;
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(garbled("no report"));
    }
    let body = rest.get(4..).unwrap_or_default();
    serde_json::from_slice(body).map_err(|error| garbled(&error.to_string()))
}

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most of an answer that is read.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_not_taken_for_one() {
        for answer in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 404 x\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\n\r\n{}",
        ] {
            assert!(read(answer).is_err());
        }
    }
}
