//! Values beside names: `name=value`, `name: value`, `"name": "value"`, query parameters, header
//! lines, and the password of a URL.
//!
//! Where a value ends depends on what stands before its name: in a query it ends at `&`, in a list
//! at a comma, in quotes at the quote, in running text at a space, in a word of its own at the end
//! of the word. A quote that is not closed runs to the end: too much is better than too little.

use super::{
    Kind, Spans, at, before,
    names::{
        InQuery, NAME_BYTES_MAX, is_exempt, is_weighty, is_whole_line, kind_of, scheme_len,
        weak_kind,
    },
    part, run_end,
};

/// What the scanned bytes are.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Place {
    /// The value of a flag that takes a list of `name=value` with commas between.
    List,
    /// A flag and the name of a secret, which is worth reading.
    Name,
    /// Running text.
    Text,
    /// One word of a command line: a name at its start has the rest of the word for a value.
    Word,
}

/// Finds every value whose name says it is secret, and the passwords of URLs.
pub(super) fn scan(text: &[u8], place: Place, spans: &mut Spans) {
    if !text.contains(&b'=') && !text.contains(&b':') {
        return;
    }
    let manifest = is_secret_manifest(text);
    let mut next = 0;
    while let Some(found) = position(text, next, |byte| byte == b'=' || byte == b':') {
        next = found + 1;
        let secret = Pair::at(text, found, place).and_then(|pair| pair.secret(text, manifest));
        if let Some((span, kind)) = secret {
            next = span.end.max(next);
            spans.push(span, kind);
        } else if part(text, found..found + 3) == b"://" {
            next = user_info(text, found + 3, spans).max(next);
        }
    }
}

/// A name, and where its value may begin.
struct Pair<'a> {
    name: &'a [u8],
    quoted: bool,
    /// The byte before the name and its quote.
    before: Option<u8>,
    colon: bool,
    name_start: usize,
    value_start: usize,
    place: Place,
}

/// Where a value ends.
enum Until {
    /// At the end of everything.
    End,
    /// At the end of the line.
    Line,
    /// At one of these, or at the end of the line.
    One(&'static [u8]),
}

// === impl Pair ===

impl<'a> Pair<'a> {
    /// Reads backwards from a separator for the name, and forwards for the value.
    fn at(text: &'a [u8], separator: usize, place: Place) -> Option<Self> {
        let colon = at(text, separator) == Some(b':');
        let mut end = separator;
        let mut gap = 0;
        while gap < OPERATOR_BYTES_MAX
            && matches!(before(text, end), Some(b':' | b'+' | b'?' | b'=' | b'!'))
        {
            (end, gap) = (end - 1, gap + 1);
        }
        gap = 0;
        while gap < GAP_BYTES_MAX && matches!(before(text, end), Some(b' ' | b'\t' | b']')) {
            (end, gap) = (end - 1, gap + 1);
        }
        let quoted = matches!(before(text, end), Some(b'"' | b'\''));
        if quoted {
            end -= 1;
            while before(text, end) == Some(b'\\') {
                end -= 1;
            }
        }
        let mut name_start = end;
        while before(text, name_start).is_some_and(is_name_byte) {
            name_start -= 1;
        }
        let capped = name_start.max(end.saturating_sub(NAME_BYTES_MAX));
        let name = part(text, capped..end);
        let mut lead = name_start;
        while quoted && matches!(before(text, lead), Some(b'"' | b'\'' | b'\\')) {
            lead -= 1;
        }
        let value_start = Self::value_start(text, separator, colon, 0 < gap)?;
        let pair = Self {
            name,
            quoted,
            before: before(text, lead),
            colon,
            name_start,
            value_start,
            place,
        };
        (!name.is_empty() && pair.separates(text, separator)).then_some(pair)
    }

    fn value_start(text: &[u8], separator: usize, colon: bool, spaced: bool) -> Option<usize> {
        let mut start = separator + 1;
        if !colon && at(text, start) == Some(b'>') {
            start += 1;
        }
        if matches!(at(text, start), Some(b'=')) || (colon && at(text, start) == Some(b':')) {
            return None;
        }
        let after = run_end(text, start, |byte| byte == b' ' || byte == b'\t');
        let quote_follows = matches!(at(text, after), Some(b'"' | b'\'' | b'\\'));
        Some(if colon || spaced || quote_follows { after } else { start })
    }

    /// Whether a colon here stands between a name and a value: followed by a space or a quote, or
    /// its name begins the word. `arn:aws:…:secret:name` and `registry/name:tag` are neither.
    fn separates(&self, text: &[u8], separator: usize) -> bool {
        if !self.colon || self.quoted {
            return true;
        }
        let follows = at(text, separator + 1);
        let set_off =
            follows.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'\\".contains(&byte));
        let begins =
            self.before.is_none_or(|byte| byte.is_ascii_whitespace() || b"\"'=&,;".contains(&byte));
        set_off || begins
    }

    fn in_query(&self) -> InQuery {
        match self.before {
            Some(b'?' | b'&' | b'#') => InQuery::Yes,
            _ => InQuery::No,
        }
    }

    /// Returns the part of `text` that is this pair's secret, if it has one.
    fn secret(&self, text: &[u8], manifest: Manifest) -> Option<(std::ops::Range<usize>, Kind)> {
        let container = self.container_kind(manifest);
        let strong = container.or_else(|| kind_of(self.name));
        let weak = || weak_kind(self.name, self.in_query());
        let kind = strong.or_else(weak)?;
        let start = self.value_start;
        let opens = at(text, start);
        if opens == Some(b'[') || (opens == Some(b'{') && (container.is_some() || self.is_plural()))
        {
            return Some((start..balanced_end(text, start), kind));
        }
        if opens == Some(b'{') {
            return None;
        }
        if self.colon && strong.is_some() && self.opens_block(text) {
            let end = block_end(text, self.name_start, start);
            return Some((start..end, kind));
        }
        let span = self.value_span(text);
        let value = part(text, span.clone());
        // Long values are not examined: whatever is beside such a name and this long is taken out.
        // That also keeps the scan linear, since a value that is kept is looked at again.
        let long = VALUE_BYTES_EXAMINED < value.len();
        let sure = || strong.is_some() || is_weighty(value);
        (long || (sure() && !is_exempt(self.name, value))).then_some((span, kind))
    }

    /// `stringData`, and `data` of a Kubernetes Secret: everything in it is secret.
    fn container_kind(&self, manifest: Manifest) -> Option<Kind> {
        let name = self.name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        match (name, manifest) {
            (b"stringData" | b"string_data", _) | (b"data", Manifest::Secret) => Some(Kind::Value),
            _ => None,
        }
    }

    fn is_plural(&self) -> bool {
        let lower = self.name.to_ascii_lowercase();
        [b"secrets".as_slice(), b"credentials", b"passwords", b"tokens", b"creds"]
            .iter()
            .any(|plural| lower.ends_with(plural))
    }

    /// Whether the value is a YAML block: nothing, or a block mark, and then the line ends.
    fn opens_block(&self, text: &[u8]) -> bool {
        let start = self.value_start;
        let marked = matches!(at(text, start), Some(b'|' | b'>'));
        let head = part(text, start..(start + BLOCK_MARK_BYTES_MAX).min(text.len()));
        let line_ends = head.iter().position(|byte| *byte == b'\n');
        line_ends.is_some_and(|place| marked || part(head, 0..place).trim_ascii().is_empty())
    }

    fn value_span(&self, text: &[u8]) -> std::ops::Range<usize> {
        let start = self.value_start;
        let inner = quoted_inner(text, start);
        if let Some((open, close, after)) = inner {
            let ends = at(text, after).is_none_or(|byte| !is_value_byte(byte));
            if ends {
                return open..close;
            }
        }
        let start = match is_whole_line(self.name) {
            true => start + scheme_len(text.get(start..).unwrap_or_default()),
            false => start,
        };
        start..self.unquoted_end(text, start)
    }

    fn until(&self) -> Until {
        let whole = self.place == Place::Word && self.before.is_none() && !self.quoted;
        match (self.before, self.colon) {
            (Some(quote @ (b'"' | b'\'')), _) if !self.quoted => {
                Until::One(if quote == b'"' { b"\"" } else { b"'" })
            }
            _ if self.place == Place::List => Until::One(b","),
            (Some(b'='), _) if self.place == Place::Word => Until::End,
            _ if whole => Until::End,
            (Some(b'?' | b'&' | b'#'), _) => Until::One(b"&# \t\"'"),
            (Some(b';'), _) => Until::One(b";"),
            (Some(b'{' | b'[' | b'('), _) => Until::One(b",}])"),
            (Some(b','), _) => Until::One(b",}])"),
            (_, true) if self.quoted => Until::One(b",}"),
            (_, true) if is_whole_line(self.name) => Until::Line,
            (_, true) => Until::Line,
            (_, false) => Until::One(b" \t"),
        }
    }

    fn unquoted_end(&self, text: &[u8], start: usize) -> usize {
        let mut place = start;
        let until = self.until();
        let stops: &[u8] = match until {
            Until::End => return text.len(),
            Until::Line => b"",
            Until::One(stops) => stops,
        };
        while let Some(byte) = at(text, place) {
            if byte == b'\n' || stops.contains(&byte) {
                break;
            }
            place = match byte {
                b'\\' => place + 2,
                b'"' | b'\'' => quoted_inner(text, place).map_or(text.len(), |(_, _, after)| after),
                _ => place + 1,
            };
        }
        place.min(text.len())
    }
}

/// Whether the text is the manifest of a Kubernetes Secret.
#[derive(Clone, Copy)]
enum Manifest {
    Other,
    Secret,
}

fn is_secret_manifest(text: &[u8]) -> Manifest {
    let kinds: [&[u8]; 4] =
        [b"kind: Secret", b"\"kind\":\"Secret\"", b"\"kind\": \"Secret\"", b"kind: \"Secret\""];
    let holds = |kind: &&[u8]| text.windows(kind.len()).any(|window| window == *kind);
    let may = text.contains(&b'S');
    if may && kinds.iter().any(holds) { Manifest::Secret } else { Manifest::Other }
}

/// Takes the password out of `user:password@host`, from just behind `://`. Returns where to go on.
fn user_info(text: &[u8], start: usize, spans: &mut Spans) -> usize {
    let stops = |byte: u8| byte.is_ascii_whitespace() || b"\"'<>`".contains(&byte);
    let limit = (start + USER_INFO_BYTES_MAX).min(text.len());
    let rest = part(text, start..limit);
    let word = part(rest, 0..run_end(rest, 0, |byte| !stops(byte)));
    let authority = part(word, 0..run_end(word, 0, |byte| !b"/?#".contains(&byte)));
    let colon = authority.iter().position(|byte| *byte == b':');
    let at_sign = authority.iter().rposition(|byte| *byte == b'@').or_else(|| {
        // A password with an unescaped slash ends the authority early.
        let odd = colon.is_some_and(|colon| !is_host_and_port(authority, colon));
        if odd { word.iter().rposition(|byte| *byte == b'@') } else { None }
    });
    let Some(at_sign) = at_sign else { return start };
    match colon.filter(|colon| *colon < at_sign) {
        Some(colon) => spans.push(start + colon + 1..start + at_sign, Kind::Password),
        // A name alone is a name, unless it is as long as a token.
        None if USER_LEN_MAX < at_sign => spans.push(start..start + at_sign, Kind::Token),
        None => {}
    }
    start + at_sign
}

/// Whether `authority` is a host with a dot, or the local one, and a port; else what stands behind
/// the colon may be the beginning of a password.
fn is_host_and_port(authority: &[u8], colon: usize) -> bool {
    let (host, port) = (part(authority, 0..colon), part(authority, colon + 1..authority.len()));
    let named = host.contains(&b'.') || host == b"localhost" || host.starts_with(b"[");
    named && port.iter().all(u8::is_ascii_digit)
}

/// Returns where the quoted text at `start` begins and ends inside its quotes, and where it ends
/// with them. The quote may itself be escaped, as in JSON inside a string.
fn quoted_inner(text: &[u8], start: usize) -> Option<(usize, usize, usize)> {
    let open = run_end(text, start, |byte| byte == b'\\');
    let quote = at(text, open).filter(|byte| *byte == b'"' || *byte == b'\'')?;
    let depth = open - start;
    let inner = open + 1;
    let mut place = inner;
    let mut backslashes = 0;
    while let Some(byte) = at(text, place) {
        let closes = match (quote, depth) {
            (b'\'', 0) => true,
            (_, 0) => backslashes % 2 == 0,
            (_, depth) => backslashes <= depth,
        };
        if byte == quote && closes {
            let close = place - if depth == 0 { 0 } else { backslashes };
            return Some((inner, close, place + 1));
        }
        backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        place += 1;
    }
    Some((inner, text.len(), text.len()))
}

/// Returns where the bracket that opens at `start` closes, or the end.
fn balanced_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut place = start;
    while let Some(byte) = at(text, place) {
        match byte {
            b'"' => {
                place = quoted_inner(text, place).map_or(text.len(), |(_, _, after)| after);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        place += 1;
        if depth == 0 {
            return place;
        }
    }
    text.len()
}

/// Returns where the lines end that are indented deeper than the line of `name_start`.
fn block_end(text: &[u8], name_start: usize, value_start: usize) -> usize {
    let mut line_start = name_start;
    while before(text, line_start).is_some_and(|byte| byte != b'\n')
        && name_start < line_start + INDENT_MAX
    {
        line_start -= 1;
    }
    let indent = run_end(text, line_start, |byte| byte == b' ') - line_start;
    let mut end = value_start;
    let mut place = run_end(text, value_start, |byte| byte != b'\n') + 1;
    while place < text.len() {
        let own = run_end(text, place, |byte| byte == b' ') - place;
        let line_end = run_end(text, place, |byte| byte != b'\n');
        let blank = part(text, place..line_end).trim_ascii().is_empty();
        if own <= indent && !blank {
            break;
        }
        end = line_end;
        place = line_end + 1;
    }
    end
}

fn position(text: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let place = run_end(text, from, |byte| !wanted(byte));
    (place < text.len()).then_some(place)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-$%[]".contains(&byte)
}

fn is_value_byte(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b",;&}])\"'\\".contains(&byte)
}

/// How much space may stand between a name and its separator.
const GAP_BYTES_MAX: usize = 64;

/// How far the `@` of a URL is looked for.
const USER_INFO_BYTES_MAX: usize = 1024;

/// How many bytes of an operator may stand before its last: `:=`, `+=`, `==`.
const OPERATOR_BYTES_MAX: usize = 2;

/// The longest value that is examined for being harmless.
const VALUE_BYTES_EXAMINED: usize = 512;

/// The longest mark of a YAML block, with its line end.
const BLOCK_MARK_BYTES_MAX: usize = 6;

/// The longest user name of a URL that is taken for a name and not for a token.
const USER_LEN_MAX: usize = 20;

/// How far a line is walked back for its indentation.
const INDENT_MAX: usize = 256;
