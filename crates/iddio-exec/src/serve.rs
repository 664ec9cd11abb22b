//! Admits a command, then runs or refuses it.
//!
//! One command is one pass: find and open the program, judge it, bind what it reads, admit it, run
//! it, record its end. A bare Terraform apply that a human is asked about is two passes, the plan
//! and that plan's apply, each an operation of its own.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    drive::drive,
    forward::{self, ForwardError},
    hand::Hand,
    operation::CommandAction,
    prepare::{Examined, Place, PrepareError, Setting},
    refuse::{self, Refused},
    request::{self, First, ResolveError, Resolved, Standing},
    run_dir::RunDir,
    snapshot::{Holds, Snapshot},
    staged,
    tree::Tree,
};
use iddio_classify::{
    catalog::Catalog,
    command::{Judged, Need, Staged},
};
use iddio_core::{
    audit::{AdminEvent, AuditError, End, Field, Outcome, Refusal, Subject},
    credential::MintError,
    operation::{Effect, Operation, Operations},
    pipeline::{Committed, InFlight, Pipeline, Rejection, Request, Session, Warrant},
    policy::{Evaluation, Query, Verdict},
    principal::Identified,
    recording::MetadataOnly,
    text::RawText,
    time::Clock,
};
use iddio_runtime::{
    assemble::{self, Cancel, Notice, Prompt, Runtime},
    clock::draw_id,
    freezes::Watch,
    store::StoreError,
    tools::{By, Tools},
};
use iddio_spawn::{Ended, OpenError, Output, Status, SuperviseError};

/// One caller's commands, on their way through.
pub struct Gateway<'a, H> {
    runtime: &'a Runtime,
    setting: Setting,
    caller: Identified,
    pipeline: Pipeline,
    cancel: Cancel,
    hand: H,
    asked: Arc<Mutex<Option<String>>>,
    narrator: Arc<dyn Narrate>,
    within: Option<Session>,
}

/// Tells the caller what is going on. Nothing is told when a command is allowed.
pub trait Narrate: Send + Sync {
    /// A human is about to be asked.
    fn asking(&self, operations: &Operations, effects: &[Effect]);
    /// Something happened to the ask.
    fn notice(&self, notice: Notice);
    /// Something the caller should know and nobody decided on.
    fn remark(&self, text: &str);
}

/// How a command ended.
#[derive(Debug)]
pub enum Served {
    /// It ran, and this is its exit code.
    Ran(u8),
    /// It was refused, and the refusal is recorded.
    Refused(Box<Refused>),
}

/// Why a command neither ran nor was refused by a decision.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A record could not be stored: nothing was forwarded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// It was decided and could not be started.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The permission ran out before it was used.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// What it reads could not be bound.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// There is no such program, or it may not be executed.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The store of programs could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This process could not become a supervisor.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    /// The system failed.
    #[error("{what}: {source}")]
    System {
        /// At what.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

// === impl Gateway ===

impl<'a, H: Hand> Gateway<'a, H> {
    /// Makes the gateway of one caller, whose streams are in `hand`.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn new(
        runtime: &'a Runtime,
        setting: Setting,
        caller: Identified,
        prompt: Prompt,
        narrator: Arc<dyn Narrate>,
        hand: H,
    ) -> Result<Self, ServeError> {
        let cancel = Cancel::new().map_err(system("a cancel handle"))?;
        let asked = Arc::new(Mutex::new(None));
        let (remembered, told) = (asked.clone(), narrator.clone());
        let notice = Arc::new(move |notice: Notice| {
            if let Notice::Waiting { id, .. } = &notice {
                let mut asked = remembered.lock().unwrap_or_else(PoisonError::into_inner);
                *asked = Some(id.as_str().to_owned());
            }
            told.notice(notice);
        });
        let pipeline = runtime.pipeline(cancel.clone(), prompt, notice);
        Ok(Self { runtime, setting, caller, pipeline, cancel, hand, asked, narrator, within: None })
    }

    /// Takes every command as one within another operation, whose caller it then is.
    #[must_use]
    pub fn within(self, session: Option<Session>) -> Self {
        Self { within: session, ..self }
    }

    /// Takes a command through.
    ///
    /// # Errors
    ///
    /// When it could not be decided on, or was decided and could not be run. Both are recorded
    /// where anything can be.
    pub fn serve(
        &mut self,
        words: Vec<OsString>,
        explanation: Option<RawText>,
    ) -> Result<Served, ServeError> {
        let resolved = self.resolve(&words)?;
        let mut examined = self.setting.examine(words, &resolved.standing);
        self.setting.see_real_name(&mut examined, &resolved);
        let signals = self.hand.calls().try_clone_to_owned();
        examined.signals = Some(signals.map_err(system("a descriptor"))?);
        let examined = self.setting.read_program(examined, &resolved)?;
        let run = self.run_dir()?;
        let staged = examined.judged.plan.staged.clone();
        match staged.filter(|_| self.must_stage(&examined)) {
            Some(staged) => self.serve_staged(examined, &staged, resolved, explanation, &run),
            None => {
                let action = self.setting.prepare(examined, resolved, explanation, &run)?;
                self.pass(action, Output::Inherit).map(|(served, _)| served)
            }
        }
    }

    /// First the plan, then that plan's apply.
    fn serve_staged(
        &mut self,
        examined: Examined,
        staged: &Staged,
        resolved: Resolved,
        explanation: Option<RawText>,
        run: &RunDir,
    ) -> Result<Served, ServeError> {
        let Examined { judged, words, directory, signals: _, stdin: _ } = examined;
        let directory = directory.canonicalize().unwrap_or(directory);
        let file = run.path().map_err(system("a private directory"))?.join(staged::PLAN_NAME);
        let preview = staged::words(&staged.preview, &words, Path::new(staged::PLAN_NAME));
        let again = self.resolve(&words)?;
        let mut preview = self.setting.examine(preview, &again.standing);
        let tree = self.setting.tree(&mut preview.judged, &preview.directory.clone(), run);
        let mut action =
            self.setting.prepare_in(preview, tree, Place::Copy, again, explanation.clone(), run)?;
        staged::put(&mut action.material, &file).map_err(PrepareError::from)?;
        let kept = Output::Keep { bytes_max: PREVIEW_BYTES_MAX };
        let (served, ran) = self.pass(action, kept)?;
        let Some((action, ended)) = ran else { return Ok(served) };
        if !matches!(served, Served::Ran(0)) {
            self.hand.show(&ended.stdout);
            return Ok(served);
        }
        let sealed = staged::seal(&file).map_err(|error| ServeError::System {
            what: "the plan that was made",
            source: io::Error::other(error.to_string()),
        })?;
        let (judged, bound, effects, place) = staged::by_plan(
            judged,
            staged,
            &words,
            &directory,
            sealed,
            &self.setting.trust(&directory),
        );
        let tree = action.into_tree().filter(|_| place == Place::Copy);
        let action =
            self.setting.assemble(judged, bound, tree, effects, resolved, explanation, run)?;
        self.pass(action, Output::Inherit).map(|(served, _)| served)
    }

    /// One pass through the pipeline. Returns the action and its end where it ran.
    fn pass(
        &mut self,
        action: CommandAction,
        stdout: Output,
    ) -> Result<(Served, Option<(CommandAction, Ended)>), ServeError> {
        let id = draw_id().map_err(|error| ServeError::System {
            what: "random numbers",
            source: io::Error::other(error.to_string()),
        })?;
        let now = self.runtime.clock().now();
        let request = match &self.within {
            Some(session) => Request::within(session, id, now, action)
                .map_err(|_| {
                    let source = io::Error::other("it has ended");
                    ServeError::System { what: "the run that this is part of", source }
                })?
                .on_task_of(&self.caller),
            None => Request::new(&self.caller, id, now, action),
        };
        let committed = self.admit(request)?;
        match committed {
            Committed::Rejection(rejection) => {
                let (ask, said) = self.answer();
                let operation = self.refused(&rejection);
                let instead = self.instead(&rejection, operation);
                let refused = Refused::from_rejection(&rejection, operation, ask, said, instead);
                Ok((Served::Refused(Box::new(refused)), None))
            }
            Committed::Warrant(warrant) => self.forward(warrant, stdout),
        }
    }

    fn admit(
        &mut self,
        request: Request<CommandAction>,
    ) -> Result<Committed<CommandAction>, ServeError> {
        let (pipeline, narrator) = (self.pipeline.clone(), self.narrator.clone());
        let admitted = async move {
            let decided = request.classify().decide(&pipeline).await;
            if decided.decision().verdict == Verdict::Escalate {
                narrator.asking(decided.operations(), decided.effects());
            }
            decided.approve(&pipeline).await?.commit(&pipeline).await
        };
        let held = || self.pipeline.hold(self.caller.principal()).is_some();
        let admitted = drive(&mut self.hand, &self.cancel, held, admitted);
        Ok(admitted.map_err(system("waiting"))??)
    }

    fn forward(
        &mut self,
        warrant: Warrant<CommandAction>,
        stdout: Output,
    ) -> Result<(Served, Option<(CommandAction, Ended)>), ServeError> {
        let limit = warrant.record().decision.obligations.run_millis_max;
        let flight = async {
            let permit = warrant.mint(self.hand.minter()).await?;
            permit.exercise(&MetadataOnly).await.map_err(system("the recording"))
        };
        let (action, credential, flight) = iddio_runtime::block_on::block_on(flight)?;
        if let Err(error) = self.unchanged(&action) {
            let note = Some(error.to_string());
            self.close(flight, End { note, ..End::of(Outcome::NotForwarded) });
            return Err(error);
        }
        let watch = match Watch::start(&self.setting.home.freezes(), flight.leash()) {
            Ok(watch) => watch,
            Err(source) => {
                self.close(flight, End::of(Outcome::NotForwarded));
                return Err(ServeError::System { what: "watching freezes", source });
            }
        };
        let forwarded = forward::run(&mut self.hand, &action, credential, stdout, limit, &watch);
        let ended = match forwarded {
            Ok(ended) => ended,
            Err(error) => {
                self.close(flight, not_run(&error));
                return Err(error.into());
            }
        };
        let given_back = self.give_back(&action);
        let mut end = forward::end(&ended);
        let notes = [end.note, given_back, self.hand.look_after(&action)];
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        end.note = Some(notes.join("; ")).filter(|notes| !notes.is_empty());
        self.close(flight, end);
        self.remark_end(&ended, &watch);
        Ok((Served::Ran(forward::exit_code(&ended)), Some((action, ended))))
    }

    /// Says why a command was ended, if it did not end by itself.
    fn remark_end(&self, ended: &Ended, watch: &Watch) {
        match ended.status {
            Status::Cancelled => match watch.hold() {
                Some(hold) => {
                    self.narrator.remark(&format!("the command was ended: {}", hold.reason()));
                    self.narrator.remark(&hold.remedy());
                }
                None => self.narrator.remark("the command was ended: its caller was frozen"),
            },
            Status::TimedOut => self.narrator.remark("the command timed out and was ended"),
            Status::Exited(_) | Status::Signalled(_) | Status::TooMuchOutput => {}
        }
    }

    /// Checks that what a run reads from where it lies is still what was judged and decided on.
    fn unchanged(&self, action: &CommandAction) -> Result<(), ServeError> {
        let changed = |what| {
            let source = io::Error::other("changed before the command could start");
            Err(ServeError::System { what, source })
        };
        let material = &action.material;
        let (tree, settings) = ("the tree that was judged", "settings or programs of the tool");
        let held = material.watched.as_ref().map(Snapshot::still_holds).transpose();
        let failed = |error| ServeError::System { what: tree, source: io::Error::other(error) };
        match held.map_err(failed)? {
            Some(Holds::No) => return changed(tree),
            Some(Holds::Yes) | None => {}
        }
        match material.settings.holds(&self.setting.around(material.settings.directory())) {
            true => Ok(()),
            false => changed(settings),
        }
    }

    /// Records the end. If that fails the command has run all the same: its code is the answer, the
    /// log keeps the debt, and the caller hears of it.
    fn close(&self, flight: InFlight, end: End) {
        if let Err(error) = iddio_runtime::block_on::block_on(flight.close(end)) {
            self.narrator.remark(&format!("the end of the command is not recorded yet: {error}"));
        }
    }

    /// Copies back what the run made in its private tree.
    fn give_back(&self, action: &CommandAction) -> Option<String> {
        let tree = action.material.trees.first()?;
        match tree.give_back(&[]) {
            Ok(given) if given.conflicts.is_empty() => None,
            Ok(given) => {
                let names: Vec<_> =
                    given.conflicts.iter().map(|path| path.display().to_string()).collect();
                let text = format!("changed meanwhile, left alone: {}", names.join(", "));
                self.narrator.remark(&text);
                Some(text)
            }
            Err(error) => {
                let text = format!("not everything could be copied back: {error}");
                self.narrator.remark(&text);
                Some(text)
            }
        }
    }

    /// Whether the apply must be seen as a plan first: policy would let it through, asking a human
    /// or not. What is refused as it stands is refused at once.
    fn must_stage(&self, examined: &Examined) -> bool {
        let now = self.runtime.clock().now();
        let Judged { operation, within, plan } = &examined.judged;
        let refused = std::iter::once(operation).chain(within).any(|operation| {
            let query = Query { principal: self.caller.principal(), operation, now };
            match self.pipeline.policy.evaluate(&query) {
                Evaluation::Now(decision) => decision.verdict == Verdict::Deny,
                Evaluation::Later(_) => false,
            }
        });
        !refused && plan.needs.contains(&Need::BareApply)
    }

    fn resolve(&self, words: &[OsString]) -> Result<Resolved, ServeError> {
        let name = words.first().map(OsString::as_os_str).unwrap_or_default();
        let Setting { home, tool_path, directory, reach, trusted, .. } = &self.setting;
        let resolved = match request::resolve(home, tool_path, directory, name, trusted, reach) {
            Ok(resolved) => resolved,
            Err(error) => {
                self.record_unresolved(name, &error)?;
                return Err(error.into());
            }
        };
        match &resolved.standing {
            Standing::Tool { first: First::Yes, tool } if Catalog::for_program(tool).is_some() => {
                self.pin(&resolved)?;
            }
            Standing::Changed { .. }
            | Standing::Tool { .. }
            | Standing::Trusted { .. }
            | Standing::Unknown => {}
        }
        Ok(resolved)
    }

    /// Remembers a tool at its first use, and records that.
    fn pin(&self, resolved: &Resolved) -> Result<(), ServeError> {
        let now = self.runtime.clock().now().wall.to_string();
        let path = resolved.program.path().as_os_str().as_bytes();
        let _recorded = self.runtime.record(AdminEvent {
            event: "tool.pinned",
            principal: Some(self.caller.principal().clone()),
            fields: vec![
                ("path", Field::Text(RawText::new(path))),
                ("sha256", Field::Digest(resolved.digest)),
            ],
        })?;
        Tools::of(&self.setting.home).learn(request::known(resolved, By::Pin, now))?;
        Ok(())
    }

    fn record_unresolved(&self, name: &OsStr, error: &ResolveError) -> Result<(), AuditError> {
        let _recorded = self.runtime.record(AdminEvent {
            event: "exec.unresolved",
            principal: Some(self.caller.principal().clone()),
            fields: vec![
                ("program", Field::Text(RawText::new(name.as_bytes()))),
                ("reason", Field::Text(error.to_string().into())),
            ],
        })?;
        Ok(())
    }

    fn run_dir(&self) -> Result<RunDir, ServeError> {
        let id = draw_id().map_err(|error| ServeError::System {
            what: "random numbers",
            source: io::Error::other(error.to_string()),
        })?;
        Ok(RunDir::of(&self.setting.runs, id))
    }

    /// Returns the ask that was made, and what was said to it.
    fn answer(&self) -> (Option<String>, Option<String>) {
        let ask = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = ask.as_deref().and_then(|ask| {
            let mut queue = assemble::queue(&self.setting.home, self.runtime.clock()).ok()?;
            queue.show(ask).ok()?.ended?.reason
        });
        (ask, said)
    }

    /// Says how the caller is thawed, if nobody did that meanwhile.
    fn thawing(&self) -> Option<String> {
        self.pipeline.hold(self.caller.principal()).map(|hold| hold.remedy())
    }

    /// Returns the operation that the rule of a refusal is about, which need not be the worst.
    fn refused<'r>(&self, rejection: &'r Rejection) -> &'r Operation {
        let Subject { operations, .. } = &rejection.record().subject;
        let record = &rejection.record().decision;
        let now = self.runtime.clock().now();
        let decides = |operation: &&Operation| {
            let query = Query { principal: self.caller.principal(), operation, now };
            match self.pipeline.policy.evaluate(&query) {
                Evaluation::Now(decision) => {
                    decision.verdict == record.verdict && decision.rule == record.rule
                }
                Evaluation::Later(_) => false,
            }
        };
        operations.worst_first().into_iter().find(decides).unwrap_or_else(|| operations.worst())
    }

    /// Says what the same rule lets through.
    fn instead(&self, rejection: &Rejection, operation: &Operation) -> Vec<String> {
        if rejection.reason() == Refusal::Frozen {
            return self.thawing().into_iter().collect();
        }
        refuse::instead(operation, |tier| {
            let operation = Operation { tier, overrides: Vec::new(), ..operation.clone() };
            let now = self.runtime.clock().now();
            let query = Query { principal: self.caller.principal(), operation: &operation, now };
            match self.pipeline.policy.evaluate(&query) {
                Evaluation::Now(decision) => decision.verdict,
                Evaluation::Later(_) => Verdict::Deny,
            }
        })
    }
}

// === impl ServeError ===

impl ServeError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Audit(_) => Some("nothing runs that cannot be recorded: iddio doctor"),
            Self::Resolve(_) => {
                Some("tools are found in the system's directories or by iddio tool trust PATH")
            }
            _ => None,
        }
    }

    /// Returns the exit code: 126 and 127 as `env` has them, 69 for everything that is not there.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Resolve(ResolveError::Open(error)) => OpenError::exit_code(error),
            Self::Forward(ForwardError::NotStarted(error)) => error.exit_code(),
            Self::Forward(ForwardError::Frozen(_)) | Self::Mint(MintError::Frozen) => REFUSED,
            Self::Audit(_)
            | Self::Forward(
                ForwardError::Left | ForwardError::Lost(_) | ForwardError::NotConfined(_),
            )
            | Self::Mint(_)
            | Self::Prepare(_)
            | Self::Resolve(_)
            | Self::Store(_)
            | Self::Supervise(_)
            | Self::System { .. } => UNAVAILABLE,
        }
    }
}

// === impl CommandAction ===

impl CommandAction {
    /// Takes the private tree back from an action that ran.
    fn into_tree(self) -> Option<Tree> {
        let snapshot: Snapshot = self.material.trees.into_iter().next()?;
        Some(Tree { snapshot, module: self.module })
    }
}

/// Returns how many resources a plan adds, changes and destroys, if it is one.
pub fn counts(effects: &[Effect]) -> Option<String> {
    let resources = || effects.iter().filter(|effect| !effect.text.starts_with("output."));
    let count =
        |signs: &[&str]| resources().filter(|effect| signs.contains(&effect.sign.as_str())).count();
    let (add, change, destroy) =
        (count(&["+", "-/+", "+/-"]), count(&["~"]), count(&["-", "-/+", "+/-"]));
    (!effects.is_empty()).then(|| format!("{add} to add, {change} to change, {destroy} to destroy"))
}

fn not_run(error: &ForwardError) -> End {
    let outcome = match error {
        ForwardError::Frozen(_) | ForwardError::NotConfined(_) | ForwardError::NotStarted(_) => {
            Outcome::NotForwarded
        }
        ForwardError::Left | ForwardError::Lost(_) => Outcome::Abandoned,
    };
    End { note: Some(error.to_string()), ..End::of(outcome) }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError::System { what, source }
}

/// The most a preview may print: it is shown only if it failed.
const PREVIEW_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `EX_NOPERM`.
const REFUSED: u8 = 77;

/// `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;
