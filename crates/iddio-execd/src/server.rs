//! The broker itself: lets clients in, gives each a thread, and outlives them all.
//!
//! INVARIANT: a client that goes away takes its run, and what it asked, with it. A broker that is dropped
//! takes all of them, and returns when the last is over. Everything is bounded: clients in all, clients of
//! one user, and everything a client may say.

use std::{
    collections::HashMap,
    fs, io,
    os::{
        fd::AsFd,
        unix::{
            fs::DirBuilderExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use iddio_core::{pipeline::Session, principal::TaskName};
use iddio_net::Destination;
use iddio_runtime::assemble::Runtime;
use iddio_service::peer::Peer;
use iddio_spawn::{ToolPath, sandbox::Stage};
use nix::unistd::User;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FlockOperation, flock},
    net::sockopt::socket_peercred,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{
    carry::{CarryError, send},
    config::{Bounds, Uids},
    confine::{Pool, remove},
    credentials::Source,
    line::Line,
    run::Gate,
    session::{self, Turned, hear},
    stream::Bell,
    wire::Say,
};

/// On which terms a broker serves.
pub struct Terms {
    /// The home, the log, the policy.
    pub runtime: Arc<Runtime>,
    /// Who its clients may be.
    pub callers: Callers,
    /// Where runs have their private directories. Nobody else's.
    pub runs: PathBuf,
    /// What becomes the stage of a confined child.
    pub stage: Stage,
    /// Where programs are looked for.
    pub tool_path: ToolPath,
    /// What children see besides the system, to read.
    pub visible: Vec<PathBuf>,
    /// Whom children run as; without, as the user of this process.
    pub uids: Option<Uids>,
    /// What children reach.
    pub network: Vec<Destination>,
    /// What is given to which children.
    pub credentials: Vec<Source>,
    /// What a child may use up.
    pub limits: Bounds,
    /// The operation that everything happens within: an agent's run.
    pub within: Option<Session>,
    /// The task that everything belongs to, whatever a client says.
    pub task: Option<TaskName>,
}

/// Who clients of a broker are.
#[derive(Clone, Debug)]
pub enum Callers {
    /// Each is the user of the host that the kernel says, or the agent whose token it shows.
    Host,
    /// Whoever reaches the socket speaks for the user of this process, as this agent if one is named,
    /// whose token is in the home: `iddio run`.
    Own {
        /// The agent.
        agent: Option<String>,
    },
}

/// A broker at work. Dropped, it ends every run, and returns when all of them are over.
#[must_use]
pub struct Serving {
    stop: Bell,
    thread: Option<JoinHandle<io::Result<()>>>,
}

// === impl Serving ===

impl Serving {
    /// Serves `listener` on these terms, from threads of its own.
    ///
    /// # Errors
    ///
    /// When the place of the runs cannot be had, or there is no thread or descriptor left.
    pub fn start(listener: UnixListener, terms: Terms) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let lock = clear(&terms.runs)?;
        raise_descriptors();
        let stop = Bell::new()?;
        let house = House {
            pool: Pool::of(terms.uids),
            terms: Arc::new(terms),
            guests: Arc::default(),
            gate: Arc::default(),
            _lock: lock,
        };
        let stopped = stop.clone();
        let named = thread::Builder::new().name("iddio-execd".to_owned());
        let thread = named.spawn(move || house.listen(&listener, &stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Serves until the socket fails.
    ///
    /// # Errors
    ///
    /// When it does.
    pub fn wait(mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(io::Error::other("the listening thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(thread) = self.thread.take() {
            // Whatever became of it, it is over.
            let _ = thread.join();
        }
    }
}

/// Everything that clients share.
struct House {
    terms: Arc<Terms>,
    pool: Pool,
    guests: Arc<Mutex<Guests>>,
    gate: Arc<Gate>,
    /// Held while the place of the runs is ours.
    _lock: fs::File,
}

/// The clients there are.
#[derive(Default)]
struct Guests {
    by_user: HashMap<u32, usize>,
    lines: HashMap<u64, Arc<Line>>,
    next: u64,
}

/// The place of one client.
struct Guest {
    uid: u32,
    number: u64,
    guests: Arc<Mutex<Guests>>,
}

// === impl House ===

impl House {
    fn listen(&self, listener: &UnixListener, stop: &Bell) -> io::Result<()> {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        let ended = loop {
            let both = [listener.as_fd(), stop.as_fd()];
            let mut waiting = both.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            match poll(&mut waiting, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => break Err(error.into()),
            }
            let [_, stopped] = &waiting;
            if !stopped.revents().is_empty() {
                break Ok(());
            }
            threads.retain(|thread| !thread.is_finished());
            match listener.accept() {
                Ok((socket, _)) => threads.extend(self.welcome(socket)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Out of descriptors: somebody has to leave first.
                Err(_) => thread::sleep(FULL_PAUSE),
            }
        };
        let lines: Vec<_> = self.guests().lines.values().cloned().collect();
        lines.iter().for_each(|line| line.leave());
        threads.into_iter().for_each(|thread| drop(thread.join()));
        ended
    }

    /// Gives a client a thread, or says why there is none.
    fn welcome(&self, socket: UnixStream) -> Option<JoinHandle<()>> {
        // Without the kernel's word on who it is, there is nobody to speak to.
        let uid = match &self.terms.callers {
            // Held by a descriptor while it is looked at, so that it is nobody else by then.
            Callers::Host => Peer::of(&socket).ok()?.uid,
            // It may be in a process namespace of its own.
            Callers::Own { .. } => socket_peercred(&socket).ok()?.uid.as_raw(),
        };
        let user = match &self.terms.callers {
            Callers::Host => match User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten() {
                Some(user) => user.name,
                None => {
                    turn(&socket, &Turned::ours("the user database", format!("no uid {uid}")));
                    return None;
                }
            },
            Callers::Own { .. } => self.terms.runtime.home().user().to_owned(),
        };
        let guest = match self.enter(uid) {
            Ok(guest) => guest,
            Err(turned) => {
                turn(&socket, &turned);
                return None;
            }
        };
        let (terms, pool, gate) = (self.terms.clone(), self.pool.clone(), self.gate.clone());
        let named = thread::Builder::new().name("iddio-client".to_owned());
        // Without a thread the socket is closed, which the client hears.
        named.spawn(move || attend(socket, user, terms, (&pool, gate), &guest)).ok()
    }

    fn enter(&self, uid: u32) -> Result<Guest, Turned> {
        let mut guests = self.guests();
        let all: usize = guests.by_user.values().sum();
        let own = guests.by_user.entry(uid).or_default();
        if CLIENTS_MAX <= all || CLIENTS_PER_USER_MAX <= *own {
            return Err(Turned::ours("the broker", "too many commands are under way"));
        }
        *own += 1;
        guests.next += 1;
        Ok(Guest { uid, number: guests.next, guests: self.guests.clone() })
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Guest ===

impl Guest {
    fn speaks(&self, line: &Arc<Line>) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.lines.insert(self.number, line.clone());
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.lines.remove(&self.number);
        if let Some(own) = guests.by_user.get_mut(&self.uid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                guests.by_user.remove(&self.uid);
            }
        }
    }
}

/// Attends to one client.
fn attend(
    socket: UnixStream,
    user: String,
    terms: Arc<Terms>,
    (pool, gate): (&Pool, Arc<Gate>),
    guest: &Guest,
) {
    let (start, descriptors) = match hear(&socket) {
        Ok(heard) => heard,
        Err(CarryError::Closed | CarryError::Late) => return,
        Err(error) => return turn(&socket, &Turned::ours("what was asked", error)),
    };
    let Ok(line) = Line::new(socket, start.window).map(Arc::new) else { return };
    guest.speaks(&line);
    let hearing = line.clone();
    let ear = thread::Builder::new().name("iddio-hear".to_owned()).stack_size(STACK_BYTES);
    let Ok(ear) = ear.spawn(move || hearing.hear()) else { return };
    let lease = pool.lease().map_err(|error| Turned::ours("a user", error));
    let session = lease.and_then(|lease| {
        session::Session::open(terms, line.clone(), user, start, descriptors, (lease, gate))
    });
    match session {
        Ok(session) => session.serve(),
        Err(Turned { code, what, hint }) => line.say(&Say::Failed { code, what, hint }, &[]),
    }
    line.leave();
    // It hears that the conversation is over.
    let _ = ear.join();
}

/// Tells a client that it is not served.
fn turn(socket: &UnixStream, turned: &Turned) {
    let Turned { code, what, hint } = turned;
    let say = Say::Failed { code: *code, what: what.clone(), hint: hint.clone() };
    if let Ok(frame) = say.frame() {
        // It is turned away in either case.
        let _ = send(socket, &frame, &[]);
    }
}

/// Takes the place of the runs, and removes what a broker that was killed left there.
fn clear(runs: &Path) -> io::Result<fs::File> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(runs)?;
    let mut options = fs::OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).open(runs.join(LOCK))?;
    let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive);
    taken.map_err(|_| io::Error::other("another broker has its runs here"))?;
    for entry in fs::read_dir(runs)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path());
        }
    }
    Ok(lock)
}

/// Lets this process have as many descriptors as it may: each client takes about twenty.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With fewer than that, fewer clients are served.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

const LOCK: &str = "lock";

/// The most clients at once.
pub const CLIENTS_MAX: usize = 1024;

/// The most of one user, so that there is always room for another.
pub const CLIENTS_PER_USER_MAX: usize = 640;

/// How long nobody is let in after descriptors ran out.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// A thread that only hears.
const STACK_BYTES: usize = 256 * 1024;
