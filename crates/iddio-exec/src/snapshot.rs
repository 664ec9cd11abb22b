//! A private copy of a directory tree: what was judged is what runs.
//!
//! INVARIANT: [`Snapshot::digest`] covers every name, kind, mode bit and byte that was copied, so two
//! snapshots with one digest are one tree. Files that are linked instead of copied are the state of
//! the tool (they must be written where they are) and its provider packages (the tool checks them
//! against its lock file); both are named by the caller and are part of the digest as links.
//!
//! The copy is bounded in files, bytes and depth. Links that lead out of the tree are not followed:
//! they are copied as links. Special files are refused.
//!
//! [`Snapshot::give_back`] copies what the run created or changed back to the original, unless the
//! original changed too; nothing is ever deleted there.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use iddio_core::digest::{Canonical, Digest, Encoder};

/// A private copy of a tree.
#[derive(Debug)]
pub struct Snapshot {
    origin: PathBuf,
    root: PathBuf,
    apart: Apart,
    entries: BTreeMap<PathBuf, Copied>,
}

/// Which names at the top of the tree are treated apart.
#[derive(Clone, Debug)]
pub struct Apart {
    /// Linked to the original instead of copied, whether they exist or not: state.
    pub linked: Vec<PathBuf>,
    /// Left out: version control.
    pub omitted: Vec<PathBuf>,
}

/// What [`Snapshot::give_back`] did.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct GivenBack {
    /// Files copied back, relative to the tree.
    pub copied: Vec<PathBuf>,
    /// Files that changed on both sides and were left alone.
    pub conflicts: Vec<PathBuf>,
}

/// Why a tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A socket, a pipe or a device.
    #[error("`{}` is no file, directory or link", .0.display())]
    Special(PathBuf),
    /// Too many files, too many bytes, or too deep.
    #[error("the tree is larger than {FILES_MAX} files, {BYTES_MAX} bytes or {DEPTH_MAX} levels")]
    TooLarge,
}

/// Whether a tree is still what was judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holds {
    /// It changed.
    No,
    /// It is.
    Yes,
}

/// One thing that was copied.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Copied {
    Directory,
    File { mode: u32, content: Digest },
    Link { target: PathBuf },
}

// === impl Snapshot ===

impl Snapshot {
    /// Copies the tree at `origin` to `root`, which must not exist yet.
    ///
    /// # Errors
    ///
    /// When the tree cannot be read, holds special files or is too large. What was copied is
    /// removed again.
    pub fn take(origin: &Path, root: &Path, apart: &Apart) -> Result<Self, SnapshotError> {
        fs::DirBuilder::new().mode(0o700).create(root).map_err(failed(root))?;
        let mut copier = Copier {
            snapshot: Self {
                origin: origin.to_owned(),
                root: root.to_owned(),
                apart: apart.clone(),
                entries: BTreeMap::new(),
            },
            apart,
            bytes: 0,
        };
        match copier.directory(Path::new(""), 0).and_then(|()| copier.links()) {
            Ok(()) => Ok(copier.snapshot),
            Err(error) => {
                // Best effort: the error that matters is returned.
                let _ = fs::remove_dir_all(root);
                Err(error)
            }
        }
    }

    /// Where the copy is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns what tells this tree from every other.
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }

    /// Returns every regular file that was copied, with its path relative to the tree.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter_map(|(path, copied)| match copied {
            Copied::File { .. } => Some(path.as_path()),
            Copied::Directory | Copied::Link { .. } => None,
        })
    }

    /// Returns every link of the copy, with its path relative to the tree.
    pub fn links(&self) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter_map(|(path, copied)| match copied {
            Copied::Link { .. } => Some(path.as_path()),
            Copied::Directory | Copied::File { .. } => None,
        })
    }

    /// Reads one of the copied files.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, SnapshotError> {
        let path = self.root.join(path);
        fs::read(&path).map_err(failed(&path))
    }

    /// Copies back what the run created or changed.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written; what was copied before it stays.
    pub fn give_back(&self, except: &[PathBuf]) -> Result<GivenBack, SnapshotError> {
        let mut given = GivenBack::default();
        let mut waiting = vec![PathBuf::new()];
        while let Some(directory) = waiting.pop() {
            let path = self.root.join(&directory);
            for entry in fs::read_dir(&path).map_err(failed(&path))? {
                let entry = entry.map_err(failed(&path))?;
                let relative = directory.join(entry.file_name());
                let kind = entry.file_type().map_err(failed(&path))?;
                match (kind.is_dir(), kind.is_file()) {
                    _ if except.contains(&relative) => {}
                    (true, _) => waiting.push(relative),
                    (_, true) => self.give_back_file(&relative, &mut given)?,
                    (false, false) => {}
                }
            }
        }
        given.copied.sort();
        given.conflicts.sort();
        Ok(given)
    }

    fn give_back_file(&self, path: &Path, given: &mut GivenBack) -> Result<(), SnapshotError> {
        let (here, there) = (self.root.join(path), self.origin.join(path));
        let now = content(&here)?.map(|(content, _)| content);
        let before = match self.entries.get(path) {
            Some(Copied::File { content, .. }) => Some(*content),
            Some(Copied::Directory | Copied::Link { .. }) | None => None,
        };
        if now == before {
            return Ok(());
        }
        let original = content(&there)?.map(|(content, _)| content);
        if original != before {
            given.conflicts.push(path.to_owned());
            return Ok(());
        }
        if let Some(parent) = there.parent() {
            self.is_own(path).map_err(failed(parent))?;
            fs::create_dir_all(parent).map_err(failed(parent))?;
            self.is_own(path).map_err(failed(parent))?;
        }
        replace(&here, &there).map_err(failed(&there))?;
        given.copied.push(path.to_owned());
        Ok(())
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Whether the original still is what was copied, but for states, which every run of the tool
    /// writes (A08, E11).
    ///
    /// # Errors
    ///
    /// When the original cannot be read any more.
    pub fn still_holds(&self) -> Result<Holds, SnapshotError> {
        let mut name = self.root.file_name().unwrap_or(OsStr::new("tree")).to_owned();
        name.push("-again");
        let root = self.root.with_file_name(name);
        let again = Self::take(&self.origin, &root, &self.apart)?;
        // Best effort: it goes with the run's directory.
        let _ = fs::remove_dir_all(&root);
        let told = |(path, _): &(&PathBuf, &Copied)| !is_state(path);
        let same = self.entries.iter().filter(told).eq(again.entries.iter().filter(told));
        Ok(if same { Holds::Yes } else { Holds::No })
    }

    /// Whether every directory above `path` in the original is one of its own: a link that took its
    /// place meanwhile would lead the file elsewhere.
    fn is_own(&self, path: &Path) -> io::Result<()> {
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            match fs::symlink_metadata(self.origin.join(above)) {
                Ok(metadata) if metadata.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(_) => return Err(io::Error::other("no directory of the tree any more")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Canonical for Snapshot {
    fn encode(&self, encoder: &mut Encoder) {
        // Where the copy lies says nothing about what it is, and what is apart is seen in it.
        let Self { origin, root: _, apart: _, entries } = self;
        encoder.bytes(origin.as_os_str().as_bytes());
        encoder.int(entries.len() as u128);
        for (path, copied) in entries {
            encoder.bytes(path.as_os_str().as_bytes());
            match copied {
                Copied::Directory => encoder.tag(1),
                Copied::File { mode, content } => {
                    encoder.tag(2);
                    encoder.int(u128::from(*mode));
                    encoder.digest(*content);
                }
                Copied::Link { target } => {
                    encoder.tag(3);
                    encoder.bytes(target.as_os_str().as_bytes());
                }
            }
        }
    }
}

/// Walks the original.
struct Copier<'a> {
    snapshot: Snapshot,
    apart: &'a Apart,
    bytes: u64,
}

// === impl Copier ===

impl Copier<'_> {
    fn directory(&mut self, directory: &Path, depth: usize) -> Result<(), SnapshotError> {
        if DEPTH_MAX < depth {
            return Err(SnapshotError::TooLarge);
        }
        let path = self.snapshot.origin.join(directory);
        let mut names = fs::read_dir(&path)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.file_name())).collect())
            .map_err(failed(&path))
            .map(|names: Vec<_>| names)?;
        names.sort();
        names.into_iter().try_for_each(|name| self.entry(&directory.join(name), depth))
    }

    fn entry(&mut self, path: &Path, depth: usize) -> Result<(), SnapshotError> {
        let apart = |names: &[PathBuf]| names.iter().any(|name| name == path);
        if apart(&self.apart.linked) || apart(&self.apart.omitted) {
            return Ok(());
        }
        if FILES_MAX <= self.snapshot.entries.len() {
            return Err(SnapshotError::TooLarge);
        }
        let (from, to) = (self.snapshot.origin.join(path), self.snapshot.root.join(path));
        let kind = fs::symlink_metadata(&from).map_err(failed(&from))?.file_type();
        let copied = if kind.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&to).map_err(failed(&to))?;
            self.directory(path, depth.saturating_add(1))?;
            Copied::Directory
        } else if kind.is_file() {
            self.file(&from, &to)?
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(failed(&from))?;
            symlink(&target, &to).map_err(failed(&to))?;
            Copied::Link { target }
        } else {
            return Err(SnapshotError::Special(from));
        };
        self.snapshot.entries.insert(path.to_owned(), copied);
        Ok(())
    }

    /// Hashes while copying, so that the digest is of the copy.
    fn file(&mut self, from: &Path, to: &Path) -> Result<Copied, SnapshotError> {
        let mut source = open(from).map_err(failed(from))?;
        let mode = source.metadata().map_err(failed(from))?.mode() & 0o777;
        let mut bytes = Vec::new();
        let room = BYTES_MAX.saturating_sub(self.bytes);
        (&mut source).take(room.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(from))?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if room < length {
            return Err(SnapshotError::TooLarge);
        }
        self.bytes = self.bytes.saturating_add(length);
        write_new(to, &bytes, mode).map_err(failed(to))?;
        Ok(Copied::File { mode, content: Digest::of_bytes(&bytes) })
    }

    fn links(&mut self) -> Result<(), SnapshotError> {
        for path in &self.apart.linked {
            let (target, link) = (self.snapshot.origin.join(path), self.snapshot.root.join(path));
            if let Some(parent) = link.parent() {
                fs::create_dir_all(parent).map_err(failed(parent))?;
            }
            symlink(&target, &link).map_err(failed(&link))?;
            self.snapshot.entries.insert(path.clone(), Copied::Link { target });
        }
        Ok(())
    }
}

/// Whether a path is a state, its backup or its lock. What `init` remembers of the backend is named
/// like a state and is none.
fn is_state(path: &Path) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    let remembered = path.parent().is_some_and(|parent| parent.ends_with(".terraform"));
    !remembered
        && (name.starts_with(b"terraform.tfstate") || name.starts_with(b".terraform.tfstate"))
}

/// Opens a regular file for reading without following a final link or waiting for a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

fn content(path: &Path) -> Result<Option<(Digest, u32)>, SnapshotError> {
    let mut file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let mode = file.metadata().map_err(failed(path))?.mode() & 0o777;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed(path))?;
    Ok(Some((Digest::of_bytes(&bytes), mode)))
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let mode = fs::metadata(from)?.permissions().mode() & 0o777;
    let bytes = fs::read(from)?;
    let mut name = to.file_name().unwrap_or(OsStr::new("file")).to_owned();
    name.push(format!(".iddio-{}", std::process::id()));
    let temporary = to.with_file_name(name);
    write_new(&temporary, &bytes, mode)?;
    fs::rename(&temporary, to)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::Io { path, source }
}

/// The most files and directories of a snapshot: ten times a large configuration.
pub const FILES_MAX: usize = 20_000;

/// The most bytes of a snapshot: configurations are text; what is larger is data.
pub const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The deepest a snapshot goes: deeper than any layout a person would make.
pub const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("modules/net")).unwrap();
        fs::create_dir_all(tree.path().join(".git")).unwrap();
        fs::write(tree.path().join("main.tf"), "one").unwrap();
        fs::write(tree.path().join("modules/net/main.tf"), "two").unwrap();
        fs::write(tree.path().join(".git/HEAD"), "ref").unwrap();
        symlink("/etc/passwd", tree.path().join("outside")).unwrap();
        tree
    }

    fn apart() -> Apart {
        Apart { linked: vec!["terraform.tfstate".into()], omitted: vec![".git".into()] }
    }

    fn take(tree: &tempfile::TempDir, to: &tempfile::TempDir) -> Snapshot {
        Snapshot::take(tree.path(), &to.path().join("copy"), &apart()).unwrap()
    }

    #[test]
    fn a_swapped_file_does_not_reach_the_copy_and_changes_the_digest() {
        let (tree, to, again) =
            (tree(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = take(&tree, &to);
        fs::write(tree.path().join("modules/net/main.tf"), "evil").unwrap();
        assert_eq!(first.read(Path::new("modules/net/main.tf")).unwrap(), b"two");
        assert_ne!(first.digest(), take(&tree, &again).digest());
    }

    #[test]
    fn state_is_written_through_to_the_original_and_version_control_is_left_out() {
        let (tree, to) = (tree(), tempfile::tempdir().unwrap());
        let copy = take(&tree, &to);
        fs::write(copy.root().join("terraform.tfstate"), "state").unwrap();
        assert_eq!(fs::read(tree.path().join("terraform.tfstate")).unwrap(), b"state");
        assert!(!copy.root().join(".git").exists());
    }

    #[test]
    fn what_the_run_made_comes_back_and_what_changed_on_both_sides_does_not() {
        let (tree, to) = (tree(), tempfile::tempdir().unwrap());
        let copy = take(&tree, &to);
        fs::write(copy.root().join("made.txt"), "new").unwrap();
        fs::write(copy.root().join("main.tf"), "by the run").unwrap();
        fs::write(tree.path().join("main.tf"), "by somebody").unwrap();
        let given = copy.give_back(&[]).unwrap();
        assert_eq!(given.copied, [PathBuf::from("made.txt")]);
        assert_eq!(given.conflicts, [PathBuf::from("main.tf")]);
        assert_eq!(fs::read(tree.path().join("made.txt")).unwrap(), b"new");
        assert_eq!(fs::read(tree.path().join("main.tf")).unwrap(), b"by somebody");
    }

    #[test]
    fn nothing_is_given_back_through_a_link_that_took_a_directorys_place() {
        let (tree, to, outside) =
            (tree(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = take(&tree, &to);
        fs::write(copy.root().join("modules/net/made.txt"), "new").unwrap();
        fs::remove_dir_all(tree.path().join("modules/net")).unwrap();
        symlink(outside.path(), tree.path().join("modules/net")).unwrap();
        assert!(copy.give_back(&[]).is_err());
        assert!(!outside.path().join("made.txt").exists());
    }

    #[test]
    fn a_tree_holds_while_only_states_change_and_not_when_what_init_remembers_does() {
        let (tree, to) = (tree(), tempfile::tempdir().unwrap());
        fs::create_dir(tree.path().join(".terraform")).unwrap();
        let copy = take(&tree, &to);
        fs::write(tree.path().join("terraform.tfstate.backup"), "state").unwrap();
        assert_eq!(copy.still_holds().unwrap(), Holds::Yes);
        fs::write(tree.path().join(".terraform/terraform.tfstate"), "backend").unwrap();
        assert_eq!(copy.still_holds().unwrap(), Holds::No);
    }

    #[test]
    fn a_link_that_leads_out_stays_a_link_and_a_pipe_is_refused() {
        let (tree, to) = (tree(), tempfile::tempdir().unwrap());
        let copy = take(&tree, &to);
        assert_eq!(fs::read_link(copy.root().join("outside")).unwrap(), Path::new("/etc/passwd"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let refused = Snapshot::take(tree.path(), &to.path().join("again"), &apart());
        assert!(matches!(refused, Err(SnapshotError::Special(_))));
        assert!(!to.path().join("again").exists());
    }
}
