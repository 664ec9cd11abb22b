//! Frames over a Unix socket, with the descriptors that are attached to them.
//!
//! INVARIANT: what arrives is bounded before it is read: a frame in length, its descriptors in number.
//! A descriptor that nobody expects ends the conversation; none is ever kept by accident, and none
//! survives an exec.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use zeroize::Zeroizing;

use crate::wire::{FRAME_BYTES_MAX, LENGTH_BYTES, WireError};

/// A frame and what was attached to it.
#[derive(Debug)]
pub struct Received {
    /// Its body.
    pub body: Zeroizing<Vec<u8>>,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The other side closed its end.
    #[error("the other side went away")]
    Closed,
    /// It attached more or fewer descriptors than it may.
    #[error("descriptors were attached that nobody expects")]
    Descriptors,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It began a frame and did not go on.
    #[error("the other side stopped in the middle of what it said")]
    Late,
    /// What came is no frame.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Sends a whole frame with `descriptors` attached to its first byte, waiting no longer than
/// [`FRAME_TIME_MAX`] for the other side to take it.
///
/// # Errors
///
/// When the other side is gone, does not take it, or the socket fails.
pub fn send(
    socket: &UnixStream,
    frame: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), CarryError> {
    let until = Instant::now().checked_add(FRAME_TIME_MAX);
    let (mut rest, mut attached) = (frame, descriptors);
    while !rest.is_empty() {
        let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !attached.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(attached)) {
            return Err(CarryError::Descriptors);
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(socket, &[IoSlice::new(rest)], &mut ancillary, flags) {
            Ok(count) => {
                rest = rest.get(count..).unwrap_or_default();
                attached = &[];
            }
            Err(rustix::io::Errno::AGAIN) => ready(socket, PollFlags::OUT, until)?,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {
                return Err(CarryError::Closed);
            }
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(())
}

/// Receives one frame with at most `descriptors_max` descriptors. It waits as long as it takes for the
/// frame to begin, and no longer than [`FRAME_TIME_MAX`] for the rest of it.
///
/// # Errors
///
/// When the other side is gone, says what is no frame, or stops within one.
pub fn receive(socket: &UnixStream, descriptors_max: usize) -> Result<Received, CarryError> {
    receive_until(socket, descriptors_max, None)
}

/// Receives one frame that must have begun by `until`.
///
/// # Errors
///
/// As [`receive`], and when nothing has come by then.
pub fn receive_until(
    socket: &UnixStream,
    descriptors_max: usize,
    until: Option<Instant>,
) -> Result<Received, CarryError> {
    let mut reader = Reader { socket, descriptors: Vec::new(), until };
    let mut length = [0; LENGTH_BYTES];
    reader.fill(&mut length)?;
    let length = u32::from_be_bytes(length);
    if FRAME_BYTES_MAX < length {
        return Err(WireError::Long.into());
    }
    let length = usize::try_from(length).map_err(|_| WireError::Long)?;
    let mut body = Zeroizing::new(vec![0; length]);
    reader.fill(&mut body)?;
    if descriptors_max < reader.descriptors.len() {
        return Err(CarryError::Descriptors);
    }
    Ok(Received { body, descriptors: reader.descriptors })
}

/// A frame on its way in.
struct Reader<'a> {
    socket: &'a UnixStream,
    descriptors: Vec<OwnedFd>,
    /// Set once it has begun, at the latest.
    until: Option<Instant>,
}

// === impl Reader ===

impl Reader<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), CarryError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.some(rest)? {
                0 => return Err(CarryError::Closed),
                count => filled = filled.saturating_add(count),
            }
            if self.until.is_none() {
                self.until = Instant::now().checked_add(FRAME_TIME_MAX);
            }
        }
        Ok(())
    }

    /// Takes what is there, waiting for the first of it.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, CarryError> {
        loop {
            let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let received =
                recvmsg(self.socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags);
            let received = match received {
                Ok(received) => received,
                Err(rustix::io::Errno::AGAIN) => {
                    ready(self.socket, PollFlags::IN, self.until)?;
                    continue;
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::CONNRESET) => return Err(CarryError::Closed),
                Err(error) => return Err(io::Error::from(error).into()),
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            // Cut short: there were more than anybody may attach.
            if received.flags.contains(ReturnFlags::CTRUNC)
                || DESCRIPTORS_MAX < self.descriptors.len()
            {
                return Err(CarryError::Descriptors);
            }
            return Ok(received.bytes);
        }
    }
}

/// Waits for the socket.
fn ready(socket: &UnixStream, flags: PollFlags, until: Option<Instant>) -> Result<(), CarryError> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = match left {
        Some(Duration::ZERO) => return Err(CarryError::Late),
        left => left.and_then(|left| Timespec::try_from(left).ok()),
    };
    let mut waiting = [PollFd::from_borrowed_fd(socket.as_fd(), flags)];
    match poll(&mut waiting, left.as_ref()) {
        Ok(0) => Err(CarryError::Late),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

/// How long a frame that has begun may take, and how long the other side may take to hear one: whoever
/// is slower than this is not there.
pub const FRAME_TIME_MAX: Duration = Duration::from_secs(10);

/// The most descriptors of one frame: a directory, three streams, a tree.
pub const DESCRIPTORS_MAX: usize = 8;

/// Room for them, and for what the kernel puts around them.
const ANCILLARY_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, thread};

    use super::*;
    use crate::wire::Say;

    #[test]
    fn a_frame_arrives_whole_with_what_is_attached() {
        let (here, there) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let frame = Say::Remark("x".repeat(1 << 20)).frame().unwrap();
        let sent = frame.clone();
        let sender = thread::spawn(move || send(&here, &sent, &[file.as_fd(), file.as_fd()]));
        let Received { body, descriptors } = receive(&there, 2).unwrap();
        assert_eq!(body[..], frame[LENGTH_BYTES..]);
        assert_eq!(descriptors.len(), 2);
        sender.join().unwrap().unwrap();
        assert!(matches!(receive(&there, 0), Err(CarryError::Closed)));
    }

    #[test]
    fn more_descriptors_than_expected_end_the_conversation() {
        let file = File::open("/dev/null").unwrap();
        for (count, max) in [(1, 0), (6, 5), (DESCRIPTORS_MAX, 1)] {
            let (here, there) = UnixStream::pair().unwrap();
            let attached = vec![file.as_fd(); count];
            send(&here, &Say::Back.frame().unwrap(), &attached).unwrap();
            assert!(matches!(receive(&there, max), Err(CarryError::Descriptors)), "{count}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(matches!(receive(&there, 0), Err(CarryError::Wire(WireError::Long))));
    }

    #[test]
    fn half_a_frame_and_an_end_is_an_end() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[0, 0, 0, 9, 3]).unwrap();
        drop(here);
        assert!(matches!(receive(&there, 0), Err(CarryError::Closed)));
    }

    #[test]
    fn whoever_says_nothing_in_time_is_late() {
        let (_here, there) = UnixStream::pair().unwrap();
        let late = receive_until(&there, 0, Some(Instant::now()));
        assert!(matches!(late, Err(CarryError::Late)));
    }
}
