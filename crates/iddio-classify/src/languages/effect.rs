//! What a program of a small language does beyond looking at its text and printing.
//!
//! The readers of awk, sed, ed and find answer with these. They judge no files and no commands
//! themselves: the path catalog and the judges of commands do.

use iddio_core::{
    text::RawText,
    tier::{Class, Tier},
};

use super::Findings;
use crate::{
    catalog::format::PathUse,
    command::line::{Feed, Judging, Known, Term},
    paths, shell,
};

/// Something a program does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// It uses a file of this name.
    File(Term, PathUse),
    /// It is worth this tier, whatever files and commands add.
    Raise(Tier, Class, &'static str),
    /// It has a shell run this text.
    Shell(Vec<u8>),
}

// === impl Effect ===

impl Effect {
    /// Something that is not in the grammar, or not in the part of it that is read here.
    ///
    /// `text` is all of the program: where it names something that runs commands, what is not
    /// understood may well be that.
    pub(crate) fn unread(text: &[u8], runs: &[&str]) -> Self {
        let hidden = runs.iter().any(|word| holds(text, word.as_bytes()));
        match hidden {
            true => Self::Raise(
                Tier::UNKNOWN,
                Class::Unknown,
                "a program that cannot be read, and that may run commands",
            ),
            false => Self::Raise(
                Tier::Sensitive,
                Class::Unknown,
                "a program with something in it that cannot be read",
            ),
        }
    }

    /// A command that only the run knows.
    pub(crate) fn unknown_command() -> Self {
        let why = "runs a command that only the run knows";
        Self::Raise(Tier::UNKNOWN, Class::Unknown, why)
    }

    /// A use of a file with a literal name.
    pub(crate) fn file(name: &[u8], usage: PathUse) -> Self {
        Self::File(Term::whole(RawText::new(name)), usage)
    }

    /// A literal command, which is also judged as text for a shell.
    pub(crate) fn command(text: Vec<u8>) -> [Self; 2] {
        let why = "a program for text that runs a command";
        [Self::Raise(Tier::Sensitive, Class::Unknown, why), Self::Shell(text)]
    }
}

/// Judges a program of a word: what `read` finds in it, and what the path catalog and the judges of
/// commands say to that.
pub(super) fn judge(
    words: &[Term],
    judging: &Judging<'_>,
    read: fn(&[u8]) -> Vec<Effect>,
) -> Findings {
    let mut findings = Findings::default();
    for word in words {
        let text = word.text.as_bytes();
        let known = match word.known {
            Known::Whole => text.len(),
            Known::Prefix(length) => length.min(text.len()),
            Known::Any | Known::Pattern => 0,
        };
        if known == 0 && !text.is_empty() {
            findings.join(Findings::unread("a program that only the run knows"));
            continue;
        }
        let mut effects = read(text.get(..known).unwrap_or_default());
        if word.known != Known::Whole {
            effects.retain(|effect| *effect != Effect::unread(text, &[]));
            let why = "a part of the program is only known to the run";
            effects.push(Effect::Raise(Tier::Sensitive, Class::Unknown, why));
        }
        for effect in effects {
            done(cut(effect, word, known), judging, &mut findings);
        }
    }
    findings
}

/// Returns what an effect is where the program goes on in a way that only the run knows: what the
/// known part ends with goes on too.
fn cut(effect: Effect, word: &Term, known: usize) -> Effect {
    match effect {
        Effect::Shell(_) if word.known != Known::Whole => Effect::unknown_command(),
        Effect::File(path, usage) if word.known != Known::Whole => {
            let read = word.text.as_bytes().get(..known).unwrap_or_default();
            match read.ends_with(path.text.as_bytes()) {
                true => {
                    let length = path.text.as_bytes().len();
                    Effect::File(Term { known: Known::Prefix(length), ..path.opaque() }, usage)
                }
                false => Effect::File(path, usage),
            }
        }
        effect => effect,
    }
}

fn done(effect: Effect, judging: &Judging<'_>, findings: &mut Findings) {
    match effect {
        Effect::File(path, usage) => {
            let directory = judging.directory.as_ref();
            findings.found.extend(paths::judge(usage, &path, directory, judging.ambient));
        }
        Effect::Raise(tier, class, why) => findings.add(tier, class, "code:effect", why),
        Effect::Shell(text) => match judging.within() {
            Some(within) => {
                // What it reads is what the program left of its own input, or prints.
                findings.within.extend(shell::judge_text(&text, &Feed::Unknown, &within, None));
                judging.commands.set(within.commands.get());
            }
            None => {
                let why = "too many commands within commands";
                findings.add(Tier::UNKNOWN, Class::Unknown, "limit:commands", why);
            }
        },
    }
}

/// Whether `text` has `word` in it.
fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len().max(1)).any(|window| window == word)
}
