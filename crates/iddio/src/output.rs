//! What people and programs read: data to stdout, words to stderr, colour that means nothing alone.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use iddio_core::{sanitise, tier::Tier};
use serde_json::Value;

use crate::cli::When;

/// How this run speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    quiet: Quiet,
    color: When,
}

/// Whether words that are neither results nor refusals are kept back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Quiet {
    No,
    Yes,
}

/// A colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

// === impl Voice ===

impl Voice {
    pub(crate) fn new(quiet: Quiet, color: When) -> Self {
        Self { quiet, color }
    }

    /// Says a line on stderr, unless asked to be quiet. `text` is ours; foreign text inside it must
    /// have gone through [`sanitise`].
    pub(crate) fn say(&self, text: impl Display) {
        if self.quiet == Quiet::No {
            self.tell(text);
        }
    }

    /// Says a line on stderr, quiet or not.
    #[expect(clippy::unused_self, reason = "a line is always said by a voice")]
    pub(crate) fn tell(&self, text: impl Display) {
        // A closed stderr is no reason to stop: the exit code says the same.
        let _ = writeln!(io::stderr(), "iddio: {text}");
    }

    /// Says a line on stderr that continues the one before.
    #[expect(clippy::unused_self, reason = "a line is always said by a voice")]
    pub(crate) fn more(&self, text: impl Display) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Whether colour goes to stdout.
    pub(crate) fn paints_stdout(&self) -> bool {
        self.paints(io::stdout().is_terminal())
    }

    /// Whether colour goes to stderr.
    pub(crate) fn paints_stderr(&self) -> bool {
        self.paints(io::stderr().is_terminal())
    }

    /// Returns `text` in colour, for stdout.
    pub(crate) fn paint(&self, paint: Paint, text: impl Display) -> String {
        painted(self.paints_stdout(), paint, text)
    }

    /// Returns `text` in colour, for stderr.
    pub(crate) fn paint_err(&self, paint: Paint, text: impl Display) -> String {
        painted(self.paints_stderr(), paint, text)
    }

    fn paints(&self, terminal: bool) -> bool {
        match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// Writes a line of data to stdout.
///
/// # Errors
///
/// When stdout is closed.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Writes a JSON value as one line to stdout.
///
/// # Errors
///
/// When stdout is closed.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    line(value)
}

/// Returns foreign text, safe to show on one line.
pub(crate) fn foreign(text: &str) -> String {
    sanitise::line(text.as_bytes())
}

/// Returns the colour a tier is shown in.
pub(crate) fn tier_paint(tier: Tier) -> Paint {
    match tier {
        Tier::Observe => Paint::Dim,
        Tier::Operate => Paint::Green,
        Tier::Modify => Paint::Bold,
        Tier::Sensitive => Paint::Yellow,
        Tier::BreakGlass => Paint::Red,
    }
}

fn painted(on: bool, paint: Paint, text: impl Display) -> String {
    let code = match paint {
        Paint::Bold => 1,
        Paint::Dim => 2,
        Paint::Green => 32,
        Paint::Red => 31,
        Paint::Yellow => 33,
    };
    if on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}
