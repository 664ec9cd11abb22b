//! The prompt on the caller's own terminal: an extra, for T2 and below in a personal home.
//!
//! It is another way to answer the queue, and nothing more: a yes here is an unsigned vote with
//! assurance `none`, since whoever owns the terminal can type it (E05). Whichever answers first
//! wins, and the other is withdrawn.
//!
//! A key is bound to an ask: what was typed before the question is thrown away, keys are ignored
//! for half a second after it is drawn (`[y/N]` appears when they count), and the answer is given to
//! the one name that is shown.
//! `y` and then Enter is yes. Enter alone, or anything else, is no. Saying nothing for a minute
//! leaves the ask to the queue.

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{Read, Write},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use iddio_core::{
    approval::{Ask, Assurance},
    tier::Tier,
    time::Clock,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    bell::{Cancel, Rung},
    id::AskId,
    queue::{Approval, Denial, Entry, Form, Hold, Queue, Reviewed, Setting, Signer},
    render::{self, Length, View},
    terminal::{self, Changed},
};

/// Whether to ask on the caller's own terminal as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Prompt {
    /// No.
    Off,
    /// Where that is enough: T2 and below, a personal home, a terminal in the foreground.
    WhereEnough,
}

/// A prompt that is being shown. Dropping it takes it down.
pub(crate) struct Prompting {
    cancel: Cancel,
    thread: Option<JoinHandle<()>>,
}

/// Shows a prompt, if one would be enough for `ask`.
pub(crate) fn start(
    prompt: Prompt,
    setting: &Setting,
    clock: &Arc<dyn Clock>,
    id: &AskId,
    ask: &Ask,
    hold: Hold,
) -> Option<Prompting> {
    enough(prompt, setting.form, ask, hold)?;
    let tty = terminal::open_in_foreground()?;
    let cancel = Cancel::new().ok()?;
    let (setting, clock, id, stop) = (setting.clone(), clock.clone(), id.clone(), cancel.clone());
    let run = move || {
        // A prompt that fails leaves the ask to the queue.
        let _ = ask_on(tty, setting, clock, &id, &stop);
    };
    let thread = thread::Builder::new().name("iddio-prompt".to_owned()).spawn(run).ok()?;
    Some(Prompting { cancel, thread: Some(thread) })
}

impl Drop for Prompting {
    fn drop(&mut self) {
        self.cancel.cancel();
        // It ends at once: its only wait is woken, and its writes to the queue are bounded.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Whether an answer on the caller's own terminal would be enough for `ask`.
fn enough(prompt: Prompt, form: Form, ask: &Ask, hold: Hold) -> Option<()> {
    let enough = prompt == Prompt::WhereEnough
        && form == Form::Personal
        && ask.tier() <= Tier::Modify
        && ask.operations.native_tier() <= Tier::Modify
        && ask.assurance_required() == Assurance::None
        && ask.approvers_required() <= 1
        && hold == Hold::None
        && render::length(ask) == Length::Short;
    enough.then_some(())
}

/// What was typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Typed {
    /// Nothing, for as long as we ask; or the prompt was taken down.
    Nothing,
    /// Anything else.
    No,
    /// `y`, then Enter.
    Yes,
}

fn ask_on(
    mut tty: File,
    setting: Setting,
    clock: Arc<dyn Clock>,
    id: &AskId,
    cancel: &Cancel,
) -> Option<()> {
    let mut queue = Queue::open(setting, clock).ok()?;
    let entry = queue.show(id.as_str()).ok()?;
    let keys = tty.try_clone().ok()?;
    let settings = Changed::keys(&keys).ok()?;
    // What was typed before the question, or while it was being read, answers nothing: the
    // terminal is flushed when its settings change, and again before `[y/N]` is shown.
    draw(&mut tty, &entry, &queue)?;
    pause(DEAF, cancel);
    terminal::flush(&tty).ok()?;
    tty.write_all(b"[y/N] ").ok()?;
    let typed = read(&mut tty, cancel);
    drop(settings);
    match typed {
        Typed::Yes => {
            let approval = Approval {
                signer: Signer::Unsigned,
                ticket_millis: None,
                reviewed: Reviewed::NotSaid,
            };
            let said = match queue.approve(id.as_str(), approval) {
                Ok(_) => "\nyes (assurance: none)".to_owned(),
                Err(error) => format!("\n{error}"),
            };
            let _ = writeln!(tty, "{said}");
        }
        Typed::No => {
            let denial = Denial { signer: Signer::Unsigned, reason: Some("at the terminal") };
            let _ = queue.deny(id.as_str(), denial);
            let _ = writeln!(tty, "no");
        }
        Typed::Nothing => {
            let _ = writeln!(tty, "(left to the queue)");
        }
    }
    Some(())
}

fn draw(tty: &mut File, entry: &Entry, queue: &Queue) -> Option<()> {
    let view = render::show(entry, queue.now(), View::Full);
    let tier = entry.ask.tier();
    write!(tty, "{view}iddio: {tier}: approve {}? ", entry.id).ok()?;
    tty.flush().ok()
}

/// Reads one answer: `y`, Enter is yes; Enter, or any other first key, is no.
fn read(tty: &mut File, cancel: &Cancel) -> Typed {
    let started = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let mut yes = Typed::Nothing;
    loop {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        if cancel.is_set() == Rung::Cancelled || PATIENCE_SECS <= now.tv_sec - started.tv_sec {
            return Typed::Nothing;
        }
        let mut byte = [0];
        match ready(tty, cancel) {
            Ready::Key => match tty.read(&mut byte) {
                Ok(1) => {}
                _ => return Typed::Nothing,
            },
            Ready::Gone => return Typed::Nothing,
            Ready::Not => continue,
        }
        match (byte, yes) {
            ([b'y' | b'Y'], Typed::Nothing) => {
                yes = Typed::Yes;
                let _ = tty.write_all(b"y");
            }
            ([b'\n' | b'\r'], Typed::Yes) => return Typed::Yes,
            _ => return Typed::No,
        }
    }
}

/// What a look at the terminal found.
enum Ready {
    /// The terminal hung up.
    Gone,
    /// A key.
    Key,
    /// Nothing yet.
    Not,
}

fn ready(tty: &File, cancel: &Cancel) -> Ready {
    let mut sources = [PollFd::new(tty, PollFlags::IN), cancel.source()];
    let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_NANOS };
    match poll(&mut sources, Some(&timeout)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ready::Not,
        Err(_) => return Ready::Gone,
    }
    let [tty, _] = sources;
    let seen = tty.revents();
    match (seen.contains(PollFlags::IN), seen.is_empty()) {
        (true, _) => Ready::Key,
        (false, true) => Ready::Not,
        (false, false) => Ready::Gone,
    }
}

/// Waits on a clock that no wall clock moves, or until the prompt is taken down.
fn pause(length: Duration, cancel: &Cancel) {
    let nanos = i64::from(length.subsec_nanos());
    let timeout = Timespec { tv_sec: 0, tv_nsec: nanos };
    let _ = poll(&mut [cancel.source()], Some(&timeout));
}

/// How long keys are ignored after the question is drawn: a key on its way was for something else.
const DEAF: Duration = Duration::from_millis(500);

/// How long the prompt waits (product contract, section 6).
const PATIENCE_SECS: i64 = 60;

/// How often it looks at the clock.
const LOOK_NANOS: i64 = 250_000_000;
