//! Whether an asker is still there.
//!
//! An asker holds a lock on a file named after its ask for as long as it waits. The kernel lets go
//! of the lock when the process ends, however it ends, and a process in another pid namespace can
//! tell too. No pid is compared, so none can be reused.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};

use crate::id::AskId;

/// Held by an asker for as long as it waits.
#[derive(Debug)]
pub(crate) struct Presence {
    path: PathBuf,
    _lock: File,
}

/// Whether the asker is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asker {
    Gone,
    There,
}

// === impl Presence ===

impl Presence {
    /// Takes the lock for `id`, or `None` if somebody else holds it.
    pub(crate) fn take(dir: &Path, id: &AskId) -> io::Result<Option<Self>> {
        let askers = dir.join(DIR);
        match fs::DirBuilder::new().mode(0o700).create(&askers) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = askers.join(id.as_str());
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // A file left behind is unlocked, which says the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether the asker of `id` is there. When the system does not say, it is: its deadline
/// still ends the ask.
pub(crate) fn asker(dir: &Path, id: &AskId) -> Asker {
    let path = dir.join(DIR).join(id.as_str());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Asker::Gone,
        Err(_) => return Asker::There,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Asker::Gone,
        Err(_) => Asker::There,
    }
}

/// The directory of lock files in the home.
const DIR: &str = "askers";
