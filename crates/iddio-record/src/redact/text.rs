//! Secrets in text that comes in pieces.
//!
//! What has come is looked at once its line is whole, together with the end of what came before, so that
//! a secret is found wherever the pieces end. A line that does not end is looked at when it is long, up
//! to its last space; a private key is held until its last line, or let go unwritten when it is longer
//! than any.

use iddio_core::redact::{self, Piece};

use super::{mark, word};

/// Text of one channel, looked at as it comes.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// The end of what was looked at, for what follows it.
    before: Vec<u8>,
    /// What was not looked at yet.
    window: Vec<u8>,
    key: Key,
}

/// What becomes of so many bytes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Span {
    /// They may be recorded.
    Plain(Vec<u8>),
    /// They may not, and this stands in their place.
    Secret(usize, String),
}

/// Whether what comes is the rest of a private key that was too long to hold.
#[derive(Debug, Default, Eq, PartialEq)]
enum Key {
    Inside,
    #[default]
    Outside,
}

// === impl Text ===

impl Text {
    /// Takes a piece, and returns what is now known of the bytes that wait.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Span> {
        self.window.extend_from_slice(bytes);
        let end = self.decidable();
        self.decide(end)
    }

    /// Decides all that waits: nothing follows, or nothing more may wait.
    pub(crate) fn finish(&mut self) -> Vec<Span> {
        let mut spans = self.decide(self.window.len());
        if !self.window.is_empty() {
            // The rest of a key whose end did not come.
            spans.push(Span::Secret(self.window.len(), String::new()));
            self.window.clear();
        }
        spans
    }

    /// How far the window may be decided.
    fn decidable(&self) -> usize {
        if self.key == Key::Inside {
            return self.window.len();
        }
        let newline = self.window.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let end = match newline {
            Some(end) if self.window.len() - end < LINE_HELD_MAX => end,
            _ if self.window.len() < LINE_HELD_MAX => return 0,
            _ => {
                let blank = self.window.iter().rposition(u8::is_ascii_whitespace);
                match blank.filter(|at| 0 < *at) {
                    Some(blank) => blank,
                    None if self.window.len() < RUN_HELD_MAX => return 0,
                    None => self.window.len(),
                }
            }
        };
        match self.open_key(end) {
            Some(start) if self.window.len() - start < KEY_HELD_MAX => start,
            _ => end,
        }
    }

    /// Where a private key begins that does not end before `end`, or what may become one.
    fn open_key(&self, end: usize) -> Option<usize> {
        let seen = self.window.get(..end)?;
        let start = find_last(seen, KEY_BEGIN)?;
        let rest = seen.get(start..)?;
        let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let whole = find_last(rest, KEY_END).is_some();
        let private = find_last(rest.get(..line)?, b"PRIVATE KEY").is_some();
        (private && !whole).then_some(start)
    }

    fn decide(&mut self, end: usize) -> Vec<Span> {
        if end == 0 {
            return Vec::new();
        }
        if self.key == Key::Inside {
            return self.skip_key();
        }
        if self.open_key(end).is_some() {
            self.key = Key::Inside;
        }
        let context = self.before.len();
        let mut text = std::mem::take(&mut self.before);
        text.extend_from_slice(self.window.get(..end).unwrap_or_default());
        self.window.drain(..end.min(self.window.len()));
        let spans = spans(&text, context);
        let keep = text.len().saturating_sub(CONTEXT_BYTES);
        self.before = text.split_off(keep);
        spans
    }

    /// Lets go of what belongs to a private key whose beginning is gone.
    fn skip_key(&mut self) -> Vec<Span> {
        let end = find_last(&self.window, KEY_END).map(|at| {
            let rest = self.window.get(at..).unwrap_or_default();
            at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        });
        // The end may lie across the border to the next piece.
        let gone = end.unwrap_or_else(|| self.window.len().saturating_sub(KEY_END.len()));
        if end.is_some() {
            self.key = Key::Outside;
        }
        self.window.drain(..gone);
        self.before.clear();
        vec![Span::Secret(gone, String::new())]
    }
}

/// Looks for the secrets of `text`, whose first `context` bytes were looked at before.
fn spans(text: &[u8], context: usize) -> Vec<Span> {
    let found = redact::text(text);
    let mut lengths = Vec::new();
    let _ = found.render(&mut |kind, secret| {
        lengths.push((kind, secret.len()));
        String::new()
    });
    let mut lengths = lengths.into_iter();
    let mut spans = Vec::new();
    let mut at = 0;
    for piece in found.pieces() {
        let (length, span) = match piece {
            Piece::Plain(plain) => {
                let bytes = plain.as_bytes();
                let own = bytes.get(context.saturating_sub(at)..).unwrap_or_default();
                (bytes.len(), Span::Plain(own.to_vec()))
            }
            Piece::Secret(..) => {
                let Some((kind, length)) = lengths.next() else { continue };
                let own = length.saturating_sub(context.saturating_sub(at));
                let mark = if context <= at { mark(word(kind), length) } else { String::new() };
                (length, Span::Secret(own, mark))
            }
        };
        at += length;
        if context < at {
            spans.push(span);
        }
    }
    spans
}

fn find_last(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

/// A line without an end is looked at when it is this long: prompts and progress bars wait, and little
/// else.
const LINE_HELD_MAX: usize = 4 << 10;

/// A run without a space is looked at when it is this long: no token is longer.
const RUN_HELD_MAX: usize = 16 << 10;

/// The longest private key that is held whole: one of 16384 bits, armoured, is 13 KiB.
const KEY_HELD_MAX: usize = 16 << 10;

/// How much of what was looked at is kept for what follows: a name, and a prompt.
const CONTEXT_BYTES: usize = 128;

const KEY_BEGIN: &[u8] = b"-----BEGIN ";
const KEY_END: &[u8] = b"-----END ";
