//! Arithmetic: what an expression gives, and what it runs.
//!
//! A name in an expression stands for the value of a variable, which is an expression again; the
//! subscript of an array is expanded as if in double quotes. So data that reaches an expression is
//! a program: `a='x[$(id)]'; echo $((a))`.

use iddio_core::tier::{Class, Tier};

use super::{
    Walker,
    parameter::is_name,
    state::{Key, Slot, Value},
    text::{Origin, Text},
};
use crate::shell::{Span, ast::Arithmetic};

// === impl Walker ===

impl Walker<'_> {
    /// Evaluates an expression: its digits, or a number that is not known.
    pub(super) fn arithmetic(&mut self, expression: &Arithmetic) -> Text {
        let at = self.place(expression.span);
        let texts = self.texts(&expression.parts);
        let mut results: Vec<Option<i64>> = Vec::new();
        for text in &texts {
            results.push(self.evaluated(text, at));
        }
        match results.as_slice() {
            [Some(only)] => Text::known(only.to_string()),
            _ => Text::number(),
        }
    }

    /// Evaluates a text as an expression.
    pub(super) fn evaluated(&mut self, text: &Text, at: Option<Span>) -> Option<i64> {
        self.doubt(text, at);
        match text.as_bytes() {
            Some(bytes) => self.expression(bytes, at, VALUES_DEPTH_MAX),
            None => {
                for chunk in &text.0 {
                    if let super::text::Chunk::Bytes(bytes) = chunk {
                        self.expression(bytes, at, VALUES_DEPTH_MAX);
                    }
                }
                None
            }
        }
    }

    /// Expands bytes as a shell does within double quotes: subscripts, prompts.
    pub(super) fn evaluated_text(&mut self, bytes: &[u8], at: Option<Span>) {
        if !bytes.iter().any(|byte| matches!(byte, b'$' | b'`')) {
            return;
        }
        // A line that ends the here-document early would change how the rest is quoted.
        let mut end = b"END".to_vec();
        while bytes.windows(end.len()).any(|window| window == end) {
            end.push(b'_');
        }
        let text = [b": <<", end.as_slice(), b"\n", bytes, b"\n", &end, b"\n"].concat();
        self.nested(&text, at);
    }

    /// Raises for a value from outside the text that is evaluated.
    pub(super) fn doubt(&mut self, text: &Text, at: Option<Span>) {
        if text.origin() == Some(Origin::Made) {
            let why = "what a command writes is evaluated as arithmetic";
            self.raise(Tier::Modify, Class::Unknown, "shell:arithmetic", why, at);
        }
    }

    fn expression(&mut self, bytes: &[u8], at: Option<Span>, depth: usize) -> Option<i64> {
        self.step(1 + bytes.len() / 64);
        let Some(depth) = depth.checked_sub(1) else {
            let why = "values of values of values are evaluated";
            self.raise(Tier::UNKNOWN, Class::Unknown, "shell:limit", why, at);
            return None;
        };
        self.evaluated_text(bytes, at);
        if let Some(number) = plain(bytes) {
            return Some(number);
        }
        let mut changes = false;
        for (name, changed) in names(bytes) {
            if changed {
                changes = true;
                let value = Value::one(Text::number());
                self.assign(&name, value, at);
                continue;
            }
            let key = Key::Variable(name);
            let Some(Slot::Variable(value)) = self.state.slot(&key).cloned() else { continue };
            let texts = match value {
                Value::Array(elements) => elements.into_iter().flatten().collect(),
                Value::Scalar(texts) => texts,
            };
            for text in texts {
                match text.as_bytes() {
                    Some(value) if plain(value).is_some() || value.is_empty() => {}
                    Some(value) => {
                        let value = value.to_vec();
                        self.expression(&value, at, depth);
                    }
                    None => self.doubt(&text, at),
                }
            }
        }
        if changes || self.spent() {
            return None;
        }
        let mut reader = Reader { rest: bytes, walker: self, depth: OPERATORS_DEPTH_MAX };
        let value = reader.sum()?;
        reader.blanks();
        reader.rest.is_empty().then_some(value)
    }

    fn number(&self, name: &[u8]) -> Option<i64> {
        match self.state.slot(&Key::Variable(name.to_vec()))? {
            Slot::Variable(Value::Scalar(texts)) => match texts.as_slice() {
                [only] => plain(only.as_bytes()?),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Reads a decimal number.
fn plain(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let octal = digits.len() > 1 && digits.starts_with('0');
    (decimal && !octal).then(|| text.parse().ok()).flatten()
}

/// Returns the names in an expression, and whether it changes them.
fn names(bytes: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut names: Vec<(Vec<u8>, bool)> = Vec::new();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'#';
    let mut start = 0;
    while start < bytes.len() {
        let rest = bytes.get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| letter(**byte)).count();
        let (word, tail) = rest.split_at(length);
        if is_name(word) {
            let before = bytes.get(..start).unwrap_or_default().trim_ascii_end();
            let changed = before.ends_with(b"++") || before.ends_with(b"--") || changes(tail);
            if !names.iter().any(|(name, known)| name == word && *known == changed) {
                names.push((word.to_vec(), changed));
            }
        }
        start += length.max(1);
    }
    names
}

/// Whether what follows a name assigns to it.
fn changes(tail: &[u8]) -> bool {
    let mut tail = tail.trim_ascii_start();
    if tail.first() == Some(&b'[') {
        // An element: take it for a change of the whole wherever something is assigned at all.
        return tail.contains(&b'=') || tail.ends_with(b"++") || tail.ends_with(b"--");
    }
    if tail.starts_with(b"++") || tail.starts_with(b"--") {
        return true;
    }
    for operator in [&b"<<"[..], b">>", b"+", b"-", b"*", b"/", b"%", b"&", b"|", b"^"] {
        if let Some(rest) = tail.strip_prefix(operator) {
            return rest.first() == Some(&b'=');
        }
    }
    tail = tail.strip_prefix(b"=").unwrap_or_default();
    !tail.is_empty() && tail.first() != Some(&b'=')
}

/// Reads the plain operators; gives up on everything else.
struct Reader<'w, 'j, 't> {
    rest: &'t [u8],
    walker: &'w Walker<'j>,
    depth: usize,
}

impl Reader<'_, '_, '_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn takes(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn sum(&mut self) -> Option<i64> {
        let mut value = self.product()?;
        loop {
            self.blanks();
            match self.rest {
                [b'+', rest @ ..] => {
                    self.rest = rest;
                    value = value.checked_add(self.product()?)?;
                }
                [b'-', rest @ ..] => {
                    self.rest = rest;
                    value = value.checked_sub(self.product()?)?;
                }
                _ => return Some(value),
            }
        }
    }

    fn product(&mut self) -> Option<i64> {
        let mut value = self.operand()?;
        loop {
            self.blanks();
            match self.rest {
                [b'*', b'*', ..] => return None,
                [b'*', rest @ ..] => {
                    self.rest = rest;
                    value = value.checked_mul(self.operand()?)?;
                }
                [b'/', rest @ ..] => {
                    self.rest = rest;
                    value = value.checked_div(self.operand()?)?;
                }
                [b'%', rest @ ..] => {
                    self.rest = rest;
                    value = value.checked_rem(self.operand()?)?;
                }
                _ => return Some(value),
            }
        }
    }

    fn operand(&mut self) -> Option<i64> {
        self.depth = self.depth.checked_sub(1)?;
        self.blanks();
        match self.rest {
            [b'(', rest @ ..] => {
                self.rest = rest;
                let value = self.sum()?;
                self.takes(b')')?;
                Some(value)
            }
            [b'-', rest @ ..] => {
                self.rest = rest;
                self.operand()?.checked_neg()
            }
            [b'+', rest @ ..] => {
                self.rest = rest;
                self.operand()
            }
            rest => {
                let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let length = rest.iter().take_while(|byte| letter(byte)).count();
                let (word, rest) = rest.split_at(length);
                self.rest = rest;
                if is_name(word) { self.walker.number(word) } else { plain(word) }
            }
        }
    }
}

/// How many values of values are followed.
const VALUES_DEPTH_MAX: usize = 8;

/// How many operands are read.
const OPERATORS_DEPTH_MAX: usize = 64;
