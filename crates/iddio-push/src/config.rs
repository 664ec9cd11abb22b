//! The configuration: one TOML file that root owns.

use std::{
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
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
#[error("`{}`: {reason}", path.display())]
pub struct ConfigError {
    path: PathBuf,
    reason: String,
}

// === impl Config ===

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// When others than root could have written it, or it does not say what it should.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError { path: path.to_owned(), reason };
        let mut options = std::fs::File::options();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(path).map_err(|error| wrong(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
        let own = rustix::process::geteuid().as_raw();
        let trusted = metadata.uid() == 0 || metadata.uid() == own;
        if !metadata.is_file() || !trusted || metadata.mode() & 0o022 != 0 {
            return Err(wrong("not a file that only root may write".to_owned()));
        }
        let mut text = String::new();
        let read = file.take(BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| wrong(error.to_string()))?;
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

/// The most bytes of it that are read.
const BYTES_MAX: u64 = 64 << 10;
