//! The service's configuration: one TOML file that root owns.
//!
//! INVARIANT: it is read only if nobody but root, or the service's own user, could have written it. An
//! unknown key is an error.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use iddio_service::owned;
use serde::Deserialize;

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The user the service runs as. Clients speak to nobody else.
    pub(crate) user: String,
    /// Where the log lies.
    #[serde(default = "directory")]
    pub(crate) directory: PathBuf,
    /// Where clients find the socket. For them: the service serves the one it is given.
    #[expect(dead_code, reason = "clients read it in the same file, so it is a known key")]
    socket: Option<PathBuf>,
    /// The signer's socket, where it signs checkpoints. Then the service has no key.
    pub(crate) signer: Option<PathBuf>,
    /// The user the signer runs as.
    pub(crate) signer_user: Option<String>,
    /// The private key that signs checkpoints. Made if it is not there.
    #[serde(default = "checkpoint_key")]
    pub(crate) checkpoint_key: PathBuf,
    /// A file, best on another disk or made append-only, that gets every checkpoint.
    pub(crate) checkpoint_file: Option<PathBuf>,
    /// Another log, best on another disk, that gets every checkpoint as a record.
    pub(crate) second_log: Option<PathBuf>,
    /// How often a checkpoint is made if there are new records.
    #[serde(default = "checkpoint_secs")]
    pub(crate) checkpoint_secs: u64,
    /// How large the log may become.
    pub(crate) bytes_max: Option<u64>,
    /// The users who are gateways: they speak for any principal.
    #[serde(default)]
    pub(crate) gateways: Vec<String>,
    /// Whom else a user speaks for, besides itself.
    #[serde(default)]
    pub(crate) speaks: HashMap<String, Vec<String>>,
    /// The users who may read the log.
    #[serde(default)]
    pub(crate) readers: Vec<String>,
    /// The group whose members may read the log.
    #[serde(default = "reader_group")]
    pub(crate) reader_group: String,
}

/// Reads the configuration.
pub(crate) fn read(path: &Path) -> Result<Config> {
    let name = path.display();
    let text = owned::read(path, &owned::root_or_own())?;
    let config: Config = toml::from_str(&text).with_context(|| format!("`{name}`"))?;
    if config.signer.is_some() != config.signer_user.is_some() {
        bail!("`{name}`: `signer` and `signer_user` go together");
    }
    if config.checkpoint_secs == 0 {
        bail!("`{name}`: checkpoint_secs must be at least 1");
    }
    Ok(config)
}

fn directory() -> PathBuf {
    PathBuf::from("/var/lib/iddio/log")
}

fn checkpoint_key() -> PathBuf {
    PathBuf::from("/var/lib/iddio/checkpoint.key")
}

fn checkpoint_secs() -> u64 {
    60
}

fn reader_group() -> String {
    "iddio-audit".to_owned()
}

/// Where it lies.
pub(crate) const PATH: &str = "/etc/iddio/log.toml";

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../dist/etc/log.toml");
    const DOCUMENT: &str = include_str!("../../../docs/log-service.md");

    #[test]
    fn the_example_that_is_shipped_is_a_configuration_and_stands_in_the_document() {
        let config: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(config.gateways, ["iddio-kube", "root"]);
        assert_eq!(config.directory, directory());
        assert!(DOCUMENT.contains(&format!("```toml\n{EXAMPLE}```")));
    }

    #[test]
    fn an_unknown_key_or_no_user_is_an_error() {
        for text in ["gateways = []", "user = \"a\"\ngateway = []"] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }
}
