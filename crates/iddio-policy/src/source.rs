//! The text of a policy file, and where in it something went wrong.
//!
//! A [`Diagnostic`] prints as one line that editors can jump to, then the line of the file with
//! carets below what is meant:
//!
//! ```text
//! policy.yaml:14:12: unknown verdict `alow`
//!    14 |         2: alow
//!       |            ^^^^ expected allow, escalate or deny; did you mean `allow`?
//! ```
//!
//! What is shown of the file holds no control character, however the file was made.

use std::{fmt, ops::Range};

use serde::Serialize;

/// The text of a policy file.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    name: &'a str,
    pub(crate) text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// How many characters precede each block of [`BLOCK_BYTES`]. Every rule asks where it stands,
    /// so asking must not cost a walk through the file, nor through a very long line.
    blocks: Vec<usize>,
}

/// A place in a file. Both numbers count from 1; a column is a character.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

/// One thing that is wrong with a file, and where.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub file: String,
    /// Where.
    #[serde(flatten)]
    pub position: Position,
    /// What is wrong, in lower case.
    pub message: String,
    /// What was expected, or what to do.
    pub expected: String,
    /// The line of the file, made safe to show.
    pub excerpt: String,
    /// Where in [`Self::excerpt`] the carets begin, counted from 0.
    pub caret: u32,
    /// How many carets.
    pub carets: u32,
}

/// Something wrong, before its place is known by line and column.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) expected: String,
}

// === impl Source ===

impl<'a> Source<'a> {
    /// Takes a text and notes where its lines are.
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect();
        let mut before = 0;
        let count = |block: &[u8]| {
            let start = before;
            before += characters(block);
            start
        };
        let blocks = text.as_bytes().chunks(BLOCK_BYTES).map(count).collect();
        Self { name, text, lines, blocks }
    }

    /// Returns the place of the byte at `offset`.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.characters_before(offset) - self.characters_before(start) + 1;
        Position { line: saturated(line), column: saturated(column) }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / BLOCK_BYTES;
        let rest = self.text.as_bytes().get(block * BLOCK_BYTES..offset).unwrap_or_default();
        let last = || characters(self.text.as_bytes());
        self.blocks.get(block).map_or_else(last, |before| before + characters(rest))
    }

    /// Returns the byte at which the character at `position` begins.
    pub(crate) fn offset(&self, line: u64, column: u64) -> usize {
        let lines = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let columns = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut start = 0;
        for text in self.text.split_inclusive('\n').take(lines) {
            start += text.len();
        }
        let rest = self.text.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(columns).map_or(rest.len(), |(offset, _)| offset)
    }

    /// Returns the word that begins at `offset`, without its quotes' other end.
    pub(crate) fn word(&self, offset: usize) -> &'a str {
        let rest = self.text.get(offset..).unwrap_or_default();
        let part = |character: char| character.is_alphanumeric() || "._-/@".contains(character);
        let end = rest.find(|character| !part(character)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// Makes a diagnostic of a fault.
    pub(crate) fn diagnose(&self, fault: Fault) -> Diagnostic {
        let Fault { span, message, expected } = fault;
        let position = self.position(span.start);
        let line = self.line(span.start);
        let meant = self.text.get(span).unwrap_or_default();
        let meant = meant.lines().next().unwrap_or_default().trim_end().chars().count();
        let column = position.column as usize - 1;
        let (excerpt, caret) = window(line, column);
        let room = excerpt.chars().count().saturating_sub(caret);
        let carets = meant.clamp(1, room.max(1));
        Diagnostic {
            file: printable(self.name),
            position,
            message: printable(&message),
            expected: printable(&expected),
            excerpt,
            caret: saturated(caret),
            carets: saturated(carets),
        }
    }

    /// Returns what precedes `offset`, or the nearest character before it.
    fn before(&self, offset: usize) -> &'a str {
        let end =
            (0..=offset.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end));
        self.text.get(..end.unwrap_or_default()).unwrap_or_default()
    }

    fn line(&self, offset: usize) -> &'a str {
        let start = self.before(offset).rfind('\n').map_or(0, |newline| newline + 1);
        self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default()
    }
}

/// Counts the characters that begin in `bytes`.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// Cuts a long line to a window around `column`. Returns the window and where the column is in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let first = column.saturating_sub(EXCERPT_CHARS / 2);
    let shown: String = line.chars().skip(first).take(EXCERPT_CHARS).collect();
    (printable(shown.trim_end()), column - first)
}

/// Replaces every character that could move the cursor or hide a neighbour, one for one.
pub(crate) fn printable(text: &str) -> String {
    let safe = |character: char| match character {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => '\u{fffd}',
        '\u{feff}' | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    text.chars().map(safe).collect()
}

fn saturated(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

// === impl Diagnostic ===

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position: Position { line, column }, message, .. } = self;
        write!(f, "{file}:{line}:{column}: {message}")?;
        let carets = "^".repeat(self.carets as usize);
        let indent = self.caret as usize;
        write!(f, "\n{line:>5} | {}\n      | {:indent$}{carets}", self.excerpt, "")?;
        if self.expected.is_empty() { Ok(()) } else { write!(f, " {}", self.expected) }
    }
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How much of a long line is shown: about the width of a terminal.
const EXCERPT_CHARS: usize = 100;

/// How far apart the counts of characters lie.
const BLOCK_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_a_walk_through_the_text() {
        let text = format!("a\né{}\n\n{}x\n", "ü".repeat(300), "b".repeat(511));
        let source = Source::new("p", &text);
        let mut expected = Position { line: 1, column: 1 };
        for (offset, character) in text.char_indices() {
            assert_eq!(source.position(offset), expected, "{offset}");
            match character {
                '\n' => expected = Position { line: expected.line + 1, column: 1 },
                _ => expected.column += 1,
            }
        }
        assert_eq!(source.position(text.len()), expected);
        assert_eq!(source.position(text.len() + 9), expected);
    }
}
