//! A simple command as far as it is known before it runs.
//!
//! A word from an argument vector is known whole. A word from text for a shell may hold what only
//! the run knows: `"$1"`, `*.log`. It is judged by everything it may turn out to be.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use iddio_core::text::RawText;

use super::{
    Ambient, Inner,
    plan::{Extent, Written},
};
use crate::{paths, shell::Span};

/// A simple command: a program with its arguments, everything expanded that can be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// The program, then its arguments.
    pub(crate) words: Vec<Term>,
    /// What it reads from standard input.
    pub(crate) feed: Feed,
}

/// What judging commands within commands shares and uses up.
pub(crate) struct Judging<'a> {
    /// What is known besides the words.
    pub(crate) ambient: &'a Ambient,
    /// Where the command works: what `cd` left. `None` where that is not known.
    pub(crate) directory: Option<RawText>,
    /// What is done for what these commands run in turn.
    pub(crate) inner: Inner,
    /// Files that an earlier command of the same text writes: a program among them is unknown.
    pub(crate) written: Rc<RefCell<Vec<RawText>>>,
    /// What the words so far say is written, made or removed.
    pub(crate) declared: Rc<RefCell<Vec<Written>>>,
    /// Whether a text has changed to a directory that nobody knows.
    pub(crate) strays: Rc<Cell<bool>>,
    /// Variables that a text has set so far: those within may find them in their environment.
    pub(crate) assigned: Rc<RefCell<BTreeSet<Vec<u8>>>>,
    /// What the environment of the command holds.
    pub(crate) surroundings: Surroundings,
    /// How many levels of commands within commands may follow.
    pub(crate) depth: usize,
    /// How many simple commands may still be judged, by all levels together.
    pub(crate) commands: Rc<Cell<usize>>,
    /// How many levels of nested shell grammar may follow, over all texts within texts.
    pub(crate) levels: Rc<Cell<usize>>,
    /// How many steps the walk over shell text may still take, over all texts within texts.
    pub(crate) steps: Rc<Cell<usize>>,
}

/// What is known of a command's environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Surroundings {
    /// A gateway makes it as the plan of the run says.
    AsPlanned,
    /// No names but those that these patterns cover.
    Only(Rc<[String]>),
    /// Nothing.
    Unknown,
}

/// A word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Term {
    /// What it is; where it is not known whole, what is shown for it.
    pub text: RawText,
    /// How much of the text is known.
    pub known: Known,
    /// Where it stands in the text for a shell.
    pub span: Option<Span>,
    /// What it is made of, where that is known but for stretches without meaning to a shell.
    pub(crate) stretches: Option<Rc<[Stretch]>>,
}

/// A stretch of a word that another shell may read again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stretch {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Some of the letters that [`is_tame`] takes, one at least.
    Tame(Minus),
}

/// Whether what is tame may start with a minus.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Minus {
    /// A number that was worked out.
    Maybe,
    /// A count, an id, a day.
    Never,
}

/// Whether a letter means nothing to a shell wherever it stands among others like it.
pub(crate) fn is_tame(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// How much of a word is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// Any number of words, each of which may be anything.
    Any,
    /// The names of files that the text, a pattern, covers; or the text itself. Bytes that stand for
    /// themselves are escaped with `\`.
    Pattern,
    /// One word that starts with so many bytes of the text. What follows may be anything.
    Prefix(usize),
    /// All of it.
    Whole,
}

/// Whether what is written is one file, or files below it by names that only the run knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Below {
    Everything,
    Nothing,
}

/// What a command reads from standard input.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Feed {
    /// What iddio's caller has there, or a terminal.
    #[default]
    Inherited,
    /// Nothing.
    Nothing,
    /// Exactly these bytes.
    Text(RawText),
    /// The content of a file.
    File(Term),
    /// What another command writes, or anything else that nobody can know.
    Unknown,
}

// === impl Line ===

impl Line {
    /// Takes an argument vector.
    pub(crate) fn of(argv: &[RawText]) -> Self {
        Self { words: argv.iter().cloned().map(Term::whole).collect(), feed: Feed::Inherited }
    }
}

// === impl Judging ===

impl<'a> Judging<'a> {
    /// Starts with everything to use up.
    pub(crate) fn new(ambient: &'a Ambient) -> Self {
        Self {
            ambient,
            directory: ambient.working_directory.clone(),
            inner: ambient.inner,
            written: Rc::default(),
            declared: Rc::default(),
            strays: Rc::default(),
            assigned: Rc::default(),
            surroundings: Surroundings::Unknown,
            depth: DEPTH_MAX,
            commands: Rc::new(Cell::new(COMMANDS_MAX)),
            levels: Rc::new(Cell::new(LEVELS_MAX)),
            steps: Rc::new(Cell::new(STEPS_MAX)),
        }
    }

    /// Takes steps off what may still be taken; `None` if there are not so many. Then none is left.
    pub(crate) fn afford(&self, steps: usize) -> Option<()> {
        // INVARIANT: the last step is never taken without a reason that says so.
        let left = self.steps.get().checked_sub(steps).filter(|left| 0 < *left);
        self.steps.set(left.unwrap_or(0));
        left.map(|_| ())
    }

    /// Takes one command off what may still be judged; `None` if nothing is left.
    pub(crate) fn spend(&self) -> Option<()> {
        self.commands.set(self.commands.get().checked_sub(1)?);
        Some(())
    }

    /// Remembers that a text sets a variable.
    pub(crate) fn assigns(&self, name: &[u8]) {
        // A shell sets these itself, whatever it finds in its environment.
        if !matches!(name, b"IFS" | b"_" | b"PWD" | b"OLDPWD") && name != TAME {
            self.assigned.borrow_mut().insert(name.to_vec());
        }
    }

    /// Remembers that a file is written, or whatever lies below a directory.
    pub(crate) fn write(&self, path: &[u8], directory: Option<&RawText>, below: Below) {
        let mut path = paths::absolute(path, directory);
        if below == Below::Everything {
            if path.is_empty() {
                path.push(b'.');
            }
            path.push(b'/');
        }
        let path = RawText::new(path);
        let mut written = self.written.borrow_mut();
        if written.contains(&path) {
            return;
        }
        if written.len() < WRITTEN_MAX {
            written.push(path);
        } else if written.len() == WRITTEN_MAX {
            // Too many to tell apart: everything.
            written.extend([RawText::from("/"), RawText::from("./")]);
        }
    }

    /// Remembers that the words say what is written, made or removed. What cannot be told is not declared.
    pub(crate) fn declare(&self, path: &[u8], directory: Option<&RawText>, extent: Extent) {
        if path.starts_with(b"~") {
            return;
        }
        let path = paths::absolute(path, directory);
        let written = Written { path: RawText::new(path), extent };
        let mut declared = self.declared.borrow_mut();
        let sound = written.path.as_bytes().starts_with(b"/") && declared.len() < DECLARED_MAX;
        if sound && !declared.contains(&written) {
            declared.push(written);
        }
    }

    /// Whether an earlier command of the same text wrote this file.
    pub(crate) fn wrote(&self, path: &RawText) -> bool {
        let directory = self.directory.as_ref();
        let path = paths::absolute(path.as_bytes(), directory);
        self.written.borrow().iter().any(|written| {
            let bytes = written.as_bytes();
            let absolute = paths::absolute(bytes, directory);
            let below = bytes.ends_with(b"/") && path.starts_with(&absolute) && {
                let rest = path.get(absolute.len()..).unwrap_or_default();
                let inside = absolute.is_empty() && !path.starts_with(b"/");
                inside || rest.starts_with(b"/") || absolute.ends_with(b"/")
            };
            // Where it works is not known: a name behind other directories may be the same file.
            let name = |path: &[u8]| path.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec);
            let apart =
                |path: &[u8]| path.starts_with(b"..") || path.windows(3).any(|w| w == b"/..");
            let same = directory.is_none()
                && (apart(bytes) || apart(&path))
                && !(bytes.starts_with(b"/") && path.starts_with(b"/"))
                && name(bytes) == name(&path);
            // It may be where files were left by names of their own.
            let strays = directory.is_none()
                && self.strays.get()
                && bytes.ends_with(b"/")
                && !bytes.starts_with(b"/")
                && !path.starts_with(b"/");
            absolute == path || below || same || strays
        })
    }

    /// Returns the same, one level deeper; `None` if that is too deep.
    pub(crate) fn within(&self) -> Option<Self> {
        Some(Self {
            ambient: self.ambient,
            directory: self.directory.clone(),
            inner: self.inner,
            written: Rc::clone(&self.written),
            declared: Rc::clone(&self.declared),
            strays: Rc::clone(&self.strays),
            assigned: Rc::clone(&self.assigned),
            surroundings: Surroundings::Unknown,
            depth: self.depth.checked_sub(1)?,
            commands: Rc::clone(&self.commands),
            levels: Rc::clone(&self.levels),
            steps: Rc::clone(&self.steps),
        })
    }
}

// === impl Term ===

impl Term {
    /// Makes a word of an argument vector.
    pub fn whole(text: RawText) -> Self {
        Self { text, known: Known::Whole, span: None, stretches: None }
    }

    /// The same, of which nothing is known that another shell could read.
    pub(crate) fn opaque(self) -> Self {
        Self { stretches: None, ..self }
    }

    /// Returns what is known of the text from its start: all of a whole word, the literal start of
    /// a pattern.
    pub(crate) fn head(&self) -> Cow<'_, str> {
        let bytes = self.text.as_bytes();
        match self.known {
            Known::Whole => String::from_utf8_lossy(bytes),
            Known::Prefix(known) => String::from_utf8_lossy(bytes.get(..known).unwrap_or(bytes)),
            Known::Any => Cow::Borrowed(""),
            Known::Pattern => String::from_utf8_lossy(&literal_start(bytes)).into_owned().into(),
        }
    }

    /// Returns the text, if it is all known and UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self.known {
            Known::Whole => self.text.as_str(),
            Known::Any | Known::Pattern | Known::Prefix(_) => None,
        }
    }
}

/// Returns words as text for a shell, joined by spaces: each stretch that is tame is an expansion of
/// [`TAME`]. `None` where more is unknown, or where a stretch could mean more by what it stands next
/// to.
pub(crate) fn shell_text(words: &[Term]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            text.push(b' ');
        }
        match (word.known, &word.stretches) {
            (Known::Whole, _) => text.extend_from_slice(word.text.as_bytes()),
            (_, Some(stretches)) => {
                for (place, stretch) in stretches.iter().enumerate() {
                    match stretch {
                        Stretch::Bytes(bytes) => text.extend_from_slice(bytes),
                        Stretch::Tame(_) => {
                            let next = stretches.get(place + 1);
                            if !is_apart(&text, next) {
                                return None;
                            }
                            text.extend_from_slice(b"${");
                            text.extend_from_slice(TAME);
                            text.push(b'}');
                        }
                    }
                }
            }
            (_, None) => return None,
        }
    }
    let count = |needle: &[u8]| text.windows(needle.len()).filter(|part| *part == needle).count();
    let own = words.iter().filter_map(|word| word.stretches.as_ref());
    let tame = own.flat_map(|all| all.iter()).filter(|one| matches!(one, Stretch::Tame(_))).count();
    // A text that names the variable itself could not be told from its stretches.
    (count(TAME) == tame).then_some(text)
}

/// Whether a tame stretch between these means no more than its letters.
fn is_apart(before: &[u8], next: Option<&Stretch>) -> bool {
    let after = match next {
        Some(Stretch::Bytes(bytes)) => bytes.as_slice(),
        Some(Stretch::Tame(_)) | None => b"",
    };
    // `$x`, `\\x`, `~x`, `{1..x}`, `!x`, `&1`, and a descriptor in front of a redirection.
    let joins = matches!(before.last(), Some(b'$' | b'\\' | b'~' | b'{' | b'!' | b'&'))
        || before.ends_with(b"..")
        || after.starts_with(b"..");
    !joins && !matches!(after.first(), Some(b'<' | b'>' | b'{' | b'}' | b'(' | b'='))
}

/// The variable that stands for what is tame in text for a shell.
pub(crate) const TAME: &[u8] = b"IDDIO_TAME";

/// Returns what a pattern starts with before anything in it stands for more than itself.
fn literal_start(pattern: &[u8]) -> Vec<u8> {
    let mut literal = Vec::new();
    let mut bytes = pattern.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => break,
            b'\\' => literal.extend(bytes.next()),
            // Extended patterns: `+(a|b)`.
            b'+' | b'@' | b'!' if bytes.as_slice().first() == Some(&b'(') => break,
            byte => literal.push(*byte),
        }
    }
    literal
}

/// The most written files that are told apart.
const WRITTEN_MAX: usize = 256;

/// The most written paths that are declared. What comes after them is not, and whoever runs the command is
/// told.
const DECLARED_MAX: usize = 256;

/// The most levels of commands within commands. An honest line has three or four.
const DEPTH_MAX: usize = 16;

/// The most simple commands of one action: an approver has to be able to read them.
const COMMANDS_MAX: usize = super::NAMED_MAX;

/// The most levels of shell grammar, over all texts within texts: it bounds the stack.
const LEVELS_MAX: usize = 96;

/// The most steps of one walk: as many as the longest text has bytes. A text takes fewer than it has
/// bytes, loops, calls and judgements a small multiple of that; a script of twenty kilobytes, which
/// is long for a command line, takes ten thousand. A step is a third of a microsecond: all of them
/// are the 20 ms that the worst text may take.
const STEPS_MAX: usize = crate::shell::TEXT_BYTES_MAX;
