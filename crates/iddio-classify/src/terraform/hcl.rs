//! HCL native syntax, read as far as it must be judged: blocks, attributes, literals and calls.
//!
//! The scanner follows the token rules of HCL's own scanner (`hclsyntax/scan_tokens.rl`): template
//! sequences, escapes, heredoc ends. It keeps an explicit stack, so that nesting costs memory and
//! never the call stack, and is cut at [`DEPTH_MAX`]. Text it does not understand is an error.
//!
//! It does not evaluate expressions and does not check that they are valid: Terraform does.

use std::fmt;

/// A place in a configuration text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Counted from 1; 0 where the format keeps no positions (JSON).
    pub line: u32,
    /// Counted in bytes from 1; 0 where the format keeps no positions.
    pub column: u32,
}

/// The value of an argument, as far as it is known without evaluating it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Text {
    /// A string with nothing left to evaluate.
    Literal(String),
    /// The source of an expression.
    Expression(String),
}

/// The path given to a function that reads files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PathArgument {
    Literal(String),
    UnderModule(String),
    UnderRoot(String),
    Unknown(String),
}

/// A function call inside an expression.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) path: PathArgument,
}

/// An expression with what was learned from it.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) text: Text,
    /// The elements, where it is written as a list.
    pub(super) list: Option<Vec<Text>>,
    /// The members, where it is written as an object.
    pub(super) members: Vec<(String, Expression)>,
    /// Every name that is given a value anywhere inside.
    pub(super) names: Vec<String>,
    pub(super) calls: Vec<Call>,
}

/// `name = expression`.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) at: Position,
    pub(super) value: Expression,
}

/// `kind "label" { … }`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) kind: String,
    pub(super) labels: Vec<String>,
    pub(super) at: Position,
    pub(super) body: Body,
}

/// The content of a file or a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub(super) attributes: Vec<Attribute>,
    pub(super) blocks: Vec<Block>,
}

/// Why a text was not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {}, column {}: {what}", at.line, at.column)]
pub(super) struct SyntaxError {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub what: &'static str,
}

/// Whether quoted argument names are read: only the CLI configuration has them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Names {
    Bare,
    Quoted,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Identifier,
    Number,
    Literal,
    OpenQuote,
    CloseQuote,
    OpenHeredoc,
    CloseHeredoc,
    OpenSequence,
    CloseSequence,
    Newline,
    Punctuation(u8),
    Scope,
    Other,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
    at: Position,
    /// The decoded text of a literal.
    text: String,
}

/// What the scanner is inside of.
enum Mode {
    /// Expressions and structure, ending at the brace that balances the sequence, if in one.
    Main {
        closers: Vec<u8>,
        sequence: Sequence,
    },
    Quoted,
    Heredoc {
        marker: String,
        start_of_line: bool,
    },
    Bare,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Sequence {
    Inside,
    Outside,
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    modes: Vec<Mode>,
    depth: usize,
    tokens: Vec<Token>,
}

struct Parser<'a> {
    source: &'a str,
    tokens: &'a [Token],
    at: usize,
    names: Names,
}

/// Reads a file in native syntax.
pub(super) fn parse(source: &str, names: Names) -> Result<Body, SyntaxError> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let tokens = scan(source, Mode::Main { closers: Vec::new(), sequence: Sequence::Outside })?;
    Parser { source, tokens: &tokens, at: 0, names }.body(None, 0)
}

/// Reads a string of the JSON syntax, which is a template without quotes.
pub(super) fn template(source: &str) -> Result<Expression, SyntaxError> {
    let tokens = scan(source, Mode::Bare)?;
    let literal = tokens.iter().all(|token| token.kind == Kind::Literal);
    let text =
        if literal { Text::Literal(joined(&tokens)) } else { Text::Expression(source.to_owned()) };
    let calls = calls(source, &tokens);
    Ok(Expression { text, list: None, members: Vec::new(), names: Vec::new(), calls })
}

/// Returns every place where the raw text looks like the header of a block of this kind, whether or
/// not a comment or a string surrounds it: `kind "label" … {`. The second scanner that keeps the
/// first one honest.
pub(super) fn headers(source: &str, kind: &str) -> Vec<(Position, String)> {
    let mut found = Vec::new();
    let bytes = source.as_bytes();
    let (mut line, mut line_start, mut seen) = (0_u32, 0_usize, 0_usize);
    for (start, _) in source.match_indices(kind) {
        for (offset, byte) in bytes.get(seen..start).unwrap_or_default().iter().enumerate() {
            if *byte == b'\n' {
                line = line.saturating_add(1);
                line_start = seen.saturating_add(offset).saturating_add(1);
            }
        }
        seen = start;
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        if before.is_some_and(|byte| is_continue(*byte)) {
            continue;
        }
        let end = start.saturating_add(kind.len());
        if bytes.get(end).is_some_and(|byte| is_continue(*byte)) {
            continue;
        }
        if let Some(label) = header_label(bytes, end) {
            let column = count(start.saturating_sub(line_start));
            found.push((Position { line: count_line(line), column }, label));
        }
    }
    found
}

fn header_label(bytes: &[u8], from: usize) -> Option<String> {
    let mut at = skip_trivia(bytes, from);
    let mut label = None;
    for _ in 0..LABELS_MAX {
        let rest = bytes.get(at..)?;
        let (text, length) = match rest.first()? {
            b'{' => return label,
            b'"' => {
                let length =
                    rest.iter().skip(1).take(HEADER_BYTES_MAX).position(|byte| *byte == b'"')?;
                (rest.get(1..length.saturating_add(1))?, length.saturating_add(2))
            }
            byte if is_continue(*byte) => {
                let length =
                    rest.iter().take(HEADER_BYTES_MAX).position(|byte| !is_continue(*byte))?;
                (rest.get(..length)?, length)
            }
            _ => return None,
        };
        label = label.or_else(|| Some(String::from_utf8_lossy(text).into_owned()));
        at = skip_trivia(bytes, at.saturating_add(length));
    }
    None
}

fn skip_trivia(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let skip = match rest {
            [b' ' | b'\t' | b'\r', ..] => 1,
            [b'/', b'*', tail @ ..] => {
                match tail.windows(2).take(HEADER_BYTES_MAX).position(|pair| pair == b"*/") {
                    Some(length) => length.saturating_add(4),
                    None => return at,
                }
            }
            _ => return at,
        };
        at = at.saturating_add(skip);
    }
}

fn count(zero_based: usize) -> u32 {
    u32::try_from(zero_based.saturating_add(1)).unwrap_or(u32::MAX)
}

fn is_continue(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || !byte.is_ascii()
}

fn scan(source: &str, first: Mode) -> Result<Vec<Token>, SyntaxError> {
    let mut scanner = Scanner {
        source,
        at: 0,
        line: 0,
        line_start: 0,
        modes: vec![first],
        depth: 0,
        tokens: Vec::new(),
    };
    while scanner.at < source.len() {
        scanner.step()?;
    }
    match scanner.modes.as_slice() {
        [Mode::Bare] => Ok(scanner.tokens),
        [Mode::Main { closers, .. }] if closers.is_empty() => Ok(scanner.tokens),
        _ => Err(scanner.error("the text ends inside a string, a heredoc or a bracket")),
    }
}

fn joined(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

/// Returns the calls among the tokens of one expression.
fn calls(source: &str, tokens: &[Token]) -> Vec<Call> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.kind != Kind::Identifier {
            continue;
        }
        let after = tokens.get(index.saturating_add(1)..).unwrap_or_default();
        let opens = after.iter().position(|next| next.kind != Kind::Newline);
        let Some(open) = opens else { continue };
        if after.get(open).is_none_or(|next| next.kind != Kind::Punctuation(b'(')) {
            continue;
        }
        let arguments = after.get(open.saturating_add(1)..).unwrap_or_default();
        found.push(Call {
            name: token.text.clone(),
            at: token.at,
            path: path_argument(source, first_of(arguments)),
        });
    }
    found
}

/// Returns the tokens up to the comma or bracket that ends the first argument.
fn first_of(tokens: &[Token]) -> &[Token] {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Punctuation(b',' | b')') if depth == 0 => {
                return tokens.get(..index).unwrap_or_default();
            }
            kind => depth = nested(kind, depth),
        }
    }
    tokens
}

fn nested(kind: Kind, depth: usize) -> usize {
    match kind {
        Kind::Punctuation(b'(' | b'[' | b'{')
        | Kind::OpenQuote
        | Kind::OpenHeredoc
        | Kind::OpenSequence => depth.saturating_add(1),
        Kind::Punctuation(b')' | b']' | b'}')
        | Kind::CloseQuote
        | Kind::CloseHeredoc
        | Kind::CloseSequence => depth.saturating_sub(1),
        _ => depth,
    }
}

fn path_argument(source: &str, tokens: &[Token]) -> PathArgument {
    let tokens = trimmed(tokens);
    if let Some(literal) = literal(tokens) {
        return PathArgument::Literal(literal);
    }
    let unknown = || match slice(source, tokens) {
        text if text.len() <= PATH_BYTES_MAX => PathArgument::Unknown(text.to_owned()),
        _ => PathArgument::Unknown("(a long expression)".to_owned()),
    };
    if let [word, dot, which] = tokens
        && dot.kind == Kind::Punctuation(b'.')
    {
        return match (word.text.as_str(), which.text.as_str()) {
            ("path", "module") => PathArgument::UnderModule(String::new()),
            ("path", "root") => PathArgument::UnderRoot(String::new()),
            _ => unknown(),
        };
    }
    let [open, sequence, word, dot, which, close, rest @ .., end] = tokens else {
        return unknown();
    };
    let shape = [open.kind, sequence.kind, word.kind, dot.kind, which.kind, close.kind, end.kind];
    let expected = [
        Kind::OpenQuote,
        Kind::OpenSequence,
        Kind::Identifier,
        Kind::Punctuation(b'.'),
        Kind::Identifier,
        Kind::CloseSequence,
        Kind::CloseQuote,
    ];
    let literal_rest = rest.iter().all(|token| token.kind == Kind::Literal);
    if shape != expected || !literal_rest || slice(source, std::slice::from_ref(sequence)) != "${" {
        return unknown();
    }
    match (word.text.as_str(), which.text.as_str()) {
        ("path", "module") => PathArgument::UnderModule(joined(rest)),
        ("path", "root") => PathArgument::UnderRoot(joined(rest)),
        _ => unknown(),
    }
}

/// Returns the string that the tokens are, if they are one string with nothing to evaluate.
fn literal(tokens: &[Token]) -> Option<String> {
    let [open, inside @ .., close] = tokens else { return None };
    let quoted = open.kind == Kind::OpenQuote && close.kind == Kind::CloseQuote;
    let heredoc = open.kind == Kind::OpenHeredoc && close.kind == Kind::CloseHeredoc;
    let plain = inside.iter().all(|token| token.kind == Kind::Literal);
    ((quoted || heredoc) && plain).then(|| joined(inside))
}

fn trimmed(tokens: &[Token]) -> &[Token] {
    let blank = |token: &Token| token.kind == Kind::Newline;
    let start = tokens.iter().position(|token| !blank(token)).unwrap_or(tokens.len());
    let end = tokens.iter().rposition(|token| !blank(token)).map_or(start, |at| at + 1);
    tokens.get(start..end).unwrap_or_default()
}

fn slice<'a>(source: &'a str, tokens: &[Token]) -> &'a str {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => source.get(first.start..last.end).unwrap_or_default(),
        _ => "",
    }
}

/// Splits at commas (and newlines) outside any bracket.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0_usize);
    for (index, token) in tokens.iter().enumerate() {
        let ends = matches!(token.kind, Kind::Punctuation(b',') | Kind::Newline);
        if ends && depth == 0 {
            parts.push(tokens.get(start..index).unwrap_or_default());
            start = index.saturating_add(1);
        }
        depth = nested(token.kind, depth);
    }
    parts.push(tokens.get(start..).unwrap_or_default());
    parts.retain(|part| !part.is_empty());
    parts
}

fn text_of(source: &str, tokens: &[Token]) -> Text {
    match literal(tokens) {
        Some(literal) => Text::Literal(literal),
        None => Text::Expression(slice(source, tokens).to_owned()),
    }
}

fn list_of(source: &str, tokens: &[Token]) -> Option<Vec<Text>> {
    let [open, inside @ .., close] = tokens else { return None };
    let is_list = open.kind == Kind::Punctuation(b'[') && close.kind == Kind::Punctuation(b']');
    is_list.then(|| split(inside).into_iter().map(|part| text_of(source, part)).collect())
}

fn members_of(source: &str, tokens: &[Token], depth: usize) -> Vec<(String, Expression)> {
    let [open, inside @ .., close] = tokens else { return Vec::new() };
    let is_object = open.kind == Kind::Punctuation(b'{') && close.kind == Kind::Punctuation(b'}');
    if !is_object || depth == 0 {
        return Vec::new();
    }
    split(inside)
        .into_iter()
        .filter_map(|part| {
            let equals = part
                .iter()
                .position(|token| matches!(token.kind, Kind::Punctuation(b'=' | b':')))?;
            let name = part.get(..equals)?;
            let name = match name {
                [one] if one.kind == Kind::Identifier => one.text.clone(),
                quoted => literal(quoted)?,
            };
            let value = part.get(equals.saturating_add(1)..)?;
            Some((name, expression(source, value, depth.saturating_sub(1))))
        })
        .collect()
}

/// Returns the names before `=` and `:`, quoted ones too.
fn names(tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if !matches!(token.kind, Kind::Punctuation(b'=' | b':')) {
            continue;
        }
        let before = tokens.get(..index).unwrap_or_default();
        match before {
            [.., name] if name.kind == Kind::Identifier => found.push(name.text.clone()),
            [.., open, name, close]
                if open.kind == Kind::OpenQuote && close.kind == Kind::CloseQuote =>
            {
                found.push(name.text.clone());
            }
            _ => {}
        }
    }
    found
}

fn expression(source: &str, tokens: &[Token], depth: usize) -> Expression {
    let tokens = trimmed(tokens);
    Expression {
        text: text_of(source, tokens),
        list: list_of(source, tokens),
        members: members_of(source, tokens, depth),
        names: names(tokens),
        calls: calls(source, tokens),
    }
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// === impl Text ===

impl Text {
    /// Returns the words, literal or not.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Expression(text) => text,
        }
    }
}

// === impl Body ===

impl Body {
    /// Returns the argument with this name.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    fn step(&mut self) -> Result<(), SyntaxError> {
        if self.tokens.len() >= TOKENS_MAX {
            return Err(self.error("too many tokens"));
        }
        match self.modes.last() {
            Some(Mode::Main { .. }) => self.main(),
            Some(Mode::Quoted) => self.quoted(),
            Some(Mode::Heredoc { .. }) => self.heredoc(),
            Some(Mode::Bare) => self.bare(),
            None => Err(self.error("a bracket closes what was never opened")),
        }
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn here(&self) -> Position {
        Position {
            line: count_line(self.line),
            column: count(self.at.saturating_sub(self.line_start)),
        }
    }

    fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { at: self.here(), what }
    }

    /// Takes `length` bytes as one token.
    fn take(&mut self, kind: Kind, length: usize, text: String) {
        let at = self.here();
        let start = self.at;
        self.skip(length);
        self.tokens.push(Token { kind, start, end: self.at, at, text });
    }

    fn skip(&mut self, length: usize) {
        let end = self.at.saturating_add(length).min(self.source.len());
        let passed = self.source.as_bytes().get(self.at..end).unwrap_or_default();
        for (offset, byte) in passed.iter().enumerate() {
            if *byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.line_start = self.at.saturating_add(offset).saturating_add(1);
            }
        }
        self.at = end;
    }

    fn push(&mut self, mode: Mode) -> Result<(), SyntaxError> {
        self.deeper()?;
        self.modes.push(mode);
        Ok(())
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.modes.pop();
    }

    fn deeper(&mut self) -> Result<(), SyntaxError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_MAX { Err(self.error("nested too deeply")) } else { Ok(()) }
    }

    fn main(&mut self) -> Result<(), SyntaxError> {
        let bytes = self.rest().as_bytes();
        match bytes {
            [b' ' | b'\t', ..] => self.skip(1),
            [b'\n', ..] => self.take(Kind::Newline, 1, String::new()),
            [b'\r', b'\n', ..] => self.take(Kind::Newline, 2, String::new()),
            [b'#', ..] | [b'/', b'/', ..] => {
                let length = self.rest().find('\n').unwrap_or(self.rest().len());
                self.skip(length);
            }
            [b'/', b'*', ..] => {
                let end = self.rest().get(2..).and_then(|tail| tail.find("*/"));
                let end = end.ok_or_else(|| self.error("a comment does not end"))?;
                self.skip(end.saturating_add(4));
            }
            [b'"', ..] => {
                self.take(Kind::OpenQuote, 1, String::new());
                self.push(Mode::Quoted)?;
            }
            [b'<', b'<', ..] => return self.open_heredoc(),
            [b'~', b'}', ..] => return self.close(b'}', 2),
            [open @ (b'(' | b'[' | b'{'), ..] => return self.open(*open),
            [close @ (b')' | b']' | b'}'), ..] => return self.close(*close, 1),
            [b':', b':', ..] => self.take(Kind::Scope, 2, String::new()),
            [byte, ..] if byte.is_ascii_digit() => self.number(),
            [byte, ..] if is_continue(*byte) && *byte != b'-' => self.identifier(),
            _ => return self.punctuation(),
        }
        Ok(())
    }

    fn number(&mut self) {
        let bytes = self.rest().as_bytes();
        let mut length = 1_usize;
        while let Some(byte) = bytes.get(length) {
            let fraction = *byte == b'.'
                && bytes.get(length.saturating_add(1)).is_some_and(u8::is_ascii_digit);
            if !byte.is_ascii_digit() && !fraction {
                break;
            }
            length = length.saturating_add(1);
        }
        self.take(Kind::Number, length, String::new());
    }

    fn identifier(&mut self) {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !is_continue(byte)).unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default().to_owned();
        self.take(Kind::Identifier, length, text);
    }

    fn punctuation(&mut self) -> Result<(), SyntaxError> {
        let bytes = self.rest().as_bytes();
        let double = matches!(
            bytes,
            [b'=', b'=' | b'>', ..]
                | [b'!' | b'<' | b'>', b'=', ..]
                | [b'&', b'&', ..]
                | [b'|', b'|', ..]
        );
        if double {
            self.take(Kind::Other, 2, String::new());
            return Ok(());
        }
        match bytes.first() {
            Some(byte @ (b'=' | b',' | b'.' | b':')) => {
                self.take(Kind::Punctuation(*byte), 1, String::new());
            }
            Some(b'*' | b'/' | b'%' | b'+' | b'-' | b'<' | b'>' | b'!' | b'?') => {
                self.take(Kind::Other, 1, String::new());
            }
            _ => return Err(self.error("a character that has no meaning here")),
        }
        Ok(())
    }

    fn open(&mut self, open: u8) -> Result<(), SyntaxError> {
        self.deeper()?;
        let closer = match open {
            b'(' => b')',
            b'[' => b']',
            _ => b'}',
        };
        if let Some(Mode::Main { closers, .. }) = self.modes.last_mut() {
            closers.push(closer);
        }
        self.take(Kind::Punctuation(open), 1, String::new());
        Ok(())
    }

    fn close(&mut self, close: u8, length: usize) -> Result<(), SyntaxError> {
        let Some(Mode::Main { closers, sequence }) = self.modes.last_mut() else {
            return Err(self.error("a bracket closes what was never opened"));
        };
        let sequence = *sequence;
        match closers.pop() {
            Some(expected) if expected == close && length == 1 => {
                self.depth = self.depth.saturating_sub(1);
                self.take(Kind::Punctuation(close), 1, String::new());
                Ok(())
            }
            None if close == b'}' && sequence == Sequence::Inside => {
                self.take(Kind::CloseSequence, length, String::new());
                self.pop();
                Ok(())
            }
            _ => Err(self.error("a bracket closes what was never opened")),
        }
    }

    fn open_heredoc(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let line_end = rest.find('\n').ok_or_else(|| self.error("a heredoc has no end"))?;
        let line = rest.get(2..line_end).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let marker = line.strip_prefix('-').unwrap_or(line);
        let first = marker.bytes().next();
        let named = marker.bytes().all(is_continue)
            && first.is_some_and(|byte| !byte.is_ascii_digit() && byte != b'-');
        if !named {
            return Err(self.error("a heredoc has no name"));
        }
        let marker = marker.to_owned();
        self.take(Kind::OpenHeredoc, line_end.saturating_add(1), String::new());
        self.push(Mode::Heredoc { marker, start_of_line: true })
    }

    /// Takes `${`, `%{` or the literal that the character is, in any template.
    fn dollar(&mut self) -> Result<(), SyntaxError> {
        let bytes = self.rest().as_bytes();
        match bytes {
            [a @ (b'$' | b'%'), b, b'{', ..] if a == b => {
                let text = if *a == b'$' { "${" } else { "%{" };
                self.take(Kind::Literal, 3, text.to_owned());
                self.middle_of_line();
            }
            [b'$' | b'%', b'{', tail @ ..] => {
                let length = if tail.first() == Some(&b'~') { 3 } else { 2 };
                self.middle_of_line();
                self.take(Kind::OpenSequence, length, String::new());
                let sequence = Sequence::Inside;
                self.push(Mode::Main { closers: Vec::new(), sequence })?;
            }
            [byte, ..] => {
                let text = char::from(*byte).to_string();
                self.middle_of_line();
                self.take(Kind::Literal, 1, text);
            }
            [] => {}
        }
        Ok(())
    }

    fn middle_of_line(&mut self) {
        for mode in self.modes.iter_mut().rev() {
            if let Mode::Heredoc { start_of_line, .. } = mode {
                *start_of_line = false;
                return;
            }
        }
    }

    fn bare(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let length = rest.find(['$', '%']).unwrap_or(rest.len());
        if length == 0 {
            return self.dollar();
        }
        let text = rest.get(..length).unwrap_or_default().to_owned();
        self.take(Kind::Literal, length, text);
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        match rest.as_bytes().first() {
            Some(b'"') => {
                self.take(Kind::CloseQuote, 1, String::new());
                self.pop();
                Ok(())
            }
            Some(b'\n' | b'\r') => Err(self.error("a string runs over the end of its line")),
            Some(b'$' | b'%') => self.dollar(),
            Some(b'\\') => self.escape(),
            _ => {
                let stops = ['"', '\n', '\r', '$', '%', '\\'];
                let length = rest.find(stops).unwrap_or(rest.len());
                let text = rest.get(..length).unwrap_or_default().to_owned();
                self.take(Kind::Literal, length, text);
                Ok(())
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let digits = |length: usize| {
            let digits = rest.get(2..length.saturating_add(2))?;
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
            char::from_u32(code)
        };
        let decoded = match rest.as_bytes().get(1) {
            Some(b'n') => Some(('\n', 2)),
            Some(b'r') => Some(('\r', 2)),
            Some(b't') => Some(('\t', 2)),
            Some(b'"') => Some(('"', 2)),
            Some(b'\\') => Some(('\\', 2)),
            Some(b'u') => digits(4).map(|code| (code, 6)),
            Some(b'U') => digits(8).map(|code| (code, 10)),
            _ => None,
        };
        let (code, length) = decoded.ok_or_else(|| self.error("an unknown escape"))?;
        self.take(Kind::Literal, length, code.to_string());
        Ok(())
    }

    fn heredoc(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        if rest.starts_with(['$', '%']) {
            return self.dollar();
        }
        let stop = rest.find(['$', '%', '\n']).unwrap_or(rest.len());
        let ends_line = rest.as_bytes().get(stop) == Some(&b'\n');
        let line = rest.get(..stop).unwrap_or_default();
        let Some(Mode::Heredoc { marker, start_of_line }) = self.modes.last_mut() else {
            return Err(self.error("not in a heredoc"));
        };
        if ends_line && *start_of_line && line.trim() == marker.as_str() {
            let length = line.strip_suffix('\r').unwrap_or(line).len();
            self.take(Kind::CloseHeredoc, length, String::new());
            self.pop();
            return Ok(());
        }
        *start_of_line = ends_line;
        let length = if ends_line { stop.saturating_add(1) } else { stop };
        let text = self.rest().get(..length).unwrap_or_default().to_owned();
        self.take(Kind::Literal, length, text);
        Ok(())
    }
}

fn count_line(line: u32) -> u32 {
    line.saturating_add(1)
}

// === impl Parser ===

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn error(&self, what: &'static str) -> SyntaxError {
        let at = self.peek().or(self.tokens.last()).map(|token| token.at);
        SyntaxError { at: at.unwrap_or(Position { line: 1, column: 1 }), what }
    }

    /// Reads items up to `closer`, or to the end of the text.
    fn body(&mut self, closer: Option<Kind>, depth: usize) -> Result<Body, SyntaxError> {
        if depth > BLOCKS_DEPTH_MAX {
            return Err(self.error("blocks are nested too deeply"));
        }
        let mut body = Body::default();
        loop {
            while self.peek().is_some_and(|token| token.kind == Kind::Newline) {
                self.at = self.at.saturating_add(1);
            }
            match (self.peek().map(|token| token.kind), closer) {
                (None, None) => return Ok(body),
                (kind, Some(closer)) if kind == Some(closer) => {
                    self.at = self.at.saturating_add(1);
                    return Ok(body);
                }
                _ => self.item(&mut body, depth)?,
            }
        }
    }

    fn item(&mut self, body: &mut Body, depth: usize) -> Result<(), SyntaxError> {
        let at = self.peek().map(|token| token.at);
        let at = at.ok_or_else(|| self.error("the text ends inside a block"))?;
        let name = match self.names {
            Names::Bare => self.bare_name(),
            Names::Quoted => self.label(),
        };
        let name = name.ok_or_else(|| self.error("neither an argument nor a block"))?;
        if self.peek().is_some_and(|token| token.kind == Kind::Punctuation(b'=')) {
            self.at = self.at.saturating_add(1);
            let value = self.value()?;
            if body.attributes.len() >= ATTRIBUTES_MAX {
                return Err(SyntaxError { at, what: "too many arguments in one block" });
            }
            if body.attribute(&name).is_some() {
                return Err(SyntaxError { at, what: "an argument is given twice" });
            }
            body.attributes.push(Attribute { name, at, value });
        } else {
            let labels = self.labels()?;
            let inner = self.body(Some(Kind::Punctuation(b'}')), depth.saturating_add(1))?;
            body.blocks.push(Block { kind: name, labels, at, body: inner });
        }
        match self.peek().map(|token| token.kind) {
            None | Some(Kind::Newline | Kind::Punctuation(b'}')) => Ok(()),
            Some(_) => Err(self.error("a newline is missing")),
        }
    }

    fn bare_name(&mut self) -> Option<String> {
        let name = self.peek().filter(|token| token.kind == Kind::Identifier)?.text.clone();
        self.at = self.at.saturating_add(1);
        Some(name)
    }

    fn label(&mut self) -> Option<String> {
        if let Some(name) = self.bare_name() {
            return Some(name);
        }
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let close = rest.iter().position(|token| token.kind == Kind::CloseQuote)?;
        let label = literal(rest.get(..close.saturating_add(1))?)?;
        self.at = self.at.saturating_add(close).saturating_add(1);
        Some(label)
    }

    fn labels(&mut self) -> Result<Vec<String>, SyntaxError> {
        let mut labels = Vec::new();
        while labels.len() <= LABELS_MAX {
            if self.peek().is_some_and(|token| token.kind == Kind::Punctuation(b'{')) {
                self.at = self.at.saturating_add(1);
                return Ok(labels);
            }
            let label = self.label();
            labels.push(label.ok_or_else(|| self.error("a block has no opening brace"))?);
        }
        Err(self.error("a block has too many labels"))
    }

    fn value(&mut self) -> Result<Expression, SyntaxError> {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let mut depth = 0_usize;
        let mut length = rest.len();
        for (index, token) in rest.iter().enumerate() {
            let ends = matches!(token.kind, Kind::Newline | Kind::Punctuation(b'}'));
            if ends && depth == 0 {
                length = index;
                break;
            }
            depth = nested(token.kind, depth);
        }
        let tokens = rest.get(..length).unwrap_or_default();
        if tokens.is_empty() {
            return Err(self.error("an argument has no value"));
        }
        self.at = self.at.saturating_add(length);
        Ok(expression(self.source, tokens, MEMBERS_DEPTH_MAX))
    }
}

/// How deep brackets, strings and template sequences may nest, together. Configuration written by
/// people stays below 20.
const DEPTH_MAX: usize = 128;

/// How deep blocks may nest: `dynamic` blocks of deep schemas reach about 12. The parser calls
/// itself once for each.
const BLOCKS_DEPTH_MAX: usize = 64;

/// How deep the members of an object are kept apart: `kubernetes = { exec = { command = … } }`.
const MEMBERS_DEPTH_MAX: usize = 3;

/// No block of the language has more than two labels.
const LABELS_MAX: usize = 4;

/// Arguments of one block: each is compared with the others. Lists of values are expressions.
const ATTRIBUTES_MAX: usize = 4096;

/// How far a block's header is looked for in raw text, between two of its words.
const HEADER_BYTES_MAX: usize = 512;

/// The longest expression that is kept where a path is expected: calls nest, and each keeps its own.
const PATH_BYTES_MAX: usize = 4096;

/// Tokens of one file: a file of the largest size read, at four bytes for each.
const TOKENS_MAX: usize = 1 << 20;
