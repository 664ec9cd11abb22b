//! A program, opened once and held.
//!
//! INVARIANT: what was opened is what runs. The file is held by descriptor and executed through it, whatever has its
//! name by then. A file written to in place after it was hashed does not run: where its change time moved, which
//! losing its name does too, its content is hashed again.
//!
//! It does not judge: who may write the file, and what interpreter a script names, are told to the caller.
//! Access control lists and mount options are not looked at. The interpreter of a script is found by the
//! kernel by its path when the script starts.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// An executable file, held open.
#[derive(Debug)]
pub struct Program {
    file: File,
    path: PathBuf,
    identity: Identity,
    owner: u32,
    group: u32,
    mode: u32,
    interpreter: Option<Interpreter>,
    hashed: OnceLock<Hashed>,
}

/// A hash and the file as it was when it had it.
#[derive(Clone, Copy, Debug)]
struct Hashed {
    sha256: [u8; 32],
    identity: Identity,
}

/// What tells a file apart from every other and from its own past; the key under which a hash may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The device it is on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970, as far as its owner admits.
    pub modified_ns: i128,
    /// When its content or its metadata last changed, in nanoseconds since 1970, by the kernel's word.
    pub changed_ns: i128,
}

/// The first line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    path: PathBuf,
    argument: Option<OsString>,
}

/// Who besides root and the file's owner could replace or change a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody.
    Guarded,
    /// Somebody, at `path`: the file itself or a directory above it.
    Writable {
        /// Where.
        path: PathBuf,
        /// Who.
        by: Writer,
    },
}

/// Who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Every user.
    Everyone,
    /// The members of this group.
    Group(u32),
    /// This user.
    User(u32),
}

/// Why a program could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is no such file.
    #[error("`{}` was not found", shown(.0))]
    NotFound(PathBuf),
    /// It is neither a bare name nor a full path.
    #[error("`{}` is neither a bare name nor a full path", shown(.0))]
    NotAbsolute(PathBuf),
    /// It is there and may not be executed.
    #[error("`{}` may not be executed: {reason}", shown(.path))]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: Unfit,
    },
    /// The system failed.
    #[error("`{}` could not be opened", shown(.path))]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a file may not be executed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// It begins like a script and its first line cannot be relied on.
    #[error("its interpreter line is malformed")]
    InterpreterLine,
    /// Its interpreter would depend on the working directory.
    #[error("its interpreter is not given by a full path")]
    InterpreterRelative,
    /// No execute bit is set.
    #[error("it has no execute permission")]
    NoExecuteBit,
    /// It is a directory, a device, a pipe or a socket.
    #[error("it is not a regular file")]
    NotRegular,
    /// The system denies access.
    #[error("permission denied")]
    Permission,
}

/// Why a program could not be hashed.
#[derive(Debug, Error)]
pub enum HashError {
    /// The file is not what was opened any more.
    #[error("`{}` changed since it was opened", shown(.0))]
    Changed(PathBuf),
    /// The system failed.
    #[error("`{}` could not be read", shown(.path))]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

// === impl Program ===

impl Program {
    /// Opens the executable at the full path `path`.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.is_absolute() {
            return Err(OpenError::NotAbsolute(path.to_owned()));
        }
        let unfit = |reason| OpenError::NotExecutable { path: path.to_owned(), reason };
        let failed = |source: io::Error| OpenError::from_system(path, source);
        // First without reading: opening a device or a pipe for reading may act on it or hang.
        let probe = File::from(
            open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .map_err(|e| failed(e.into()))?,
        );
        let metadata = probe.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(unfit(Unfit::NotRegular));
        }
        if metadata.nlink() == 0 {
            return Err(OpenError::NotFound(path.to_owned()));
        }
        if metadata.mode() & EXECUTE_BITS == 0 {
            return Err(unfit(Unfit::NoExecuteBit));
        }
        let held = descriptor_path(probe.as_fd());
        let fd = open(&held, OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| failed(e.into()))?;
        let canonical = std::fs::read_link(&held).map_err(failed)?;
        let file = File::from(beyond_stdio(fd).map_err(failed)?);
        let interpreter = Interpreter::read(&file).map_err(failed)?.map_err(unfit)?;
        Ok(Self {
            file,
            path: canonical,
            identity: Identity::of(&metadata),
            owner: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode(),
            interpreter,
            hashed: OnceLock::new(),
        })
    }

    /// Its path without symbolic links, as it was when opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells it apart; callers may keep [`Program::sha256`] under this key.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The user who owns the file.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// The group the file belongs to.
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Its permission bits.
    pub fn mode(&self) -> u32 {
        self.mode & PERMISSION_BITS
    }

    /// The interpreter its first line names, if it is a script.
    pub fn interpreter(&self) -> Option<&Interpreter> {
        self.interpreter.as_ref()
    }

    /// Returns the SHA-256 of its content, reading it the first time.
    ///
    /// A file that changes while it is read, or that was written to since it was opened, has no hash.
    pub fn sha256(&self) -> Result<[u8; 32], HashError> {
        if let Some(known) = self.hashed.get() {
            return Ok(known.sha256);
        }
        let hashed = self.hash()?;
        Ok(self.hashed.get_or_init(|| hashed).sha256)
    }

    /// Takes the hash that the caller kept under [`Program::identity`], so that it need not be read again.
    ///
    /// A hash that is known already stays.
    pub fn recall_sha256(&self, sha256: [u8; 32]) {
        self.hashed.get_or_init(|| Hashed { sha256, identity: self.identity });
    }

    /// Returns who besides root and its owner could replace or change it.
    ///
    /// A sticky directory counts as guarded: others cannot replace what is not theirs in it.
    pub fn exposure(&self) -> io::Result<Exposure> {
        for (depth, path) in self.path.ancestors().enumerate() {
            let (owner, group, mode) = if depth == 0 {
                (self.owner, self.group, self.mode)
            } else {
                let metadata = std::fs::symlink_metadata(path)?;
                (metadata.uid(), metadata.gid(), metadata.mode())
            };
            let sticky = depth > 0 && mode & STICKY_BIT != 0;
            let by = if owner != ROOT && owner != self.owner {
                Writer::User(owner)
            } else if mode & WRITE_BY_OTHERS != 0 && !sticky {
                Writer::Everyone
            } else if mode & WRITE_BY_GROUP != 0 && group != ROOT && !sticky {
                Writer::Group(group)
            } else {
                continue;
            };
            return Ok(Exposure::Writable { path: path.to_owned(), by });
        }
        Ok(Exposure::Guarded)
    }

    /// The path under which a child of this process reaches the opened file.
    pub(crate) fn held_path(&self) -> PathBuf {
        descriptor_path(self.file.as_fd())
    }

    /// Says whether the opened file holds what it held when it was hashed or, never hashed, when it was opened.
    pub(crate) fn is_unchanged(&self) -> Result<bool, HashError> {
        let known = self.hashed.get();
        let now = self.look()?;
        if now == known.map_or(self.identity, |known| known.identity) {
            return Ok(true);
        }
        match known {
            None => Ok(now.content() == self.identity.content()),
            Some(known) => match self.hash() {
                Ok(hashed) => Ok(hashed.sha256 == known.sha256),
                Err(HashError::Changed(_)) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    fn hash(&self) -> Result<Hashed, HashError> {
        let failed = |source| HashError::System { path: self.path.clone(), source };
        let identity = self.look()?;
        let mut hash = Sha256::new();
        let whole = usize::try_from(identity.size).unwrap_or(READ_BYTES);
        let mut buffer = vec![0; READ_BYTES.min(whole.saturating_add(1))];
        let mut offset = 0;
        loop {
            let count = match self.file.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            hash.update(buffer.get(..count).unwrap_or_default());
            offset = offset.saturating_add(count as u64);
        }
        let steady = offset == identity.size && self.look()? == identity;
        if !steady || identity.content() != self.identity.content() {
            return Err(HashError::Changed(self.path.clone()));
        }
        Ok(Hashed { sha256: hash.finalize().into(), identity })
    }

    fn look(&self) -> Result<Identity, HashError> {
        match self.file.metadata() {
            Ok(metadata) => Ok(Identity::of(&metadata)),
            Err(source) => Err(HashError::System { path: self.path.clone(), source }),
        }
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

// === impl Identity ===

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| {
            i128::from(seconds).saturating_mul(NANOSECONDS).saturating_add(i128::from(rest))
        };
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// What stays when a file loses or gains a name or a permission, and moves when it is written to.
    fn content(&self) -> (u64, i128) {
        (self.size, self.modified_ns)
    }
}

// === impl Interpreter ===

impl Interpreter {
    /// The program that reads the script.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The one argument it gets before the script, spaces and all.
    pub fn argument(&self) -> Option<&OsStr> {
        self.argument.as_deref()
    }

    fn read(file: &File) -> io::Result<Result<Option<Self>, Unfit>> {
        let mut head = [0; LINE_BYTES_MAX];
        let mut length = 0;
        while let Some(rest) = head.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, length as u64) {
                Ok(0) => break,
                Ok(count) => length = length.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::parse(head.get(..length).unwrap_or_default()))
    }

    /// Reads the interpreter line as the kernel does, refusing what the kernel would cut short.
    pub(crate) fn parse(head: &[u8]) -> Result<Option<Self>, Unfit> {
        let Some(rest) = head.strip_prefix(b"#!") else {
            return Ok(None);
        };
        let line = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => rest.get(..end).unwrap_or_default(),
            None if head.len() < LINE_BYTES_MAX => rest,
            None => return Err(Unfit::InterpreterLine),
        };
        if line.contains(&0) {
            return Err(Unfit::InterpreterLine);
        }
        let line = trim(line);
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (path, argument) = line.split_at_checked(end).ok_or(Unfit::InterpreterLine)?;
        let argument = trim(argument);
        match path.first() {
            None => Err(Unfit::InterpreterLine),
            Some(b'/') => Ok(Some(Self {
                path: PathBuf::from(OsStr::from_bytes(path)),
                argument: (!argument.is_empty()).then(|| OsStr::from_bytes(argument).to_owned()),
            })),
            Some(_) => Err(Unfit::InterpreterRelative),
        }
    }
}

// === impl OpenError ===

impl OpenError {
    fn from_system(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::NotFound(path),
            Some(Errno::ACCESS | Errno::PERM) => {
                Self::NotExecutable { path, reason: Unfit::Permission }
            }
            _ => Self::System { path, source },
        }
    }

    /// Returns the code a wrapper exits with, as `env` does.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::NotAbsolute(_) => EXIT_NOT_FOUND,
            Self::NotExecutable { .. } | Self::System { .. } => EXIT_NOT_EXECUTABLE,
        }
    }
}

/// Returns the path under which this process and its children reach `fd`.
pub(crate) fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Returns `fd` under a number that standard streams of a child do not take.
pub(crate) fn beyond_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FREE {
        Ok(fd)
    } else {
        Ok(rustix::io::fcntl_dupfd_cloexec(&fd, FIRST_FREE)?)
    }
}

/// Returns `path` fit for a message: lossy where it must be, control characters escaped.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let Some((first, rest)) = bytes.split_first() {
        if !is_blank(first) {
            break;
        }
        bytes = rest;
    }
    while let Some((last, rest)) = bytes.split_last() {
        if !is_blank(last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first descriptor after standard input, output and error.
pub(crate) const FIRST_FREE: i32 = 3;
/// As `env` says that there is no such program.
pub(crate) const EXIT_NOT_FOUND: u8 = 127;
/// As `env` says that the program may not be executed.
pub(crate) const EXIT_NOT_EXECUTABLE: u8 = 126;

/// How much of a file the kernel looks at for an interpreter line.
const LINE_BYTES_MAX: usize = 256;
/// Large enough that hashing, not system calls, takes the time; every page more is one more fault.
const READ_BYTES: usize = 16 * 1024;
const NANOSECONDS: i128 = 1_000_000_000;
const EXECUTE_BITS: u32 = 0o111;
const PERMISSION_BITS: u32 = 0o7777;
const STICKY_BIT: u32 = 0o1000;
const WRITE_BY_GROUP: u32 = 0o020;
const WRITE_BY_OTHERS: u32 = 0o002;
const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    /// An interpreter and its argument.
    type Line = Result<Option<(&'static str, Option<&'static str>)>, Unfit>;

    #[test]
    fn an_interpreter_line_is_read_as_the_kernel_reads_it() {
        let long = [b"#!/bin/sh ".as_slice(), &[b'a'; 300]].concat();
        let cases: [(&[u8], Line); 12] = [
            (b"", Ok(None)),
            (b"\x7fELF", Ok(None)),
            (b"#!/bin/sh\n", Ok(Some(("/bin/sh", None)))),
            (b"#! \t/bin/sh\t \nx", Ok(Some(("/bin/sh", None)))),
            (b"#!/usr/bin/env python3 -u\n", Ok(Some(("/usr/bin/env", Some("python3 -u"))))),
            (b"#!/bin/sh", Ok(Some(("/bin/sh", None)))),
            (b"#!/bin/sh\r\n", Ok(Some(("/bin/sh\r", None)))),
            (b"#!\n", Err(Unfit::InterpreterLine)),
            (b"#!", Err(Unfit::InterpreterLine)),
            (b"#!/bin/sh\0/bin/bash\n", Err(Unfit::InterpreterLine)),
            (b"#!bin/sh\n", Err(Unfit::InterpreterRelative)),
            (long.get(..LINE_BYTES_MAX).unwrap(), Err(Unfit::InterpreterLine)),
        ];
        for (head, expected) in cases {
            let found = Interpreter::parse(head);
            let expected = expected.map(|line| {
                line.map(|(path, argument)| Interpreter {
                    path: PathBuf::from(path),
                    argument: argument.map(OsString::from),
                })
            });
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
