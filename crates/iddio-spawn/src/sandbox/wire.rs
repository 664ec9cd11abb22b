//! What caller and stage say to each other, over a socket pair that nobody else holds.
//!
//! Each message is one datagram of JSON with the descriptors it speaks of. Both ends are the same program, so there
//! is one version and everything is strict. The plan itself, which may be long, lies in a sealed memory file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Everything the stage has to know.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) ids: IdsPlan,
    pub(super) places: Vec<PlacePlan>,
    pub(super) network: NetworkPlan,
    pub(super) processes_max: u64,
    pub(super) file_bytes_max: Option<u64>,
    pub(super) descriptors_max: u64,
    pub(super) host_name: String,
    pub(super) launch: LaunchPlan,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) directory: OsString,
    /// The numbers under which the program finds its inputs.
    pub(super) inputs: Vec<i32>,
    pub(super) streams: StreamsPlan,
    /// What new files of the program do not allow.
    pub(super) umask: u32,
}

/// Whom it runs as.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) enum IdsPlan {
    Own { uid: u32, gid: u32 },
    Drop { uid: u32, gid: u32 },
}

/// What it sees somewhere.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlacePlan {
    pub(super) at: OsString,
    pub(super) content: ContentPlan,
}

/// What there is to see.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum ContentPlan {
    Bound { source: SourcePlan, access: Access },
    Empty,
    File { bytes: Vec<u8>, mode: u32 },
    Hidden,
    Link { target: OsString },
    Private { bytes_max: u64 },
}

/// Something of the host.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourcePlan {
    pub(super) path: OsString,
    pub(super) demanded: bool,
    pub(super) identity: Option<(u64, u64)>,
}

/// What may be done with something of the host.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Access {
    ReadOnly,
    Writable,
}

/// What it reaches.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum NetworkPlan {
    Host { connect: Vec<u16> },
    Loopback { listen: Vec<u16> },
    None,
}

/// How its program is named.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum LaunchPlan {
    At { path: OsString, identity: (u64, u64), script: bool },
    Held { script: bool },
}

/// What it reads and writes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) enum StreamsPlan {
    Given,
    Terminal { rows: u16, columns: u16 },
}

/// What the caller says.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Down {
    /// With the plan; for the second stage also with the program, the streams and the inputs, in this order.
    Plan,
    /// For the program.
    Signal(i32),
}

/// What the stage says.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Up {
    /// The program ended, and how: a code or a signal.
    Ended { code: Option<u8>, signal: Option<i32> },
    /// A step failed, and nothing of the program ran.
    Failed { step: String, reason: String },
    /// The program runs. With the end of its terminal, if it has one, then its listeners.
    Ready { landlock: u32 },
}

/// Sends `message` with `descriptors`.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for a message; nothing, once the other end is closed.
pub(super) fn receive<M: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            descriptors.extend(given);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message was cut short"));
    }
    let bytes = buffer.get(..received.bytes).unwrap_or_default();
    Ok(Some((serde_json::from_slice(bytes).map_err(io::Error::other)?, descriptors)))
}

/// Reads the plan from the memory file it lies in.
pub(super) fn read_plan(file: impl AsFd) -> io::Result<Plan> {
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    let length = file.metadata()?.len().min(PLAN_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    // By offset: the one it keeps is shared with everybody who holds it.
    file.read_exact_at(&mut bytes, 0)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

/// As many as one message may carry.
pub(super) const DESCRIPTORS_MAX: usize = 250;
/// Messages are short; one that is not is no message of ours.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Arguments and environment of two megabytes, as JSON.
pub(super) const PLAN_BYTES_MAX: u64 = 16 * 1024 * 1024;
