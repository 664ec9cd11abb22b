//! Moving over a source: bytes without line continuations, blanks, comments, limits.

use super::{
    DEPTH_MAX, Dialect, Dialects, Quoting, REREADS_MAX, Reader, Shared, Source, Span, SyntaxError,
};

/// A place to come back to.
pub(super) struct Mark {
    pos: usize,
    end: usize,
    depth: usize,
    pending: usize,
    waiting: usize,
}

// === impl Reader ===

impl<'t, 's> Reader<'t, 's> {
    pub(super) fn new(source: Source<'t>, pos: usize, shared: &'s mut Shared) -> Self {
        Self { source, pos, end: pos, pending: Vec::new(), waiting: 0, shared }
    }

    /// The next byte, behind any line continuations, which are taken.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.raw() {
                Some(b'\\') if self.source.text.get(self.pos + 1) == Some(&b'\n') => self.pos += 2,
                other => return other,
            }
        }
    }

    /// The byte behind the one that [`Self::peek`] told.
    pub(super) fn peek_second(&self) -> Option<u8> {
        self.source.text.get(self.behind_continuations(self.pos + 1)).copied()
    }

    /// The place at or behind `at` where no line continuation stands.
    pub(super) fn behind_continuations(&self, mut at: usize) -> usize {
        while self.source.text.get(at..at + 2) == Some(b"\\\n") {
            at += 2;
        }
        at
    }

    /// The next byte as it is.
    pub(super) fn raw(&self) -> Option<u8> {
        self.source.text.get(self.pos).copied()
    }

    /// Takes a byte.
    pub(super) fn bump(&mut self) {
        self.pos += 1;
        self.end = self.pos;
    }

    /// Takes `byte` if it is next.
    #[must_use]
    pub(super) fn took(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.bump();
        }
        there
    }

    /// Takes `byte`, which must be next.
    pub(super) fn expect(&mut self, byte: u8, message: &'static str) -> Result<(), SyntaxError> {
        if self.took(byte) { Ok(()) } else { Err(self.error(message)) }
    }

    /// Takes blanks, and a comment if one stands behind them: there a word would begin.
    pub(super) fn gap(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.pos += 1;
        }
        if self.peek() == Some(b'#') {
            while self.raw().is_some_and(|byte| byte != b'\n') {
                self.pos += 1;
            }
        }
    }

    /// Takes a run of bytes that `plain` holds for, and adds them to `text`.
    pub(super) fn take_run(&mut self, text: &mut Vec<u8>, plain: impl Fn(u8) -> bool) {
        let rest = self.source.text.get(self.pos..).unwrap_or_default();
        let len = rest.iter().position(|byte| !plain(*byte)).unwrap_or(rest.len());
        text.extend_from_slice(rest.get(..len).unwrap_or_default());
        self.pos += len;
        self.end = self.pos;
    }

    /// Takes a name, whose first byte is next, and adds it to `name`.
    pub(super) fn take_name(&mut self, name: &mut Vec<u8>) {
        while self.peek().is_some_and(in_name) {
            self.take_run(name, in_name);
        }
    }

    /// Whether the dialect is bash. Asked last of all conditions: a text that never makes the reader
    /// ask is the same in every dialect.
    pub(super) fn bash(&self) -> bool {
        self.shared.differs.set(Dialects::MayDiffer);
        self.shared.dialect == Dialect::Bash
    }

    /// One more level of nesting.
    pub(super) fn enter(&mut self) -> Result<(), SyntaxError> {
        self.shared.depth += 1;
        if DEPTH_MAX < self.shared.depth {
            return Err(self.error("nested deeper than the limit"));
        }
        Ok(())
    }

    /// One level less.
    pub(super) fn leave(&mut self) {
        self.shared.depth -= 1;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            pos: self.pos,
            end: self.end,
            depth: self.shared.depth,
            pending: self.pending.len(),
            waiting: self.waiting,
        }
    }

    /// Goes back, to read what follows in another way.
    pub(super) fn reread(&mut self, mark: &Mark) -> Result<(), SyntaxError> {
        self.shared.rereads += 1;
        if REREADS_MAX < self.shared.rereads {
            return Err(self.error("parentheses that are ambiguous too often"));
        }
        self.restore(mark);
        Ok(())
    }

    /// Goes back over a few bytes.
    pub(super) fn restore(&mut self, mark: &Mark) {
        self.pos = mark.pos;
        self.end = mark.end;
        self.shared.depth = mark.depth;
        self.pending.truncate(mark.pending);
        self.waiting = mark.waiting;
    }

    /// From `start` to the last byte taken, in the whole text.
    pub(super) fn span(&self, start: usize) -> Span {
        self.span_between(start, self.end.max(start))
    }

    /// From `start` to `end`, in the whole text.
    pub(super) fn span_between(&self, start: usize, end: usize) -> Span {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let Some(origins) = self.source.origins else {
            return Span { start: place(start), end: place(end) };
        };
        let behind = origins.last().map_or(0, |last| last + 1);
        let first = origins.get(start).copied().unwrap_or(behind);
        let last = if start < end { origins.get(end - 1).map(|last| last + 1) } else { None };
        Span { start: first, end: last.unwrap_or(first) }
    }

    /// A byte's place in the whole text.
    pub(super) fn place(&self, at: usize) -> u32 {
        self.span_between(at, at).start
    }

    /// An error at the next byte.
    pub(super) fn error(&self, message: &'static str) -> SyntaxError {
        self.error_at(self.pos, message)
    }

    /// An error at a byte.
    pub(super) fn error_at(&self, at: usize, message: &'static str) -> SyntaxError {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let start = match self.source.origins {
            None => place(at.min(self.source.text.len())),
            Some(origins) => origins.get(at).or(origins.last()).copied().unwrap_or(0),
        };
        SyntaxError { at: Span { start, end: start + 1 }, message }
    }

    /// An error at the next byte, which nothing can begin or go on with.
    pub(super) fn unexpected(&self) -> SyntaxError {
        self.error(if self.raw().is_none() {
            "the text ends in the middle"
        } else {
            "not what a shell's grammar has here"
        })
    }
}

// === impl Quoting ===

impl Quoting {
    /// The same where text is as in double quotes.
    pub(super) fn and_double(self) -> Self {
        if self == Self::None { Self::Double } else { self }
    }

    /// Whether single quotes, `$'` and `<(` are plain text here.
    pub(super) fn quotes(self) -> bool {
        self != Self::None
    }
}

/// Whether a byte may begin a name.
pub(super) fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// Whether a byte may go on in a name.
pub(super) fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a byte ends a word, unless it begins a process substitution.
pub(super) fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'|' | b'&' | b';' | b'(' | b')' | b'<' | b'>')
}
