//! Arithmetic: text with expansions, up to where it ends. Its grammar is not read: whoever judges
//! it looks at the names in it.

use super::{Quoting, Reader, SyntaxError};
use crate::shell::{
    DEPTH_MAX,
    ast::{Arithmetic, Part},
};

/// Where an expression ends.
pub(super) struct Until {
    /// What nests in it.
    open: u8,
    close: u8,
    /// What ends it outside of those.
    stops: &'static [u8],
    /// What must not stand in it, because shells disagree about what it would end.
    refused: &'static [u8],
    quoting: Quoting,
}

// === impl Until ===

impl Until {
    /// `((…; …; …))`.
    pub(super) const COUNTING: Self = Self::new(b'(', b')', b";)", b"");
    /// `((…))` and `$((…))`.
    const PARENTHESES: Self = Self::new(b'(', b')', b")", b"");
    /// `NAME[…]=` and `$[…]`.
    pub(super) const BRACKETS: Self = Self::new(b'[', b']', b"]", b"");
    /// `${NAME[…]}`.
    pub(super) const SUBSCRIPT: Self = Self::new(b'[', b']', b"]", b"{}");
    /// `${NAME:…` up to `:` or `}`.
    pub(super) const SLICE: Self = Self::new(b'(', b')', b":}", b"?{");

    const fn new(open: u8, close: u8, stops: &'static [u8], refused: &'static [u8]) -> Self {
        Self { open, close, stops, refused, quoting: Quoting::None }
    }

    /// The same inside `quoting`.
    pub(super) const fn inside(self, quoting: Quoting) -> Self {
        Self { quoting, ..self }
    }
}

// === impl Reader ===

impl Reader<'_, '_> {
    /// `((…))`, whose parentheses are next; `None` if it turns out to be something else, of which
    /// nothing is taken.
    pub(super) fn double_parentheses(&mut self) -> Result<Option<Arithmetic>, SyntaxError> {
        let mark = self.mark();
        self.bump();
        let _second = self.peek();
        self.bump();
        self.enter()?;
        let expression = self.arithmetic(&Until::PARENTHESES)?;
        self.leave();
        self.bump();
        if self.took(b')') {
            return Ok(Some(expression));
        }
        if !self.bash() {
            return Err(self.error("arithmetic that is not closed"));
        }
        self.reread(&mark)?;
        Ok(None)
    }

    /// Text with expansions up to a byte that ends it, which is not taken.
    pub(super) fn arithmetic(&mut self, until: &Until) -> Result<Arithmetic, SyntaxError> {
        let start = self.pos;
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut open = 0usize;
        loop {
            let byte = self.peek().ok_or_else(|| self.unexpected())?;
            if open == 0 && until.stops.contains(&byte) {
                break;
            }
            match byte {
                _ if until.refused.contains(&byte) => {
                    return Err(self.error("arithmetic whose end is not sure"));
                }
                b'$' | b'`' | b'"' | b'\'' | b'\\' => {
                    self.special(byte, until.quoting, &mut text, &mut parts)?;
                }
                _ => {
                    open += usize::from(byte == until.open);
                    open -= usize::from(byte == until.close && 0 < open);
                    // A plain `sh` may read them as subshells, and nests as deep.
                    if DEPTH_MAX < self.shared.depth + open {
                        return Err(self.error("nested deeper than the limit"));
                    }
                    text.push(byte);
                    self.bump();
                }
            }
        }
        flush(&mut text, &mut parts);
        Ok(Arithmetic { parts, span: self.span(start) })
    }

    /// An expansion or a quote inside arithmetic.
    fn special(
        &mut self,
        byte: u8,
        quoting: Quoting,
        text: &mut Vec<u8>,
        parts: &mut Vec<Part>,
    ) -> Result<(), SyntaxError> {
        match byte {
            b'$' => match self.dollar(quoting.and_double())? {
                Some(part) => {
                    flush(text, parts);
                    parts.push(part);
                }
                None => text.push(b'$'),
            },
            b'`' => {
                flush(text, parts);
                // Shells disagree about `\"` in them, which this refuses.
                parts.push(self.backquotes(Quoting::Here)?);
            }
            b'"' if quoting == Quoting::Here => {
                return Err(self.error("quotes inside an expansion of a here-document"));
            }
            b'"' => {
                flush(text, parts);
                self.bump();
                parts.extend(self.double(Quoting::Double)?);
            }
            b'\'' => self.harmless_quotes(text)?,
            _ => {
                self.bump();
                let escaped = self.raw().ok_or_else(|| self.unexpected())?;
                text.push(escaped);
                self.bump();
            }
        }
        Ok(())
    }

    /// `'…'` where shells disagree whether it quotes: read if it makes no difference. The quotes
    /// are kept out of `text`.
    pub(super) fn harmless_quotes(&mut self, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.bump();
        self.take_run(text, |byte| {
            !matches!(
                byte,
                b'\''
                    | b'"'
                    | b'`'
                    | b'$'
                    | b'\\'
                    | b'('
                    | b')'
                    | b'['
                    | b']'
                    | b'{'
                    | b'}'
                    | b'\n'
                    | b';'
                    | b':'
                    | b'/'
            )
        });
        if self.raw() != Some(b'\'') {
            return Err(self.error("single quotes that may not quote here"));
        }
        self.bump();
        Ok(())
    }
}

/// Adds the text that was gathered to the parts.
pub(super) fn flush(text: &mut Vec<u8>, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Quoted(std::mem::take(text)));
    }
}
