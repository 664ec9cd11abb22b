//! Starting a confined child, and what the caller holds of it.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::Signal;
use rustix::termios::Winsize;
use thiserror::Error;

use super::description::Sandbox;
use crate::ended::Status;
use crate::input::SealedInput;
use crate::program::{Program, shown};
use crate::request::{Arguments, Environment};

/// The program that becomes the stage: one whose `main` calls [`stage`] first of all.
#[derive(Clone, Debug)]
pub struct Stage {
    program: Arc<OwnedFd>,
}

/// What a confined child runs.
#[derive(Debug)]
pub struct Job<'a> {
    /// The program, held open.
    pub program: &'a Program,
    /// How the program is named when it is executed.
    pub launch: Launch,
    /// Its arguments, its own name first.
    pub arguments: &'a Arguments,
    /// Its whole environment.
    pub environment: &'a Environment,
    /// Where it starts, by the child's view of the files.
    pub directory: &'a Path,
    /// What it can read at [`SealedInput::path`] besides its standard input.
    pub inputs: &'a [&'a SealedInput],
    /// What it reads and writes.
    pub streams: Streams,
}

/// How a program is named when it is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// By the path that the child's view of the files has for it; something else there does not run.
    At(PathBuf),
    /// By the descriptor that the caller holds. It need not be part of the child's view.
    Held,
}

/// What a confined child reads and writes.
#[derive(Debug)]
pub enum Streams {
    /// These descriptors, and no controlling terminal.
    Given {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A terminal of its own, of this size, whose other end is handed to the caller
    /// ([`Confined::take_terminal`]).
    Terminal(Winsize),
}

/// A run of a confined child. Dropped, it takes every process of the run with it.
#[derive(Debug)]
#[must_use]
pub struct Confined {
    never: std::convert::Infallible,
}

/// Ends a run from elsewhere, all of it at once.
#[derive(Clone, Debug)]
pub struct Killer {
    pidfd: Arc<OwnedFd>,
}

/// What was in force when the program started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version of Landlock's interface, all of which was enforced.
    pub landlock: u32,
    /// Whether a control group holds the run.
    pub group: Limit,
}

/// Whether a limit could be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It holds.
    Held,
    /// It was not asked for.
    NotAsked,
    /// This host lets nobody set it, and why.
    Unavailable(String),
}

/// Why nothing was started.
#[derive(Debug, Error)]
pub enum StartError {
    /// A place could leave the tree, or is not a full path.
    #[error("`{}` is no plain full path", shown(.0))]
    Path(PathBuf),
    /// Root asked to stay root.
    #[error("root is not confined as root: a user to run as must be named")]
    Root,
    /// A step of the stage failed.
    #[error("{step}: {reason}")]
    Step {
        /// What it was about to do.
        step: String,
        /// Why it could not.
        reason: String,
    },
    /// The stage ended without a word.
    #[error("the stage ended before the program could start")]
    Stage,
    /// The system failed.
    #[error("no confined child could be started")]
    System(#[from] io::Error),
}

/// Why the end of a run could not be learned; all of it has been killed.
#[derive(Debug, Error)]
#[error("the confined child could not be followed to its end")]
pub struct WaitError(#[from] io::Error);

/// Becomes a stage if this process was started as one, and returns its exit code; otherwise returns nothing.
///
/// The first thing that `main` of a program does whose [`Stage`] is used, before any thread and any argument parser.
#[must_use]
pub fn stage() -> Option<ExitCode> {
    None
}

// === impl Stage ===

impl Stage {
    /// Takes the program that this process runs.
    pub fn current() -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags, open};
        let program = open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { program: Arc::new(program) })
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// Starts `job` in it. On error nothing of the job ran.
    ///
    /// Returns once the program is about to be executed, with everything in force.
    pub fn start(&self, stage: &Stage, job: Job<'_>) -> Result<Confined, StartError> {
        let _ = (&stage.program, job);
        Err(StartError::Stage)
    }
}

// === impl Confined ===

impl Confined {
    /// What was in force when the program started.
    pub fn applied(&self) -> &Applied {
        match self.never {}
    }

    /// Takes the other end of the child's terminal, if it has one and nobody took it.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        match self.never {}
    }

    /// Takes the listeners on the child's loopback, in the order of the ports they were asked for.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        match self.never {}
    }

    /// Returns a handle that ends this run from any thread.
    pub fn killer(&self) -> Killer {
        match self.never {}
    }

    /// Sends `signal` to the program.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let _ = signal;
        match self.never {}
    }

    /// Waits until every process of the run is gone, and says how the program ended: exited, or signalled.
    ///
    /// To wait for other things too, poll its descriptor: it is readable once the program has ended.
    pub fn wait(self) -> Result<Status, WaitError> {
        match self.never {}
    }
}

impl AsFd for Confined {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.never {}
    }
}

// === impl Killer ===

impl Killer {
    /// Kills every process of the run; after its end it does nothing.
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
