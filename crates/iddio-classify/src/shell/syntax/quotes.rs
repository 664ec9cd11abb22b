//! Quotes: what nothing expands, and what only a dollar sign and backquotes do.

use super::{Quoting, Reader, SyntaxError, arithmetic::flush};
use crate::shell::ast::Part;

// === impl Reader ===

impl Reader<'_, '_> {
    /// `'…'`, whose first quote is next.
    pub(super) fn single(&mut self) -> Result<Part, SyntaxError> {
        self.bump();
        let mut text = Vec::new();
        self.take_run(&mut text, |byte| byte != b'\'');
        if self.raw().is_none() {
            return Err(self.error("a single quote that is not closed"));
        }
        self.bump();
        Ok(Part::Quoted(text))
    }

    /// What stands in double quotes, whose first was taken, up to the last, which is taken; or the
    /// whole of a here-document's body.
    pub(super) fn double(&mut self, quoting: Quoting) -> Result<Vec<Part>, SyntaxError> {
        self.enter()?;
        let mut parts = Vec::new();
        let mut text = Vec::new();
        loop {
            self.take_run(&mut text, |byte| !matches!(byte, b'"' | b'$' | b'`' | b'\\'));
            let Some(byte) = self.peek() else {
                if quoting == Quoting::Here {
                    break;
                }
                return Err(self.error("a double quote that is not closed"));
            };
            match byte {
                b'"' if quoting != Quoting::Here => {
                    self.bump();
                    break;
                }
                b'$' => match self.dollar(quoting)? {
                    Some(part) => {
                        flush(&mut text, &mut parts);
                        parts.push(part);
                    }
                    None => text.push(b'$'),
                },
                b'`' => {
                    flush(&mut text, &mut parts);
                    parts.push(self.backquotes(quoting)?);
                }
                b'\\' => self.escaped(quoting, false, &mut text)?,
                other => {
                    text.push(other);
                    self.bump();
                }
            }
        }
        flush(&mut text, &mut parts);
        self.leave();
        Ok(parts)
    }

    /// A backslash and what follows it, inside double quotes; `brace` tells whether `}` needs one.
    pub(super) fn escaped(
        &mut self,
        quoting: Quoting,
        brace: bool,
        text: &mut Vec<u8>,
    ) -> Result<(), SyntaxError> {
        self.bump();
        let next = match self.raw() {
            Some(next) => next,
            // A here-document's body may end so.
            None => return Err(self.error("a backslash at the end of the text")),
        };
        let needs = match next {
            b'$' | b'`' | b'\\' => true,
            b'"' => quoting != Quoting::Here,
            b'}' => brace,
            _ => false,
        };
        if !needs {
            text.push(b'\\');
        }
        text.push(next);
        self.bump();
        Ok(())
    }

    /// `$'…'`, decoded; the quote is next.
    pub(super) fn ansi(&mut self) -> Result<Part, SyntaxError> {
        self.bump();
        let mut text = Vec::new();
        loop {
            self.take_run(&mut text, |byte| !matches!(byte, b'\'' | b'\\'));
            match self.raw() {
                None => return Err(self.error("a single quote that is not closed")),
                Some(b'\'') => {
                    self.bump();
                    return Ok(Part::Quoted(text));
                }
                Some(_) => {
                    self.bump();
                    self.ansi_escape(&mut text)?;
                }
            }
        }
    }

    /// What stands behind a backslash in `$'…'`.
    fn ansi_escape(&mut self, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let byte = self.raw().ok_or_else(|| self.unexpected())?;
        let plain = match byte {
            b'a' => 0x07,
            b'b' => 0x08,
            b'e' | b'E' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'\'' | b'"' | b'?' => byte,
            b'0'..=b'7' => {
                let code = self.digits(8, 3);
                return self.ansi_code(u32::from(code.to_le_bytes()[0]), text);
            }
            b'x' | b'u' | b'U' => {
                self.bump();
                if !self.raw().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                    return Err(self.error("an escape without digits"));
                }
                let most = match byte {
                    b'x' => 2,
                    b'u' => 4,
                    _ => 8,
                };
                let code = self.digits(16, most);
                if byte == b'x' {
                    return self.ansi_code(code, text);
                }
                let letter = char::from_u32(code).filter(|letter| *letter != '\0');
                let letter = letter.ok_or_else(|| self.error("an escape that is no character"))?;
                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            b'c' => return self.ansi_control(text),
            b'\n' => return Err(self.error("a line continued inside `$'…'`")),
            other => {
                text.push(b'\\');
                other
            }
        };
        text.push(plain);
        self.bump();
        Ok(())
    }

    /// `\cX`; the `c` is next.
    fn ansi_control(&mut self, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.bump();
        let byte = match self.raw() {
            Some(byte @ (b'?' | b'@'..=b'[' | b']'..=b'_' | b'a'..=b'z')) => byte,
            _ => return Err(self.error("an escape that is no control character")),
        };
        self.bump();
        let code = if byte == b'?' { 0x7f } else { byte.to_ascii_uppercase() & 0x1f };
        self.ansi_code(u32::from(code), text)
    }

    fn ansi_code(&mut self, code: u32, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
        match u8::try_from(code) {
            Ok(byte) if byte != 0 => {
                text.push(byte);
                Ok(())
            }
            _ => Err(self.error("an escape for a zero byte")),
        }
    }

    /// Up to `most` digits.
    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let mut code = 0u32;
        for _ in 0..most {
            let Some(digit) = self.raw().and_then(|byte| char::from(byte).to_digit(radix)) else {
                break;
            };
            code = code.wrapping_mul(radix).wrapping_add(digit);
            self.bump();
        }
        code
    }
}
