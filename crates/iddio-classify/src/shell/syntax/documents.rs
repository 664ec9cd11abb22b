//! Here-documents: announced by `<<`, found behind the line's end, attached at the very end.

use std::sync::Arc;

use super::{Quoting, Reader, Source, Span, SyntaxError, cursor::ends_word};
use crate::shell::ast::{
    Arithmetic, AssignedValue, Command, CommandKind, Parameter, ParameterOperation, Part, Redirect,
    RedirectTarget, Script, TestPart, Word,
};

/// A here-document whose body has not begun.
pub(super) struct Pending {
    delimiter: Vec<u8>,
    /// Whether quotes in the delimiter keep the body from being expanded.
    literal: bool,
    /// Whether tabs at the beginning of lines are taken away.
    tabs: bool,
    /// Where its body goes.
    number: usize,
}

// === impl Reader ===

impl Reader<'_, '_> {
    /// Notes a here-document, whose delimiter is next. Until the end its redirection holds its
    /// number instead of the body.
    pub(super) fn announce(&mut self, tabs: bool) -> Result<RedirectTarget, SyntaxError> {
        self.gap();
        let (delimiter, literal) = self.delimiter()?;
        let number = self.shared.bodies.len();
        self.shared.bodies.push(None);
        self.pending.push(Pending { delimiter, literal, tabs, number });
        let start = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(RedirectTarget::Document(Word { parts: Vec::new(), span: Span { start, end: start } }))
    }

    /// The delimiter, and whether any of it was quoted.
    fn delimiter(&mut self) -> Result<(Vec<u8>, bool), SyntaxError> {
        let start = self.pos;
        let mut text = Vec::new();
        let mut literal = false;
        while let Some(byte) = self.peek() {
            match byte {
                _ if ends_word(byte) => break,
                b'$' | b'`' => return Err(self.error("a here-document's end that looks expanded")),
                b'\'' | b'"' => {
                    literal = true;
                    self.bump();
                    self.take_run(&mut text, |inside| {
                        inside != byte && !matches!(inside, b'\n' | b'\\' | b'$' | b'`')
                    });
                    if self.raw() != Some(byte) {
                        return Err(self.error("a here-document's end with odd quotes"));
                    }
                }
                b'\\' => {
                    literal = true;
                    self.bump();
                    text.push(self.raw().ok_or_else(|| self.unexpected())?);
                }
                other => text.push(other),
            }
            self.bump();
        }
        if self.pos == start || self.process_ahead() {
            return Err(self.unexpected());
        }
        Ok((text, literal))
    }

    /// Checks that no here-document waits for its body where a text or substitution ends.
    pub(super) fn all_documents_have_bodies(&self) -> Result<(), SyntaxError> {
        if self.waiting < self.pending.len() {
            return Err(self.error("a here-document without a body"));
        }
        Ok(())
    }

    /// Reads the bodies that begin here, behind a line's end.
    pub(super) fn documents(&mut self) -> Result<(), SyntaxError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if 0 < self.waiting {
            return Err(self.error("a line's end inside a line that a here-document waits for"));
        }
        for pending in std::mem::take(&mut self.pending) {
            let word = self.document(&pending)?;
            if let Some(body) = self.shared.bodies.get_mut(pending.number) {
                *body = Some(word);
            }
        }
        Ok(())
    }

    fn document(&mut self, pending: &Pending) -> Result<Word, SyntaxError> {
        let start = self.pos;
        let end = self.find_end(pending)?;
        let text = self.source.text.get(..end).unwrap_or_default();
        let span = self.span_between(start, end);
        let parts = if pending.tabs {
            self.without_tabs(start, end, pending.literal)?
        } else if pending.literal {
            vec![Part::Quoted(text.get(start..).unwrap_or_default().to_vec())]
        } else {
            let source = Source { text, ..self.source };
            Reader::new(source, start, self.shared).double(Quoting::Here)?
        };
        Ok(Word { parts, span })
    }

    /// The parts of a body without the tabs that begin its lines.
    fn without_tabs(
        &mut self,
        start: usize,
        end: usize,
        literal: bool,
    ) -> Result<Vec<Part>, SyntaxError> {
        let inside = self.source.text.get(start..end).unwrap_or_default();
        let mut text = Vec::with_capacity(inside.len());
        let mut origins = Vec::with_capacity(inside.len());
        let mut margin = true;
        for (at, byte) in inside.iter().copied().enumerate() {
            margin = margin && byte == b'\t';
            if !margin {
                text.push(byte);
                origins.push(self.place(start + at));
                // A line that goes on is one line to the shell.
                let goes_on = !literal && text.ends_with(b"\\\n");
                margin = byte == b'\n' && !goes_on;
            }
        }
        if literal {
            return Ok(vec![Part::Quoted(text)]);
        }
        let source = Source { text: &text, origins: Some(&origins) };
        Reader::new(source, 0, self.shared).double(Quoting::Here)
    }

    /// Where the body ends; what is next is behind the line with the delimiter then.
    fn find_end(&mut self, pending: &Pending) -> Result<usize, SyntaxError> {
        let mut continued = false;
        loop {
            let rest = self.source.text.get(self.pos..).unwrap_or_default();
            if rest.is_empty() {
                return Err(self.error("a here-document that does not end"));
            }
            let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let line = rest.get(..len).unwrap_or_default();
            let stripped = if pending.tabs { without_margin(line) } else { line };
            let slashes = line.iter().rev().take_while(|byte| **byte == b'\\').count();
            let goes_on = !pending.literal && slashes % 2 == 1;
            if stripped == pending.delimiter && !goes_on {
                if continued {
                    return Err(self.error("a here-document's end behind a continued line"));
                }
                let end = self.pos;
                self.pos = (end + len + 1).min(self.source.text.len());
                return Ok(end);
            }
            if goes_on && continues_delimiter(stripped, &pending.delimiter) {
                return Err(self.error("a here-document's end on a continued line"));
            }
            continued = goes_on;
            self.pos = (self.pos + len + 1).min(self.source.text.len());
        }
    }
}

/// A line without the tabs that begin it.
fn without_margin(line: &[u8]) -> &[u8] {
    let tabs = line.iter().take_while(|byte| **byte == b'\t').count();
    line.get(tabs..).unwrap_or_default()
}

/// Whether a line that goes on may become the delimiter with what follows.
fn continues_delimiter(line: &[u8], delimiter: &[u8]) -> bool {
    line.split_last().is_some_and(|(_, line)| delimiter.starts_with(line))
}

/// Puts the bodies where their redirections hold numbers.
pub(super) fn attach(script: &mut Script, bodies: &mut [Option<Word>]) {
    for list in &mut script.lists {
        let rest = list.rest.iter_mut().map(|(_, pipeline)| pipeline);
        for pipeline in std::iter::once(&mut list.first).chain(rest) {
            for command in &mut pipeline.commands {
                in_command(command, bodies);
            }
        }
    }
}

fn in_command(command: &mut Command, bodies: &mut [Option<Word>]) {
    match &mut command.kind {
        CommandKind::Simple(simple) => {
            for assignment in &mut simple.assignments {
                in_arithmetic(assignment.subscript.as_mut(), bodies);
                match &mut assignment.value {
                    AssignedValue::Array(elements) => in_elements(elements, bodies),
                    AssignedValue::Word(word) => in_word(word, bodies),
                }
            }
            in_words(&mut simple.words, bodies);
        }
        CommandKind::Group(script) | CommandKind::Subshell(script) => attach(script, bodies),
        CommandKind::If { branches, otherwise } => {
            for (condition, body) in branches {
                attach(condition, bodies);
                attach(body, bodies);
            }
            otherwise.iter_mut().for_each(|script| attach(script, bodies));
        }
        CommandKind::For { name: _, words, body } => {
            words.iter_mut().for_each(|words| in_words(words, bodies));
            attach(body, bodies);
        }
        CommandKind::CountingFor { expressions, body } => {
            expressions.iter_mut().for_each(|one| in_arithmetic(Some(one), bodies));
            attach(body, bodies);
        }
        CommandKind::While { condition, body } => {
            attach(condition, bodies);
            attach(body, bodies);
        }
        CommandKind::Case { word, arms } => {
            in_word(word, bodies);
            for (patterns, body) in arms {
                in_words(patterns, bodies);
                attach(body, bodies);
            }
        }
        CommandKind::Function { name: _, body } | CommandKind::Coprocess { name: _, body } => {
            // Nobody shares it before it is walked.
            in_command(Arc::make_mut(body), bodies);
        }
        CommandKind::Test(parts) => {
            for part in parts {
                if let TestPart::Operand(word) = part {
                    in_word(word, bodies);
                }
            }
        }
        CommandKind::Arithmetic(expression) => in_arithmetic(Some(expression), bodies),
    }
    command.redirects.iter_mut().for_each(|redirect| in_redirect(redirect, bodies));
}

fn in_redirect(redirect: &mut Redirect, bodies: &mut [Option<Word>]) {
    match &mut redirect.target {
        RedirectTarget::Word(word) => in_word(word, bodies),
        RedirectTarget::Document(word) => {
            let number = usize::try_from(word.span.start).unwrap_or(usize::MAX);
            if let Some(body) = bodies.get_mut(number).and_then(Option::take) {
                *word = body;
                in_word(word, bodies);
            }
        }
    }
}

fn in_words(words: &mut [Word], bodies: &mut [Option<Word>]) {
    words.iter_mut().for_each(|word| in_word(word, bodies));
}

fn in_word(word: &mut Word, bodies: &mut [Option<Word>]) {
    in_parts(&mut word.parts, bodies);
}

fn in_elements(elements: &mut [(Option<Arithmetic>, Word)], bodies: &mut [Option<Word>]) {
    for (subscript, word) in elements {
        in_arithmetic(subscript.as_mut(), bodies);
        in_word(word, bodies);
    }
}

fn in_arithmetic(expression: Option<&mut Arithmetic>, bodies: &mut [Option<Word>]) {
    if let Some(expression) = expression {
        in_parts(&mut expression.parts, bodies);
    }
}

fn in_parts(parts: &mut [Part], bodies: &mut [Option<Word>]) {
    for part in parts {
        match part {
            Part::Arithmetic(expression) => in_parts(&mut expression.parts, bodies),
            Part::Array(elements) => in_elements(elements, bodies),
            Part::Command(script) | Part::Process(_, script) => attach(script, bodies),
            Part::Double(parts) => in_parts(parts, bodies),
            Part::Parameter(parameter) => in_parameter(parameter, bodies),
            Part::Quoted(_) | Part::Text(_) => {}
        }
    }
}

fn in_parameter(parameter: &mut Parameter, bodies: &mut [Option<Word>]) {
    in_arithmetic(parameter.subscript.as_mut(), bodies);
    match &mut parameter.operation {
        ParameterOperation::Default { kind: _, empty: _, word } => in_word(word, bodies),
        ParameterOperation::Trim { operator: _, pattern }
        | ParameterOperation::Case { operator: _, pattern } => in_word(pattern, bodies),
        ParameterOperation::Substring { offset, length } => {
            in_arithmetic(Some(offset), bodies);
            in_arithmetic(length.as_mut(), bodies);
        }
        ParameterOperation::Replace { operator: _, pattern, with } => {
            in_word(pattern, bodies);
            in_word(with, bodies);
        }
        ParameterOperation::Keys
        | ParameterOperation::Length
        | ParameterOperation::NamesFrom
        | ParameterOperation::Transform(_)
        | ParameterOperation::Value => {}
    }
}
