//! The two stages between the caller and a confined program.
//!
//! The outer one leaves the host's namespaces and waits; the inner one, the first process of the new namespaces,
//! does all the rest, starts the program, and reaps. Both are single-threaded throughout, and hold no descriptor
//! but those that were sent to them.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, ioctl_tiocsctty, kill_process,
    set_parent_process_death_signal, setsid, umask, wait,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use signal_hook::consts::SIGCHLD;

use super::failed::{At, Failed};
use super::fence::Fence;
use super::tree::Tree;
use super::wire::{
    self, Access, ContentPlan, Down, IdsPlan, LaunchPlan, NetworkPlan, Plan, StreamsPlan, Up,
};
use super::{filter, loopback, privileges};

/// Becomes a stage if this process was started as one, and returns its exit code; otherwise returns nothing.
///
/// The first thing that `main` of a program does whose [`Stage`](super::Stage) is used, before any thread and any
/// argument parser.
#[must_use]
pub fn stage() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next().as_deref() != Some(OsStr::new(STAGE)) {
        return None;
    }
    let stage = words.next();
    let run = match stage.as_deref().and_then(OsStr::to_str) {
        Some(OUTER) => outer,
        Some(INNER) => inner,
        _ => return Some(ExitCode::from(EXIT_MISUSED)),
    };
    let Ok(channel) = channel() else { return Some(ExitCode::from(EXIT_MISUSED)) };
    let mut channel = Some(channel);
    Some(match run(&mut channel) {
        Ok(code) => code,
        Err(Failed { step, reason }) => {
            if let Some(channel) = channel {
                // A caller that is gone needs no answer.
                let _ = wire::send(channel.as_fd(), &Up::Failed { step, reason }, &[]);
            }
            ExitCode::from(EXIT_FAILED)
        }
    })
}

/// Takes the socket that this process got as its standard input, and closes all else.
fn channel() -> io::Result<OwnedFd> {
    let channel = fcntl_dupfd_cloexec(rustix::stdio::stdin(), FIRST_FREE)?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // What was left open by mistake does not outlive the next exec.
    close_fds::set_fds_cloexec_threadsafe(FIRST_FREE, &[]);
    Ok(channel)
}

/// Leaves the host's namespaces and starts the inner stage in new ones.
fn outer(held: &mut Option<OwnedFd>) -> Result<ExitCode, Failed> {
    let channel = held.as_ref().ok_or("there is none").at("taking the channel")?;
    let mut given = receive_plan(channel)?;
    let file = given.pop_front().ok_or("there is none").at("reading the plan")?;
    let plan = wire::read_plan(&file).at("reading the plan")?;
    // What a terminal sends to the caller's group is not for this process.
    setsid().at("leaving the session")?;
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if matches!(plan.ids, IdsPlan::Own { .. }) {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    if !matches!(plan.network, NetworkPlan::Host { .. }) {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags).at("leaving the host's namespaces")?;
    privileges::map_ids(plan.ids)?;
    privileges::keep_for_second_stage(plan.ids)?;
    let handed = channel.try_clone().at("handing on the channel")?;
    let mut command = Command::new("/proc/self/exe");
    command.args([STAGE, INNER]).env_clear().stdin(Stdio::from(handed));
    let mut child = command.spawn().at("starting the inner stage")?;
    // From here on the inner stage alone speaks, and when it is gone the channel is closed.
    drop((command, file, held.take()));
    Ok(match child.wait() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::from(EXIT_FAILED),
    })
}

/// Confines itself as planned, starts the program, and stays until it has ended.
fn inner(channel: &mut Option<OwnedFd>) -> Result<ExitCode, Failed> {
    let channel = channel.as_ref().ok_or("there is none").at("taking the channel")?;
    set_parent_process_death_signal(Some(Signal::KILL)).at("tying this to the outer stage")?;
    umask(Mode::from_raw_mode(UMASK));
    let mut given = receive_plan(channel)?;
    let file = given.pop_front().ok_or("there is none").at("reading the plan")?;
    let plan = wire::read_plan(file).at("reading the plan")?;
    let mut given: VecDeque<OwnedFd> = out_of_the_way(given).at("sorting descriptors")?;
    let program = given.pop_front().ok_or("there is none").at("taking the program")?;
    rustix::system::sethostname(plan.host_name.as_bytes()).at("naming the host")?;
    let listeners = match &plan.network {
        NetworkPlan::Loopback { listen } => loopback::raise(listen)?,
        NetworkPlan::Host { .. } | NetworkPlan::None => Vec::new(),
    };
    Tree::build(plan.ids, &plan.places)?;
    Tree::enter()?;
    setsid().at("starting a session")?;
    privileges::give_up(&plan)?;
    // Forgotten with the ids.
    set_parent_process_death_signal(Some(Signal::KILL)).at("tying this to the outer stage")?;
    let terminal = terminal(&plan)?;
    let streams = match &terminal {
        Some((_, slave)) => [slave.try_clone(), slave.try_clone(), slave.try_clone()]
            .into_iter()
            .collect::<Result<VecDeque<_>, _>>()
            .at("taking the streams")?,
        None => given.drain(..STREAMS.min(given.len())).collect(),
    };
    let inputs = in_place(given, &plan.inputs).at("putting inputs in place")?;
    privileges::limit(&plan)?;
    // Inputs are memory files, which Landlock neither knows nor stops.
    let held = vec![program.as_fd()];
    let fence = Fence { writable: writable(&plan), held, network: &plan.network };
    let landlock = fence.close()?;
    let (woken, wakes) = UnixStream::pair().at("preparing to reap")?;
    woken.set_nonblocking(true).at("preparing to reap")?;
    signal_hook::low_level::pipe::register(SIGCHLD, wakes).at("preparing to reap")?;
    filter::install()?;
    let child = launch(&plan, &program, streams, &inputs)?;
    let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let main = main.ok_or("its number is none").at("starting the program")?;
    ready(channel, landlock, terminal, &listeners)?;
    drop((listeners, program, inputs));
    follow(channel, main, &woken).at("following the program")
}

/// Says that the program runs, and hands out what belongs to the caller.
fn ready(
    channel: &OwnedFd,
    landlock: u32,
    terminal: Option<(OwnedFd, OwnedFd)>,
    listeners: &[TcpListener],
) -> Result<(), Failed> {
    let master = terminal.as_ref().map(|(master, _)| master.as_fd());
    let handed: Vec<_> = master.into_iter().chain(listeners.iter().map(AsFd::as_fd)).collect();
    wire::send(channel.as_fd(), &Up::Ready { landlock }, &handed).at("reporting")
}

fn receive_plan(channel: &OwnedFd) -> Result<VecDeque<OwnedFd>, Failed> {
    match wire::receive(channel.as_fd()).at("waiting for the plan")? {
        Some((Down::Plan, given)) => Ok(given.into()),
        _ => Err("the caller is gone").at("waiting for the plan"),
    }
}

/// Moves descriptors to numbers that nothing else asks for.
fn out_of_the_way(given: VecDeque<OwnedFd>) -> io::Result<VecDeque<OwnedFd>> {
    given.iter().map(|fd| Ok(fcntl_dupfd_cloexec(fd, FAR)?)).collect()
}

/// Gives every input the number under which the program's arguments name it.
fn in_place(given: VecDeque<OwnedFd>, numbers: &[i32]) -> io::Result<Vec<OwnedFd>> {
    let mut inputs = Vec::new();
    for (fd, number) in given.iter().zip(numbers) {
        let placed = fcntl_dupfd_cloexec(fd, *number)?;
        if placed.as_raw_fd() != *number {
            return Err(io::Error::other(format!("number {number} is taken")));
        }
        inputs.push(placed);
    }
    match inputs.len() == numbers.len() {
        true => Ok(inputs),
        false => Err(io::Error::other("one is missing")),
    }
}

/// Opens a terminal of the new `/dev/pts` and makes it this session's. Returns both ends.
fn terminal(plan: &Plan) -> Result<Option<(OwnedFd, OwnedFd)>, Failed> {
    let StreamsPlan::Terminal { rows, columns } = plan.streams else { return Ok(None) };
    let step = "opening a terminal";
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = open("/dev/pts/ptmx", flags, Mode::empty()).at(step)?;
    unlockpt(&master).at(step)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).at(step)?;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size).at(step)?;
    ioctl_tiocsctty(&slave).at(step)?;
    // Neither end survives the exec of the program but as its streams.
    fcntl_setfd(&slave, FdFlags::CLOEXEC).at(step)?;
    Ok(Some((master, slave)))
}

/// Returns what may be written.
fn writable(plan: &Plan) -> Vec<PathBuf> {
    let places = plan.places.iter().filter(|place| {
        matches!(
            place.content,
            ContentPlan::Private { .. } | ContentPlan::Bound { access: Access::Writable, .. }
        )
    });
    let named = places.map(|place| PathBuf::from(&place.at));
    // Optional ones may be missing.
    named.chain(["/tmp", "/dev/shm"].map(PathBuf::from)).filter(|path| path.exists()).collect()
}

fn launch(
    plan: &Plan,
    program: &OwnedFd,
    mut streams: VecDeque<OwnedFd>,
    inputs: &[OwnedFd],
) -> Result<Child, Failed> {
    let found = find(plan, program)?;
    let mut words = plan.arguments.iter();
    let mut command = Command::new(found.path());
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    command.args(words);
    command.env_clear().envs(plan.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(Path::new(&plan.directory));
    let mut stream = || streams.pop_front().map(Stdio::from).ok_or("one is missing");
    command
        .stdin(stream().at("taking the streams")?)
        .stdout(stream().at("taking the streams")?)
        .stderr(stream().at("taking the streams")?);
    // Single-threaded: nothing else is started in between.
    let kept = found.kept().into_iter().chain(inputs.iter().map(AsFd::as_fd));
    for fd in kept {
        fcntl_setfd(fd, FdFlags::empty()).at("putting inputs in place")?;
    }
    umask(Mode::from_raw_mode(plan.umask));
    command.spawn().at_path("starting the program", Path::new(plan_name(plan)))
}

/// The program, as it is executed.
enum Found<'a> {
    /// By a descriptor, which a script's interpreter opens once more.
    Held(BorrowedFd<'a>, Reopened),
    /// By a descriptor of what has its name in the tree.
    InTree(OwnedFd),
    /// By name: its interpreter wants to know where a script is.
    Named(PathBuf),
}

/// Whether something opens the program again after its exec.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reopened {
    No,
    Yes,
}

// === impl Found ===

impl Found<'_> {
    fn path(&self) -> PathBuf {
        match self {
            Self::Held(fd, _) => held(*fd),
            Self::InTree(fd) => held(fd.as_fd()),
            Self::Named(path) => path.clone(),
        }
    }

    fn kept(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Held(fd, Reopened::Yes) => Some(*fd),
            Self::Held(_, Reopened::No) | Self::InTree(_) | Self::Named(_) => None,
        }
    }
}

/// Finds what to execute, and that it is what the caller opened.
fn find<'a>(plan: &Plan, program: &'a OwnedFd) -> Result<Found<'a>, Failed> {
    let (path, identity, script) = match &plan.launch {
        LaunchPlan::Held { script: true } => {
            return Ok(Found::Held(program.as_fd(), Reopened::Yes));
        }
        LaunchPlan::Held { script: false } => {
            return Ok(Found::Held(program.as_fd(), Reopened::No));
        }
        LaunchPlan::At { path, identity, script } => (Path::new(path), identity, *script),
    };
    let fd = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .at_path("looking for the program in the tree:", path)?;
    let metadata = fs::metadata(held(fd.as_fd())).at_path("looking at", path)?;
    if (metadata.dev(), metadata.ino()) != *identity {
        return Err("something else has its name in the tree").at_path("looking at", path);
    }
    Ok(if script { Found::Named(path.to_owned()) } else { Found::InTree(fd) })
}

/// Reaps, passes signals on, and ends when the program or the caller does.
fn follow(channel: &OwnedFd, main: Pid, woken: &UnixStream) -> io::Result<ExitCode> {
    loop {
        if let Some(status) = reap(main, woken)? {
            let ended = Up::Ended {
                code: status.exit_status().and_then(|code| u8::try_from(code).ok()),
                signal: status.terminating_signal(),
            };
            wire::send(channel.as_fd(), &ended, &[])?;
            // The kernel ends whatever is left.
            return Ok(ExitCode::SUCCESS);
        }
        let mut fds = [PollFd::new(woken, PollFlags::IN), PollFd::new(channel, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [_, from_caller] = fds;
        if from_caller.revents().is_empty() {
            continue;
        }
        match wire::receive(channel.as_fd())? {
            Some((Down::Signal(signal), _)) => {
                if let Some(signal) = Signal::from_named_raw(signal) {
                    // It may have ended, and is then reaped next.
                    let _ = kill_process(main, signal);
                }
            }
            Some((Down::Plan, _)) | None => return Ok(ExitCode::from(EXIT_FAILED)),
        }
    }
}

/// Reaps everything that ended, and says how the program did, if it did.
fn reap(main: Pid, woken: &UnixStream) -> io::Result<Option<WaitStatus>> {
    use std::io::Read;
    let mut wakes = [0; 64];
    let mut woken = woken;
    while matches!(woken.read(&mut wakes), Ok(count) if count > 0) {}
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == main => return Ok(Some(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn plan_name(plan: &Plan) -> &OsStr {
    plan.arguments.first().map_or(OsStr::from_bytes(b"?"), |name| name.as_os_str())
}

fn held(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The hidden word that makes a program a stage.
pub(super) const STAGE: &str = "__stage";
/// The first of the two.
pub(super) const OUTER: &str = "outer";
/// The second.
const INNER: &str = "inner";
/// What is made while the tree is put together is for everybody to see.
const UMASK: u32 = 0o022;
const STREAMS: usize = 3;
const FIRST_FREE: i32 = 3;
/// Beyond every number that an input has.
const FAR: i32 = 600;
/// As `sysexits.h` says that the software is to blame.
const EXIT_FAILED: u8 = 70;
/// As `sysexits.h` says that it was called wrongly.
const EXIT_MISUSED: u8 = 64;
