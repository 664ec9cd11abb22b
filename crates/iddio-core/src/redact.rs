//! Takes secrets out of arguments, URLs, headers and text on the way into a record.
//!
//! What is found is cut out as a [`Piece::Secret`] and put back by [`Redacted::render`] as whatever
//! the writer of the record makes of it: a keyed commitment whose key can be erased, so that the
//! chain still verifies after the secret is gone (L06).
//!
//! INVARIANT: redaction is for records alone. Whoever is asked sees what will be executed, whole
//! and sanitised ([`crate::sanitise`]); nothing on the way to an approver passes through here.
//!
//! INVARIANT: the pieces of a [`Redacted`], in order, are the input, byte for byte.
//!
//! Secrets are found in three ways: by the shape of a token, by the name beside a value, and by
//! what a known program takes at that place of its command line. Where the end of a value is in
//! doubt, more is taken out. Every scan is linear in the input.
//!
//! What this module does not do: find a secret that has neither shape, name nor known place. A
//! password that stands alone in a sentence looks like a word, and stays.

mod names;
mod pairs;
mod program;
mod shapes;
#[cfg(test)]
mod tests;
mod words;

use std::{fmt, ops::Range};

use crate::text::RawText;

/// Bytes with the secrets among them told apart.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Redacted {
    pieces: Vec<Piece>,
}

/// A part of the input.
#[derive(Debug, Eq, PartialEq)]
pub enum Piece {
    /// May be recorded.
    Plain(RawText),
    /// May not.
    Secret(Kind, Secret),
}

/// The bytes of a secret. Its `Debug` is `***`.
///
/// Its buffer is overwritten when it is dropped. That shortens the life of this copy and promises
/// no more: the compiler may leave the overwriting out, copies that were made before (the arguments
/// of the process, the parsed request) are not reached, and neither is swapped memory.
#[derive(Eq, PartialEq)]
pub struct Secret(Vec<u8>);

/// What sort of secret was found. It is said in the record.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// A cookie.
    Cookie,
    /// An access, signing or encryption key.
    Key,
    /// A password or passphrase.
    Password,
    /// A private key with its armour.
    PrivateKey,
    /// A signature that grants access, in a URL.
    Signature,
    /// A bearer token, or anything else that is shown to be let in.
    Token,
    /// A value beside a name that says it is secret.
    Value,
}

/// Bytes in which secrets were looked for. Most hold none, and those need not be copied.
pub(crate) struct Looked<'a> {
    bytes: &'a [u8],
    spans: Spans,
}

/// Finds the secrets of a command line.
pub fn argv(words: &[RawText]) -> Vec<Redacted> {
    look_argv(words).map(Looked::cut).collect()
}

/// Finds the secrets of text: a script, a body, an error message, a note.
pub fn text(text: &[u8]) -> Redacted {
    look(text).cut()
}

/// Looks for the secrets of each word of a command line.
pub(crate) fn look_argv(words: &[RawText]) -> impl Iterator<Item = Looked<'_>> {
    let mut spans: Vec<Spans> = words.iter().map(|_| Spans::default()).collect();
    words::scan_argv(words, &mut spans);
    words.iter().zip(spans).map(|(word, spans)| Looked { bytes: word.as_bytes(), spans })
}

/// Looks for the secrets of text.
pub(crate) fn look(text: &[u8]) -> Looked<'_> {
    let mut spans = Spans::default();
    words::scan_text(text, &mut spans);
    Looked { bytes: text, spans }
}

/// Finds the secrets of a URL: the password before the host, and those of the query.
pub fn url(url: &[u8]) -> Redacted {
    self::text(url)
}

/// Finds the secret of a header value: all of it where the name says so (but not the scheme of an
/// `Authorization`), else what its text holds.
pub fn header(name: &[u8], value: &[u8]) -> Redacted {
    let mut spans = Spans::default();
    match names::header_kind(name) {
        Some(kind) => spans.push(names::scheme_len(value)..value.len(), kind),
        None => words::scan_text(value, &mut spans),
    }
    spans.cut(value)
}

/// Finds the secret of `NAME=value`: an environment variable, a setting.
pub fn assignment(assignment: &[u8]) -> Redacted {
    let mut spans = Spans::default();
    pairs::scan(assignment, pairs::Place::Word, &mut spans);
    words::scan_text(assignment, &mut spans);
    spans.cut(assignment)
}

/// Finds the secret of the value of a field called `name`.
pub fn named(name: &[u8], value: &[u8]) -> Redacted {
    let mut spans = Spans::default();
    match names::kind_of(name).filter(|_| !names::is_exempt(name, value)) {
        Some(kind) => spans.push(0..value.len(), kind),
        None => words::scan_text(value, &mut spans),
    }
    spans.cut(value)
}

// === impl Looked ===

impl<'a> Looked<'a> {
    /// Returns the bytes, if no secret is among them.
    pub(crate) fn plain(&self) -> Option<&'a [u8]> {
        self.spans.0.is_empty().then_some(self.bytes)
    }

    /// Tells the secrets apart.
    pub(crate) fn cut(self) -> Redacted {
        self.spans.cut(self.bytes)
    }
}

// === impl Redacted ===

impl Redacted {
    /// Returns the parts, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Returns how many secrets were found.
    pub fn secrets(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Secret(..))).count()
    }

    /// Returns what may be recorded, with `commit` of every secret in its place.
    pub fn render(&self, commit: &mut dyn FnMut(Kind, &[u8]) -> String) -> RawText {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Plain(plain) => out.extend_from_slice(plain.as_bytes()),
                Piece::Secret(kind, secret) => {
                    out.extend_from_slice(commit(*kind, &secret.0).as_bytes());
                }
            }
        }
        RawText::new(out)
    }

    /// Returns what may be shown to an operator, with the kind of every secret in its place.
    pub fn masked(&self) -> RawText {
        self.render(&mut |kind, _| format!("[{}]", kind.name()))
    }
}

// === impl Kind ===

impl Kind {
    /// Returns the word used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Key => "key",
            Self::Password => "password",
            Self::PrivateKey => "private_key",
            Self::Signature => "signature",
            Self::Token => "token",
            Self::Value => "value",
        }
    }
}

// === impl Secret ===

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where secrets were found, in no order.
#[derive(Default)]
struct Spans(Vec<(Range<usize>, Kind)>);

// === impl Spans ===

impl Spans {
    fn push(&mut self, span: Range<usize>, kind: Kind) {
        if span.start < span.end {
            self.0.push((span, kind));
        }
    }

    /// Cuts `bytes` at the spans; those that overlap or touch become one.
    fn cut(mut self, bytes: &[u8]) -> Redacted {
        self.0.sort_by_key(|(span, _)| (span.start, usize::MAX - span.end));
        let mut merged: Vec<(Range<usize>, Kind)> = Vec::new();
        for (span, kind) in self.0 {
            match merged.last_mut() {
                Some((last, _)) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => merged.push((span, kind)),
            }
        }
        let mut pieces = Vec::with_capacity(merged.len() * 2 + 1);
        let plain = |from: usize, to: usize, pieces: &mut Vec<Piece>| {
            if from < to {
                pieces.push(Piece::Plain(RawText::new(part(bytes, from..to))));
            }
        };
        let mut done = 0;
        for (span, kind) in merged {
            plain(done, span.start, &mut pieces);
            done = span.end;
            pieces.push(Piece::Secret(kind, Secret(part(bytes, span).to_vec())));
        }
        plain(done, bytes.len(), &mut pieces);
        Redacted { pieces }
    }
}

/// Returns the bytes of `span`, or none where it is not inside.
fn part(bytes: &[u8], span: Range<usize>) -> &[u8] {
    bytes.get(span).unwrap_or_default()
}

/// Returns the byte at `place`, if there is one.
fn at(bytes: &[u8], place: usize) -> Option<u8> {
    bytes.get(place).copied()
}

/// Returns the byte before `place`, if there is one.
fn before(bytes: &[u8], place: usize) -> Option<u8> {
    place.checked_sub(1).and_then(|place| at(bytes, place))
}

/// Returns where the run of bytes from `start` that are `inside` ends.
fn run_end(bytes: &[u8], start: usize, inside: impl Fn(u8) -> bool) -> usize {
    let tail = bytes.get(start..).unwrap_or_default();
    start + tail.iter().position(|byte| !inside(*byte)).unwrap_or(tail.len())
}
