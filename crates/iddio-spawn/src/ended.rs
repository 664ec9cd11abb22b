//! How a run ended.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A run with no descendant left, or with those left counted.
#[must_use]
pub struct Ended {
    /// How the main child ended.
    pub status: Status,
    /// What became of the descendants that outlived it.
    pub stragglers: Stragglers,
    /// When it started, by the wall clock.
    pub started: SystemTime,
    /// How long the whole run took, stragglers and sleep of the machine included.
    pub duration: Duration,
    /// What was kept of standard output; empty unless the request asked to keep it.
    pub stdout: Vec<u8>,
    /// What was kept of standard error; empty unless the request asked to keep it.
    pub stderr: Vec<u8>,
}

/// How the main child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Status {
    /// It was ended because someone used the [`Canceller`](crate::Canceller).
    Cancelled,
    /// It exited with this code.
    Exited(u8),
    /// It was ended by this signal, which this crate did not send on its own account.
    Signalled(i32),
    /// It was ended because its time was up.
    TimedOut,
    /// It was ended because it wrote more than the request allowed to keep.
    TooMuchOutput,
}

/// The descendants that outlived the main child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stragglers {
    /// How many were alive after the main child had ended.
    pub outlived: usize,
    /// How many are alive still, because even a kill did not end them in time.
    pub remaining: usize,
}

// === impl Ended ===

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a child printed may hold secrets, so only its length is shown.
        f.debug_struct("Ended")
            .field("status", &self.status)
            .field("stragglers", &self.stragglers)
            .field("started", &self.started)
            .field("duration", &self.duration)
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .finish()
    }
}

// === impl Status ===

impl Status {
    /// Returns the code a wrapper exits with to say the same to its own parent.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Cancelled => SIGNAL_BASE.saturating_add(SIGTERM),
            Self::Exited(code) => code,
            Self::Signalled(signal) => {
                SIGNAL_BASE.saturating_add(u8::try_from(signal).unwrap_or(u8::MAX))
            }
            Self::TimedOut => EXIT_TIMED_OUT,
            Self::TooMuchOutput => EXIT_UNAVAILABLE,
        }
    }
}

/// What shells add to a signal's number.
const SIGNAL_BASE: u8 = 128;
/// The signal a cancelled child gets first.
const SIGTERM: u8 = 15;
/// As `timeout` says it.
const EXIT_TIMED_OUT: u8 = 124;
/// As `sysexits.h` says it.
const EXIT_UNAVAILABLE: u8 = 69;
