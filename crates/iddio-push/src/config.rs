//! The configuration: one TOML file that root owns.

use std::path::{Path, PathBuf};

use iddio_service::owned::{self, OwnedError};
use serde::Deserialize;

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where checkpoints are posted: `https://host[:port]/path`, or `http://` within this host.
    pub url: String,
    /// The certificates of those who vouch for that place, PEM.
    #[serde(default = "roots")]
    pub roots: PathBuf,
    /// A private file with a token, sent as `Authorization: Bearer`.
    pub token: Option<PathBuf>,
    /// The user the log service runs as.
    pub log_user: String,
    /// Where the log service is.
    #[serde(default = "log_socket")]
    pub log_socket: PathBuf,
    /// How often a new checkpoint is looked for.
    #[serde(default = "secs")]
    pub secs: u64,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not root's alone to write, or could not be read.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// It does not say what it should.
    #[error("`{}`: {reason}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

// === impl Config ===

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// When others than root could have written it, or it does not say what it should.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Text { path: path.to_owned(), reason };
        let text = owned::read(path, &owned::root_or_own())?;
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if config.secs == 0 {
            return Err(wrong("`secs` must be at least 1".to_owned()));
        }
        Ok(config)
    }
}

fn roots() -> PathBuf {
    PathBuf::from("/etc/ssl/certs/ca-certificates.crt")
}

fn log_socket() -> PathBuf {
    PathBuf::from("/run/iddio/log.sock")
}

fn secs() -> u64 {
    60
}

/// Where it lies.
pub const PATH: &str = "/etc/iddio/push.toml";
