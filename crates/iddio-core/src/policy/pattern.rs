//! Globs: the only patterns policy knows.
//!
//! `*` stands for any run of characters, `?` for one. What a run may hold depends on what the name
//! is: it never crosses the `.` of a host, the `/` of a path, or any delimiter of an endpoint, so
//! that `prod-web-*` does not cover `prod-web-1.evil.example` (E20). In a path `**` crosses `/`.
//! The lone pattern `*` covers everything, also names that could not be established.
//!
//! Matching takes time linear in the name, whatever the pattern, and allocates nothing. There are no
//! character classes, no alternatives, no negation and no escapes: [`Glob::new`] refuses what
//! looks like one, so that nobody believes to have written it.

use std::fmt;

/// What sort of name a glob is held against.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum GlobKind {
    /// A URL: a run crosses none of `. / : @ ? # \`.
    Endpoint,
    /// A host name: a run does not cross `.`, and case does not matter.
    Host,
    /// A path: a run does not cross `/`, and `**` does.
    Path,
    /// Any other name: a run crosses everything.
    Plain,
    /// One word of a command line, or one `NAME=value`: a run crosses everything, and every
    /// printable character but `*` and `?` stands for itself.
    Word,
}

/// A compiled pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob {
    text: Box<str>,
    kind: GlobKind,
    form: Form,
}

/// A set of patterns, of which one must cover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Globs {
    globs: Box<[Glob]>,
    everything: bool,
}

/// Why a text is not a glob.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GlobError {
    /// A character that other glob dialects give a meaning, or that no name holds.
    Character(char),
    /// `**` where it has no meaning.
    Deep,
    /// Nothing is written.
    Empty,
    /// More than [`GLOB_TOKENS_MAX`] characters.
    Long,
}

/// How a pattern is matched. The common shapes need no automaton: [`Form::Prefix`] is a
/// [`GlobKind::Plain`] pattern whose only `*` is its last character.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Form {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Tokens(Box<[Token]>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token {
    Char(char),
    Deep,
    One,
    Run,
}

// === impl Glob ===

impl Glob {
    /// Compiles `text`.
    pub fn new(kind: GlobKind, text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if GLOB_TOKENS_MAX < text.chars().count() {
            return Err(GlobError::Long);
        }
        if let Some(wrong) = text.chars().find(|character| !kind.permits(*character)) {
            return Err(GlobError::Character(wrong));
        }
        if kind != GlobKind::Word && text.starts_with('!') {
            return Err(GlobError::Character('!'));
        }
        let form = if text == "*" { Form::Any } else { kind.form(text)? };
        Ok(Self { text: text.into(), kind, form })
    }

    /// Whether the pattern covers `name`.
    #[inline]
    pub fn covers(&self, name: &str) -> bool {
        match &self.form {
            Form::Any => true,
            Form::Exact(exact) => match self.kind {
                GlobKind::Host => exact.eq_ignore_ascii_case(name),
                _ => exact.len() == name.len() && begins(name, exact),
            },
            Form::Prefix(head) => begins(name, head),
            Form::Tokens(tokens) => {
                self.kind.is_plain_spoken(name) && automaton(self.kind, tokens, name)
            }
        }
    }

    /// Whether the pattern is the lone `*`, which covers every name and every unknown one.
    pub fn is_everything(&self) -> bool {
        self.form == Form::Any
    }

    /// Whether the pattern covers exactly one name: it holds neither `*` nor `?`.
    pub fn is_exact(&self) -> bool {
        matches!(self.form, Form::Exact(_))
    }

    /// Whether the pattern begins with `*` or `?`.
    pub fn begins_open(&self) -> bool {
        self.text.starts_with(['*', '?'])
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `name` begins with `head`. Most names differ in the first byte, and looking at it is
/// cheaper than a call.
#[inline]
fn begins(name: &str, head: &str) -> bool {
    name.as_bytes().first() == head.as_bytes().first() && name.starts_with(head)
}

/// Simulates the pattern as a nondeterministic automaton whose states are the bits of one integer:
/// bit `n` means that the first `n` tokens are matched. No backtracking, so no pattern is slow.
fn automaton(kind: GlobKind, tokens: &[Token], name: &str) -> bool {
    let mut states = close(tokens, 1);
    for character in name.chars() {
        let mut next = 0;
        for (place, token) in tokens.iter().enumerate() {
            let here = 1_u128 << place;
            if states & here != 0 {
                next |= token.step(kind, character, here);
            }
        }
        states = close(tokens, next);
        if states == 0 {
            return false;
        }
    }
    states >> tokens.len() & 1 == 1
}

/// Adds the states that are reached without a character: a run may be empty.
fn close(tokens: &[Token], mut states: u128) -> u128 {
    for (place, token) in tokens.iter().enumerate() {
        let here = 1_u128 << place;
        if states & here != 0 && matches!(token, Token::Run | Token::Deep) {
            states |= here << 1;
        }
    }
    states
}

// === impl Token ===

impl Token {
    /// Returns the state that `character` leads to from `here`, or 0.
    fn step(self, kind: GlobKind, character: char, here: u128) -> u128 {
        match self {
            Self::Char(own) => match kind.fold(own) == kind.fold(character) {
                true => here << 1,
                false => 0,
            },
            Self::Deep => here,
            Self::One if kind.separates(character) => 0,
            Self::One => here << 1,
            Self::Run if kind.separates(character) => 0,
            Self::Run => here,
        }
    }
}

// === impl GlobKind ===

impl GlobKind {
    /// Whether a pattern of this kind may hold `character`.
    fn permits(self, character: char) -> bool {
        let foreign =
            matches!(character, '[' | ']' | '{' | '}' | '\\') || character.is_whitespace();
        !character.is_control() && (self == Self::Word || !foreign)
    }

    /// Whether `*` and `?` stop at `character`.
    fn separates(self, character: char) -> bool {
        match self {
            Self::Endpoint => matches!(character, '.' | '/' | ':' | '@' | '?' | '#' | '\\'),
            Self::Host => character == '.',
            Self::Path => character == '/',
            Self::Plain | Self::Word => false,
        }
    }

    fn fold(self, character: char) -> char {
        match self {
            Self::Host => character.to_ascii_lowercase(),
            Self::Endpoint | Self::Path | Self::Plain | Self::Word => character,
        }
    }

    /// Whether `name` means what it spells. A path or word that steps back (`/a/../b`) names
    /// another place than it seems to, so an open pattern does not cover it.
    fn is_plain_spoken(self, name: &str) -> bool {
        match self {
            Self::Host | Self::Plain => true,
            Self::Word => !name.split(['/', '=']).any(|part| part == ".."),
            Self::Endpoint | Self::Path => !name.split('/').any(|part| matches!(part, "." | "..")),
        }
    }

    fn form(self, text: &str) -> Result<Form, GlobError> {
        let tokens = self.tokens(text)?;
        let open = |token: &Token| !matches!(token, Token::Char(_));
        Ok(match (tokens.iter().position(open), tokens.last()) {
            (None, _) => Form::Exact(text.into()),
            (Some(first), Some(Token::Run)) if first + 1 == tokens.len() && self == Self::Plain => {
                Form::Prefix(text.trim_end_matches('*').into())
            }
            (Some(_), _) => Form::Tokens(tokens.into()),
        })
    }

    fn tokens(self, text: &str) -> Result<Vec<Token>, GlobError> {
        let mut tokens = Vec::new();
        for character in text.chars() {
            let token = match (character, tokens.last()) {
                ('*', Some(Token::Run)) if self == Self::Path => {
                    tokens.pop();
                    Token::Deep
                }
                ('*', Some(Token::Run | Token::Deep)) => return Err(GlobError::Deep),
                ('*', _) => Token::Run,
                ('?', _) => Token::One,
                (character, _) => Token::Char(character),
            };
            tokens.push(token);
        }
        Ok(tokens)
    }
}

// === impl Globs ===

impl Globs {
    /// Collects patterns. None at all covers nothing.
    pub fn new(globs: impl IntoIterator<Item = Glob>) -> Self {
        let globs: Box<[Glob]> = globs.into_iter().collect();
        let everything = globs.iter().any(Glob::is_everything);
        Self { globs, everything }
    }

    /// Whether any of the patterns covers `name`.
    #[inline]
    pub fn covers(&self, name: &str) -> bool {
        self.globs.iter().any(|glob| glob.covers(name))
    }

    /// Whether the lone `*` is among them.
    pub fn covers_everything(&self) -> bool {
        self.everything
    }

    /// Returns the patterns, as written and in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Glob> {
        self.globs.iter()
    }
}

impl<'a> IntoIterator for &'a Globs {
    type IntoIter = std::slice::Iter<'a, Glob>;
    type Item = &'a Glob;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Writes the patterns, separated by commas.
impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, glob) in self.globs.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{glob}")?;
        }
        Ok(())
    }
}

// === impl GlobError ===

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(wrong) => {
                write!(f, "`{}` has no meaning in a glob", wrong.escape_default())
            }
            Self::Deep => f.write_str("`**` has a meaning in paths only"),
            Self::Empty => f.write_str("an empty glob covers nothing"),
            Self::Long => write!(f, "longer than {GLOB_TOKENS_MAX} characters"),
        }
    }
}

impl std::error::Error for GlobError {}

/// The most characters a pattern may have: its states must fit the 128 bits of the automaton.
pub const GLOB_TOKENS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: kind, pattern, names it covers, names it does not.
    type Row = (GlobKind, &'static str, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn a_run_stops_at_the_separators_of_its_kind() {
        use GlobKind::{Endpoint, Host, Path, Plain, Word};
        let rows: &[Row] = &[
            (Plain, "api-*", &["api-", "api-1", "api-a.b/c"], &["ap", "xapi-1", "API-1"]),
            (Plain, "*", &["", "x", "a.b"], &[]),
            (Plain, "*-prod", &["a-prod", "-prod"], &["a-prod2", "prod"]),
            (Plain, "a?c", &["abc", "aéc"], &["ac", "abbc"]),
            (Plain, "a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "acb", "abcd"]),
            (Host, "prod-web-*", &["prod-web-1", "PROD-WEB-2"], &["prod-web-1.evil.example"]),
            (Host, "*.example.com", &["a.example.com"], &["a.b.example.com", "example.com"]),
            (Host, "web-1", &["WEB-1"], &["web-1.evil"]),
            (Host, "*", &["a.b.c"], &[]),
            (Host, "web-?", &["web-1"], &["web-.", "web-11"]),
            (Path, "/v1/*", &["/v1/", "/v1/a"], &["/v1/a/b", "/v1", "/v1/.."]),
            (Path, "/v1/**", &["/v1/", "/v1/a/b"], &["/v1", "/v1/a/../../x", "/v2/a"]),
            (Path, "/a/**/z", &["/a/b/z", "/a/b/c/z"], &["/a/z", "/a/b/zz"]),
            (
                Endpoint,
                "https://*.aws.test",
                &["https://a.aws.test"],
                &["https://e.vil/?.aws.test"],
            ),
            (Endpoint, "http://127.0.0.1:*", &["http://127.0.0.1:80"], &["http://127.0.0.1:@e"]),
            (Word, "deploy/*", &["deploy/a", "deploy/a/b"], &["deploy/../x", "deploy"]),
            (Word, "{}", &["{}"], &["x"]),
        ];
        for (kind, pattern, covered, others) in rows {
            let glob = Glob::new(*kind, pattern).unwrap();
            for name in *covered {
                assert!(glob.covers(name), "{pattern} covers {name}");
            }
            for name in *others {
                assert!(!glob.covers(name), "{pattern} does not cover {name}");
            }
        }
    }

    #[test]
    fn what_other_dialects_know_is_refused() {
        let rows = [
            (GlobKind::Plain, "", GlobError::Empty),
            (GlobKind::Plain, "a[bc]", GlobError::Character('[')),
            (GlobKind::Plain, "{a,b}", GlobError::Character('{')),
            (GlobKind::Plain, "!a", GlobError::Character('!')),
            (GlobKind::Plain, "a\\*", GlobError::Character('\\')),
            (GlobKind::Plain, "a b", GlobError::Character(' ')),
            (GlobKind::Word, "a\nb", GlobError::Character('\n')),
            (GlobKind::Host, "a**", GlobError::Deep),
            (GlobKind::Path, "a***", GlobError::Deep),
        ];
        for (kind, text, error) in rows {
            assert_eq!(Glob::new(kind, text), Err(error), "{text}");
        }
        assert_eq!(Glob::new(GlobKind::Plain, &"a".repeat(121)), Err(GlobError::Long));
        assert!(Glob::new(GlobKind::Plain, &"?".repeat(120)).is_ok());
    }

    #[test]
    fn no_pattern_is_slow() {
        let glob = Glob::new(GlobKind::Plain, &"*a".repeat(60)).unwrap();
        assert!(!glob.covers(&format!("{}b", "a".repeat(50_000))));
    }
}
