//! Working trees on their way: packed by who may read them, laid out by who runs the command, and what
//! the command changed brought back.
//!
//! The caller's own process packs and takes back, with its own rights; the broker only reads an archive
//! and writes below a directory of its own. INVARIANT: whatever an archive says, nothing outside the
//! directory it is laid out in is read, written or linked to: names are plain, parents are directories
//! that the archive itself made, links come last and lead nowhere but inside.
//!
//! What is neither file, directory nor such a link does not travel: no device, pipe, socket, owner, and of
//! the mode only whether a file may be executed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink},
        },
    },
    path::{Component, Path, PathBuf},
};

use iddio_core::digest::Digest;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat,
    renameat, statat, unlinkat,
};

/// What was laid out.
#[derive(Debug, Default)]
pub struct Laid {
    files: BTreeMap<PathBuf, Digest>,
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

/// What came back.
#[derive(Debug, Default)]
pub struct Back {
    /// Files that were written.
    pub written: Vec<PathBuf>,
    /// Files that changed here too and were left alone.
    pub conflicts: Vec<PathBuf>,
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
    #[error("the tree is larger than {FILES_MAX} files, {BYTES_MAX} bytes or {DEPTH_MAX} levels")]
    Large,
}

/// What `stat` says of a file. Two equal stamps are one unchanged file.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// Packs everything below `directory` into `out`, but for version control. A tree that is too large is
/// packed as that word alone.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn pack(directory: BorrowedFd<'_>, out: impl Write) -> io::Result<Packed> {
    let out = BufWriter::with_capacity(CHUNK_BYTES, out);
    let mut packer = Packer { out, packed: Packed::default(), count: 0, bytes: 0 };
    // A look first: what is too large costs no copy.
    let measured = measure(directory, 0, &mut (0, 0));
    let end = match measured.and_then(|()| packer.directory(directory, Path::new(""), 0)) {
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
    let mut layer = Layer {
        from: Archive(BufReader::with_capacity(CHUNK_BYTES, archive)),
        root,
        laid: Laid::default(),
        directories: BTreeSet::from([PathBuf::new()]),
        links: BTreeMap::new(),
        bytes: 0,
    };
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
    for (path, target) in &layer.links {
        symlink(target, root.join(path))?;
    }
    Ok(layer.laid)
}

/// Packs what was made or changed below `root` since it was laid out; `clean` takes out what must not
/// leave. No process writes there any more.
///
/// # Errors
///
/// When it cannot be read, is too large, or cannot be written.
pub fn changed(
    root: &Path,
    laid: &Laid,
    clean: impl Fn(Vec<u8>) -> Vec<u8>,
    out: impl Write,
) -> Result<usize, TreeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty()).map_err(io::Error::from)?;
    let mut out = BufWriter::with_capacity(CHUNK_BYTES, out);
    let (mut count, mut bytes) = (0, 0_u64);
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        if DEPTH_MAX < depth {
            return Err(TreeError::Large);
        }
        let opened = beneath(top.as_fd(), &directory, flags)?;
        for (name, kind) in names(opened.as_fd())? {
            let path = directory.join(&name);
            if kind == FileType::Directory {
                waiting.push((path, depth + 1));
            } else if kind == FileType::RegularFile {
                let file = beneath(top.as_fd(), &path, OFlags::RDONLY | OFlags::NOFOLLOW)?;
                let mut file = File::from(file);
                let executable = file.metadata()?.mode() & 0o100 != 0;
                let mut content = Vec::new();
                let room = BYTES_MAX.saturating_sub(bytes);
                (&mut file).take(room.saturating_add(1)).read_to_end(&mut content)?;
                bytes = bytes.saturating_add(content.len() as u64);
                count += 1;
                if BYTES_MAX < bytes || FILES_MAX < count {
                    return Err(TreeError::Large);
                }
                if laid.files.get(&path) != Some(&Digest::of_bytes(&content)) {
                    put_name(&mut out, FILE, &path)?;
                    out.write_all(&[u8::from(executable)])?;
                    put_content(&mut out, &clean(content)[..])?;
                }
            }
        }
    }
    out.write_all(&[END])?;
    out.flush()?;
    Ok(count)
}

/// Writes what came back below `directory`, as this process. What changed there since it was packed is
/// left alone; no link is followed, and nothing is removed.
///
/// # Errors
///
/// When it is no archive, or something cannot be written; what was written before it stays.
pub fn take_back(
    archive: impl Read,
    directory: BorrowedFd<'_>,
    packed: &Packed,
) -> Result<Back, TreeError> {
    let mut from = Archive(BufReader::with_capacity(CHUNK_BYTES, archive));
    let (mut back, mut bytes) = (Back::default(), 0);
    loop {
        match from.byte()? {
            END => return Ok(back),
            FILE => {}
            _ => return Err(TreeError::Archive("an unknown kind")),
        }
        let path = from.name()?;
        let executable = from.flag()?;
        let mut content = Vec::new();
        from.content(&mut bytes, |chunk| {
            content.extend_from_slice(chunk);
            Ok(())
        })?;
        if FILES_MAX <= back.written.len() + back.conflicts.len() {
            return Err(TreeError::Large);
        }
        if stamp_at(directory, &path) != packed.stamps.get(&path).copied() {
            back.conflicts.push(path);
            continue;
        }
        put(directory, &path, &content, if executable { 0o777 } else { 0o666 })?;
        back.written.push(path);
    }
}

/// Looks whether a tree is too large, counting its names and bytes.
fn measure(
    directory: BorrowedFd<'_>,
    depth: usize,
    seen: &mut (usize, u64),
) -> Result<(), TreeError> {
    for (name, kind) in names(directory)? {
        if depth == 0 && name == ".git" {
            continue;
        }
        seen.0 += 1;
        if kind == FileType::RegularFile
            && let Ok(found) = statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW)
        {
            seen.1 = seen.1.saturating_add(u64::try_from(found.st_size).unwrap_or_default());
        }
        if FILES_MAX < seen.0 || BYTES_MAX < seen.1 || DEPTH_MAX < depth {
            return Err(TreeError::Large);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if kind == FileType::Directory
            && let Ok(opened) = openat(directory, &*name, flags, Mode::empty())
        {
            measure(opened.as_fd(), depth + 1, seen)?;
        }
    }
    Ok(())
}

/// A tree being packed.
struct Packer<W: Write> {
    out: BufWriter<W>,
    packed: Packed,
    count: usize,
    bytes: u64,
}

// === impl Packer ===

impl<W: Write> Packer<W> {
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
            if depth == 0 && name == ".git" {
                continue;
            }
            let below = path.join(&name);
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
        put_name(&mut self.out, FILE, path)?;
        self.out.write_all(&[u8::from(metadata.mode() & 0o100 != 0)])?;
        let room = BYTES_MAX.saturating_sub(self.bytes);
        let sent = put_content(&mut self.out, (&mut file).take(room.saturating_add(1)))?;
        self.bytes = self.bytes.saturating_add(sent);
        if BYTES_MAX < self.bytes {
            return Err(TreeError::Large);
        }
        self.packed.stamps.insert(path.to_owned(), stamp(&metadata));
        Ok(())
    }
}

/// A tree being laid out.
struct Layer<'a, R: Read> {
    from: Archive<R>,
    root: &'a Path,
    laid: Laid,
    directories: BTreeSet<PathBuf>,
    links: BTreeMap<PathBuf, OsString>,
    bytes: u64,
}

// === impl Layer ===

impl<R: Read> Layer<'_, R> {
    /// Reads a name that is new and whose parent is a directory of the archive's.
    fn name(&mut self) -> Result<PathBuf, TreeError> {
        let path = self.from.name()?;
        let known = self.directories.contains(&path)
            || self.laid.files.contains_key(&path)
            || self.links.contains_key(&path);
        if known {
            return Err(TreeError::Archive("a name that is there already"));
        }
        if !path.parent().is_some_and(|parent| self.directories.contains(parent)) {
            return Err(TreeError::Archive("a name in no directory"));
        }
        let count = self.directories.len() + self.laid.files.len() + self.links.len();
        if FILES_MAX < count || DEPTH_MAX < path.components().count() {
            return Err(TreeError::Large);
        }
        Ok(path)
    }

    fn directory(&mut self) -> Result<(), TreeError> {
        let path = self.name()?;
        fs::DirBuilder::new().mode(0o700).create(self.root.join(&path))?;
        self.directories.insert(path);
        Ok(())
    }

    fn file(&mut self) -> Result<(), TreeError> {
        let path = self.name()?;
        let mode = if self.from.flag()? { 0o700 } else { 0o600 };
        let place = self.root.join(&path);
        let mut options = File::options();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(&place)?;
        self.from.content(&mut self.bytes, |chunk| file.write_all(chunk))?;
        drop(file);
        // Read back: what is compared with later is what lies there.
        self.laid.files.insert(path, Digest::of_bytes(&fs::read(&place)?));
        Ok(())
    }

    fn link(&mut self) -> Result<(), TreeError> {
        let path = self.name()?;
        let target = OsString::from_vec(self.from.bytes()?);
        match stays_inside(&path, Path::new(&target)) {
            Inside::Yes => drop(self.links.insert(path, target)),
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

/// An archive being read.
struct Archive<R: Read>(BufReader<R>);

// === impl Archive ===

impl<R: Read> Archive<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], TreeError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, TreeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, TreeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(TreeError::Archive("a mode that is none")),
        }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, TreeError> {
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(self.array()?))];
        self.0.read_exact(&mut bytes)?;
        match bytes.is_empty() || PATH_BYTES_MAX < bytes.len() || bytes.contains(&0) {
            true => Err(TreeError::Archive("a name that is none")),
            false => Ok(bytes),
        }
    }

    /// Reads a name made of plain parts, written in one way only.
    fn name(&mut self) -> Result<PathBuf, TreeError> {
        let bytes = self.bytes()?;
        let plain = |part: &[u8]| {
            !part.is_empty() && part != b"." && part != b".." && part.len() <= NAME_BYTES_MAX
        };
        match bytes.split(|byte| *byte == b'/').all(plain) {
            true => Ok(PathBuf::from(OsString::from_vec(bytes))),
            false => Err(TreeError::Archive("a name that leads elsewhere")),
        }
    }

    /// Reads what a file holds, counting it into `bytes`.
    fn content(
        &mut self,
        bytes: &mut u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), TreeError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = u32::from_be_bytes(self.array()?);
            if length == 0 {
                return Ok(());
            }
            *bytes = bytes.saturating_add(u64::from(length));
            if BYTES_MAX < *bytes {
                return Err(TreeError::Large);
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let chunk = chunk.get_mut(..length).ok_or(TreeError::Archive("a chunk too long"))?;
            self.0.read_exact(chunk)?;
            take(chunk)?;
        }
    }
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
        if FILES_MAX < names.len() {
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

/// Puts a file in the place of what was there, making the directories above it.
fn put(top: BorrowedFd<'_>, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let mut above = PathBuf::new();
    for part in parent.iter() {
        above.push(part);
        let within = above.parent().unwrap_or(Path::new(""));
        let directory = beneath(top, within, OFlags::RDONLY | OFlags::DIRECTORY)?;
        match mkdirat(&directory, part, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let directory = beneath(top, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".iddio-{}", std::process::id()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, &*temporary, flags, Mode::from_raw_mode(mode))?;
    let written = File::from(file)
        .write_all(content)
        .and_then(|()| Ok(renameat(&directory, &*temporary, &directory, name)?));
    if written.is_err() {
        // Best effort: the error that matters is returned.
        let _ = unlinkat(&directory, &*temporary, AtFlags::empty());
    }
    written
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

fn put_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(bytes)
}

fn put_name(out: &mut impl Write, kind: u8, path: &Path) -> io::Result<()> {
    out.write_all(&[kind])?;
    put_bytes(out, path.as_os_str().as_bytes())
}

fn put_content(out: &mut impl Write, mut from: impl Read) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut sent = 0_u64;
    loop {
        let count = match from.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        out.write_all(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes())?;
        out.write_all(chunk.get(..count).unwrap_or_default())?;
        sent = sent.saturating_add(count as u64);
        if count == 0 {
            return Ok(sent);
        }
    }
}

const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const LINK: u8 = 3;
const LARGE: u8 = 8;
const END: u8 = 9;

/// The most files, directories and links of a tree: as many as a snapshot has.
pub const FILES_MAX: usize = iddio_exec::snapshot::FILES_MAX;

/// The most bytes of all its files together.
pub const BYTES_MAX: u64 = iddio_exec::snapshot::BYTES_MAX;

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
