//! Waiting for the queue to change.
//!
//! The queue's file is watched with inotify, so an answer wakes its asker within milliseconds and
//! an idle asker costs nothing. Every quarter of a second the asker looks up all the same: at a
//! flag that a signal handler may have set, and at the clock, since poll's own timeout does not
//! count the time a machine is suspended (E27). Where inotify is not to be had, that look is all
//! there is.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

/// Tells waiting asks that their asker goes away. Clones tell the same ones.
#[derive(Clone, Debug)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
}

/// Wakes whoever waits for a queue.
pub(crate) struct Bell {
    watch: Option<OwnedFd>,
    cancels: Vec<Cancel>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rung {
    /// The asker goes away.
    Cancelled,
    /// The file changed, or it is time to look again.
    Changed,
}

// === impl Cancel ===

impl Cancel {
    /// Makes one that is not cancelled.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { flag: Arc::default(), wake: Arc::new(wake) })
    }

    /// Withdraws every ask that waits with this, now and from now on.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
        // It is full only if it is readable already, which is all that is wanted.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Returns the flag itself, which a signal handler may set; it is seen within 250 ms.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    /// Returns what becomes readable when this is cancelled.
    pub(crate) fn source(&self) -> PollFd<'_> {
        PollFd::new(&*self.wake, PollFlags::IN)
    }

    pub(crate) fn is_set(&self) -> Rung {
        match self.flag.load(Ordering::Acquire) {
            true => Rung::Cancelled,
            false => Rung::Changed,
        }
    }
}

// === impl Bell ===

impl Bell {
    /// Watches `file`.
    pub(crate) fn new(file: &Path) -> io::Result<Self> {
        let watch = || {
            let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&watch, file, WatchFlags::MODIFY)?;
            Ok::<_, Errno>(watch)
        };
        match watch() {
            Ok(watch) => Ok(Self { watch: Some(watch), cancels: Vec::new() }),
            // Too many watches, or a kernel without them.
            Err(Errno::MFILE | Errno::NOSPC | Errno::NOSYS) => {
                Ok(Self { watch: None, cancels: Vec::new() })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Also ends waits when `cancel` says so.
    #[must_use]
    pub(crate) fn with(mut self, cancel: &Cancel) -> Self {
        self.cancels.push(cancel.clone());
        self
    }

    /// Waits for a change, a cancellation, `millis`, or a quarter of a second.
    pub(crate) fn wait(&self, millis: u64) -> Rung {
        if self.cancels.iter().any(|cancel| cancel.is_set() == Rung::Cancelled) {
            return Rung::Cancelled;
        }
        let mut sources: Vec<_> =
            self.cancels.iter().map(|cancel| PollFd::new(&*cancel.wake, PollFlags::IN)).collect();
        sources.extend(self.watch.iter().map(|watch| PollFd::new(watch, PollFlags::IN)));
        let millis = i64::try_from(millis.min(LOOK_MILLIS)).unwrap_or(0);
        let timeout = Timespec { tv_sec: 0, tv_nsec: millis * 1_000_000 };
        // Interrupted or failed: looking again is right in either case.
        let _ = poll(&mut sources, Some(&timeout));
        self.drain();
        match self.cancels.iter().any(|cancel| cancel.is_set() == Rung::Cancelled) {
            true => Rung::Cancelled,
            false => Rung::Changed,
        }
    }

    /// Forgets the changes so far; the caller looks at the file itself.
    fn drain(&self) {
        let Some(watch) = &self.watch else { return };
        let mut space = [MaybeUninit::<u8>::uninit(); 1_024];
        while let Ok((read, _)) = rustix::io::read(watch.as_fd(), &mut space) {
            if read.is_empty() {
                break;
            }
        }
    }
}

/// How often to look in any case. Four looks a second cost next to nothing.
const LOOK_MILLIS: u64 = 250;
