//! Makes attacker-controlled bytes safe to show, without losing one of them.
//!
//! Whoever is asked must see what will run. A terminal obeys control sequences, reorders
//! right-to-left text and draws nothing at all for some characters, so what is drawn may differ
//! from what is executed. Everything that is not plainly visible is therefore shown as an escape.
//!
//! | in the bytes | shown as |
//! |---|---|
//! | backslash | `\\` |
//! | newline, carriage return, tab | `\n`, `\r`, `\t` ([`text`] keeps newlines) |
//! | other control bytes, DEL, bytes that are not UTF-8 | `\x1b`, two lower-case digits |
//! | any other character that is not plainly visible | `\u{202e}` |
//! | all else | itself |
//!
//! INVARIANT: [`unescape`] gives back exactly the bytes (I10). Two different inputs are never shown
//! alike, except that look-alike letters are letters: see [`confusables`].
//!
//! Sanitise once, where it is shown. Doing it twice is safe and ugly: the second pass finds nothing
//! to escape but the backslashes of the first.
//!
//! "Plainly visible" is decided by default-deny on the standard library's tables: control, format,
//! private, surrogate and unassigned characters, separators other than the space, and combining
//! marks are escaped. So are letters of right-to-left scripts, which move their neighbours without
//! any control character, and the few visible-by-category characters that draw nothing.
//!
//! What this module does not do: shorten silently ([`Clipped`] says what is missing), take secrets
//! out ([`crate::redact`]), or escape for HTML or Markdown, whose writers must escape again.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::text::RawText;

/// Shown text that may be a beginning only.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Clipped {
    /// What is shown: a whole number of characters and escapes.
    pub text: String,
    /// How many bytes of the input are not shown. What is not shown in full cannot be approved.
    pub omitted: usize,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Lines, at least one.
    pub lines: usize,
    /// Columns of one line, in characters.
    pub columns: usize,
}

/// A word that may be read as another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Confusable {
    /// The word, as shown by [`line()`].
    pub word: String,
    /// What is odd about it.
    pub kind: ConfusableKind,
}

/// What is odd about a word.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ConfusableKind {
    /// Letters that are compatibility forms of plain ones: fullwidth, mathematical.
    Compatibility,
    /// Every letter is of a foreign script and has a Latin twin: `сору`.
    LatinTwin,
    /// Letters of two scripts that share shapes.
    MixedScripts,
    /// Punctuation that looks like a slash, a dash, a quote or a separator of ASCII.
    Punctuation,
}

/// Shows `bytes` on one line.
pub fn line(bytes: &[u8]) -> String {
    if is_plain(bytes)
        && let Ok(plain) = std::str::from_utf8(bytes)
    {
        return plain.to_owned();
    }
    shown(bytes, Newline::Escaped)
}

/// Shows `bytes` on as many lines as they have. Only the newline is kept; a tab is shown as `\t`,
/// because to a here-document and to make it is not a space.
pub fn text(bytes: &[u8]) -> String {
    shown(bytes, Newline::Kept)
}

/// Shows the words of a command on one line, so that it is visible where each begins and ends.
///
/// A word that is empty or holds a space or a quote is put in single quotes, with the quotes
/// inside as `\'`. This is for reading: it is not quoted for a shell.
pub fn words(words: &[RawText]) -> String {
    let mut out = String::new();
    for (place, word) in words.iter().enumerate() {
        if 0 < place {
            out.push(' ');
        }
        let bytes = word.as_bytes();
        let open = bytes.is_empty() || bytes.iter().any(|byte| b" '\"".contains(byte));
        if open {
            out.push('\'');
            out.push_str(&line(bytes).replace('\'', "\\'"));
            out.push('\'');
        } else {
            out.push_str(&line(bytes));
        }
    }
    out
}

/// Whether [`line()`] shows `bytes` as they are, each byte one column: printable ASCII without the
/// backslash.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\')
}

/// Shows as much of `bytes` on one line as fits in `columns`, and says how much did not.
pub fn clip_line(bytes: &[u8], columns: usize) -> Clipped {
    clip(bytes, Limits { lines: 1, columns }, Newline::Escaped)
}

/// Shows as much of `bytes` as fits in `limits`, and says how much did not. A line that is too
/// long ends the showing: nothing is left out of the middle.
pub fn clip_text(bytes: &[u8], limits: Limits) -> Clipped {
    clip(bytes, limits, Newline::Kept)
}

/// Returns the bytes that are shown as `shown`, or `None` if nothing is shown so.
///
/// The inverse of [`line()`] and [`text`]. It also accepts escapes they would not have chosen.
pub fn unescape(shown: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(shown.len());
    let mut rest = shown.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next()? {
            '\\' => bytes.push(b'\\'),
            '\'' => bytes.push(b'\''),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'x' => {
                let (high, low) = (rest.next()?.to_digit(16)?, rest.next()?.to_digit(16)?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            'u' => {
                let (digits, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                let code = u32::from_str_radix(digits, 16).ok()?;
                let char = char::from_u32(code)?;
                bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after.chars();
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// Returns the words of `bytes` that may be read as other words, in order.
///
/// This is advice, not protection: shapes are shared in more ways than a table can hold. What is
/// reported is worth a warning beside the text; what is not reported is not thereby harmless.
pub fn confusables(bytes: &[u8]) -> Vec<Confusable> {
    if bytes.is_ascii() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|char: char| char.is_whitespace() || char.is_control());
    let odd = words.filter(|word| !word.is_ascii()).filter_map(|word| {
        let kind = oddity(word)?;
        Some(Confusable { word: line(word.as_bytes()), kind })
    });
    odd.collect()
}

// === impl Clipped ===

/// Writes the text, and what is missing behind a lone backslash, which no shown text can contain.
impl fmt::Display for Clipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.omitted {
            0 => f.write_str(&self.text),
            omitted => write!(f, "{}\\…{{{omitted} bytes not shown}}", self.text),
        }
    }
}

// === impl ConfusableKind ===

impl fmt::Display for ConfusableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compatibility => "has letters that only look plain",
            Self::LatinTwin => "is written in another script and looks Latin",
            Self::MixedScripts => "mixes letters of two scripts",
            Self::Punctuation => "has punctuation that only looks plain",
        })
    }
}

/// What becomes of a newline.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Newline {
    Escaped,
    Kept,
}

/// A script whose letters have Latin twins.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Script {
    Armenian,
    Cherokee,
    Cyrillic,
    Greek,
    Latin,
}

fn shown(bytes: &[u8], newline: Newline) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 8);
    let mut show = |unit: Unit| unit.show(newline, &mut out);
    units(bytes, &mut |unit| {
        show(unit);
        Step::On
    });
    out
}

fn clip(bytes: &[u8], limits: Limits, newline: Newline) -> Clipped {
    let mut text = String::new();
    let (mut line, mut column, mut taken) = (1, 0, 0);
    units(bytes, &mut |unit| {
        let before = text.len();
        unit.show(newline, &mut text);
        let added = text.get(before..).unwrap_or_default();
        if added == "\n" {
            (line, column) = (line + 1, 0);
        } else {
            column += added.chars().count();
        }
        if limits.columns < column || limits.lines < line {
            text.truncate(before);
            return Step::Stop;
        }
        taken += unit.len();
        Step::On
    });
    Clipped { text, omitted: bytes.len() - taken }
}

/// What is shown or escaped as a whole: a character, or a byte that is part of none.
#[derive(Clone, Copy)]
enum Unit {
    Byte(u8),
    Char(char),
}

/// Whether to look at more.
enum Step {
    On,
    Stop,
}

/// Calls `visit` with each unit of `bytes`, in order.
fn units(bytes: &[u8], visit: &mut dyn FnMut(Unit) -> Step) {
    for chunk in bytes.utf8_chunks() {
        let chars = chunk.valid().chars().map(Unit::Char);
        let broken = chunk.invalid().iter().copied().map(Unit::Byte);
        for unit in chars.chain(broken) {
            if let Step::Stop = visit(unit) {
                return;
            }
        }
    }
}

// === impl Unit ===

impl Unit {
    fn len(self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::Char(char) => char.len_utf8(),
        }
    }

    fn show(self, newline: Newline, out: &mut String) {
        match self {
            Self::Byte(byte) => push_byte(byte, out),
            Self::Char('\n') if newline == Newline::Kept => out.push('\n'),
            Self::Char('\n') => out.push_str("\\n"),
            Self::Char('\r') => out.push_str("\\r"),
            Self::Char('\t') => out.push_str("\\t"),
            Self::Char('\\') => out.push_str("\\\\"),
            Self::Char(char) if is_visible(char) => out.push(char),
            // C1 is escaped as a character, so that `\x9b` always means one byte that is no text.
            Self::Char(char) => match u8::try_from(char).ok().filter(u8::is_ascii) {
                Some(byte) => push_byte(byte, out),
                None => out.extend(char.escape_unicode()),
            },
        }
    }
}

fn push_byte(byte: u8, out: &mut String) {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    out.push_str("\\x");
    out.push(digit(byte >> 4));
    out.push(digit(byte & 15));
}

/// Whether `char` draws itself where it stands, and nothing else.
fn is_visible(char: char) -> bool {
    match char {
        ' '..='~' => true,
        _ if char.is_ascii() => false,
        // The standard library escapes what is not printable, and combining marks.
        _ => char.escape_debug().len() == 1 && !is_in(char, &BLANK) && !is_in(char, &LEFTWARD),
    }
}

fn is_in(char: char, ranges: &[(u32, u32)]) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(char)))
}

fn oddity(word: &str) -> Option<ConfusableKind> {
    if word.chars().any(|char| is_in(char, &LOOKALIKE_PUNCTUATION)) {
        return Some(ConfusableKind::Punctuation);
    }
    if word.chars().any(|char| is_in(char, &COMPATIBILITY_LETTERS)) {
        return Some(ConfusableKind::Compatibility);
    }
    let scripts = || word.chars().filter_map(script);
    let first = scripts().next()?;
    if scripts().any(|script| script != first) {
        return Some(ConfusableKind::MixedScripts);
    }
    let letters = || word.chars().filter(|char| char.is_alphabetic());
    let twins = first != Script::Latin && letters().all(|char| LATIN_TWINS.contains(char));
    twins.then_some(ConfusableKind::LatinTwin)
}

fn script(char: char) -> Option<Script> {
    let code = u32::from(char);
    Some(match code {
        0x41..=0x5A | 0x61..=0x7A | 0xC0..=0xD6 | 0xD8..=0xF6 | 0xF8..=0x2AF => Script::Latin,
        0x1E00..=0x1EFF | 0x2C60..=0x2C7F | 0xA722..=0xA787 => Script::Latin,
        0x370..=0x37D | 0x37F..=0x3FF | 0x1F00..=0x1FFF => Script::Greek,
        0x400..=0x52F | 0x1C80..=0x1C8F | 0x2DE0..=0x2DFF | 0xA640..=0xA69F => Script::Cyrillic,
        0x531..=0x58A => Script::Armenian,
        0x13A0..=0x13FF | 0xAB70..=0xABBF => Script::Cherokee,
        _ => return None,
    })
}

/// Characters whose category is a letter or a symbol, and which draw nothing, or stand for
/// something that is not there.
const BLANK: [(u32, u32); 8] = [
    (0x115F, 0x1160),   // Hangul fillers
    (0x17B4, 0x17B5),   // Khmer inherent vowels
    (0x2800, 0x2800),   // blank Braille pattern
    (0x3164, 0x3164),   // Hangul filler
    (0xFFA0, 0xFFA0),   // halfwidth Hangul filler
    (0xFFFC, 0xFFFD),   // object replacement, replacement character
    (0x16FE4, 0x16FE4), // Khitan filler
    (0x1D159, 0x1D159), // null notehead
];

/// Blocks of scripts that are written from right to left. Their letters reorder what stands beside
/// them, so that `a א 1 b` is drawn in another order than it runs.
const LEFTWARD: [(u32, u32); 6] = [
    (0x590, 0x8FF),
    (0xFB1D, 0xFDFF),
    (0xFE70, 0xFEFF),
    (0x10800, 0x10FFF),
    (0x1E800, 0x1EFFF),
    (0x200F, 0x200F),
];

/// Letters and digits that are other spellings of ASCII.
const COMPATIBILITY_LETTERS: [(u32, u32); 7] = [
    (0x2100, 0x214F),   // letterlike
    (0x2160, 0x217F),   // Roman numerals
    (0x249C, 0x24E9),   // parenthesised, circled
    (0xFF10, 0xFF19),   // fullwidth digits
    (0xFF21, 0xFF5A),   // fullwidth letters
    (0x1D400, 0x1D7FF), // mathematical
    (0x1F130, 0x1F189), // squared
];

/// Punctuation that passes for ASCII.
const LOOKALIKE_PUNCTUATION: [(u32, u32); 16] = [
    (0x37E, 0x37E),   // Greek question mark
    (0x589, 0x589),   // Armenian full stop
    (0x1806, 0x1806), // Mongolian hyphen
    (0x2010, 0x2015), // dashes
    (0x2018, 0x201F), // quotes
    (0x2024, 0x2024), // one dot leader
    (0x2032, 0x2037), // primes
    (0x2039, 0x203A), // angle quotes
    (0x2044, 0x2044), // fraction slash
    (0x2212, 0x2212), // minus
    (0x2215, 0x2217), // division slash, set minus, asterisk
    (0x2223, 0x2223), // divides
    (0x2236, 0x2236), // ratio
    (0x29F8, 0x29F9), // big slashes
    (0xA789, 0xA789), // modifier colon
    (0xFF01, 0xFF0F), // fullwidth
];

/// Letters of other scripts that are drawn like Latin ones.
const LATIN_TWINS: &str = "АВЕЅІЈКМНОРСТУХаеіјорсухѕһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧονγιυ";
