//! The way back: what a command changed in its copy is found, and what it was to write is written by the
//! caller's own process.
//!
//! INVARIANT: nothing is written, replaced or removed in the caller's tree that changed there meanwhile, no
//! link is followed, and a file appears whole or not at all.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use iddio_runtime::clock::draw_id;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, mkdirat, openat, readlinkat, renameat, unlinkat,
};
use sha2::{Digest as _, Sha256};

use super::{
    CHUNK_BYTES, CLOSED, Content, DEPTH_MAX, END, FILE, FILES_MAX, GONE, Laid, Packed, Room, Stamp,
    TreeError,
    archive::{Archive, each_part, put_end, put_name, put_part},
    beneath, names, stamp_at,
};

/// What a command changed in its copy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Files that it made or changed.
    pub made: Vec<PathBuf>,
    /// Files that it removed.
    pub gone: Vec<PathBuf>,
    /// Directories that it removed, the deepest first.
    pub closed: Vec<PathBuf>,
    /// Links and others that it made, changed or removed: they do not travel.
    pub other: Vec<PathBuf>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Back {
    /// Files that were written.
    pub written: Vec<PathBuf>,
    /// Files that were removed.
    pub removed: Vec<PathBuf>,
    /// Files that changed here too and were left alone.
    pub conflicts: Vec<PathBuf>,
}

/// Takes out of one file what must not leave, part by part; nothing is its end.
pub type Cleaning<'a> = Box<dyn FnMut(Option<&[u8]>) -> Vec<u8> + 'a>;

/// Looks what is different below `root` from what was laid out. No process writes there any more.
///
/// # Errors
///
/// When it cannot be read, or is too large.
pub fn look(root: &Path, laid: &Laid) -> Result<Changes, TreeError> {
    let top = open_top(root)?;
    let (mut changes, mut room) = (Changes::default(), Room::default());
    let (mut seen, mut directories) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting = vec![(PathBuf::new(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        if DEPTH_MAX < depth {
            return Err(TreeError::Large);
        }
        let opened = beneath(top.as_fd(), &directory, OFlags::RDONLY | OFlags::DIRECTORY)?;
        for (name, kind) in names(opened.as_fd())? {
            let path = directory.join(&name);
            match kind {
                FileType::Directory => {
                    directories.insert(path.clone());
                    waiting.push((path.clone(), depth + 1));
                }
                FileType::RegularFile => {
                    let content = content(top.as_fd(), &path, &mut room)?;
                    if laid.files.get(&path) != Some(&content) {
                        changes.made.push(path.clone());
                    }
                }
                FileType::Symlink => {
                    let target =
                        readlinkat(&opened, &*name, Vec::new()).map_err(io::Error::from)?;
                    let target = target.as_bytes();
                    let same = |laid: &std::ffi::OsString| laid.as_encoded_bytes() == target;
                    if !laid.links.get(&path).is_some_and(same) {
                        changes.other.push(path.clone());
                    }
                }
                _ => changes.other.push(path.clone()),
            }
            seen.insert(path);
            if 2 * FILES_MAX < seen.len() {
                return Err(TreeError::Large);
            }
        }
    }
    changes.gone = laid.files.keys().filter(|path| !seen.contains(*path)).cloned().collect();
    changes.other.extend(laid.links.keys().filter(|path| !seen.contains(*path)).cloned());
    let closed = laid.directories.iter().rev().filter(|path| !path.as_os_str().is_empty());
    changes.closed = closed.filter(|path| !directories.contains(*path)).cloned().collect();
    changes.made.sort();
    changes.other.sort();
    Ok(changes)
}

/// Packs what is to come back of what lies below `root`; `clean` begins to take out of a file what must not
/// leave. No process writes there any more.
///
/// # Errors
///
/// When it cannot be read, is too large, or cannot be written.
pub fn give<'a>(
    root: &Path,
    changes: &Changes,
    clean: impl Fn() -> Cleaning<'a>,
    out: impl Write,
) -> Result<(), TreeError> {
    let top = open_top(root)?;
    let mut out = BufWriter::with_capacity(CHUNK_BYTES, out);
    let mut room = Room::default();
    let Changes { made, gone, closed, other: _ } = changes;
    if FILES_MAX < made.len() {
        return Err(TreeError::Large);
    }
    for path in made {
        let file = File::from(beneath(top.as_fd(), path, OFlags::RDONLY | OFlags::NOFOLLOW)?);
        let executable = file.metadata()?.mode() & 0o100 != 0;
        put_name(&mut out, FILE, path)?;
        out.write_all(&[u8::from(executable)])?;
        let mut cleaning = clean();
        let limit = room.left_for(path);
        let mut sent = 0_u64;
        each_part(file.take(limit.saturating_add(1)), |part| {
            sent = sent.saturating_add(part.len() as u64);
            put_part(&mut out, &cleaning(Some(part)))
        })?;
        put_part(&mut out, &cleaning(None))?;
        put_end(&mut out)?;
        room.take(path, sent)?;
    }
    gone.iter().try_for_each(|path| put_name(&mut out, GONE, path))?;
    closed.iter().try_for_each(|path| put_name(&mut out, CLOSED, path))?;
    out.write_all(&[END])?;
    out.flush()?;
    Ok(())
}

/// Writes what came back below `directory`, and removes what a command was to remove, as this process. What
/// changed there since it was packed is left alone; no link is followed.
///
/// # Errors
///
/// When it is no archive, or something cannot be written; what was written before it stays.
pub fn take_back(
    archive: impl Read,
    directory: BorrowedFd<'_>,
    packed: &Packed,
) -> Result<Back, TreeError> {
    let mut from = Archive::new(archive);
    let (mut back, mut room, mut count) = (Back::default(), Room::default(), 0_usize);
    loop {
        let kind = from.byte()?;
        if kind == END {
            return Ok(back);
        }
        let path = from.name()?;
        count += 1;
        if 3 * FILES_MAX < count {
            return Err(TreeError::Large);
        }
        let before = packed.stamps.get(&path).copied();
        match kind {
            FILE => {
                let mode = if from.flag()? { 0o777 } else { 0o666 };
                let stands = stamp_at(directory, &path) == before;
                let place = match stands {
                    true => Some(Place::make(directory, &path, mode)?),
                    false => None,
                };
                from.content(|chunk| {
                    room.take(&path, chunk.len() as u64)?;
                    Ok(place.as_ref().map_or(Ok(()), |place| (&place.file).write_all(chunk))?)
                })?;
                match place.map(|place| place.become_file(directory, before)) {
                    Some(Ok(Became::File)) => back.written.push(path),
                    Some(Err(error)) => return Err(error.into()),
                    Some(Ok(Became::Nothing)) | None => back.conflicts.push(path),
                }
            }
            GONE => match before.is_some() && stamp_at(directory, &path) == before {
                true => {
                    remove(directory, &path, AtFlags::empty())?;
                    back.removed.push(path);
                }
                // What is not there either is as it should be.
                false if stamp_at(directory, &path).is_none() => {}
                false => back.conflicts.push(path),
            },
            // One that holds something still is left.
            CLOSED => drop(remove(directory, &path, AtFlags::REMOVEDIR)),
            _ => return Err(TreeError::Archive("an unknown kind")),
        }
    }
}

/// A file on its way to its place. Dropped before it got there, it is gone.
struct Place {
    file: File,
    directory: OwnedFd,
    temporary: String,
    path: PathBuf,
    there: bool,
}

/// What became of a file on its way.
enum Became {
    /// It is there.
    File,
    /// Something else is there meanwhile.
    Nothing,
}

// === impl Place ===

impl Place {
    /// Makes the directories above a file, and a file beside its place.
    fn make(top: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<Self> {
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
        let id = draw_id().map_err(io::Error::other)?;
        let temporary = format!(".iddio-{id}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = flags | OFlags::CLOEXEC;
        let file = openat(&directory, &*temporary, flags, Mode::from_raw_mode(mode))?;
        let file = File::from(file);
        Ok(Self { file, directory, temporary, path: path.to_owned(), there: false })
    }

    /// Puts it in the place of what was there, if that is what was there `before`.
    fn become_file(mut self, top: BorrowedFd<'_>, before: Option<Stamp>) -> io::Result<Became> {
        if stamp_at(top, &self.path) != before {
            return Ok(Became::Nothing);
        }
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        renameat(&self.directory, &*self.temporary, &self.directory, name)?;
        self.there = true;
        Ok(Became::File)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.there {
            // Best effort: what went wrong before is what is said.
            let _ = unlinkat(&self.directory, &*self.temporary, AtFlags::empty());
        }
    }
}

fn remove(top: BorrowedFd<'_>, path: &Path, flags: AtFlags) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let directory = beneath(top, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(unlinkat(&directory, name, flags)?)
}

fn open_top(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

fn content(top: BorrowedFd<'_>, path: &Path, room: &mut Room) -> Result<Content, TreeError> {
    let file = File::from(beneath(top, path, OFlags::RDONLY | OFlags::NOFOLLOW)?);
    let executable = file.metadata()?.mode() & 0o100 != 0;
    let limit = room.left_for(path);
    let (mut hash, mut length) = (Sha256::new(), 0_u64);
    each_part(file.take(limit.saturating_add(1)), |part| {
        length = length.saturating_add(part.len() as u64);
        hash.update(part);
        Ok(())
    })?;
    room.take(path, length)?;
    Ok(Content { digest: hash.finalize().into(), executable })
}
