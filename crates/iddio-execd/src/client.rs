//! What `iddio exec` is where a broker is: words, streams and a working tree go out, an exit code comes
//! back. It decides nothing.
//!
//! Which broker that is, the host says, or else, inside `iddio run`, the variable it set there. INVARIANT:
//! where `/etc/iddio` exists no variable is read (E06).

mod terminal;
mod visit;

use std::{
    ffi::OsString,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::{Uid, User},
};

use crate::{
    carry::CarryError,
    config::{self, Config, ConfigError},
    tree::{IGNORE, IgnoreError, TooLarge},
    wire::{Say, Token},
};

/// What a caller wants run.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The command.
    pub words: Vec<OsString>,
    /// The caller's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The agent that it says it is.
    pub agent: Option<String>,
    /// The agent's token.
    pub token: Option<Token>,
    /// What it says about the command.
    pub because: Option<OsString>,
    /// The task that it says it is for.
    pub task: Option<String>,
    /// What of the tree it declares that the command writes.
    pub outputs: Vec<OsString>,
}

/// Shows a caller what the broker says meanwhile.
pub trait Face {
    /// Shows it.
    fn show(&mut self, say: &Say);
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The broker went away. What became of the command is in its log.
    #[error("the exec broker went away before it answered: {0}")]
    Away(#[from] CarryError),
    /// There is no broker to speak to.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It cannot be told what of the tree travels.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// The tree is too large to travel, and nothing was asked.
    #[error("{large}")]
    Large {
        /// What makes it so.
        large: TooLarge,
        /// The top of the tree.
        tree: PathBuf,
    },
    /// Something of this process's own failed.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A broker that the host, or `iddio run`, names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broker {
    socket: PathBuf,
    /// Who may listen there.
    keepers: Vec<u32>,
}

/// Why a broker that is named cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It does not answer.
    #[error("the exec broker at `{}` is away: {source}", socket.display())]
    Away {
        /// Where it should be.
        socket: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What the host says cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Somebody else listens there.
    #[error("`{}` is served by uid {uid}, who is not the exec broker", socket.display())]
    Foreign {
        /// Where.
        socket: PathBuf,
        /// Who.
        uid: u32,
    },
    /// The user it runs as does not exist.
    #[error("there is no user `{0}`, whom the exec broker should run as")]
    NoUser(String),
}

// === impl VisitError ===

impl VisitError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        let Self::Large { tree, .. } = self else { return None };
        let ignore = tree.join(IGNORE);
        Some(format!(
            "name what the command does not need in {}, or start in a smaller tree: --workdir DIR",
            ignore.display()
        ))
    }
}

// === impl Broker ===

impl Broker {
    /// Returns the broker there is, if there is one.
    ///
    /// # Errors
    ///
    /// When the host names one that cannot be used.
    pub fn find() -> Result<Option<Self>, FindError> {
        let own = Path::new(RUN_SOCKET);
        if own.exists() {
            let keepers = vec![Uid::effective().as_raw(), 0];
            return Ok(Some(Self { socket: own.to_owned(), keepers }));
        }
        if let Some(config) = Config::of_host()? {
            let user = User::from_name(&config.user).ok().flatten();
            let user = user.ok_or_else(|| FindError::NoUser(config.user.clone()))?;
            return Ok(Some(Self { socket: config.socket, keepers: vec![user.uid.as_raw(), 0] }));
        }
        if std::fs::symlink_metadata(HOST).is_ok() {
            return Ok(None);
        }
        let named = std::env::var_os(RUN_SOCKET_VARIABLE).filter(|path| !path.is_empty());
        Ok(named.map(|path| Self::at(Path::new(&path), Uid::effective().as_raw())))
    }

    /// Names the broker that `keeper` serves at `socket`.
    pub fn at(socket: &Path, keeper: u32) -> Self {
        Self { socket: socket.to_owned(), keepers: vec![keeper] }
    }

    /// Connects, and makes sure of who listens.
    ///
    /// # Errors
    ///
    /// When nobody does, or somebody else.
    pub fn connect(&self) -> Result<UnixStream, FindError> {
        let away = |source| FindError::Away { socket: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).map_err(away)?;
        // Seen from another process namespace the keeper has a user and no number.
        let peer = getsockopt(&stream, PeerCredentials);
        let uid = peer.map_err(|errno| away(errno.into()))?.uid();
        match self.keepers.contains(&uid) {
            true => Ok(stream),
            false => Err(FindError::Foreign { socket: self.socket.clone(), uid }),
        }
    }

    /// Has a command run, and returns its exit code. What is said meanwhile is shown on `face`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn run(&self, wanted: Wanted, face: &mut dyn Face) -> Result<u8, VisitError> {
        visit::run(self, wanted, face)
    }
}

/// Where `iddio run` shows an agent the broker of its run. Outside of a box nobody but root makes anything
/// there, and whoever listens must be the caller or root.
pub const RUN_SOCKET: &str = "/run/iddio/run.sock";

/// Names the socket of the broker to what runs under `iddio run`. Whoever changes it speaks to somebody
/// else, who has nothing of iddio's to give.
pub const RUN_SOCKET_VARIABLE: &str = "IDDIO_RUN_SOCKET";

/// Where services are configured.
const HOST: &str = match config::PATH.split_at_checked(10) {
    Some((host, _)) => host,
    None => config::PATH,
};
