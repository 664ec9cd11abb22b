//! Secrets in JSON that comes in pieces, by the place of each value.
//!
//! A body is not held: each string is, until it is whole, and then it is recorded or marked by where it
//! stands. What no reader of JSON would read is left out from there on, so that nobody hides a secret
//! behind a fault. Several documents may follow each other, as a watch sends them.
//!
//! | place | what is kept |
//! |---|---|
//! | under `data`, `stringData`, `binaryData` | nothing but numbers, unless the object is a ConfigMap |
//! | anywhere in a Secret or a TokenRequest | its kind, version, type and metadata |
//! | `kubectl.kubernetes.io/last-applied-configuration` | what is kept of the document in it |
//! | `value` beside `name` (environment variables) | what does not look secret, by name, shape or chance |
//! | `value` beside `path` (JSON patches) | the same, by the last part of the path |
//! | beside any other name | what neither the name nor the shape gives away |

use iddio_core::{json, redact};

use super::{mark, masked, omitted};

/// A stream of JSON documents, on its way.
#[derive(Debug)]
pub(crate) struct Json {
    rules: Rules,
    state: State,
    levels: Vec<Level>,
    /// The token that is being read, as it stands.
    token: Vec<u8>,
    /// How many secrets were taken out.
    pub(crate) secrets: u64,
    /// How many bytes were left out because they are not JSON.
    dead: u64,
    nested: usize,
}

/// What the documents are known to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rules {
    /// Objects whose `data` is there to be read.
    ConfigMap,
    /// Anything.
    Ordinary,
    /// Objects made of secrets.
    Secret,
}

/// What may come next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Colon,
    Comma,
    Dead,
    FirstKey,
    FirstValue,
    Key,
    Scalar,
    Text { key: Side, escaped: Side, long: Side },
    Value,
}

/// Yes or no, inside the reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    No,
    Yes,
}

/// An object or an array that is open.
#[derive(Debug)]
struct Level {
    form: Form,
    /// The name of the member that is being read.
    key: String,
    /// The text before, in an array: `--password`, whose value follows.
    previous: String,
    /// What stands beside `name` or `path`.
    sibling: Option<String>,
    /// Whether it has an `op`, as a step of a JSON patch has.
    patch: Side,
    cover: Cover,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Array,
    Object,
}

/// What is done with the texts of a level that nothing else speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cover {
    /// They are secret.
    All,
    /// They are looked at.
    None,
}

// === impl Json ===

impl Json {
    /// Begins to read documents that are known to be so.
    pub(crate) fn new(rules: Rules) -> Self {
        Self::nested(rules, 0)
    }

    fn nested(rules: Rules, nested: usize) -> Self {
        Self {
            rules,
            state: State::Value,
            levels: Vec::new(),
            token: Vec::new(),
            secrets: 0,
            dead: 0,
            nested,
        }
    }

    /// Takes a piece, and adds to `out` what is decided.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == State::Dead {
                self.dead += rest.len() as u64;
                return;
            }
            let taken = self.step(rest, out);
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Ends the documents.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Scalar {
            self.end_scalar(out);
        }
        let broken = !self.levels.is_empty() || !self.token.is_empty();
        match self.state {
            State::Dead => out.extend(omitted(self.dead, "not JSON").into_bytes()),
            State::Text { .. } => {
                out.extend(omitted(self.token.len() as u64, "a text without an end").into_bytes());
            }
            _ if broken => out.extend(b"[the document ends here]"),
            _ => {}
        }
        self.token.clear();
    }

    /// Takes a stretch of bytes in one state, and returns how many.
    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let Some(byte) = rest.first().copied() else { return 0 };
        match self.state {
            State::Text { key, escaped, long } => self.text(rest, key, escaped, long, out),
            State::Scalar if is_scalar(byte) => {
                let end = rest.iter().position(|byte| !is_scalar(*byte)).unwrap_or(rest.len());
                self.token.extend_from_slice(rest.get(..end).unwrap_or_default());
                if SCALAR_BYTES_MAX < self.token.len() {
                    self.die();
                }
                end
            }
            State::Scalar => {
                self.end_scalar(out);
                0
            }
            _ if byte.is_ascii_whitespace() => {
                out.push(byte);
                1
            }
            state => {
                self.punctuation(state, byte, out);
                1
            }
        }
    }

    /// Takes a byte outside texts and scalars.
    fn punctuation(&mut self, state: State, byte: u8, out: &mut Vec<u8>) {
        let text = |key| State::Text { key, escaped: Side::No, long: Side::No };
        self.state = match (state, byte) {
            (State::Value | State::FirstValue, b'{' | b'[') if self.levels.len() < DEPTH_MAX => {
                self.open(byte);
                if byte == b'{' { State::FirstKey } else { State::FirstValue }
            }
            (State::Value | State::FirstValue, b'"') => return self.state = text(Side::No),
            (State::FirstKey | State::Key, b'"') => return self.state = text(Side::Yes),
            (State::Value | State::FirstValue, byte) if is_scalar(byte) => {
                self.token.push(byte);
                return self.state = State::Scalar;
            }
            (State::Colon, b':') => State::Value,
            (State::Comma, b',') => match self.levels.last().map(|level| level.form) {
                Some(Form::Object) => State::Key,
                Some(Form::Array) => State::Value,
                None => return self.die(),
            },
            (State::FirstKey | State::FirstValue | State::Comma, b'}' | b']') => {
                let form = if byte == b'}' { Form::Object } else { Form::Array };
                let first =
                    state == State::Comma || (state == State::FirstKey) == (form == Form::Object);
                match self.levels.pop() {
                    Some(level) if level.form == form && first => self.after_value(),
                    _ => return self.die(),
                }
            }
            _ => return self.die(),
        };
        out.push(byte);
    }

    /// What follows a value: more of what it is in, or another document.
    fn after_value(&self) -> State {
        if self.levels.is_empty() { State::Value } else { State::Comma }
    }

    /// Takes bytes of a text.
    fn text(
        &mut self,
        rest: &[u8],
        key: Side,
        escaped: Side,
        long: Side,
        out: &mut Vec<u8>,
    ) -> usize {
        let skip = usize::from(escaped == Side::Yes);
        let inside = rest.get(skip..).unwrap_or_default();
        let special = inside.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let end = special.map_or(rest.len(), |at| at + skip);
        self.token.extend_from_slice(rest.get(..end).unwrap_or_default());
        let long = if TEXT_BYTES_MAX < self.token.len() { Side::Yes } else { long };
        if long == Side::Yes {
            // It is only counted from here on.
            self.dead += self.token.len() as u64;
            self.token.clear();
        }
        self.state = State::Text { key, escaped: Side::No, long };
        match rest.get(end) {
            None => end,
            Some(b'\\') => {
                self.token.push(b'\\');
                self.state = State::Text { key, escaped: Side::Yes, long };
                end + 1
            }
            Some(b'"') => {
                self.end_text(key, long, out);
                end + 1
            }
            Some(_) => {
                self.die();
                end
            }
        }
    }

    fn end_text(&mut self, key: Side, long: Side, out: &mut Vec<u8>) {
        let raw = std::mem::take(&mut self.token);
        if long == Side::Yes {
            let mark = omitted(std::mem::take(&mut self.dead), "too long to be looked at");
            json_text(out, &mark);
            self.secrets += 1;
            self.state = if key == Side::Yes { State::Colon } else { self.after_value() };
            self.note_value("");
            return;
        }
        let Some(text) = unescape(&raw) else { return self.die() };
        if key == Side::Yes {
            quoted(out, &raw);
            if let Some(level) = self.levels.last_mut() {
                level.key = text;
                if level.key == "op" {
                    level.patch = Side::Yes;
                }
            }
            self.state = State::Colon;
            return;
        }
        match self.hide(&text) {
            Some(mark) => {
                self.secrets += 1;
                json_text(out, &mark);
            }
            None => quoted(out, &raw),
        }
        self.note_value(&text);
        self.state = self.after_value();
    }

    /// Notes what the values beside this one may depend on.
    fn note_value(&mut self, text: &str) {
        let Some(level) = self.levels.last_mut() else { return };
        match level.form {
            Form::Array => level.previous = text.chars().take(NAME_CHARS_MAX).collect(),
            Form::Object if matches!(level.key.as_str(), "name" | "path") => {
                level.sibling = Some(text.chars().take(NAME_CHARS_MAX).collect());
            }
            Form::Object => {}
        }
    }

    fn end_scalar(&mut self, out: &mut Vec<u8>) {
        let token = std::mem::take(&mut self.token);
        let word = matches!(token.as_slice(), b"true" | b"false" | b"null");
        if !word && !token.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-') {
            self.token = token;
            return self.die();
        }
        // A number is only ever secret by its name: a PIN, a password of digits.
        let text = String::from_utf8_lossy(&token).into_owned();
        let named = self.levels.last().filter(|level| level.form == Form::Object);
        let found =
            named.filter(|_| !word).map(|level| redact::named(level.key.as_bytes(), &token));
        match found.filter(|found| 0 < found.secrets()) {
            Some(_) => {
                self.secrets += 1;
                json_text(out, &mark("value", token.len()));
            }
            None => out.extend_from_slice(&token),
        }
        self.note_value(&text);
        self.state = self.after_value();
    }

    fn open(&mut self, byte: u8) {
        let above = self.levels.last();
        let (key, cover) =
            above.map_or(("", self.rules.cover()), |above| (above.key.as_str(), above.cover));
        let cover = match (self.rules, key) {
            _ if above.is_none() => cover,
            (Rules::Secret, "metadata") => Cover::None,
            (Rules::Ordinary | Rules::Secret, "data" | "stringData" | "binaryData") => Cover::All,
            _ => cover,
        };
        let form = if byte == b'{' { Form::Object } else { Form::Array };
        // What an array holds is named as the array is.
        let key = if form == Form::Array { key.to_owned() } else { String::new() };
        self.levels.push(Level {
            form,
            key,
            previous: String::new(),
            sibling: None,
            patch: Side::No,
            cover,
        });
    }

    fn die(&mut self) {
        self.dead += self.token.len() as u64;
        self.token.clear();
        self.levels.clear();
        self.state = State::Dead;
    }

    /// Returns what stands in the place of `text`, if it may not be recorded.
    fn hide(&self, text: &str) -> Option<String> {
        let Some(level) = self.levels.last() else {
            return self.looked("", text);
        };
        if text.is_empty() {
            return None;
        }
        let key = level.key.as_str();
        if key == LAST_APPLIED {
            return Some(self.document(text));
        }
        if level.form == Form::Object && key == "value" {
            return self.valued(level, text);
        }
        if level.cover == Cover::All {
            let open =
                self.rules == Rules::Secret && level.form == Form::Object && OPEN.contains(&key);
            return if open { self.looked(key, text) } else { Some(mark("value", text.len())) };
        }
        if level.form == Form::Array && level.previous.starts_with('-') {
            let name = level.previous.trim_start_matches('-');
            return self.looked(name, text).or_else(|| self.looked(key, text));
        }
        self.looked(key, text)
    }

    /// What stands in the place of the value of something named by a value beside it.
    fn valued(&self, level: &Level, text: &str) -> Option<String> {
        let covered = level.cover == Cover::All;
        let patch = level.patch == Side::Yes;
        let name = level.sibling.as_deref();
        let secret = match name {
            _ if covered => true,
            // Its name comes later, if at all.
            None => patch || random(text),
            Some(path) if patch && self.rules != Rules::ConfigMap => {
                self.rules == Rules::Secret
                    || ["/data", "/stringData", "/binaryData"].iter().any(|at| path.contains(at))
            }
            Some(_) => random(text),
        };
        if secret {
            return Some(mark("value", text.len()));
        }
        let name = name.and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        self.looked(name, text)
    }

    /// What stands in the place of `text` if its name or its shape says so.
    fn looked(&self, name: &str, text: &str) -> Option<String> {
        let found = match name {
            "" => redact::text(text.as_bytes()),
            name => redact::named(name.as_bytes(), text.as_bytes()),
        };
        masked(&found).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What is kept of a document inside a text.
    fn document(&self, text: &str) -> String {
        if NESTED_MAX <= self.nested {
            return mark("document", text.len());
        }
        let mut inner = Self::nested(self.rules, self.nested + 1);
        let mut out = Vec::new();
        inner.push(text.as_bytes(), &mut out);
        inner.finish(&mut out);
        String::from_utf8(out).unwrap_or_else(|_| mark("document", text.len()))
    }
}

// === impl Rules ===

impl Rules {
    fn cover(self) -> Cover {
        match self {
            Self::Secret => Cover::All,
            Self::ConfigMap | Self::Ordinary => Cover::None,
        }
    }
}

/// Whether a value looks as if chance made it: a key, a token, a generated password.
pub(crate) fn random(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"+/_-=.~!@#$%^&*".contains(&byte);
    let reads_as_path = text.starts_with('/') || text.contains("://");
    if text.len() < RANDOM_BYTES_MIN || reads_as_path || !text.bytes().all(inside) {
        return false;
    }
    let holds = |class: fn(&u8) -> bool| text.as_bytes().iter().any(class);
    let letters = holds(u8::is_ascii_lowercase) || holds(u8::is_ascii_uppercase);
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let length = text.len() as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / length;
        if *count == 0 { 0.0 } else { -share * share.log2() }
    };
    letters && holds(u8::is_ascii_digit) && RANDOM_BITS_MIN <= counts.iter().map(bits).sum()
}

/// Returns the text behind the escapes of JSON; half of a pair of surrogates is a replacement character.
fn unescape(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let Some(first) = text.find('\\') else { return Some(text.to_owned()) };
    let (plain, mut rest) = text.split_at_checked(first)?;
    let mut out = plain.to_owned();
    while let Some(after) = rest.strip_prefix('\\') {
        let mut chars = after.chars();
        match chars.next()? {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let mut unit = hex4(&mut chars)?;
                if let (0xd800..0xdc00, Some(low)) = (unit, low_half(chars.as_str())) {
                    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    let _ = chars.nth(5);
                }
                out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            plain @ ('"' | '\\' | '/') => out.push(plain),
            _ => return None,
        }
        rest = chars.as_str();
        let next = rest.find('\\').unwrap_or(rest.len());
        let (plain, tail) = rest.split_at_checked(next)?;
        out.push_str(plain);
        rest = tail;
    }
    Some(out)
}

/// The second half of a pair of surrogates, if that is what follows.
fn low_half(rest: &str) -> Option<u32> {
    hex4(&mut rest.strip_prefix("\\u")?.chars()).filter(|unit| (0xdc00..0xe000).contains(unit))
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + chars.next()?.to_digit(16)?;
    }
    Some(unit)
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Writes a text as it stood.
fn quoted(out: &mut Vec<u8>, raw: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(raw);
    out.push(b'"');
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    json::write_text(out, text);
}

/// Where kubectl keeps what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Members of objects made of secrets that say what they are.
const OPEN: [&str; 9] =
    ["apiVersion", "audiences", "kind", "message", "op", "path", "reason", "status", "type"];

/// The longest text that is looked at: an object of Kubernetes is no longer than 1.5 MiB.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The longest number that is read.
const SCALAR_BYTES_MAX: usize = 256;

/// The deepest nesting that is read: API servers take no deeper.
const DEPTH_MAX: usize = 512;

/// How deep documents may lie in texts.
const NESTED_MAX: usize = 3;

/// The longest name that counts.
const NAME_CHARS_MAX: usize = 256;

/// The shortest value that chance is asked about.
const RANDOM_BYTES_MIN: usize = 16;

/// The least information of a character, in bits, for a value to be taken for random.
const RANDOM_BITS_MIN: f64 = 3.3;
