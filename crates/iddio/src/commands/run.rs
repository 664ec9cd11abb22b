//! `iddio run`: an agent in a box.

use std::{env, io, os::unix::net::UnixListener, path::PathBuf, sync::Arc};

use iddio_approve::{Notice, Prompt, render};
use iddio_core::{operation::Operations, pipeline::Session, principal::TaskName, text::RawText};
use iddio_exec::{
    refuse::{self, Refused},
    run_dir::RunDir,
};
use iddio_execd::{
    config::{Bounds, Uids},
    server::{Callers, Serving, Terms},
};
use iddio_net::Destination;
use iddio_run::{
    grant::{Grant, GrantError, Surroundings, Wish},
    profile::Profile,
    serve::{Narrate, ServeError, Served, Setting, Tools},
};
use iddio_runtime::{assemble::Runtime, clock::draw_id, home::Home, mode::Mode};
use iddio_spawn::{
    ToolPath,
    sandbox::{Applied, Ids, Stage},
};

use crate::{
    cli::RunArgs,
    commands,
    exit::{DONE, Ended, Failure, REFUSED},
    output::{self, Paint, Voice, foreign, tier_paint},
};

pub(crate) fn run(arguments: RunArgs, voice: Voice) -> Ended {
    if env::var_os(WITHIN).is_some() {
        return Err(Failure::usage("this is a box already: iddio run starts one from outside"));
    }
    let mode = mode(&arguments);
    let runtime = Arc::new(commands::runtime(voice)?.in_mode(mode));
    let RunArgs { agent, because, task, explain, json, .. } = &arguments;
    let (agent, because, explain, json) = (agent.clone(), because.clone(), *explain, *json);
    let task = task.clone();
    let caller = commands::caller(runtime.home(), agent.as_deref())?.on_task(task.clone());
    let grant = grant(arguments, mode, runtime.home())?;
    if explain {
        return shown(&grant, json);
    }
    let prompt = if json { Prompt::Off } else { Prompt::WhereEnough };
    let narrator =
        Arc::new(Narrator { voice, json, who: caller.principal().id.as_str().to_owned() });
    let id = draw_id().map_err(Failure::unavailable)?;
    // Beside iddio's home and not in it: the tools of the agent work here, and what leads into that home is evasion.
    let directory = RunDir::of(&runtime.home().user_directory().join(RUNS), id);
    let tools = Broker {
        runtime: runtime.clone(),
        agent,
        runs: directory.path()?.join("tools"),
        network: grant.network.clone(),
        task,
    };
    let setting = Setting {
        runtime: &runtime,
        caller: &caller,
        prompt,
        tools: &tools,
        directory: directory.path()?,
        narrator,
    };
    let code = match setting.serve(grant, because.map(RawText::from)) {
        Ok(Served::Ran(code)) => code,
        Ok(Served::Refused(rejection)) => {
            let refused = {
                let worst = rejection.record().subject.operations.worst();
                Refused::from_rejection(&rejection, worst, None, None, Vec::new())
            };
            say_refused(&refused, json, voice);
            REFUSED
        }
        Err(error) => return Err(failure(&error)),
    };
    match runtime.finish() {
        Ok(()) => Ok(code),
        Err(error) if code == DONE => Err(Failure::unavailable(error)),
        Err(error) => {
            voice.tell(foreign(&error.to_string()));
            Ok(code)
        }
    }
}

fn mode(arguments: &RunArgs) -> Mode {
    match (arguments.observe, arguments.shadow) {
        (true, _) => Mode::Observe,
        (_, true) => Mode::Shadow,
        _ => Mode::Enforce,
    }
}

/// Works out what the agent gets.
fn grant(arguments: RunArgs, mode: Mode, home: &Home) -> Result<Grant, Failure> {
    let RunArgs { profile, allow_net, read, write, user, command, .. } = arguments;
    let profiles = home.root().join("run");
    let named = command.first().map(PathBuf::from);
    let program = named.as_deref().and_then(|path| path.file_name()?.to_str()).unwrap_or_default();
    let profile = match profile {
        Some(name) => Profile::named(&name, &profiles),
        None => Profile::for_program(program, &profiles),
    };
    let profile = profile.map_err(|error| Failure::usage(error.to_string()))?;
    let (ids, user, user_home) = whom(user.as_deref(), home)?;
    let directory = env::current_dir()
        .and_then(|directory| directory.canonicalize())
        .map_err(|error| Failure::unavailable(format!("working directory: {error}")))?;
    let around = Surroundings {
        home: user_home,
        user,
        iddio_home: home.root().to_owned(),
        directory,
        environment: commands::environment(),
        iddio: env::current_exe().map_err(Failure::unavailable)?,
        ids,
    };
    let wish = Wish { command, profile, network: allow_net, read, write, mode };
    Grant::of(wish, &around).map_err(ungranted)
}

/// Returns whom the agent runs as.
fn whom(named: Option<&str>, home: &Home) -> Result<(Ids, String, PathBuf), Failure> {
    match (named, rustix::process::geteuid().is_root()) {
        (None, false) => Ok((Ids::Own, home.user().to_owned(), home.user_directory().to_owned())),
        (Some(name), true) => {
            let user = iddio_runtime::home::unix_user(name)
                .ok_or_else(|| Failure::usage(format!("there is no user `{name}`")))?;
            Ok((Ids::Drop { uid: user.uid, gid: user.gid }, name.to_owned(), user.directory))
        }
        (None, true) => Err(Failure::usage("root runs no agent as root")
            .hint("iddio run --user NAME -- AGENT, or start it as that user")),
        (Some(_), false) => Err(Failure::usage("only root runs an agent as somebody else")),
    }
}

fn ungranted(error: GrantError) -> Failure {
    match &error {
        GrantError::Unseen(path) => {
            let directory = path.parent().unwrap_or(path).display().to_string();
            Failure::unavailable(&error).hint(format!("iddio run --read {directory} -- …"))
        }
        GrantError::Unshowable { .. } => Failure::refused(&error),
        GrantError::Empty | GrantError::Request(_) => Failure::usage(error.to_string()),
        GrantError::Open(_) | GrantError::System { .. } => Failure::unavailable(&error),
    }
}

fn failure(error: &ServeError) -> Failure {
    let failure = Failure::unavailable(error);
    match error {
        ServeError::Audit(_) => failure.hint("nothing runs that cannot be recorded: iddio doctor"),
        ServeError::Start(_) => failure.hint("iddio doctor says what this host lets a box do"),
        _ => failure,
    }
}

/// Says what an agent would get.
fn shown(grant: &Grant, json: bool) -> Ended {
    if json {
        output::json(&grant.facts())?;
        return Ok(DONE);
    }
    let paths = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.display().to_string()).collect()
    };
    let environment = grant.environment.iter().map(|(name, _)| name.to_string_lossy().into_owned());
    let network: Vec<_> = grant.network.iter().map(ToString::to_string).collect();
    let rows: [(&str, Vec<String>); 10] = [
        ("program", vec![grant.program.path().display().to_string()]),
        ("profile", vec![grant.profile.clone()]),
        ("mode", vec![grant.mode.name().to_owned()]),
        ("writes", paths(&grant.seen.write)),
        ("but not", paths(&grant.seen.protected)),
        (
            "reads",
            [
                vec!["the system's programs, libraries and settings".to_owned()],
                paths(&grant.seen.read),
            ]
            .concat(),
        ),
        ("hidden", paths(&grant.seen.hidden)),
        ("tools", vec![grant.tools.join(" ")]),
        ("network", if network.is_empty() { vec!["none".to_owned()] } else { network }),
        ("variables", vec![environment.collect::<Vec<_>>().join(" ")]),
    ];
    for (what, values) in rows {
        for (number, value) in values.iter().enumerate() {
            let what = if number == 0 { what } else { "" };
            output::line(format_args!("  {what:<10}{}", foreign(value)))?;
        }
    }
    for remark in &grant.remarks {
        output::line(format_args!("  note      {}", foreign(remark)))?;
    }
    Ok(DONE)
}

fn say_refused(refused: &Refused, json: bool, voice: Voice) {
    if json {
        return voice.more(refused.json());
    }
    let mut lines = refused.lines().into_iter();
    if let Some(first) = lines.next() {
        voice.tell(voice.paint_err(tier_paint(refused.tier), first));
    }
    lines.for_each(|line| voice.more(line));
}

/// What answers when the agent uses a tool: the broker, in this process.
struct Broker {
    runtime: Arc<Runtime>,
    agent: Option<String>,
    runs: PathBuf,
    network: Vec<Destination>,
    task: Option<TaskName>,
}

impl Tools for Broker {
    fn serve(&self, listener: UnixListener, within: Session) -> io::Result<Box<dyn Send>> {
        let callers = Callers::Own { agent: self.agent.clone() };
        let terms = Terms {
            runtime: self.runtime.clone(),
            callers,
            runs: self.runs.clone(),
            stage: Stage::current()?,
            tool_path: ToolPath::system(),
            visible: Vec::new(),
            // Root's tools run as users that nobody is.
            uids: rustix::process::geteuid().is_root().then(Uids::default),
            network: self.network.clone(),
            credentials: Vec::new(),
            limits: Bounds::default(),
            within: Some(within),
            task: self.task.clone(),
        };
        Ok(Box::new(Serving::start(listener, terms)?))
    }
}

/// Tells the caller what happens to the run.
struct Narrator {
    voice: Voice,
    json: bool,
    who: String,
}

impl Narrate for Narrator {
    fn asking(&self, operations: &Operations) {
        let worst = operations.worst();
        let tier = worst.native_tier();
        let command = foreign(&refuse::command(worst));
        self.voice.say(format_args!("{}  {command}", self.voice.paint_err(tier_paint(tier), tier)));
    }

    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Waiting { id, lapses_millis, .. } => {
                let id = id.as_str();
                self.voice.tell(format_args!(
                    "waiting for approval {} ({}). Another terminal: iddio approvals show {id}",
                    self.voice.paint_err(Paint::Bold, id),
                    render::span(lapses_millis)
                ));
            }
            Notice::NotPut { reason } | Notice::Failed { reason } => {
                self.voice.tell(format_args!("nobody can be asked: {}", foreign(&reason)));
            }
            Notice::NoRegistry { reason } => {
                self.voice.tell(format_args!("no signature counts: {}", foreign(&reason)));
            }
            Notice::Ignored { id, why } => {
                let said = foreign(&why.to_string());
                self.voice.tell(format_args!("an answer to {} was ignored: {said}", id.as_str()));
            }
            _ => {}
        }
    }

    fn starting(&self, grant: &Grant) {
        if self.json {
            return self.voice.more(grant.facts());
        }
        let paths = |paths: &[PathBuf]| {
            let shown = paths.iter().map(|path| foreign(&path.display().to_string()));
            shown.collect::<Vec<_>>().join(" ")
        };
        let agent = foreign(&grant.arguments.name().to_string_lossy());
        let who = foreign(&self.who);
        let workspace = foreign(&grant.workspace.display().to_string());
        self.voice.say(format_args!(
            "{agent} runs for {who} in {workspace} (workspace writable, rest read-only; profile {})",
            grant.profile
        ));
        self.voice.say(format_args!(
            "hidden: {}   tools through iddio: {}",
            paths(&grant.seen.hidden),
            grant.tools.join(" ")
        ));
        let network: Vec<_> = grant.network.iter().map(ToString::to_string).collect();
        let network = if network.is_empty() { "none".to_owned() } else { network.join(" ") };
        self.voice.say(format_args!("network: {network}"));
        match grant.mode {
            Mode::Enforce => {}
            Mode::Observe => self.voice.tell(
                "observing: what policy refuses or asks about below tier 4 is LET THROUGH, and recorded",
            ),
            Mode::Shadow => self.voice.tell("shadow: no tool runs; what policy says is recorded"),
        }
        for remark in &grant.remarks {
            self.voice.say(foreign(remark));
        }
    }

    fn started(&self, _applied: &Applied) {}

    fn remark(&self, text: &str) {
        self.voice.tell(foreign(text));
    }
}

/// Where runs of agents have their private directories, below the user's home.
const RUNS: &str = ".iddio-run";

/// Set in every box.
const WITHIN: &str = "IDDIO_RUN";
