//! What a dollar sign begins, and backquotes.

use super::{Quoting, Reader, Source, SyntaxError, arithmetic::Until, cursor::starts_name};
use crate::shell::ast::{Indirect, Parameter, ParameterOperation, Part, Script};

// === impl Reader ===

impl Reader<'_, '_> {
    /// The expansion that the dollar sign, which is next, begins; `None` if it stands for itself.
    pub(super) fn dollar(&mut self, quoting: Quoting) -> Result<Option<Part>, SyntaxError> {
        let start = self.pos;
        self.bump();
        let Some(next) = self.peek() else { return Ok(None) };
        match next {
            b'(' => self.parenthesis().map(Some),
            b'{' => self.braces(start, quoting).map(Some),
            b'[' if self.bash() => {
                self.bump();
                self.enter()?;
                let expression = self.arithmetic(&Until::BRACKETS.inside(quoting))?;
                self.bump();
                self.leave();
                Ok(Some(Part::Arithmetic(expression)))
            }
            b'\'' if !quoting.quotes() && self.bash() => self.ansi().map(Some),
            b'"' if !quoting.quotes() && self.bash() => {
                self.bump();
                Ok(Some(Part::Double(self.double(Quoting::Double)?)))
            }
            b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!' => {
                self.bump();
                Ok(Some(self.plain_parameter(vec![next], start)))
            }
            _ if starts_name(next) => {
                let mut name = Vec::new();
                self.take_name(&mut name);
                Ok(Some(self.plain_parameter(name, start)))
            }
            _ => Ok(None),
        }
    }

    fn plain_parameter(&self, name: Vec<u8>, start: usize) -> Part {
        Part::Parameter(Box::new(Parameter {
            name,
            subscript: None,
            indirect: Indirect::Direct,
            operation: ParameterOperation::Value,
            span: self.span(start),
        }))
    }

    /// `$(…)` or `$((…))`; the parenthesis is next.
    fn parenthesis(&mut self) -> Result<Part, SyntaxError> {
        if self.peek_second() == Some(b'(')
            && let Some(expression) = self.double_parentheses()?
        {
            return Ok(Part::Arithmetic(expression));
        }
        self.bump();
        self.substitution().map(Part::Command)
    }

    /// Commands up to `)`, whose `(` was taken.
    pub(super) fn substitution(&mut self) -> Result<Script, SyntaxError> {
        self.enter()?;
        let waiting = std::mem::replace(&mut self.waiting, self.pending.len());
        let script = self.script()?;
        self.all_documents_have_bodies()?;
        self.waiting = waiting;
        self.expect(b')', "a substitution that is not closed")?;
        self.leave();
        Ok(script)
    }

    /// Backquotes, whose first is next.
    pub(super) fn backquotes(&mut self, quoting: Quoting) -> Result<Part, SyntaxError> {
        self.bump();
        self.enter()?;
        let start = self.pos;
        let mut escaped = false;
        loop {
            match self.raw().ok_or_else(|| self.error("a backquote that is not closed"))? {
                b'`' => break,
                b'\\' => {
                    escaped = true;
                    self.pos += 2;
                }
                _ => self.pos += 1,
            }
        }
        let script = if escaped {
            self.unescaped(start, quoting)?
        } else {
            let source = Source {
                text: self.source.text.get(..self.pos).unwrap_or_default(),
                ..self.source
            };
            Reader::new(source, start, self.shared).whole()?
        };
        self.bump();
        self.leave();
        Ok(Part::Command(script))
    }

    /// Reads what stands in backquotes from `start` to here without the backslashes that the
    /// backquotes need.
    fn unescaped(&mut self, start: usize, quoting: Quoting) -> Result<Script, SyntaxError> {
        let inside = self.source.text.get(start..self.pos).unwrap_or_default();
        let mut text = Vec::with_capacity(inside.len());
        let mut origins = Vec::with_capacity(inside.len());
        let mut bytes = inside.iter().copied().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            let next = bytes.peek().map(|(_, next)| *next);
            let mut kept = (at, byte);
            match (byte, next) {
                (b'\\', Some(b'"')) if quoting == Quoting::Here => {
                    return Err(self.error("an escaped quote in backquotes of a here-document"));
                }
                (b'\\', Some(b'\n')) => {
                    bytes.next();
                    continue;
                }
                (b'\\', Some(b'$' | b'`' | b'\\')) => kept = bytes.next().unwrap_or(kept),
                (b'\\', Some(b'"')) if quoting == Quoting::Double => {
                    kept = bytes.next().unwrap_or(kept);
                }
                (b'\\', Some(other)) => {
                    text.push(b'\\');
                    origins.push(self.place(start + at));
                    bytes.next();
                    kept = (at + 1, other);
                }
                _ => {}
            }
            text.push(kept.1);
            origins.push(self.place(start + kept.0));
        }
        let source = Source { text: &text, origins: Some(&origins) };
        Reader::new(source, 0, self.shared).whole()
    }
}
