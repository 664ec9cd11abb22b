//! Terminals as asciicast, version 2 and 3, from the frames of a recording.
//!
//! What the terminal was sent stands in the events as it was, for an emulator to show; a byte that is no
//! text becomes a replacement character, since the format holds text alone. Letters that mean something
//! to HTML are written as escapes, so that a page that embeds a cast is not written into (threat X14).

use iddio_core::{json, recording::Channel, sanitise};

use crate::format::Frame;

/// Which form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Times since the beginning.
    Two,
    /// Times since the event before, and how it ended.
    Three,
}

/// Writes one cast.
#[derive(Debug)]
pub struct Cast {
    version: Version,
    title: String,
    began: u64,
    head: Head,
    last: u64,
    /// Bytes of a character that is not whole, by stream.
    output: Vec<u8>,
    input: Vec<u8>,
}

/// Whether the first line was written.
#[derive(Debug, Eq, PartialEq)]
enum Head {
    Due,
    Written,
}

// === impl Cast ===

impl Cast {
    /// Begins a cast of what began so many seconds after 1970.
    pub fn new(version: Version, title: &str, began: u64) -> Self {
        let title = sanitise::line(title.as_bytes());
        let (output, input) = (Vec::new(), Vec::new());
        Self { version, title, began, head: Head::Due, last: 0, output, input }
    }

    /// Adds the lines of a frame to `out`.
    pub fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) {
        let Frame { micros, channel, bytes } = frame;
        if self.head == Head::Due {
            let size = match channel {
                Channel::Resize { columns, rows } => (columns, rows),
                _ => SIZE,
            };
            self.write_head(size, out);
            if matches!(channel, Channel::Resize { .. }) {
                return;
            }
        }
        match channel {
            Channel::Stdout | Channel::Stderr => {
                let text = whole(&mut self.output, bytes);
                self.event(micros, "o", &text, out);
            }
            Channel::Stdin => {
                let text = whole(&mut self.input, bytes);
                self.event(micros, "i", &text, out);
            }
            Channel::Resize { columns, rows } => {
                self.event(micros, "r", &format!("{columns}x{rows}"), out);
            }
            Channel::Exit if self.version == Version::Three => {
                let code = String::from_utf8_lossy(bytes).into_owned();
                self.event(micros, "x", &code, out);
            }
            _ => {}
        }
    }

    /// Adds what is left. A cast of nothing is a head.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.head == Head::Due {
            self.write_head(SIZE, out);
        }
        if !self.output.is_empty() {
            self.event(self.last, "o", "\u{fffd}", out);
        }
    }

    fn write_head(&mut self, (columns, rows): (u16, u16), out: &mut Vec<u8>) {
        let size = match self.version {
            Version::Two => format!("\"version\":2,\"width\":{columns},\"height\":{rows}"),
            Version::Three => {
                format!("\"version\":3,\"term\":{{\"cols\":{columns},\"rows\":{rows}}}")
            }
        };
        out.extend_from_slice(
            format!("{{{size},\"timestamp\":{},\"title\":", self.began).as_bytes(),
        );
        text(out, &self.title);
        out.extend_from_slice(b"}\n");
        self.head = Head::Written;
    }

    fn event(&mut self, micros: u64, code: &str, data: &str, out: &mut Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let time = match self.version {
            Version::Two => micros,
            Version::Three => micros.saturating_sub(self.last),
        };
        self.last = micros;
        let (seconds, rest) = (time / 1_000_000, time % 1_000_000);
        out.extend_from_slice(format!("[{seconds}.{rest:06},\"{code}\",").as_bytes());
        text(out, data);
        out.extend_from_slice(b"]\n");
    }
}

/// Returns the text of what came, and keeps the bytes of a character that is not whole.
fn whole(held: &mut Vec<u8>, bytes: &[u8]) -> String {
    held.extend_from_slice(bytes);
    let mut text = String::with_capacity(held.len());
    let mut left = Vec::new();
    let mut rest = held.as_slice();
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break;
            }
            Err(error) => {
                let (valid, after) = rest.split_at_checked(error.valid_up_to()).unwrap_or_default();
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                let Some(length) = error.error_len() else {
                    left = after.to_vec();
                    break;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                rest = after.get(length..).unwrap_or_default();
            }
        }
    }
    *held = left;
    text
}

/// Writes a text of JSON that is none of HTML.
fn text(out: &mut Vec<u8>, text: &str) {
    let mut plain = Vec::with_capacity(text.len() + 2);
    json::write_text(&mut plain, text);
    for byte in plain {
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            byte => out.push(byte),
        }
    }
}

/// The size of a terminal that did not say its own.
const SIZE: (u16, u16) = (80, 24);
