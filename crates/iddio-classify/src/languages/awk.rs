//! Programs of awk: which files they read and write, and whether they run anything.
//!
//! A tokenizer with just enough grammar around it to tell a division from a pattern and a
//! redirection from a comparison, as POSIX, gawk and mawk do alike. Whatever they may read
//! differently is not guessed at. Conditions do not count: a command behind `if (0)` is a command.

use iddio_core::tier::{Class, Tier};

use super::{cursor::Cursor, effect::Effect};
use crate::catalog::format::PathUse;

/// Returns what a program does besides looking at its input and printing.
pub(crate) fn read(text: &[u8]) -> Vec<Effect> {
    let tokens = std::str::from_utf8(text).ok().and_then(|text| Lexer::all(text.as_bytes()));
    let Some(tokens) = tokens else { return vec![Effect::unread(text, &RUNS)] };
    let mut walk =
        Walk { tokens: &tokens, found: Vec::new(), depth: 0, print: None, getline: None };
    if walk.all().is_none() {
        walk.found.push(Effect::unread(text, &RUNS));
    }
    walk.found
}

/// A piece of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    /// The end of a line.
    Newline,
    /// A name, a keyword or a function.
    Name(String),
    Number,
    /// A pattern between slashes.
    Pattern,
    /// An operator or a bracket.
    Sign(&'static str),
    /// A string, its escapes undone.
    Text(Vec<u8>),
}

/// What cuts a program into tokens.
struct Lexer<'a> {
    at: Cursor<'a>,
    tokens: Vec<Token>,
    /// The open brackets: whether what follows each one's end may be a pattern.
    open: Vec<After>,
    /// Whether the last bracket that closed was that of a condition.
    closed: After,
}

/// What a `/` behind a bracket's end is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum After {
    Division,
    Pattern,
}

/// A walk over the tokens.
struct Walk<'a> {
    tokens: &'a [Token],
    found: Vec<Effect>,
    /// How many brackets are open.
    depth: usize,
    /// The depth of the `print` whose redirection may follow.
    print: Option<usize>,
    /// The depth of the `getline` whose file may follow.
    getline: Option<usize>,
}

// === impl Token ===

impl Token {
    /// Whether a value may end with it.
    fn ends_value(&self) -> bool {
        match self {
            Self::Name(name) => !KEYWORDS.contains(&name.as_str()),
            Self::Number | Self::Pattern | Self::Text(_) => true,
            Self::Sign(sign) => matches!(*sign, ")" | "]" | "++" | "--" | "$"),
            Self::Newline => false,
        }
    }
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    fn all(text: &'a [u8]) -> Option<Vec<Token>> {
        let after = After::Division;
        let mut lexer =
            Self { at: Cursor::new(text), tokens: Vec::new(), open: Vec::new(), closed: after };
        while let Some(byte) = lexer.at.peek() {
            let token = lexer.token(byte)?;
            lexer.tokens.extend(token);
        }
        lexer.open.is_empty().then_some(lexer.tokens)
    }

    fn token(&mut self, byte: u8) -> Option<Option<Token>> {
        Some(Some(match byte {
            b' ' | b'\t' | b'\r' => {
                self.at.place += 1;
                return Some(None);
            }
            b'\n' => {
                self.at.place += 1;
                Token::Newline
            }
            b'#' => {
                self.at.skip(|byte| byte != b'\n');
                return Some(None);
            }
            b'\\' => {
                self.at.place += 1;
                (self.at.next()? == b'\n').then_some(())?;
                return Some(None);
            }
            b'"' => self.string()?,
            b'0'..=b'9' => self.number(),
            b'.' => {
                self.at.rest().get(1)?.is_ascii_digit().then_some(())?;
                self.number()
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                let name = self.at.skip(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                Token::Name(String::from_utf8_lossy(name).into_owned())
            }
            b'/' if self.starts_pattern()? => self.pattern()?,
            _ => Token::Sign(self.sign()?),
        }))
    }

    /// Whether a slash here starts a pattern; `None` where implementations differ.
    fn starts_pattern(&self) -> Option<bool> {
        match self.tokens.last() {
            None => Some(true),
            Some(Token::Sign(")")) => Some(self.closed == After::Pattern),
            Some(Token::Sign("++" | "--")) => {
                // Behind a value it belongs to that, and this is a division.
                let before = self.tokens.len().checked_sub(2).and_then(|at| self.tokens.get(at));
                before.is_some_and(Token::ends_value).then_some(false)
            }
            // A keyword for some is a name for others; and `length` needs no brackets.
            Some(Token::Name(name)) if UNEVEN.contains(&name.as_str()) => None,
            Some(Token::Sign("$")) => None,
            Some(token) => Some(!token.ends_value()),
        }
    }

    fn pattern(&mut self) -> Option<Token> {
        self.at.place += 1;
        let mut bracket = None;
        loop {
            let at = self.at.place;
            match (self.at.next()?, bracket) {
                (b'\n', _) => return None,
                (b'\\', _) => {
                    (self.at.next()? != b'\n').then_some(())?;
                }
                // A slash in a bracket ends the pattern for some.
                (b'/', Some(_)) => return None,
                (b'/', None) => return Some(Token::Pattern),
                (b'[', None) => {
                    if self.at.peek() == Some(b'^') {
                        self.at.place += 1;
                    }
                    bracket = Some(self.at.place);
                }
                (b'[', Some(_)) if matches!(self.at.peek(), Some(b':' | b'.' | b'=')) => {
                    self.at.place += 1;
                    self.at.skip(|byte| byte.is_ascii_alphabetic());
                    (self.at.next()? == b':' && self.at.next()? == b']').then_some(())?;
                }
                (b']', Some(start)) if start < at => bracket = None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Token {
        let hexadecimal = self.at.rest().starts_with(b"0x") || self.at.rest().starts_with(b"0X");
        self.at.skip(|byte| byte.is_ascii_digit());
        if hexadecimal {
            // gawk and mawk differ on these; as a name and a number they are values all the same.
            return Token::Number;
        }
        if self.at.peek() == Some(b'.') {
            self.at.place += 1;
            self.at.skip(|byte| byte.is_ascii_digit());
        }
        let exponent = self.at.rest();
        if let [b'e' | b'E', rest @ ..] = exponent {
            let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
            if rest.get(sign).is_some_and(u8::is_ascii_digit) {
                self.at.place += 1 + sign;
                self.at.skip(|byte| byte.is_ascii_digit());
            }
        }
        Token::Number
    }

    fn string(&mut self) -> Option<Token> {
        self.at.place += 1;
        let mut text = Vec::new();
        loop {
            match self.at.next()? {
                b'"' => return Some(Token::Text(text)),
                b'\n' => return None,
                b'\\' => text.push(self.escaped()?),
                byte => text.push(byte),
            }
        }
    }

    /// Undoes an escape behind its backslash; `None` for what is not read alike everywhere.
    fn escaped(&mut self) -> Option<u8> {
        Some(match self.at.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            digit @ b'0'..=b'7' => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.at.peek() else { break };
                    self.at.place += 1;
                    value = value * 8 + u32::from(digit - b'0');
                }
                u8::try_from(value).ok().filter(u8::is_ascii)?
            }
            b'x' => {
                let digits = self.at.skip(|byte| byte.is_ascii_hexdigit());
                let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
                u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)?
            }
            // What has no meaning stands for itself, with its backslash or without: patterns in
            // strings are full of it, and a command with one in it is not literal.
            byte if byte.is_ascii_punctuation() => UNCERTAIN,
            _ => return None,
        })
    }

    fn sign(&mut self) -> Option<&'static str> {
        let sign =
            SIGNS.iter().find(|sign| self.at.rest().starts_with(sign.as_bytes())).copied()?;
        self.at.place += sign.len();
        match sign {
            "(" => {
                let condition = matches!(
                    self.tokens.last(),
                    Some(Token::Name(name)) if matches!(name.as_str(), "if" | "while" | "for" | "switch")
                );
                self.open.push(if condition { After::Pattern } else { After::Division });
            }
            "[" | "{" => self.open.push(After::Division),
            ")" | "]" | "}" => self.closed = self.open.pop()?,
            _ => {}
        }
        Some(sign)
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn all(&mut self) -> Option<()> {
        for (at, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Name(name) => self.name(at, name),
                Token::Newline => self.line_ends(at),
                Token::Sign(sign) => self.sign(at, sign)?,
                Token::Number | Token::Pattern | Token::Text(_) => {}
            }
        }
        Some(())
    }

    fn name(&mut self, at: usize, name: &str) {
        match name {
            "print" | "printf" => self.print = Some(self.depth),
            "getline" => self.getline = Some(self.depth),
            "system" => self.system(at),
            "ENVIRON" => self.environment(at),
            // Which files are read is up to the program then.
            "ARGV" | "SYMTAB" | "FUNCTAB" => self.found.push(sensitive("names its files itself")),
            _ => {}
        }
    }

    fn system(&mut self, at: usize) {
        let argument = (self.token(at + 1), self.token(at + 2), self.token(at + 3));
        match argument {
            (Some(Token::Sign("(")), Some(Token::Text(text)), Some(Token::Sign(")"))) => {
                self.run(text);
            }
            // `system()` flushes what is printed, in some; in no case does it run anything.
            _ => self.found.push(Effect::unknown_command()),
        }
    }

    fn environment(&mut self, at: usize) {
        let subscript = (self.token(at + 1), self.token(at + 2), self.token(at + 3));
        let plain = match subscript {
            (Some(Token::Sign("[")), Some(Token::Text(name)), Some(Token::Sign("]"))) => {
                PLAIN_VARIABLES.iter().any(|plain| plain.as_bytes() == name)
            }
            _ => false,
        };
        if !plain {
            self.found.push(sensitive("reads the environment, which may hold secrets"));
        }
    }

    fn line_ends(&mut self, at: usize) {
        // A line goes on behind a comma and most operators.
        let ended = match at.checked_sub(1).and_then(|at| self.token(at)) {
            None | Some(Token::Newline) => true,
            Some(Token::Sign(sign)) => matches!(*sign, ")" | "]" | "++" | "--" | ";" | "}" | "{"),
            Some(_) => true,
        };
        if ended {
            self.statement_ends();
        }
    }

    fn statement_ends(&mut self) {
        // Within brackets no statement ends, but those of a `for`.
        self.print = self.print.filter(|depth| *depth < self.depth);
        self.getline = self.getline.filter(|depth| *depth < self.depth);
    }

    fn sign(&mut self, at: usize, sign: &str) -> Option<()> {
        match sign {
            "(" | "[" | "{" => self.depth += 1,
            ")" | "]" | "}" => {
                if sign == "}" {
                    self.statement_ends();
                }
                self.depth = self.depth.checked_sub(1)?;
                self.getline = self.getline.filter(|depth| *depth <= self.depth);
                self.print = self.print.filter(|depth| *depth <= self.depth);
            }
            ";" => self.statement_ends(),
            "|" => self.pipe(at),
            "|&" => self.both_ways(at),
            ">>" => self.redirected(at, PathUse::Append),
            ">" if self.print == Some(self.depth) => self.redirected(at, PathUse::Write),
            "<" if self.getline == Some(self.depth) => self.read_from(at),
            "@" => self.at_sign(at),
            _ => {}
        }
        Some(())
    }

    /// `@include`, `@load`, `@/…/` and calls by name, all of gawk.
    fn at_sign(&mut self, at: usize) {
        match self.token(at + 1) {
            Some(Token::Pattern) => {}
            Some(Token::Name(name)) if matches!(name.as_str(), "include" | "load") => {
                self.found.push(sensitive("runs code from another file"));
            }
            _ => self.found.push(Effect::Raise(
                Tier::UNKNOWN,
                Class::Unknown,
                "calls a function by a name that only the run knows",
            )),
        }
    }

    /// `… | getline` and `print … | …`.
    fn pipe(&mut self, at: usize) {
        match self.piped(at) {
            Some(text) => self.run(&text),
            None => self.found.push(Effect::unknown_command()),
        }
    }

    /// Returns the literal command of a pipe.
    fn piped(&self, at: usize) -> Option<Vec<u8>> {
        match self.token(at + 1) {
            Some(Token::Name(name)) if name == "getline" => self.value_before(at),
            _ => self.value_after(at),
        }
    }

    /// `|&` of gawk: a command, or a connection.
    fn both_ways(&mut self, at: usize) {
        match self.piped(at) {
            Some(text) if text.starts_with(b"/inet") => self.found.push(CONNECTION),
            Some(text) => self.run(&text),
            None => self.found.push(Effect::unknown_command()),
        }
    }

    fn redirected(&mut self, at: usize, usage: PathUse) {
        match self.value_after(at) {
            Some(name) => self.file(&name, usage),
            None => self.found.push(sensitive("writes a file whose name only the run knows")),
        }
    }

    fn read_from(&mut self, at: usize) {
        match self.value_after(at) {
            Some(name) => self.file(&name, PathUse::Read),
            None => self.found.push(sensitive("reads a file whose name only the run knows")),
        }
    }

    fn file(&mut self, name: &[u8], usage: PathUse) {
        if name.starts_with(b"/inet") {
            self.found.push(CONNECTION);
        } else if name.contains(&UNCERTAIN) {
            self.found.push(sensitive("uses a file whose name only the run knows"));
        } else if !STREAMS.contains(&name) {
            self.found.push(Effect::file(name, usage));
        }
    }

    fn run(&mut self, text: &[u8]) {
        match text.contains(&UNCERTAIN) {
            true => self.found.push(Effect::unknown_command()),
            false => self.found.extend(Effect::command(text.to_vec())),
        }
    }

    /// Returns the literal that is all of the value before a sign.
    fn value_before(&self, at: usize) -> Option<Vec<u8>> {
        let Some(Token::Text(text)) = self.token(at.checked_sub(1)?) else { return None };
        let alone = match at.checked_sub(2).and_then(|at| self.token(at)) {
            None | Some(Token::Newline) => true,
            Some(Token::Sign(sign)) => {
                matches!(*sign, "(" | "{" | ";" | "&&" | "||" | "!" | "}" | "=")
            }
            Some(Token::Name(name)) => matches!(name.as_str(), "else" | "do"),
            Some(_) => false,
        };
        alone.then(|| text.clone())
    }

    /// Returns the literal that is all of the value behind a sign.
    fn value_after(&self, at: usize) -> Option<Vec<u8>> {
        let Some(Token::Text(text)) = self.token(at + 1) else { return None };
        let alone = match self.token(at + 2) {
            None | Some(Token::Newline) => true,
            Some(Token::Sign(sign)) => {
                matches!(
                    *sign,
                    ";" | "}" | ")" | "&&" | "||" | "<" | ">" | "<=" | ">=" | "==" | "!="
                )
            }
            Some(_) => false,
        };
        alone.then(|| text.clone())
    }

    fn token(&self, at: usize) -> Option<&'a Token> {
        self.tokens.get(at)
    }
}

fn sensitive(why: &'static str) -> Effect {
    Effect::Raise(Tier::Sensitive, Class::Unknown, why)
}

/// A special file of gawk.
const CONNECTION: Effect = Effect::Raise(Tier::UNKNOWN, Class::Session, "opens a connection");

/// Stands in a string for an escape that awks undo in different ways. No command holds it.
const UNCERTAIN: u8 = 0xff;

/// What a program that is not understood must not hold to count for less than an unknown command.
const RUNS: [&str; 4] = ["system", "|", "@", "getline"];

/// Names that awk takes for its own streams.
const STREAMS: [&[u8]; 5] = [b"-", b"/dev/stdin", b"/dev/stdout", b"/dev/stderr", b"/dev/null"];

/// Variables of the environment that hold no secret.
const PLAIN_VARIABLES: [&str; 14] = [
    "COLUMNS", "HOME", "HOSTNAME", "LANG", "LC_ALL", "LINES", "LOGNAME", "PATH", "PWD", "SHELL",
    "TERM", "TMPDIR", "TZ", "USER",
];

/// Operators and brackets, longer ones first.
const SIGNS: [&str; 43] = [
    "**=", "&&", "||", "|&", "**", "++", "--", "+=", "-=", "*=", "/=", "%=", "^=", "==", "<=",
    ">=", "!=", "!~", ">>", "{", "}", "(", ")", "[", "]", ";", ",", "+", "-", "*", "/", "%", "^",
    "!", ">", "<", "|", "?", ":", "~", "$", "=", "@",
];

/// Words behind which implementations differ on what a slash is.
const UNEVEN: [&str; 10] = [
    "BEGINFILE",
    "ENDFILE",
    "case",
    "default",
    "func",
    "getline",
    "length",
    "nextfile",
    "switch",
    "in",
];

/// Words that are no value.
const KEYWORDS: [&str; 24] = [
    "BEGIN",
    "BEGINFILE",
    "END",
    "ENDFILE",
    "break",
    "case",
    "continue",
    "default",
    "delete",
    "do",
    "else",
    "exit",
    "for",
    "func",
    "function",
    "if",
    "in",
    "next",
    "nextfile",
    "print",
    "printf",
    "return",
    "switch",
    "while",
];
