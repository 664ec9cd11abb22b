//! Files that hold secrets.
//!
//! INVARIANT: a secret is written only to a file this call created, mode 0600, and read only from a
//! regular file of ours that nobody else may read or write. A symbolic link in the last place is
//! never followed. The directory is the caller's to choose and to protect.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    process::geteuid,
};
use zeroize::Zeroizing;

/// A file that holds a secret could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is there already, and a key is never overwritten.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// It belongs to another user.
    #[error("`{}` belongs to another user", .0.display())]
    Foreign(PathBuf),
    /// Others may read or write it.
    #[error("`{}` is open to others (mode {mode:04o}, must be 0600)", .path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a directory, a device, a pipe.
    #[error("`{}` is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// It is larger than any key.
    #[error("`{}` is too large for a key", .0.display())]
    TooLarge(PathBuf),
    /// The system said no.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Opens a private file for reading: ours, regular, mode 0600 or less, no link followed.
///
/// # Errors
///
/// When it is not such a file.
pub fn open_private(path: &Path) -> Result<File, FileError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(path, errno))?;
    let stat = rustix::fs::fstat(&file).map_err(|errno| failed(path, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FileError::NotRegular(path.to_owned()));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(FileError::Foreign(path.to_owned()));
    }
    let mode = stat.st_mode & 0o7777;
    match mode & 0o077 {
        0 => Ok(File::from(file)),
        _ => Err(FileError::Open { path: path.to_owned(), mode }),
    }
}

/// Reads a whole private file.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open_private(path)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX));
    let limit = KEY_BYTES_MAX as u64 + 1;
    let read = file.take(limit).read_to_end(&mut bytes);
    read.map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    match bytes.len() <= KEY_BYTES_MAX {
        true => Ok(bytes),
        false => Err(FileError::TooLarge(path.to_owned())),
    }
}

/// Creates a private file with these bytes and makes it and its directory durable.
///
/// A file that could not be written whole is removed again, so that no half key is found later.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut file = match rustix::fs::open(path, flags, mode) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::EXIST) => return Err(FileError::Exists(path.to_owned())),
        Err(errno) => return Err(failed(path, errno)),
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let written = written.and_then(|()| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(()),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    });
    written.map_err(|source| {
        // Best effort: the error that matters is the one that brought us here.
        let _ = std::fs::remove_file(path);
        FileError::Io { path: path.to_owned(), source }
    })
}

/// Writes a private file in the place of the one that is there, and makes that durable. Whoever reads
/// sees the old one or the new one.
#[cfg(feature = "ca")]
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    // What a process of this number left behind is nobody's.
    let _ = std::fs::remove_file(&new);
    create_private(&new, bytes)?;
    let renamed = std::fs::rename(&new, path).and_then(|()| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(()),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    });
    renamed.map_err(|source| FileError::Io { path: path.to_owned(), source })
}

fn failed(path: &Path, errno: rustix::io::Errno) -> FileError {
    FileError::Io { path: path.to_owned(), source: errno.into() }
}

/// The most bytes a key file may have. An encrypted OpenSSH key has under 1 KiB.
const KEY_BYTES_MAX: usize = 16 * 1024;
