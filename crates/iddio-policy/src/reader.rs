//! Reading typed values out of a tree, and collecting what is wrong with it.
//!
//! Every reader returns `None` after it has said what is wrong, so one look at a file finds all its
//! mistakes. INVARIANT: a file with any fault is refused whole; see [`crate::load()`].

use std::ops::Range;

use iddio_core::policy::pattern::{Glob, GlobError, GlobKind, Globs};

use crate::{
    limits::{DIAGNOSTICS_MAX, NAME_CHARS_MAX},
    source::{Fault, printable},
    tree::{Entry, Node, Value},
};

/// Collects faults.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) faults: Vec<Fault>,
}

/// A map whose keys are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'n> {
    entries: &'n [Entry],
}

// === impl Reader ===

impl Reader {
    /// Notes a fault.
    pub(crate) fn fault(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        if self.faults.len() < DIAGNOSTICS_MAX {
            let (message, expected) = (message.into(), expected.into());
            self.faults.push(Fault { span: span.clone(), message, expected });
        }
    }

    /// Reads a map that may have these keys and no other.
    pub(crate) fn table<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Table<'n>> {
        let entries = self.entries(node)?;
        for Entry { key, span, .. } in entries {
            if self.faults.len() == DIAGNOSTICS_MAX {
                break;
            }
            if !known.contains(&key.as_str()) {
                self.fault(span, format!("unknown key `{}`", shown(key)), suggestion(key, known));
            }
        }
        Some(Table { entries })
    }

    /// Reads a map with any keys.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => {
                self.duplicates(entries);
                Some(entries)
            }
            other => self.mistyped(node, other, "a map"),
        }
    }

    /// The parsers refuse duplicate keys; a tree is checked again, because nothing else would
    /// notice if one day they did not.
    fn duplicates(&mut self, entries: &[Entry]) {
        let mut seen = std::collections::HashSet::new();
        for Entry { key, span, .. } in entries {
            if !seen.insert(key) {
                self.fault(span, format!("duplicate key `{}`", shown(key)), "each key stands once");
            }
        }
    }

    /// Reads a list that is not empty.
    pub(crate) fn list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.fault(&node.span, "an empty list", "at least one item, or no such key");
                None
            }
            Value::List(items) => Some(items),
            other => self.mistyped(node, other, "a list"),
        }
    }

    /// Reads a list that may be empty.
    pub(crate) fn list_or_empty<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            other => self.mistyped(node, other, "a list"),
        }
    }

    /// Reads text.
    pub(crate) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Boolean(_) | Value::Integer(_) => {
                self.mistyped(node, &node.value, "text: write it in quotes")
            }
            other => self.mistyped(node, other, "text"),
        }
    }

    /// Reads a name: a few printable characters without spaces.
    pub(crate) fn name(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        self.sound_name(text, &node.span)
    }

    /// Checks the characters of a name.
    pub(crate) fn sound_name(&mut self, text: &str, span: &Range<usize>) -> Option<String> {
        let sound = |character: char| !character.is_control() && !character.is_whitespace();
        let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
        if fits && text.chars().all(sound) && printable(text) == text {
            return Some(text.to_owned());
        }
        let expected = format!("1 to {NAME_CHARS_MAX} printable characters without spaces");
        self.fault(span, format!("bad name `{}`", shown(text)), expected);
        None
    }

    /// Reads a list of names.
    pub(crate) fn names(&mut self, node: &Node) -> Option<Vec<String>> {
        let names: Vec<_> = self.list(node)?.iter().map(|item| self.name(item)).collect();
        names.into_iter().collect()
    }

    /// Reads `true` or `false`.
    pub(crate) fn switch<T>(&mut self, node: &Node, on: T, off: T) -> Option<T> {
        match &node.value {
            Value::Boolean(true) => Some(on),
            Value::Boolean(false) => Some(off),
            other => self.mistyped(node, other, "true or false"),
        }
    }

    /// Reads a whole number within bounds.
    pub(crate) fn number(&mut self, node: &Node, least: i64, most: i64) -> Option<i64> {
        match &node.value {
            Value::Integer(number) if (least..=most).contains(number) => Some(*number),
            Value::Integer(number) => {
                self.fault(
                    &node.span,
                    format!("`{number}` is out of range"),
                    format!("expected a number from {least} to {most}"),
                );
                None
            }
            other => self.mistyped(node, other, "a whole number"),
        }
    }

    /// Reads one of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        node: &Node,
        kind: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let Value::Text(text) = &node.value else {
            return self.mistyped(node, &node.value, &listed(&names));
        };
        let found = words.iter().find(|(name, _)| name == text).map(|(_, value)| *value);
        if found.is_none() {
            let message = format!("unknown {kind} `{}`", shown(text));
            self.fault(&node.span, message, suggestion(text, &names));
        }
        found
    }

    /// Reads a duration such as `30m`, `90s` or `1h30m`, in milliseconds.
    pub(crate) fn duration(&mut self, node: &Node, most: u64) -> Option<u64> {
        let text = match &node.value {
            Value::Integer(_) => return self.mistyped(node, &node.value, DURATION),
            _ => self.text(node)?,
        };
        match parse_duration(text) {
            Some(millis) if (1..=most).contains(&millis) => Some(millis),
            Some(_) => {
                let message = format!("`{}` is out of range", shown(text));
                self.fault(
                    &node.span,
                    message,
                    format!("more than 0 and at most {}", spoken(most)),
                );
                None
            }
            None => {
                let message = format!("bad duration `{}`", shown(text));
                self.fault(&node.span, message, format!("expected {DURATION}"));
                None
            }
        }
    }

    /// Reads one glob.
    pub(crate) fn glob(&mut self, node: &Node, kind: GlobKind) -> Option<Glob> {
        let text = self.text(node)?;
        match Glob::new(kind, text) {
            Ok(glob) => Some(glob),
            Err(error) => {
                let expected = match error {
                    GlobError::Character(_) => {
                        format!("{error}; `*` is any run, `?` one character")
                    }
                    GlobError::Deep | GlobError::Empty | GlobError::Long => error.to_string(),
                };
                self.fault(&node.span, format!("bad glob `{}`", shown(text)), expected);
                None
            }
        }
    }

    /// Reads a list of globs.
    pub(crate) fn globs(&mut self, node: &Node, kind: GlobKind) -> Option<Globs> {
        let globs: Vec<_> = self.list(node)?.iter().map(|item| self.glob(item, kind)).collect();
        globs.into_iter().collect::<Option<Vec<_>>>().map(Globs::new)
    }

    /// Says that a value has the wrong type.
    pub(crate) fn mistyped<T>(&mut self, node: &Node, value: &Value, expected: &str) -> Option<T> {
        let message = match value {
            Value::Text(text) => format!("`{}` is text", shown(text)),
            Value::Integer(number) => format!("`{number}` is a number"),
            Value::Boolean(switch) => format!("`{switch}` is a boolean"),
            Value::Nothing => "a value is missing".to_owned(),
            Value::List(_) | Value::Map(_) | Value::Other(_) => format!("this is {}", value.kind()),
        };
        self.fault(&first_of(node), message, format!("expected {expected}"));
        None
    }
}

/// Returns where to point at a node: a list or a map is pointed at where it begins.
pub(crate) fn first_of(node: &Node) -> Range<usize> {
    match node.value {
        Value::List(_) | Value::Map(_) => node.span.start..node.span.start + 1,
        _ => node.span.clone(),
    }
}

// === impl Table ===

impl<'n> Table<'n> {
    /// Returns the entry under `key`.
    pub(crate) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Returns the value under `key`.
    pub(crate) fn node(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.node)
    }
}

/// Returns what was expected, with the nearest of the known words where one is near.
pub(crate) fn suggestion(written: &str, known: &[&str]) -> String {
    let near = nearest(written, known);
    match (near, known.len() <= LISTED_MAX) {
        (Some(near), true) => format!("expected {}; did you mean `{near}`?", listed(known)),
        (Some(near), false) => format!("did you mean `{near}`?"),
        (None, _) if SHOWN_KEYS < known.len() => {
            let some: Vec<_> = known.iter().take(LISTED_MAX / 2).copied().collect();
            format!("expected one of {} words such as {}", known.len(), listed(&some))
        }
        (None, _) => format!("expected {}", listed(known)),
    }
}

/// Returns the known word that is nearest, if it is near enough to be meant.
pub(crate) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    if NAME_CHARS_MAX < written.len() {
        return None;
    }
    let distance = |word: &&&str| edits(&written.to_lowercase(), word);
    let near = known.iter().min_by_key(distance)?;
    let enough = 1 + near.len() / 4;
    (distance(&near) <= enough).then_some(*near)
}

/// Counts the insertions, deletions, replacements and swaps between two words.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    let mut last = None;
    for (place, character) in one.chars().enumerate() {
        let mut next = vec![place + 1];
        for (column, known) in other.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let swapped =
                column > 0 && last == Some(*known) && other.get(column - 1) == Some(&character);
            let swap = if swapped { at(&before, column - 1) + 1 } else { usize::MAX };
            let cost = usize::from(*known != character);
            let straight = at(&row, column) + cost;
            let gap = at(&row, column + 1).min(at(&next, column)) + 1;
            next.push(straight.min(gap).min(swap));
        }
        before = std::mem::replace(&mut row, next);
        last = Some(character);
    }
    row.last().copied().unwrap_or_default()
}

/// Writes `a, b or c`.
pub(crate) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Cuts user input to what a message can hold.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", printable(text.get(..end).unwrap_or_default())),
        None => printable(text),
    }
}

fn parse_duration(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.chars().next()?;
        let millis = match unit {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        if last <= millis {
            return None;
        }
        last = millis;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
        rest = tail.get(unit.len_utf8()..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// Writes a whole number of days, hours, minutes or seconds.
pub(crate) fn spoken(millis: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(size, _)| millis.is_multiple_of(*size));
    unit.map_or_else(|| format!("{millis} ms"), |(size, name)| format!("{}{name}", millis / size))
}

/// How durations are written.
const DURATION: &str = "a duration such as 90s, 30m or 1h30m";

/// How many words a message lists when it also suggests one.
const LISTED_MAX: usize = 8;

/// How many words a message lists when it suggests none.
const SHOWN_KEYS: usize = 16;

/// How much of a wrong word a message repeats.
const SHOWN_CHARS: usize = 60;
