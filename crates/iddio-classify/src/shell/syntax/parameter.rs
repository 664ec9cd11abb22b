//! `${…}` in all its forms.

use super::{
    Quoting, Reader, SyntaxError, arithmetic::Until, cursor::starts_name, word::BraceWord,
};
use crate::shell::ast::{
    Arithmetic, DefaultKind, EmptyCounts, Indirect, Parameter, ParameterOperation, Part, Word,
};

// === impl Reader ===

impl Reader<'_, '_> {
    /// `${…}`, whose dollar sign stood at `start` and whose brace is next.
    pub(super) fn braces(&mut self, start: usize, quoting: Quoting) -> Result<Part, SyntaxError> {
        self.bump();
        self.enter()?;
        let mut parameter = match (self.peek(), self.peek_second()) {
            (Some(b'#'), second) => self.counted(second, quoting)?,
            (Some(b'!'), second) => self.pointed(second, quoting)?,
            _ => self.named(quoting)?,
        };
        self.expect(b'}', "an expansion that is not closed")?;
        self.leave();
        parameter.span = self.span(start);
        Ok(Part::Parameter(parameter))
    }

    /// `NAME`, its subscript and what is done with it.
    fn named(&mut self, quoting: Quoting) -> Result<Box<Parameter>, SyntaxError> {
        let mut parameter = Box::new(parameter(self.parameter_name()?));
        parameter.subscript = self.subscript(quoting)?;
        parameter.operation = self.operation(quoting)?;
        Ok(parameter)
    }

    /// What begins with `#`: a length, or something about the number of arguments.
    fn counted(
        &mut self,
        second: Option<u8>,
        quoting: Quoting,
    ) -> Result<Box<Parameter>, SyntaxError> {
        let mark = self.mark();
        self.bump();
        let special = second.is_some_and(|byte| b"@*#?-$!".contains(&byte));
        let named = second.is_some_and(|byte| starts_name(byte) || byte.is_ascii_digit());
        if special || named {
            let mut parameter = Box::new(parameter(self.parameter_name()?));
            parameter.subscript = if named { self.subscript(quoting)? } else { None };
            if self.peek() == Some(b'}') {
                parameter.operation = ParameterOperation::Length;
                return Ok(parameter);
            }
            if named {
                return Err(self.error("a length of something else than a parameter"));
            }
        }
        self.restore(&mark);
        self.named(quoting)
    }

    /// What begins with `!`: a name held in a parameter, names, subscripts, or something about the
    /// last process.
    fn pointed(
        &mut self,
        second: Option<u8>,
        quoting: Quoting,
    ) -> Result<Box<Parameter>, SyntaxError> {
        let known = second.is_some_and(|byte| {
            starts_name(byte) || byte.is_ascii_digit() || b"@*#".contains(&byte)
        });
        if !known {
            return match second {
                Some(b'}' | b':') => self.named(quoting),
                _ => Err(self.error("an expansion that may be indirect")),
            };
        }
        if !self.bash() {
            return Err(self.error("an expansion that only bash knows"));
        }
        self.bump();
        let mut parameter = Box::new(parameter(self.parameter_name()?));
        parameter.indirect = Indirect::Indirect;
        parameter.subscript = self.subscript(quoting)?;
        let next = self.peek();
        let last = self.peek_second() == Some(b'}');
        let every = parameter.subscript.as_ref().is_some_and(is_every);
        if every && next == Some(b'}') {
            parameter.operation = ParameterOperation::Keys;
        } else if parameter.subscript.is_none() && last && matches!(next, Some(b'@' | b'*')) {
            self.bump();
            parameter.operation = ParameterOperation::NamesFrom;
        } else {
            parameter.operation = self.operation(quoting)?;
        }
        Ok(parameter)
    }

    fn parameter_name(&mut self) -> Result<Vec<u8>, SyntaxError> {
        let mut name = Vec::new();
        match self.peek() {
            Some(byte) if starts_name(byte) => self.take_name(&mut name),
            Some(byte) if byte.is_ascii_digit() => {
                while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                    self.take_run(&mut name, |byte| byte.is_ascii_digit());
                }
            }
            Some(byte @ (b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!')) => {
                name.push(byte);
                self.bump();
            }
            _ => return Err(self.error("an expansion of something that is no parameter")),
        }
        Ok(name)
    }

    fn subscript(&mut self, quoting: Quoting) -> Result<Option<Arithmetic>, SyntaxError> {
        if self.peek() != Some(b'[') || !self.bash() || !self.took(b'[') {
            return Ok(None);
        }
        let subscript = self.arithmetic(&Until::SUBSCRIPT.inside(quoting))?;
        self.bump();
        Ok(Some(subscript))
    }

    /// What stands behind the parameter, up to `}`.
    fn operation(&mut self, quoting: Quoting) -> Result<ParameterOperation, SyntaxError> {
        let Some(byte) = self.peek() else { return Err(self.unexpected()) };
        if matches!(byte, b'/' | b'^' | b',' | b'~' | b'@') && !self.bash() {
            return Err(self.error("an expansion that only bash knows"));
        }
        match byte {
            b'}' => Ok(ParameterOperation::Value),
            b':' => {
                self.bump();
                match self.peek().and_then(default_kind) {
                    Some(kind) => self.default(kind, EmptyCounts::AsNone, quoting),
                    None if !self.bash() => Err(self.error("an expansion that only bash knows")),
                    None => self.substring(quoting),
                }
            }
            b'#' | b'%' => {
                let operator = self.doubled(byte);
                let pattern = self.brace_word(quoting, BraceWord::Pattern, b"")?;
                Ok(ParameterOperation::Trim { operator, pattern })
            }
            b'/' => self.replacement(quoting),
            b'^' | b',' | b'~' => {
                let operator = self.doubled(byte);
                let pattern = self.brace_word(quoting, BraceWord::Pattern, b"")?;
                Ok(ParameterOperation::Case { operator, pattern })
            }
            b'@' => {
                self.bump();
                match self.peek() {
                    Some(
                        letter @ (b'A' | b'E' | b'K' | b'L' | b'P' | b'Q' | b'U' | b'a' | b'k'
                        | b'u'),
                    ) => {
                        self.bump();
                        Ok(ParameterOperation::Transform(letter))
                    }
                    _ => Err(self.error("an unknown transformation")),
                }
            }
            _ => match default_kind(byte) {
                Some(kind) => self.default(kind, EmptyCounts::AsValue, quoting),
                None => Err(self.error("an expansion that bash does not have")),
            },
        }
    }

    fn default(
        &mut self,
        kind: DefaultKind,
        empty: EmptyCounts,
        quoting: Quoting,
    ) -> Result<ParameterOperation, SyntaxError> {
        self.bump();
        let word = self.brace_word(quoting, BraceWord::Value, b"")?;
        Ok(ParameterOperation::Default { kind, empty, word })
    }

    fn substring(&mut self, quoting: Quoting) -> Result<ParameterOperation, SyntaxError> {
        let offset = self.arithmetic(&Until::SLICE.inside(quoting))?;
        let mut length = None;
        if self.took(b':') {
            length = Some(self.arithmetic(&Until::SLICE.inside(quoting))?);
        }
        Ok(ParameterOperation::Substring { offset, length })
    }

    fn replacement(&mut self, quoting: Quoting) -> Result<ParameterOperation, SyntaxError> {
        self.bump();
        let mut operator = b"/".to_vec();
        if let Some(byte @ (b'/' | b'#' | b'%')) = self.peek() {
            self.bump();
            operator.push(byte);
        }
        if operator == b"//" && self.peek() == Some(b'/') {
            return Err(self.error("a slash that may be a pattern"));
        }
        let pattern = self.brace_word(quoting, BraceWord::Pattern, b"/")?;
        let mut with = Word { parts: Vec::new(), span: self.span(self.end) };
        if self.took(b'/') {
            with = self.brace_word(quoting, BraceWord::Pattern, b"")?;
        }
        Ok(ParameterOperation::Replace { operator, pattern, with })
    }

    /// An operator that may be written twice; its first byte is next.
    fn doubled(&mut self, byte: u8) -> Vec<u8> {
        self.bump();
        if self.took(byte) { vec![byte, byte] } else { vec![byte] }
    }
}

fn parameter(name: Vec<u8>) -> Parameter {
    Parameter {
        name,
        subscript: None,
        indirect: Indirect::Direct,
        operation: ParameterOperation::Value,
        span: super::Span::default(),
    }
}

/// Whether a subscript is `@` or `*`.
fn is_every(subscript: &Arithmetic) -> bool {
    matches!(subscript.parts.as_slice(), [Part::Quoted(text)] if matches!(text.as_slice(), b"@" | b"*"))
}

fn default_kind(byte: u8) -> Option<DefaultKind> {
    match byte {
        b'=' => Some(DefaultKind::Assign),
        b'?' => Some(DefaultKind::Fail),
        b'+' => Some(DefaultKind::Instead),
        b'-' => Some(DefaultKind::Use),
        _ => None,
    }
}
