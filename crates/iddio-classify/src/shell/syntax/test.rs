//! `[[ … ]]`: its words and operators in order. Its grammar is bash's to check: what bash refuses
//! does not run.

use super::{Reader, SyntaxError, word::literal};
use crate::shell::ast::TestPart;

// === impl Reader ===

impl Reader<'_, '_> {
    /// What stands behind `[[`, up to `]]`, which is taken.
    pub(super) fn test(&mut self) -> Result<Vec<TestPart>, SyntaxError> {
        let mut parts = Vec::new();
        loop {
            self.lines()?;
            if let Some(end) = self.word_ahead(b"]]") {
                self.take_to(end);
                return if parts.is_empty() { Err(self.unexpected()) } else { Ok(parts) };
            }
            let part = self.test_part()?;
            let regex = matches!(&part, TestPart::Operator(operator) if operator == b"=~");
            parts.push(part);
            if regex {
                self.gap();
                let word = self.regex()?;
                if word.parts.is_empty() {
                    return Err(self.unexpected());
                }
                parts.push(TestPart::Operand(word));
            }
        }
    }

    fn test_part(&mut self) -> Result<TestPart, SyntaxError> {
        let two = (self.peek(), self.peek_second());
        let operator: &[u8] = match two {
            _ if self.process_ahead() => b"",
            (Some(b'&'), Some(b'&')) => b"&&",
            (Some(b'|'), Some(b'|')) => b"||",
            (Some(b'('), _) => b"(",
            (Some(b')'), _) => b")",
            (Some(b'<'), second) if second != Some(b'<') && second != Some(b'&') => b"<",
            (Some(b'>'), second) if second != Some(b'>') && second != Some(b'&') => b">",
            _ => b"",
        };
        for _ in operator {
            let _next = self.peek();
            self.bump();
        }
        if !operator.is_empty() {
            return Ok(TestPart::Operator(operator.to_vec()));
        }
        let word = self.operand()?;
        Ok(match literal(&word) {
            Some(text) if is_operator(text) => TestPart::Operator(text.to_vec()),
            _ => TestPart::Operand(word),
        })
    }
}

/// Whether a word is an operator where one can stand.
fn is_operator(text: &[u8]) -> bool {
    match text {
        b"!" | b"=" | b"==" | b"!=" | b"=~" => true,
        b"-ef" | b"-eq" | b"-ge" | b"-gt" | b"-le" | b"-lt" | b"-ne" | b"-nt" | b"-ot" => true,
        [b'-', letter] => b"abcdefghknoprstuvwxzGLNORS".contains(letter),
        _ => false,
    }
}
