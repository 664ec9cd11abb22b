//! Small files that must never be half written: read whole, replaced whole.
//!
//! INVARIANT: a reader sees the old content or the new one. A write goes to a temporary file in the
//! same directory, is synced, takes the name by rename, and the directory is synced.
//! Read-modify-write holds an exclusive lock, waited for no longer than [`LOCK_MILLIS_MAX`].

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
};
use serde::{Serialize, de::DeserializeOwned};

/// A store could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not what was stored.
    #[error("`{}` is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file could not be reached.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process held the lock too long.
    #[error("`{}` is locked by another process", path.display())]
    Locked {
        /// Which lock.
        path: PathBuf,
    },
}

/// An exclusive lock, released on drop.
#[derive(Debug)]
#[must_use]
pub struct Lock(#[expect(dead_code, reason = "held for its lock, released by closing")] File);

/// Reads a JSON store; a file that is not there is an empty one.
///
/// # Errors
///
/// When the file cannot be read, is too long, or is not what was stored.
pub fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, StoreError> {
    match read_bytes(path)? {
        None => Ok(T::default()),
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Reads a file whole, or returns `None` if it is not there. A final symbolic link is not followed.
///
/// # Errors
///
/// When the file cannot be read or is longer than [`STORE_BYTES_MAX`].
pub fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(path)(error.into())),
    };
    let mut bytes = Vec::with_capacity(STORE_BYTES);
    file.take(STORE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= STORE_BYTES_MAX => Ok(Some(bytes)),
        Ok(_) | Err(_) => {
            let reason = format!("longer than {STORE_BYTES_MAX} bytes");
            Err(StoreError::Damaged { path: path.to_owned(), reason })
        }
    }
}

/// Replaces a JSON store.
///
/// # Errors
///
/// When any step fails; the old content then stands.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    write_bytes(path, &bytes)
}

/// Replaces a file, with mode 0600.
///
/// # Errors
///
/// When any step fails; the old content then stands.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let written = write_new(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_parent(path));
    if written.is_err() {
        // Best effort: the name is of no use to anyone, and the error that matters is returned.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed(path))
}

/// Takes the lock at `path`, creating the file if needed.
///
/// # Errors
///
/// When it cannot be opened, or is held by another process for longer than [`LOCK_MILLIS_MAX`].
pub fn lock(path: &Path) -> Result<Lock, StoreError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|error| failed(path)(error.into()))?);
    let end = Instant::now() + Duration::from_millis(LOCK_MILLIS_MAX);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(file)),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < end => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                return Err(StoreError::Locked { path: path.to_owned() });
            }
            Err(error) => return Err(failed(path)(error.into())),
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

/// The most bytes a store may have: thousands of agents fit, and a reader stays bounded.
pub const STORE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What most stores have at most: they are read in one call.
const STORE_BYTES: usize = 4096;

/// How long a lock is waited for: writers hold it for one small file.
pub const LOCK_MILLIS_MAX: u64 = 5_000;

/// How long to wait between two tries of a lock.
const LOCK_RETRY: Duration = Duration::from_millis(5);
