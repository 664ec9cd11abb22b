//! What the host says about its broker: one TOML file that root owns.
//!
//! The host decides, not the caller: where root wrote the file, `iddio exec` hands every command to the
//! broker it names, and if that is away nothing runs. No variable, flag or file of a caller's has a say
//! (E06). INVARIANT: the file is read only if nobody but root could have written it.

use std::path::{Path, PathBuf};

use iddio_service::owned::{self, OwnedError};
use serde::Deserialize;

use crate::credentials::Source;

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The user the broker runs as. Clients speak to this user or root, and to nobody else.
    pub user: String,
    /// Where clients find it.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// The broker's home: its approvals, agents, pins.
    #[serde(default = "home")]
    pub home: PathBuf,
    /// Where runs have their private directories.
    #[serde(default = "runs")]
    pub runs: PathBuf,
    /// Where programs are looked for; without, in the system's directories.
    #[serde(default)]
    pub tool_path: Vec<PathBuf>,
    /// What runs see besides the system, to read.
    #[serde(default)]
    pub visible: Vec<PathBuf>,
    /// What runs reach: `HOST:PORT`, `*.DOMAIN:PORT`.
    #[serde(default)]
    pub network: Vec<String>,
    /// What is given to which runs.
    #[serde(default)]
    pub credentials: Vec<Source>,
    /// The users that runs are started as, one at a time each.
    #[serde(default)]
    pub uids: Uids,
    /// What one run may use up.
    #[serde(default)]
    pub limits: Bounds,
}

/// What one run may use up, all of its processes together.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Processes and threads at once.
    pub processes: u64,
}

/// A range of users that nobody else is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Uids {
    /// The first of them.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
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
    /// Reads what the host says, if it says anything.
    ///
    /// # Errors
    ///
    /// When there is a file and it cannot be used: then nothing runs.
    pub fn of_host() -> Result<Option<Self>, ConfigError> {
        Self::read(Path::new(PATH), &[ROOT])
    }

    /// Reads the file at `path`, which must be one of these `owners`'.
    ///
    /// # Errors
    ///
    /// When there is a file and it cannot be used.
    pub fn read(path: &Path, owners: &[u32]) -> Result<Option<Self>, ConfigError> {
        let text = match owned::read(path, owners) {
            Err(error) if error.is_missing() => return Ok(None),
            read => read?,
        };
        let wrong = |reason: String| ConfigError::Text { path: path.to_owned(), reason };
        let config: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if let Some(unknown) = config.credentials.iter().find_map(Source::unknown_protocol) {
            return Err(wrong(format!("there is no protocol `{unknown}`")));
        }
        let Uids { first, count } = config.uids;
        if first < UID_MIN || count == 0 || first.checked_add(count).is_none() {
            return Err(wrong(format!("`uids` must begin at {UID_MIN} or above and not be empty")));
        }
        let Bounds { memory_mib, processes } = config.limits;
        if memory_mib < MEMORY_MIB_MIN || processes < PROCESSES_MIN {
            let least = format!("{MEMORY_MIB_MIN} MiB and {PROCESSES_MIN} processes");
            return Err(wrong(format!("`limits` must leave a run at least {least}")));
        }
        Ok(Some(config))
    }
}

impl Default for Uids {
    fn default() -> Self {
        Self { first: 1_879_048_192, count: 4096 }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        // Enough for a plan of ten thousand resources, and for a build in parallel.
        Self { memory_mib: 4096, processes: 4096 }
    }
}

impl Bounds {
    /// Returns the memory in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib.saturating_mul(1 << 20)
    }
}

fn socket() -> PathBuf {
    PathBuf::from("/run/iddio/exec.sock")
}

fn home() -> PathBuf {
    PathBuf::from("/var/lib/iddio-exec/home")
}

fn runs() -> PathBuf {
    PathBuf::from("/var/lib/iddio-exec/runs")
}

/// Where it lies.
pub const PATH: &str = "/etc/iddio/exec.toml";

/// Whose configuration counts.
const ROOT: u32 = 0;

/// Below are users of the system and people.
const UID_MIN: u32 = 65_536;

/// With less a run does not start: its stages count, too.
const MEMORY_MIB_MIN: u64 = 16;

/// With fewer a shell starts nothing.
const PROCESSES_MIN: u64 = 8;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/broker.md");

    fn read(text: &str, mode: u32, owners: &[u32]) -> Result<Option<Config>, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        Config::read(file.path(), owners)
    }

    #[test]
    fn the_example_of_the_document_is_a_configuration() {
        let own = rustix::process::geteuid().as_raw();
        let (_, text) = DOCUMENT.split_once("```toml\n").unwrap();
        let (text, _) = text.split_once("```").unwrap();
        let config = read(text, 0o644, &[own]).unwrap().unwrap();
        assert_eq!(config.credentials.len(), 4);
        assert_eq!(config.home, home());
    }

    #[test]
    fn what_others_could_have_written_or_nobody_understands_is_no_configuration() {
        let own = rustix::process::geteuid().as_raw();
        for (text, mode, owners) in [
            ("user = \"root\"", 0o666, [own]),
            ("user = \"root\"", 0o644, [own + 1]),
            ("", 0o644, [own]),
            ("user = \"root\"\nusers = 1", 0o644, [own]),
            ("user = \"root\"\nuids = { first = 0, count = 9 }", 0o644, [own]),
            ("user = \"root\"\nuids = { first = 70000, count = 0 }", 0o644, [own]),
            ("user = \"root\"\nlimits = { memory_mib = 1 }", 0o644, [own]),
            ("user = \"root\"\nlimits = { processes = 1 }", 0o644, [own]),
            ("user = \"root\"\n[[credentials]]\nfor = [\"awz\"]", 0o644, [own]),
            ("user = \"root\"\n[[credentials]]\nfor = []\nvariables = 1", 0o644, [own]),
        ] {
            assert!(read(text, mode, &owners).is_err(), "{text} {mode:o}");
        }
        assert!(Config::read(Path::new("/nonexistent/exec.toml"), &[own]).unwrap().is_none());
    }
}
