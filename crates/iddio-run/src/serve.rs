//! Takes a run through the pipeline, starts the agent, and stays with it to its end.
//!
//! INVARIANT: the record of the run encloses it: the agent starts after the decision is durable, and its end is
//! recorded after every process of it is gone and its tools have stopped.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use iddio_core::{
    audit::{self, AuditError, Outcome},
    credential::{MintError, NoCredential},
    digest::Digest,
    operation::Operations,
    pipeline::{Committed, InFlight, Rejection, Request, Session, Warrant},
    policy::Verdict,
    principal::Identified,
    recording::MetadataOnly,
    text::RawText,
    time::Clock,
};
use iddio_net::{Relay, Tally};
use iddio_runtime::{
    assemble::{Cancel, Notice, Prompt, Runtime},
    block_on::block_on,
    clock::draw_id,
    freezes::Watch,
};
use iddio_spawn::sandbox::{Applied, Confined, Job, Launch, Stage, StartError};
use iddio_spawn::{HashError, Status};
use rustix::fs::{AtFlags, Mode, OFlags, chmodat, open};

use crate::grant::Grant;
use crate::operation::RunAction;
use crate::terminal::{End, Side};

/// What answers when the agent uses a tool.
pub trait Tools {
    /// Serves `listener` until what is returned is dropped; by then every tool has ended.
    ///
    /// What is asked for is asked for within `session`, which is the agent's run.
    ///
    /// # Errors
    ///
    /// When there is no thread or no descriptor left.
    fn serve(&self, listener: UnixListener, session: Session) -> io::Result<Box<dyn Send>>;
}

/// Tells the caller what is going on.
pub trait Narrate: Send + Sync {
    /// A human is about to be asked.
    fn asking(&self, operations: &Operations);
    /// Something happened to the ask.
    fn notice(&self, notice: Notice);
    /// The agent is about to start.
    fn starting(&self, grant: &Grant);
    /// The agent runs, with this in force.
    fn started(&self, applied: &Applied);
    /// It has ended, and the caller should know this.
    fn remark(&self, text: &str);
}

/// Everything a run takes, besides what the agent gets.
pub struct Setting<'a> {
    /// The home, the log, the policy.
    pub runtime: &'a Runtime,
    /// Who asks.
    pub caller: &'a Identified,
    /// Whether a human at this terminal may be asked.
    pub prompt: Prompt,
    /// What answers when a tool is used.
    pub tools: &'a dyn Tools,
    /// A private directory of this run.
    pub directory: &'a Path,
    /// What the caller hears.
    pub narrator: Arc<dyn Narrate>,
}

/// How a run ended.
pub enum Served {
    /// It ran, and this is its exit code.
    Ran(u8),
    /// It was refused, and the refusal is recorded.
    Refused(Box<Rejection>),
}

/// Why a run was neither refused nor followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A record could not be stored: nothing was started.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The agent's program could not be read.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The permission ran out before it was used.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The agent could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system failed.
    #[error("{what}: {source}")]
    System {
        /// At what.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// What a run leaves for its record.
struct Ran {
    end: End,
    applied: Applied,
    tally: Tally,
    millis: u64,
    /// What it made that may run elsewhere later.
    made: Vec<String>,
}

// === impl Setting ===

impl Setting<'_> {
    /// Runs an agent.
    ///
    /// # Errors
    ///
    /// When it could not be decided on, or was decided and could not be run. Both are recorded where anything can be.
    pub fn serve(&self, grant: Grant, explanation: Option<RawText>) -> Result<Served, ServeError> {
        let program_digest = Digest::from_bytes(grant.program.sha256()?);
        let action = RunAction { grant, program_digest, explanation };
        let id = draw_id().map_err(|error| system("random numbers")(io::Error::other(error)))?;
        let now = self.runtime.clock().now();
        let request = Request::new(self.caller, id, now, action);
        match self.admit(request)? {
            Committed::Rejection(rejection) => Ok(Served::Refused(Box::new(rejection))),
            Committed::Warrant(warrant) => self.forward(warrant).map(Served::Ran),
        }
    }

    fn admit(&self, request: Request<RunAction>) -> Result<Committed<RunAction>, ServeError> {
        let cancel = Cancel::new().map_err(system("a cancel handle"))?;
        let told = self.narrator.clone();
        let notice = Arc::new(move |notice: Notice| told.notice(notice));
        let pipeline = self.runtime.enforcing_pipeline(cancel, self.prompt, notice);
        Ok(block_on(async {
            let decided = request.classify().decide(&pipeline).await;
            if decided.decision().verdict == Verdict::Escalate {
                self.narrator.asking(decided.operations());
            }
            decided.approve(&pipeline).await?.commit(&pipeline).await
        })?)
    }

    fn forward(&self, warrant: Warrant<RunAction>) -> Result<u8, ServeError> {
        let flight = async {
            let permit = warrant.mint(&NoCredential).await?;
            permit.exercise(&MetadataOnly).await.map_err(system("the recording"))
        };
        let (action, (), flight) = block_on(flight)?;
        match self.run(&action.grant, &flight) {
            Ok(ran) => {
                let (code, end) = worded(&ran);
                if ran.end == End::Held {
                    let hold = flight.leash().hold();
                    let why =
                        hold.map_or_else(|| "its caller was frozen".to_owned(), |h| h.reason());
                    self.narrator.remark(&format!("the agent was ended: {why}"));
                }
                for made in &ran.made {
                    let what = "which may run programs when it is used outside: look at it first";
                    self.narrator.remark(&format!("the agent made `{made}`, {what}"));
                }
                self.close(flight, end);
                Ok(code)
            }
            Err(error) => {
                let note = Some(error.to_string());
                self.close(flight, audit::End { note, ..audit::End::of(Outcome::NotForwarded) });
                Err(error)
            }
        }
    }

    /// Starts the agent and follows it to its end.
    fn run(&self, grant: &Grant, flight: &InFlight) -> Result<Ran, ServeError> {
        let freezes = self.runtime.home().freezes();
        let watch = Watch::start(&freezes, flight.leash()).map_err(system("watching freezes"))?;
        if watch.hold().is_some() {
            return Err(MintError::Frozen.into());
        }
        let socket = self.directory.join(SOCKET_NAME);
        let listener = bind(self.directory).map_err(system("the socket of the tools"))?;
        let tools = self.tools.serve(listener, flight.session());
        let tools = tools.map_err(system("serving the tools"))?;
        let mut side = Side::open().map_err(system("the terminal"))?;
        self.narrator.starting(grant);
        let started = Instant::now();
        let mut confined = start(grant, &socket, &side)?;
        let applied = confined.applied().clone();
        self.narrator.started(&applied);
        let relays = confined.take_listeners().into_iter();
        let relays: Vec<_> = relays
            .map(|listener| Relay::start(listener, grant.network.clone()))
            .collect::<Result<_, _>>()
            .map_err(system("the way out"))?;
        let end = side.follow(confined, watch.held().as_fd()).map_err(system("the agent"))?;
        drop(side);
        // What the agent asked for last ends with it.
        drop(tools);
        let tally = relays.first().map(Relay::tally).unwrap_or_default();
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let made = grant.made().into_iter().map(|path| path.display().to_string()).collect();
        Ok(Ran { end, applied, tally, millis, made })
    }

    /// Records the end. If that fails the agent has run all the same, and the log keeps the debt.
    fn close(&self, flight: InFlight, end: audit::End) {
        if let Err(error) = block_on(flight.close(end)) {
            self.narrator.remark(&format!("the end of the run is not recorded yet: {error}"));
        }
    }
}

fn start(grant: &Grant, socket: &Path, side: &Side) -> Result<Confined, ServeError> {
    let stage = Stage::current().map_err(system("this program"))?;
    let job = Job {
        program: &grant.program,
        launch: Launch::At(grant.program.path().to_owned()),
        arguments: &grant.arguments,
        environment: &grant.environment,
        directory: &grant.workspace,
        inputs: &[],
        streams: side.streams().map_err(system("the streams"))?,
    };
    Ok(grant.sandbox(socket).start(&stage, job)?)
}

/// Listens in `directory`, however long its name is: the name of a socket is short.
fn bind(directory: &Path) -> io::Result<UnixListener> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = open(directory, flags, Mode::empty())?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET_NAME}", held.as_raw_fd()))?;
    // For whomever the agent runs as. Outside of the box nobody else gets as far as the directory.
    chmodat(&held, SOCKET_NAME, Mode::from_raw_mode(0o666), AtFlags::empty())?;
    Ok(listener)
}

/// Returns the exit code and the end for the record.
fn worded(ran: &Ran) -> (u8, audit::End) {
    let (code, outcome) = match ran.end {
        End::Held => (REFUSED, Outcome::Frozen),
        End::Itself(status) => (Status::exit_code(status), Outcome::Forwarded),
    };
    let list = |what: &str, counts: &std::collections::BTreeMap<String, u64>| {
        let counted: Vec<_> =
            counts.iter().map(|(name, count)| format!("{name} {count}×")).collect();
        (!counted.is_empty()).then(|| format!("{what} {}", counted.join(", ")))
    };
    let fenced = format!("fenced by Landlock {}", ran.applied.landlock);
    let notes = [
        Some(fenced),
        list("connected to", &ran.tally.connected),
        list("refused", &ran.tally.refused),
    ];
    let made = (!ran.made.is_empty()).then(|| format!("made {}", ran.made.join(", ")));
    let note = notes.into_iter().chain([made]).flatten().collect::<Vec<_>>().join("; ");
    let end = audit::End {
        exit_code: Some(code),
        duration_ms: Some(ran.millis),
        note: Some(note),
        ..audit::End::of(outcome)
    };
    (code, end)
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError::System { what, source }
}

/// `EX_NOPERM`, as for a refusal.
const REFUSED: u8 = 77;
const SOCKET_NAME: &str = "run.sock";
