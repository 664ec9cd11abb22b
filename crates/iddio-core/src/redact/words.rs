//! Command lines: flags whose value is a secret, and the scripts inside words.

use std::ops::Range;

use super::{
    Kind, Spans, at,
    names::{is_exempt, kind_of},
    pairs::{self, Place},
    part,
    program::{Form, Seen},
    run_end,
    shapes::{self, is_base64, is_random},
};
use crate::text::RawText;

/// Finds the secrets of each word of a command line.
pub(super) fn scan_argv(words: &[RawText], spans: &mut [Spans]) {
    let all =
        words.iter().map(|word| Word { bytes: word.as_bytes(), start: 0, lead: Lead::Within });
    let mut line = Line::default();
    for (word, spans) in all.zip(spans) {
        let place = line.step(&word, spans);
        scan_bytes(word.bytes, place, spans);
        if word.bytes.iter().any(u8::is_ascii_whitespace) {
            scan_line(word.bytes, 0, SCRIPT_DEPTH_MAX, spans);
        }
    }
}

/// Finds the secrets of running text, and of the command lines in it.
pub(super) fn scan_text(text: &[u8], spans: &mut Spans) {
    scan_bytes(text, Place::Text, spans);
    scan_line(text, 0, SCRIPT_DEPTH_MAX, spans);
}

fn scan_bytes(bytes: &[u8], place: Place, spans: &mut Spans) {
    shapes::scan(bytes, spans);
    if place != Place::Name {
        pairs::scan(bytes, place, spans);
    }
}

/// Reads `text`, which stands at `offset`, as command lines.
fn scan_line(text: &[u8], offset: usize, depth: usize, spans: &mut Spans) {
    let mut line = Line::default();
    let mut place = 0;
    while let Some(word) = Word::next(text, &mut place) {
        let mut found = Spans::default();
        line.step(&word, &mut found);
        let start = offset + word.start;
        let moved = found.0.into_iter().map(|(span, kind)| (shift(span, start), kind));
        spans.0.extend(moved);
        if 0 < depth && word.bytes.iter().any(u8::is_ascii_whitespace) {
            scan_line(word.bytes, start, depth - 1, spans);
        }
    }
}

fn shift(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

/// A word, without its quotes.
struct Word<'a> {
    bytes: &'a [u8],
    start: usize,
    lead: Lead,
}

/// What stands before a word.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Lead {
    /// An operator: a new command begins.
    Operator,
    /// Another word of the command, or nothing.
    Within,
}

/// What is known at one place of a command line.
#[derive(Default)]
struct Line<'a> {
    seen: Seen,
    /// The next word is a secret.
    due: Option<Due<'a>>,
    /// So many words on stands a password.
    countdown: Option<usize>,
    /// For so many words, something drawn at random is a secret.
    near: usize,
    /// The word before takes a list, or pairs that are all secret.
    values: Values,
}

/// What the next word holds.
#[derive(Clone, Copy)]
struct Due<'a> {
    /// What the name before it is, if that says more than the kind.
    name: &'a [u8],
    kind: Kind,
    form: Form,
}

/// What the next word's pairs are.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Values {
    List,
    Literal,
    #[default]
    Ordinary,
}

// === impl Word ===

impl<'a> Word<'a> {
    /// Reads the word from `place` on and moves `place` behind it.
    fn next(text: &'a [u8], place: &mut usize) -> Option<Self> {
        let mut lead = Lead::Within;
        let mut start = *place;
        loop {
            match at(text, start)? {
                b';' | b'|' | b'&' | b'(' | b')' | b'\n' | b'`' => lead = Lead::Operator,
                byte if byte.is_ascii_whitespace() => {}
                _ => break,
            }
            start += 1;
        }
        let quote = at(text, start).filter(|byte| *byte == b'"' || *byte == b'\'');
        let (from, end) = match quote {
            Some(quote) => (start + 1, run_end(text, start + 1, |byte| byte != quote)),
            None => (start, unquoted_end(text, start)),
        };
        *place = if quote.is_some() { end + 1 } else { end.max(start + 1) };
        Some(Self { bytes: part(text, from..end), start: from, lead })
    }
}

/// Returns where the word at `start` ends; quotes inside it hold spaces.
fn unquoted_end(text: &[u8], start: usize) -> usize {
    let mut place = start;
    while let Some(byte) = at(text, place) {
        match byte {
            b';' | b'|' | b'&' | b'(' | b')' | b'`' => break,
            b'\\' => place += 1,
            b'"' | b'\'' => place = run_end(text, place + 1, |inner| inner != byte),
            byte if byte.is_ascii_whitespace() => break,
            _ => {}
        }
        place += 1;
    }
    place.min(text.len())
}

// === impl Line ===

impl<'a> Line<'a> {
    /// Takes in one word, notes the secret it is, and returns how its pairs are to be read.
    fn step(&mut self, word: &Word<'a>, spans: &mut Spans) -> Place {
        if word.lead == Lead::Operator {
            *self = Self::default();
        }
        let bytes = word.bytes;
        let values = std::mem::take(&mut self.values);
        if let Some(due) = self.due.take()
            && !is_flag(bytes)
        {
            due.take(bytes, spans);
            return Place::Word;
        }
        self.positional(bytes, spans);
        self.literal(bytes, values, spans);
        self.nearby(bytes, spans);
        if matches!(bytes.first(), Some(b'-' | b'/')) {
            self.flag(bytes, spans);
        }
        if self.seen.sets_by_word() && !bytes.starts_with(b"-") && !bytes.contains(&b'=') {
            self.due = kind_of(bytes).map(|kind| Due::next(bytes, kind));
        }
        self.seen.note(bytes);
        let names_one = bytes.starts_with(b"--secret=") || bytes.starts_with(b"--secret-id=");
        match (values, self.values) {
            (Values::List, _) => Place::List,
            (_, Values::List) if bytes.contains(&b'=') => {
                self.values = Values::Ordinary;
                Place::List
            }
            _ if names_one && self.seen.names_secrets() => Place::Name,
            _ if self.seen.runs_scripts() && bytes.iter().any(u8::is_ascii_whitespace) => {
                Place::Text
            }
            _ => Place::Word,
        }
    }

    /// `-p secret`, `-psecret`, `--password secret`, `--password=secret`.
    fn flag(&mut self, bytes: &'a [u8], spans: &mut Spans) {
        let equals = bytes.iter().position(|byte| *byte == b'=');
        let name = part(bytes, 0..equals.unwrap_or(bytes.len()));
        let value = equals.map(|equals| equals + 1..bytes.len());
        for flag in self.seen.flags() {
            let own = flag.name.as_bytes();
            let long = own.starts_with(b"--");
            let due = Due { name: b"", kind: flag.kind, form: flag.form };
            match (&value, flag.form) {
                (None, Form::Either | Form::Next | Form::Behind(_)) if name == own => {
                    self.due = Some(due);
                }
                (Some(value), _) if long && name == own => due.take_at(bytes, value.start, spans),
                (_, Form::Either | Form::Glued | Form::Behind(_))
                    if !long && bytes.starts_with(own) && name != own =>
                {
                    due.take_at(bytes, own.len(), spans);
                }
                _ => {}
            }
        }
        if name.starts_with(b"--set") {
            self.values = Values::List;
        }
        if name == b"--from-literal" && self.seen.stores_literals() {
            if value.is_none() {
                self.values = Values::Literal;
            }
            if let Some(value) = &value {
                let inner = part(bytes, value.clone());
                let from = inner.iter().position(|byte| *byte == b'=').map_or(0, |place| place + 1);
                spans.push(value.start + from..bytes.len(), Kind::Value);
            }
        }
        if let Some(kind) = self.flag_kind(name) {
            match &value {
                Some(value) if !is_exempt(name, part(bytes, value.clone())) => {
                    spans.push(value.clone(), kind);
                }
                Some(_) => {}
                None => self.due = self.due.or(Some(Due::next(name, kind))),
            }
        }
    }

    /// Returns what a flag called `name` takes, as far as its name says.
    fn flag_kind(&self, name: &[u8]) -> Option<Kind> {
        let bare = part(name, run_end(name, 0, |byte| byte == b'-')..name.len());
        let first = bare.split(|byte| *byte == b'-').next().unwrap_or_default();
        let names_one = matches!(bare, b"secret" | b"secret-id") && self.seen.names_secrets();
        let switch = SWITCHING.contains(&first) || names_one || bare.contains(&b':');
        if switch || bare.len() < 2 || !name.starts_with(b"-") { None } else { kind_of(bare) }
    }

    /// `vault login TOKEN`, `rabbitmqctl add_user NAME PASSWORD`.
    fn positional(&mut self, bytes: &[u8], spans: &mut Spans) {
        match self.countdown {
            Some(_) if is_flag(bytes) => {}
            Some(1) => {
                self.countdown = None;
                spans.push(0..bytes.len(), Kind::Password);
            }
            Some(left) => self.countdown = Some(left - 1),
            None => self.countdown = self.seen.password_place(bytes),
        }
    }

    /// `kubectl create secret … --from-literal name=value`, `vault kv put path name=value`.
    fn literal(&mut self, bytes: &[u8], values: Values, spans: &mut Spans) {
        let stored = values == Values::Literal || (self.seen.stores_pairs() && !is_flag(bytes));
        if let Some(equals) = bytes.iter().position(|byte| *byte == b'=').filter(|_| stored) {
            spans.push(equals + 1..bytes.len(), Kind::Value);
        }
    }

    /// Something drawn at random a few words after a name that says secret.
    fn nearby(&mut self, bytes: &[u8], spans: &mut Spans) {
        if 0 < self.near {
            self.near -= 1;
            let mut place = 0;
            while place < bytes.len() {
                let end = run_end(bytes, place, is_base64);
                if is_random(part(bytes, place..end), RANDOM_LEN_MIN) {
                    spans.push(place..end, Kind::Value);
                }
                place = end + 1;
            }
        }
        if !bytes.contains(&b'=') && kind_of(bytes).is_some() {
            self.near = NEAR_WORDS;
        }
    }
}

// === impl Due ===

impl<'a> Due<'a> {
    fn next(name: &'a [u8], kind: Kind) -> Self {
        Self { name, kind, form: Form::Next }
    }

    fn take(self, bytes: &[u8], spans: &mut Spans) {
        if !(matches!(self.form, Form::Next | Form::Either) && is_exempt(self.name, bytes)) {
            self.take_at(bytes, 0, spans);
        }
    }

    fn take_at(self, bytes: &[u8], start: usize, spans: &mut Spans) {
        let value = part(bytes, start..bytes.len());
        let skip = match self.form {
            Form::Behind(mark) => match value.iter().position(|byte| *byte == mark) {
                Some(place) => place + 1,
                None => return,
            },
            Form::Either | Form::Glued | Form::Next => 0,
        };
        spans.push(start + skip..bytes.len(), self.kind);
    }
}

/// Whether `word` is a flag and no value: dashes, then small letters and dashes alone. A secret
/// that begins with a dash is drawn from more than those.
fn is_flag(word: &[u8]) -> bool {
    let dashes = run_end(word, 0, |byte| byte == b'-').min(2);
    let name = part(word, dashes..run_end(word, dashes, |byte| byte != b'='));
    let plain = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'-';
    0 < dashes && !name.is_empty() && name.iter().all(plain)
}

/// First words of flags that take no value.
const SWITCHING: &[&[u8]] = &[
    b"ask", b"disable", b"enable", b"hide", b"no", b"print", b"prompt", b"require", b"show",
    b"skip", b"with", b"without",
];

/// How deep scripts inside the words of scripts are read.
const SCRIPT_DEPTH_MAX: usize = 4;

/// How long something must be that is taken out for being drawn at random near a telling name.
const RANDOM_LEN_MIN: usize = 32;

/// How many words after a telling name such a thing is looked for.
const NEAR_WORDS: usize = 3;
