//! How far the files of a command reach: what of them may be looked at on its behalf.
//!
//! In a personal home the caller and this process are one user, and whatever it names it could read
//! itself. A broker is somebody else: a path that the caller names, in a word, a variable, a file or by a
//! link, must never be opened with the broker's rights. INVARIANT: within a reach, a path is opened only
//! if it really lies below one of the roots, links followed; whatever else it names is not there.
//!
//! What lies below the roots is the broker's own copy, which nobody changes while it looks: so looking
//! first and opening then is one look.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// How far the files of a command reach.
#[derive(Clone, Debug)]
pub enum Reach {
    /// As far as this process: it is the caller's own.
    Everywhere,
    /// Only below these.
    Within {
        /// Real paths of directories of the broker's own.
        roots: Vec<PathBuf>,
        /// What the caller calls its tree.
        called: PathBuf,
        /// Where the copy of it lies.
        copy: PathBuf,
    },
}

/// What a file has to say.
pub(crate) enum Found {
    /// It is not there.
    Missing,
    /// This.
    Text(String),
    /// Nothing that could be relied on.
    Unreadable,
}

// === impl Reach ===

impl Reach {
    /// Returns where what `path` names really is, if it may be looked at.
    ///
    /// # Errors
    ///
    /// When it is not there, or out of reach, which looks the same.
    pub fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let Self::Within { roots, .. } = self else { return Ok(path.to_owned()) };
        let real = self.rebased(path).canonicalize()?;
        match roots.iter().any(|root| real.starts_with(root)) {
            true => Ok(real),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns the name itself, links above it followed, if it may be looked at.
    ///
    /// # Errors
    ///
    /// When what is above it is not there, or out of reach.
    pub fn name(&self, path: &Path) -> io::Result<PathBuf> {
        if matches!(self, Self::Everywhere) {
            return Ok(path.to_owned());
        }
        let path = self.rebased(path);
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.real(parent)?.join(name))
    }

    /// Returns where the broker has what the caller calls `path`.
    pub fn rebased(&self, path: &Path) -> PathBuf {
        match self {
            Self::Everywhere => path.to_owned(),
            Self::Within { called, copy, .. } => match path.strip_prefix(called) {
                Ok(rest) if rest.as_os_str().is_empty() => copy.clone(),
                Ok(rest) => copy.join(rest),
                Err(_) => path.to_owned(),
            },
        }
    }

    /// Returns what the caller calls `path`.
    pub fn called(&self, path: &Path) -> PathBuf {
        match self {
            Self::Everywhere => path.to_owned(),
            Self::Within { called, copy, .. } => match path.strip_prefix(copy) {
                Ok(rest) if rest.as_os_str().is_empty() => called.clone(),
                Ok(rest) => called.join(rest),
                Err(_) => path.to_owned(),
            },
        }
    }

    /// Opens a regular file, links followed, and never waits for whoever holds the other end of a pipe.
    ///
    /// # Errors
    ///
    /// When it is none, or cannot be opened.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = File::options().read(true).custom_flags(flags).open(self.real(path)?)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("not a regular file")),
        }
    }

    /// Reads a small text file.
    pub(crate) fn read(&self, path: &Path) -> Found {
        let file = match self.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Err(_) => return Found::Unreadable,
        };
        let mut text = String::new();
        match file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text) {
            Ok(count) if u64::try_from(count).is_ok_and(|count| count <= TEXT_BYTES_MAX) => {
                Found::Text(text)
            }
            Ok(_) | Err(_) => Found::Unreadable,
        }
    }

    /// Whether `path` is a directory that may be looked at.
    pub(crate) fn is_directory(&self, path: &Path) -> bool {
        self.real(path).is_ok_and(|path| path.is_dir())
    }

    /// Returns what is said of the name itself, links not followed.
    pub(crate) fn look(&self, path: &Path) -> io::Result<fs::Metadata> {
        fs::symlink_metadata(self.name(path)?)
    }
}

/// The most bytes a configuration file may have to be looked into: far above any written by hand.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_out_of_reach_is_not_there_by_whatever_way_it_is_named() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let (copy, secret) = (place.join("copy"), place.join("secret"));
        fs::create_dir_all(copy.join("below")).unwrap();
        fs::write(&secret, "secret").unwrap();
        fs::write(copy.join("below/own"), "own").unwrap();
        symlink(&secret, copy.join("link")).unwrap();
        symlink("..", copy.join("up")).unwrap();
        let reach = Reach::Within {
            roots: vec![copy.clone()],
            called: PathBuf::from("/home/ada/w"),
            copy: copy.clone(),
        };
        for path in ["link", "../secret", "up/secret", "below/../../secret"] {
            assert!(matches!(reach.read(&copy.join(path)), Found::Missing), "{path}");
            assert!(reach.open(&copy.join(path)).is_err(), "{path}");
        }
        for path in [secret.as_path(), Path::new("/etc/passwd"), Path::new("/proc/self/environ")] {
            assert!(matches!(reach.read(path), Found::Missing), "{}", path.display());
            assert!(reach.look(path).is_err());
        }
        for path in [copy.join("below/own"), PathBuf::from("/home/ada/w/below/../below/own")] {
            assert!(matches!(reach.read(&path), Found::Text(text) if text == "own"));
        }
        assert_eq!(reach.called(&copy.join("below")), Path::new("/home/ada/w/below"));
        assert!(matches!(Reach::Everywhere.read(&copy.join("link")), Found::Text(_)));
    }
}
