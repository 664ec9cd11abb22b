//! Checkpoints and proofs of a log on disk.
//!
//! The tree lies beside the log in `tree/`: one file for every eighth height, each a plain array of
//! 32-byte roots of complete subtrees. It is grown when a checkpoint is made, by the records since
//! the last one; a root or a proof then takes a few reads. It is derived: losing it loses nothing,
//! and it is grown again from the records.
//!
//! INVARIANT: a checkpoint is signed only if the tree also has the root of the last checkpoint, so a
//! log that was rewritten is not signed for.

use std::{os::fd::OwnedFd, path::Path};

use ed25519_dalek::{Signature, VerifyingKey};
use iddio_core::{
    audit::{
        checkpoint::{Checkpoint, CheckpointSigner, Note},
        tree::{self, Subtrees},
        verify::scan,
    },
    digest::Digest,
    json::Value,
};
use rustix::{
    fs::OFlags,
    io::{self, Errno},
};
use thiserror::Error;

use crate::{
    directory::{Directory, FileError, io_error},
    disk::Disk,
    lock::{self, LOCK_WAIT},
    query::{After, Lines},
    segment,
};

/// A checkpoint or a proof could not be made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum CheckpointError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else grows the tree all the time.
    #[error("another process holds the tree")]
    Busy,
    /// There is no such record, or none that is synced.
    #[error("the log has no record {0}")]
    NoRecord(u64),
    /// A line of the log is not a record: the log must be verified first.
    #[error("record {0} is damaged; run `iddio audit verify`")]
    Damaged(u64),
    /// The log does not contain the last checkpoint made of it.
    #[error("the log is not the one that was signed at {0} records; run `iddio audit verify`")]
    Rewritten(u64),
    /// The signer will not, or is away.
    #[error("{0}")]
    Signer(String),
    /// The sync failed.
    #[error("`{0}`")]
    Sync(String),
}

/// Signs checkpoints where that may fail: somebody elsewhere, who wants proof that a log only grows.
pub trait Notary: Send + Sync {
    /// Returns how many records the log `log_id` had when it was signed for last; 0 if it never was.
    ///
    /// # Errors
    ///
    /// When that cannot be told. The words are for people.
    fn last(&self, log_id: &str) -> Result<u64, String>;

    /// Returns the signature of a checkpoint, which `path` proves to begin with what was signed last.
    ///
    /// # Errors
    ///
    /// When it is not signed.
    fn sign(&self, checkpoint: &Checkpoint, path: &[Digest]) -> Result<[u8; 64], String>;

    /// The public key.
    fn public(&self) -> [u8; 32];
}

/// A key in this process, as a notary: it signs what it is given.
pub(crate) struct Own<'a>(pub(crate) &'a dyn CheckpointSigner);

impl Notary for Own<'_> {
    fn last(&self, _: &str) -> Result<u64, String> {
        Ok(0)
    }

    fn sign(&self, checkpoint: &Checkpoint, _: &[Digest]) -> Result<[u8; 64], String> {
        Ok(self.0.sign(checkpoint.text().as_bytes()))
    }

    fn public(&self) -> [u8; 32] {
        self.0.public()
    }
}

/// Whether a checkpoint's signature is by a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signed {
    /// It is.
    By,
    /// It is not.
    Not,
}

/// A proof that a record is in a log, with what is needed to check it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InclusionProof {
    /// Which record.
    pub seq: u64,
    /// The `hash` of the record.
    pub record_hash: Digest,
    /// How many records the tree has.
    pub size: u64,
    /// The tree's root.
    pub root: Digest,
    /// The siblings on the way to the root, nearest first.
    pub path: Vec<Digest>,
}

/// The tree of a log.
#[derive(Debug)]
pub struct Tree {
    dir: Directory,
    levels: Vec<OwnedFd>,
    size: u64,
}

/// Whether `note` was signed by the holder of the key `public`.
pub fn signed_by(note: &Note, public: &[u8; 32]) -> Signed {
    let signature = Signature::from_bytes(&note.signature);
    let key = VerifyingKey::from_bytes(public).ok().filter(|_| note.names(public));
    match key.map(|key| key.verify_strict(&note.signed, &signature)) {
        Some(Ok(())) => Signed::By,
        Some(Err(_)) | None => Signed::Not,
    }
}

/// Returns the last checkpoint made of the log in `dir`, as its text, if there is one.
///
/// # Errors
///
/// When it cannot be read.
pub fn last_checkpoint(dir: &Path) -> Result<Option<String>, FileError> {
    match Directory::open_to_read(&dir.join(TREE)) {
        Ok(tree) => read_text(&tree, CHECKPOINT),
        Err(FileError::Io { errno: Errno::NOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Signs the log in `dir` as far as `until`, which is synced, and keeps the checkpoint.
pub(crate) fn make(
    dir: &Path,
    disk: &Disk,
    until: After,
    notary: &dyn Notary,
) -> Result<String, CheckpointError> {
    let log = Directory::open_existing(dir, disk)?;
    let tree_dir = Directory::open(&dir.join(TREE), disk)?;
    let lock = tree_dir.file_or_new(LOCK, OFlags::RDWR)?;
    let _held = lock::hold(&lock, LOCK_WAIT).map_err(|_| CheckpointError::Busy)?;
    let log_id = log_id(&log)?;
    let mut tree = Tree::grow(&log, tree_dir, until)?;
    let earlier = read_text(&tree.dir, CHECKPOINT)?;
    let read = earlier.as_deref().and_then(Note::read);
    if let Some(Note { checkpoint, .. }) = &read {
        let same = checkpoint.size <= tree.size
            && checkpoint.log_id == log_id
            && tree::root(&mut tree, checkpoint.size)? == checkpoint.root;
        if !same {
            return Err(CheckpointError::Rewritten(checkpoint.size));
        }
    }
    let (size, root) = (tree.size, tree.root()?);
    let public = notary.public();
    let stands =
        |note: &Note| note.checkpoint.size == size && signed_by(note, &public) == Signed::By;
    if let (Some(earlier), true) = (earlier, read.as_ref().is_some_and(stands)) {
        return Ok(earlier);
    }
    let checkpoint = Checkpoint { log_id, size, root };
    let last = notary.last(&checkpoint.log_id).map_err(CheckpointError::Signer)?;
    // A log that is shorter than what was signed for has no proof, and is refused for that.
    let path = if last <= size { tree::consistency(&mut tree, last, size)? } else { Vec::new() };
    let signature = notary.sign(&checkpoint, &path).map_err(CheckpointError::Signer)?;
    let note = checkpoint.note(&public, &signature);
    write_text(&tree.dir, CHECKPOINT, &note)?;
    Ok(note)
}

// === impl Tree ===

impl Tree {
    /// Opens the tree of the log in `dir`, as far as it has been grown by a checkpoint.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let tree = Directory::open_to_read(&dir.join(TREE))?;
        Self::over(tree, OFlags::RDONLY)
    }

    fn over(dir: Directory, flags: OFlags) -> Result<Self, CheckpointError> {
        let size = position(&dir)?.map_or(0, |(size, _)| size);
        let level = |level: u32| match flags {
            OFlags::RDONLY => dir.file(&level_name(level), flags),
            _ => dir.file_or_new(&level_name(level), flags),
        };
        let levels = (0..LEVELS).map(level).collect::<Result<_, _>>()?;
        Ok(Self { dir, levels, size })
    }

    /// Opens the tree and adds the records up to `until`.
    fn grow(log: &Directory, dir: Directory, until: After) -> Result<Self, CheckpointError> {
        let (_, from) = position(&dir)?.unwrap_or((0, (0, 0)));
        let mut tree = Self::over(dir, OFlags::RDWR | OFlags::APPEND)?;
        tree.cut()?;
        let mut lines = Lines::new(log, from.0, from.1)?;
        let (mut leaves, mut at) = (Vec::new(), from);
        while let Some((after, line)) = lines.next_line()? {
            if until < after {
                break;
            }
            let seq = tree.size + leaves.len() as u64;
            let scanned = scan(&line).ok().filter(|scanned| scanned.seq == seq);
            let scanned = scanned.ok_or(CheckpointError::Damaged(seq))?;
            leaves.push(tree::leaf(&scanned.hash));
            at = after;
            if LEAVES_AT_ONCE <= leaves.len() {
                tree.push(&leaves, at)?;
                leaves.clear();
            }
        }
        tree.push(&leaves, at)?;
        Ok(tree)
    }

    /// How many records it covers.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root.
    ///
    /// # Errors
    ///
    /// When the tree cannot be read.
    pub fn root(&mut self) -> Result<Digest, FileError> {
        let size = self.size;
        tree::root(self, size)
    }

    /// Proves that record `seq` is in the log.
    ///
    /// # Errors
    ///
    /// When the tree does not cover it.
    pub fn prove(
        &mut self,
        seq: u64,
        record_hash: Digest,
    ) -> Result<InclusionProof, CheckpointError> {
        let size = self.size;
        let path = self.path(seq, size, record_hash)?;
        Ok(InclusionProof { seq, record_hash, size, root: self.root()?, path })
    }

    /// Returns the siblings that prove that record `seq` is among the first `size`, nearest first.
    ///
    /// # Errors
    ///
    /// When it is not, or the tree does not cover them.
    pub fn path(
        &mut self,
        seq: u64,
        size: u64,
        record_hash: Digest,
    ) -> Result<Vec<Digest>, CheckpointError> {
        let covered = seq < size && size <= self.size;
        let own = if covered { Some(self.subtree(0, seq)?) } else { None };
        if own.ok_or(CheckpointError::NoRecord(seq))? != tree::leaf(&record_hash) {
            return Err(CheckpointError::Damaged(seq));
        }
        Ok(tree::inclusion(self, seq, size)?)
    }

    /// Proves that the log as it was at `old` records is the beginning of what it is at `new`.
    ///
    /// # Errors
    ///
    /// When the tree does not cover them.
    pub fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Digest>, CheckpointError> {
        if self.size < new || new < old {
            return Err(CheckpointError::NoRecord(new.max(old)));
        }
        Ok(tree::consistency(self, old, new)?)
    }

    /// Drops what was written after the position that was kept last.
    fn cut(&mut self) -> Result<(), FileError> {
        for (level, file) in (0..).zip(&self.levels) {
            let name = level_name(level);
            let wanted = (self.size >> (level * LEVEL_HEIGHT)) * HASH_BYTES;
            match segment::size(file).map_err(|errno| io_error(&name, errno))? {
                size if size == wanted => {}
                size if size < wanted => return Err(io_error(&name, Errno::IO)),
                _ => {
                    let cut = self.dir.disk().truncate(file, wanted);
                    cut.map_err(|errno| io_error(&name, errno))?;
                }
            }
        }
        Ok(())
    }

    /// Adds leaves, and the roots that they complete, and then keeps the position.
    fn push(&mut self, leaves: &[Digest], at: (u64, u64)) -> Result<(), FileError> {
        if leaves.is_empty() {
            return Ok(());
        }
        let size = self.size + leaves.len() as u64;
        self.add(0, leaves)?;
        for level in 1..LEVELS {
            let height = level * LEVEL_HEIGHT;
            let places = (self.size >> height)..(size >> height);
            let roots: Result<Vec<Digest>, FileError> =
                places.map(|place| self.level_root(level - 1, LEVEL_HEIGHT, place)).collect();
            self.add(level, &roots?)?;
        }
        self.size = size;
        write_text(&self.dir, POSITION, &format!("{size} {} {}\n", at.0, at.1))
    }

    fn add(&self, level: u32, hashes: &[Digest]) -> Result<(), FileError> {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let (name, disk) = (level_name(level), self.dir.disk());
        let Some(file) = self.levels.get(level as usize).filter(|_| !bytes.is_empty()) else {
            return Ok(());
        };
        let wrote = disk.append(file, &bytes).map_err(|errno| io_error(&name, errno))?;
        if wrote != bytes.len() {
            return Err(io_error(&name, Errno::NOSPC));
        }
        disk.sync(file).map_err(|errno| io_error(&name, errno))
    }

    /// Returns the root of the `place`-th run of `1 << height` hashes of a level.
    fn level_root(&self, level: u32, height: u32, place: u64) -> Result<Digest, FileError> {
        let name = level_name(level);
        let file = self.levels.get(level as usize).ok_or_else(|| io_error(&name, Errno::NOENT))?;
        let from = (place << height) * HASH_BYTES;
        let bytes = segment::read(file, from, from + (HASH_BYTES << height));
        let bytes = bytes.map_err(|errno| io_error(&name, errno))?;
        let mut frontier = tree::Frontier::default();
        let (hashes, _) = bytes.as_chunks();
        hashes.iter().for_each(|hash| frontier.push(Digest::from_bytes(*hash)));
        match frontier.size() == 1 << height {
            true => Ok(frontier.root()),
            false => Err(io_error(&name, Errno::IO)),
        }
    }
}

impl Subtrees for Tree {
    type Error = FileError;

    fn subtree(&mut self, height: u32, place: u64) -> Result<Digest, FileError> {
        let level = (height / LEVEL_HEIGHT).min(LEVELS - 1);
        self.level_root(level, height - level * LEVEL_HEIGHT, place)
    }
}

fn log_id(log: &Directory) -> Result<String, CheckpointError> {
    let first = Lines::new(log, 0, 0)?.next_line()?.ok_or(CheckpointError::NoRecord(0))?.1;
    let record = Value::read(&first).ok();
    let id = record.as_ref().and_then(|record| record.member("log_id")?.as_text());
    id.map(str::to_owned).ok_or(CheckpointError::Damaged(0))
}

/// Reads how many records the tree covers and where the next one begins.
fn position(dir: &Directory) -> Result<Option<(u64, After)>, FileError> {
    let text = read_text(dir, POSITION)?;
    let parse = |text: &str| {
        let mut words = text.split_whitespace().map(|word| word.parse().ok());
        Some((words.next()??, (words.next()??, words.next()??)))
    };
    Ok(text.as_deref().and_then(parse))
}

fn read_text(dir: &Directory, name: &str) -> Result<Option<String>, FileError> {
    match dir.file(name, OFlags::RDONLY) {
        Ok(file) => {
            let bytes = segment::read(&file, 0, TEXT_BYTES_MAX);
            let bytes = bytes.map_err(|errno| io_error(name, errno))?;
            Ok(String::from_utf8(bytes).ok())
        }
        Err(FileError::Io { errno: Errno::NOENT, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a small file as a whole, durably.
fn write_text(dir: &Directory, name: &str, text: &str) -> Result<(), FileError> {
    let fresh = format!("{name}.new");
    let fail = |errno| io_error(&fresh, errno);
    let file = dir.file_or_new(&fresh, OFlags::RDWR)?;
    let disk = dir.disk();
    disk.truncate(&file, 0).map_err(fail)?;
    if disk.overwrite(&file, text.as_bytes(), 0).map_err(fail)? != text.len() {
        return Err(fail(Errno::NOSPC));
    }
    disk.sync(&file).map_err(fail)?;
    dir.rename(&fresh, name)?;
    dir.sync()
}

fn level_name(level: u32) -> String {
    format!("level-{:02}", level * LEVEL_HEIGHT)
}

impl From<io::Errno> for CheckpointError {
    fn from(errno: io::Errno) -> Self {
        Self::File(io_error(TREE, errno))
    }
}

/// Where the tree lies, beside the segments.
const TREE: &str = "tree";
const LOCK: &str = "tree.lock";
const POSITION: &str = "position";
const CHECKPOINT: &str = "checkpoint";

/// Heights 0, 8, 16 and 24 are kept: a root between two of them takes 255 hashes at most.
const LEVELS: u32 = 4;
const LEVEL_HEIGHT: u32 = 8;
const HASH_BYTES: u64 = 32;

/// How many leaves are added before the position is kept.
const LEAVES_AT_ONCE: usize = 1 << 16;

/// The longest text file here: a checkpoint with witnesses.
const TEXT_BYTES_MAX: u64 = 64 << 10;
