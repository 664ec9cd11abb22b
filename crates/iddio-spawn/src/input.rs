//! Inputs that cannot change after they were hashed.
//!
//! INVARIANT: the bytes a [`SealedInput`] was hashed over are the bytes every reader gets. They lie in a memory
//! file sealed against writing, shrinking, growing and unsealing before its hash is known to anybody.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::program::{beyond_stdio, descriptor_path};

/// The most a spooled input may hold: far above any manifest or plan, far below what would press a small machine.
pub const SPOOL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Content in memory that nobody can change, with its hash.
#[derive(Debug)]
pub struct SealedInput {
    fd: OwnedFd,
    bytes: u64,
    sha256: [u8; 32],
}

/// Why an input could not be sealed.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// There was more than allowed.
    #[error("the input is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// The source or the memory file failed.
    #[error("the input could not be spooled")]
    System(#[from] io::Error),
}

// === impl SealedInput ===

impl SealedInput {
    /// Seals `content`.
    pub fn of(content: &[u8]) -> Result<Self, SpoolError> {
        Self::spool(content, content.len() as u64)
    }

    /// Reads `source` to its end, at most `bytes_max` bytes, and seals what it gave.
    pub fn spool(mut source: impl Read, bytes_max: u64) -> Result<Self, SpoolError> {
        let mut file = memory_file()?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; COPY_BYTES];
        let mut bytes = 0_u64;
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            bytes = bytes.saturating_add(count as u64);
            if bytes > bytes_max {
                return Err(SpoolError::TooLong { bytes_max });
            }
            let chunk = buffer.get(..count).unwrap_or_default();
            hash.update(chunk);
            file.write_all(chunk)?;
        }
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(io::Error::from)?;
        // Held read-only from here on, and with an offset of its own.
        let fd = reopen(file.as_fd())?;
        Ok(Self { fd, bytes, sha256: hash.finalize().into() })
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of its content.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The path under which this process reads it, and a child it is [given](crate::Spawn::inputs) to.
    ///
    /// Every opening starts at the first byte.
    pub fn path(&self) -> PathBuf {
        descriptor_path(self.fd.as_fd())
    }

    /// Returns a descriptor that reads it from the first byte.
    pub fn reader(&self) -> io::Result<OwnedFd> {
        reopen(self.fd.as_fd())
    }
}

impl AsFd for SealedInput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn memory_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create("iddio-input", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know how to forbid executing it.
        Err(Errno::INVAL) => memfd_create("iddio-input", flags),
        other => other,
    }?;
    Ok(File::from(fd))
}

fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    beyond_stdio(open(descriptor_path(fd), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// One read from a pipe gives no more.
const COPY_BYTES: usize = 64 * 1024;
