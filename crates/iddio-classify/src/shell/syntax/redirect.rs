//! Redirections.

use super::{
    Reader, Span, SyntaxError,
    word::{is_name, literal},
};
use crate::shell::ast::{Descriptor, Redirect, RedirectOperator, RedirectTarget, Word};

// === impl Reader ===

impl Reader<'_, '_> {
    /// A redirection, its descriptor included.
    pub(super) fn redirect(&mut self) -> Result<Redirect, SyntaxError> {
        let next = self.peek();
        let here = self.span(self.pos);
        if matches!(next, Some(b'<' | b'>' | b'&')) && !self.process_ahead() {
            return self.redirect_of(Descriptor::Implied, here);
        }
        let word = self.operand()?;
        let unexpected = self.error_at(self.end, "a word where only a redirection can stand");
        if !matches!(self.peek(), Some(b'<' | b'>')) {
            return Err(unexpected);
        }
        let descriptor = self.descriptor(&word)?.ok_or(unexpected)?;
        self.redirect_of(descriptor, word.span)
    }

    /// What a word right before `<` or `>` names, if it names a descriptor.
    pub(super) fn descriptor(&self, word: &Word) -> Result<Option<Descriptor>, SyntaxError> {
        let Some(text) = literal(word) else { return Ok(None) };
        if text.iter().all(u8::is_ascii_digit) {
            let number =
                std::str::from_utf8(text).ok().and_then(|digits| digits.parse::<u32>().ok());
            return match number.filter(|number| *number <= DESCRIPTOR_MAX) {
                Some(number) => Ok(Some(Descriptor::Number(number))),
                None => Err(self.error("a descriptor beyond the limit")),
            };
        }
        let inside = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
        match inside {
            Some(name) if is_name(name) && self.bash() => {
                Ok(Some(Descriptor::Named(name.to_vec())))
            }
            Some(name) if name.contains(&b'[') && self.bash() => {
                Err(self.error("a descriptor in an array"))
            }
            _ => Ok(None),
        }
    }

    /// A redirection whose operator is next; `before` is where its descriptor stands.
    pub(super) fn redirect_of(
        &mut self,
        descriptor: Descriptor,
        before: Span,
    ) -> Result<Redirect, SyntaxError> {
        let start = self.pos;
        let operator = self.redirect_operator()?;
        if operator == RedirectOperator::HereDocument {
            let tabs = self.raw() == Some(b'-');
            if tabs {
                self.bump();
            }
            let target = self.announce(tabs)?;
            let span = Span { start: before.start, end: self.span(start).end };
            return Ok(Redirect { descriptor, operator, target, span });
        }
        self.gap();
        let target = self.operand()?;
        let duplicates = matches!(
            operator,
            RedirectOperator::DuplicateInput | RedirectOperator::DuplicateOutput
        );
        let arrow = matches!(self.raw(), Some(b'<' | b'>' | b'\\'))
            && matches!(self.peek(), Some(b'<' | b'>'));
        if arrow && !(duplicates && self.bash()) && self.descriptor(&target)?.is_some() {
            return Err(self.error_at(self.end, "a descriptor where a file must stand"));
        }
        if duplicates && literal(&target).is_some_and(|text| text.starts_with(b"-") && text != b"-")
        {
            return Err(self.error("a closed descriptor with a word right behind"));
        }
        let span = Span { start: before.start, end: target.span.end };
        Ok(Redirect { descriptor, operator, target: RedirectTarget::Word(target), span })
    }

    /// Takes an operator.
    fn redirect_operator(&mut self) -> Result<RedirectOperator, SyntaxError> {
        let first = self.peek();
        self.bump();
        let operator = match first {
            Some(b'&') => {
                let _arrow = self.took(b'>');
                if self.took(b'>') {
                    RedirectOperator::AppendBoth
                } else {
                    RedirectOperator::OutputBoth
                }
            }
            Some(b'>') => match self.peek() {
                Some(b'>') => RedirectOperator::Append,
                Some(b'&') => RedirectOperator::DuplicateOutput,
                Some(b'|') => RedirectOperator::Clobber,
                _ => return Ok(RedirectOperator::Output),
            },
            Some(b'<') => match self.peek() {
                Some(b'>') => RedirectOperator::ReadWrite,
                Some(b'&') => RedirectOperator::DuplicateInput,
                Some(b'<') if self.peek_second() == Some(b'<') && self.bash() => {
                    self.bump();
                    let _third = self.peek();
                    RedirectOperator::HereString
                }
                Some(b'<') => RedirectOperator::HereDocument,
                _ => return Ok(RedirectOperator::Input),
            },
            _ => return Err(self.unexpected()),
        };
        if first != Some(b'&') {
            self.bump();
        }
        if operator == RedirectOperator::HereDocument {
            let _dash = self.peek();
        }
        Ok(operator)
    }
}

/// The highest number of a descriptor that bash takes for one.
const DESCRIPTOR_MAX: u32 = i32::MAX as u32;
