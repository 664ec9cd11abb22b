//! The query of a request, in the one reading there is.
//!
//! What a server would take the first of and another the last of, drop, or read in another case is
//! refused: a parameter named twice (threat K17), a semicolon, an escape that is none, a name of
//! Kubernetes' own in another case. Nothing here is rewritten: what is forwarded is what was read.

use super::call::Malformed;

/// The parameters of a request, decoded, in the order they were written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query(Vec<(String, String)>);

/// Whose parameters they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reader {
    /// The API server's.
    Server,
    /// Of whatever the API server forwards the request to. Judged as break-glass, not by them.
    Beyond,
}

// === impl Query ===

impl Query {
    /// Reads what stands behind the question mark.
    pub(super) fn read(text: &str, reader: Reader) -> Result<Self, Malformed> {
        let graphic = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !graphic || text.contains(';') {
            return Err(Malformed::Query("a query that could be read in two ways"));
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut query = Self::default();
        for pair in text.split('&') {
            if PARAMETERS_MAX <= query.0.len() {
                return Err(Malformed::Query("more parameters than the limit"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) =
                decoded.ok_or(Malformed::Query("an escape in the query that is none"))?;
            if reader == Reader::Server {
                query.check(&name, &value)?;
            }
            query.0.push((name, value));
        }
        Ok(query)
    }

    /// Returns the value of a parameter that stands once.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns the values of a parameter that may stand several times.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether it asks for a watch, as the API server reads the word.
    pub(super) fn watches(&self) -> Watches {
        match self.one("watch") {
            None | Some("0") => Watches::No,
            Some(word) if word.eq_ignore_ascii_case("false") => Watches::No,
            Some(_) => Watches::Yes,
        }
    }

    /// Returns the one name that a field selector asks for, if it asks for one.
    pub(super) fn selected_name(&self) -> Result<Option<String>, Malformed> {
        let mut found = None;
        let mut seen = None;
        for term in self.one("fieldSelector").unwrap_or_default().split(',') {
            if term.is_empty() {
                continue;
            }
            let sound = term.split_once('=').filter(|_| !term.contains('\\'));
            let sound =
                sound.map(|(field, value)| (field, value.strip_prefix('=').unwrap_or(value)));
            let Some((field, value)) = sound.filter(|(_, value)| !value.contains('=')) else {
                return Err(Malformed::Query("a field selector that selects nothing"));
            };
            if field != "metadata.name" {
                continue;
            }
            if seen.replace(value).is_some() {
                return Err(Malformed::Query("a field selector of two names"));
            }
            let segment = !matches!(value, "" | "." | "..") && !value.contains(['/', '%']);
            found = segment.then(|| value.to_owned());
        }
        Ok(found)
    }

    fn check(&self, name: &str, value: &str) -> Result<(), Malformed> {
        if name.is_empty() {
            return Err(Malformed::Query("a parameter without a name"));
        }
        let other_case = OWN.iter().any(|own| own.eq_ignore_ascii_case(name) && *own != name);
        if other_case {
            return Err(Malformed::Query("a parameter in another case than the server's"));
        }
        let odd = |text: &str| text.chars().any(char::is_control);
        if odd(name) || odd(value) && name != "command" || value.contains('\0') {
            return Err(Malformed::Query("a control character in the query"));
        }
        if self.one(name).is_some() && !REPEATED.contains(&name) {
            return Err(Malformed::Query("a parameter that stands twice"));
        }
        if NUMBERS.contains(&name) && value.parse::<i64>().is_err() {
            return Err(Malformed::Query("a number in the query that is none"));
        }
        Ok(())
    }
}

/// Whether a watch is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Watches {
    /// It is not.
    No,
    /// It is.
    Yes,
}

/// Decodes escapes and pluses; `None` for what is none, or is not UTF-8 then.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_first_chunk::<2>()?;
                bytes.push(escaped(digits)?);
                rest = tail;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Returns the byte that two hexadecimal digits stand for.
pub(super) fn escaped(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

/// The parameters of the API server that decide something.
const OWN: [&str; 20] = [
    "allowWatchBookmarks",
    "command",
    "container",
    "continue",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "force",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "ports",
    "propagationPolicy",
    "resourceVersion",
    "stdin",
    "timeoutSeconds",
    "tty",
    "watch",
];

/// Those that may stand several times: the words of a command, ports.
const REPEATED: [&str; 2] = ["command", "ports"];

/// Those that are numbers: with one that is none, the server would forget the field selector.
const NUMBERS: [&str; 3] = ["gracePeriodSeconds", "limit", "timeoutSeconds"];

/// The most parameters: an honest command has a few dozen words.
const PARAMETERS_MAX: usize = 1024;
