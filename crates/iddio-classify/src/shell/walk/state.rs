//! What a shell remembers between commands.
//!
//! It is kept in layers: what may or may not happen works in a layer of its own, which is then
//! joined with what was there. A value that only one way gives is one of several.

use std::{collections::BTreeMap, sync::Arc};

use iddio_core::text::RawText;

use super::compound::text_of;
use super::text::{Origin, Text, any_of, settled};
use crate::{
    command::line::{Known, Term},
    shell::{Span, ast::Command},
};

/// What something is remembered by.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    /// The name of an alias.
    Alias(Vec<u8>),
    /// A descriptor.
    Descriptor(u32),
    /// The working directory.
    Directory,
    /// The name of a function.
    Function(Vec<u8>),
    /// A program whose path was set with `hash -p`.
    Hash(Vec<u8>),
    /// The positional parameters.
    Positional,
    /// A variable.
    Variable(Vec<u8>),
}

/// What is remembered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Slot {
    /// Texts an alias may stand for, with where they stand.
    Alias(Vec<(Text, Option<Span>)>),
    /// Files a descriptor may be open on; `None` is what the shell was given.
    Descriptor(Vec<Option<(Term, Mode)>>),
    /// Where the shell works.
    Directory(Option<RawText>),
    /// Bodies a function may have.
    Function(Vec<Body>, Sure),
    /// Paths a program name may stand for.
    Hash(Vec<Term>),
    /// The positional parameters.
    Positional(Parameters),
    /// A variable.
    Variable(Value),
}

/// The body of a function.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// What it runs.
    pub(super) command: Arc<Command>,
    /// Where its text stands in the outermost one, if it is not that.
    pub(super) at: Option<Span>,
    /// Its place among the functions that were defined.
    pub(super) number: usize,
}

/// Whether something holds on every way to here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sure {
    /// On some.
    Maybe,
    /// On every one.
    Surely,
}

/// Positional parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Parameters {
    /// These, each one of several texts.
    Known(Vec<Vec<Text>>),
    /// Any number of them.
    Unknown(Origin),
}

/// How a descriptor is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// For writing at the end.
    Append,
    /// For reading.
    Read,
    /// For writing.
    Write,
}

/// What a variable holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// These elements, in order, each one of several texts.
    Array(Vec<Vec<Text>>),
    /// One of these texts; none if it is not set.
    Scalar(Vec<Text>),
}

/// Everything remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    layers: Vec<Layer>,
    /// For each layer, what kinds of keys it holds ([`Key::kind`]), or held.
    kinds: Vec<u8>,
    /// Whether a program's name may stand for anything but the program.
    names: Names,
}

/// What programs' names stand for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Names {
    /// No alias, function or hashed path was ever set.
    #[default]
    Programs,
    /// Some were.
    Others,
}

/// What one way has changed.
pub(super) type Layer = BTreeMap<Key, Slot>;

// === impl Key ===

impl Key {
    /// Returns the bit of its kind.
    fn kind(&self) -> u8 {
        match self {
            Self::Alias(_) => 1,
            Self::Descriptor(_) => 2,
            Self::Directory => 4,
            Self::Function(_) => 8,
            Self::Hash(_) => 16,
            Self::Positional => 32,
            Self::Variable(_) => 64,
        }
    }
}

// === impl Body ===

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.command, &other.command)
    }
}

// === impl Parameters ===

impl Parameters {
    /// Takes the words behind a program.
    pub(super) fn new(words: &[Term]) -> Self {
        match words.iter().any(|word| word.known == Known::Any) {
            true => Self::Unknown(Origin::Made),
            false => Self::Known(words.iter().map(|word| vec![text_of(word)]).collect()),
        }
    }
}

// === impl Value ===

impl Value {
    /// Takes one text.
    pub(super) fn one(text: Text) -> Self {
        Self::Scalar(vec![text])
    }

    /// Takes anything.
    pub(super) fn unknown(origin: Origin) -> Self {
        Self::one(Text::unknown(origin))
    }

    /// Returns what `$NAME` may be: the first element of an array.
    pub(super) fn texts(&self) -> Vec<Text> {
        match self {
            Self::Array(elements) => elements.first().cloned().unwrap_or_default(),
            Self::Scalar(texts) => texts.clone(),
        }
    }
}

// === impl State ===

impl State {
    /// Starts with nothing remembered.
    pub(super) fn new() -> Self {
        Self { layers: vec![Layer::new()], kinds: vec![0], names: Names::Programs }
    }

    /// Returns what is remembered.
    pub(super) fn slot(&self, key: &Key) -> Option<&Slot> {
        let layers = self.layers.iter().zip(&self.kinds).rev();
        let mut layers = layers.filter(|(_, kinds)| **kinds & key.kind() != 0);
        layers.find_map(|(layer, _)| layer.get(key))
    }

    /// Says what programs' names may stand for.
    pub(super) fn program_names(&self) -> Names {
        self.names
    }

    /// Remembers something.
    pub(super) fn set(&mut self, key: Key, slot: Slot) {
        if matches!(key, Key::Alias(_) | Key::Function(_) | Key::Hash(_)) {
            self.names = Names::Others;
        }
        if let (Some(layer), Some(kinds)) = (self.layers.last_mut(), self.kinds.last_mut()) {
            *kinds |= key.kind();
            layer.insert(key, slot);
        }
    }

    /// Begins a way that may or may not be taken.
    pub(super) fn enter(&mut self) {
        self.layers.push(Layer::new());
        self.kinds.push(0);
    }

    /// Ends it, and returns what it changed.
    pub(super) fn leave(&mut self) -> Layer {
        if self.layers.len() < 2 {
            return Layer::new();
        }
        self.kinds.pop();
        self.layers.pop().unwrap_or_default()
    }

    /// Takes over what several ways changed, of which one was taken, or none. Returns which keys
    /// hold something else than before.
    pub(super) fn join(&mut self, ways: &[Layer], none: Sure) -> Vec<Key> {
        let mut keys: Vec<&Key> = ways.iter().flat_map(BTreeMap::keys).collect();
        keys.sort();
        keys.dedup();
        let mut changed = Vec::new();
        for key in keys {
            let before = self.slot(key).cloned();
            let mut joined: Option<Option<Slot>> = (none == Sure::Maybe).then(|| before.clone());
            for way in ways {
                let after = way.get(key).cloned().or_else(|| before.clone());
                joined = Some(match joined {
                    None => after,
                    Some(present) => merged(key, present, after),
                });
            }
            let Some(Some(joined)) = joined else { continue };
            if before.as_ref() != Some(&joined) {
                changed.push(key.clone());
                self.set(key.clone(), joined);
            }
        }
        changed
    }

    /// Forgets what a key holds.
    pub(super) fn widen(&mut self, key: Key) {
        let slot = match (&key, self.slot(&key)) {
            (Key::Variable(_), Some(Slot::Variable(value))) => {
                Slot::Variable(Value::one(match value {
                    Value::Array(_) => Text::unknown(Origin::Made),
                    Value::Scalar(texts) => any_of(texts),
                }))
            }
            (Key::Directory, _) => Slot::Directory(None),
            (Key::Positional, _) => Slot::Positional(Parameters::Unknown(Origin::Made)),
            _ => return,
        };
        self.set(key, slot);
    }

    /// Returns the names of variables that are set and start so.
    pub(super) fn names(&self, start: &[u8]) -> Vec<Vec<u8>> {
        let mut names: Vec<_> = self
            .layers
            .iter()
            .flat_map(BTreeMap::keys)
            .filter_map(|key| match key {
                Key::Variable(name) if name.starts_with(start) => Some(name.clone()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Joins what two ways leave. What a key is when nobody has set it depends on the key.
fn merged(key: &Key, one: Option<Slot>, other: Option<Slot>) -> Option<Slot> {
    let (one, other) = match (one, other) {
        (None, None) => return None,
        (Some(one), Some(other)) => (one, other),
        (Some(slot), None) | (None, Some(slot)) => match unset(key, &slot) {
            Some(unset) => (slot, unset),
            None => return Some(slot),
        },
    };
    Some(match (one, other) {
        (one, other) if one == other => one,
        (Slot::Alias(one), Slot::Alias(other)) => Slot::Alias(united(one, other)),
        (Slot::Descriptor(one), Slot::Descriptor(other)) => Slot::Descriptor(united(one, other)),
        (Slot::Function(one, sure), Slot::Function(other, also)) => {
            let sure = if sure == also { sure } else { Sure::Maybe };
            Slot::Function(united(one, other), sure)
        }
        (Slot::Hash(one), Slot::Hash(other)) => Slot::Hash(united(one, other)),
        (Slot::Variable(Value::Scalar(mut one)), Slot::Variable(Value::Scalar(other))) => {
            // A variable that is not set is empty in every use but `${x-…}`.
            for texts in [&other, &one.clone()] {
                if texts.is_empty() {
                    one.push(Text::default());
                }
            }
            one.extend(other);
            Slot::Variable(Value::Scalar(settled(one)))
        }
        (Slot::Variable(_), _) => Slot::Variable(Value::unknown(Origin::Made)),
        (Slot::Directory(_), _) => Slot::Directory(None),
        (Slot::Positional(_), _) => Slot::Positional(Parameters::Unknown(Origin::Made)),
        (one, _) => one,
    })
}

fn unset(key: &Key, slot: &Slot) -> Option<Slot> {
    Some(match (key, slot) {
        (Key::Variable(name), _) => Slot::Variable(ambient(name)),
        (Key::Function(_), _) => Slot::Function(Vec::new(), Sure::Maybe),
        (Key::Descriptor(_), _) => Slot::Descriptor(vec![None]),
        (Key::Directory, _) => Slot::Directory(None),
        (Key::Positional, _) => Slot::Positional(Parameters::Unknown(Origin::Made)),
        _ => return None,
    })
}

/// What a variable holds that the text has not set.
pub(super) fn ambient(name: &[u8]) -> Value {
    match name {
        b"HOME" => Value::one(Text::known("~")),
        b"BASHPID" | b"BASH_SUBSHELL" | b"EPOCHSECONDS" | b"EUID" | b"LINENO" | b"OPTIND"
        | b"PPID" | b"RANDOM" | b"SECONDS" | b"SRANDOM" | b"UID" | b"#" | b"?" | b"$" => {
            Value::one(Text::tame())
        }
        b"COLUMNS" | b"GROUPS" | b"HOSTNAME" | b"HOSTTYPE" | b"LINES" | b"LOGNAME" | b"OSTYPE"
        | b"SHLVL" | b"USER" | b"!" => Value::one(Text::plain()),
        b"-" => Value::one(Text::known("hB")),
        b"0" => Value::one(Text::known("bash")),
        name if PASSED.iter().any(|passed| name.starts_with(passed)) => {
            Value::unknown(Origin::Outside)
        }
        _ => Value::unknown(Origin::Environment),
    }
}

/// Starts of the names of variables that reach a run from its caller: of all others, a run has none
/// that its text does not set, but by whoever runs the machine.
const PASSED: [&[u8]; 8] =
    [b"COLORTERM", b"LANG", b"LC_", b"NO_COLOR", b"SSH_", b"TERM", b"TZ", b"_"];

fn united<T: PartialEq>(mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
    for item in other {
        if !one.contains(&item) && one.len() < UNITED_MAX {
            one.push(item);
        }
    }
    one
}

/// The most files, bodies or paths of one name: more are not told apart by anyone.
const UNITED_MAX: usize = 64;
