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
    tier::Tier,
};
use iddio_exec::{
    catalogs::Catalogs,
    hand::{Input, Own},
    outputs::Outputs,
    prepare::Setting,
    reach::Reach,
    refuse::{self, Refused},
    serve::{Gateway, Narrate, ServeError, Served, counts},
};
use iddio_execd::{
    client::{Broker, Face, Wanted},
    wire::{self, Say, Token},
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
    if let Some(directory) = &arguments.workdir {
        env::set_current_dir(directory)
            .map_err(|error| Failure::usage(format!("`{}`: {error}", directory.display())))?;
    }
    if let Some(broker) = Broker::find()? {
        return at_broker(&broker, arguments, voice);
    }
    let ExecArgs { agent, because, task, workdir: _, out, json, command } = arguments;
    let runtime = commands::runtime(voice)?;
    let caller = commands::caller(runtime.home(), agent.as_deref())?.on_task(task);
    let directory = env::current_dir()
        .map_err(|error| Failure::unavailable(format!("working directory: {error}")))?;
    let outputs = Outputs::declared(&out, &directory).map_err(Failure::usage)?;
    let trusted = runtime.trusted()?;
    let setting = Setting {
        home: runtime.home().clone(),
        user_home: runtime.home().user_directory().to_owned(),
        tool_path: ToolPath::system(),
        environment: commands::environment(),
        directory,
        catalogs: Catalogs::load(runtime.home(), &trusted),
        trusted,
        reach: Reach::Everywhere,
        stdin: Input::Own,
        runs: runtime.home().runs(),
        outputs,
    };
    let narrator = Arc::new(Narrator { voice, ignored: Mutex::default() });
    let prompt = if json { Prompt::Off } else { Prompt::WhereEnough };
    let explanation = because.map(RawText::from);
    let served = Own::new().map_err(ServeError::from).and_then(|hand| {
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

/// Has the broker of the host, or of `iddio run`, run the command.
fn at_broker(broker: &Broker, arguments: ExecArgs, voice: Voice) -> Ended {
    let ExecArgs { agent, because, task, workdir: _, out, json, command } = arguments;
    let wanted = Wanted {
        words: command,
        environment: commands::environment().into_iter().collect(),
        agent,
        token: commands::token().map(Token::new),
        because: because.map(Into::into),
        task: task.map(|task| task.as_str().to_owned()),
        outputs: out,
    };
    Ok(broker.run(wanted, &mut Shown { voice, json })?)
}

/// Shows what a broker says, as if it happened here.
struct Shown {
    voice: Voice,
    json: bool,
}

impl Face for Shown {
    fn show(&mut self, say: &Say) {
        let Self { voice, json } = *self;
        match say {
            Say::Asking { tier, command, workspace, counts } => {
                let Some(tier) = tier_of(*tier) else { return };
                say_asking(tier, command, workspace.as_deref(), counts.as_deref(), voice);
            }
            Say::Notice(notice) => match notice {
                wire::Notice::Waiting { id, lapses_millis } => {
                    say_waiting(&foreign(id), *lapses_millis, voice);
                }
                wire::Notice::Failed(reason) => {
                    voice.tell(format_args!("nobody can be asked: {}", foreign(reason)));
                }
                wire::Notice::NoRegistry(reason) => {
                    voice.tell(format_args!("no signature counts: {}", foreign(reason)));
                }
                wire::Notice::Ignored { id, why } => {
                    let (id, why) = (foreign(id), foreign(why));
                    voice.tell(format_args!("an answer to {id} was ignored: {why}"));
                }
                wire::Notice::Ticket(id) => {
                    voice.say(format_args!("a ticket answers {}", foreign(id)));
                }
            },
            Say::Refused { tier, lines, json: line } => {
                let lines = lines.iter().map(|line| foreign(line)).collect();
                say_refusal(tier_of(*tier), lines, &foreign(line), json, voice);
            }
            Say::Failed { what, hint, .. } => {
                voice.tell(foreign(what));
                if let Some(hint) = hint {
                    voice.more(format_args!("hint:  {}", foreign(hint)));
                }
            }
            Say::Remark(text) => voice.tell(foreign(text)),
            Say::Back | Say::Ended(_) | Say::Started(_) => {}
        }
    }
}

fn tier_of(number: u8) -> Option<Tier> {
    Tier::ALL.into_iter().find(|tier| tier.number() == number)
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
    let line = refused.json().to_string();
    say_refusal(Some(refused.tier), refused.lines(), &line, json, voice);
}

fn say_refusal(tier: Option<Tier>, lines: Vec<String>, line: &str, json: bool, voice: Voice) {
    if !json {
        let mut lines = lines.into_iter();
        if let Some(first) = lines.next() {
            match tier {
                Some(tier) => voice.tell(voice.paint_err(tier_paint(tier), first)),
                None => voice.tell(first),
            }
        }
        lines.for_each(|line| voice.more(line));
    }
    if json || !io::stderr().is_terminal() {
        voice.more(line);
    }
}

fn complain(error: &ServeError, voice: Voice) {
    voice.tell(foreign(&error.to_string()));
    let hint = error.hint();
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
        let (command, tier) = (refuse::command(worst), worst.native_tier());
        let workspace = worst.description.workspace.as_deref();
        say_asking(tier, &command, workspace, counts(effects).as_deref(), self.voice);
    }

    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Waiting { id, lapses_millis, .. } => {
                say_waiting(id.as_str(), lapses_millis, self.voice);
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

fn say_asking(
    tier: Tier,
    command: &str,
    workspace: Option<&str>,
    counts: Option<&str>,
    voice: Voice,
) {
    let mut line = format!("{}  {}", voice.paint_err(tier_paint(tier), tier), foreign(command));
    if let Some(workspace) = workspace {
        line.push_str(&format!("  workspace {}", foreign(workspace)));
    }
    if let Some(counts) = counts {
        line.push_str(&format!("  ({})", foreign(counts)));
    }
    voice.say(line);
}

fn say_waiting(id: &str, lapses_millis: u64, voice: Voice) {
    voice.tell(format_args!(
        "waiting for approval {} ({}). Another terminal: iddio approvals show {id}",
        voice.paint_err(Paint::Bold, id),
        render::span(lapses_millis)
    ));
}

/// How many ignored answers of one command are recorded: more than a quorum has, and no more than a
/// forger should be able to write into the log.
const IGNORED_MAX: usize = 64;
