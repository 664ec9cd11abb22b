//! What a program of a small language does beyond looking at its text and printing.
//!
//! The readers of awk, sed, ed and find answer with these. They judge no files and no commands
//! themselves: the path catalog and the judges of commands do.

use iddio_core::tier::{Class, Tier};

use crate::catalog::format::PathUse;

/// Something a program does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// It uses a file of this name.
    File(Vec<u8>, PathUse),
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

    /// A literal command, which is also judged as text for a shell.
    pub(crate) fn command(text: Vec<u8>) -> [Self; 2] {
        let why = "a program for text that runs a command";
        [Self::Raise(Tier::Sensitive, Class::Unknown, why), Self::Shell(text)]
    }
}

/// Whether `text` has `word` in it.
fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len().max(1)).any(|window| window == word)
}
