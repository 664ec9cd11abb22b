//! What the full-screen view shows, and what a key means. Pure.
//!
//! INVARIANT: a key acts on the ask whose name was on the screen when it was pressed. The list
//! never reorders: new asks are added below, and those that are over stay where they were until the
//! user clears them. Choosing to answer asks again, by name, and keys pressed within half a second
//! of that question, or of a change to the chosen ask, are ignored (E05).
//!
//! INVARIANT: what does not fit the brief view is approved only after its last line was shown.

use std::collections::BTreeSet;

use iddio_core::time::Moment;

use crate::{
    id::AskId,
    queue::{Entry, State},
    render::{self, Length, View},
};

/// The state of the view.
#[derive(Debug, Default)]
pub(super) struct Screen {
    rows: Vec<Entry>,
    chosen: Option<AskId>,
    mode: Mode,
    seen_whole: BTreeSet<AskId>,
    deaf_until: u64,
    message: String,
}

/// What is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Mode {
    /// A question: answer this ask so?
    Confirm { id: AskId, answer: Answer },
    /// One ask, from this line on.
    Detail { id: AskId, top: usize },
    /// All of them.
    #[default]
    List,
}

/// What a user may answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    No,
    Yes,
}

/// A key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    Back,
    Char(char),
    Down,
    Enter,
    Leave,
    Up,
}

/// What the user wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    Approve { id: AskId, digest: String },
    Deny { id: AskId },
    Leave,
    Nothing,
}

/// How large the screen is, in characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

// === impl Screen ===

impl Screen {
    /// Returns the shown asks that are open here and not in `open`.
    pub(super) fn missing(&self, open: &[Entry]) -> Vec<AskId> {
        let gone = |row: &&Entry| {
            row.state == State::Pending && !open.iter().any(|entry| entry.id == row.id)
        };
        self.rows.iter().filter(gone).map(|row| row.id.clone()).collect()
    }

    /// Takes over how things stand: `open` asks, and the `fates` of those that no longer are.
    pub(super) fn refresh(&mut self, open: Vec<Entry>, fates: Vec<Entry>, now: Moment) {
        for id in self.missing(&open) {
            let fate = fates.iter().find(|entry| entry.id == id);
            let Some(row) = self.rows.iter_mut().find(|row| row.id == id) else { continue };
            match fate {
                Some(entry) => *row = entry.clone(),
                None => row.state = State::Lapsed,
            }
            if self.chosen.as_ref() == Some(&id) {
                self.deaf_until = now.boot.millis.saturating_add(DEAF_MILLIS);
            }
        }
        for entry in open {
            match self.rows.iter_mut().find(|row| row.id == entry.id) {
                Some(row) => *row = entry,
                None => self.rows.push(entry),
            }
        }
        if self.chosen.is_none() {
            self.chosen = self.rows.first().map(|row| row.id.clone());
        }
    }

    /// Shows a message until the next key.
    pub(super) fn tell(&mut self, message: String) {
        self.message = message;
    }

    /// Returns what `key` means now.
    pub(super) fn press(&mut self, key: Key, now: Moment) -> Wish {
        if now.boot.millis < self.deaf_until && key != Key::Leave {
            return Wish::Nothing;
        }
        self.message.clear();
        match (self.mode.clone(), key) {
            (_, Key::Leave) | (Mode::List, Key::Char('q')) => return Wish::Leave,
            (Mode::List, Key::Up | Key::Char('k')) => self.choose(-1),
            (Mode::List, Key::Down | Key::Char('j')) => self.choose(1),
            (Mode::List, Key::Char('c')) => self.clear(),
            (Mode::List, Key::Enter) => {
                if let Some(id) = self.chosen.clone() {
                    self.mode = Mode::Detail { id, top: 0 };
                }
            }
            (Mode::Detail { id, top }, Key::Down | Key::Char('j')) => {
                self.mode = Mode::Detail { id, top: top.saturating_add(1) };
            }
            (Mode::Detail { id, top }, Key::Char(' ')) => {
                self.mode = Mode::Detail { id, top: top.saturating_add(PAGE_LINES) };
            }
            (Mode::Detail { id, top }, Key::Up | Key::Char('k')) => {
                self.mode = Mode::Detail { id, top: top.saturating_sub(1) };
            }
            (Mode::List | Mode::Detail { .. }, Key::Char('a')) => self.question(Answer::Yes, now),
            (Mode::List | Mode::Detail { .. }, Key::Char('d')) => self.question(Answer::No, now),
            (Mode::Confirm { id, answer }, Key::Char('y')) => return self.confirmed(&id, answer),
            (Mode::Confirm { .. } | Mode::Detail { .. }, Key::Char('q' | 'n') | Key::Back)
            | (Mode::Confirm { .. }, _) => self.mode = Mode::List,
            (Mode::Detail { .. } | Mode::List, _) => {}
        }
        Wish::Nothing
    }

    /// Returns the whole screen, every line at most `size.columns` wide.
    pub(super) fn draw(&mut self, size: Size, now: Moment) -> String {
        let body = size.rows.saturating_sub(4).max(1);
        let (title, lines, keys) = match self.mode.clone() {
            Mode::List => (self.title(), self.list(body, now), LIST_KEYS),
            Mode::Detail { id, top } => {
                (format!("ask {id}"), self.detail(&id, top, Size { rows: body, ..size }, now), KEYS)
            }
            Mode::Confirm { id, answer } => {
                let word = if answer == Answer::Yes { "APPROVE" } else { "DENY" };
                let mut lines =
                    self.detail(&id, 0, Size { rows: body.saturating_sub(2), ..size }, now);
                lines.push(String::new());
                lines.push(format!("{word} {id}?  y = yes, any other key = no"));
                (format!("{word} {id}?"), lines, "y  any other key: no")
            }
        };
        let mut screen = vec![cut(&title, size.columns), String::new()];
        screen.extend(lines.iter().map(|line| cut(line, size.columns)));
        screen.resize(size.rows.saturating_sub(2).max(screen.len()), String::new());
        screen.push(cut(&self.message, size.columns));
        screen.push(cut(keys, size.columns));
        screen.join("\n")
    }

    fn title(&self) -> String {
        let open = self.rows.iter().filter(|row| row.state == State::Pending).count();
        match open {
            0 => "iddio approvals: nothing waits".to_owned(),
            open => format!("iddio approvals: {open} waiting"),
        }
    }

    fn list(&self, rows: usize, now: Moment) -> Vec<String> {
        let place = self.place().unwrap_or(0);
        // The window moves only when the cursor leaves it.
        let top = (place / rows.max(1)).saturating_mul(rows);
        let line = |row: &Entry| {
            let mark = if self.chosen.as_ref() == Some(&row.id) { ">" } else { " " };
            format!("{mark} {}", render::row(row, now))
        };
        self.rows.iter().skip(top).take(rows).map(line).collect()
    }

    fn detail(&mut self, id: &AskId, top: usize, size: Size, now: Moment) -> Vec<String> {
        let Some(entry) = self.rows.iter().find(|row| row.id == *id) else {
            return vec!["this ask is gone".to_owned()];
        };
        let view = render::show(entry, now, View::Full);
        let lines: Vec<String> =
            view.lines().flat_map(|line| wrapped(line, size.columns)).collect();
        let last = lines.len().saturating_sub(size.rows);
        let top = top.min(last);
        if top == last {
            self.seen_whole.insert(id.clone());
        }
        if let Mode::Detail { top: kept, .. } = &mut self.mode {
            *kept = top;
        }
        lines.into_iter().skip(top).take(size.rows).collect()
    }

    fn place(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(&row.id) == self.chosen.as_ref())
    }

    fn choose(&mut self, by: isize) {
        let place = self.place().unwrap_or(0).saturating_add_signed(by);
        let place = place.min(self.rows.len().saturating_sub(1));
        self.chosen = self.rows.get(place).map(|row| row.id.clone());
    }

    /// Takes away what is over.
    fn clear(&mut self) {
        self.rows.retain(|row| row.state == State::Pending);
        if self.place().is_none() {
            self.chosen = self.rows.first().map(|row| row.id.clone());
        }
    }

    fn question(&mut self, answer: Answer, now: Moment) {
        let id = match &self.mode {
            Mode::Detail { id, .. } => Some(id.clone()),
            Mode::Confirm { .. } | Mode::List => self.chosen.clone(),
        };
        let entry = id.and_then(|id| self.rows.iter().find(|row| row.id == id));
        let Some(entry) = entry else { return };
        let long = render::length(&entry.ask) == Length::Long;
        if entry.state != State::Pending {
            self.message = format!("{} is over: {}", entry.id, entry.state.name());
        } else if answer == Answer::Yes && long && !self.seen_whole.contains(&entry.id) {
            self.message = format!("{} is long: open it and read to the end first", entry.id);
        } else {
            self.mode = Mode::Confirm { id: entry.id.clone(), answer };
            self.deaf_until = now.boot.millis.saturating_add(DEAF_MILLIS);
        }
    }

    /// A yes counts only if every line of the ask was on the screen, however short it is.
    fn confirmed(&mut self, id: &AskId, answer: Answer) -> Wish {
        self.mode = Mode::List;
        if answer == Answer::Yes && !self.seen_whole.contains(id) {
            self.message =
                format!("{id} does not fit the screen: open it and read to the end first");
            return Wish::Nothing;
        }
        let entry = self.rows.iter().find(|row| row.id == *id && row.state == State::Pending);
        match (entry, answer) {
            (None, _) => Wish::Nothing,
            (Some(_), Answer::No) => Wish::Deny { id: id.clone() },
            (Some(entry), Answer::Yes) => {
                Wish::Approve { id: id.clone(), digest: entry.digest().to_hex() }
            }
        }
    }
}

/// Returns the keys in what was read. Bracketed paste is not asked for, and an escape sequence that
/// is not known is one key that goes back.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        let (key, after) = match (*first, others) {
            (0x1b, [b'[' | b'O', b'A', after @ ..]) => (Key::Up, after),
            (0x1b, [b'[' | b'O', b'B', after @ ..]) => (Key::Down, after),
            (0x1b, _) => (Key::Back, &[][..]),
            (b'\r' | b'\n', after) => (Key::Enter, after),
            (3 | 4, after) => (Key::Leave, after),
            (byte, after) => (Key::Char(char::from(byte)), after),
        };
        keys.push(key);
        rest = after;
    }
    keys
}

/// Breaks a line, so that nothing of it is hidden. A character outside ASCII may be two columns
/// wide, and is counted so.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut current, mut width) = (Vec::new(), String::new(), 0);
    for letter in line.chars() {
        let wide = if letter.is_ascii() { 1 } else { 2 };
        if columns < width + wide && !current.is_empty() {
            lines.push(std::mem::take(&mut current));
            width = 0;
        }
        current.push(letter);
        width += wide;
    }
    lines.push(current);
    lines
}

fn cut(line: &str, columns: usize) -> String {
    wrapped(line, columns).into_iter().next().unwrap_or_default()
}

/// How long keys are ignored after a question appears or the chosen ask changes.
const DEAF_MILLIS: u64 = 500;

/// How far the space bar goes.
const PAGE_LINES: usize = 10;

const LIST_KEYS: &str = "up/down choose  Enter open  a approve  d deny  c clear ended  q leave";

const KEYS: &str = "up/down/space scroll  a approve  d deny  q back";
