//! Who is at the other end of a socket, as the kernel has it.
//!
//! INVARIANT: user and process are those of the connection's maker at that time. Where the kernel
//! knows how (6.5 and later), the process is held by a descriptor while its start time is read, so its
//! number cannot have become somebody else's in between.

use std::{fs, os::unix::fs::MetadataExt, os::unix::net::UnixStream};

use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::sockopt::socket_peercred,
};

/// The maker of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its process.
    pub pid: i32,
    /// When that started, in clock ticks since the boot.
    pub started: u64,
}

/// Nobody can tell who it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The process ended.
    #[error("process {0} is gone")]
    Gone(i32),
    /// The number is another user's process by now.
    #[error("process {pid} is not of uid {uid}")]
    Other {
        /// Which process.
        pid: i32,
        /// Whose it was.
        uid: u32,
    },
    /// The kernel will not say.
    #[error("the kernel does not name the peer: {0}")]
    Unnamed(Errno),
}

// === impl Peer ===

impl Peer {
    /// Asks the kernel who made the connection.
    ///
    /// # Errors
    ///
    /// When that process is gone.
    pub fn of(stream: &UnixStream) -> Result<Self, PeerError> {
        let who = socket_peercred(stream).map_err(PeerError::Unnamed)?;
        let (uid, gid) = (who.uid.as_raw(), who.gid.as_raw());
        let pid = who.pid.as_raw_nonzero().get();
        // Older kernels have no such option, and the checks below are what there is.
        let held = getsockopt(stream, PeerPidfd).ok();
        let started = started(pid).ok_or(PeerError::Gone(pid))?;
        // A process that took the number of one that ended belongs to somebody, perhaps somebody else.
        let owner = fs::metadata(format!("/proc/{pid}")).map(|process| process.uid());
        if !owner.is_ok_and(|owner| owner == uid || owner == 0) {
            return Err(PeerError::Other { pid, uid });
        }
        if let Some(held) = held {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            // A descriptor of a process becomes readable when that has ended.
            let ended = poll(&mut [PollFd::new(&held, PollFlags::IN)], Some(&now));
            if ended.map_err(PeerError::Unnamed)? != 0 {
                return Err(PeerError::Gone(pid));
            }
        }
        Ok(Self { uid, gid, pid, started })
    }
}

/// Returns when the process `pid` started, in ticks since the boot, if it lives. One that has ended and
/// was not waited for does not.
pub fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold spaces and parentheses; what follows the last one does not.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(START_TIME_FIELD)?.parse().ok()
}

/// The start time among the fields of `/proc/PID/stat` that follow the state.
const START_TIME_FIELD: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_of_a_connection_is_who_the_kernel_says() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!((peer.uid, peer.pid), (rustix::process::geteuid().as_raw(), own));
        assert_eq!(Some(peer.started), started(own));
    }
}
