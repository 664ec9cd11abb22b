//! The log's directory: opened once, checked, and never left by a link.
//!
//! INVARIANT: every file opened here is a regular file of this user, readable by nobody else, with
//! one name, reached without following a link. Anything else is refused: it is not the log, or it
//! is somebody's trap (E09, E23).

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self, FileType, Mode, OFlags, Stat},
    io::Errno,
    process::geteuid,
};
use thiserror::Error;

use crate::disk::Disk;

/// An open directory of the log.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    disk: Disk,
    whose: Whose,
}

/// Whose files are opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Whose {
    /// Anybody's: a copy that is only read (L08).
    Any,
    /// This user's, and nobody else's to read.
    Own,
}

/// A file or directory of the log cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum FileError {
    /// The system says no.
    #[error("`{name}`: {errno}")]
    Io {
        /// Which file.
        name: String,
        /// What the system says.
        errno: Errno,
    },
    /// It is not what the log would have made.
    #[error("`{name}` is not the log's own: {why}")]
    Foreign {
        /// Which file.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Directory {
    /// Opens the directory, and makes it if it is not there.
    pub(crate) fn open(path: &Path, disk: &Disk) -> Result<Self, FileError> {
        let name = path.to_string_lossy();
        let io = |errno| FileError::Io { name: name.clone().into_owned(), errno };
        match disk.create_directory(path) {
            Ok(()) => sync_parent(path, disk).map_err(io)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(io(errno)),
        }
        Self::open_existing(path, disk)
    }

    /// Opens the directory, which must be there.
    pub(crate) fn open_existing(path: &Path, disk: &Disk) -> Result<Self, FileError> {
        Self::open_as(path, disk, Whose::Own)
    }

    /// Opens the directory of a log to read, be it a copy of somebody else's.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, FileError> {
        Self::open_as(path, &Disk::default(), Whose::Any)
    }

    fn open_as(path: &Path, disk: &Disk, whose: Whose) -> Result<Self, FileError> {
        let name = path.to_string_lossy();
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let opened = fs::open(path, flags, Mode::empty()).and_then(|fd| Ok((fs::fstat(&fd)?, fd)));
        let (stat, fd) =
            opened.map_err(|errno| FileError::Io { name: name.clone().into_owned(), errno })?;
        own(&name, &stat, whose)?;
        Ok(Self { fd, disk: disk.clone(), whose })
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Opens a file that is there.
    pub(crate) fn file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = fs::openat(&self.fd, name, flags, Mode::empty());
        checked(name, opened, self.whose)
    }

    /// Opens a file, and makes it if it is not there.
    pub(crate) fn file_or_new(&self, name: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
        match self.file(name, flags) {
            Err(FileError::Io { errno: Errno::NOENT, .. }) => {
                checked(name, self.disk.create(&self.fd, name, flags), self.whose)
            }
            opened => opened,
        }
    }

    /// Makes a file that is not there.
    pub(crate) fn new_file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
        checked(name, self.disk.create(&self.fd, name, flags | OFlags::EXCL), self.whose)
    }

    /// Makes the directory's names durable.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.disk.sync_directory(&self.fd).map_err(|errno| io_error(".", errno))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.disk.rename(&self.fd, from, to).map_err(|errno| io_error(from, errno))
    }

    /// Renames, unless `to` is there already.
    pub(crate) fn rename_to_new(&self, from: &str, to: &str) -> Result<(), FileError> {
        self.disk.rename_to_new(&self.fd, from, to).map_err(|errno| io_error(from, errno))
    }

    pub(crate) fn unlink(&self, name: &str) -> Result<(), FileError> {
        match self.disk.unlink(&self.fd, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io_error(name, errno)),
        }
    }

    /// Whether `name` still names the open file `fd` (E23: a lock that was replaced guards nothing).
    pub(crate) fn still_names(&self, name: &str, fd: impl AsFd) -> Result<(), FileError> {
        let open = fs::fstat(fd).map_err(|errno| io_error(name, errno))?;
        let named = fs::statat(&self.fd, name, fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| io_error(name, errno))?;
        match (open.st_dev, open.st_ino) == (named.st_dev, named.st_ino) {
            true => Ok(()),
            false => Err(foreign(name, "it was replaced while it was open")),
        }
    }

    /// Returns every name in the directory but its own and its parent's.
    pub(crate) fn names(&self) -> Result<Vec<String>, FileError> {
        let fail = |errno| io_error(".", errno);
        let entries = fs::Dir::read_from(&self.fd).map_err(fail)?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) fn io_error(name: &str, errno: Errno) -> FileError {
    FileError::Io { name: name.to_owned(), errno }
}

fn foreign(name: &str, why: &'static str) -> FileError {
    FileError::Foreign { name: name.to_owned(), why }
}

fn sync_parent(path: &Path, disk: &Disk) -> rustix::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let parent = fs::open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    disk.sync_directory(parent)
}

fn checked(
    name: &str,
    opened: rustix::io::Result<OwnedFd>,
    whose: Whose,
) -> Result<OwnedFd, FileError> {
    let fd = match opened {
        Ok(fd) => fd,
        Err(Errno::LOOP) => return Err(foreign(name, "it is a symbolic link")),
        Err(errno) => return Err(io_error(name, errno)),
    };
    let stat = fs::fstat(&fd).map_err(|errno| io_error(name, errno))?;
    own(name, &stat, whose)?;
    match (FileType::from_raw_mode(stat.st_mode), stat.st_nlink, whose) {
        (FileType::RegularFile, 1, _) | (FileType::RegularFile, _, Whose::Any) => Ok(fd),
        (FileType::RegularFile, _, Whose::Own) => {
            Err(foreign(name, "it has several names, or none"))
        }
        _ => Err(foreign(name, "it is not a regular file")),
    }
}

fn own(name: &str, stat: &Stat, whose: Whose) -> Result<(), FileError> {
    if whose == Whose::Any {
        return Ok(());
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(foreign(name, "it belongs to another user"));
    }
    match stat.st_mode & 0o077 {
        0 => Ok(()),
        _ => Err(foreign(name, "others may read or write it")),
    }
}
