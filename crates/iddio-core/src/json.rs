//! RFC 8785 canonical JSON, as far as records need it.
//!
//! INVARIANT: for every value there is exactly one text, and the reader accepts that text and no
//! other: members sorted by UTF-16 code units, no whitespace, the shortest escapes, integers from 0
//! to 2^53 - 1. What the writer writes, the reader reads; what the reader refuses was written by
//! somebody else.
//!
//! What this module does not do: floats, `null`, negative numbers. No record holds one.

use std::fmt;

/// A JSON value of the kinds records hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// Several values, in order.
    Array(Vec<Value>),
    /// A yes or no.
    Bool(bool),
    /// An integer up to [`INT_MAX`].
    Int(u64),
    /// Members, in any order: the writer sorts them.
    Object(Vec<(String, Value)>),
    /// Text.
    Text(String),
}

/// A top-level member of a record: its name and its value, as they stand in the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Member<'a> {
    /// The name between its quotes. Record names need no escapes, but others may have them.
    pub name: &'a [u8],
    /// The value.
    pub value: Raw<'a>,
    /// Where the member begins: at its name's opening quote.
    pub start: usize,
    /// Where the member ends: after its value.
    pub end: usize,
}

/// A value as it stands in the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Raw<'a> {
    /// An integer.
    Int(u64),
    /// An array, an object, `true` or `false`, with its brackets.
    Other(&'a [u8]),
    /// The text between the quotes, with its escapes.
    Text(&'a [u8]),
}

/// The text is not the canonical form of a value that records hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JsonError {
    /// The byte at which it was noticed.
    pub at: usize,
    /// What was noticed.
    pub why: Fault,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Nested more deeply than [`DEPTH_MAX`].
    Depth,
    /// An escape that is not the canonical one.
    Escape,
    /// A number that is no canonical integer up to [`INT_MAX`].
    Number,
    /// A member out of order, or twice.
    Order,
    /// Longer than [`LINE_BYTES_MAX`].
    Long,
    /// Something else than JSON without whitespace.
    Syntax,
    /// Bytes that are not UTF-8.
    Utf8,
}

// === impl Value ===

impl Value {
    /// Returns the value of the text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns the member `name`, if this is an object that has it.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(members) => members.iter().find(|(own, _)| own == name).map(|(_, v)| v),
            Self::Array(_) | Self::Bool(_) | Self::Int(_) | Self::Text(_) => None,
        }
    }

    /// Returns the text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Array(_) | Self::Bool(_) | Self::Int(_) | Self::Object(_) => None,
        }
    }

    /// Returns the integer, if this is one.
    pub fn as_int(&self) -> Option<u64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Array(_) | Self::Bool(_) | Self::Object(_) | Self::Text(_) => None,
        }
    }

    /// Appends the canonical text to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Array(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place != 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
            Self::Int(n) => write_int(out, *n),
            Self::Object(members) => write_object(out, members),
            Self::Text(text) => write_text(out, text),
        }
    }

    /// Returns the canonical text.
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Reads the canonical text of one value.
    ///
    /// # Errors
    ///
    /// When `text` is not exactly the canonical form of a value.
    pub fn read(text: &[u8]) -> Result<Self, JsonError> {
        let mut scanner = Scanner::over(text)?;
        let value = scanner.value(0)?;
        scanner.end()?;
        Ok(value)
    }
}

fn write_object(out: &mut Vec<u8>, members: &[(String, Value)]) {
    let mut sorted: Vec<&(String, Value)> = members.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| order(one, other));
    out.push(b'{');
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        if place != 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        value.write(out);
    }
    out.push(b'}');
}

/// Compares two names as RFC 8785 sorts them: by UTF-16 code units.
pub fn order(one: &str, other: &str) -> std::cmp::Ordering {
    let mut pairs = one.bytes().zip(other.bytes());
    match pairs.find(|(one, other)| one != other) {
        // Bytes of UTF-8 sort as code points do, and these as UTF-16 does, but for surrogates, which
        // stand for what is above U+FFFF and sort before U+E000 and what follows it.
        Some((one, other)) if one < LEAD_OF_E000 && other < LEAD_OF_E000 => one.cmp(&other),
        Some(_) => one.encode_utf16().cmp(other.encode_utf16()),
        None => one.len().cmp(&other.len()),
    }
}

/// Appends `text` as a JSON string with the shortest escapes (ECMAScript's `JSON.stringify`).
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        write_escape(out, *byte);
        rest = after;
    }
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex_byte(byte));
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends an integer. One above [`INT_MAX`] is written as that bound: no record may hold more, and
/// a count that large never occurs.
pub fn write_int(out: &mut Vec<u8>, n: u64) {
    let mut digits = [b'0'; 20];
    let mut rest = n.min(INT_MAX);
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Appends bytes as lower-case hexadecimal digits.
pub fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(32) {
        let mut digits = [[0; 2]; 32];
        digits.iter_mut().zip(chunk).for_each(|(digits, byte)| *digits = hex_byte(*byte));
        out.extend_from_slice(digits.get(..chunk.len()).unwrap_or_default().as_flattened());
    }
}

/// Returns the two lower-case hexadecimal digits of a byte.
pub fn hex_byte(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// Calls `each` with every top-level member of the canonical object `text`, in order.
///
/// # Errors
///
/// When `text` is not exactly the canonical form of an object, and whatever `each` answers.
pub fn members<'a, E: From<JsonError>>(
    text: &'a [u8],
    mut each: impl FnMut(Member<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut scanner = Scanner::over(text)?;
    scanner.take(b'{')?;
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return Ok(scanner.end()?);
    }
    let mut last: Option<&[u8]> = None;
    loop {
        let start = scanner.at;
        let name = scanner.text()?;
        scanner.in_order(last, name)?;
        scanner.take(b':')?;
        let value = scanner.raw(1)?;
        each(Member { name, value, start, end: scanner.at })?;
        last = Some(name);
        match scanner.next() {
            Some(b',') => {}
            Some(b'}') => return Ok(scanner.end()?),
            _ => return Err(scanner.fault(Fault::Syntax).into()),
        }
    }
}

/// Returns the text behind the escapes of [`Raw::Text`].
pub fn unescape(raw: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b'b' => 0x08,
            b't' => 0x09,
            b'n' => 0x0a,
            b'f' => 0x0c,
            b'r' => 0x0d,
            b'u' => {
                let digits: Vec<u8> = bytes.by_ref().take(4).collect();
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(out).ok()
}

/// Walks a text once. Nothing is read twice, and nesting is bounded before it is entered.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether all that has been read so far stands for itself, byte for byte: ASCII, no escapes.
    plain: Plain,
    /// Whether that is so of all of the text.
    clean: Clean,
}

/// Whether a text is nothing but printable ASCII, without escapes: as most records are.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Clean {
    No,
    Yes,
}

/// Whether a text stands for itself.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Plain {
    No,
    Yes,
}

impl<'a> Scanner<'a> {
    fn over(text: &'a [u8]) -> Result<Self, JsonError> {
        let fault = |at, why| Err(JsonError { at, why });
        if LINE_BYTES_MAX < text.len() {
            return fault(LINE_BYTES_MAX, Fault::Long);
        }
        if is_clean(text) {
            return Ok(Self { text, at: 0, plain: Plain::Yes, clean: Clean::Yes });
        }
        match std::str::from_utf8(text) {
            Ok(_) => {
                let plain = if text.is_ascii() { Plain::Yes } else { Plain::No };
                Ok(Self { text, at: 0, plain, clean: Clean::No })
            }
            Err(error) => fault(error.valid_up_to(), Fault::Utf8),
        }
    }

    fn fault(&self, why: Fault) -> JsonError {
        JsonError { at: self.at, why }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> Result<(), JsonError> {
        match self.next() == Some(wanted) {
            true => Ok(()),
            false => Err(self.fault(Fault::Syntax)),
        }
    }

    fn end(&self) -> Result<(), JsonError> {
        match self.at == self.text.len() {
            true => Ok(()),
            false => Err(self.fault(Fault::Syntax)),
        }
    }

    /// Takes a string and returns what stands between its quotes.
    fn text(&mut self) -> Result<&'a [u8], JsonError> {
        self.take(b'"')?;
        let start = self.at;
        if self.clean == Clean::Yes {
            let rest = self.text.get(start..).unwrap_or_default();
            let length =
                to_quote(rest).ok_or(JsonError { at: self.text.len(), why: Fault::Syntax });
            let length = length?;
            self.at = start + length + 1;
            return Ok(rest.get(..length).unwrap_or_default());
        }
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = plain_prefix(rest);
            self.at += plain;
            match self.next() {
                Some(b'"') => {
                    let end = self.at - 1;
                    return Ok(self.text.get(start..end).unwrap_or_default());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.fault(Fault::Syntax)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.plain = Plain::No;
        let canonical = match self.next() {
            Some(b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r') => true,
            Some(b'u') => {
                let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
                self.at += digits.len();
                canonical_unicode_escape(digits)
            }
            _ => false,
        };
        if canonical { Ok(()) } else { Err(self.fault(Fault::Escape)) }
    }

    fn int(&mut self) -> Result<u64, JsonError> {
        let start = self.at;
        let mut n: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            if INT_DIGITS_MAX < self.at - start {
                return Err(self.fault(Fault::Number));
            }
            n = n * 10 + u64::from(digit - b'0');
        }
        let leading_zero = 1 < self.at - start && self.text.get(start) == Some(&b'0');
        match self.at == start || leading_zero || INT_MAX < n {
            true => Err(self.fault(Fault::Number)),
            false => Ok(n),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        match self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            true => {
                self.at += word.len();
                Ok(())
            }
            false => Err(self.fault(Fault::Syntax)),
        }
    }

    fn in_order(&self, last: Option<&[u8]>, name: &[u8]) -> Result<(), JsonError> {
        let sorted = match last {
            None => true,
            Some(last) if self.plain == Plain::Yes => match (last.first(), name.first()) {
                (Some(last), Some(name)) if last != name => last < name,
                _ => last < name,
            },
            Some(last) => match (unescape(last), unescape(name)) {
                (Some(last), Some(name)) => order(&last, &name).is_lt(),
                _ => false,
            },
        };
        if sorted { Ok(()) } else { Err(self.fault(Fault::Order)) }
    }

    /// Takes a value without building it.
    fn raw(&mut self, depth: usize) -> Result<Raw<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.text().map(Raw::Text),
            Some(b'0'..=b'9') => self.int().map(Raw::Int),
            _ => {
                let start = self.at;
                self.skip(depth)?;
                Ok(Raw::Other(self.text.get(start..self.at).unwrap_or_default()))
            }
        }
    }

    /// Takes a value and checks all of it, and builds nothing.
    fn skip(&mut self, depth: usize) -> Result<(), JsonError> {
        if DEPTH_MAX < depth {
            return Err(self.fault(Fault::Depth));
        }
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(b'0'..=b'9') => self.int().map(drop),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'[') => self.skip_all(b']', |scanner| scanner.skip(depth + 1)),
            Some(b'{') => {
                let mut last = None;
                self.skip_all(b'}', |scanner| {
                    let name = scanner.text()?;
                    scanner.in_order(last.replace(name), name)?;
                    scanner.take(b':')?;
                    scanner.skip(depth + 1)
                })
            }
            _ => Err(self.fault(Fault::Syntax)),
        }
    }

    /// Takes a bracket, items with commas between them, and the bracket `close`.
    fn skip_all(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.at += 1;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.next() {
                Some(b',') => {}
                Some(end) if end == close => return Ok(()),
                _ => return Err(self.fault(Fault::Syntax)),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if DEPTH_MAX < depth {
            return Err(self.fault(Fault::Depth));
        }
        match self.peek() {
            Some(b'"') => self.owned_text().map(Value::Text),
            Some(b'0'..=b'9') => self.int().map(Value::Int),
            Some(b't') => self.word(b"true").map(|()| Value::Bool(true)),
            Some(b'f') => self.word(b"false").map(|()| Value::Bool(false)),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            _ => Err(self.fault(Fault::Syntax)),
        }
    }

    fn owned_text(&mut self) -> Result<String, JsonError> {
        let raw = self.text()?;
        unescape(raw).ok_or_else(|| self.fault(Fault::Escape))
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.take(b'[')?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(Value::Array(items)),
                _ => return Err(self.fault(Fault::Syntax)),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.take(b'{')?;
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        let mut last: Option<&[u8]> = None;
        loop {
            let name = self.text()?;
            self.in_order(last, name)?;
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            let owned = unescape(name).ok_or_else(|| self.fault(Fault::Escape))?;
            members.push((owned, value));
            last = Some(name);
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(Value::Object(members)),
                _ => return Err(self.fault(Fault::Syntax)),
            }
        }
    }
}

/// Whether `text` is nothing but printable ASCII without backslashes, so that its strings end at the
/// next quote. One pass without branches.
fn is_clean(text: &[u8]) -> bool {
    let odd = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'\\') | (byte & 0x80);
    text.iter().fold(0, |seen, byte| seen | odd(*byte)) == 0
}

/// Returns where the first quote of `rest` is.
fn to_quote(rest: &[u8]) -> Option<usize> {
    let (mut left, mut at) = (rest, 0);
    while let Some((word, after)) = left.split_first_chunk() {
        let quotes = zero_bytes(u64::from_le_bytes(*word) ^ (ONES * 0x22));
        if quotes != 0 {
            return Some(at + (quotes.trailing_zeros() / 8) as usize);
        }
        (left, at) = (after, at + 8);
    }
    left.iter().position(|byte| *byte == b'"').map(|place| at + place)
}

/// Returns how many bytes at the start of `rest` stand for themselves, eight at a time.
fn plain_prefix(rest: &[u8]) -> usize {
    let (words, tail) = rest.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return place * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let special = tail.iter().position(|byte| needs_escape(*byte));
    words.len() * 8 + special.unwrap_or(tail.len())
}

/// Returns a word whose lowest set bit lies in the first byte of `word` that needs an escape.
fn special_bytes(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    control | zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5c))
}

/// Returns a word whose lowest set bit lies in the first zero byte of `word`.
///
/// The usual trick: `(x - 1) & !x & 0x80` marks the zero bytes of `x`. A borrow can mark bytes above
/// the first true one, never below it, so the lowest mark is exact.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

fn canonical_unicode_escape(digits: &[u8]) -> bool {
    let [b'0', b'0', high @ (b'0' | b'1'), low @ (b'0'..=b'9' | b'a'..=b'f')] = digits else {
        return false;
    };
    // Those that have a short form must use it.
    let short = *high == b'0' && matches!(low, b'8' | b'9' | b'a' | b'c' | b'd');
    !short
}

// === impl JsonError ===

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Fault::Depth => "nested too deeply",
            Fault::Escape => "an escape that is not canonical",
            Fault::Number => "a number that is no canonical integer",
            Fault::Order => "a member out of order or repeated",
            Fault::Long => "too long",
            Fault::Syntax => "not canonical JSON",
            Fault::Utf8 => "not UTF-8",
        };
        write!(f, "{why} at byte {}", self.at)
    }
}

impl std::error::Error for JsonError {}

/// The lowest bit of every byte of a word, and the highest.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The first byte of U+E000 in UTF-8.
const LEAD_OF_E000: u8 = 0xee;

/// The greatest integer: what every JSON library reads exactly (RFC 8785, section 3.2.2.3).
pub const INT_MAX: u64 = (1 << 53) - 1;

/// The digits of [`INT_MAX`]: more can overflow nothing, since they are refused first.
const INT_DIGITS_MAX: usize = 16;

/// How deep values may nest: records use four levels, and a reader must not recurse at will.
pub const DEPTH_MAX: usize = 16;

/// The longest record in bytes. Longer than any command line the kernel takes as one string eight
/// times over; short enough to read back from the end of a file in one piece.
pub const LINE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_escape_as_ecmascript_does() {
        let cases = [
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#),
            ("\u{0}\u{1f}\u{7f}", "\"\\u0000\\u001f\u{7f}\""),
            ("€/<é😀", "\"€/<é😀\""),
        ];
        for (text, written) in cases {
            let mut out = Vec::new();
            write_text(&mut out, text);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), written);
            assert_eq!(Value::read(&out), Ok(Value::text(text)));
        }
    }

    #[test]
    fn members_sort_by_utf_16_code_units() {
        // The example of RFC 8785, section 3.2.3: U+1F600 sorts before U+FB33.
        let names = ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}"];
        let object = Value::Object(names.iter().map(|n| (n.to_string(), Value::Int(1))).collect());
        let text = String::from_utf8(object.to_canonical()).unwrap();
        let wanted = "{\"\\r\":1,\"1\":1,\"\u{80}\":1,\"\u{f6}\":1,\"\u{20ac}\":1,\"\u{1f600}\":1,\"\u{fb33}\":1}";
        assert_eq!(text, wanted);
        assert!(Value::read(text.as_bytes()).is_ok());
    }

    #[test]
    fn the_fast_order_agrees_with_the_slow_one() {
        let chars =
            ["", "a", "b", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}"];
        let chars = chars.iter().chain(&["\u{fb33}", "\u{ffff}", "\u{10000}", "\u{10ffff}"]);
        let texts = || {
            let pairs = chars.clone().flat_map(|one| chars.clone().map(move |two| [*one, two]));
            pairs.map(|pair| pair.concat())
        };
        for one in texts() {
            for other in texts() {
                let slow = one.encode_utf16().cmp(other.encode_utf16());
                assert_eq!(order(&one, &other), slow, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn only_the_canonical_text_is_read() {
        use Fault::{Depth, Escape, Number, Order, Syntax, Utf8};
        let deep = "[".repeat(DEPTH_MAX + 2);
        let cases: [(&[u8], Fault); 24] = [
            (b"", Syntax),
            (b" 1", Syntax),
            (b"1 ", Syntax),
            (b"null", Syntax),
            (b"-1", Syntax),
            (b"01", Number),
            (b"1.0", Syntax),
            (b"1e3", Syntax),
            (b"9007199254740992", Number),
            (b"99999999999999999999", Number),
            (br#"{"b":1,"a":1}"#, Order),
            (br#"{"a":1,"a":1}"#, Order),
            (br#"{"a": 1}"#, Syntax),
            (br#"{"a":1,}"#, Syntax),
            (br#"["a",]"#, Syntax),
            (br#""\/""#, Escape),
            (br#""\u0041""#, Escape),
            (br#""\u000a""#, Escape),
            (br#""\u001F""#, Escape),
            (b"\"\n\"", Syntax),
            (b"\"open", Syntax),
            (b"\"\xff\"", Utf8),
            (b"tru", Syntax),
            (deep.as_bytes(), Depth),
        ];
        for (text, why) in cases {
            assert_eq!(Value::read(text).map_err(|e| e.why), Err(why), "{text:?}");
        }
        assert_eq!(Value::read(b"9007199254740991"), Ok(Value::Int(INT_MAX)));
    }

    #[test]
    fn skipping_a_value_checks_what_building_it_checks() {
        let texts: [&[u8]; 9] = [
            br#"{"a":[1,"x",{"b":true}],"c":{}}"#,
            br#"{"a":{"c":1,"b":2}}"#,
            br#"{"a":{"b":1,"b":2}}"#,
            br#"{"a":[1,]}"#,
            br#"{"a":[01]}"#,
            br#"{"a":["\u0041"]}"#,
            br#"{"a":[null]}"#,
            br#"{"\n":1,"\r":1,"a":1}"#,
            br#"{"a":1,"\n":1}"#,
        ];
        for text in texts {
            let skipped = members::<JsonError>(text, |_| Ok(()));
            assert_eq!(skipped.is_ok(), Value::read(text).is_ok(), "{text:?}");
        }
        let nested = |depth: usize| {
            [b"{\"a\":".as_slice(), &b"[".repeat(depth), &b"]".repeat(depth), b"}"].concat()
        };
        for depth in 0..DEPTH_MAX + 3 {
            let text = nested(depth);
            let skipped = members::<JsonError>(&text, |_| Ok(()));
            assert_eq!(skipped.is_ok(), Value::read(&text).is_ok(), "{depth}");
        }
    }

    #[test]
    fn the_fast_string_scan_agrees_with_the_slow_one() {
        for byte in 0..=255u8 {
            for place in 0..17 {
                let mut text = [b'x'; 17];
                text[place] = byte;
                let slow = text.iter().position(|b| needs_escape(*b)).unwrap_or(text.len());
                assert_eq!(plain_prefix(&text), slow, "{byte} at {place}");
                let quote = text.iter().position(|b| *b == b'"');
                assert_eq!(to_quote(&text), quote, "{byte} at {place}");
                let odd = byte < 0x20 || byte == b'\\' || 0x7f < byte;
                assert_eq!(is_clean(&text), !odd, "{byte} at {place}");
            }
        }
    }
}
