//! The channels of a command, as messages of a WebSocket: `v4.channel.k8s.io` and
//! `v5.channel.k8s.io`.
//!
//! The first byte of a message names its channel. A message is passed on in pieces, each of them a
//! message of the same channel: to both ends a channel is a run of bytes. The fifth version has one
//! more channel, by which a client says that another has ended.
//!
//! INVARIANT: a client sends input and sizes, a server output and how it ended; anything else ends the
//! stream.

use iddio_core::recording::Channel;
use serde::Deserialize;

use super::{
    Cut, Outs, Side, Tape,
    websocket::{self, Event},
};

/// Which version of the channels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// The fourth: input ends with the connection.
    Four,
    /// The fifth: a channel can be said to have ended.
    Five,
}

/// The channels of one command.
#[derive(Debug)]
pub struct Channels {
    version: Version,
    client: Message,
    server: Message,
    resizes: Resizes,
    /// What the message said so far that says which channel has ended.
    ended: Vec<u8>,
}

/// What is known of the message that one side is sending.
#[derive(Clone, Copy, Debug)]
enum Message {
    /// Not even its channel.
    Unnamed,
    /// Its channel, and whether any of it went on.
    Named(Named, Sent),
}

/// What a message is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Named {
    /// Bytes of a channel.
    Of(Channel),
    /// The end of a channel.
    Close,
    /// The terminal's size.
    Resize,
    /// A channel that the side has no say in: an empty message there means nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    No,
    Yes,
}

/// Reads sizes of terminals, however they are cut.
#[derive(Debug, Default)]
pub struct Resizes(Vec<u8>);

/// A size of a terminal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

// === impl Channels ===

impl Channels {
    /// The channels of a command that begins.
    pub fn new(version: Version) -> Self {
        let (client, server) = (Message::Unnamed, Message::Unnamed);
        Self { version, client, server, resizes: Resizes::default(), ended: Vec::new() }
    }

    /// Takes what a message of `from` brings: records it, and writes it for the other side.
    ///
    /// # Errors
    ///
    /// When it may not come, or is not recorded.
    pub fn take(
        &mut self,
        from: Side,
        event: &Event<'_>,
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        match event {
            Event::Start => {
                *self.message(from) = Message::Unnamed;
                if from == Side::Client {
                    self.ended.clear();
                }
            }
            Event::Piece(piece) => return self.piece(from, piece, tape, outs),
            Event::End => match *self.message(from) {
                Message::Named(Named::Close, _) => return self.close(tape, outs),
                Message::Named(named, Sent::No) => return self.pass(from, named, &[], tape, outs),
                Message::Named(_, Sent::Yes) | Message::Unnamed => {}
            },
            Event::Ping(_) | Event::Pong | Event::Close(_) => {}
        }
        Ok(())
    }

    /// Writes how the gateway itself ends the command.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(&self, why: &str, outs: &mut Outs) -> Result<(), Cut> {
        let status = super::exit::failed(why);
        let parts = [&[number(Channel::Error)][..], status.as_bytes()];
        websocket::message(outs.to(Side::Client), Side::Client, &parts)
    }

    fn piece(
        &mut self,
        from: Side,
        piece: &[u8],
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let (named, rest) = match (*self.message(from), piece) {
            (Message::Named(named, _), rest) => (named, rest),
            (Message::Unnamed, [number, rest @ ..]) => (self.named(from, *number)?, rest),
            (Message::Unnamed, []) => return Ok(()),
        };
        let sent = match (rest, *self.message(from)) {
            ([], Message::Unnamed) => Sent::No,
            ([], Message::Named(_, sent)) => sent,
            _ => Sent::Yes,
        };
        *self.message(from) = Message::Named(named, sent);
        match rest {
            [] => Ok(()),
            rest => self.pass(from, named, rest, tape, outs),
        }
    }

    fn pass(
        &mut self,
        from: Side,
        named: Named,
        bytes: &[u8],
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let to = from.other();
        match named {
            Named::Of(channel) => {
                // An empty frame in a recording says that a channel was closed, which this is not.
                if !bytes.is_empty() {
                    tape.frame(channel, bytes).map_err(Cut::Recording)?;
                }
                websocket::message(outs.to(to), to, &[&[number(channel)], bytes])
            }
            Named::Close => {
                self.ended.extend_from_slice(bytes);
                match self.ended.as_slice() {
                    [] | [STDIN] => Ok(()),
                    _ => Err(Cut::Broken(from, "the end of a channel that is not its own")),
                }
            }
            Named::Resize => {
                let mut rest = bytes;
                while let Some(size) = self.resizes.next(&mut rest)? {
                    let channel = size.channel();
                    tape.frame(channel, &[]).map_err(Cut::Recording)?;
                    let text = size.json();
                    websocket::message(outs.to(to), to, &[&[number(channel)], text.as_bytes()])?;
                }
                Ok(())
            }
            Named::Nothing => match bytes {
                [] => Ok(()),
                _ => Err(Cut::Broken(from, "a message on a channel of the other side")),
            },
        }
    }

    /// Takes a message, now whole, that says which channel has ended.
    fn close(&mut self, tape: &mut dyn Tape, outs: &mut Outs) -> Result<(), Cut> {
        if self.ended.is_empty() {
            return Ok(());
        }
        tape.frame(Channel::Stdin, &[]).map_err(Cut::Recording)?;
        websocket::message(outs.to(Side::Server), Side::Server, &[&[CLOSE, STDIN]])
    }

    /// What the first byte of a message means.
    fn named(&self, from: Side, number: u8) -> Result<Named, Cut> {
        match (from, number) {
            (Side::Client, STDIN) => Ok(Named::Of(Channel::Stdin)),
            (Side::Client, RESIZE) => Ok(Named::Resize),
            (Side::Client, CLOSE) if self.version == Version::Five => Ok(Named::Close),
            (Side::Server, STDOUT) => Ok(Named::Of(Channel::Stdout)),
            (Side::Server, STDERR) => Ok(Named::Of(Channel::Stderr)),
            (Side::Server, ERROR) => Ok(Named::Of(Channel::Error)),
            (_, STDIN..=RESIZE) => Ok(Named::Nothing),
            _ => Err(Cut::Broken(from, "a message on a channel that there is not")),
        }
    }

    fn message(&mut self, of: Side) -> &mut Message {
        match of {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

// === impl Resizes ===

impl Resizes {
    /// Returns the next size in `rest`, and takes it from there.
    ///
    /// # Errors
    ///
    /// When what came is no size.
    pub fn next(&mut self, rest: &mut &[u8]) -> Result<Option<Size>, Cut> {
        let bad = Cut::Broken(Side::Client, "a size of a terminal that is none");
        while let Some((byte, more)) = rest.split_first() {
            *rest = more;
            if self.0.is_empty() && byte.is_ascii_whitespace() {
                continue;
            }
            self.0.push(*byte);
            if *byte == b'}' {
                let text = std::mem::take(&mut self.0);
                return serde_json::from_slice(&text).map(Some).map_err(|_| bad);
            }
            if RESIZE_BYTES_MAX < self.0.len() {
                return Err(bad);
            }
        }
        Ok(None)
    }
}

// === impl Size ===

impl Size {
    /// How it is recorded.
    pub fn channel(self) -> Channel {
        Channel::Resize { columns: self.width, rows: self.height }
    }

    /// How it is sent.
    pub fn json(self) -> String {
        let Self { width, height } = self;
        format!("{{\"Width\":{width},\"Height\":{height}}}\n")
    }
}

/// The byte that names a channel of a command. No other channel is one.
fn number(channel: Channel) -> u8 {
    match channel {
        Channel::Stdin => STDIN,
        Channel::Stdout => STDOUT,
        Channel::Stderr => STDERR,
        Channel::Resize { .. } => RESIZE,
        _ => ERROR,
    }
}

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// The most bytes of a size: two numbers and their names.
const RESIZE_BYTES_MAX: usize = 128;
