//! Locks between processes, with an end to the waiting.
//!
//! `flock` has no timeout, so it is tried again: at first at once, since a holder lets go within
//! microseconds, then after ever longer naps. Whoever waits longer than [`LOCK_WAIT`] gives up, and
//! what it wanted to record is refused (E09).

use std::{
    os::fd::{AsFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// A held lock. Dropping it lets go.
#[must_use]
pub(crate) struct Held<'a>(&'a OwnedFd);

/// Why a lock is not held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LockError {
    /// Somebody else held it all the time.
    Busy,
    /// The system says no.
    Io(Errno),
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Closing the file lets go as well, so a failure here cannot leave it held for long.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Waits for the lock on `file`, at most `wait`.
pub(crate) fn hold(file: &OwnedFd, wait: Duration) -> Result<Held<'_>, LockError> {
    let held = hold_unless(file, wait, || Ok(Needless::No))?;
    held.ok_or(LockError::Busy)
}

/// Whether a lock that is waited for is still wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Needless {
    No,
    Yes,
}

/// Waits for the lock on `file`, at most `wait`; returns `None` as soon as it is `needless`.
pub(crate) fn hold_unless(
    file: &OwnedFd,
    wait: Duration,
    needless: impl Fn() -> Result<Needless, Errno>,
) -> Result<Option<Held<'_>>, LockError> {
    let mut began = None;
    let mut nap = NAP_MIN;
    for turn in 0_u32.. {
        if needless().map_err(LockError::Io)? == Needless::Yes {
            return Ok(None);
        }
        match try_hold(file) {
            Ok(true) => return Ok(Some(Held(file))),
            Ok(false) => {}
            Err(errno) => return Err(LockError::Io(errno)),
        }
        if turn < TURNS_AWAKE {
            thread::yield_now();
            continue;
        }
        if wait <= began.get_or_insert_with(Instant::now).elapsed() {
            break;
        }
        thread::sleep(nap);
        nap = (nap * 2).min(NAP_MAX);
    }
    Err(LockError::Busy)
}

/// Takes the lock if nobody holds it, and keeps it until `file` is closed.
pub(crate) fn try_hold(file: impl AsFd) -> Result<bool, Errno> {
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// How long an append waits for a lock before it is refused: longer than any honest holder takes,
/// shorter than a caller's patience.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How often a lock is tried before the first nap.
const TURNS_AWAKE: u32 = 16;

/// The first nap: about what an append takes.
const NAP_MIN: Duration = Duration::from_micros(20);

/// The longest nap: about what a sync takes.
const NAP_MAX: Duration = Duration::from_micros(250);
