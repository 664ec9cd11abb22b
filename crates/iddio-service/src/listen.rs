//! The socket that clients find: inherited from systemd, or bound to a path.
//!
//! INVARIANT: a path is bound only in a directory that nobody else may write, and never over a socket
//! that somebody listens on.

use std::{
    io,
    net::TcpListener,
    os::{
        fd::{OwnedFd, RawFd},
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

/// Returns a socket at `path` that only our own user and root may connect to, not blocking.
///
/// # Errors
///
/// As [`listener`].
pub fn private(path: &Path) -> Result<UnixListener, ListenError> {
    let fail = io_error(path);
    let listener = bound(path)?;
    // Whoever connects before this has its mode is accepted by nobody yet, and is harmless after.
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, own).map_err(&fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// Returns the TCP socket that systemd opened, not blocking, if it opened any.
///
/// # Errors
///
/// When it opened several, or another kind.
pub fn inherited_tcp() -> Result<Option<TcpListener>, ListenError> {
    let mut given = sd_notify::listen_fds().map_err(|_| ListenError::NotOne)?;
    let (number, more) = (given.next(), given.next());
    let Some(number) = number else { return Ok(None) };
    if more.is_some() {
        return Err(ListenError::NotOne);
    }
    let fail = io_error(Path::new("the inherited socket"));
    let socket = taken(number)?;
    let listens = rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false);
    let domain = rustix::net::sockopt::socket_domain(&socket).ok();
    let inet = [rustix::net::AddressFamily::INET, rustix::net::AddressFamily::INET6];
    if !listens || !domain.is_some_and(|domain| inet.contains(&domain)) {
        return Err(ListenError::NotOne);
    }
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(Some(listener))
}

/// Takes over the one socket that systemd opened.
fn inherited() -> Result<UnixListener, ListenError> {
    let mut given = sd_notify::listen_fds().map_err(|_| ListenError::NotOne)?;
    let (Some(number), None) = (given.next(), given.next()) else {
        return Err(ListenError::NotOne);
    };
    taken(number).map(UnixListener::from)
}

/// Takes over a descriptor by asking the kernel for a copy of our own, which names it without claiming it
/// out of thin air.
fn taken(number: RawFd) -> Result<OwnedFd, ListenError> {
    let fail = io_error(Path::new("the inherited socket"));
    let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|errno| fail(errno.into()))?;
    pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).map_err(|errno| fail(errno.into()))
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
