//! Starting a confined child, and what the caller holds of it.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, getegid, geteuid, pidfd_open, pidfd_send_signal};
use rustix::termios::Winsize;
use thiserror::Error;

use super::description::{Content, Ids, Network, Place, Presence, Sandbox, Source, is_plain};
use super::group::Group;
use super::stage::{OUTER, STAGE};
use super::wire::{
    Access, ContentPlan, Down, IdsPlan, LaunchPlan, NetworkPlan, PLAN_BYTES_MAX, PlacePlan, Plan,
    SourcePlan, StreamsPlan, Up, receive, send,
};
use crate::ended::Status;
use crate::input::SealedInput;
use crate::program::{Program, descriptor_path, shown};
use crate::request::{Arguments, Environment};

/// The program that becomes the stage: one whose `main` calls [`stage()`](super::stage()) first of all.
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
    channel: OwnedFd,
    outer: Child,
    pidfd: Arc<OwnedFd>,
    applied: Applied,
    terminal: Option<OwnedFd>,
    listeners: Vec<TcpListener>,
    group: Option<Group>,
    reaped: Reaped,
}

/// Whether the outer stage was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaped {
    No,
    Yes,
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
    /// Nothing was heard of it in time.
    #[error("the stage did not get ready in time")]
    Slow,
    /// Another user was named, and only root can become one.
    #[error("only root can run a child as another user")]
    NotRoot,
    /// The system failed.
    #[error("no confined child could be started: {0}")]
    System(#[from] io::Error),
}

/// Why the end of a run could not be learned; all of it has been killed.
#[derive(Debug, Error)]
#[error("the confined child could not be followed to its end")]
pub struct WaitError(#[from] io::Error);

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
    /// Returns once the program was executed, with everything in force.
    pub fn start(&self, stage: &Stage, job: Job<'_>) -> Result<Confined, StartError> {
        let plan = self.plan(&job)?;
        let plan = serde_json::to_vec(&plan).map_err(io::Error::other)?;
        if plan.len() as u64 > PLAN_BYTES_MAX {
            return Err(io::Error::other("arguments and environment are too long").into());
        }
        let plan = SealedInput::of(&plan).map_err(io::Error::other)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(io::Error::from)?;
        let mut command = Command::new(descriptor_path(stage.program.as_fd()));
        command.arg0("iddio").args([STAGE, OUTER]).env_clear().current_dir("/");
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let outer = command.spawn()?;
        drop(command);
        let mut confined = Confined::new(ours, outer)?;
        let pid = confined.pid();
        (confined.group, confined.applied.group) = Group::hold(pid, &self.resources);
        let own = job.program.as_fd();
        let streams = match &job.streams {
            Streams::Given { stdin, stdout, stderr } => vec![stdin, stdout, stderr],
            Streams::Terminal(_) => Vec::new(),
        };
        let streams = streams.into_iter().map(AsFd::as_fd);
        let inputs = job.inputs.iter().map(|input| input.as_fd());
        let all: Vec<_> = [plan.as_fd(), own].into_iter().chain(streams).chain(inputs).collect();
        send(confined.channel.as_fd(), &Down::Plan, &[plan.as_fd()])?;
        send(confined.channel.as_fd(), &Down::Plan, &all)?;
        confined.settle(&job.streams)?;
        Ok(confined)
    }

    /// Writes down what the stage has to know, refusing what cannot be meant.
    fn plan(&self, job: &Job<'_>) -> Result<Plan, StartError> {
        let odd = self.places.iter().map(|place| place.at.as_path()).chain([job.directory]);
        if let Some(path) = odd.into_iter().find(|path| !is_plain(path)) {
            return Err(StartError::Path(path.to_owned()));
        }
        let inputs = job.inputs.iter().map(|input| input.as_fd().as_raw_fd()).collect();
        let script = job.program.interpreter().is_some();
        let identity = job.program.identity();
        Ok(Plan {
            ids: self.ids.plan()?,
            places: self.places.iter().map(Place::plan).collect(),
            network: self.network.plan(),
            processes_max: self.resources.processes_max,
            file_bytes_max: self.resources.file_bytes_max,
            descriptors_max: self.resources.descriptors_max,
            host_name: self.host_name.clone(),
            launch: match &job.launch {
                Launch::At(path) => LaunchPlan::At {
                    path: path.into(),
                    identity: (identity.device, identity.inode),
                    script,
                },
                Launch::Held => LaunchPlan::Held { script },
            },
            arguments: job.arguments.iter().map(OsString::from).collect(),
            environment: job
                .environment
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            directory: job.directory.into(),
            inputs,
            streams: match &job.streams {
                Streams::Given { .. } => StreamsPlan::Given,
                Streams::Terminal(size) => {
                    StreamsPlan::Terminal { rows: size.ws_row, columns: size.ws_col }
                }
            },
            umask: UMASK,
        })
    }
}

// === impl Confined ===

impl Confined {
    fn new(channel: OwnedFd, mut outer: Child) -> io::Result<Self> {
        let pid = i32::try_from(outer.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
        let opened = pid.and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        match opened {
            Ok(pidfd) => Ok(Self {
                channel,
                outer,
                pidfd: Arc::new(pidfd),
                applied: Applied { landlock: 0, group: Limit::NotAsked },
                terminal: None,
                listeners: Vec::new(),
                group: None,
                reaped: Reaped::No,
            }),
            Err(error) => {
                // It was told nothing yet, so there is nothing below it.
                drop(channel);
                let _ = outer.kill().and_then(|()| outer.wait());
                Err(error)
            }
        }
    }

    /// Waits for the word that the program runs.
    fn settle(&mut self, streams: &Streams) -> Result<(), StartError> {
        let patience = Timespec { tv_sec: START_SECONDS_MAX, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.channel, PollFlags::IN)];
        let ready = loop {
            match poll(&mut fds, Some(&patience)) {
                Err(Errno::INTR) => {}
                other => break other.map_err(io::Error::from)?,
            }
        };
        if ready == 0 {
            return Err(StartError::Slow);
        }
        match receive(self.channel.as_fd())? {
            Some((Up::Ready { landlock }, descriptors)) => {
                self.applied.landlock = landlock;
                let mut descriptors = descriptors.into_iter();
                if matches!(streams, Streams::Terminal(_)) {
                    self.terminal = descriptors.next();
                }
                self.listeners = descriptors.map(TcpListener::from).collect();
                Ok(())
            }
            Some((Up::Failed { step, reason }, _)) => Err(StartError::Step { step, reason }),
            Some((Up::Ended { .. }, _)) | None => Err(StartError::Stage),
        }
    }

    /// The process id of the outer stage, which lives as long as the run.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.outer.id()).unwrap_or_default()
    }

    /// What was in force when the program started.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Takes the other end of the child's terminal, if it has one and nobody took it.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Takes the listeners on the child's loopback, in the order of the ports they were asked for.
    pub fn take_listeners(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.listeners)
    }

    /// Returns a handle that ends this run from any thread.
    pub fn killer(&self) -> Killer {
        Killer { pidfd: Arc::clone(&self.pidfd) }
    }

    /// Sends `signal` to the program, and to nothing else of the run.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match send(self.channel.as_fd(), &Down::Signal(signal.as_raw()), &[]) {
            // It has ended.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Waits until every process of the run is gone, and says how the program ended: exited, or signalled.
    ///
    /// To wait for other things too, poll its descriptor: it is readable once the program has ended.
    pub fn wait(mut self) -> Result<Status, WaitError> {
        let said = receive(self.channel.as_fd());
        self.reap()?;
        match said? {
            Some((Up::Ended { code: Some(code), .. }, _)) => Ok(Status::Exited(code)),
            Some((Up::Ended { signal: Some(signal), .. }, _)) => Ok(Status::Signalled(signal)),
            // It was killed with all the rest.
            _ => Ok(Status::Signalled(Signal::KILL.as_raw())),
        }
    }

    /// Waits for the outer stage, which waits for the inner one, whose end is everybody's.
    fn reap(&mut self) -> io::Result<()> {
        if self.reaped == Reaped::Yes {
            return Ok(());
        }
        let mut fds = [PollFd::new(&*self.pidfd, PollFlags::IN)];
        while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
        self.reaped = Reaped::Yes;
        match self.outer.wait() {
            Ok(_) => Ok(()),
            // Somebody who reaps all children of this process was quicker.
            Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        if self.reaped == Reaped::No {
            // Nobody is left to tell of a failure, and the kill itself does not fail.
            let _ = self.killer().kill();
            let _ = self.reap();
        }
        if let Some(group) = self.group.take() {
            group.remove();
        }
    }
}

impl AsFd for Confined {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

// === impl Killer ===

impl Killer {
    /// Kills every process of the run; after its end it does nothing.
    pub fn kill(&self) -> io::Result<()> {
        // The inner stage dies with the outer one, and all others with the inner.
        match pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

// === impl Ids ===

impl Ids {
    fn plan(self) -> Result<IdsPlan, StartError> {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        match self {
            Self::Own if uid == 0 => Err(StartError::Root),
            Self::Own => Ok(IdsPlan::Own { uid, gid }),
            Self::Drop { uid: 0, .. } | Self::Drop { gid: 0, .. } => Err(StartError::Root),
            Self::Drop { .. } if uid != 0 => Err(StartError::NotRoot),
            Self::Drop { uid, gid } => Ok(IdsPlan::Drop { uid, gid }),
        }
    }
}

// === impl Place ===

impl Place {
    fn plan(&self) -> PlacePlan {
        let bound = |source: &Source, access| ContentPlan::Bound { source: source.plan(), access };
        let content = match &self.content {
            Content::Empty => ContentPlan::Empty,
            Content::File { bytes, mode } => {
                ContentPlan::File { bytes: bytes.clone(), mode: *mode }
            }
            Content::Hidden => ContentPlan::Hidden,
            Content::Link { target } => ContentPlan::Link { target: target.into() },
            Content::Private { bytes_max } => ContentPlan::Private { bytes_max: *bytes_max },
            Content::ReadOnly(source) => bound(source, Access::ReadOnly),
            Content::Writable(source) => bound(source, Access::Writable),
        };
        PlacePlan { at: self.at.clone().into(), content }
    }
}

// === impl Source ===

impl Source {
    fn plan(&self) -> SourcePlan {
        SourcePlan {
            path: self.path.clone().into(),
            demanded: self.presence == Presence::Demanded,
            identity: self.identity,
        }
    }
}

// === impl Network ===

impl Network {
    fn plan(&self) -> NetworkPlan {
        match self {
            Self::DangerousHost { connect } => NetworkPlan::Host { connect: connect.clone() },
            Self::Loopback { listen } => NetworkPlan::Loopback { listen: listen.clone() },
            Self::None => NetworkPlan::None,
        }
    }
}

/// Starting takes milliseconds; a file system that does not answer should not hold the caller for ever.
const START_SECONDS_MAX: i64 = 60;
/// What new files of the program do not allow to others.
const UMASK: u32 = 0o022;
