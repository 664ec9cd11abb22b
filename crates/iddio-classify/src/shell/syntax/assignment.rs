//! Assignments, before a command and as arguments of `declare` and its like.

use super::{
    Reader, SyntaxError,
    arithmetic::Until,
    cursor::{ends_word, starts_name},
    word::literal,
};
use crate::shell::ast::{Appends, Arithmetic, AssignedValue, Assignment, Part, Simple, Word};

/// The elements of an array, each with its subscript, if it has one.
type Elements = Vec<(Option<Arithmetic>, Word)>;

// === impl Reader ===

impl Reader<'_, '_> {
    /// An assignment (`Ok`) or, if it is none, a word (`Err`).
    pub(super) fn assignment_or_word(&mut self) -> Result<Result<Assignment, Word>, SyntaxError> {
        let next = self.peek();
        let start = self.pos;
        let mut name = Vec::new();
        if next.is_some_and(starts_name) {
            self.take_name(&mut name);
        }
        let mut subscript = None;
        if !name.is_empty() && self.peek() == Some(b'[') && self.bash() {
            let mark = self.mark();
            self.bump();
            let inside = self.pos;
            self.enter()?;
            subscript = Some(self.arithmetic(&Until::BRACKETS)?);
            self.leave();
            self.bump();
            if self.assigns().is_none() {
                self.is_pattern(inside)?;
                self.restore(&mark);
                return Ok(Err(self.word_from(start, name)?));
            }
        }
        let appends = if name.is_empty() { None } else { self.assigns() };
        let Some(appends) = appends else {
            return Ok(Err(self.word_from(start, name)?));
        };
        if appends == Appends::Adds {
            self.bump();
            let _equals = self.peek();
        }
        self.bump();
        let value = self.assigned()?;
        Ok(Ok(Assignment { name, subscript, appends, value, span: self.span(start) }))
    }

    /// Whether `=` or `+=` is next, and which.
    fn assigns(&mut self) -> Option<Appends> {
        match self.peek() {
            Some(b'=') => Some(Appends::Replaces),
            Some(b'+') if self.peek_second() == Some(b'=') && self.bash() => Some(Appends::Adds),
            _ => None,
        }
    }

    /// Checks that brackets behind a name, which nothing is assigned to, are a pattern whether they
    /// are read as a subscript or not.
    fn is_pattern(&self, inside: usize) -> Result<(), SyntaxError> {
        let text = self.source.text.get(inside..self.pos).unwrap_or_default();
        let unsure =
            |byte: &u8| ends_word(*byte) || matches!(byte, b'$' | b'`' | b'"' | b'\'' | b'\\');
        if text.iter().any(unsure) {
            return Err(self.error_at(inside, "brackets that may be a subscript"));
        }
        Ok(())
    }

    /// What stands behind `=`.
    fn assigned(&mut self) -> Result<AssignedValue, SyntaxError> {
        if self.peek() == Some(b'(') && self.bash() {
            return Ok(AssignedValue::Array(self.elements()?));
        }
        Ok(AssignedValue::Word(self.word()?))
    }

    /// `(…)`, which is next.
    fn elements(&mut self) -> Result<Elements, SyntaxError> {
        self.bump();
        self.enter()?;
        let waiting = std::mem::replace(&mut self.waiting, self.pending.len());
        let mut elements = Vec::new();
        loop {
            self.lines()?;
            match self.peek() {
                Some(b')') => break,
                Some(b'[') => elements.push(self.subscripted()?),
                _ => elements.push((None, self.operand()?)),
            }
        }
        self.waiting = waiting;
        self.bump();
        self.leave();
        if self.peek().is_some_and(|byte| !ends_word(byte) || byte == b'(') || self.process_ahead()
        {
            return Err(self.error("text right behind an array"));
        }
        Ok(elements)
    }

    /// An element that begins with `[`.
    fn subscripted(&mut self) -> Result<(Option<Arithmetic>, Word), SyntaxError> {
        let start = self.pos;
        let mark = self.mark();
        self.bump();
        let inside = self.pos;
        let subscript = self.arithmetic(&Until::BRACKETS)?;
        self.bump();
        match self.assigns() {
            Some(Appends::Adds) => {
                self.bump();
                let _equals = self.peek();
            }
            Some(Appends::Replaces) => {}
            None => {
                self.is_pattern(inside)?;
                self.restore(&mark);
                return Ok((None, self.word_from(start, Vec::new())?));
            }
        }
        self.bump();
        Ok((Some(subscript), self.word()?))
    }

    /// Whether the arguments of a command may be arrays.
    pub(super) fn declares(&self, simple: &Simple) -> bool {
        simple.words.first().and_then(literal).is_some_and(|word| {
            matches!(word, b"declare" | b"export" | b"local" | b"readonly" | b"typeset")
        }) && self.bash()
    }

    /// An argument of `declare`: a word, or `NAME=(…)`.
    pub(super) fn declared(&mut self) -> Result<Word, SyntaxError> {
        let _next = self.peek();
        let start = self.pos;
        let mut word = self.word()?;
        if self.peek() != Some(b'(') {
            return Ok(word);
        }
        let name = literal(&word).and_then(|text| text.strip_suffix(b"="));
        let name = name.map(|name| name.strip_suffix(b"+").unwrap_or(name));
        if !name.is_some_and(super::word::is_name) {
            return Err(self.error("a parenthesis inside a simple command"));
        }
        word.parts.push(Part::Array(self.elements()?));
        word.span.end = self.span(start).end;
        Ok(word)
    }
}
