//! The socket that clients find: inherited from systemd, or bound to a path.
//!
//! INVARIANT: a path is bound only in a directory that nobody else may write, and never over a socket
//! that somebody listens on.

use std::{
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
};

use anyhow::{Context, Result, bail};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Returns the socket to serve.
pub(crate) fn listener(path: Option<&Path>) -> Result<UnixListener> {
    let listener = match path {
        Some(path) => bound(path)?,
        None => inherited()?,
    };
    listener.set_nonblocking(true).context("the socket")?;
    Ok(listener)
}

/// Takes over the one socket that systemd opened. It is taken by asking the kernel for a copy of our
/// own descriptor, which names it without claiming it out of thin air.
fn inherited() -> Result<UnixListener> {
    let mut given = sd_notify::listen_fds().context("inherited sockets")?;
    let (Some(number), None) = (given.next(), given.next()) else {
        bail!("systemd did not hand over exactly one socket, and there is no --socket");
    };
    let own = pidfd_open(getpid(), PidfdFlags::empty()).context("this process")?;
    let socket: OwnedFd =
        pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).context("the inherited socket")?;
    Ok(UnixListener::from(socket))
}

fn bound(path: &Path) -> Result<UnixListener> {
    let name = path.display();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.with_context(|| format!("`{name}` has no directory"))?;
    let metadata = std::fs::symlink_metadata(parent).with_context(|| format!("`{name}`"))?;
    let own = rustix::process::geteuid().as_raw();
    let ours = metadata.is_dir() && (metadata.uid() == own || metadata.uid() == 0);
    if !ours || metadata.mode() & 0o022 != 0 {
        bail!("others could put a socket of their own in the place of `{name}`");
    }
    if std::fs::symlink_metadata(path).is_ok() {
        if UnixStream::connect(path).is_ok() {
            bail!("somebody serves `{name}` already");
        }
        std::fs::remove_file(path).with_context(|| format!("`{name}`"))?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("`{name}`"))?;
    // Who may connect is everybody; who may say what is decided by who they are.
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, everybody).with_context(|| format!("`{name}`"))?;
    Ok(listener)
}
