//! Bytes to a typed request: which program, opened once, and how it stands.
//!
//! INVARIANT: the caller's `PATH` is never read. A bare name is looked up in the tool path, then
//! among trusted programs; a name with a slash is that file and no other. A program counts as the
//! tool of its name only if it came from the tool path or was trusted, and is unchanged (E03).

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::reach::Reach;
use iddio_core::digest::Digest;
use iddio_runtime::{
    home::Home,
    store::StoreError,
    tools::{By, Known, Stamp, ToolStanding, Tools},
};
use iddio_spawn::{HashError, Identity, OpenError, Program, ToolPath};

/// A program that was found and opened.
#[derive(Debug)]
pub struct Resolved {
    /// It.
    pub program: Program,
    /// The SHA-256 of its content.
    pub digest: Digest,
    /// What it counts as.
    pub standing: Standing,
}

/// What an opened program counts as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It was a tool and its content changed since.
    Changed {
        /// The tool of this name.
        tool: String,
    },
    /// The tool of this name: judged by its catalog.
    Tool {
        /// The name.
        tool: String,
        /// Whether it is seen for the first time and must be pinned.
        first: First,
    },
    /// Its content was trusted by hand or by policy: judged by the catalog of its name, if there is
    /// one.
    Trusted {
        /// The name.
        tool: String,
    },
    /// Nobody vouches for it.
    Unknown,
}

/// Whether a tool is seen for the first time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum First {
    /// It is pinned already.
    No,
    /// It is not.
    Yes,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Its content could not be read.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store of programs could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds and opens the program that `name` stands for.
///
/// # Errors
///
/// When there is none, it may not be executed, or it cannot be read.
pub fn resolve(
    home: &Home,
    tool_path: &ToolPath,
    directory: &Path,
    name: &OsStr,
    trusted: &[(PathBuf, Digest)],
    reach: &Reach,
) -> Result<Resolved, ResolveError> {
    let tools = Tools::of(home);
    let (program, place) = open(&tools, tool_path, directory, name, reach)?;
    let stamp = stamp(program.identity());
    let hash = || Ok::<_, ResolveError>(Digest::from_bytes(program.sha256()?));
    let known = tools.standing(program.path(), stamp, hash)?;
    let tool = file_name(name);
    let standing = match (&known, place) {
        (ToolStanding::Changed(_), _) => Standing::Changed { tool },
        (ToolStanding::Known(known), _) if known.by == By::Trust => {
            Standing::Trusted { tool: goes_by(known) }
        }
        (ToolStanding::Known(_), Place::ToolPath) => Standing::Tool { tool, first: First::No },
        (ToolStanding::New, Place::ToolPath) => Standing::Tool { tool, first: First::Yes },
        (ToolStanding::Known(_) | ToolStanding::New, Place::Elsewhere) => Standing::Unknown,
    };
    let digest = match &known {
        ToolStanding::Known(known) => Digest::from_hex(&known.sha256),
        ToolStanding::Changed(_) | ToolStanding::New => None,
    };
    let digest = match digest {
        Some(digest) => digest,
        None => Digest::from_bytes(program.sha256()?),
    };
    let standing = match standing {
        // Both count: a content under another name would be judged by another catalog.
        Standing::Unknown
            if trusted
                .iter()
                .any(|(path, content)| path == program.path() && *content == digest) =>
        {
            Standing::Trusted { tool: file_name(program.path().as_os_str()) }
        }
        standing => standing,
    };
    Ok(Resolved { program, digest, standing })
}

/// Returns what is stored of `resolved` when it is pinned or trusted.
pub fn known(resolved: &Resolved, by: By, now: String) -> Known {
    Known {
        path: resolved.program.path().to_owned(),
        sha256: resolved.digest.to_hex(),
        stamp: stamp(resolved.program.identity()),
        by,
        since: now,
    }
}

/// Where a program was found.
#[derive(Clone, Copy)]
enum Place {
    Elsewhere,
    ToolPath,
}

fn open(
    tools: &Tools<'_>,
    tool_path: &ToolPath,
    directory: &Path,
    name: &OsStr,
    reach: &Reach,
) -> Result<(Program, Place), ResolveError> {
    if !name.as_bytes().contains(&b'/') {
        return match tool_path.find(name) {
            Ok(program) => Ok((program, Place::ToolPath)),
            Err(error @ OpenError::NotFound(_)) => match trusted(tools, name)? {
                Some(path) => Ok((Program::open(&path)?, Place::Elsewhere)),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        };
    }
    let path = directory.join(name);
    // A program of the system's may be named by its full path, and so may one that is trusted.
    let known =
        path.parent().is_some_and(|parent| tool_path.directories().contains(&parent.into()))
            || tools.list()?.iter().any(|known| known.by == By::Trust && known.path == path);
    let path = match known {
        true => path,
        false => reach.real(&path).map_err(|_| OpenError::NotFound(path))?,
    };
    let program = Program::open(&path)?;
    // The same file as the tool path would give is the tool, however it was named.
    let same = |found: &Program| found.path() == program.path();
    let file = Path::new(name).file_name().unwrap_or(name);
    let place = match tool_path.find(file) {
        Ok(found) if same(&found) => Place::ToolPath,
        Ok(_) | Err(_) => Place::Elsewhere,
    };
    Ok((program, place))
}

/// Returns the trusted program of this file name, if there is one.
fn trusted(tools: &Tools<'_>, name: &OsStr) -> Result<Option<PathBuf>, StoreError> {
    let named = |known: &Known| known.by == By::Trust && known.path.file_name() == Some(name);
    Ok(tools.list()?.into_iter().rev().find(named).map(|known| known.path))
}

fn goes_by(known: &Known) -> String {
    file_name(known.path.as_os_str())
}

fn file_name(name: &OsStr) -> String {
    let file = Path::new(name).file_name().map(OsString::from);
    file.and_then(|file| file.into_string().ok()).unwrap_or_default()
}

fn stamp(identity: Identity) -> Stamp {
    let Identity { device, inode, size, modified_ns, changed_ns } = identity;
    let nanoseconds = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
    Stamp {
        dev: device,
        ino: inode,
        size,
        mtime_ns: nanoseconds(modified_ns),
        ctime_ns: nanoseconds(changed_ns),
    }
}
