//! Files that say what a service does: root's, or its own user's, and nobody else's to write.
//!
//! INVARIANT: what is returned is the whole file, read through the descriptor that was looked at, and no
//! link was followed to it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnedError {
    /// It is no file, or not one of its owners'.
    #[error("`{}` is not a file that only root may write", .0.display())]
    Foreign(PathBuf),
    /// Its mode lets others write it.
    #[error("`{}` may be written by others, and only root may", .0.display())]
    Shared(PathBuf),
    /// It is longer than [`BYTES_MAX`]. Half of what it says could be the opposite of what it says.
    #[error("`{}` is longer than {BYTES_MAX} bytes", .0.display())]
    Long(PathBuf),
    /// It could not be read.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Reads the file at `path`, which must be one of these `owners`', nobody else's to write, and no longer
/// than [`BYTES_MAX`].
///
/// # Errors
///
/// When it is not, or cannot be read.
pub fn read(path: &Path, owners: &[u32]) -> Result<String, OwnedError> {
    let io = |source| OwnedError::Io { path: path.to_owned(), source };
    let mut options = File::options();
    // Opening a pipe that somebody put there must not wait for a writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() || !owners.contains(&metadata.uid()) {
        return Err(OwnedError::Foreign(path.to_owned()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(OwnedError::Shared(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if BYTES_MAX < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        return Err(OwnedError::Long(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| io(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Root, and the user this runs as: whose word a service takes for its own configuration.
#[must_use]
pub fn root_or_own() -> [u32; 2] {
    [0, rustix::process::geteuid().as_raw()]
}

// === impl OwnedError ===

impl OwnedError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The most bytes of a file: a line for each of a thousand users.
pub const BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let own = rustix::process::geteuid().as_raw();
        let most = usize::try_from(BYTES_MAX).unwrap();
        fs::write(&path, "a".repeat(most)).unwrap();
        assert_eq!(read(&path, &[own]).unwrap().len(), most);
        fs::write(&path, "a".repeat(most + 1)).unwrap();
        assert!(matches!(read(&path, &[own]), Err(OwnedError::Long(_))));
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read(&path, &[own]), Err(OwnedError::Io { .. })));
    }

    #[test]
    fn a_file_that_others_own_may_write_or_lead_elsewhere_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link, pipe) =
            (dir.path().join("file"), dir.path().join("link"), dir.path().join("pipe"));
        fs::write(&path, "a = 1").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(read(&path, &[own]).unwrap(), "a = 1");
        assert!(matches!(read(&path, &[own + 1]), Err(OwnedError::Foreign(_))));
        assert!(matches!(read(&link, &[own]), Err(OwnedError::Io { .. })));
        assert!(matches!(read(&pipe, &[own]), Err(OwnedError::Foreign(_))), "and nobody waits");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(read(&path, &[own]), Err(OwnedError::Shared(_))));
        assert!(read(&dir.path().join("none"), &[own]).unwrap_err().is_missing());
    }
}
