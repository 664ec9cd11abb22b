//! Lists, pipelines, commands: what separators and reserved words part.

use super::{Reader, SyntaxError, cursor::ends_word, word::literal};
use crate::shell::ast::{
    Command, CommandKind, Descriptor, Ends, Join, List, Part, Pipeline, Redirect, RedirectOperator,
    RedirectTarget, Script, Simple, Word,
};

/// A word that is grammar where a command may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reserved {
    Bang,
    Case,
    CloseBrace,
    CloseTest,
    Coprocess,
    Do,
    Done,
    Elif,
    Else,
    Esac,
    Fi,
    For,
    Function,
    If,
    In,
    OpenBrace,
    Select,
    Test,
    Then,
    Time,
    Until,
    While,
}

// === impl Reader ===

impl Reader<'_, '_> {
    /// A source from here to its end.
    pub(super) fn whole(&mut self) -> Result<Script, SyntaxError> {
        let script = self.script()?;
        if self.raw().is_some() {
            return Err(self.unexpected());
        }
        self.all_documents_have_bodies()?;
        Ok(script)
    }

    /// Lists, up to what cannot begin one.
    pub(super) fn script(&mut self) -> Result<Script, SyntaxError> {
        let mut lists = Vec::new();
        loop {
            self.lines()?;
            if self.ends_script() {
                return Ok(Script { lists });
            }
            let mut list = self.list()?;
            self.gap();
            match self.peek() {
                Some(b';') if !self.ends_arm() => self.bump(),
                Some(b'&') => {
                    self.bump();
                    list.ends = Ends::Background;
                }
                Some(b'\n') => {}
                _ => {
                    lists.push(list);
                    return Ok(Script { lists });
                }
            }
            lists.push(list);
        }
    }

    /// A script with at least one command.
    pub(super) fn body(&mut self) -> Result<Script, SyntaxError> {
        let script = self.script()?;
        if script.lists.is_empty() { Err(self.unexpected()) } else { Ok(script) }
    }

    /// Empty lines and comments. At each line's end the bodies of here-documents are read.
    pub(super) fn lines(&mut self) -> Result<(), SyntaxError> {
        self.gap();
        while self.peek() == Some(b'\n') {
            self.bump();
            self.documents()?;
            self.gap();
        }
        Ok(())
    }

    fn ends_script(&mut self) -> bool {
        match self.peek() {
            None | Some(b')') => true,
            Some(b';') => self.ends_arm(),
            _ => matches!(
                self.reserved(),
                Some((
                    Reserved::CloseBrace
                        | Reserved::Do
                        | Reserved::Done
                        | Reserved::Elif
                        | Reserved::Else
                        | Reserved::Esac
                        | Reserved::Fi
                        | Reserved::Then,
                    _
                ))
            ),
        }
    }

    /// Whether `;;`, `;&` or `;;&` is next.
    fn ends_arm(&mut self) -> bool {
        self.peek() == Some(b';') && matches!(self.peek_second(), Some(b';' | b'&'))
    }

    fn list(&mut self) -> Result<List, SyntaxError> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.gap();
            let join = match (self.peek(), self.peek_second()) {
                (Some(b'&'), Some(b'&')) => Join::And,
                (Some(b'|'), Some(b'|')) => Join::Or,
                _ => return Ok(List { first, rest, ends: Ends::Waited }),
            };
            self.bump();
            let _second = self.peek();
            self.bump();
            self.lines()?;
            rest.push((join, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, SyntaxError> {
        let prefixed = self.prefixes()?;
        let mut commands = Vec::with_capacity(1);
        if prefixed && matches!(self.peek(), None | Some(b'\n' | b';')) {
            let kind = CommandKind::Simple(Simple::default());
            commands.push(Command { kind, redirects: Vec::new(), span: self.span(self.pos) });
            return Ok(Pipeline { commands });
        }
        loop {
            let mut command = self.command()?;
            self.gap();
            let start = self.pos;
            if self.peek() != Some(b'|') || self.peek_second() == Some(b'|') {
                commands.push(command);
                return Ok(Pipeline { commands });
            }
            self.bump();
            if self.peek() == Some(b'&') && self.bash() && self.took(b'&') {
                command.redirects.push(self.errors_too(start));
            }
            commands.push(command);
            self.lines()?;
            if matches!(self.reserved(), Some((Reserved::Bang, _))) {
                return Err(self.error("`!` inside a pipeline"));
            }
        }
    }

    /// Takes `!` and `time` with its options, and tells whether any stood there.
    fn prefixes(&mut self) -> Result<bool, SyntaxError> {
        let mut any = false;
        loop {
            match self.reserved() {
                Some((Reserved::Bang, end)) => {
                    self.take_to(end);
                    if self.bash() && self.peek() == Some(b'(') {
                        return Err(self.error("`!(` may be a pattern; a blank makes it none"));
                    }
                }
                Some((Reserved::Time, end)) => {
                    self.take_to(end);
                    for option in [b"-p".as_slice(), b"--"] {
                        self.gap();
                        if let Some(end) = self.word_ahead(option) {
                            self.take_to(end);
                        }
                    }
                }
                _ => return Ok(any),
            }
            any = true;
            self.gap();
        }
    }

    /// `2>&1`, which `|&` stands for.
    fn errors_too(&self, start: usize) -> Redirect {
        let span = self.span(start);
        let word = Word { parts: vec![Part::Text(b"1".to_vec())], span };
        Redirect {
            descriptor: Descriptor::Number(2),
            operator: RedirectOperator::DuplicateOutput,
            target: RedirectTarget::Word(word),
            span,
        }
    }

    /// One command with its redirections.
    pub(super) fn command(&mut self) -> Result<Command, SyntaxError> {
        let next = self.peek();
        let start = self.pos;
        if next == Some(b'(') {
            let kind = self.parentheses()?;
            return self.with_redirects(kind, start);
        }
        match self.reserved() {
            // Inside a pipeline it is a program.
            Some((reserved, end)) if reserved != Reserved::Time => {
                self.take_to(end);
                self.compound(reserved, start)
            }
            _ => self.simple(start),
        }
    }

    /// Reads the redirections behind a compound command.
    pub(super) fn with_redirects(
        &mut self,
        kind: CommandKind,
        start: usize,
    ) -> Result<Command, SyntaxError> {
        let mut redirects = Vec::new();
        loop {
            self.gap();
            match self.peek() {
                None | Some(b'\n' | b';' | b')' | b'|') => break,
                Some(b'&') if !self.both_outputs() => break,
                _ if redirects.is_empty() && self.reserved().is_some() => break,
                _ => redirects.push(self.redirect()?),
            }
        }
        Ok(Command { kind, redirects, span: self.span(start) })
    }

    /// Assignments, words and redirections; or a function's definition.
    fn simple(&mut self, start: usize) -> Result<Command, SyntaxError> {
        let mut simple = Simple::default();
        let mut redirects = Vec::new();
        loop {
            self.gap();
            match self.peek() {
                None | Some(b'\n' | b';' | b')' | b'|') => break,
                Some(b'(') => return self.definition(&simple, &redirects, start),
                Some(b'&') if !self.both_outputs() => break,
                Some(b'&' | b'<' | b'>') if !self.process_ahead() => {
                    redirects.push(self.redirect()?);
                    continue;
                }
                _ => {}
            }
            self.item(&mut simple, &mut redirects)?;
        }
        if simple.words.is_empty() && simple.assignments.is_empty() && redirects.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Command { kind: CommandKind::Simple(simple), redirects, span: self.span(start) })
    }

    /// An assignment, a word, or a word that belongs to a redirection.
    fn item(
        &mut self,
        simple: &mut Simple,
        redirects: &mut Vec<Redirect>,
    ) -> Result<(), SyntaxError> {
        let word = if simple.words.is_empty() {
            match self.assignment_or_word()? {
                Ok(assignment) => {
                    simple.assignments.push(assignment);
                    return Ok(());
                }
                Err(word) => word,
            }
        } else if self.declares(simple) {
            self.declared()?
        } else {
            self.word()?
        };
        if matches!(self.raw(), Some(b'<' | b'>' | b'\\'))
            && matches!(self.peek(), Some(b'<' | b'>'))
            && let Some(descriptor) = self.descriptor(&word)?
        {
            redirects.push(self.redirect_of(descriptor, word.span)?);
        } else {
            simple.words.push(word);
        }
        Ok(())
    }

    /// `NAME ()` and its body; `(` is next.
    fn definition(
        &mut self,
        simple: &Simple,
        redirects: &[Redirect],
        start: usize,
    ) -> Result<Command, SyntaxError> {
        let name = match simple.words.as_slice() {
            [word] if simple.assignments.is_empty() && redirects.is_empty() => literal(word),
            _ => None,
        };
        let name = name.ok_or_else(|| self.unexpected())?.to_vec();
        self.bump();
        self.gap();
        self.expect(b')', "a parenthesis inside a simple command")?;
        self.function(name, start)
    }

    /// The reserved word that is next, and where it ends.
    pub(super) fn reserved(&mut self) -> Option<(Reserved, usize)> {
        let first = self.peek()?;
        if !matches!(first, b'!' | b'[' | b']' | b'{' | b'}' | b'c'..=b'f' | b'i' | b's'..=b'u' | b'w')
        {
            return None;
        }
        let mut letters = [0; LETTERS_MAX];
        let mut at = self.pos;
        let mut len = 0;
        while let Some(byte) = self.source.text.get(at).copied() {
            if ends_word(byte) {
                break;
            }
            *letters.get_mut(len)? = byte;
            len += 1;
            at = self.behind_continuations(at + 1);
        }
        let (_, reserved) = RESERVED.iter().find(|(word, _)| Some(*word) == letters.get(..len))?;
        if BASH_ONLY.contains(reserved) && !self.bash() || self.begins_process(at) {
            return None;
        }
        Some((*reserved, at))
    }

    /// Where `word` ends if it is the next word.
    pub(super) fn word_ahead(&mut self, word: &[u8]) -> Option<usize> {
        let _next = self.peek();
        let mut at = self.pos;
        for byte in word {
            if self.source.text.get(at) != Some(byte) {
                return None;
            }
            at = self.behind_continuations(at + 1);
        }
        let ends = self.source.text.get(at).is_none_or(|byte| ends_word(*byte));
        (ends && !self.begins_process(at)).then_some(at)
    }

    /// Takes the reserved word `word`, which must be next.
    pub(super) fn reserved_word(&mut self, word: Reserved) -> Result<(), SyntaxError> {
        match self.reserved() {
            Some((reserved, end)) if reserved == word => {
                self.take_to(end);
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn take_to(&mut self, end: usize) {
        self.pos = end;
        self.end = end;
    }

    /// Whether a process substitution begins at a place: it goes on with a word.
    fn begins_process(&self, at: usize) -> bool {
        matches!(self.source.text.get(at), Some(b'<' | b'>'))
            && self.source.text.get(self.behind_continuations(at + 1)) == Some(&b'(')
            && self.bash()
    }

    /// Whether a process substitution is next.
    pub(super) fn process_ahead(&mut self) -> bool {
        let _next = self.peek();
        self.begins_process(self.pos)
    }

    /// Whether `&>` is next.
    pub(super) fn both_outputs(&mut self) -> bool {
        self.peek() == Some(b'&') && self.peek_second() == Some(b'>') && self.bash()
    }
}

/// The longest reserved word has eight letters; one more tells a longer word.
const LETTERS_MAX: usize = 9;

/// What a plain `sh` takes for names of programs.
const BASH_ONLY: [Reserved; 6] = [
    Reserved::CloseTest,
    Reserved::Coprocess,
    Reserved::Function,
    Reserved::Select,
    Reserved::Test,
    Reserved::Time,
];

const RESERVED: [(&[u8], Reserved); 22] = [
    (b"!", Reserved::Bang),
    (b"case", Reserved::Case),
    (b"}", Reserved::CloseBrace),
    (b"coproc", Reserved::Coprocess),
    (b"do", Reserved::Do),
    (b"done", Reserved::Done),
    (b"elif", Reserved::Elif),
    (b"else", Reserved::Else),
    (b"esac", Reserved::Esac),
    (b"fi", Reserved::Fi),
    (b"for", Reserved::For),
    (b"function", Reserved::Function),
    (b"if", Reserved::If),
    (b"in", Reserved::In),
    (b"{", Reserved::OpenBrace),
    (b"select", Reserved::Select),
    (b"[[", Reserved::Test),
    (b"]]", Reserved::CloseTest),
    (b"then", Reserved::Then),
    (b"time", Reserved::Time),
    (b"until", Reserved::Until),
    (b"while", Reserved::While),
];
