//! `declare` and its like: variables with attributes, from words that are assignments.

use std::collections::BTreeSet;

use iddio_core::tier::{Class, Tier};

use super::{
    Walker,
    compound::text_of,
    expand::term,
    parameter::is_name,
    simple::{Around, named},
    state::{Key, Slot, Value},
    text::{Chunk, Origin, Text, settled},
};
use crate::{
    command::{
        Found,
        line::{Known, Term},
    },
    shell::{
        Span,
        ast::{Appends, Part, Word},
    },
};

/// Commands whose arguments are assignments: those are not split.
const DECLARE: [&[u8]; 5] = [b"declare", b"export", b"local", b"readonly", b"typeset"];

// === impl Walker ===

impl Walker<'_> {
    /// Expands the words of a command. What follows `declare` and its like is expanded as
    /// assignments are.
    pub(super) fn command_words(&mut self, words: &[Word]) -> Vec<Vec<Term>> {
        let declares = words.first().is_some_and(|word| match word.parts.as_slice() {
            [Part::Text(bytes)] => DECLARE.contains(&bytes.as_slice()),
            _ => false,
        });
        if !declares {
            return self.arguments(words);
        }
        let mut lines: Vec<Vec<Term>> = vec![Vec::new()];
        for word in words {
            let span = self.place(word.span);
            let assigned = assigned_name(word);
            let alternatives = match assigned {
                Some(name) => match word.parts.get(1) {
                    Some(Part::Array(elements)) => {
                        self.array(&name, elements, span);
                        vec![vec![term(&Text::known(name), span)]]
                    }
                    _ => {
                        let texts = self.single(word);
                        texts.iter().map(|text| vec![term(text, span)]).collect()
                    }
                },
                None => self.terms(word),
            };
            lines = super::text::concatenated(lines, alternatives, || super::expand::any(span));
        }
        lines
    }

    fn array(
        &mut self,
        name: &[u8],
        elements: &[(Option<crate::shell::ast::Arithmetic>, Word)],
        at: Option<Span>,
    ) {
        let value = match self.elements_of(elements) {
            Some(elements) => Value::Array(elements),
            None => Value::unknown(Origin::Made),
        };
        self.assign(name, value, at);
    }

    /// `declare`, `export`, `local`, `readonly`, `typeset`.
    pub(super) fn declared(&mut self, program: &[u8], line: &[Term], around: &Around) {
        let mut found = Vec::new();
        let mut letters: BTreeSet<u8> = BTreeSet::new();
        let local = !self.locals.is_empty() && !matches!(program, b"export" | b"readonly");
        // Outside a function it is an error, and nothing happens.
        let fails = program == b"local" && self.locals.is_empty();
        if fails {
            self.state.enter();
        }
        for word in line.iter().skip(1) {
            let text = text_of(word);
            let option = text.as_bytes().and_then(|bytes| match bytes {
                [b'-' | b'+', letters @ ..] => Some(letters.to_vec()),
                _ => None,
            });
            if let Some(option) = option {
                letters.extend(option);
                continue;
            }
            match named(&text) {
                Some((name, value, appends)) => {
                    self.declare(&name, Some((value, appends)), &letters, local, around);
                    self.declared_beyond(program, &name, &letters);
                }
                None => match text.as_bytes() {
                    Some(name) => {
                        self.declare(name, None, &letters, local, around);
                        self.declared_beyond(program, name, &letters);
                    }
                    None => {
                        let why = "it sets variables that nobody knows";
                        let rule = "shell:variable";
                        found.push(Found::new(Tier::Sensitive, Class::Unknown, rule, why));
                        self.forget();
                    }
                },
            }
        }
        if fails {
            let way = self.state.leave();
            self.state.join(&[way], super::state::Sure::Maybe);
        }
        let names = line.iter().skip(1).filter(|term| !is_option(term)).count();
        let functions = letters.contains(&b'f') || letters.contains(&b'F');
        if names == 0 && !functions {
            found.push(super::builtins::shows_variables());
        }
        self.own(line, around, found);
        let prints = line.len() < 2 || letters.contains(&b'p');
        if prints {
            self.emit_through(Text::unknown(Origin::Outside), &around.plumbing);
        }
    }

    /// What a declaration means for later assignments, and for functions that are running.
    fn declared_beyond(&mut self, program: &[u8], name: &[u8], letters: &BTreeSet<u8>) {
        if program == b"readonly" || letters.contains(&b'r') {
            self.loosen(name);
        }
        if letters.contains(&b'g') && self.hides(name) {
            let value = self.value(name);
            self.beneath(name, &value);
        }
    }

    fn declare(
        &mut self,
        name: &[u8],
        value: Option<(Text, Appends)>,
        letters: &BTreeSet<u8>,
        local: bool,
        around: &Around,
    ) {
        let at = around.at;
        if letters.contains(&b'f') || letters.contains(&b'F') {
            // An exported function may be called by any shell below.
            if letters.contains(&b'x') || !letters.contains(&b'p') {
                self.called_from_outside(name);
            }
            return;
        }
        let base: Vec<u8> = name.iter().take_while(|byte| **byte != b'[').copied().collect();
        self.subscripts(&Text::known(name), at);
        if letters.contains(&b'i') {
            self.integers.insert(base.clone());
        }
        if letters.iter().any(|letter| b"luc".contains(letter)) {
            self.cased.insert(base.clone());
        }
        let key = Key::Variable(base.clone());
        if local && !letters.contains(&b'g') {
            let before = self.state.slot(&key).cloned();
            if let Some(frame) = self.locals.last_mut() {
                frame.entry(key.clone()).or_insert(before);
            }
            if value.is_none() {
                self.state.set(key, Slot::Variable(Value::Scalar(Vec::new())));
                return;
            }
        }
        if letters.contains(&b'n') {
            let target = value.as_ref().and_then(|(text, _)| text.as_bytes().map(<[u8]>::to_vec));
            if let Some(target) = &target
                && !is_name(target)
            {
                self.subscripts(&Text::known(target.clone()), at);
            }
            self.refers(&base, value.as_ref().map(|(text, _)| text));
            self.state.set(Key::Variable(base), Slot::Variable(Value::unknown(Origin::Made)));
            return;
        }
        let Some((text, appends)) = value else { return };
        if let Some(bytes) = text.as_bytes()
            && bytes.first() == Some(&b'(')
            && bytes.last() == Some(&b')')
        {
            // A quoted `(…)` is read again, and expanded.
            let bytes = [base.as_slice(), b"=", bytes].concat();
            self.nested(&bytes, at);
            return;
        }
        let value = match (base.len() == name.len(), appends) {
            (false, _) => Value::unknown(Origin::Made),
            (true, Appends::Adds) => Value::Scalar(settled(self.added(&base, &text))),
            (true, _) => Value::Scalar(settled(vec![text])),
        };
        self.assign(&base, value, at);
    }

    /// Every text a variable may hold once `text` is added to it.
    fn added(&self, base: &[u8], text: &Text) -> Vec<Text> {
        let before = self.value(base).texts();
        let before = if before.is_empty() { vec![Text::default()] } else { before };
        let add = |mut before: Text| {
            before.extend(text.clone());
            before
        };
        before.into_iter().map(add).collect()
    }

    /// Evaluates the subscript of a name that a builtin is given: `x[$(id)]`.
    pub(super) fn subscripts(&mut self, name: &Text, at: Option<Span>) {
        let known: Vec<u8> = name
            .0
            .iter()
            .filter_map(|chunk| match chunk {
                Chunk::Bytes(bytes) => Some(bytes.as_slice()),
                _ => None,
            })
            .collect::<Vec<_>>()
            .concat();
        if let Some(place) = known.iter().position(|byte| *byte == b'[') {
            let subscript = known.get(place + 1..).unwrap_or_default();
            let subscript = subscript.strip_suffix(b"]").unwrap_or(subscript).to_vec();
            self.evaluated(&Text::known(subscript), at);
        }
        if name.as_bytes().is_none() {
            self.doubt(name, at);
        }
    }
}

/// Returns the name where a word is `NAME=…` as written.
fn assigned_name(word: &Word) -> Option<Vec<u8>> {
    let Some(Part::Text(bytes)) = word.parts.first() else { return None };
    let (name, _, _) = named(&Text::known(bytes.clone()))?;
    Some(name)
}

/// Whether a word is known to be an option.
pub(super) fn is_option(term: &Term) -> bool {
    term.known == Known::Whole && term.text.as_bytes().first() == Some(&b'-')
}
