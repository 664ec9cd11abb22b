//! What draws and moves, for a screen to replay on.

use iddio_core::sanitise;

use super::{
    CUT, LINE_CHARS_MAX,
    parse::{Event, Parser},
};

/// Keeps what draws and moves.
#[derive(Debug, Default)]
pub struct Screen {
    parser: Parser,
    pen: Pen,
    /// How many sequences were left out.
    left_out: u64,
}

/// What is written with, and where.
#[derive(Debug, Default)]
struct Pen {
    /// The colour, as its parameters say it.
    text: Option<Vec<u16>>,
    ground: Option<Vec<u16>>,
    /// Characters since something moved.
    run: usize,
}

// === impl Screen ===

impl Screen {
    /// Adds what `bytes` draw to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { parser, pen, left_out } = self;
        parser.push(bytes, &mut |event| *left_out += pen.draw(&event, out));
    }

    /// Adds what is left when nothing follows, and puts the screen in order.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Self { parser, pen, left_out } = self;
        parser.finish(&mut |event| {
            let open = !matches!(event, Event::Text { raw: [] });
            *left_out += u64::from(open) * pen.draw(&event, out);
        });
        out.extend_from_slice(RESET);
    }

    /// How many sequences were left out, for whoever watches to be told.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

// === impl Pen ===

impl Pen {
    /// Draws one event, and returns how many were left out.
    fn draw(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> u64 {
        if !matches!(event, Event::Char(_) | Event::Bad(_)) {
            self.run = 0;
        }
        match event {
            Event::Char(char) => self.char(*char, out),
            Event::Bad(byte) => {
                let shown = sanitise::line(&[*byte]);
                shown.chars().for_each(|char| self.char(char, out));
            }
            Event::Control(byte @ (b'\n' | b'\r' | b'\t' | 0x08 | 0x0b | 0x0c)) => out.push(*byte),
            Event::Control(_) => return 1,
            Event::Csi { parameters, private: false, last: b'm', .. } => {
                self.paint(parameters, out);
            }
            Event::Csi { parameters, private: false, last, raw } => {
                let scrollback = *last == b'J' && parameters.contains(&b'3');
                let bare = !matches!(last, b's' | b'u') || parameters.is_empty();
                if !DRAWS.contains(last) || scrollback || !bare {
                    return 1;
                }
                out.extend_from_slice(raw);
            }
            Event::Csi { raw, .. } if MODES.contains(raw) => out.extend_from_slice(raw),
            Event::Esc { after: b"7" | b"8" | b"D" | b"E" | b"M", raw } => {
                out.extend_from_slice(raw);
            }
            Event::Csi { .. } | Event::Esc { .. } | Event::Text { .. } => return 1,
        }
        0
    }

    fn char(&mut self, char: char, out: &mut Vec<u8>) {
        match char {
            _ if LINE_CHARS_MAX < self.run => {}
            _ if LINE_CHARS_MAX == self.run => out.extend_from_slice(CUT.as_bytes()),
            ' '..='~' => out.push(char as u8),
            other => {
                let mut bytes = [0; 4];
                out.extend(sanitise::line(other.encode_utf8(&mut bytes).as_bytes()).into_bytes());
            }
        }
        self.run += 1;
    }

    /// Writes a change of colours, without those that hide.
    fn paint(&mut self, parameters: &[u8], out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(parameters);
        let groups = text.split(';').map(|group| {
            let numbers = group.split(':').map(|number| number.parse().unwrap_or(0));
            numbers.collect::<Vec<u16>>()
        });
        let groups: Vec<_> = groups.take(PARAMETERS_MAX).collect();
        let mut rest = groups.as_slice();
        let mut kept = Vec::new();
        while let Some((group, tail)) = rest.split_first() {
            let code = group.first().copied().unwrap_or(0);
            let taken = match (code, group.len()) {
                // `38;5;n` and `38;2;r;g;b` take what follows.
                (38 | 48, 1) => match tail.first().and_then(|kind| kind.first()) {
                    Some(5) => 2,
                    Some(2) => 4,
                    _ => 0,
                },
                _ => 0,
            };
            let (more, tail) = tail.split_at_checked(taken).unwrap_or((tail, &[]));
            let colour: Vec<u16> =
                group.iter().skip(1).chain(more.iter().flatten()).copied().collect();
            self.note(code, colour);
            if code != CONCEAL {
                kept.extend(
                    std::iter::once(group).chain(more).map(|group| {
                        group.iter().map(u16::to_string).collect::<Vec<_>>().join(":")
                    }),
                );
            }
            rest = tail;
        }
        if self.text.is_some() && self.text == self.ground {
            kept.push("49".to_owned());
            self.ground = None;
        }
        if !kept.is_empty() {
            out.extend_from_slice(format!("\x1b[{}m", kept.join(";")).as_bytes());
        }
    }

    /// Notes which colours are in use, each as the palette has it.
    fn note(&mut self, code: u16, colour: Vec<u16>) {
        let exact = |colour: Vec<u16>| match colour.as_slice() {
            // The first sixteen of 256 are the named ones.
            [5, n @ 0..16] => vec![*n],
            _ => colour,
        };
        match code {
            0 => (self.text, self.ground) = (None, None),
            30..=37 => self.text = Some(vec![code - 30]),
            90..=97 => self.text = Some(vec![code - 90 + 8]),
            38 => self.text = Some(exact(colour)),
            39 => self.text = None,
            40..=47 => self.ground = Some(vec![code - 40]),
            100..=107 => self.ground = Some(vec![code - 100 + 8]),
            48 => self.ground = Some(exact(colour)),
            49 => self.ground = None,
            _ => {}
        }
    }
}

/// Puts a screen in order after whatever was drawn: colours, region, cursor, the usual screen.
pub const RESET: &[u8] = b"\x1b[0m\x1b[r\x1b[?1049l\x1b[?25h\x1b[?7h";

/// Control sequences that draw or move and do nothing else.
pub(crate) const DRAWS: &[u8] = b"@ABCDEFGHIJKLMPSTXZ`adefmrsu";

/// The private modes that a replay keeps: whether the cursor is seen, lines wrap, and which screen.
const MODES: &[&[u8]] =
    &[b"\x1b[?25h", b"\x1b[?25l", b"\x1b[?7h", b"\x1b[?7l", b"\x1b[?1049h", b"\x1b[?1049l"];

/// Text that is there and not seen.
const CONCEAL: u16 = 8;

/// The most parameters of one change of colours.
const PARAMETERS_MAX: usize = 32;
