//! The socket that clients find: inherited from systemd, or bound to a path.
//!
//! INVARIANT: a path is bound only in a directory that nobody else may write, and never over a socket
//! that somebody listens on.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// There is no socket to serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Others could put a socket of their own there.
    #[error("others could put a socket of their own in the place of `{}`", .0.display())]
    Exposed(PathBuf),
    /// The system will not.
    #[error("`{}`: {source}", place.display())]
    Io {
        /// Where.
        place: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// systemd handed over none, or several.
    #[error("systemd did not hand over exactly one socket, and there is no --socket")]
    NotOne,
    /// Another process serves there.
    #[error("somebody serves `{}` already", .0.display())]
    Taken(PathBuf),
}

/// Returns the socket to serve, not blocking: the one at `path`, or the one that systemd opened.
///
/// # Errors
///
/// When there is none, or others could replace it.
pub fn listener(path: Option<&Path>) -> Result<UnixListener, ListenError> {
    let listener = match path {
        Some(path) => bound(path)?,
        None => inherited()?,
    };
    let inherited = Path::new("the inherited socket");
    listener.set_nonblocking(true).map_err(io_error(path.unwrap_or(inherited)))?;
    Ok(listener)
}

/// Takes over the one socket that systemd opened. It is taken by asking the kernel for a copy of our
/// own descriptor, which names it without claiming it out of thin air.
fn inherited() -> Result<UnixListener, ListenError> {
    let fail = io_error(Path::new("the inherited socket"));
    let mut given = sd_notify::listen_fds().map_err(|_| ListenError::NotOne)?;
    let (Some(number), None) = (given.next(), given.next()) else {
        return Err(ListenError::NotOne);
    };
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|errno| fail(errno.into()))?;
    let socket: OwnedFd =
        pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).map_err(|errno| fail(errno.into()))?;
    Ok(UnixListener::from(socket))
}

fn bound(path: &Path) -> Result<UnixListener, ListenError> {
    let exposed = || ListenError::Exposed(path.to_owned());
    let fail = io_error(path);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.ok_or_else(exposed)?;
    let metadata = std::fs::symlink_metadata(parent).map_err(&fail)?;
    let own = rustix::process::geteuid().as_raw();
    let ours = metadata.is_dir() && (metadata.uid() == own || metadata.uid() == 0);
    if !ours || metadata.mode() & 0o022 != 0 {
        return Err(exposed());
    }
    if std::fs::symlink_metadata(path).is_ok() {
        if UnixStream::connect(path).is_ok() {
            return Err(ListenError::Taken(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(&fail)?;
    }
    let listener = UnixListener::bind(path).map_err(&fail)?;
    // Who may connect is everybody; who may say what is decided by who they are.
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, everybody).map_err(&fail)?;
    Ok(listener)
}

fn io_error(place: &Path) -> impl Fn(io::Error) -> ListenError + use<> {
    let place = place.to_owned();
    move |source| ListenError::Io { place: place.clone(), source }
}
