//! Working trees on their way: packed by who may read them, laid out by who runs the command, and what
//! the command was to write brought back.
//!
//! The caller's own process packs and takes back, with its own rights; the broker only reads an archive
//! and writes below a directory of its own. INVARIANT: whatever an archive says, nothing outside the
//! directory it is laid out in is read, written or linked to: names are plain, parents are directories
//! that the archive itself made, links come last and lead nowhere but inside.
//!
//! What is neither file, directory nor such a link does not travel: no device, pipe, socket, owner, and of
//! the mode only whether a file may be executed.

mod archive;
mod back;
mod measure;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink},
        },
    },
    path::{Component, Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat, statat,
};
use sha2::{Digest as _, Sha256};

use archive::{Archive, put_bytes, put_content, put_name};

pub use back::{Back, Changes, Cleaning, give, look, take_back};
pub use measure::{IGNORE, IgnoreError, Ignored, Largest, TooLarge, measure};

/// What was laid out.
#[derive(Debug, Default)]
pub struct Laid {
    files: BTreeMap<PathBuf, Content>,
    directories: BTreeSet<PathBuf>,
    links: BTreeMap<PathBuf, OsString>,
    /// Links that lead out of the tree, which were left out.
    pub links_left: usize,
}

/// What was packed, so that what changed meanwhile is not overwritten.
#[derive(Debug, Default)]
pub struct Packed {
    stamps: BTreeMap<PathBuf, Stamp>,
    /// Files and directories that could not be read, and what is of no kind that travels.
    pub left: usize,
}

/// Why a tree did not travel.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The archive is none.
    #[error("the tree did not arrive as one: {0}")]
    Archive(&'static str),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is too large.
    #[error("the tree is larger than {FILES_MAX} files, {} MiB or {DEPTH_MAX} levels", BYTES_MAX >> 20)]
    Large,
}

/// What `stat` says of a file. Two equal stamps are one unchanged file.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// What is in a file, and whether it may be executed.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Content {
    digest: [u8; 32],
    executable: bool,
}

/// How much of the room for a tree is taken.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    bytes: u64,
    packages: u64,
}

/// Packs everything below `directory` into `out`, but for version control and what is `ignored`. A tree that
/// is too large is packed as that word alone.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn pack(directory: BorrowedFd<'_>, ignored: &Ignored, out: impl Write) -> io::Result<Packed> {
    let out = BufWriter::with_capacity(CHUNK_BYTES, out);
    let packed = Packed::default();
    let mut packer = Packer { out, ignored, packed, count: 0, room: Room::default() };
    let end = match packer.directory(directory, Path::new(""), 0) {
        Ok(()) => END,
        Err(TreeError::Io(error)) => return Err(error),
        Err(TreeError::Archive(_) | TreeError::Large) => LARGE,
    };
    packer.out.write_all(&[end])?;
    packer.out.flush()?;
    Ok(packer.packed)
}

/// Lays an archive out in `root`, an empty directory that nobody else may enter.
///
/// # Errors
///
/// When it is no archive, is too large, or cannot be written.
pub fn lay(archive: impl Read, root: &Path) -> Result<Laid, TreeError> {
    let mut layer =
        Layer { from: Archive::new(archive), root, laid: Laid::default(), room: Room::default() };
    layer.laid.directories.insert(PathBuf::new());
    loop {
        match layer.from.byte()? {
            DIRECTORY => layer.directory()?,
            FILE => layer.file()?,
            LINK => layer.link()?,
            END => break,
            LARGE => return Err(TreeError::Large),
            _ => return Err(TreeError::Archive("an unknown kind")),
        }
    }
    // Last, so that no name in the archive goes through one.
    for (path, target) in &layer.laid.links {
        symlink(target, root.join(path))?;
    }
    Ok(layer.laid)
}

/// Makes writing more than this process may (`RLIMIT_FSIZE`) an error of that write, and not its end.
///
/// # Errors
///
/// When signals cannot be heard.
pub fn outlive_file_limits() -> io::Result<()> {
    let heard = Arc::<AtomicBool>::default();
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, heard).map(drop)
}

/// A tree being packed.
struct Packer<'a, W: Write> {
    out: BufWriter<W>,
    ignored: &'a Ignored,
    packed: Packed,
    count: usize,
    room: Room,
}

// === impl Packer ===

impl<W: Write> Packer<'_, W> {
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), TreeError> {
        if DEPTH_MAX < depth {
            return Err(TreeError::Large);
        }
        for (name, kind) in names(directory)? {
            let below = path.join(&name);
            if self.ignored.leaves_out(&below, kind) {
                continue;
            }
            self.count += 1;
            if FILES_MAX < self.count {
                return Err(TreeError::Large);
            }
            match kind {
                FileType::Directory => self.below(directory, &name, &below, depth)?,
                FileType::RegularFile => self.file(directory, &name, &below)?,
                FileType::Symlink => {
                    let Ok(target) = readlinkat(directory, &*name, Vec::new()) else {
                        self.packed.left += 1;
                        continue;
                    };
                    put_name(&mut self.out, LINK, &below)?;
                    put_bytes(&mut self.out, target.as_bytes())?;
                }
                _ => self.packed.left += 1,
            }
        }
        Ok(())
    }

    fn below(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(opened) = openat(directory, name, flags, Mode::empty()) else {
            self.packed.left += 1;
            return Ok(());
        };
        put_name(&mut self.out, DIRECTORY, path)?;
        self.directory(opened.as_fd(), path, depth + 1)
    }

    fn file(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), TreeError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(directory, name, flags, Mode::empty()).map(File::from);
        let Some((mut file, metadata)) = opened
            .ok()
            .and_then(|file| file.metadata().ok().map(|metadata| (file, metadata)))
            .filter(|(_, metadata)| metadata.is_file())
        else {
            self.packed.left += 1;
            return Ok(());
        };
        if self.room.left_for(path) < metadata.len() {
            return Err(TreeError::Large);
        }
        put_name(&mut self.out, FILE, path)?;
        self.out.write_all(&[u8::from(metadata.mode() & 0o100 != 0)])?;
        let room = self.room.left_for(path);
        let sent = put_content(&mut self.out, (&mut file).take(room.saturating_add(1)))?;
        self.room.take(path, sent)?;
        self.packed.stamps.insert(path.to_owned(), stamp(&metadata));
        Ok(())
    }
}

/// A tree being laid out.
struct Layer<'a, R: Read> {
    from: Archive<R>,
    root: &'a Path,
    laid: Laid,
    room: Room,
}

// === impl Layer ===

impl<R: Read> Layer<'_, R> {
    /// Reads a name that is new and whose parent is a directory of the archive's.
    fn name(&mut self) -> Result<PathBuf, TreeError> {
        let path = self.from.name()?;
        let Laid { files, directories, links, .. } = &self.laid;
        let known =
            directories.contains(&path) || files.contains_key(&path) || links.contains_key(&path);
        if known {
            return Err(TreeError::Archive("a name that is there already"));
        }
        if !path.parent().is_some_and(|parent| directories.contains(parent)) {
            return Err(TreeError::Archive("a name in no directory"));
        }
        let count = directories.len() + files.len() + links.len() + self.laid.links_left;
        if FILES_MAX < count || DEPTH_MAX + 1 < path.components().count() {
            return Err(TreeError::Large);
        }
        Ok(path)
    }

    fn directory(&mut self) -> Result<(), TreeError> {
        let path = self.name()?;
        fs::DirBuilder::new().mode(0o700).create(self.root.join(&path))?;
        self.laid.directories.insert(path);
        Ok(())
    }

    fn file(&mut self) -> Result<(), TreeError> {
        let path = self.name()?;
        let executable = self.from.flag()?;
        let mode = if executable { 0o700 } else { 0o600 };
        let place = self.root.join(&path);
        let mut options = File::options();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(&place)?;
        let (room, mut hash) = (&mut self.room, Sha256::new());
        self.from.content(|chunk| {
            room.take(&path, chunk.len() as u64)?;
            hash.update(chunk);
            Ok(file.write_all(chunk)?)
        })?;
        let content = Content { digest: hash.finalize().into(), executable };
        self.laid.files.insert(path, content);
        Ok(())
    }

    fn link(&mut self) -> Result<(), TreeError> {
        let path = self.name()?;
        let target = OsString::from_vec(self.from.bytes()?);
        match stays_inside(&path, Path::new(&target)) {
            Inside::Yes => drop(self.laid.links.insert(path, target)),
            Inside::No => self.laid.links_left += 1,
        }
        Ok(())
    }
}

/// Whether a link stays in its tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Inside {
    No,
    Yes,
}

/// Whether the link at `path` leads inside its tree. Steps up come first and start from a real directory,
/// so that they mean what they say; what follows goes down, through links of which the same is true.
fn stays_inside(path: &Path, target: &Path) -> Inside {
    let mut up = path.components().count().saturating_sub(1);
    let mut down = false;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => down = true,
            Component::ParentDir if !down && 0 < up => up -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Inside::No,
        }
    }
    Inside::Yes
}

// === impl Room ===

impl Room {
    /// Returns how many bytes a file may have.
    fn left_for(&self, path: &Path) -> u64 {
        match is_package(path) {
            true => PACKAGE_BYTES_MAX.saturating_sub(self.packages),
            false => BYTES_MAX.saturating_sub(self.bytes),
        }
    }

    fn take(&mut self, path: &Path, bytes: u64) -> Result<(), TreeError> {
        if self.left_for(path) < bytes {
            return Err(TreeError::Large);
        }
        let taken = if is_package(path) { &mut self.packages } else { &mut self.bytes };
        *taken = taken.saturating_add(bytes);
        Ok(())
    }
}

/// Whether a file is of a package that Terraform fetched.
fn is_package(path: &Path) -> bool {
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        if name == ".terraform" && names.peek().is_some_and(|next| *next == "providers") {
            return true;
        }
    }
    false
}

/// Returns the names in a directory and what they are, sorted.
fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<(OsString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        names.push((name.to_owned(), kind));
        // Twice as many as travel: some may be ignored.
        if 2 * FILES_MAX < names.len() {
            break;
        }
    }
    names.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(names)
}

/// Opens what lies below `top`, through no link.
fn beneath(top: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(openat2(top, path, flags, Mode::empty(), how)?)
}

/// Returns what is there under a name, links not followed.
fn stamp_at(top: BorrowedFd<'_>, path: &Path) -> Option<Stamp> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let directory = beneath(top, parent, OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
    let found = statat(&directory, path.file_name()?, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let size = u64::try_from(found.st_size).unwrap_or_default();
    let nanos = |nanos| i64::try_from(nanos).unwrap_or_default();
    let (modified, changed) = (found.st_mtime, found.st_ctime);
    let (modified_nanos, changed_nanos) = (nanos(found.st_mtime_nsec), nanos(found.st_ctime_nsec));
    Some((found.st_dev, found.st_ino, size, modified, modified_nanos, changed, changed_nanos))
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const LINK: u8 = 3;
const GONE: u8 = 4;
const CLOSED: u8 = 5;
const LARGE: u8 = 8;
const END: u8 = 9;

/// The most files, directories and links of a tree: as many as a snapshot has.
pub const FILES_MAX: usize = iddio_exec::snapshot::FILES_MAX;

/// The most bytes of all its files together, but for packages.
pub const BYTES_MAX: u64 = iddio_exec::snapshot::BYTES_MAX;

/// The most bytes of provider packages (`.terraform/providers`): the largest there is unpacks to less than one
/// GiB, and few configurations have two of its size.
pub const PACKAGE_BYTES_MAX: u64 = 2 << 30;

/// How deep it may be.
pub const DEPTH_MAX: usize = iddio_exec::snapshot::DEPTH_MAX;

/// What travels at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The longest path the kernel takes.
const PATH_BYTES_MAX: usize = 4096;

/// The longest name it takes.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
