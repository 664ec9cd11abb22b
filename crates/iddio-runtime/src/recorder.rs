//! Where records go: to the home's own log, or to the host's log service.
//!
//! The host decides, not the caller: where root wrote `/etc/iddio/log.toml`, everybody's records go to
//! the service it names, and if that is away nothing is recorded and nothing is allowed (N4). No
//! variable, flag or file of the caller's has a say (E06). Without that file the home keeps its log.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use iddio_audit::{
    Health, Log, OpenError, Options, Room, Status, checkpoint::CheckpointError, remote::Remote,
};
use iddio_core::audit::{AuditError, AuditSink, checkpoint::CheckpointSigner};
use iddio_service::owned::{self, OwnedError};
use serde::Deserialize;

/// Where records go.
pub(crate) enum Recorder {
    /// The home's own log.
    Own(Arc<Log>),
    /// The host's log service.
    Service(Arc<Remote>),
}

/// What clients read of the service's configuration. The rest of it is the service's own.
#[derive(Debug, Deserialize)]
struct Service {
    user: String,
    #[serde(default = "socket")]
    socket: PathBuf,
    signer: Option<PathBuf>,
    signer_user: Option<String>,
}

/// Where the host's signer is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignerPlace {
    /// Its socket.
    pub socket: PathBuf,
    /// The user it runs as.
    pub keeper: u32,
}

/// The host's configuration of its log service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
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

// === impl Recorder ===

impl Recorder {
    /// Opens what the host says, or else the log in `dir` with what `options` returns.
    ///
    /// # Errors
    ///
    /// When the host says something that cannot be understood, or the log cannot be opened.
    pub(crate) fn open<E: From<ServiceError> + From<OpenError>>(
        dir: &Path,
        options: impl FnOnce() -> Result<Options, E>,
    ) -> Result<Self, E> {
        match service()? {
            Some(remote) => Ok(Self::Service(Arc::new(remote))),
            None => Ok(Self::Own(Arc::new(Log::open(dir, options()?)?))),
        }
    }

    pub(crate) fn sink(&self) -> Arc<dyn AuditSink> {
        match self {
            Self::Own(log) => log.clone(),
            Self::Service(remote) => remote.clone(),
        }
    }

    /// Says whether it takes records, as far as that can be told without making one.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match self {
            Self::Own(log) => of_own(log.path()),
            Self::Service(remote) => remote.head().map(|_| ()).map_err(|error| error.to_string()),
        }
    }

    /// Makes everything written so far durable, as far as that is this process's business.
    pub(crate) fn finish(&self) -> Result<(), AuditError> {
        match self {
            Self::Own(log) => log.finish(),
            // What it lost track of is closed when it is gone, too; what was written, the service syncs.
            Self::Service(remote) => {
                remote.finish().map_err(|error| AuditError::not_stored(error.to_string()))
            }
        }
    }

    /// Returns a checkpoint: a new one of the home's log, the last one of the service's.
    pub(crate) fn checkpoint(
        &self,
        signer: &dyn CheckpointSigner,
    ) -> Result<String, CheckpointError> {
        let sorry = |what: String| CheckpointError::Sync(what);
        match self {
            Self::Own(log) => log.checkpoint(signer),
            Self::Service(remote) => {
                let note = remote.checkpoint().map_err(|error| sorry(error.to_string()))?;
                note.ok_or_else(|| sorry("the log service has made none yet".to_owned()))
            }
        }
    }
}

/// Says whether the log in `dir` takes records.
fn of_own(dir: &Path) -> Result<(), String> {
    let status = iddio_audit::status(dir, None).map_err(|error| error.to_string())?;
    let disk = rustix::fs::statvfs(dir).map_err(|errno| errno.to_string())?;
    let access = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK);
    match status {
        Status { health: Health::Poisoned, .. } => Err("the disk failed to sync the log".into()),
        Status { room: Room::Full, .. } => Err("there is no room for records".into()),
        _ if disk.f_bavail == 0 => Err("there is no room for records".into()),
        _ if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => {
            Err("the log is mounted read-only".into())
        }
        _ => access.map_err(|errno| format!("the log cannot be written: {errno}")),
    }
}

/// Returns the host's log service, if it has one.
///
/// # Errors
///
/// When there is a configuration that cannot be used: then nothing can be recorded.
pub fn service() -> Result<Option<Remote>, ServiceError> {
    service_of(Path::new(CONFIGURATION), ROOT)
}

/// Returns the host's signer, if it has one.
///
/// # Errors
///
/// When there is a configuration that cannot be used.
pub fn signer() -> Result<Option<SignerPlace>, ServiceError> {
    let path = Path::new(CONFIGURATION);
    let Some(Service { signer: Some(socket), signer_user: Some(user), .. }) = read(path, ROOT)?
    else {
        return Ok(None);
    };
    let keeper = uid(path, &user)?;
    Ok(Some(SignerPlace { socket, keeper }))
}

/// Returns the log service that the file at `path` names, if there is one, which must be `owner`'s.
fn service_of(path: &Path, owner: u32) -> Result<Option<Remote>, ServiceError> {
    let Some(Service { user, socket, .. }) = read(path, owner)? else { return Ok(None) };
    Ok(Some(Remote::at(&socket, uid(path, &user)?)))
}

/// Reads the configuration, if there is one.
fn read(path: &Path, owner: u32) -> Result<Option<Service>, ServiceError> {
    let text = match owned::read(path, &[owner]) {
        Err(error) if error.is_missing() => return Ok(None),
        read => read?,
    };
    let wrong = |reason: String| ServiceError::Text { path: path.to_owned(), reason };
    toml::from_str(&text).map(Some).map_err(|error| wrong(error.to_string()))
}

fn uid(path: &Path, user: &str) -> Result<u32, ServiceError> {
    let known = nix::unistd::User::from_name(user).ok().flatten();
    let known = known.ok_or_else(|| ServiceError::Text {
        path: path.to_owned(),
        reason: format!("there is no user `{user}`"),
    })?;
    Ok(known.uid.as_raw())
}

fn socket() -> PathBuf {
    PathBuf::from("/run/iddio/log.sock")
}

/// Where the host configures its log service.
const CONFIGURATION: &str = "/etc/iddio/log.toml";

/// Whose configuration counts.
const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn without_a_configuration_the_home_keeps_its_log() {
        let dir = tempfile::tempdir().unwrap();
        assert!(service_of(&dir.path().join("log.toml"), own()).unwrap().is_none());
    }

    #[test]
    fn the_hosts_configuration_names_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.toml");
        fs::write(&path, "user = \"root\"\nsocket = \"/run/x.sock\"\ngateways = []\n").unwrap();
        let remote = service_of(&path, own()).unwrap().unwrap();
        assert_eq!(remote.socket(), Path::new("/run/x.sock"));
    }

    #[test]
    fn a_configuration_of_anybody_else_or_that_says_nothing_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.toml");
        for (text, mode, owner) in [
            ("user = \"root\"", 0o666, own()),
            ("user = \"root\"", 0o644, own() + 1),
            ("user = \"no-such-user\"", 0o644, own()),
            ("nonsense", 0o644, own()),
            ("", 0o644, own()),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(service_of(&path, owner).is_err(), "{text} {mode:o}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(service_of(&path, own()).is_err(), "a link");
    }
}
