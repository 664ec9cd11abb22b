//! Scripts of sed: which files they read and write, and whether they run anything.
//!
//! The grammar is GNU sed's, without its leniency: a script that is read here is read by sed in the
//! same way, and whatever stands outside that grammar is not guessed at. Text, patterns and labels are
//! data. Addresses do not count: a command that one line in a million reaches is a command.

use super::{cursor::Cursor, effect::Effect};
use crate::catalog::format::PathUse;

/// Returns what a script does besides editing what passes through.
pub(crate) fn read(text: &[u8]) -> Vec<Effect> {
    let mut script = Script { at: Cursor::new(text), open: 0, found: Vec::new() };
    let understood = script.all().is_some() && script.open == 0;
    if !understood || std::str::from_utf8(text).is_err() {
        // A script that ends too early is an error for sed too.
        let runs: &[&str] = if script.at.place < text.len() { &RUNS } else { &[] };
        script.found.push(Effect::unread(text, runs));
    }
    script.found
}

/// A script and how far it has been read.
struct Script<'a> {
    at: Cursor<'a>,
    /// Blocks that are open.
    open: usize,
    found: Vec<Effect>,
}

// === impl Script ===

impl<'a> Script<'a> {
    /// Reads every command; `None` at the first that is not in the grammar.
    fn all(&mut self) -> Option<()> {
        loop {
            self.at.skip(|byte| byte.is_ascii_whitespace() || byte == b';');
            if self.at.peek().is_none() {
                return Some(());
            }
            self.addresses()?;
            self.command()?;
        }
    }

    fn command(&mut self) -> Option<()> {
        match self.at.next()? {
            b'#' => self.line(),
            b'{' => {
                self.open += 1;
                return Some(());
            }
            b'}' => {
                self.open = self.open.checked_sub(1)?;
                return self.end();
            }
            b'=' | b'd' | b'D' | b'F' | b'g' | b'G' | b'h' | b'H' | b'n' | b'N' | b'p' | b'P'
            | b'x' | b'z' => return self.end(),
            b'l' | b'L' | b'q' | b'Q' => {
                self.blanks();
                self.at.skip(|byte| byte.is_ascii_digit());
                return self.end();
            }
            b':' => {
                self.blanks();
                return self.label(1);
            }
            b'b' | b't' | b'T' | b'v' => {
                self.blanks();
                return self.label(0);
            }
            b'a' | b'i' | b'c' => return self.inserted(),
            b'e' => return self.executed(),
            b'r' | b'R' => return self.file(PathUse::Read),
            b'w' | b'W' => return self.file(PathUse::Write),
            b's' => return self.substitution(),
            b'y' => {
                let quote = self.at.next()?;
                self.part(quote, Part::Plain)?;
                self.part(quote, Part::Plain)?;
                return self.end();
            }
            _ => return None,
        };
        Some(())
    }

    /// Reads up to two addresses and the `!` behind them.
    fn addresses(&mut self) -> Option<()> {
        if self.address()? == Address::There {
            self.blanks();
            if self.at.peek() == Some(b',') {
                self.at.place += 1;
                self.blanks();
                let sign = self.at.peek().is_some_and(|byte| byte == b'+' || byte == b'~');
                if sign {
                    self.at.place += 1;
                    let digits = self.at.skip(|byte| byte.is_ascii_digit());
                    (!digits.is_empty()).then_some(())?;
                } else if self.address()? == Address::Absent {
                    return None;
                }
            }
        }
        self.blanks();
        if self.at.peek() == Some(b'!') {
            self.at.place += 1;
            self.blanks();
        }
        Some(())
    }

    fn address(&mut self) -> Option<Address> {
        match self.at.peek() {
            Some(b'$') => self.at.place += 1,
            Some(b'0'..=b'9') => {
                self.at.skip(|byte| byte.is_ascii_digit());
                if self.at.peek() == Some(b'~') {
                    self.at.place += 1;
                    self.at.skip(|byte| byte.is_ascii_digit());
                }
            }
            Some(byte @ (b'/' | b'\\')) => {
                self.at.place += 1;
                let quote = if byte == b'/' { byte } else { self.at.next()? };
                self.part(quote, Part::Pattern)?;
                self.at.skip(|byte| byte == b'I' || byte == b'M');
            }
            _ => return Some(Address::Absent),
        }
        Some(Address::There)
    }

    /// Reads to the next `quote` that is neither escaped nor in a bracket. A bare newline ends
    /// nothing.
    fn part(&mut self, quote: u8, part: Part) -> Option<()> {
        (quote != b'\n' && quote != b'\\' && quote.is_ascii()).then_some(())?;
        loop {
            match self.at.next()? {
                byte if byte == quote => return Some(()),
                b'\\' => {
                    self.at.next()?;
                }
                b'[' if part == Part::Pattern => self.bracket()?,
                b'\n' => return None,
                _ => {}
            }
        }
    }

    /// Reads a bracket expression behind its `[`. A backslash stands for itself there.
    fn bracket(&mut self) -> Option<()> {
        if self.at.peek() == Some(b'^') {
            self.at.place += 1;
        }
        if self.at.peek() == Some(b']') {
            self.at.place += 1;
        }
        loop {
            match self.at.next()? {
                b']' => return Some(()),
                b'\n' => return None,
                b'[' => {
                    let Some(kind @ (b':' | b'.' | b'=')) = self.at.peek() else { continue };
                    self.at.place += 1;
                    // A class has a name; nothing else is looked for in there.
                    let name = self.at.skip(|byte| byte.is_ascii_alphabetic());
                    let closed = self.at.next()? == kind && self.at.next()? == b']';
                    (closed && !name.is_empty()).then_some(())?;
                }
                _ => {}
            }
        }
    }

    fn substitution(&mut self) -> Option<()> {
        let quote = self.at.next()?;
        // What stands in brackets where the quote is one is read in more than one way.
        (!matches!(quote, b'[' | b']')).then_some(())?;
        self.part(quote, Part::Pattern)?;
        self.part(quote, Part::Plain)?;
        loop {
            self.blanks();
            match self.at.peek() {
                Some(b'g' | b'p' | b'i' | b'I' | b'm' | b'M' | b'0'..=b'9') => self.at.place += 1,
                Some(b'e') => {
                    self.at.place += 1;
                    self.found.push(Effect::unknown_command());
                }
                Some(b'w') => {
                    self.at.place += 1;
                    return self.file(PathUse::Write);
                }
                _ => return self.end(),
            }
        }
    }

    /// Reads the text of `a`, `i` and `c`.
    fn inserted(&mut self) -> Option<()> {
        self.blanks();
        match self.at.peek()? {
            b'\\' => {
                self.at.place += 1;
                match self.at.peek()? {
                    b'\n' => self.at.place += 1,
                    // `a\text` is read in more than one way where its text starts so.
                    b'\\' | b' ' | b'\t' | b'\r' => return None,
                    _ => {}
                }
            }
            b'\n' => return None,
            _ => {}
        }
        loop {
            match self.at.next() {
                None | Some(b'\n') => return Some(()),
                Some(b'\\') => {
                    self.at.next();
                }
                Some(_) => {}
            }
        }
    }

    /// Reads the command of `e`; without one it runs what passes through.
    fn executed(&mut self) -> Option<()> {
        self.blanks();
        let command = self.line();
        if command.is_empty() || command.contains(&b'\\') {
            self.found.push(Effect::unknown_command());
            // A backslash at the end takes the next line along, which is then read as commands too.
            return Some(());
        }
        self.found.extend(Effect::command(command.to_vec()));
        Some(())
    }

    fn file(&mut self, usage: PathUse) -> Option<()> {
        self.blanks();
        let name = self.line();
        (!name.is_empty()).then_some(())?;
        if !STREAMS.contains(&name) {
            self.found.push(Effect::file(name, usage));
        }
        Some(())
    }

    /// Reads a label of at least so many letters.
    fn label(&mut self, least: usize) -> Option<()> {
        let name =
            self.at.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        (least <= name.len()).then_some(())?;
        self.end()
    }

    /// Whether a command ends here, as every command must.
    fn end(&mut self) -> Option<()> {
        self.blanks();
        match self.at.peek() {
            None | Some(b'}' | b'#') => Some(()),
            Some(b'\n' | b';') => {
                self.at.place += 1;
                Some(())
            }
            Some(_) => None,
        }
    }

    fn blanks(&mut self) {
        self.at.skip(|byte| byte == b' ' || byte == b'\t');
    }

    /// Reads the rest of the line, and the newline.
    fn line(&mut self) -> &'a [u8] {
        let line = self.at.skip(|byte| byte != b'\n');
        self.at.place += 1;
        line
    }
}

/// Whether an address stands somewhere.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Address {
    Absent,
    There,
}

/// What stands between two quotes.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Part {
    /// A regular expression.
    Pattern,
    /// Anything else.
    Plain,
}

/// Names that sed takes for its own streams.
const STREAMS: [&[u8]; 3] = [b"/dev/stdin", b"/dev/stdout", b"/dev/stderr"];

/// What a script that is not understood must not hold to count for less than an unknown command:
/// any `e` may be the one that runs something.
const RUNS: [&str; 1] = ["e"];
