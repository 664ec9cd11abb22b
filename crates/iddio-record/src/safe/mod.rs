//! What a terminal was sent, made safe to show to another one.
//!
//! Bytes are read as a terminal reads them (`parse`) and written anew: [`Screen`] keeps what draws and
//! moves, so that a replay looks as the session did; [`Plain`] keeps no sequence at all, so that nothing
//! is hidden by drawing over it. Both show what is not plainly visible as an escape, as
//! [`iddio_core::sanitise`] does.
//!
//! | threat | on the screen | in plain text |
//! |---|---|---|
//! | X01 concealed text, text in the colour of its ground | not concealed, ground as usual | text |
//! | X02, X09 text that is drawn over | as it was | every line of it |
//! | X03 to X08 titles, reports, links, clipboard, images, DCS, paste marks | left out, counted | shown as an escape |
//! | X10, X11, X12 order, nothing to see, C1, bytes that are no text | shown as an escape | the same |
//! | X13 bells, lines without end | left out, cut | left out, cut |
//!
//! INVARIANT: no byte of the input reaches the output but as one of those forms: what is not known is
//! left out or escaped.

mod parse;
mod screen;
#[cfg(test)]
mod tests;

use iddio_core::sanitise;

use self::parse::{Event, Parser};
pub use self::screen::{RESET, Screen};

/// Text without a sequence, a line at a time.
#[derive(Debug, Default)]
pub struct Plain {
    parser: Parser,
    column: usize,
    cr: Cr,
}

/// Whether the cursor went back to the first column.
#[derive(Debug, Default, Eq, PartialEq)]
enum Cr {
    #[default]
    No,
    Yes,
}

// === impl Plain ===

impl Plain {
    /// Adds what `bytes` say to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let Self { parser, column, cr } = self;
        parser.push(bytes, &mut |event| plain(&event, column, cr, out));
    }

    /// Adds what is left when nothing follows.
    pub fn finish(&mut self, out: &mut String) {
        let Self { parser, column, cr } = self;
        parser.finish(&mut |event| plain(&event, column, cr, out));
    }
}

fn plain(event: &Event<'_>, column: &mut usize, cr: &mut Cr, out: &mut String) {
    if *cr == Cr::Yes && !matches!(event, Event::Control(b'\n' | b'\r')) {
        // What follows is drawn over the line: it gets one of its own.
        newline(column, out);
    }
    if !matches!(event, Event::Control(b'\r')) {
        *cr = Cr::No;
    }
    match event {
        Event::Char(char) => shown(*char, column, out),
        Event::Bad(byte) => escaped(&[*byte], column, out),
        Event::Control(b'\n') => newline(column, out),
        Event::Control(b'\r') if 0 < *column => *cr = Cr::Yes,
        Event::Control(b'\r' | 0x07) => {}
        Event::Control(b'\t') => shown('\t', column, out),
        Event::Control(byte) => escaped(&[*byte], column, out),
        Event::Csi { last, private, .. } if !private && screen::DRAWS.contains(last) => {
            if b"ABEFHfd".contains(last) && 0 < *column {
                newline(column, out);
            }
        }
        Event::Csi { raw, .. } | Event::Esc { raw, .. } | Event::Text { raw } => {
            escaped(raw, column, out);
        }
    }
}

fn newline(column: &mut usize, out: &mut String) {
    out.push('\n');
    *column = 0;
}

/// Adds a character, or its escape, while the line is not too long.
fn shown(char: char, column: &mut usize, out: &mut String) {
    match char {
        _ if LINE_CHARS_MAX < *column => {}
        _ if LINE_CHARS_MAX == *column => out.push_str(CUT),
        ' '..='~' | '\t' => out.push(char),
        other => out.push_str(&sanitise::line(other.encode_utf8(&mut [0; 4]).as_bytes())),
    }
    *column += 1;
}

fn escaped(bytes: &[u8], column: &mut usize, out: &mut String) {
    for char in sanitise::line(bytes).chars() {
        shown(char, column, out);
    }
}

/// The longest line that is shown: more than any screen has, and less than makes one stop.
pub const LINE_CHARS_MAX: usize = 16 << 10;

/// Stands where a line was cut.
const CUT: &str = "[cut]";
