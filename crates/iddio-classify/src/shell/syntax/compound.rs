//! Commands that hold commands: groups, conditions, loops, functions.

use std::sync::Arc;

use super::{
    Reader, SyntaxError,
    arithmetic::Until,
    script::Reserved,
    word::{literal, name},
};
use crate::shell::ast::{Command, CommandKind, Script, Word};

// === impl Reader ===

impl Reader<'_, '_> {
    /// What the reserved word that was just taken begins.
    pub(super) fn compound(
        &mut self,
        reserved: Reserved,
        start: usize,
    ) -> Result<Command, SyntaxError> {
        self.enter()?;
        let kind = match reserved {
            Reserved::Case => self.case()?,
            Reserved::Coprocess => {
                let kind = self.coprocess()?;
                self.leave();
                return Ok(Command { kind, redirects: Vec::new(), span: self.span(start) });
            }
            Reserved::For => self.for_loop()?,
            Reserved::Function => {
                let command = self.function_word(start)?;
                self.leave();
                return Ok(command);
            }
            Reserved::If => self.condition()?,
            Reserved::OpenBrace => {
                let body = self.body()?;
                self.reserved_word(Reserved::CloseBrace)?;
                CommandKind::Group(body)
            }
            Reserved::Select => {
                let name = self.loop_name()?;
                self.for_words(name)?
            }
            Reserved::Test => CommandKind::Test(self.test()?),
            Reserved::Until | Reserved::While => {
                let condition = self.body()?;
                CommandKind::While { condition, body: self.do_body()? }
            }
            _ => return Err(self.error_at(start, "a reserved word out of place")),
        };
        self.leave();
        self.with_redirects(kind, start)
    }

    /// `( … )` or `(( … ))`; the parenthesis is next.
    pub(super) fn parentheses(&mut self) -> Result<CommandKind, SyntaxError> {
        if self.peek_second() == Some(b'(')
            && self.bash()
            && let Some(expression) = self.double_parentheses()?
        {
            return Ok(CommandKind::Arithmetic(expression));
        }
        self.bump();
        self.enter()?;
        let body = self.body()?;
        self.expect(b')', "a subshell that is not closed")?;
        self.leave();
        Ok(CommandKind::Subshell(body))
    }

    fn condition(&mut self) -> Result<CommandKind, SyntaxError> {
        let mut branches = Vec::with_capacity(1);
        loop {
            let condition = self.body()?;
            self.reserved_word(Reserved::Then)?;
            branches.push((condition, self.body()?));
            match self.reserved() {
                Some((Reserved::Elif, end)) => self.take_to(end),
                Some((Reserved::Else, end)) => {
                    self.take_to(end);
                    let otherwise = Some(self.body()?);
                    self.reserved_word(Reserved::Fi)?;
                    return Ok(CommandKind::If { branches, otherwise });
                }
                _ => {
                    self.reserved_word(Reserved::Fi)?;
                    return Ok(CommandKind::If { branches, otherwise: None });
                }
            }
        }
    }

    /// `do … done`.
    fn do_body(&mut self) -> Result<Script, SyntaxError> {
        self.reserved_word(Reserved::Do)?;
        let body = self.body()?;
        self.reserved_word(Reserved::Done)?;
        Ok(body)
    }

    /// `do … done`, or `{ … }` as bash has it.
    fn loop_body(&mut self) -> Result<Script, SyntaxError> {
        self.lines()?;
        match self.reserved() {
            Some((Reserved::OpenBrace, end)) if self.bash() => {
                self.take_to(end);
                let body = self.body()?;
                self.reserved_word(Reserved::CloseBrace)?;
                Ok(body)
            }
            _ => self.do_body(),
        }
    }

    fn for_loop(&mut self) -> Result<CommandKind, SyntaxError> {
        self.gap();
        if self.peek() == Some(b'(') && self.peek_second() == Some(b'(') && self.bash() {
            return self.counting_for();
        }
        let name = self.loop_name()?;
        self.for_words(name)
    }

    fn loop_name(&mut self) -> Result<Vec<u8>, SyntaxError> {
        self.gap();
        let word = self.operand()?;
        match name(&word) {
            Some(name) => Ok(name.to_vec()),
            None => Err(self.error("a loop over something that is no variable")),
        }
    }

    /// What stands behind the name of `for` and `select`.
    fn for_words(&mut self, name: Vec<u8>) -> Result<CommandKind, SyntaxError> {
        self.gap();
        let mut words = None;
        if !self.took(b';') {
            self.lines()?;
            if let Some((Reserved::In, end)) = self.reserved() {
                self.take_to(end);
                words = Some(self.words_of_line()?);
                if !self.took(b';') && self.peek() != Some(b'\n') {
                    return Err(self.unexpected());
                }
            }
        }
        let body = self.loop_body()?;
        Ok(CommandKind::For { name, words, body })
    }

    fn words_of_line(&mut self) -> Result<Vec<Word>, SyntaxError> {
        let mut words = Vec::new();
        loop {
            self.gap();
            if matches!(self.peek(), None | Some(b';' | b'\n')) {
                return Ok(words);
            }
            words.push(self.operand()?);
        }
    }

    /// `((…; …; …))` and the body; the parentheses are next.
    fn counting_for(&mut self) -> Result<CommandKind, SyntaxError> {
        self.bump();
        let _second = self.peek();
        self.bump();
        self.enter()?;
        let mut expressions = Vec::with_capacity(3);
        loop {
            expressions.push(self.arithmetic(&Until::COUNTING)?);
            if !self.took(b';') {
                break;
            }
        }
        self.leave();
        self.expect(b')', "a loop's head that is not closed")?;
        self.expect(b')', "a loop's head that is not closed")?;
        if expressions.len() != 3 {
            return Err(self.error("a loop's head without three expressions"));
        }
        self.gap();
        let _separator = self.took(b';');
        let body = self.loop_body()?;
        Ok(CommandKind::CountingFor { expressions, body })
    }

    fn case(&mut self) -> Result<CommandKind, SyntaxError> {
        self.gap();
        let word = self.operand()?;
        self.lines()?;
        self.reserved_word(Reserved::In)?;
        let mut arms = Vec::new();
        loop {
            self.lines()?;
            if let Some((Reserved::Esac, end)) = self.reserved() {
                self.take_to(end);
                return Ok(CommandKind::Case { word, arms });
            }
            let patterns = self.patterns()?;
            let body = self.script()?;
            arms.push((patterns, body));
            if !self.arm_end() {
                self.reserved_word(Reserved::Esac)?;
                return Ok(CommandKind::Case { word, arms });
            }
        }
    }

    /// `[(] PATTERN | PATTERN )`.
    fn patterns(&mut self) -> Result<Vec<Word>, SyntaxError> {
        let _open = self.took(b'(');
        let mut patterns = Vec::with_capacity(1);
        loop {
            self.gap();
            patterns.push(self.operand()?);
            self.gap();
            if self.took(b')') {
                return Ok(patterns);
            }
            self.expect(b'|', "a pattern of `case` that does not end")?;
        }
    }

    /// Takes `;;`, `;&` or `;;&`.
    fn arm_end(&mut self) -> bool {
        if !self.took(b';') {
            return false;
        }
        let two = self.took(b';');
        let falls = self.peek() == Some(b'&') && (!two || self.bash());
        let _falls = falls && self.took(b'&');
        true
    }

    /// `function NAME [()] …`.
    fn function_word(&mut self, start: usize) -> Result<Command, SyntaxError> {
        self.gap();
        let word = self.operand()?;
        let Some(name) = literal(&word) else {
            return Err(self.error("a function without a plain name"));
        };
        let name = name.to_vec();
        self.gap();
        if self.peek() == Some(b'(') {
            let mark = self.mark();
            self.bump();
            self.gap();
            if !self.took(b')') {
                self.restore(&mark);
            }
        }
        self.function(name, start)
    }

    /// A function's body.
    pub(super) fn function(&mut self, name: Vec<u8>, start: usize) -> Result<Command, SyntaxError> {
        if name.iter().any(|byte| matches!(byte, b'(' | b'=')) {
            return Err(self.error("a function without a plain name"));
        }
        self.enter()?;
        self.lines()?;
        let body = Arc::new(self.compound_command()?);
        self.leave();
        let kind = CommandKind::Function { name, body };
        Ok(Command { kind, redirects: Vec::new(), span: self.span(start) })
    }

    /// A command that holds commands.
    fn compound_command(&mut self) -> Result<Command, SyntaxError> {
        if !self.compound_ahead() {
            return Err(self.error("a body that is no compound command"));
        }
        self.command()
    }

    /// Whether a command that holds commands is next.
    fn compound_ahead(&mut self) -> bool {
        self.peek() == Some(b'(')
            || matches!(
                self.reserved(),
                Some((
                    Reserved::Case
                        | Reserved::For
                        | Reserved::If
                        | Reserved::OpenBrace
                        | Reserved::Select
                        | Reserved::Test
                        | Reserved::Until
                        | Reserved::While,
                    _
                ))
            )
    }

    /// `coproc COMPOUND`, `coproc NAME COMPOUND` or `coproc SIMPLE`.
    fn coprocess(&mut self) -> Result<CommandKind, SyntaxError> {
        self.gap();
        let mut named = None;
        if !self.compound_ahead() {
            let mark = self.mark();
            let mut letters = Vec::new();
            self.take_name(&mut letters);
            self.gap();
            if !letters.is_empty() && self.end < self.pos && self.compound_ahead() {
                named = Some(letters);
            } else {
                self.restore(&mark);
            }
        }
        if named.is_none() && !self.compound_ahead() && self.reserved().is_some() {
            return Err(self.unexpected());
        }
        let body = Arc::new(self.command()?);
        if matches!(body.kind, CommandKind::Function { .. }) {
            return Err(self.error("a coprocess that is a function"));
        }
        Ok(CommandKind::Coprocess { name: named, body })
    }
}
