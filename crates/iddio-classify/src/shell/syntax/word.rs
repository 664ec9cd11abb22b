//! Words: text, quotes and expansions up to a blank or an operator.

use super::{
    Quoting, Reader, SyntaxError,
    arithmetic::flush,
    cursor::{ends_word, in_name, starts_name},
};
use crate::shell::ast::{Flow, Part, Word};

/// What else may stand in a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grammar {
    /// Patterns such as `@(a|b)`.
    Patterns,
    /// A regular expression.
    Regex,
}

/// What a word inside `${…}` is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BraceWord {
    /// A pattern, or what replaces one: quotes quote in it wherever it stands.
    Pattern,
    /// A value: inside double quotes it is in double quotes.
    Value,
}

/// The parts of a word as they come in.
#[derive(Default)]
struct Gathered {
    parts: Vec<Part>,
    text: Vec<u8>,
    /// Whether plain text is in quotes.
    quoted: bool,
}

// === impl Reader ===

impl Reader<'_, '_> {
    /// A word that must stand here.
    pub(super) fn operand(&mut self) -> Result<Word, SyntaxError> {
        match self.peek() {
            None => Err(self.unexpected()),
            Some(byte) if ends_word(byte) && !self.process_ahead() => Err(self.unexpected()),
            Some(_) => self.word(),
        }
    }

    /// A word; none of its bytes was taken.
    pub(super) fn word(&mut self) -> Result<Word, SyntaxError> {
        let _next = self.peek();
        self.word_from(self.pos, Vec::new())
    }

    /// A word that began at `start` with the text `taken`.
    pub(super) fn word_from(&mut self, start: usize, taken: Vec<u8>) -> Result<Word, SyntaxError> {
        self.word_of(start, taken, Grammar::Patterns)
    }

    /// A regular expression of `[[ … =~ … ]]`.
    pub(super) fn regex(&mut self) -> Result<Word, SyntaxError> {
        let _next = self.peek();
        self.word_of(self.pos, Vec::new(), Grammar::Regex)
    }

    fn word_of(
        &mut self,
        start: usize,
        taken: Vec<u8>,
        grammar: Grammar,
    ) -> Result<Word, SyntaxError> {
        let mut gathered = Gathered { text: taken, ..Gathered::default() };
        let mut open = 0usize;
        loop {
            self.take_run(&mut gathered.text, is_plain);
            let Some(byte) = self.peek() else { break };
            match byte {
                b'(' if 0 < open || self.opens(grammar, &gathered) => {
                    if grammar == Grammar::Patterns && self.peek_second() == Some(b')') {
                        return Err(self.error("an empty pattern, or a function without a name"));
                    }
                    open += 1;
                    gathered.text.push(byte);
                    self.bump();
                }
                b')' if 0 < open => {
                    open -= 1;
                    gathered.text.push(byte);
                    self.bump();
                }
                b'|' if grammar == Grammar::Regex => {
                    gathered.text.push(byte);
                    self.bump();
                }
                b'<' | b'>' if self.process_ahead() => {
                    let part = self.process()?;
                    gathered.push(part);
                }
                _ if ends_word(byte) && open == 0 => break,
                _ if ends_word(byte) => {
                    gathered.text.push(byte);
                    self.bump();
                }
                _ => self.part(byte, &mut gathered)?,
            }
        }
        if 0 < open {
            return Err(self.error("a pattern that is not closed"));
        }
        gathered.flush();
        Ok(Word { parts: gathered.parts, span: self.span(start) })
    }

    /// Whether the parenthesis that is next belongs to a pattern in the word.
    fn opens(&self, grammar: Grammar, gathered: &Gathered) -> bool {
        match grammar {
            Grammar::Regex => true,
            Grammar::Patterns => {
                matches!(gathered.text.last(), Some(b'@' | b'*' | b'+' | b'?' | b'!'))
                    && self.bash()
            }
        }
    }

    /// A quote or an expansion in a word.
    fn part(&mut self, byte: u8, gathered: &mut Gathered) -> Result<(), SyntaxError> {
        match byte {
            b'\\' => {
                self.bump();
                let Some(next) = self.raw() else {
                    return Err(self.error("a backslash at the end of the text"));
                };
                self.bump();
                gathered.push(Part::Quoted(vec![next]));
            }
            b'\'' => {
                let part = self.single()?;
                gathered.push(part);
            }
            b'"' => {
                self.bump();
                let parts = self.double(Quoting::Double)?;
                gathered.push(Part::Double(parts));
            }
            b'`' => {
                let part = self.backquotes(Quoting::None)?;
                gathered.push(part);
            }
            b'$' => match self.dollar(Quoting::None)? {
                Some(part) => gathered.push(part),
                None => gathered.text.push(b'$'),
            },
            other => {
                gathered.text.push(other);
                self.bump();
            }
        }
        Ok(())
    }

    /// `<(…)` or `>(…)`, which is next.
    fn process(&mut self) -> Result<Part, SyntaxError> {
        let flow = if self.peek() == Some(b'<') { Flow::Read } else { Flow::Write };
        self.bump();
        let _parenthesis = self.peek();
        self.bump();
        let script = self.substitution()?;
        if script.lists.is_empty() {
            // bash makes nothing at all of it, and the next word may be the program.
            return Err(self.error("an empty process substitution"));
        }
        Ok(Part::Process(flow, script))
    }

    /// A word inside `${…}`, up to `}` or one of `stops`, which is not taken.
    pub(super) fn brace_word(
        &mut self,
        quoting: Quoting,
        kind: BraceWord,
        stops: &[u8],
    ) -> Result<Word, SyntaxError> {
        let start = self.pos;
        let literal = quoting.quotes() && kind == BraceWord::Value;
        let mut gathered = Gathered { quoted: literal, ..Gathered::default() };
        loop {
            let byte = self.peek().ok_or_else(|| self.unexpected())?;
            match byte {
                b'}' => break,
                _ if stops.contains(&byte) => break,
                b'"' if quoting == Quoting::Here => {
                    return Err(self.error("quotes inside an expansion of a here-document"));
                }
                b'\'' if literal => {
                    gathered.text.push(byte);
                    self.harmless_quotes(&mut gathered.text)?;
                    gathered.text.push(byte);
                }
                b'\'' if quoting.quotes() => {
                    let mut text = Vec::new();
                    self.harmless_quotes(&mut text)?;
                    gathered.push(Part::Quoted(text));
                }
                b'\\' if literal => self.escaped(quoting, true, &mut gathered.text)?,
                b'$' => {
                    if quoting.quotes() && matches!(self.peek_second(), Some(b'\'' | b'"')) {
                        return Err(self.error("`$` before a quote inside a quoted expansion"));
                    }
                    match self.dollar(quoting)? {
                        Some(part) => gathered.push(part),
                        None => gathered.text.push(b'$'),
                    }
                }
                b'`' => {
                    let part = self.backquotes(quoting)?;
                    gathered.push(part);
                }
                b'<' | b'>' if !quoting.quotes() && self.process_ahead() => {
                    let part = self.process()?;
                    gathered.push(part);
                }
                _ => self.part(byte, &mut gathered)?,
            }
        }
        gathered.flush();
        Ok(Word { parts: gathered.parts, span: self.span(start) })
    }
}

// === impl Gathered ===

impl Gathered {
    fn push(&mut self, part: Part) {
        self.flush();
        self.parts.push(part);
    }

    fn flush(&mut self) {
        if self.quoted {
            flush(&mut self.text, &mut self.parts);
        } else if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }
}

/// The text of a word that nothing expands or quotes; patterns, braces and tildes count as text.
pub(super) fn literal(word: &Word) -> Option<&[u8]> {
    match word.parts.as_slice() {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// The text of a word that is the name of a variable.
pub(super) fn name(word: &Word) -> Option<&[u8]> {
    literal(word).filter(|text| is_name(text))
}

/// Whether a text is the name of a variable.
pub(super) fn is_name(text: &[u8]) -> bool {
    text.first().copied().is_some_and(starts_name) && text.iter().copied().all(in_name)
}

/// Whether a byte has no meaning inside a word.
fn is_plain(byte: u8) -> bool {
    !ends_word(byte) && !matches!(byte, b'\\' | b'\'' | b'"' | b'`' | b'$')
}
