//! The files a confined child sees: a tree of its own, put together from pieces of the host's.
//!
//! INVARIANT: it starts empty. What is not named is not there, rather than covered up. Pieces come by descriptor,
//! opened in the new mount namespace, so that nothing can change its name in between; no name within the new tree is
//! followed through a symbolic link.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::failed::{At, Failed};
use super::wire::{Access, ContentPlan, IdsPlan, PlacePlan, SourcePlan};

/// A tree that is being put together.
pub(super) struct Tree {
    owner: IdsPlan,
    /// Whose what lies below a path is; the longest path counts, and of two the later.
    layers: Vec<(PathBuf, Whose)>,
    spare: u32,
}

/// Whose files lie somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The host's: nothing is made there.
    Host,
    /// The tree's own.
    Ours,
}

/// Something of the host, opened, with what it is.
struct Piece {
    fd: OwnedFd,
    kind: FileType,
}

// === impl Tree ===

impl Tree {
    /// Opens all that is named, then puts the tree together at [`BASE`].
    pub(super) fn build(owner: IdsPlan, places: &[PlacePlan]) -> Result<(), Failed> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).at("leaving the host's mounts")?;
        // Before anything is mounted: the base covers a directory of the host.
        let pieces: Vec<_> = places.iter().map(Piece::of).collect::<Result<_, _>>()?;
        let devices: Vec<_> = DEVICES
            .iter()
            .map(|name| Piece::open(&Path::new("/dev").join(name)).map(|piece| (*name, piece)))
            .collect::<Result<_, _>>()
            .at("opening the devices that everybody has")?;
        let data = c"mode=0755,size=16m,nr_inodes=16k";
        mount("tmpfs", BASE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(data))
            .at("mounting the root of the tree")?;
        let mut tree = Self { owner, layers: vec![(PathBuf::from("/"), Whose::Ours)], spare: 0 };
        fs::create_dir(inside(Path::new(SPARE))).at("making the root of the tree")?;
        tree.proc()?;
        tree.devices(&devices)?;
        for at in ["/tmp", "/dev/shm"] {
            tree.private(Path::new(at), TMP_BYTES_MAX).at_path("making", Path::new(at))?;
        }
        for (place, piece) in places.iter().zip(&pieces) {
            let at = Path::new(&place.at);
            tree.place(at, &place.content, piece.as_ref()).at_path("showing", at)?;
        }
        fs::remove_dir(inside(Path::new(SPARE))).at("clearing up the root of the tree")
    }

    /// Makes the tree the only one there is.
    pub(super) fn enter() -> Result<(), Failed> {
        chdir(BASE).at("entering the tree")?;
        pivot_root(".", ".").at("making the tree the root")?;
        unmount(".", UnmountFlags::DETACH).at("letting go of the host's tree")?;
        chdir("/").at("entering the tree")?;
        mount_remount("/", OWN_FLAGS | MountFlags::BIND | MountFlags::RDONLY, c"")
            .at("closing the root of the tree")
    }

    fn place(&mut self, at: &Path, content: &ContentPlan, piece: Option<&Piece>) -> io::Result<()> {
        match content {
            ContentPlan::Bound { access, .. } => match piece {
                Some(piece) => self.bind(at, piece, *access),
                // It may be missing, and is.
                None => Ok(()),
            },
            ContentPlan::Empty => self.empty(at),
            ContentPlan::File { bytes, mode } => self.file(at, bytes, *mode),
            ContentPlan::Hidden => self.hide(at),
            ContentPlan::Link { target } => {
                self.make_parents(at)?;
                symlink(target, inside(at))
            }
            ContentPlan::Private { bytes_max } => self.private(at, *bytes_max),
        }
    }

    fn bind(&mut self, at: &Path, piece: &Piece, access: Access) -> io::Result<()> {
        let target = self.target(at, piece.kind)?;
        mount_bind_recursive(held(piece.fd.as_fd()), held(target.as_fd()))?;
        restrict_below(at, access)?;
        self.layers.push((at.to_owned(), Whose::Host));
        Ok(())
    }

    fn private(&mut self, at: &Path, bytes_max: u64) -> io::Result<()> {
        let target = self.target(at, FileType::Directory)?;
        let owner = match self.owner {
            IdsPlan::Own { .. } => String::new(),
            IdsPlan::Drop { uid, gid } => format!(",uid={uid},gid={gid}"),
        };
        let data = CString::new(format!("mode=0700,size={bytes_max},nr_inodes=1m{owner}"))?;
        mount("tmpfs", held(target.as_fd()), "tmpfs", OWN_FLAGS, Some(data.as_c_str()))?;
        self.layers.push((at.to_owned(), Whose::Ours));
        Ok(())
    }

    fn empty(&mut self, at: &Path) -> io::Result<()> {
        let target = self.target(at, FileType::Directory)?;
        let flags = OWN_FLAGS | MountFlags::RDONLY;
        let data = c"mode=0555,size=4k,nr_inodes=1";
        Ok(mount("tmpfs", held(target.as_fd()), "tmpfs", flags, Some(data))?)
    }

    fn file(&mut self, at: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let made = self.spare_file(bytes, mode)?;
        let piece = Piece::open(&made)?;
        let target = self.target(at, FileType::RegularFile)?;
        mount_bind_recursive(held(piece.fd.as_fd()), held(target.as_fd()))?;
        restrict_below(at, Access::ReadOnly)?;
        fs::remove_file(made)
    }

    fn hide(&mut self, at: &Path) -> io::Result<()> {
        let there = match look(at) {
            Ok(there) => there,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(fstat(&there)?.st_mode) {
            FileType::Directory => self.empty(at),
            _ => self.file(at, b"", UNREADABLE),
        }
    }

    /// Makes a file that has no place yet.
    fn spare_file(&mut self, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
        use std::io::Write;
        self.spare = self.spare.saturating_add(1);
        let path = inside(Path::new(SPARE)).join(self.spare.to_string());
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        if let IdsPlan::Drop { uid, gid } = self.owner {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(path)
    }

    /// Returns what to mount on at `at`, made if it is not there and may be made.
    fn target(&self, at: &Path, kind: FileType) -> io::Result<OwnedFd> {
        match look(at) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        self.make_parents(at)?;
        let path = inside(at);
        if kind == FileType::Directory {
            fs::DirBuilder::new().mode(0o755).create(path)?;
        } else {
            fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        }
        Ok(look(at)?)
    }

    /// Makes the directories above `at`, unless that would make them on the host.
    fn make_parents(&self, at: &Path) -> io::Result<()> {
        let above = self.layers.iter().filter(|(path, _)| at != path && at.starts_with(path));
        let nearest = above.max_by_key(|(path, _)| path.components().count());
        if nearest.is_some_and(|(_, whose)| *whose == Whose::Host) {
            let what = "there is nothing of that name to cover in what is shown of the host";
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let mut path = PathBuf::from(BASE);
        for name in at.parent().into_iter().flat_map(Path::components).skip(1) {
            path.push(name);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
                Err(_) => {
                    fs::DirBuilder::new().mode(0o755).create(&path)?;
                    if let IdsPlan::Drop { uid, gid } = self.owner {
                        std::os::unix::fs::chown(&path, Some(uid), Some(gid))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Mounts `/proc` of the new process namespace while the host's is still seen: the kernel asks for that.
    fn proc(&mut self) -> Result<(), Failed> {
        let at = Path::new("/proc");
        let target = self.target(at, FileType::Directory).at("making /proc")?;
        let flags = OWN_FLAGS | MountFlags::NOEXEC;
        mount("proc", held(target.as_fd()), "proc", flags, None).at("mounting /proc")?;
        for at in PROC_READ_ONLY.map(Path::new) {
            let Ok(fd) = look(at) else { continue };
            let bound = mount_bind_recursive(held(fd.as_fd()), held(fd.as_fd()));
            bound.map_err(io::Error::from).at_path("covering", at)?;
            restrict_below(at, Access::ReadOnly).at_path("covering", at)?;
        }
        for at in PROC_HIDDEN.map(Path::new) {
            self.hide(at).at_path("covering", at)?;
        }
        Ok(())
    }

    fn devices(&mut self, devices: &[(&str, Piece)]) -> Result<(), Failed> {
        for (name, piece) in devices {
            let at = Path::new("/dev").join(name);
            let target = self.target(&at, FileType::CharacterDevice).at_path("making", &at)?;
            mount_bind_recursive(held(piece.fd.as_fd()), held(target.as_fd()))
                .map_err(io::Error::from)
                .at_path("showing", &at)?;
        }
        let pts = self.target(Path::new("/dev/pts"), FileType::Directory).at("making /dev/pts")?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        let data = c"newinstance,ptmxmode=0666,mode=0620";
        mount("devpts", held(pts.as_fd()), "devpts", flags, Some(data)).at("mounting /dev/pts")?;
        for (at, target) in DEVICE_LINKS {
            symlink(target, inside(Path::new(at))).at_path("making", Path::new(at))?;
        }
        Ok(())
    }
}

// === impl Piece ===

impl Piece {
    /// Opens what a place needs of the host; nothing, if it may be missing and is.
    fn of(place: &PlacePlan) -> Result<Option<Self>, Failed> {
        let ContentPlan::Bound { source, .. } = &place.content else { return Ok(None) };
        let path = Path::new(&source.path);
        match Self::open(path) {
            Ok(piece) => piece.is(source).at_path("looking at", path).map(|()| Some(piece)),
            Err(error) if !source.demanded && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at_path("opening", path),
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let fd = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
        Ok(Self { fd, kind })
    }

    /// Demands that it is what the caller looked at.
    fn is(&self, source: &SourcePlan) -> io::Result<()> {
        let metadata = fs::metadata(held(self.fd.as_fd()))?;
        match source.identity {
            Some(identity) if identity != (metadata.dev(), metadata.ino()) => {
                Err(io::Error::other("something else has its name by now"))
            }
            _ => Ok(()),
        }
    }
}

/// Opens what the tree has at `at`, following no link.
fn look(at: &Path) -> Result<OwnedFd, Errno> {
    let base = open(BASE, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let relative = at.strip_prefix("/").unwrap_or(at);
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(&base, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Takes from every mount at or below `at` what a confined child does not get.
fn restrict_below(at: &Path, access: Access) -> io::Result<()> {
    let top = inside(at);
    for (path, kept) in mounts()? {
        if !path.starts_with(&top) {
            continue;
        }
        let mut flags = kept | MountFlags::BIND | MountFlags::NOSUID;
        if !path.starts_with(inside(Path::new("/dev"))) {
            flags |= MountFlags::NODEV;
        }
        if access == Access::ReadOnly {
            flags |= MountFlags::RDONLY;
        }
        match mount_remount(&path, flags, c"") {
            // Covered by another mount, or in a directory that the child cannot enter either.
            Ok(()) | Err(Errno::ACCESS | Errno::NOENT) => {}
            Err(error) => {
                let what = format!("`{}`: {error}", path.display());
                return Err(io::Error::new(io::Error::from(error).kind(), what));
            }
        }
    }
    Ok(())
}

/// Returns where something is mounted, and the flags that a user namespace may not take away.
fn mounts() -> io::Result<Vec<(PathBuf, MountFlags)>> {
    let table = fs::read("/proc/self/mountinfo")?;
    let lines = table.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(mount_of).collect())
}

fn mount_of(line: &[u8]) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let path = PathBuf::from(OsStr::from_bytes(&unescape(fields.nth(4)?)));
    let mut flags = MountFlags::empty();
    for word in fields.next()?.split(|byte| *byte == b',') {
        let known = KEPT.iter().find(|(name, _)| name.as_bytes() == word);
        flags |= known.map_or(MountFlags::empty(), |(_, flag)| *flag);
    }
    Some((path, flags))
}

/// Undoes how the kernel writes blanks and backslashes: as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let code = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into_vec()
}

/// Returns where `at` is while the tree is put together.
fn inside(at: &Path) -> PathBuf {
    Path::new(BASE).join(at.strip_prefix("/").unwrap_or(at))
}

/// Returns the path under which this process reaches `fd`.
fn held(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Where the tree is put together, in a mount namespace that nobody else sees.
const BASE: &str = "/tmp";
/// Where files lie until they have a place.
const SPARE: &str = "/.spare";
/// What every mount of our own has.
const OWN_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// What can neither be read nor written.
const UNREADABLE: u32 = 0;
/// Room for a build, and an end to it: it is memory.
const TMP_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What every program may expect.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
];
/// What changes the host, for whoever may write it.
const PROC_READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// What tells of the host and is of no use to a child.
const PROC_HIDDEN: [&str; 11] = [
    "/proc/acpi",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];
/// What a user namespace may not take from a mount it did not make.
const KEPT: [(&str, MountFlags); 8] = [
    ("noatime", MountFlags::NOATIME),
    ("nodev", MountFlags::NODEV),
    ("nodiratime", MountFlags::NODIRATIME),
    ("noexec", MountFlags::NOEXEC),
    ("nosuid", MountFlags::NOSUID),
    ("nosymfollow", MountFlags::from_bits_retain(256)),
    ("relatime", MountFlags::RELATIME),
    ("ro", MountFlags::RDONLY),
];
