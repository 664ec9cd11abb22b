//! A private directory for one run: its snapshot, its empty files, its plan.
//!
//! It is made when first needed, holds a lock while its run lives, and is removed with it. What a
//! killed run left behind is removed by the next one that makes a directory. A run that needs none
//! makes none.

use std::{
    cell::OnceCell,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use iddio_core::operation::OperationId;
use rustix::fs::{FlockOperation, flock};

/// A private directory, removed on drop if it was made.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held from the moment the directory is there, released by closing.
    lock: OnceCell<File>,
}

impl RunDir {
    /// Names the directory of the run `id` below `runs`. Nothing is made yet.
    pub fn of(runs: &Path, id: OperationId) -> Self {
        Self { path: runs.join(id.to_string()), lock: OnceCell::new() }
    }

    /// Where it is: it exists from here on.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn path(&self) -> io::Result<&Path> {
        if self.lock.get().is_none() {
            let lock = make(&self.path)?;
            self.lock.get_or_init(|| lock);
        }
        Ok(&self.path)
    }

    /// Makes an empty directory in it and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path()?.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.lock.get().is_some() {
            remove(&self.path);
        }
    }
}

/// Makes the directory of a run and returns its lock.
///
/// The lock comes first, and is never seen without being held: it is taken under another name. So a
/// run that is killed at any point leaves only what the next one removes.
fn make(path: &Path) -> io::Result<File> {
    let runs = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(runs)?;
    sweep(runs)?;
    for attempt in 0..ATTEMPTS_MAX {
        let Some(lock) = hold(path, attempt)? else { continue };
        return match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Ok(lock),
            Err(error) => {
                remove(path);
                Err(error)
            }
        };
    }
    Err(io::Error::other("other runs keep clearing this one away"))
}

/// Makes the lock of a run and holds it, or returns `None` if another run took it for a leftover
/// before it was held.
fn hold(path: &Path, attempt: usize) -> io::Result<Option<File>> {
    let unborn = path.with_extension(format!("{attempt}.{UNBORN}"));
    let lock = File::options().write(true).create_new(true).mode(0o600).open(&unborn)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    match fs::rename(&unborn, path.with_extension(LOCK)) {
        Ok(()) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the directories whose run is over.
fn sweep(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default();
        if extension != LOCK && extension != UNBORN {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // One that was just made and not yet locked loses its name, and its maker notices.
            let _ = fs::remove_file(path.with_extension(UNBORN));
            remove(&path.with_extension(""));
        }
    }
    Ok(())
}

/// Removes a directory, then its lock. Best effort: the next run sweeps what is left.
fn remove(path: &Path) {
    let _ = fs::remove_dir_all(path);
    let _ = fs::remove_file(path.with_extension(LOCK));
}

/// How often a lock is made again that another run cleared away: each time needs another run that
/// sweeps in the few microseconds before it is held.
const ATTEMPTS_MAX: usize = 64;

/// The extension of the lock of a run.
const LOCK: &str = "lock";

/// Its extension before it is held.
const UNBORN: &str = "unborn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_removes_its_directory_and_those_of_dead_runs_but_not_of_live_ones() {
        let runs = tempfile::tempdir().unwrap();
        let live = RunDir::of(runs.path(), OperationId(1));
        live.path().unwrap();
        let left = runs.path().join(OperationId(2).to_string());
        fs::create_dir(&left).unwrap();
        fs::write(left.join("plan"), "").unwrap();
        File::create(left.with_extension(LOCK)).unwrap();
        File::create(runs.path().join("half.unborn")).unwrap();
        let next = RunDir::of(runs.path(), OperationId(3));
        assert!(live.path().unwrap().is_dir() && next.path().unwrap().is_dir());
        drop((live, next));
        assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_run_that_needs_no_directory_makes_none() {
        let home = tempfile::tempdir().unwrap();
        let runs = home.path().join("runs");
        drop(RunDir::of(&runs, OperationId(1)));
        assert!(!runs.exists());
    }
}
