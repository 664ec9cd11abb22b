//! What a confined child may see, reach and use, as values that can be read before they are used.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The whole of what a confined child may see, reach and use.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Whom it runs as.
    pub ids: Ids,
    /// Everything it sees of the host's files, and what else it sees. A later place covers an earlier one. `/proc`,
    /// `/dev` and a private `/tmp` are always there, and nothing else that is not named.
    pub places: Vec<Place>,
    /// What it reaches.
    pub network: Network,
    /// What it may use up.
    pub resources: Resources,
    /// What it takes the host to be called.
    pub host_name: String,
}

/// Whom a confined child runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// As the user and group of this process, inside a user namespace in which nobody else exists. Not for root: a
    /// confined root would still own root's files.
    Own,
    /// As this user and group, without any other group. Only root can, and neither of them may be root.
    Drop {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// Something that a confined child sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it sees it: a full path without `.` and `..`.
    pub at: PathBuf,
    /// What it sees there.
    pub content: Content,
}

/// What there is to see at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An empty directory that takes nothing.
    Empty,
    /// A file that holds this, and takes nothing.
    File {
        /// What it holds.
        bytes: Vec<u8>,
        /// Whether it can be executed: its permission bits, such as `0o555`.
        mode: u32,
    },
    /// Nothing: what an earlier place would show here is covered, a directory by an empty one, a file by one that
    /// cannot be read. Where there is nothing to cover, nothing happens.
    Hidden,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: PathBuf,
    },
    /// A directory of its own that holds nothing at first and is gone at the end.
    Private {
        /// The most it may hold.
        bytes_max: u64,
    },
    /// What the host has at a path, to read and execute.
    ReadOnly(Source),
    /// What the host has at a path, to read, execute and write.
    Writable(Source),
}

/// A file or directory of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub(crate) path: PathBuf,
    pub(crate) presence: Presence,
    /// Device and inode, where it was looked at.
    pub(crate) identity: Option<(u64, u64)>,
}

/// Whether a source must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Without it nothing starts.
    Demanded,
    /// Without it the place is left out.
    Optional,
}

/// What a confined child reaches. Abstract sockets and the loopback of the host are never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nothing, not even a loopback of its own.
    None,
    /// A loopback of its own, with a listener of ours on each of these ports of 127.0.0.1. The listeners are handed
    /// to the caller ([`Confined::take_listeners`](super::Confined::take_listeners)), who answers on them from
    /// outside: whatever the child reaches, it reaches because the caller connected it.
    Loopback {
        /// The ports.
        listen: Vec<u16>,
    },
    /// The host's own network, metadata addresses and the loopback of the host included. TCP goes to these ports
    /// only, where the kernel can see to that (Landlock from Linux 6.7 on); where it cannot, nothing starts.
    DangerousHost {
        /// The ports that it may connect to.
        connect: Vec<u16>,
    },
}

/// What a confined child may use up. Core dumps are never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The most processes and threads at once.
    pub processes_max: u64,
    /// The most memory of all of them together, where a control group can be made for them.
    pub memory_bytes_max: Option<u64>,
    /// The most that one file may hold.
    pub file_bytes_max: Option<u64>,
    /// The most open descriptors of one process.
    pub descriptors_max: u64,
}

// === impl Place ===

impl Place {
    /// Shows the host's `path` under its own name, to read and execute.
    pub fn read_only(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { at: path.clone(), content: Content::ReadOnly(Source::demanded(path)) }
    }

    /// Shows the host's `path` under its own name, to read, execute and write.
    pub fn writable(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { at: path.clone(), content: Content::Writable(Source::demanded(path)) }
    }

    /// Shows `content` at `at`.
    pub fn new(at: impl Into<PathBuf>, content: Content) -> Self {
        Self { at: at.into(), content }
    }
}

// === impl Source ===

impl Source {
    /// Names what must be there. A symbolic link is followed.
    pub fn demanded(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), presence: Presence::Demanded, identity: None }
    }

    /// Names what may be missing. A symbolic link is followed.
    pub fn optional(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), presence: Presence::Optional, identity: None }
    }

    /// Names what is there now and looks at it: if something else has its name by the time it is used, nothing
    /// starts.
    pub fn pinned(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let metadata = fs::metadata(&path)?;
        let identity = Some((metadata.dev(), metadata.ino()));
        Ok(Self { path, presence: Presence::Demanded, identity })
    }

    /// Where it is on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it must be there.
    pub fn presence(&self) -> Presence {
        self.presence
    }
}

// === impl Resources ===

impl Resources {
    /// Enough for a compiler, and less than a fork bomb wants.
    pub fn usual() -> Self {
        Self {
            processes_max: PROCESSES_MAX,
            memory_bytes_max: None,
            file_bytes_max: None,
            descriptors_max: DESCRIPTORS_MAX,
        }
    }
}

/// Returns the places where a system keeps its programs, libraries and settings, to read and execute; without
/// iddio's own.
pub fn system_places() -> Vec<Place> {
    let mut places = Vec::new();
    for path in SYSTEM_DIRECTORIES.iter().map(Path::new) {
        let content = match fs::read_link(path) {
            Ok(target) => Content::Link { target },
            Err(_) => Content::ReadOnly(Source::optional(path)),
        };
        places.push(Place::new(path, content));
    }
    places.push(Place::new("/etc/iddio", Content::Hidden));
    let cpus = "/sys/devices/system/cpu";
    places.push(Place::new(cpus, Content::ReadOnly(Source::optional(cpus))));
    places
}

/// Where systems keep their programs, libraries and settings.
pub const SYSTEM_DIRECTORIES: [&str; 11] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/gnu",
];

/// A parallel build takes hundreds.
const PROCESSES_MAX: u64 = 4096;
/// As many as most programs expect to be able to ask for.
const DESCRIPTORS_MAX: u64 = 65_536;

/// What a name that could leave the tree looks like is refused when a sandbox is started.
pub(crate) fn is_plain(path: &Path) -> bool {
    use std::path::Component;
    let mut components = path.components();
    let rooted = matches!(components.next(), Some(Component::RootDir));
    rooted
        && components.all(|component| matches!(component, Component::Normal(_)))
        && !OsString::from(path).as_encoded_bytes().contains(&0)
}
