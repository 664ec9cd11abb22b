//! What the log asks of the file system, in one place.
//!
//! Every call that changes something passes through [`Disk`], so that a test can make the n-th one
//! fail, tear it, or end the process there (F1 to F3). Without [`Faults`] it adds one branch.

use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{self, AtFlags, FallocateFlags, Mode, OFlags, RenameFlags},
    io::{self, Errno},
};

/// The file system, and what a test does to it.
#[derive(Clone, Default)]
pub struct Disk {
    faults: Option<Arc<dyn Faults>>,
}

/// Decides what happens to operations on the disk. For tests.
pub trait Faults: Send + Sync {
    /// Is called before each operation.
    fn before(&self, op: Op) -> Fault;

    /// Is called after each operation that was carried out.
    fn after(&self, _: Op) {}
}

/// An operation that changes the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Op {
    /// Space is set aside.
    Allocate,
    /// Bytes are added at the end of a file.
    Append,
    /// A file or directory comes into being.
    Create,
    /// Bytes in a file are replaced.
    Overwrite,
    /// A name changes.
    Rename,
    /// A file's bytes are made durable.
    Sync,
    /// A directory's names are made durable.
    SyncDirectory,
    /// A file is cut.
    Truncate,
    /// A name goes away.
    Unlink,
}

/// What happens to an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It fails, and does nothing.
    Fail(Errno),
    /// It is carried out.
    None,
    /// Only so many bytes are written, and the next operation's turn comes.
    Tear(usize),
}

// === impl Disk ===

impl Disk {
    /// Returns a disk that `faults` may break.
    pub fn with(faults: Arc<dyn Faults>) -> Self {
        Self { faults: Some(faults) }
    }

    fn gate<T>(&self, op: Op, act: impl FnOnce(Option<usize>) -> io::Result<T>) -> io::Result<T> {
        let Some(faults) = &self.faults else { return act(None) };
        let done = match faults.before(op) {
            Fault::Fail(errno) => return Err(errno),
            Fault::None => act(None)?,
            Fault::Tear(bytes) => act(Some(bytes))?,
        };
        faults.after(op);
        Ok(done)
    }

    pub(crate) fn create(&self, dir: impl AsFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.gate(Op::Create, |_| fs::openat(dir, name, flags, OWNER_ONLY))
    }

    pub(crate) fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.gate(Op::Create, |_| fs::mkdir(path, Mode::RWXU))
    }

    pub(crate) fn append(&self, file: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        self.gate(Op::Append, |torn| {
            let bytes = torn.and_then(|torn| bytes.get(..torn)).unwrap_or(bytes);
            io::retry_on_intr(|| io::write(&file, bytes))
        })
    }

    pub(crate) fn overwrite(&self, file: impl AsFd, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.gate(Op::Overwrite, |torn| {
            let bytes = torn.and_then(|torn| bytes.get(..torn)).unwrap_or(bytes);
            io::retry_on_intr(|| io::pwrite(&file, bytes, at))
        })
    }

    pub(crate) fn sync(&self, file: impl AsFd) -> io::Result<()> {
        self.gate(Op::Sync, |_| fs::fdatasync(file))
    }

    pub(crate) fn sync_directory(&self, dir: impl AsFd) -> io::Result<()> {
        self.gate(Op::SyncDirectory, |_| fs::fsync(dir))
    }

    pub(crate) fn truncate(&self, file: impl AsFd, bytes: u64) -> io::Result<()> {
        self.gate(Op::Truncate, |_| fs::ftruncate(file, bytes))
    }

    pub(crate) fn rename(&self, dir: impl AsFd, from: &str, to: &str) -> io::Result<()> {
        self.gate(Op::Rename, |_| fs::renameat(&dir, from, &dir, to))
    }

    pub(crate) fn rename_to_new(&self, dir: impl AsFd, from: &str, to: &str) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        self.gate(Op::Rename, |_| fs::renameat_with(&dir, from, &dir, to, flags))
    }

    pub(crate) fn unlink(&self, dir: impl AsFd, name: &str) -> io::Result<()> {
        self.gate(Op::Unlink, |_| fs::unlinkat(dir, name, AtFlags::empty()))
    }

    pub(crate) fn allocate(&self, file: impl AsFd, bytes: u64) -> io::Result<()> {
        self.gate(Op::Allocate, |_| fs::fallocate(file, FallocateFlags::empty(), 0, bytes))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.faults.is_some() { "Disk(faulty)" } else { "Disk" })
    }
}

/// Files of the log are its owner's alone: a reader who may open a lock may hold it (E09).
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);
