//! Secrets in a session: what was typed, and what the terminal showed.
//!
//! A frame waits until all its bytes are looked at, and leaves with its own time, after those that came
//! before it. What is typed while a terminal asks for a password is not recorded, whatever it looks
//! like: one line, and no longer than a password, since whoever prints such a question could otherwise
//! hide what follows.

use std::collections::{HashMap, VecDeque};

use iddio_core::recording::Channel;

use super::{
    mark,
    text::{Span, Text},
};
use crate::format::Frame;

/// The frames of a session, on their way.
#[derive(Debug, Default)]
pub(crate) struct Session {
    held: VecDeque<Held>,
    held_bytes: usize,
    texts: HashMap<Channel, Text>,
    /// The end of what the terminal showed.
    shown: Vec<u8>,
    hush: Hush,
    terminal: Terminal,
    /// How many secrets were taken out.
    pub(crate) secrets: u64,
}

/// A frame that waits.
#[derive(Debug)]
struct Held {
    micros: u64,
    channel: Channel,
    /// How many of its bytes are not decided.
    open: usize,
    /// What may be recorded of it.
    out: Vec<u8>,
    was: Was,
    /// What it is counted as while it waits.
    cost: usize,
}

/// What a frame was when it came.
#[derive(Debug, Eq, PartialEq)]
enum Was {
    Empty,
    Full,
}

/// Whether somebody types a password, since when, and what so far.
#[derive(Debug, Default)]
enum Hush {
    #[default]
    No,
    Typed(u64, Vec<u8>),
}

/// Whether the session has a terminal.
#[derive(Debug, Default, Eq, PartialEq)]
enum Terminal {
    #[default]
    No,
    Yes,
}

// === impl Session ===

impl Session {
    /// Takes a frame, and gives `each` those that are ready.
    pub(crate) fn frame(&mut self, frame: Frame<'_>, each: &mut dyn FnMut(Frame<'_>)) {
        let Frame { micros, channel, bytes } = frame;
        if matches!(channel, Channel::Resize { .. }) {
            self.terminal = Terminal::Yes;
        }
        match channel {
            Channel::Exit | Channel::Signal | Channel::Resize { .. } => {
                self.hold(micros, channel, 0, bytes.to_vec());
            }
            Channel::Stdin => self.typed(micros, bytes),
            _ => {
                if matches!(channel, Channel::Stdout | Channel::Stderr) {
                    self.show(bytes);
                }
                self.look(micros, channel, bytes);
            }
        }
        self.release(each);
        while HELD_BYTES_MAX < self.held_bytes {
            self.force();
            self.release(each);
        }
    }

    /// Gives `each` all that waits.
    pub(crate) fn finish(&mut self, each: &mut dyn FnMut(Frame<'_>)) {
        if let Hush::Typed(micros, typed) = std::mem::take(&mut self.hush) {
            self.hide(micros, typed.len());
        }
        while !self.held.is_empty() {
            self.force();
            self.release(each);
        }
    }

    /// Takes what was typed.
    fn typed(&mut self, micros: u64, bytes: &[u8]) {
        let (since, mut typed) = match std::mem::take(&mut self.hush) {
            Hush::Typed(since, typed) => (since, typed),
            Hush::No if self.terminal == Terminal::Yes && asks_for_secret(&self.shown) => {
                (micros, Vec::new())
            }
            Hush::No => return self.look(micros, Channel::Stdin, bytes),
        };
        let ends = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0x03 | 0x04);
        let end = bytes.iter().position(ends).unwrap_or(bytes.len());
        let (password, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if TYPED_BYTES_MAX < typed.len() + password.len() {
            // No password is so long: it is a line like any other.
            self.shown.clear();
            self.look(since, Channel::Stdin, &typed);
            return self.look(micros, Channel::Stdin, bytes);
        }
        typed.extend_from_slice(password);
        if rest.is_empty() && !bytes.is_empty() {
            self.hush = Hush::Typed(since, typed);
            return;
        }
        self.shown.clear();
        self.hide(since, typed.len());
        self.look(micros, Channel::Stdin, rest);
    }

    /// Records that something was typed, and no more.
    fn hide(&mut self, micros: u64, length: usize) {
        if 0 < length {
            self.secrets += 1;
            self.hold(micros, Channel::Stdin, 0, mark("typed password", length).into_bytes());
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        self.shown.extend_from_slice(bytes);
        let over = self.shown.len().saturating_sub(PROMPT_BYTES_MAX);
        self.shown.drain(..over);
    }

    fn look(&mut self, micros: u64, channel: Channel, bytes: &[u8]) {
        if bytes.is_empty() {
            // The channel was closed: what waits of it is all there is.
            let spans = self.texts.remove(&channel).map(|mut text| text.finish());
            self.decided(channel, spans.unwrap_or_default());
            return self.hold(micros, channel, 0, Vec::new());
        }
        self.hold(micros, channel, bytes.len(), Vec::new());
        let spans = self.texts.entry(channel).or_default().push(bytes);
        self.decided(channel, spans);
    }

    fn hold(&mut self, micros: u64, channel: Channel, open: usize, out: Vec<u8>) {
        let was = if open == 0 && out.is_empty() { Was::Empty } else { Was::Full };
        let cost = open + out.len() + size_of::<Held>();
        self.held_bytes += cost;
        self.held.push_back(Held { micros, channel, open, out, was, cost });
    }

    /// Gives the waiting frames of a channel what became of their bytes.
    fn decided(&mut self, channel: Channel, spans: Vec<Span>) {
        let mut waiting =
            self.held.iter_mut().filter(|held| held.channel == channel && 0 < held.open);
        let Some(mut frame) = waiting.next() else { return };
        for span in spans {
            let (mut left, mut plain, mark) = match &span {
                Span::Plain(bytes) => (bytes.len(), bytes.as_slice(), ""),
                Span::Secret(length, mark) => (*length, [].as_slice(), mark.as_str()),
            };
            self.secrets += u64::from(!mark.is_empty());
            let mut mark = mark.as_bytes();
            while 0 < left {
                if frame.open == 0 {
                    let Some(next) = waiting.next() else { return };
                    frame = next;
                }
                let taken = left.min(frame.open);
                let (now, later) = plain.split_at_checked(taken).unwrap_or((plain, &[]));
                frame.out.extend_from_slice(std::mem::take(&mut mark));
                frame.out.extend_from_slice(now);
                (plain, left, frame.open) = (later, left - taken, frame.open - taken);
            }
        }
    }

    /// Decides the channel that the oldest waiting frame is of.
    fn force(&mut self) {
        let Some(oldest) = self.held.front() else { return };
        let channel = oldest.channel;
        let spans = self.texts.get_mut(&channel).map(Text::finish).unwrap_or_default();
        self.decided(channel, spans);
        // Nothing of it may wait now, whatever the text said.
        let same = |held: &&mut Held| held.channel == channel;
        self.held.iter_mut().filter(same).for_each(|held| held.open = 0);
    }

    fn release(&mut self, each: &mut dyn FnMut(Frame<'_>)) {
        while let Some(held) = self.held.pop_front_if(|held| held.open == 0) {
            self.held_bytes -= held.cost;
            if held.was == Was::Empty || !held.out.is_empty() {
                each(Frame { micros: held.micros, channel: held.channel, bytes: &held.out });
            }
        }
    }
}

/// Whether what the terminal showed last asks for something that is not to be shown.
fn asks_for_secret(shown: &[u8]) -> bool {
    let line = shown.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = line.trim_ascii_end().to_ascii_lowercase();
    let asks = line.ends_with(b":") || line.ends_with(b"?");
    asks && SECRETS.iter().any(|word| line.windows(word.len()).any(|window| window == *word))
}

/// How much may wait to be looked at: a private key and what came meanwhile on other channels.
const HELD_BYTES_MAX: usize = 256 << 10;

/// The longest prompt that is understood.
const PROMPT_BYTES_MAX: usize = 160;

/// The longest line that is taken for a password.
const TYPED_BYTES_MAX: usize = 128;

/// What a prompt asks for.
const SECRETS: [&[u8]; 9] = [
    b"password",
    b"passphrase",
    b"passcode",
    b"secret",
    b"token",
    b"verification code",
    b"one-time code",
    b"api key",
    b"pin",
];
