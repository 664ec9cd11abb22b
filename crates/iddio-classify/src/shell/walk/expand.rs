//! Words become what a program is given: expansion, splitting, file name patterns.
//!
//! Every result is a list of alternatives: variables that may hold several things make several
//! command lines. INVARIANT: what a run may give a program is covered by one of them.

use std::rc::Rc;

use iddio_core::text::RawText;

use super::{
    SEPARATORS, Tame, Walker,
    braces::{self, Token},
    glob,
    text::{Chunk, ELLIPSIS, Origin, Text, concatenated, settled},
};
use crate::{
    command::line::{Known, Minus, Stretch, TAME, Term},
    shell::{
        Span,
        ast::{Part, Word},
    },
};

/// A piece of a word that is being expanded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// The end of a word: `"$@"`.
    Break,
    /// What nothing works in any more.
    Fixed(Chunk),
    /// Text as written: patterns work in it.
    Literal(Vec<u8>),
    /// Any number of words.
    Many,
    /// A pair of quotes: there is a word, though it may be empty.
    Quotes,
    /// What an expansion without quotes gives: it is split, and patterns work in it.
    Split(Chunk),
}

/// Whether something stands in double quotes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quoting {
    /// It does, or is not split for another reason.
    Quoted,
    /// It does not.
    Unquoted,
}

/// One way a word may be expanded.
pub(super) type Pieces = Vec<Piece>;

// === impl Walker ===

impl Walker<'_> {
    /// Expands the words of a command: each alternative is a whole command line.
    pub(super) fn arguments(&mut self, words: &[Word]) -> Vec<Vec<Term>> {
        let mut lines: Vec<Vec<Term>> = vec![Vec::with_capacity(words.len())];
        for word in words {
            if let Some(term) = self.plain_term(word) {
                let (last, others) = match lines.split_last_mut() {
                    Some(parts) => parts,
                    None => continue,
                };
                others.iter_mut().for_each(|line| line.push(term.clone()));
                last.push(term);
                continue;
            }
            let before = self.traffic;
            let alternatives = self.terms(word);
            // A header that says who asks is for that.
            let names =
                |term: &Term| term.head().to_ascii_lowercase().starts_with("authorization:");
            let secret = 0 < self.traffic.since(before).files;
            self.told += usize::from(secret && !alternatives.iter().flatten().all(names));
            let span = self.place(word.span);
            lines = concatenated(lines, alternatives, || any(span));
        }
        lines
    }

    /// Returns the term of a word in which nothing is expanded.
    fn plain_term(&mut self, word: &Word) -> Option<Term> {
        let bytes = match word.parts.as_slice() {
            [Part::Quoted(bytes)] => bytes,
            [Part::Text(bytes)] if stands_for_itself(bytes) => bytes,
            _ => return None,
        };
        if self.holds_tame(bytes) {
            return None;
        }
        self.step(1);
        let text = RawText::new(bytes.as_slice());
        let span = self.place(word.span);
        Some(Term { text, known: Known::Whole, span, stretches: None })
    }

    /// Expands one word to any number of words.
    pub(super) fn terms(&mut self, word: &Word) -> Vec<Vec<Term>> {
        if let Some(term) = self.plain_term(word) {
            return vec![vec![term]];
        }
        let span = self.place(word.span);
        let mut all: Vec<Vec<Term>> = vec![Vec::new()];
        let Ok(words) = braces::expanded(&word.parts) else { return vec![vec![any(span)]] };
        for tokens in words {
            let mut alternatives: Vec<Pieces> = vec![Vec::new()];
            for token in &tokens {
                let next = match token {
                    Token::Bytes(bytes) => vec![vec![Piece::Literal(bytes.to_vec())]],
                    Token::Part(part) => self.part(part, Quoting::Unquoted),
                };
                alternatives = concatenated(alternatives, next, || Piece::Many);
            }
            let mut fields: Vec<Vec<Term>> = Vec::new();
            for pieces in alternatives {
                let terms = self.fields(&pieces, span);
                if !fields.contains(&terms) {
                    fields.push(terms);
                }
            }
            all = concatenated(all, fields, || any(span));
        }
        all
    }

    /// Whether bytes that nothing expands hold what stands for something tame.
    fn holds_tame(&self, bytes: &[u8]) -> bool {
        self.tame == Tame::Stands && bytes.windows(TAME.len()).any(|part| part == TAME)
    }

    /// Expands a word that is neither split nor matched against files: what is assigned, compared,
    /// or fed.
    pub(super) fn single(&mut self, word: &Word) -> Vec<Text> {
        self.texts(&word.parts)
    }

    /// The same, of parts.
    pub(super) fn texts(&mut self, parts: &[Part]) -> Vec<Text> {
        let alternatives = self.parts(parts, Quoting::Quoted);
        settled(alternatives.into_iter().map(joined).collect())
    }

    /// Expands a word that is a pattern: what is quoted stands for itself.
    pub(super) fn pattern(&mut self, word: &Word) -> Option<Vec<u8>> {
        let mut alternatives = self.parts(&word.parts, Quoting::Unquoted).into_iter();
        let (Some(pieces), None) = (alternatives.next(), alternatives.next()) else { return None };
        let mut pattern = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Literal(bytes) | Piece::Split(Chunk::Bytes(bytes)) => pattern.extend(bytes),
                Piece::Fixed(Chunk::Bytes(bytes)) => pattern.extend(glob::escaped(&bytes)),
                Piece::Quotes => {}
                Piece::Break | Piece::Fixed(_) | Piece::Many | Piece::Split(_) => return None,
            }
        }
        Some(pattern)
    }

    /// Expands parts, each alternative from the first to the last.
    pub(super) fn parts(&mut self, parts: &[Part], quoting: Quoting) -> Vec<Pieces> {
        let mut all: Vec<Pieces> = vec![Vec::new()];
        for part in parts {
            let next = self.part(part, quoting);
            all = concatenated(all, next, || Piece::Many);
        }
        all
    }

    fn part(&mut self, part: &Part, quoting: Quoting) -> Vec<Pieces> {
        self.step(1);
        match part {
            Part::Arithmetic(expression) => {
                let text = self.arithmetic(expression);
                vec![pieces(&text, quoting)]
            }
            // Only `declare` and its like take one, and they look for it themselves.
            Part::Array(elements) => {
                self.elements_of(elements);
                vec![vec![Piece::Many]]
            }
            Part::Command(script) => {
                let text = self.substitution(script);
                self.step(text.len() / BYTES_PER_STEP);
                vec![pieces(&text, quoting)]
            }
            Part::Double(parts) => {
                let quotes = vec![vec![Piece::Quotes]];
                let inner = self.parts(parts, Quoting::Quoted);
                // `"$@"` without parameters is no word at all.
                let none = matches!(parts.as_slice(), [Part::Parameter(p)] if super::parameter::is_list(p));
                if none { inner } else { concatenated(quotes, inner, || Piece::Many) }
            }
            Part::Parameter(parameter) => {
                let all = self.parameter(parameter, quoting);
                let bytes: usize = all.iter().flatten().map(length).sum();
                self.step(bytes / BYTES_PER_STEP + all.len().saturating_sub(1));
                if self.spent() { vec![vec![Piece::Many]] } else { all }
            }
            Part::Process(_, script) => vec![vec![Piece::Fixed(self.process(script))]],
            Part::Quoted(bytes) if self.holds_tame(bytes) => vec![parted(bytes)],
            Part::Quoted(bytes) => {
                vec![vec![Piece::Quotes, Piece::Fixed(Chunk::Bytes(bytes.clone()))]]
            }
            Part::Text(bytes) => vec![vec![Piece::Literal(bytes.clone())]],
        }
    }

    /// Parts pieces into words.
    fn fields(&self, pieces: &[Piece], span: Option<Span>) -> Vec<Term> {
        let mut fields = Fields { done: Vec::new(), open: None, swallows: false, span };
        for (place, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Break => fields.finish(),
                // Nobody whose text is judged sets it, and honest values hold no blanks.
                Piece::Split(Chunk::Unknown(Origin::Environment))
                    if fields.is_argument() && self.separators().as_deref() == Some(SEPARATORS) =>
                {
                    fields.cut();
                }
                Piece::Many | Piece::Split(Chunk::Unknown(_)) => fields.many(),
                Piece::Quotes => {
                    fields.open();
                }
                Piece::Literal(bytes) if place == 0 && leads_elsewhere(bytes) => fields.many(),
                Piece::Literal(bytes) => fields.literal(bytes),
                Piece::Fixed(Chunk::Bytes(bytes)) => fields.fixed(bytes),
                Piece::Fixed(Chunk::Names(names)) | Piece::Split(Chunk::Names(names)) => {
                    fields.names(names);
                }
                Piece::Fixed(Chunk::Plain | Chunk::Unknown(_)) | Piece::Split(Chunk::Plain) => {
                    fields.cut();
                }
                Piece::Fixed(Chunk::Tame(minus)) | Piece::Split(Chunk::Tame(minus)) => {
                    fields.tame(*minus);
                }
                Piece::Split(Chunk::Bytes(bytes)) => match self.separators() {
                    Some(separators) => fields.split(bytes, &separators),
                    None => fields.many(),
                },
            }
        }
        fields.finish();
        fields.done
    }
}

/// Words under construction.
struct Fields {
    done: Vec<Term>,
    open: Option<Field>,
    /// Whether the word has been given up: what follows belongs to any number of words.
    swallows: bool,
    span: Option<Span>,
}

struct Field {
    text: Vec<u8>,
    pattern: Vec<u8>,
    /// Where the first letter of a pattern stands.
    glob: Option<usize>,
    /// Where a bracket stands that makes a pattern if another closes it.
    bracket: Option<usize>,
    /// Where what is known ends.
    cut: Option<usize>,
    /// What it is made of; `None` once anything else is in it.
    stretches: Option<Vec<Stretch>>,
}

impl Default for Field {
    fn default() -> Self {
        let (text, pattern) = (Vec::new(), Vec::new());
        Self { text, pattern, glob: None, bracket: None, cut: None, stretches: Some(Vec::new()) }
    }
}

impl Field {
    fn goes_on(&mut self, bytes: &[u8]) {
        let Some(stretches) = &mut self.stretches else { return };
        match stretches.last_mut() {
            Some(Stretch::Bytes(present)) => present.extend_from_slice(bytes),
            _ => stretches.push(Stretch::Bytes(bytes.to_vec())),
        }
    }
}

impl Fields {
    fn open(&mut self) -> Option<&mut Field> {
        match self.swallows {
            true => None,
            false => Some(self.open.get_or_insert_default()),
        }
    }

    /// Whether the word that is being made starts with something that is no option.
    fn is_argument(&self) -> bool {
        let start = self.open.as_ref().and_then(|field| field.text.first());
        start.is_some_and(|byte| !matches!(byte, b'-' | b'+'))
    }

    fn fixed(&mut self, bytes: &[u8]) {
        if let Some(field) = self.open() {
            field.goes_on(bytes);
            field.text.extend_from_slice(bytes);
            field.pattern.extend(glob::escaped(bytes));
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        let pattern = glob::is_pattern(bytes);
        if let Some(field) = self.open() {
            if pattern {
                let within = bytes.iter().position(|byte| b"*?[+@!".contains(byte)).unwrap_or(0);
                field.glob.get_or_insert(field.text.len() + within);
            } else if let Some(within) = bytes.iter().position(|byte| *byte == b'[') {
                field.bracket.get_or_insert(field.text.len() + within);
            }
            field.goes_on(bytes);
            field.text.extend_from_slice(bytes);
            field.pattern.extend_from_slice(bytes);
        }
    }

    fn names(&mut self, names: &[u8]) {
        if let Some(field) = self.open() {
            field.glob.get_or_insert(field.text.len());
            field.stretches = None;
            field.text.extend_from_slice(names);
            field.pattern.extend_from_slice(names);
        }
    }

    fn cut(&mut self) {
        if let Some(field) = self.open() {
            field.cut.get_or_insert(field.text.len());
            field.stretches = None;
        }
    }

    /// The same, for what is tame.
    fn tame(&mut self, minus: Minus) {
        if let Some(field) = self.open() {
            field.cut.get_or_insert(field.text.len());
            if let Some(stretches) = &mut field.stretches {
                stretches.push(Stretch::Tame(minus));
            }
        }
    }

    /// Takes text apart where separators stand.
    fn split(&mut self, bytes: &[u8], separators: &[u8]) {
        let part = |byte: &u8| separators.contains(byte);
        let blank = |byte: &u8| part(byte) && matches!(byte, b' ' | b'\t' | b'\n');
        let mut rest = bytes;
        while !rest.is_empty() {
            let word = rest.iter().take_while(|byte| !part(byte)).count();
            let (run, tail) = rest.split_at(word);
            if !run.is_empty() {
                self.literal(run);
            }
            // One that is no blank, with the blanks around it, parts two words.
            let skipped = |rest: &[u8]| rest.iter().take_while(|byte| blank(byte)).count();
            let tail_after = tail.get(skipped(tail)..).unwrap_or_default();
            let hard = tail_after.first().is_some_and(part);
            rest = match tail_after.split_first() {
                Some((_, after)) if hard => after.get(skipped(after)..).unwrap_or_default(),
                _ => tail_after,
            };
            if hard {
                self.open();
            }
            if !tail.is_empty() {
                self.finish();
            }
        }
    }

    fn many(&mut self) {
        if self.swallows {
            return;
        }
        if let Some(field) = &mut self.open
            && !field.text.is_empty()
        {
            field.cut.get_or_insert(field.text.len());
            field.stretches = None;
            self.finish();
        }
        self.open = None;
        self.done.push(any(self.span));
        self.swallows = true;
    }

    fn finish(&mut self) {
        self.swallows = false;
        let Some(Field { text, pattern, glob, bracket, cut, stretches }) = self.open.take() else {
            return;
        };
        let glob = glob.or(bracket.filter(|_| pattern.contains(&b']')));
        let (text, known) = match (glob, cut) {
            (None, None) => (text, Known::Whole),
            (Some(_), None) => (pattern, Known::Pattern),
            (glob, Some(cut)) => {
                let known = glob.map_or(cut, |glob| glob.min(cut));
                let mut shown = text;
                shown.truncate(known);
                shown.extend_from_slice(ELLIPSIS);
                (shown, Known::Prefix(known))
            }
        };
        let stretches = stretches.filter(|_| known != Known::Whole).map(Rc::from);
        self.done.push(Term { text: RawText::new(text), known, span: self.span, stretches });
    }
}

/// Returns any number of words.
pub(super) fn any(span: Option<Span>) -> Term {
    Term { text: RawText::new(ELLIPSIS), known: Known::Any, span, stretches: None }
}

/// Returns a term for a word that is not split.
pub(super) fn term(text: &Text, span: Option<Span>) -> Term {
    if let Some(bytes) = text.as_bytes() {
        return Term { text: RawText::new(bytes), known: Known::Whole, span, stretches: None };
    }
    if let Some(pattern) = text.as_pattern() {
        return Term { text: RawText::new(pattern), known: Known::Pattern, span, stretches: None };
    }
    let start = match text.0.first() {
        Some(Chunk::Bytes(bytes)) => bytes.clone(),
        _ => Vec::new(),
    };
    let known = Known::Prefix(start.len());
    let text_shown = RawText::new([start.as_slice(), ELLIPSIS].concat());
    Term { text: text_shown, known, span, stretches: text.stretches().map(Rc::from) }
}

/// Returns the pieces of a text that an expansion gives.
pub(super) fn pieces(text: &Text, quoting: Quoting) -> Pieces {
    let piece = |chunk: &Chunk| match quoting {
        Quoting::Quoted => Piece::Fixed(chunk.clone()),
        Quoting::Unquoted => Piece::Split(chunk.clone()),
    };
    text.0.iter().map(piece).collect()
}

/// Joins pieces that are neither split nor matched.
pub(super) fn joined(pieces: Pieces) -> Text {
    let mut text = Text::default();
    for piece in pieces {
        match piece {
            Piece::Fixed(chunk) | Piece::Split(chunk) => text.push(chunk),
            Piece::Literal(bytes) => text.push(Chunk::Bytes(bytes)),
            Piece::Break => text.push(Chunk::Bytes(b" ".to_vec())),
            Piece::Many => text.push(Chunk::Unknown(Origin::Made)),
            Piece::Quotes => {}
        }
    }
    text
}

/// Returns the pieces of quoted bytes that hold `${IDDIO_TAME}`.
fn parted(bytes: &[u8]) -> Pieces {
    let mark = [&b"${"[..], TAME, b"}"].concat();
    let mut pieces = vec![Piece::Quotes];
    let mut rest = bytes;
    while let Some(place) = rest.windows(mark.len()).position(|part| part == mark) {
        let (before, after) = rest.split_at(place);
        pieces.extend([
            Piece::Fixed(Chunk::Bytes(before.to_vec())),
            Piece::Fixed(Chunk::Tame(Minus::Maybe)),
        ]);
        rest = after.get(mark.len()..).unwrap_or_default();
    }
    pieces.push(Piece::Fixed(Chunk::Bytes(rest.to_vec())));
    pieces
}

fn length(piece: &Piece) -> usize {
    match piece {
        Piece::Fixed(Chunk::Bytes(bytes)) | Piece::Split(Chunk::Bytes(bytes)) => bytes.len(),
        _ => 1,
    }
}

/// Whether text as written is one word that nothing expands.
fn stands_for_itself(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && !leads_elsewhere(bytes)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"%,-./:=@_~".contains(byte))
}

/// `~+`, `~-` and `~1` are directories that only the run knows.
fn leads_elsewhere(bytes: &[u8]) -> bool {
    matches!(bytes, [b'~', b'+' | b'-' | b'0'..=b'9', ..])
}

/// How many bytes are copied for one step.
const BYTES_PER_STEP: usize = 64;
