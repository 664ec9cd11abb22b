//! Starting a child, and what this process takes upon itself for it.
//!
//! # Signals
//! The child shares this process's group. Of the two known designs this is the one that works in a pipeline:
//! a child in a group of its own would need the terminal handed to it, and `iddio exec -- kubectl get pods |
//! less` would stop `less` in the background. It follows that:
//! - What the terminal sends (Ctrl-C, Ctrl-\, Ctrl-Z, window changes, hang-up) reaches the child by itself. This
//!   process catches it too, lives on, and passes nothing on: the kernel says that the kernel sent it. Only a hang-up
//!   is told to the leader of the session alone, so as leader this process passes it on.
//! - What another process sends to this one (`kill PID`, a supervisor, `docker stop`) is passed on to the child,
//!   unless it comes from below: a child that signals its whole group has reached itself already.
//! - When the child stops and there is a terminal, this process stops, so that the shell takes over; continued by
//!   `fg`, `bg` or `kill -CONT`, it sees to it that the child continues too. Without a terminal nobody would
//!   continue it, so it stays awake and goes on keeping time.
//! - A signal another process sends to the whole group (`kill %1`) reaches the child twice: the kernel does not say
//!   whether a signal was meant for one or for all, and one too many ends a program sooner, one too few never.
//!   `SIGSTOP` and `SIGKILL` cannot be caught, so sent to this process alone they do not reach the child.
//!
//! - A wrapper that is stopped keeps no time: a limit that passed meanwhile strikes when it continues.
//!
//! Between runs a supervisor goes on catching: what arrives waits in [`Supervisor::arrived`], and Ctrl-C neither ends
//! nor Ctrl-Z stops this process. Who waits long between two runs reads it, or drops the supervisor, upon which
//! signals act as they do by default.
//!
//! # Descendants
//! This process is the subreaper: a descendant whose parent dies becomes its child, however it was forked. Children it
//! had before the run are left alone; starting others during the run, by other means, is not supported.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, set_child_subreaper, setrlimit, wait,
};
use rustix::thread::set_no_new_privs;
use thiserror::Error;

use crate::clock::since_boot;
use crate::program::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, FIRST_FREE, HashError, Program, shown};
use crate::request::{Output, Spawn, Stdin};
use crate::running::{Running, Start, Tap};
use crate::signals::{Arrived, Signals};
use crate::tree::{self, Process};

/// The one supervisor of this process; while it exists, signals wait for it.
#[derive(Debug)]
pub struct Supervisor {
    pub(crate) signals: Signals,
}

/// Why no supervisor could be installed.
#[derive(Debug, Error)]
pub enum SuperviseError {
    /// There is one already.
    #[error("this process supervises a child already")]
    Busy,
    /// The system refused.
    #[error("the system refused what supervising needs")]
    System(#[from] io::Error),
}

/// Why nothing was started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The program is not what was opened any more.
    #[error("`{}` changed since it was opened", shown(.0))]
    Changed(PathBuf),
    /// This process was asked to end before the child was started.
    #[error("interrupted by signal {signal} before anything was started")]
    Interrupted {
        /// The signal.
        signal: i32,
    },
    /// The program is there, its interpreter or loader is not.
    #[error("the interpreter or loader of `{}` was not found", shown(.0))]
    LoaderNotFound(PathBuf),
    /// The system will not execute it.
    #[error("`{}` may not be executed", shown(.path))]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be looked at again.
    #[error(transparent)]
    Unreadable(HashError),
    /// The system failed before the program was reached.
    #[error("no child could be started")]
    System(#[from] io::Error),
}

// === impl Supervisor ===

impl Supervisor {
    /// Makes this process the subreaper, catches its signals and forbids core dumps.
    pub fn install() -> Result<Self, SuperviseError> {
        if INSTALLED.swap(true, Ordering::SeqCst) {
            return Err(SuperviseError::Busy);
        }
        let fenced = || {
            set_child_subreaper(Some(rustix::process::getpid()))?;
            setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
            Signals::catch()
        };
        match fenced() {
            Ok(signals) => Ok(Self { signals }),
            Err(error) => {
                INSTALLED.store(false, Ordering::SeqCst);
                Err(error.into())
            }
        }
    }

    /// Takes the signals that arrived between runs, without waiting; poll its descriptor to wait.
    ///
    /// Interrupts that nobody took make the next start fail.
    pub fn arrived(&mut self) -> Vec<Arrived> {
        self.signals.take()
    }

    /// Starts a child. On error nothing runs.
    ///
    /// The calling thread gives up gaining privileges, for good.
    pub fn start(&mut self, spawn: Spawn<'_>) -> Result<Running<'_>, SpawnError> {
        let strangers = strangers()?;
        if !spawn.program.is_unchanged().map_err(SpawnError::Unreadable)? {
            return Err(SpawnError::Changed(spawn.program.path().to_owned()));
        }
        set_no_new_privs(true).map_err(io::Error::from)?;
        let Spawn {
            program,
            arguments,
            environment,
            directory,
            inputs,
            stdin,
            stdout,
            stderr,
            limits,
        } = spawn;
        let mut command = Command::new(program.held_path());
        command.arg0(arguments.name()).args(arguments.rest());
        command.env_clear().envs(environment.iter());
        command.current_dir(directory.held_path());
        if let Some(stdin) = reading(stdin)? {
            command.stdin(stdin);
        }
        let (stdout, stdout_tap) = writing(stdout)?;
        if let Some(stdout) = stdout {
            command.stdout(stdout);
        }
        let (stderr, stderr_tap) = writing(stderr)?;
        if let Some(stderr) = stderr {
            command.stderr(stderr);
        }
        let script = program.interpreter().map(|_| program.as_fd());
        let given: Vec<_> = inputs.iter().map(|input| input.as_fd()).chain(script).collect();
        let open = Given::open(&given)?;
        // As late as can be: what the terminal sends from here on, it sends to the child too.
        if let Some(signal) = self.signals.take().iter().find_map(interrupt) {
            return Err(SpawnError::Interrupted { signal });
        }
        let started = (SystemTime::now(), since_boot());
        let child = command.spawn().map_err(|error| SpawnError::from_exec(program, error))?;
        drop(open);
        let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let main = main.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let start = Start { main, strangers, limits, started: started.0, since: started.1 };
        // From here on the child has an owner that ends it.
        Running::new(&mut self.signals, start, [stdout_tap, stderr_tap]).map_err(SpawnError::System)
    }
}

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Nothing is left to be reaped; should this fail, a later supervisor sets it again.
        let _ = set_child_subreaper(None);
        INSTALLED.store(false, Ordering::SeqCst);
    }
}

// === impl SpawnError ===

impl SpawnError {
    fn from_exec(program: &Program, source: io::Error) -> Self {
        let path = program.path().to_owned();
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            // The file itself is held open, so what is missing is what it names.
            Some(Errno::NOENT) => Self::LoaderNotFound(path),
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => Self::System(source),
            _ => Self::NotExecutable { path, source },
        }
    }

    /// Returns the code a wrapper exits with, as `env` does.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Changed(_) | Self::NotExecutable { .. } | Self::Unreadable(_) => {
                EXIT_NOT_EXECUTABLE
            }
            Self::Interrupted { signal } => crate::Status::Signalled(*signal).exit_code(),
            Self::LoaderNotFound(_) => EXIT_NOT_FOUND,
            Self::System(_) => EXIT_UNAVAILABLE,
        }
    }
}

/// Descriptors that stay open across the exec of one child; all others close.
struct Given<'a> {
    descriptors: &'a [BorrowedFd<'a>],
}

// === impl Given ===

impl<'a> Given<'a> {
    fn open(descriptors: &'a [BorrowedFd<'a>]) -> io::Result<Self> {
        close_fds::set_fds_cloexec_threadsafe(FIRST_FREE, &[]);
        let given = Self { descriptors };
        for descriptor in descriptors {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(given)
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        for descriptor in self.descriptors {
            // It cannot fail on an open descriptor; if it did, the next start would close it again.
            let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
        }
    }
}

/// Returns the children this process has already, reaping those that ended.
fn strangers() -> io::Result<HashSet<Process>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return tree::children(),
            Err(Errno::CHILD) => return Ok(HashSet::new()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn interrupt(arrived: &Arrived) -> Option<i32> {
    let asks_to_end = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
    asks_to_end.iter().map(|signal| signal.as_raw()).find(|signal| *signal == arrived.signal)
}

fn reading(stdin: Stdin<'_>) -> io::Result<Option<Stdio>> {
    Ok(match stdin {
        Stdin::From(fd) => Some(Stdio::from(fd)),
        Stdin::Inherit => None,
        Stdin::Null => Some(Stdio::null()),
        Stdin::Sealed(input) => Some(Stdio::from(input.reader()?)),
    })
}

fn writing(output: Output) -> io::Result<(Option<Stdio>, Tap)> {
    Ok(match output {
        Output::Inherit => (None, Tap::none()),
        Output::Keep { bytes_max } => {
            let (read, write): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC)?;
            (Some(Stdio::from(write)), Tap::on(read, bytes_max)?)
        }
        Output::Null => (Some(Stdio::null()), Tap::none()),
        Output::To(fd) => (Some(Stdio::from(fd)), Tap::none()),
    })
}

/// Whether a supervisor exists.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// As `sysexits.h` says it.
const EXIT_UNAVAILABLE: u8 = 69;
