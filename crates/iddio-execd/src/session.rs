//! One client, from its first word to the last.
//!
//! It hears what the client wants, lays out the client's tree in a directory of its own, and takes the
//! command through the gateway of [`iddio_exec`]. INVARIANT: every client that said what it wants is told
//! how that ended, unless it left before.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use iddio_core::{
    audit::{AdminEvent, Field},
    operation::{Effect, Operations},
    principal::{Identified, TaskName},
    text::RawText,
};
use iddio_exec::{
    catalogs::Catalogs,
    hand::{Input, Source},
    outputs::Outputs,
    prepare::Setting,
    refuse,
    serve::{Gateway, Narrate, Served, counts},
};
use iddio_runtime::{
    assemble::{Notice, Prompt},
    clock::draw_id,
    identity::{Credentials, identify, identify_peer},
};

use crate::{
    carry::{CarryError, receive_until},
    confine::{Base, Lease},
    credentials::Minter,
    leavings::Leavings,
    line::Line,
    run::{ClientStreams, Gate, Remote},
    scrub::Secrets,
    server::{Callers, Terms},
    stream::{Channel, Way, relay},
    tree::{self, Laid, TreeError},
    wire::{self, Ask, Say, Start, Stream, Token},
};

/// One client.
pub(crate) struct Session {
    terms: Arc<Terms>,
    line: Arc<Line>,
    /// Who the kernel says it is, by the user database.
    user: String,
    start: Start,
    streams: ClientStreams,
    base: Arc<Base>,
    laid: Arc<Laid>,
    minter: Minter,
    leavings: Leavings,
    gate: Arc<Gate>,
}

/// Why a client is turned away before anything is decided: an exit code and the words.
pub(crate) struct Turned {
    pub(crate) code: u8,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

/// Hears what a client wants.
pub(crate) fn hear(socket: &UnixStream) -> Result<(Start, Vec<OwnedFd>), CarryError> {
    let until = Instant::now().checked_add(START_TIME_MAX);
    let received = receive_until(socket, START_DESCRIPTORS, until)?;
    let Ask::Start(start) = Ask::read(&received.body)? else {
        return Err(wire::WireError::Kind.into());
    };
    match received.descriptors.len() == START_DESCRIPTORS {
        true => Ok((*start, received.descriptors)),
        false => Err(CarryError::Descriptors),
    }
}

// === impl Session ===

impl Session {
    /// Lays out what a client handed over.
    pub(crate) fn open(
        terms: Arc<Terms>,
        line: Arc<Line>,
        user: String,
        start: Start,
        descriptors: Vec<OwnedFd>,
        (lease, gate): (Lease, Arc<Gate>),
    ) -> Result<Self, Turned> {
        let given: Result<[OwnedFd; START_DESCRIPTORS], _> = descriptors.try_into();
        let Ok([stdin, stdout, stderr, archive]) = given else {
            return Err(Turned::ours("descriptors", "not those that were counted"));
        };
        let stream = |fd, way| Channel::of_client(fd, way).map(Arc::new).map_err(Turned::usage);
        let streams = ClientStreams {
            kinds: start.streams,
            stdin: stream(stdin, Way::In)?,
            stdout: stream(stdout, Way::Out)?,
            stderr: stream(stderr, Way::Out)?,
        };
        let archive = Channel::of_client(archive, Way::In).map_err(Turned::usage)?;
        let tree = PathBuf::from(&start.tree);
        let inside = Path::new(&start.directory).starts_with(&tree) && is_plain(&start.directory);
        if !is_plain(&start.tree) || !inside {
            return Err(Turned::usage("a working directory is a full path inside its tree"));
        }
        let id = draw_id().map_err(|error| Turned::ours("random numbers", error))?;
        let base = Base::make(&terms.runs, &id.to_string(), tree, lease)
            .map_err(|error| Turned::ours("a private directory", error))?;
        let mut session = Self {
            minter: Minter::new(terms.clone()),
            terms,
            line,
            user,
            start,
            streams,
            base: Arc::new(base),
            laid: Arc::default(),
            leavings: Leavings::default(),
            gate,
        };
        session.lay(archive)?;
        Ok(session)
    }

    /// Lays out the tree, which arrives through a pipe, unless the client leaves meanwhile.
    fn lay(&mut self, archive: Channel) -> Result<(), Turned> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| Turned::ours("a pipe", error))?;
        let to = Channel::own(write).map_err(|error| Turned::ours("a pipe", error))?;
        let bell = self.line.bell.clone();
        let laid = thread::scope(|scope| {
            // Ends when the client has sent it all, or has gone, which closes the pipe.
            scope.spawn(move || relay(&archive, &to, Secrets::default(), &bell));
            tree::lay(File::from(read), &self.base.work())
        });
        match laid {
            Ok(laid) => {
                if 0 < laid.links_left {
                    let left = laid.links_left;
                    self.remark(&format!("{left} links that lead out of the tree are left out"));
                }
                self.laid = Arc::new(laid);
                Ok(())
            }
            Err(error @ TreeError::Large) => Err(Turned::usage(error)),
            Err(error @ TreeError::Archive(_)) => Err(Turned::usage(error)),
            Err(error @ TreeError::Io(_)) => Err(Turned::ours("the tree", error)),
        }
        .and_then(|()| {
            // The directory the caller is in may have nothing in it, and then did not travel.
            let below = self.base.reach().rebased(Path::new(&self.start.directory));
            std::fs::create_dir_all(below).map_err(|error| Turned::ours("the tree", error))
        })
    }

    fn remark(&self, text: &str) {
        self.line.say(&Say::Remark(text.to_owned()), &[]);
    }

    /// Takes the command through, and says how it ended.
    pub(crate) fn serve(self) {
        let last = match self.command() {
            Ok(last) => last,
            Err(Turned { code, what, hint }) => Say::Failed { code, what, hint },
        };
        if matches!(last, Say::Ended(_)) {
            self.give_back();
        }
        let line = self.line.clone();
        // Who is told that it is over finds nothing of it.
        drop(self);
        line.say(&last, &[]);
    }

    fn command(&self) -> Result<Say, Turned> {
        let Terms { runtime, tool_path, .. } = &*self.terms;
        let caller = self.caller()?;
        let ours = |error: &dyn std::fmt::Display| Turned::ours("the home", error);
        let trusted = runtime.trusted().map_err(|error| ours(&error))?;
        let stdin = self.streams.stdin.as_fd().try_clone_to_owned().map_err(|e| ours(&e))?;
        let source = match self.start.streams[0] {
            Stream::Plain => Source::Plain,
            Stream::Terminal => Source::Terminal,
        };
        let outputs = Outputs::declared(&self.start.outputs, Path::new(&self.start.directory));
        let outputs = outputs.map_err(Turned::usage)?;
        let setting = Setting {
            home: runtime.home().clone(),
            user_home: self.base.home(),
            tool_path: tool_path.clone(),
            environment: environment(&self.start),
            directory: self.base.reach().rebased(Path::new(&self.start.directory)),
            catalogs: Catalogs::load(runtime.home(), &trusted),
            trusted,
            reach: self.base.reach(),
            stdin: Input::Given { fd: Arc::new(stdin), source },
            runs: self.base.runs(),
            outputs,
        };
        let narrator = Arc::new(Teller { line: self.line.clone(), ignored: Mutex::default() });
        let hand = Remote {
            terms: self.terms.clone(),
            line: self.line.clone(),
            base: self.base.clone(),
            streams: self.streams.clone(),
            gate: self.gate.clone(),
            minter: self.minter.clone(),
            laid: self.laid.clone(),
            leavings: self.leavings.clone(),
        };
        let because = self.start.because.as_deref().map(|because| {
            let bytes = because.as_encoded_bytes();
            RawText::new(bytes.to_vec())
        });
        let words = self.start.words.clone();
        let served = Gateway::new(runtime, setting, caller, Prompt::Off, narrator.clone(), hand)
            .and_then(|gateway| gateway.within(self.terms.within.clone()).serve(words, because));
        self.record_ignored(&narrator);
        Ok(match served {
            Ok(Served::Ran(code)) => Say::Ended(code),
            Ok(Served::Refused(refused)) => Say::Refused {
                tier: refused.tier.number(),
                lines: refused.lines(),
                json: refused.json().to_string(),
            },
            Err(error) => Say::Failed {
                code: error.exit_code(),
                what: error.to_string(),
                hint: error.hint().map(str::to_owned),
            },
        })
    }

    /// Returns who calls: never from a name, only from the kernel or a token. The task is the one that was said
    /// outside, and where none was, the one that the caller names.
    fn caller(&self) -> Result<Identified, Turned> {
        let home = self.terms.runtime.home();
        let Start { agent, token, task, .. } = &self.start;
        let named = |name: &String| {
            TaskName::new(name)
                .ok_or_else(|| Turned::usage(format!("`{name}` is no name of a task")))
        };
        let claimed = task.as_ref().map(named).transpose()?;
        if let Some((own, other)) = self.terms.task.as_ref().zip(claimed.as_ref())
            && own != other
        {
            self.remark(&format!("this belongs to the task {own}, and not to {other}"));
        }
        let token = token.as_ref().map(Token::expose);
        let identified = match &self.terms.callers {
            Callers::Host => {
                identify_peer(home, &self.user, &Credentials { agent: agent.as_deref(), token })
            }
            Callers::Own { agent: own } => {
                let agent = own.as_deref().or(agent.as_deref().filter(|_| token.is_some()));
                identify(home, &Credentials { agent, token })
            }
        };
        let identified = identified.map_err(Turned::usage)?;
        Ok(identified.on_task(self.terms.task.clone()).on_task(claimed))
    }

    /// Hands back what the command was to write, and names what it left besides.
    fn give_back(&self) {
        let Some(left) = self.leavings.take() else { return };
        if let Some(remark) = left.remark() {
            self.remark(&remark);
        }
        let Some(changes) = left.declared() else { return };
        let handed = || -> Result<(), TreeError> {
            let archive = self.base.unnamed_file()?;
            tree::give(&self.base.work(), changes, || self.minter.given().cleaning(), &archive)?;
            // To read alone: what a client may write stays here as long as it holds it.
            let place = format!("/proc/self/fd/{}", archive.as_raw_fd());
            let archive = File::open(place)?;
            self.line.say(&Say::Back, &[archive.as_fd()]);
            Ok(())
        };
        if let Err(error) = handed() {
            self.remark(&format!("what the command wrote could not be brought back: {error}"));
        }
    }

    /// Records the answers that were none, once nothing waits for an answer any more.
    fn record_ignored(&self, teller: &Teller) {
        let mut ignored = teller.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, why) in std::mem::take(&mut *ignored) {
            let fields = vec![
                ("ask", Field::Text(id.as_str().into())),
                ("reason", Field::Text(why.as_str().into())),
            ];
            let event = AdminEvent { event: "approval.ignored", principal: None, fields };
            if let Err(error) = self.terms.runtime.record(event) {
                self.remark(&error.to_string());
            }
        }
    }
}

// === impl Turned ===

impl Turned {
    fn usage(error: impl ToString) -> Self {
        Self { code: USAGE, what: error.to_string(), hint: None }
    }

    pub(crate) fn ours(what: &str, error: impl std::fmt::Display) -> Self {
        Self { code: UNAVAILABLE, what: format!("{what}: {error}"), hint: None }
    }
}

/// Tells a client of its ask while it waits.
struct Teller {
    line: Arc<Line>,
    ignored: Mutex<Vec<(String, String)>>,
}

impl Narrate for Teller {
    fn asking(&self, operations: &Operations, effects: &[Effect]) {
        let worst = operations.worst();
        let say = Say::Asking {
            tier: worst.native_tier().number(),
            command: refuse::command(worst),
            workspace: worst.description.workspace.clone(),
            counts: counts(effects),
        };
        self.line.say(&say, &[]);
    }

    fn notice(&self, notice: Notice) {
        let notice = match notice {
            Notice::Waiting { id, lapses_millis, .. } => {
                wire::Notice::Waiting { id: id.as_str().to_owned(), lapses_millis }
            }
            Notice::NotPut { reason } | Notice::Failed { reason } => wire::Notice::Failed(reason),
            Notice::NoRegistry { reason } => wire::Notice::NoRegistry(reason),
            Notice::Ignored { id, why } => {
                let (id, why) = (id.as_str().to_owned(), why.to_string());
                let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
                if ignored.len() < IGNORED_MAX {
                    ignored.push((id.clone(), why.clone()));
                }
                wire::Notice::Ignored { id, why }
            }
            Notice::Ticket { id } => wire::Notice::Ticket(id.as_str().to_owned()),
            _ => return,
        };
        self.line.say(&Say::Notice(notice), &[]);
    }

    fn remark(&self, text: &str) {
        self.line.say(&Say::Remark(text.to_owned()), &[]);
    }
}

/// Returns the caller's environment, the first of each name.
fn environment(start: &Start) -> BTreeMap<std::ffi::OsString, std::ffi::OsString> {
    let mut environment = BTreeMap::new();
    for (name, value) in &start.environment {
        environment.entry(name.clone()).or_insert_with(|| value.clone());
    }
    environment
}

/// Whether a name is a full path made of plain parts.
fn is_plain(path: &OsStr) -> bool {
    let path = Path::new(path);
    let mut parts = path.components();
    matches!(parts.next(), Some(Component::RootDir))
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// How long a client that connected may take to say what it wants.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// Three streams and a tree.
const START_DESCRIPTORS: usize = 4;

/// How many ignored answers of one command are recorded: more than a quorum has, and no more than a
/// forger should be able to write into the log.
const IGNORED_MAX: usize = 64;

/// `EX_USAGE`.
const USAGE: u8 = 64;

/// `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;
