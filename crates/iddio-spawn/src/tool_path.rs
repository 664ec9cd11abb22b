//! Where programs are looked up by bare name.
//!
//! INVARIANT: the caller's `PATH` is never consulted (E03).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::program::{OpenError, Program, shown};

/// The directories a bare name is looked up in, first match wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolPath {
    directories: Vec<PathBuf>,
}

/// Why a list of directories is no tool path.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ToolPathError {
    /// A directory is not given by its full path.
    #[error("`{}` is not a full path", shown(.0))]
    NotAbsolute(PathBuf),
}

// === impl ToolPath ===

impl ToolPath {
    /// Takes `directories`, all of which must be full paths.
    pub fn new(directories: Vec<PathBuf>) -> Result<Self, ToolPathError> {
        match directories.iter().find(|directory| !directory.is_absolute()) {
            Some(relative) => Err(ToolPathError::NotAbsolute(relative.clone())),
            None => Ok(Self { directories }),
        }
    }

    /// Returns the system's program directories.
    pub fn system() -> Self {
        Self { directories: SYSTEM.iter().map(PathBuf::from).collect() }
    }

    /// Its directories, in order.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Opens the first executable called `name`; `name` is a bare name, or a full path that is then opened itself.
    ///
    /// A match that may not be executed is passed over, and reported if nothing better follows, as `env` does.
    pub fn find(&self, name: &OsStr) -> Result<Program, OpenError> {
        if name.as_bytes().contains(&b'/') {
            return Program::open(Path::new(name));
        }
        if matches!(name.as_bytes(), b"" | b"." | b"..") {
            return Err(OpenError::NotFound(PathBuf::from(name)));
        }
        let mut unfit = None;
        for directory in &self.directories {
            match Program::open(&directory.join(name)) {
                Ok(program) => return Ok(program),
                Err(OpenError::NotFound(_)) => {}
                Err(other) => unfit = unfit.or(Some(other)),
            }
        }
        Err(unfit.unwrap_or_else(|| OpenError::NotFound(PathBuf::from(name))))
    }
}

/// As a login shell of root has it.
const SYSTEM: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
