//! `iddio exec`: a command through the pipeline.

use std::{
    env,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
};

use iddio_approve::{AskId, Ignored, Notice, Prompt, render};
use iddio_core::{
    audit::{AdminEvent, Field},
    operation::{Effect, Operations},
    text::RawText,
};
use iddio_exec::{
    catalogs::Catalogs,
    hand::{Input, Own},
    prepare::Setting,
    reach::Reach,
    refuse::{self, Refused},
    serve::{Gateway, Narrate, ServeError, Served},
};
use iddio_runtime::assemble::Runtime;
use iddio_spawn::ToolPath;

use crate::{
    cli::ExecArgs,
    commands,
    exit::{DONE, Ended, Failure, REFUSED},
    output::{Paint, Voice, foreign, tier_paint},
};

pub(crate) fn run(arguments: ExecArgs, voice: Voice) -> Ended {
    let ExecArgs { agent, because, json, command } = arguments;
    let runtime = commands::runtime(voice)?;
    let caller = commands::caller(runtime.home(), agent.as_deref())?;
    let trusted = runtime.trusted()?;
    let setting = Setting {
        home: runtime.home().clone(),
        user_home: runtime.home().user_directory().to_owned(),
        tool_path: ToolPath::system(),
        environment: commands::environment(),
        directory: env::current_dir()
            .map_err(|error| Failure::unavailable(format!("working directory: {error}")))?,
        catalogs: Catalogs::load(runtime.home(), &trusted),
        trusted,
        reach: Reach::Everywhere,
        stdin: Input::Own,
        runs: runtime.home().runs(),
    };
    let narrator = Arc::new(Narrator { voice, ignored: Mutex::default() });
    let prompt = if json { Prompt::Off } else { Prompt::WhereEnough };
    let explanation = because.map(RawText::from);
    let served = Own::new().map_err(ServeError::from).and_then(|hand| {
        let hand = Box::new(hand);
        Gateway::new(&runtime, setting, caller, prompt, narrator.clone(), hand)?
            .serve(command, explanation)
    });
    record_ignored(&runtime, &narrator, voice);
    let code = match served {
        Ok(Served::Ran(code)) => code,
        Ok(Served::Refused(refused)) => {
            say_refused(&refused, json, voice);
            REFUSED
        }
        Err(error) => {
            complain(&error, voice);
            error.exit_code()
        }
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

/// Records the answers that were none.
///
/// They are noticed on the thread that waits for an answer, while the pipeline may hold the log:
/// so they are kept until the wait is over.
fn record_ignored(runtime: &Runtime, narrator: &Narrator, voice: Voice) {
    let ignored = narrator.ignored.lock().map(|mut ignored| std::mem::take(&mut *ignored));
    for (id, why) in ignored.unwrap_or_else(|poisoned| std::mem::take(&mut *poisoned.into_inner()))
    {
        let fields = vec![
            ("ask", Field::Text(id.as_str().into())),
            ("reason", Field::Text(why.to_string().as_str().into())),
        ];
        let event = AdminEvent { event: "approval.ignored", principal: None, fields };
        if let Err(error) = runtime.record(event) {
            voice.tell(foreign(&error.to_string()));
        }
    }
}

/// Says why a command was refused: lines for people, and one line of JSON, last, for programs.
fn say_refused(refused: &Refused, json: bool, voice: Voice) {
    if !json {
        let mut lines = refused.lines().into_iter();
        if let Some(first) = lines.next() {
            voice.tell(voice.paint_err(tier_paint(refused.tier), first));
        }
        lines.for_each(|line| voice.more(line));
    }
    if json || !io::stderr().is_terminal() {
        voice.more(refused.json());
    }
}

fn complain(error: &ServeError, voice: Voice) {
    voice.tell(foreign(&error.to_string()));
    let hint = match error {
        ServeError::Audit(_) => Some("nothing runs that cannot be recorded: iddio doctor"),
        ServeError::Resolve(_) => {
            Some("tools are found in the system's directories or by iddio tool trust PATH")
        }
        _ => None,
    };
    if let Some(hint) = hint {
        voice.more(format_args!("hint:  {hint}"));
    }
}

/// Tells the user of an ask while it waits.
struct Narrator {
    voice: Voice,
    ignored: Mutex<Vec<(AskId, Ignored)>>,
}

impl Narrate for Narrator {
    fn asking(&self, operations: &Operations, effects: &[Effect]) {
        let worst = operations.worst();
        let mut line = format!(
            "{}  {}",
            self.voice.paint_err(tier_paint(worst.native_tier()), worst.native_tier()),
            foreign(&refuse::command(worst))
        );
        if let Some(workspace) = &worst.description.workspace {
            line.push_str(&format!("  workspace {}", foreign(workspace)));
        }
        if let Some(counts) = counts(effects) {
            line.push_str(&format!("  ({counts})"));
        }
        self.voice.say(line);
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
                let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
                if ignored.len() < IGNORED_MAX {
                    ignored.push((id, why));
                }
            }
            Notice::Ticket { id } => {
                self.voice.say(format_args!("a ticket answers {}", id.as_str()));
            }
            _ => {}
        }
    }

    fn remark(&self, text: &str) {
        self.voice.tell(foreign(text));
    }
}

/// Returns how many resources a plan adds, changes and destroys, if it is one.
fn counts(effects: &[Effect]) -> Option<String> {
    let resources = || effects.iter().filter(|effect| !effect.text.starts_with("output."));
    let count =
        |signs: &[&str]| resources().filter(|effect| signs.contains(&effect.sign.as_str())).count();
    let (add, change, destroy) =
        (count(&["+", "-/+", "+/-"]), count(&["~"]), count(&["-", "-/+", "+/-"]));
    (!effects.is_empty()).then(|| format!("{add} to add, {change} to change, {destroy} to destroy"))
}

/// How many ignored answers of one command are recorded: more than a quorum has, and no more than a
/// forger should be able to write into the log.
const IGNORED_MAX: usize = 64;
