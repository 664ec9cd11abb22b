//! A working directory, opened once.
//!
//! INVARIANT: the child starts in the directory that was opened, whatever has its name by then.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use crate::program::{beyond_stdio, descriptor_path};

/// A directory held open for a child to start in.
#[derive(Debug)]
pub struct WorkingDirectory {
    fd: OwnedFd,
    path: PathBuf,
    device: u64,
    inode: u64,
}

// === impl WorkingDirectory ===

impl WorkingDirectory {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let file = File::from(beyond_stdio(fd)?);
        let metadata = file.metadata()?;
        let fd = OwnedFd::from(file);
        let path = std::fs::read_link(descriptor_path(fd.as_fd()))?;
        Ok(Self { fd, path, device: metadata.dev(), inode: metadata.ino() })
    }

    /// Opens the directory this process is in.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("."))
    }

    /// Its path without symbolic links, as it was when opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The device it is on.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Its inode.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The path under which a child of this process reaches the opened directory.
    pub(crate) fn held_path(&self) -> PathBuf {
        descriptor_path(self.fd.as_fd())
    }
}

impl AsFd for WorkingDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
