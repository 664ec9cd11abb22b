//! Variables that hold more than what was assigned to them last.
//!
//! An attribute changes the letters of a value or evaluates it, a read-only variable keeps what it
//! holds, a trap assigns at any time, and a builtin may set a variable whose name nobody knows. Each
//! adds to the values a variable may hold; none takes one away.

use iddio_core::tier::{Class, Tier};

use super::{
    Walker,
    parameter::is_name,
    programs::Traffic,
    state::{Key, Slot, Value, ambient},
    text::{Origin, Text, settled},
};
use crate::shell::Span;

// === impl Walker ===

impl Walker<'_> {
    /// Returns what a variable holds once a value is assigned to it.
    pub(super) fn kept(&mut self, name: &[u8], value: Value, at: Option<Span>) -> Value {
        if MOVING.contains(&name) {
            return Value::unknown(Origin::Made);
        }
        let mut texts = match value {
            Value::Scalar(texts) => texts,
            Value::Array(_) if self.loose.contains_key(name) || self.cased.contains(name) => {
                return Value::unknown(Origin::Made);
            }
            array => return array,
        };
        if self.integers.contains(name) || COUNTED.contains(&name) {
            let number = |text: &Text| {
                let result = self.evaluated(text, at);
                result.map_or_else(Text::number, |number| Text::known(number.to_string()))
            };
            texts = texts.iter().map(number).collect();
        }
        if self.cased.contains(name) {
            let cased: Vec<Text> = texts.iter().flat_map(every_case).collect();
            texts.extend(cased);
        }
        match self.loose.get(name) {
            Some(others) => texts.extend(others.iter().cloned()),
            None if !self.cased.contains(name) => return Value::Scalar(texts),
            None => {}
        }
        Value::Scalar(settled(texts))
    }

    /// Notes that a variable may hold what it holds now, whatever is assigned to it.
    pub(super) fn loosen(&mut self, name: &[u8]) {
        let texts = match self.value(name) {
            Value::Scalar(texts) if texts.is_empty() => vec![Text::default()],
            Value::Scalar(texts) => texts,
            Value::Array(_) => vec![Text::unknown(Origin::Made)],
        };
        let others = self.loose.entry(name.to_vec()).or_default();
        others.extend(texts);
        *others = settled(std::mem::take(others));
    }

    /// Something is assigned to a variable whose name nobody knows: each may hold anything.
    pub(super) fn forget(&mut self) {
        for name in self.state.names(b"") {
            self.step(STEPS_PER_VARIABLE);
            let mut texts = self.value(&name).texts();
            texts.push(Text::unknown(Origin::Made));
            self.state.set(Key::Variable(name), Slot::Variable(Value::Scalar(settled(texts))));
        }
    }

    /// Notes that a variable holds what secret files do that were read since.
    pub(super) fn tells(&mut self, name: &[u8], before: Traffic) {
        if 0 < self.traffic.since(before).files {
            self.secret.insert(name.to_vec());
        }
    }

    /// Notes that a variable stands for another from here on: one of these names, or none yet.
    pub(super) fn refers(&mut self, name: &[u8], value: Option<&Text>) {
        let targets = self.references.entry(name.to_vec()).or_default();
        match value.map(Text::as_bytes) {
            Some(Some(target)) => _ = targets.names.insert(target.to_vec()),
            Some(None) => targets.open = true,
            None => {}
        }
    }

    /// Assigns to what a variable stands for, if it stands for any. The value may also be the name
    /// of what it stands for from here on.
    pub(super) fn through_reference(&mut self, name: &[u8], value: &Value, at: Option<Span>) {
        // What is assigned to meanwhile stands for nothing: references lead in circles.
        let Some(mut targets) = self.references.remove(name) else { return };
        for target in &targets.names {
            self.assign(target, value.clone(), at);
            let unknown = Slot::Variable(Value::unknown(Origin::Made));
            self.state.set(Key::Variable(target.clone()), unknown);
        }
        for text in value.texts() {
            match text.as_bytes() {
                Some(bytes) if is_name(bytes) => _ = targets.names.insert(bytes.to_vec()),
                Some(_) => {}
                None => targets.open |= targets.names.is_empty(),
            }
        }
        if targets.open {
            let why = "it sets a variable that nobody knows";
            self.raise(Tier::Sensitive, Class::Unknown, "shell:variable", why, at);
            self.forget();
        }
        self.references.insert(name.to_vec(), targets);
    }

    /// Sets a variable outside every function that is running: whoever hides it finds it later.
    pub(super) fn beneath(&mut self, name: &[u8], value: &Value) {
        let key = Key::Variable(name.to_vec());
        for frame in &mut self.locals {
            if let Some(slot) = frame.get_mut(&key) {
                let mut texts = match slot {
                    Some(Slot::Variable(before)) => before.texts(),
                    _ => ambient(name).texts(),
                };
                texts.extend(value.texts());
                *slot = Some(Slot::Variable(Value::Scalar(settled(texts))));
            }
        }
    }

    /// Whether a function that is running has a variable of its own of this name.
    pub(super) fn hides(&self, name: &[u8]) -> bool {
        let key = Key::Variable(name.to_vec());
        self.locals.iter().any(|frame| frame.contains_key(&key))
    }

    /// Walks the text of a trap, which may run at any time from here on.
    pub(super) fn interrupted(&mut self, text: &[u8], at: Option<Span>) {
        self.state.enter();
        self.out.push(Text::default());
        let feed = self.feed.clone();
        self.nested(text, at);
        self.feed = feed;
        let _written = self.out.pop();
        let way = self.state.leave();
        let changed: Vec<Vec<u8>> = way
            .keys()
            .filter_map(|key| match key {
                Key::Variable(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        self.state.join(&[way], super::state::Sure::Maybe);
        for name in changed {
            self.loosen(&name);
        }
    }
}

/// What `declare -l`, `-u` and `-c` may make of a text.
fn every_case(text: &Text) -> Vec<Text> {
    let Some(bytes) = text.as_bytes().filter(|bytes| bytes.is_ascii()) else {
        return vec![Text::unknown(text.origin().unwrap_or(Origin::Made))];
    };
    let lower = bytes.to_ascii_lowercase();
    let mut capital = lower.clone();
    capital.iter_mut().take(1).for_each(|byte| byte.make_ascii_uppercase());
    [lower, bytes.to_ascii_uppercase(), capital].map(Text::known).into()
}

/// What it takes to forget what a variable holds, in steps.
const STEPS_PER_VARIABLE: usize = 4;

/// Variables that a shell sets anew by itself.
const MOVING: [&[u8]; 8] = [
    b"_",
    b"BASH_ARGV",
    b"BASH_COMMAND",
    b"BASH_REMATCH",
    b"BASH_SOURCE",
    b"DIRSTACK",
    b"FUNCNAME",
    b"PIPESTATUS",
];

/// Variables whose values a shell evaluates as arithmetic.
const COUNTED: [&[u8]; 6] = [b"HISTCMD", b"LINENO", b"OPTIND", b"RANDOM", b"SECONDS", b"SRANDOM"];
