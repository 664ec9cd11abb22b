//! Secrets in exchanges: heads, and bodies by what their heads say they are.
//!
//! A body that is JSON is read as such, other text line by line, and anything else is left out: nobody
//! here could say where a secret stands in it. A body is recorded up to a limit, and counted beyond.

use iddio_core::{recording::Channel, redact};

use super::{
    json::{Json, Rules},
    masked, omitted,
    text::{Span, Text},
};
use crate::format::Frame;

/// An exchange, on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    rules: Rules,
    request: Body,
    response: Body,
    /// How many secrets were taken out.
    pub(crate) secrets: u64,
}

/// A body, on its way.
#[derive(Debug)]
struct Body {
    reader: Reader,
    seen: u64,
    over: u64,
}

/// How a body is looked at.
#[derive(Debug)]
enum Reader {
    Json(Box<Json>),
    Omit(String),
    Text(Text),
    /// Its first byte says whether it is JSON, as what kubectl calls YAML is.
    Yaml(Rules),
}

// === impl Exchange ===

impl Exchange {
    /// Begins an exchange about objects of a kind.
    pub(crate) fn new(resource: &str) -> Self {
        let rules = rules(resource);
        Self { rules, request: Body::new(), response: Body::new(), secrets: 0 }
    }

    /// Takes a frame, and gives `each` what may be recorded.
    pub(crate) fn frame(&mut self, frame: Frame<'_>, each: &mut dyn FnMut(Frame<'_>)) {
        let Frame { micros, channel, bytes } = frame;
        let (body, head) = match channel {
            Channel::RequestHead | Channel::Request => {
                (&mut self.request, channel == Channel::RequestHead)
            }
            _ => (&mut self.response, channel == Channel::ResponseHead),
        };
        let mut out = Vec::new();
        if head {
            self.secrets += self::head(bytes, &mut out);
            *body = Body::of(bytes, self.rules);
        } else {
            self.secrets += body.push(bytes, &mut out);
        }
        if !out.is_empty() {
            each(Frame { micros, channel, bytes: &out });
        }
    }

    /// Ends both bodies.
    pub(crate) fn finish(&mut self, micros: u64, each: &mut dyn FnMut(Frame<'_>)) {
        for (channel, body) in
            [(Channel::Request, &mut self.request), (Channel::Response, &mut self.response)]
        {
            let mut out = Vec::new();
            self.secrets += body.finish(&mut out);
            if !out.is_empty() {
                each(Frame { micros, channel, bytes: &out });
            }
        }
    }
}

// === impl Body ===

impl Body {
    fn new() -> Self {
        Self { reader: Reader::Omit("of no known type".to_owned()), seen: 0, over: 0 }
    }

    /// Begins the body that a head speaks of.
    fn of(head: &[u8], rules: Rules) -> Self {
        let value = |wanted: &str| {
            let lines = head.split(|byte| *byte == b'\n').filter_map(|line| line.split_once_byte());
            let mut found = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            let (_, value) = found.next()?;
            Some(String::from_utf8_lossy(value).trim().to_ascii_lowercase())
        };
        let kind = value("content-type").unwrap_or_default();
        let encoding = value("content-encoding").filter(|encoding| encoding != "identity");
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let reader = match encoding {
            Some(encoding) => Reader::Omit(format!("packed by {}", short(&encoding))),
            None if kind.ends_with("json") => Reader::Json(Box::new(Json::new(rules))),
            None if kind.ends_with("yaml") => Reader::Yaml(rules),
            None if kind.starts_with("text/") => Reader::Text(Text::default()),
            None if kind.is_empty() => Reader::Omit("of no known type".to_owned()),
            None => Reader::Omit(format!("{} is not looked into", short(&kind))),
        };
        Self { reader, seen: 0, over: 0 }
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> u64 {
        let room = usize::try_from(BODY_BYTES_MAX.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.seen += now.len() as u64;
        self.over += later.len() as u64;
        if let Reader::Yaml(rules) = self.reader {
            self.reader = match now.trim_ascii_start().first() {
                None => return 0,
                Some(b'{' | b'[') => Reader::Json(Box::new(Json::new(rules))),
                Some(_) if rules == Rules::Secret => {
                    Reader::Omit("YAML of a secret is not looked into".to_owned())
                }
                Some(_) => Reader::Text(Text::default()),
            };
        }
        match &mut self.reader {
            Reader::Json(json) => {
                let before = json.secrets;
                json.push(now, out);
                json.secrets - before
            }
            Reader::Omit(_) | Reader::Yaml(_) => 0,
            Reader::Text(text) => put(text.push(now), out),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> u64 {
        let secrets = match &mut self.reader {
            Reader::Json(json) if 0 < self.seen => {
                json.finish(out);
                0
            }
            Reader::Json(_) => 0,
            Reader::Omit(why) if 0 < self.seen => {
                out.extend(omitted(self.seen + self.over, why).into_bytes());
                return 0;
            }
            Reader::Omit(_) | Reader::Yaml(_) => 0,
            Reader::Text(text) => put(text.finish(), out),
        };
        if 0 < self.over {
            out.extend(omitted(self.over, "more than is recorded of a body").into_bytes());
        }
        secrets
    }
}

/// Returns what would be recorded of a body of a type that says something of a resource, in whatever
/// pieces it comes.
pub fn redacted_body<'a>(
    resource: &str,
    kind: &str,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let head = format!("200\ncontent-type: {kind}\n");
    let mut body = Body::of(head.as_bytes(), rules(resource));
    let mut out = Vec::new();
    for piece in pieces {
        let _ = body.push(piece, &mut out);
    }
    let _ = body.finish(&mut out);
    out
}

/// Splits a line of a head.
trait SplitLine {
    fn split_once_byte(&self) -> Option<(&[u8], &[u8])>;
}

impl SplitLine for [u8] {
    fn split_once_byte(&self) -> Option<(&[u8], &[u8])> {
        let at = self.iter().position(|byte| *byte == b':')?;
        Some((self.get(..at)?, self.get(at + 1..)?))
    }
}

/// Writes a head without its secrets, and returns how many there were.
fn head(bytes: &[u8], out: &mut Vec<u8>) -> u64 {
    let mut secrets = 0;
    for (place, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let (name, value) = line.split_once_byte().filter(|_| 0 < place).unwrap_or((&[], line));
        let found = match name {
            [] => redact::text(value),
            name => {
                out.extend_from_slice(name);
                out.push(b':');
                redact::header(name, value)
            }
        };
        match masked(&found) {
            Some(masked) => {
                secrets += found.secrets() as u64;
                out.extend_from_slice(&masked);
                if line.ends_with(b"\n") && !masked.ends_with(b"\n") {
                    out.push(b'\n');
                }
            }
            None => out.extend_from_slice(value),
        }
    }
    secrets
}

/// Writes what may be recorded, and returns how many secrets there were.
fn put(spans: Vec<Span>, out: &mut Vec<u8>) -> u64 {
    let mut secrets = 0;
    for span in spans {
        match span {
            Span::Plain(bytes) => out.extend_from_slice(&bytes),
            Span::Secret(_, mark) => {
                secrets += u64::from(!mark.is_empty());
                out.extend_from_slice(mark.as_bytes());
            }
        }
    }
    secrets
}

/// Returns what is known of documents about a resource, as its operation names it: `secrets`,
/// `serviceaccounts/token`, `secrets/db`.
fn rules(resource: &str) -> Rules {
    let word = |wanted: &str| resource.split([',', ' ', '/', '.']).any(|word| word == wanted);
    if ["secrets", "token", "tokenreviews", "tokenrequests"].iter().any(|name| word(name)) {
        return Rules::Secret;
    }
    let map = resource.split([' ', '/']).next() == Some("configmaps");
    if map { Rules::ConfigMap } else { Rules::Ordinary }
}

fn short(word: &str) -> String {
    word.chars().filter(|char| char.is_ascii_graphic()).take(80).collect()
}

/// How much of one body is recorded: more than any object has, and little of a list without end.
const BODY_BYTES_MAX: u64 = 4 << 20;
