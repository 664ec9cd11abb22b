//! The streams of a client, and what is moved between them and a command.
//!
//! A descriptor that a client hands over never reaches the command: a program of another user could open
//! it anew, through `/proc`, with rights that its caller does not have. So bytes are moved, in both
//! directions, live. INVARIANT: no descriptor of a client's can make this process wait longer than the
//! run lasts: pipes are opened anew without waiting, sockets are asked not to, and every wait ends when
//! the run does.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    sync::Arc,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fs::{FileType, Mode, OFlags, fcntl_getfl, open},
    net::{RecvFlags, SendFlags, SocketType, recv, send, sockopt::socket_type},
};

use crate::scrub::{Scrubber, Secrets};

/// A descriptor that bytes are moved from or to.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
    kind: Kind,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// Why a descriptor is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It is a directory, a device, or no more than the name of something.
    #[error("a stream is no file, pipe or socket")]
    Kind,
    /// It is open the other way only.
    #[error("a stream is not open the way it is used")]
    Way,
    /// The system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Rings when something is over.
#[derive(Clone, Debug)]
pub struct Bell(Arc<OwnedFd>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Plain,
    Socket,
}

// === impl Channel ===

impl Channel {
    /// Takes what a client handed over, if it can be a stream.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub fn of_client(fd: OwnedFd, way: Way) -> Result<Self, StreamError> {
        let flags = fcntl_getfl(&fd).map_err(io::Error::from)?;
        if flags.contains(OFlags::PATH) {
            return Err(StreamError::Kind);
        }
        let only = match way {
            Way::In => OFlags::WRONLY,
            Way::Out => OFlags::RDONLY,
        };
        if flags & OFlags::ACCMODE == only {
            return Err(StreamError::Way);
        }
        let metadata = File::from(fd.try_clone()?).metadata()?;
        match FileType::from_raw_mode(metadata.mode()) {
            FileType::Fifo => Ok(Self { fd: anew(fd, way), kind: Kind::Plain }),
            FileType::RegularFile => Ok(Self { fd, kind: Kind::Plain }),
            FileType::CharacterDevice if is_memory(metadata.rdev()) => {
                Ok(Self { fd, kind: Kind::Plain })
            }
            FileType::Socket => match socket_type(&fd).map_err(io::Error::from)? {
                SocketType::STREAM => Ok(Self { fd, kind: Kind::Socket }),
                _ => Err(StreamError::Kind),
            },
            _ => Err(StreamError::Kind),
        }
    }

    /// Takes a pipe's end or a terminal's that this process made.
    pub fn own(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, kind: Kind::Plain })
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Plain => Ok(rustix::io::read(&self.fd, buffer)?),
            Kind::Socket => Ok(recv(&self.fd, buffer, RecvFlags::DONTWAIT)?.0),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Plain => Ok(rustix::io::write(&self.fd, bytes)?),
            Kind::Socket => Ok(send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// === impl Bell ===

impl Bell {
    /// Makes one that has not rung.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Rings.
    pub fn ring(&self) {
        // It is full only if it is readable already, which is all that is wanted.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub fn hush(&self) {
        // Silent already is silent too.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Moves bytes until there are no more, the other end is gone, or `stop` rings; without `secrets`.
pub fn relay(from: &Channel, to: &Channel, secrets: Secrets, stop: &Bell) {
    let mut scrubber = Scrubber::new(secrets);
    let mut buffer = vec![0; MOVE_BYTES];
    loop {
        if wait(from.as_fd(), PollFlags::IN, stop) == Waited::Stopped {
            return;
        }
        let out = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => scrubber.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if again(&error) => continue,
            // A terminal that nobody has open any more says so by an error.
            Err(_) => break,
        };
        if put(to, &out, stop).is_err() {
            return;
        }
    }
    // The other end may be gone: then nobody misses it.
    let _ = put(to, &scrubber.finish(), stop);
}

/// Writes all of `bytes`, unless the other end is gone or `stop` rings.
///
/// # Errors
///
/// When they were not all written.
pub fn put(to: &Channel, bytes: &[u8], stop: &Bell) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        if wait(to.as_fd(), PollFlags::OUT, stop) == Waited::Stopped {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match to.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if again(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads to the end, at most `bytes_max` bytes; more than that rings `over`.
pub fn keep(from: &Channel, bytes_max: usize, over: impl FnOnce(), stop: &Bell) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; MOVE_BYTES]);
    while wait(from.as_fd(), PollFlags::IN, stop) == Waited::Ready {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => kept.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if again(&error) => {}
            Err(_) => break,
        }
        if bytes_max < kept.len() {
            kept.truncate(bytes_max);
            over();
            break;
        }
    }
    kept
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Waited {
    Ready,
    Stopped,
}

fn wait(fd: BorrowedFd<'_>, flags: PollFlags, stop: &Bell) -> Waited {
    loop {
        let mut waiting = [
            PollFd::from_borrowed_fd(fd, flags),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Waited::Stopped,
            Ok(_) => {}
        }
        let [ready, stopped] = &waiting;
        // What is there is moved first: a run that ended has said all it said.
        if !ready.revents().is_empty() {
            return Waited::Ready;
        }
        if !stopped.revents().is_empty() {
            return Waited::Stopped;
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Opens a pipe anew, without waiting: the flags of the client's own description are the client's. Where
/// that is not allowed, it is used as it is.
fn anew(fd: OwnedFd, way: Way) -> OwnedFd {
    let access = match way {
        Way::In => OFlags::RDONLY,
        Way::Out => OFlags::WRONLY,
    };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
        .unwrap_or(fd)
}

/// Whether a device is one of those that only give or take bytes: null, zero, full, random, urandom.
fn is_memory(device: u64) -> bool {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    major == 1 && matches!(minor, 3 | 5 | 7 | 8 | 9)
}

/// What is moved at once: as much as a pipe holds.
const MOVE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::{
        fs::OpenOptions,
        io::{Read, Write},
        os::unix::net::{UnixDatagram, UnixStream},
        thread,
    };

    use super::*;

    #[test]
    fn only_what_gives_or_takes_bytes_is_a_stream() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fd = |options: &OpenOptions| OwnedFd::from(options.open(file.path()).unwrap());
        let (read, write) = (fd(File::options().read(true)), fd(File::options().append(true)));
        assert!(matches!(Channel::of_client(write, Way::In), Err(StreamError::Way)));
        assert!(matches!(Channel::of_client(read, Way::Out), Err(StreamError::Way)));
        let path = open(file.path(), OFlags::PATH, Mode::empty()).unwrap();
        let directory = OwnedFd::from(File::open("/").unwrap());
        let datagram = OwnedFd::from(UnixDatagram::unbound().unwrap());
        let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        for fd in [path, directory, datagram, terminal] {
            assert!(matches!(Channel::of_client(fd, Way::In), Err(StreamError::Kind)));
        }
        let null =
            || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
        assert!(Channel::of_client(null(), Way::In).is_ok());
        assert!(Channel::of_client(UnixStream::pair().unwrap().0.into(), Way::Out).is_ok());
    }

    #[test]
    fn bytes_arrive_as_they_are_and_a_wait_ends_with_the_run() {
        let (mut source, from) = UnixStream::pair().unwrap();
        let (to, mut sink) = UnixStream::pair().unwrap();
        let from = Channel::of_client(from.into(), Way::In).unwrap();
        let to = Channel::of_client(to.into(), Way::Out).unwrap();
        let stop = Bell::new().unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (sent, bell) = (bytes.clone(), stop.clone());
        let relay = thread::spawn(move || relay(&from, &to, Secrets::default(), &bell));
        let sender = thread::spawn(move || {
            source.write_all(&sent).unwrap();
            source
        });
        let mut got = vec![0; bytes.len()];
        sink.read_exact(&mut got).unwrap();
        assert!(got == bytes);
        let _open = sender.join().unwrap();
        stop.ring();
        relay.join().unwrap();
    }
}
