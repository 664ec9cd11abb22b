//! The signer's configuration: one TOML file that root owns.
//!
//! INVARIANT: it is read only if nobody but root, or the signer's own user, could have written it. An
//! unknown key is an error. Users are looked up once, before the signer shuts itself off.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use iddio_service::owned::{self, OwnedError};
use serde::Deserialize;

use crate::keys::Kept;

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The user the signer runs as. Clients speak to nobody else.
    pub user: String,
    /// Where clients find the socket. For them: the signer serves the one it is given.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// Where keys, ledger and standing lie.
    #[serde(default = "directory")]
    pub directory: PathBuf,
    /// The file with the wrapping key; without it, the credential `wrapping-key` that systemd passes.
    pub wrapping_key: Option<PathBuf>,
    /// The user the log service runs as: it alone has checkpoints signed, and what it says is the log.
    pub log_user: String,
    /// Where the log service is.
    #[serde(default = "log_socket")]
    pub log_socket: PathBuf,
    /// What names in certificates belong to.
    #[serde(default = "trust_domain")]
    pub trust_domain: String,
    /// The users whose records get SSH certificates: bastions.
    #[serde(default)]
    pub ssh: Vec<String>,
    /// The addresses that SSH certificates are good from: the bastion's.
    #[serde(default)]
    pub ssh_sources: Vec<String>,
    /// The users whose records get client certificates: gateways.
    #[serde(default)]
    pub x509: Vec<String>,
    /// The users whose records get registry entries signed.
    #[serde(default)]
    pub registry: Vec<String>,
}

/// Who may have what, by uid.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The log service.
    pub log: u32,
    /// Those who get SSH certificates.
    pub ssh: Vec<u32>,
    /// Those who get client certificates.
    pub x509: Vec<u32>,
    /// Those who get registry entries.
    pub registry: Vec<u32>,
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
    /// The user database does not know somebody.
    #[error("there is no user `{0}`")]
    User(String),
}

// === impl Config ===

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = owned::read(path, &owned::root_or_own())?;
        let wrong = |reason| ConfigError::Text { path: path.to_owned(), reason };
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        config.check().map_err(wrong)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let sound = |byte: u8| plain(byte) || matches!(byte, b'.' | b'-' | b'_');
        if self.trust_domain.is_empty() || !self.trust_domain.bytes().all(sound) {
            return Err(format!("`{}` is no trust domain", self.trust_domain));
        }
        match self.ssh_sources.iter().find(|source| !is_source(source)) {
            Some(source) => Err(format!("`{source}` is no address, alone or with a prefix length")),
            None => Ok(()),
        }
    }

    /// Looks up who may have what.
    ///
    /// # Errors
    ///
    /// When the user database does not know somebody.
    pub fn rights(&self) -> Result<Rights, ConfigError> {
        let all =
            |names: &[String]| names.iter().map(|name| uid(name)).collect::<Result<Vec<u32>, _>>();
        Ok(Rights {
            log: uid(&self.log_user)?,
            ssh: all(&self.ssh)?,
            x509: all(&self.x509)?,
            registry: all(&self.registry)?,
        })
    }

    /// Returns where the wrapping key is, and how it is kept there.
    ///
    /// # Errors
    ///
    /// When neither the configuration nor systemd names one.
    pub fn wrapping(&self) -> Result<(PathBuf, Kept), ConfigError> {
        if let Some(path) = &self.wrapping_key {
            return Ok((path.clone(), Kept::InFile));
        }
        let credentials = std::env::var_os(CREDENTIALS_VARIABLE).map(PathBuf::from);
        let path = credentials.map(|dir| dir.join(CREDENTIAL));
        path.map(|path| (path, Kept::AsCredential)).ok_or_else(|| ConfigError::Text {
            path: PathBuf::from(PATH),
            reason: "there is no `wrapping_key`, and systemd passes no credential".to_owned(),
        })
    }

    /// Returns where the keys lie.
    pub fn keys(&self) -> PathBuf {
        self.directory.join("keys")
    }

    /// Returns where ledger and standing lie.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}

/// Returns the uid of a user.
///
/// # Errors
///
/// When the user database does not know it.
pub fn uid(name: &str) -> Result<u32, ConfigError> {
    let user = nix::unistd::User::from_name(name).ok().flatten();
    user.map(|user| user.uid.as_raw()).ok_or_else(|| ConfigError::User(name.to_owned()))
}

/// Whether this is an address, alone or with a prefix length.
fn is_source(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| prefix.parse().is_ok_and(|bits: u8| 0 < bits && bits <= most))
}

fn socket() -> PathBuf {
    PathBuf::from("/run/iddio/signer.sock")
}

fn directory() -> PathBuf {
    PathBuf::from("/var/lib/iddio-signer")
}

fn log_socket() -> PathBuf {
    PathBuf::from("/run/iddio/log.sock")
}

fn trust_domain() -> String {
    "iddio.local".to_owned()
}

/// Where it lies.
pub const PATH: &str = "/etc/iddio/signer.toml";

/// Where systemd says that it put credentials.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// The name of the wrapping key among them.
const CREDENTIAL: &str = "wrapping-key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_configuration_is_refused() {
        let read = |text: &str| {
            let config: Result<Config, _> = toml::from_str(text);
            config.map_err(|error| error.to_string()).and_then(|config| {
                config.check()?;
                Ok(config)
            })
        };
        let good = "user = \"a\"\nlog_user = \"b\"\n";
        assert!(read(good).is_ok());
        for more in [
            "unknown = 1",
            "trust_domain = \"\"",
            "trust_domain = \"a/b\"",
            "ssh_sources = [\"10.0.0.0/33\"]",
            "ssh_sources = [\"0.0.0.0/0\"]",
            "ssh_sources = [\"web-1\"]",
            "ssh_sources = [\"10.0.0.1,0.0.0.0\"]",
        ] {
            assert!(read(&format!("{good}{more}")).is_err(), "{more}");
        }
        assert!(read(&format!("{good}ssh_sources = [\"10.0.0.0/8\", \"fd00::1\"]")).is_ok());
        assert!(read("user = \"a\"").is_err());
    }
}
