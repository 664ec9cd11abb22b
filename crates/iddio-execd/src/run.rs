//! Runs a command that was decided on: confined, its streams relayed, its caller heard.
//!
//! INVARIANT: it returns when no process of the run is left. A client that goes away takes all of it
//! along at once; a signal of the client's goes to the program alone.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use iddio_exec::{
    forward::{FREEZE_GRACE, ForwardError},
    hand::{Hand, Run, Wish},
    operation::{CommandAction, Material, StdinMaterial},
};
use iddio_runtime::freezes::Watch;
use iddio_spawn::{
    Ended, Limits, Output, RunTime, SpawnError, Status, Stragglers,
    sandbox::{Confined, Job, Launch, Limit, Streams},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
    process::{Signal, geteuid},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr, tcsetwinsize},
    time::{ClockId, clock_gettime},
};

use crate::{
    confine::{self, Base, Shown},
    credentials::{self, Issued, Minter},
    leavings::Leavings,
    line::{Line, Presence},
    net::{Door, Reachable},
    scrub::Secrets,
    server::Terms,
    stream::{Bell, Channel, keep, put, relay},
    tree::Laid,
    wire::{Say, Stream},
};

/// The hand of a broker's client.
pub(crate) struct Remote {
    pub(crate) terms: Arc<Terms>,
    pub(crate) line: Arc<Line>,
    pub(crate) base: Arc<Base>,
    pub(crate) streams: ClientStreams,
    /// Keeps starts from being too many at once.
    pub(crate) gate: Arc<Gate>,
    /// Makes what a run of this command is given.
    pub(crate) minter: Minter,
    /// The caller's tree, as it was before.
    pub(crate) laid: Arc<Laid>,
    /// What the runs of this command left.
    pub(crate) leavings: Leavings,
}

/// How many runs may be starting: a start takes processor time alone, and all at once none would be done in
/// time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    starting: Mutex<usize>,
    left: Condvar,
}

/// The place of one start.
struct Passed<'a>(&'a Gate);

/// What the client handed over, and what it is.
#[derive(Clone)]
pub(crate) struct ClientStreams {
    pub(crate) kinds: [Stream; 3],
    pub(crate) stdin: Arc<Channel>,
    pub(crate) stdout: Arc<Channel>,
    pub(crate) stderr: Arc<Channel>,
}

/// Threads that move bytes for one run.
struct Movers {
    stop: Bell,
    /// Ends when the run has.
    inward: Vec<JoinHandle<()>>,
    /// End when everything the run said was moved.
    outward: Vec<JoinHandle<()>>,
    /// How many of those have, and what rings when one has.
    ended: Arc<(AtomicUsize, Bell)>,
    kept: Option<JoinHandle<Vec<u8>>>,
}

/// Why a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    Frozen,
    Itself,
    Left,
    Time,
    TooMuch,
}

// === impl Gate ===

impl Gate {
    fn pass(&self) -> Passed<'_> {
        let starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |starting: &mut usize| STARTS_MAX <= *starting;
        let starting = self.left.wait_while(starting, full);
        *starting.unwrap_or_else(PoisonError::into_inner) += 1;
        Passed(self)
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        let Self(gate) = self;
        let mut starting = gate.starting.lock().unwrap_or_else(PoisonError::into_inner);
        *starting = starting.saturating_sub(1);
        gate.left.notify_one();
    }
}

// === impl Remote ===

impl Hand for Remote {
    type Minter = Minter;

    fn minter(&self) -> &Minter {
        &self.minter
    }

    fn calls(&self) -> BorrowedFd<'_> {
        self.line.bell.as_fd()
    }

    fn heed(&mut self) -> Vec<Wish> {
        let heard = self.line.take();
        let ends = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM].map(Signal::as_raw);
        let leave = heard.client == Presence::Gone
            || heard.signals.iter().any(|signal| ends.contains(signal));
        if leave { vec![Wish::Leave] } else { Vec::new() }
    }

    fn run(&mut self, run: Run<'_>, credential: Issued) -> Result<Ended, ForwardError> {
        let Run { action, stdout, limits, watch } = run;
        if let Some(signal) = self.heed().first().map(|_| Signal::TERM.as_raw()) {
            return Err(SpawnError::Interrupted { signal }.into());
        }
        let not = |error: io::Error| ForwardError::NotConfined(error.to_string());
        self.base.give().map_err(not)?;
        let mut issued = credential;
        let secrets = issued.secrets.clone();
        let keeps = match stdout {
            Output::Keep { bytes_max } => Some(bytes_max),
            Output::Inherit | Output::Null | Output::To(_) => None,
        };
        let plan = Wiring::lay(self, &action.material, keeps).map_err(not)?;
        let (started, since) = (SystemTime::now(), since_boot());
        let reachable = Reachable::new(self.terms.network.clone());
        let mut confined = self.start(action, plan.given, &reachable, &mut issued)?;
        // Elsewhere than in the host's service nobody can make a group, and the documents say so.
        if let Limit::Unavailable(why) = &confined.applied().group
            && geteuid().is_root()
        {
            self.leavings.note(vec![format!("limits of single processes alone: {why}")]);
        }
        let listeners = confined.take_listeners();
        let (outlet, left) = reachable.serve(listeners).map_err(not)?;
        let door = issued.aws.take().zip(left.into_iter().next()).map(|(offer, listener)| {
            Door::open(listener, move |client| credentials::answer(client, &offer))
        });
        let door = door.transpose().map_err(not)?;
        let bell = Bell::new().map_err(not)?;
        let movers =
            plan.ends.move_all(self, &mut confined, keeps, &secrets, &bell).map_err(not)?;
        self.line.say(&Say::Started(plan.kinds), &[]);
        let (status, cause) = self.follow(confined, limits, watch, &bell)?;
        self.line.follow(None);
        drop((door, outlet));
        self.leavings.note(issued.give_up());
        let kept = secrets.clean(movers.finish(&self.line, cause));
        let status = match cause {
            Cause::Left => return Err(ForwardError::Left),
            Cause::Frozen => Status::Cancelled,
            Cause::Time => Status::TimedOut,
            Cause::TooMuch => Status::TooMuchOutput,
            Cause::Itself => status,
        };
        Ok(Ended {
            status,
            stragglers: Stragglers::default(),
            started,
            duration: since_boot().saturating_sub(since),
            stdout: kept,
            stderr: Vec::new(),
        })
    }

    fn look_after(&mut self, action: &CommandAction) -> Option<String> {
        let given = self.minter.given();
        self.leavings.look(&self.base, &self.laid, &action.material.outputs, given)
    }

    fn show(&mut self, bytes: &[u8]) {
        // The client may be gone, which ends the wait.
        let _ = put(&self.streams.stdout, bytes, &self.line.bell);
    }
}

impl Remote {
    fn start(
        &self,
        action: &CommandAction,
        streams: Streams,
        reachable: &Reachable,
        issued: &mut Issued,
    ) -> Result<Confined, ForwardError> {
        let not = |error: &dyn std::fmt::Display| ForwardError::NotConfined(error.to_string());
        let Material { program, arguments, environment, directory, inputs, .. } = &action.material;
        let directory = self.base.directory(directory.path());
        let home = self.base.home();
        let mut given = reachable.variables();
        let issue = issued.variables.iter();
        given.extend(issue.map(|(name, value)| (name.clone(), value.expose().to_owned())));
        let without = &issued.instead_of;
        let environment = confine::environment(environment, &home, &directory, &given, without)
            .map_err(|error| not(&error))?;
        let inputs: Vec<_> = inputs.iter().map(|input| &input.sealed).collect();
        let visible = &self.terms.visible;
        let launch = match self.base.shows(program.path(), visible) {
            Shown::Yes => Launch::At(program.path().to_owned()),
            Shown::No => Launch::Held,
        };
        let job = Job {
            program,
            launch,
            arguments,
            environment: &environment,
            directory: &directory,
            inputs: &inputs,
            streams,
        };
        let own = issued.aws.as_ref().map(|_| credentials::PORT);
        let places = std::mem::take(&mut issued.places);
        let limits = self.terms.limits;
        let sandbox = self.base.sandbox(visible, reachable.network(own), places, limits);
        let _passed = self.gate.pass();
        sandbox.start(&self.terms.stage, job).map_err(|error| not(&error))
    }

    /// Stays with the run to its end.
    fn follow(
        &self,
        confined: Confined,
        limits: Limits,
        watch: &Watch,
        bell: &Bell,
    ) -> Result<(Status, Cause), ForwardError> {
        let killer = confined.killer();
        let (mut cause, mut kill_at) = (Cause::Itself, None);
        let mut end_at = match limits.run_time {
            RunTime::AtMost(duration) => Some(since_boot().saturating_add(duration)),
            RunTime::Unlimited => None,
        };
        let lost = |error: io::Error| ForwardError::NotConfined(error.to_string());
        let mut held = Some(watch.held());
        loop {
            let now = since_boot();
            if kill_at.is_some_and(|at| at <= now) {
                killer.kill().map_err(lost)?;
                kill_at = None;
            }
            if cause == Cause::Itself && end_at.is_some_and(|at| at <= now) {
                (cause, end_at) = (Cause::Time, None);
                kill_at = Some(now.saturating_add(limits.term_grace));
                end(&confined).map_err(lost)?;
            }
            let next = [kill_at, end_at].into_iter().flatten().min();
            let ready =
                wait(&confined, &self.line.bell, bell, held.as_deref(), next).map_err(lost)?;
            if ready.ended {
                break;
            }
            if ready.called {
                let heard = self.line.take();
                for signal in heard.signals {
                    if let Some(signal) = Signal::from_named_raw(signal) {
                        confined.signal(signal).map_err(lost)?;
                    }
                }
                if heard.client == Presence::Gone && cause != Cause::Left {
                    cause = Cause::Left;
                    killer.kill().map_err(lost)?;
                }
            }
            if ready.over {
                (cause, end_at) = (Cause::TooMuch, None);
                bell.hush();
                killer.kill().map_err(lost)?;
            }
            if ready.frozen {
                // Heard once; left readable it would wake every later wait.
                held = None;
            }
            if ready.frozen && !matches!(cause, Cause::Frozen | Cause::Left) {
                (cause, end_at) = (Cause::Frozen, None);
                kill_at = Some(now.saturating_add(FREEZE_GRACE));
                end(&confined).map_err(lost)?;
            }
        }
        let status = confined.wait().map_err(|error| lost(io::Error::other(error)))?;
        Ok((status, cause))
    }
}

/// What a wait found.
struct Ready {
    ended: bool,
    called: bool,
    over: bool,
    frozen: bool,
}

fn wait(
    confined: &Confined,
    called: &Bell,
    over: &Bell,
    held: Option<&OwnedFd>,
    until: Option<Duration>,
) -> io::Result<Ready> {
    let patience = until.map(|until| until.saturating_sub(since_boot()));
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    let all = [confined.as_fd(), called.as_fd(), over.as_fd()].into_iter();
    let all = all.chain(held.map(AsFd::as_fd));
    let mut waiting: Vec<_> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    match poll(&mut waiting, patience.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => {
            return Ok(Ready { ended: false, called: false, over: false, frozen: false });
        }
        Err(error) => return Err(error.into()),
    }
    let mut found = waiting.iter().map(|fd| !fd.revents().is_empty());
    let mut next = || found.next().unwrap_or(false);
    Ok(Ready { ended: next(), called: next(), over: next(), frozen: next() })
}

/// Asks the program to end; one that is stopped would not notice.
fn end(confined: &Confined) -> io::Result<()> {
    confined.signal(Signal::TERM)?;
    confined.signal(Signal::CONT)
}

/// What the child gets as streams, and the ends that stay here.
struct Wiring {
    given: Streams,
    kinds: [Stream; 3],
    ends: Ends,
}

/// The ends of a run's streams that stay here.
struct Ends {
    /// A terminal of ours for those streams of a client that are one, where not all are.
    terminal: Option<OwnedFd>,
    whole: bool,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

// === impl Wiring ===

impl Wiring {
    fn lay(remote: &Remote, material: &Material, keeps: Option<usize>) -> io::Result<Self> {
        let ClientStreams { kinds, .. } = &remote.streams;
        let inherits = matches!(material.stdin, StdinMaterial::Inherit);
        let mut ends =
            Ends { terminal: None, whole: false, stdin: None, stdout: None, stderr: None };
        if *kinds == [Stream::Terminal; 3] && inherits && keeps.is_none() {
            ends.whole = true;
            let given = Streams::Terminal(remote.line.window());
            return Ok(Self { given, kinds: *kinds, ends });
        }
        let mut slave = None;
        let mut kinds = *kinds;
        if !inherits {
            kinds[0] = Stream::Plain;
        }
        if keeps.is_some() {
            kinds[1] = Stream::Plain;
        }
        if kinds.contains(&Stream::Terminal) {
            let (master, other) = terminal(remote)?;
            (ends.terminal, slave) = (Some(master), Some(other));
        }
        let end = |kind: Stream| -> io::Result<(OwnedFd, Option<OwnedFd>)> {
            match (&slave, kind) {
                (Some(slave), Stream::Terminal) => Ok((slave.try_clone()?, None)),
                _ => pipe_with(PipeFlags::CLOEXEC)
                    .map(|(read, write)| (write, Some(read)))
                    .map_err(io::Error::from),
            }
        };
        let [of_stdin, of_stdout, of_stderr] = kinds;
        let stdout;
        let stderr;
        (stdout, ends.stdout) = end(of_stdout)?;
        (stderr, ends.stderr) = end(of_stderr)?;
        let stdin = match (&material.stdin, of_stdin) {
            (StdinMaterial::Sealed(sealed), _) => sealed.reader()?,
            (StdinMaterial::Nothing, _) => nothing()?,
            (StdinMaterial::Inherit, Stream::Terminal) => end(Stream::Terminal)?.0,
            (StdinMaterial::Inherit, Stream::Plain) => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                ends.stdin = Some(write);
                read
            }
        };
        Ok(Self { given: Streams::Given { stdin, stdout, stderr }, kinds, ends })
    }
}

// === impl Ends ===

impl Ends {
    fn move_all(
        self,
        remote: &Remote,
        confined: &mut Confined,
        keeps: Option<usize>,
        secrets: &Secrets,
        over: &Bell,
    ) -> io::Result<Movers> {
        let stop = Bell::new()?;
        let ended = Arc::new((AtomicUsize::new(0), Bell::new()?));
        let (inward, outward) = (Vec::new(), Vec::new());
        let mut movers = Movers { stop, inward, outward, ended, kept: None };
        let ClientStreams { kinds, stdin, stdout, stderr } = &remote.streams;
        let Self { terminal, whole, stdin: to_child, stdout: from_child, stderr: errors } = self;
        let terminal = if whole { confined.take_terminal() } else { terminal };
        if let Some(master) = terminal {
            remote.line.follow(Some(Arc::new(master.try_clone()?)));
            let master = Arc::new(Channel::own(master)?);
            if whole || kinds[0] == Stream::Terminal {
                movers.inward(stdin.clone(), master.clone())?;
            }
            let out = if kinds[1] == Stream::Terminal { stdout } else { stderr };
            movers.outward(master, out.clone(), secrets)?;
        }
        if let Some(to_child) = to_child {
            movers.inward(stdin.clone(), Arc::new(Channel::own(to_child)?))?;
        }
        match (from_child, keeps) {
            (Some(from), Some(bytes_max)) => movers.keep(Channel::own(from)?, bytes_max, over)?,
            (Some(from), None) => {
                movers.outward(Arc::new(Channel::own(from)?), stdout.clone(), secrets)?;
            }
            (None, _) => {}
        }
        if let Some(from) = errors {
            movers.outward(Arc::new(Channel::own(from)?), stderr.clone(), secrets)?;
        }
        Ok(movers)
    }
}

// === impl Movers ===

impl Movers {
    fn inward(&mut self, from: Arc<Channel>, to: Arc<Channel>) -> io::Result<()> {
        let stop = self.stop.clone();
        self.inward
            .push(small("iddio-in").spawn(move || relay(&from, &to, Secrets::default(), &stop))?);
        Ok(())
    }

    fn outward(
        &mut self,
        from: Arc<Channel>,
        to: Arc<Channel>,
        secrets: &Secrets,
    ) -> io::Result<()> {
        let (stop, secrets, ended) = (self.stop.clone(), secrets.clone(), self.ended.clone());
        let moving = move || {
            relay(&from, &to, secrets, &stop);
            ended.0.fetch_add(1, Ordering::SeqCst);
            ended.1.ring();
        };
        self.outward.push(small("iddio-out").spawn(moving)?);
        Ok(())
    }

    fn keep(&mut self, from: Channel, bytes_max: usize, over: &Bell) -> io::Result<()> {
        let (stop, over) = (self.stop.clone(), over.clone());
        let keep = move || keep(&from, bytes_max, || over.ring(), &stop);
        self.kept = Some(small("iddio-keep").spawn(keep)?);
        Ok(())
    }

    /// Waits until everything was moved that the run said, which nobody waits for who left.
    fn finish(self, line: &Line, cause: Cause) -> Vec<u8> {
        let Self { stop, inward, outward, ended, kept } = self;
        if cause == Cause::Left {
            stop.ring();
        }
        while ended.0.load(Ordering::SeqCst) < outward.len() {
            let both = [ended.1.as_fd(), line.bell.as_fd()];
            let mut waiting = both.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            // Interrupted or not, it is looked at again.
            let _ = poll(&mut waiting, None);
            ended.1.hush();
            if line.take().client == Presence::Gone {
                stop.ring();
                break;
            }
        }
        // A thread that panicked moves nothing any more.
        outward.into_iter().for_each(|thread| drop(thread.join()));
        let kept = kept.and_then(|thread| thread.join().ok()).unwrap_or_default();
        stop.ring();
        inward.into_iter().for_each(|thread| drop(thread.join()));
        kept
    }
}

fn small(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES)
}

/// Makes a terminal for the streams of a client that are one. The client's own shows what is typed and
/// turns lines, so this one does neither.
fn terminal(remote: &Remote) -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    use rustix::fs::{Mode, OFlags, open};
    let slave = open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut modes = tcgetattr(&slave)?;
    modes.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&slave, OptionalActions::Now, &modes)?;
    tcsetwinsize(&slave, remote.line.window())?;
    Ok((master, slave))
}

fn nothing() -> io::Result<OwnedFd> {
    std::fs::File::open("/dev/null").map(OwnedFd::from)
}

/// Time since the host started, sleep included.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// The most starts at once.
const STARTS_MAX: usize = 16;

/// These threads move bytes and nothing else.
const STACK_BYTES: usize = 128 * 1024;
