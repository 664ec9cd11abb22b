//! The home: one directory of one Unix user, found through the user database.
//!
//! INVARIANT: the home is a directory (no link) that belongs to the effective user and that nobody
//! else may enter. `$HOME` is never read. `IDDIO_HOME` names another home only while the user's own
//! does not exist, or says `other_homes = "allow"` in its `config.toml`; where `/etc/iddio` exists
//! nothing does (threat E06).
//!
//! A home appears whole or not at all: it is made under a temporary name and renamed.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use iddio_mint::checkpoint::CheckpointKey;
use nix::unistd::{Uid, User};
use serde::Deserialize;

use crate::{
    freezes::{self, Freezes},
    store::{self, StoreError},
};

/// A home that exists and was checked.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    user: Owner,
    keeping: Keeping,
}

/// Whose a home is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keeping {
    /// One person's.
    Personal,
    /// A service's, for many callers.
    Service,
}

/// What the user database says of the effective user.
#[derive(Clone, Debug)]
struct Owner {
    name: String,
    directory: PathBuf,
}

/// A home, and whether it is new.
#[derive(Debug)]
pub enum Opened {
    /// It was there.
    Found(Home),
    /// It was made just now, with the default policy.
    Made(Home),
}

/// Why there is no home to work from.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The configuration file does not parse.
    #[error("`{}`: {reason}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It belongs to somebody else.
    #[error("`{}` belongs to uid {owner}, not to you (uid {you})", path.display())]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The effective user.
        you: u32,
    },
    /// A system call failed.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The checkpoint key could not be made.
    #[error("checkpoint key: {0}")]
    Key(String),
    /// Others may enter it.
    #[error("`{}` is open to others (mode {mode:03o})", path.display())]
    Loose {
        /// Which directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// `IDDIO_HOME` is set, and may not choose.
    #[error("IDDIO_HOME names `{}`, but {because}", named.display())]
    NotYours {
        /// What it names.
        named: PathBuf,
        /// Why it may not.
        because: String,
    },
    /// It is a file or a link.
    #[error("`{}` is not a directory", path.display())]
    NotDirectory {
        /// Which path.
        path: PathBuf,
    },
    /// The user database does not know the effective user.
    #[error("the user database does not know uid {uid}")]
    NoUser {
        /// The effective user.
        uid: u32,
    },
    /// A file in it could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user of the host.
#[derive(Clone, Debug)]
pub struct UnixUser {
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its home.
    pub directory: PathBuf,
}

/// Returns what the user database says of the user called `name`.
pub fn unix_user(name: &str) -> Option<UnixUser> {
    let user = User::from_name(name).ok().flatten()?;
    Some(UnixUser { uid: user.uid.as_raw(), gid: user.gid.as_raw(), directory: user.dir })
}

// === impl Home ===

impl Home {
    /// Opens the home, making it on first use.
    ///
    /// `named` is the value of `IDDIO_HOME`.
    ///
    /// # Errors
    ///
    /// When there is no home to be had, or it is not safe to use.
    pub fn open_or_make(named: Option<&OsStr>) -> Result<Opened, HomeError> {
        let (root, user) = locate(named)?;
        match fs::symlink_metadata(&root) {
            Ok(_) => Self::check(root, user).map(Opened::Found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(root, user),
            Err(source) => Err(HomeError::Io { path: root, source }),
        }
    }

    /// Opens the home, or returns `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// When it is not safe to use.
    pub fn open(named: Option<&OsStr>) -> Result<Option<Self>, HomeError> {
        let (root, user) = locate(named)?;
        match fs::symlink_metadata(&root) {
            Ok(_) => Self::check(root, user).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { path: root, source }),
        }
    }

    /// Opens the home of a service of this process's own user, making it on first use.
    ///
    /// # Errors
    ///
    /// When it is somebody else's, open to others, or cannot be made.
    pub fn service(root: &Path) -> Result<Self, HomeError> {
        let uid = Uid::effective();
        let user = User::from_uid(uid).ok().flatten();
        let user = user.ok_or(HomeError::NoUser { uid: uid.as_raw() })?;
        let user = Owner { name: user.name, directory: user.dir };
        let opened = match fs::symlink_metadata(root) {
            Ok(_) => Self::check(root.to_owned(), user)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(root.to_owned(), user)?.home().clone()
            }
            Err(source) => return Err(HomeError::Io { path: root.to_owned(), source }),
        };
        Ok(Self { keeping: Keeping::Service, ..opened })
    }

    /// Whose it is.
    pub fn keeping(&self) -> Keeping {
        self.keeping
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The Unix user it belongs to.
    pub fn user(&self) -> &str {
        &self.user.name
    }

    /// The home directory that the user database names for them.
    pub fn user_directory(&self) -> &Path {
        &self.user.directory
    }

    /// The audit log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The checkpoint key.
    pub fn checkpoint_key(&self) -> PathBuf {
        self.root.join("keys/checkpoint")
    }

    /// The store of agents.
    pub fn agents(&self) -> PathBuf {
        self.root.join("agents.json")
    }

    /// What belongs to one agent: its token and its kubeconfig.
    pub fn agent(&self, name: &str) -> PathBuf {
        self.root.join("agents").join(name)
    }

    /// The authority of the home, and its gateway's certificate.
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The store of pinned and trusted programs.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools.json")
    }

    /// The catalogs that somebody added to the built-in ones.
    pub fn catalogs(&self) -> PathBuf {
        self.root.join("catalogs")
    }

    /// Who is frozen.
    pub fn freezes(&self) -> PathBuf {
        self.root.join(freezes::DIRECTORY)
    }

    /// The recordings.
    pub fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }

    /// Where runs keep their snapshots.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The policy file that exists: `policy.yaml`, else `policy.toml`.
    pub fn policy(&self) -> PathBuf {
        let toml = self.root.join("policy.toml");
        let yaml = self.root.join("policy.yaml");
        if !yaml.exists() && toml.exists() { toml } else { yaml }
    }

    fn check(root: PathBuf, user: Owner) -> Result<Self, HomeError> {
        let io = |source| HomeError::Io { path: root.clone(), source };
        let metadata = fs::symlink_metadata(&root).map_err(io)?;
        let (you, mode) = (Uid::effective().as_raw(), metadata.mode() & 0o777);
        if !metadata.is_dir() {
            return Err(HomeError::NotDirectory { path: root });
        }
        if metadata.uid() != you {
            return Err(HomeError::Foreign { path: root, owner: metadata.uid(), you });
        }
        if mode & 0o077 != 0 {
            return Err(HomeError::Loose { path: root, mode });
        }
        Ok(Self { root, user, keeping: Keeping::Personal })
    }
}

// === impl Opened ===

impl Opened {
    /// Returns the home, new or not.
    pub fn home(&self) -> &Home {
        match self {
            Self::Found(home) | Self::Made(home) => home,
        }
    }
}

// === impl HomeError ===

impl HomeError {
    /// Returns what to do about it, as a sentence or a command.
    pub fn hint(&self) -> String {
        match self {
            Self::Config { path, .. } => format!("mend or remove {}", path.display()),
            Self::Foreign { path, .. } => {
                format!("run as its owner, or move {} away", path.display())
            }
            Self::Io { path, .. } => format!("look at {}", path.display()),
            Self::Key(_) | Self::Store(_) => "free some space or mend the permissions".to_owned(),
            Self::Loose { path, .. } => format!("chmod 700 {}", path.display()),
            Self::NotYours { .. } => {
                "unset IDDIO_HOME, or allow it there: other_homes = \"allow\" in config.toml"
                    .to_owned()
            }
            Self::NotDirectory { path } => format!("move {} away", path.display()),
            Self::NoUser { .. } => "run as a user that the user database knows".to_owned(),
        }
    }
}

/// `config.toml` of a home.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    other_homes: OtherHomes,
}

/// Whether `IDDIO_HOME` may name another home than the user's own.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OtherHomes {
    Allow,
    #[default]
    Refuse,
}

/// Returns where the home is, and whose.
fn locate(named: Option<&OsStr>) -> Result<(PathBuf, Owner), HomeError> {
    let uid = Uid::effective();
    let user = User::from_uid(uid).ok().flatten();
    let user = user.ok_or(HomeError::NoUser { uid: uid.as_raw() })?;
    let own = user.dir.join(HOME_NAME);
    let user = Owner { name: user.name, directory: user.dir };
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        return Ok((own, user));
    };
    let named = PathBuf::from(named);
    match refusal(&named, &own)? {
        None => Ok((named, user)),
        Some(because) => Err(HomeError::NotYours { named, because }),
    }
}

/// Returns why `named` may not stand for `own`, if it may not.
fn refusal(named: &Path, own: &Path) -> Result<Option<String>, HomeError> {
    if named == own {
        return Ok(None);
    }
    if !named.is_absolute() {
        return Ok(Some("it is not an absolute path".to_owned()));
    }
    if fs::symlink_metadata(SYSTEM_CONFIGURATION).is_ok() {
        return Ok(Some(format!("{SYSTEM_CONFIGURATION} exists")));
    }
    match fs::symlink_metadata(own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(_) | Err(_) => Ok(match config(own)?.other_homes {
            OtherHomes::Allow => None,
            OtherHomes::Refuse => Some(format!("your own home {} exists", own.display())),
        }),
    }
}

fn config(root: &Path) -> Result<Config, HomeError> {
    let path = root.join("config.toml");
    let Some(bytes) = store::read_bytes(&path)? else { return Ok(Config::default()) };
    let wrong = |reason| HomeError::Config { path: path.clone(), reason };
    let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8".to_owned()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Makes a home under a temporary name and moves it into place. Where another process was faster,
/// its home is used and ours removed.
fn make(root: PathBuf, user: Owner) -> Result<Opened, HomeError> {
    let mut name = OsString::from(&root);
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| HomeError::Io { path, source }
    };
    fs::DirBuilder::new().mode(0o700).create(&new).map_err(io(&new))?;
    let furnished = furnish(&new, &user.name);
    let moved = furnished.and_then(|()| match fs::rename(&new, &root) {
        Ok(()) => {
            let (root, user) = (root.clone(), user.clone());
            Ok(Opened::Made(Home { root, user, keeping: Keeping::Personal }))
        }
        Err(_) if root.is_dir() => Home::check(root.clone(), user).map(Opened::Found),
        Err(source) => Err(HomeError::Io { path: root.clone(), source }),
    });
    if !matches!(moved, Ok(Opened::Made(_))) {
        // Best effort: what is left is a directory with a new key and no log.
        let _ = fs::remove_dir_all(&new);
    }
    moved
}

fn furnish(new: &Path, user: &str) -> Result<(), HomeError> {
    for directory in ["agents", "keys", "log", "runs"] {
        let path = new.join(directory);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| HomeError::Io { path, source })?;
    }
    CheckpointKey::create(&new.join("keys/checkpoint"))
        .map_err(|error| HomeError::Key(error.to_string()))?;
    Freezes::furnish(new)?;
    let policy = iddio_policy::default_policy(user);
    store::write_bytes(&new.join("policy.yaml"), policy.as_bytes())?;
    Ok(())
}

/// The name of the home in the user's home directory.
const HOME_NAME: &str = ".iddio";

/// Where services are configured. Where it exists, nobody chooses a home.
const SYSTEM_CONFIGURATION: &str = "/etc/iddio";
