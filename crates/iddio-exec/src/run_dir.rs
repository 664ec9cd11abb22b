//! A private directory for one run: its snapshot, its empty files, its plan.
//!
//! It is made when first needed, holds a lock while its run lives, and is removed with it. What a
//! killed run left behind is removed by the next one that makes a directory.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use iddio_core::operation::OperationId;
use rustix::fs::{FlockOperation, flock};

/// A private directory, removed on drop.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    #[expect(dead_code, reason = "held for its lock, released by closing")]
    lock: File,
}

impl RunDir {
    /// Makes the directory of the run `id` below `runs`.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn make(runs: &Path, id: OperationId) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(runs)?;
        sweep(runs)?;
        let path = runs.join(id.to_string());
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create(path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an empty directory in it and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Best effort: the next run sweeps what is left.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories whose run is over. One without a lock file is being made or removed, and
/// is left alone.
fn sweep(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let path = entry?.path();
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Best effort: another run may be sweeping too.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

const LOCK: &str = ".lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_removes_its_directory_and_those_of_dead_runs_but_not_of_live_ones() {
        let runs = tempfile::tempdir().unwrap();
        let live = RunDir::make(runs.path(), OperationId(1)).unwrap();
        let dead = RunDir::make(runs.path(), OperationId(2)).unwrap();
        let left = dead.path().to_owned();
        drop(dead);
        fs::create_dir(&left).unwrap();
        File::create(left.join(LOCK)).unwrap();
        let next = RunDir::make(runs.path(), OperationId(3)).unwrap();
        assert!(live.path().is_dir() && next.path().is_dir() && !left.exists());
    }
}
