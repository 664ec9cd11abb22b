//! Watching the freezes while something runs.
//!
//! A thread looks four times a second, and from its first look on waits for the directory to change:
//! where inotify is not to be had, or misses a change, the look is what ends the run within the second.
//! INVARIANT: a watch that cannot go on says so by its descriptor, as a freeze would.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use iddio_core::{freeze::Hold, pipeline::Leash};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
};

/// A watch over one operation in flight, which ends when it is dropped.
pub struct Watch {
    leash: Leash,
    held: Arc<OwnedFd>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

// === impl Watch ===

impl Watch {
    /// Watches `directory` for whatever holds what is on `leash`.
    ///
    /// # Errors
    ///
    /// When the system cannot watch: then nothing may be forwarded.
    pub fn start(directory: &Path, leash: Leash) -> io::Result<Self> {
        let fd = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Arc::new);
        let (held, stop) = (fd()?, fd()?);
        let directory = directory.to_owned();
        let sentry =
            Sentry { leash: leash.clone(), alarm: Alarm(held.clone()), stop: stop.clone() };
        let named = thread::Builder::new().name("iddio-freezes".to_owned());
        let thread = Some(named.spawn(move || sentry.stand(&directory))?);
        Ok(Self { leash, held, stop, thread })
    }

    /// Returns what becomes readable once the operation is held.
    pub fn held(&self) -> Arc<OwnedFd> {
        self.held.clone()
    }

    /// Returns what holds the operation now.
    pub fn hold(&self) -> Option<Hold> {
        self.leash.hold()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It is full only if it is readable already, which is all that is wanted.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // Whatever became of it, it is over.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Sentry {
    leash: Leash,
    alarm: Alarm,
    stop: Arc<OwnedFd>,
}

/// Rings when it is dropped, so that a watch that ends early, however that comes about, ends the run.
struct Alarm(Arc<OwnedFd>);

// === impl Sentry ===

impl Sentry {
    fn stand(self, directory: &Path) {
        let Self { leash, alarm, stop } = self;
        let mut changes = None;
        while leash.hold().is_none() {
            let mut sources = vec![PollFd::new(&*stop, PollFlags::IN)];
            sources.extend(changes.iter().map(|changes| PollFd::new(changes, PollFlags::IN)));
            // Interrupted or failed: looking again is right in either case.
            let _ = poll(&mut sources, Some(&LOOK));
            let stopped = sources.first().is_some_and(|stop| !stop.revents().is_empty());
            if stopped {
                // The run is over, and nobody listens any more.
                return;
            }
            // Not for a short run: giving inotify up again takes the kernel milliseconds.
            changes = changes.or_else(|| self::changes(directory));
            changes.iter().for_each(drain);
        }
        drop(alarm);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Returns what becomes readable when something in `directory` changes, where that can be had.
pub(crate) fn changes(directory: &Path) -> Option<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let flags = WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(&watch, directory, flags).ok()?;
    Some(watch)
}

/// Takes what is readable, so that the next change is news.
pub(crate) fn drain(changes: &OwnedFd) {
    let mut space = [MaybeUninit::<u8>::uninit(); 1_024];
    while let Ok((read, _)) = rustix::io::read(changes.as_fd(), &mut space) {
        if read.is_empty() {
            break;
        }
    }
}

/// How often to look in any case: four times a second.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
