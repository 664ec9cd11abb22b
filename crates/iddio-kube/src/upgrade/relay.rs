//! Both ends of a stream, whatever it speaks: bytes in, recorded frames, bytes out. No sockets.
//!
//! A connection that is forwarded by WebSocket holds a connection of SPDY: its messages, one after the
//! other, are the bytes of that.

use bytes::BytesMut;

use super::{
    Cut, Outs, Side, Tape,
    channels::{Channels, Version},
    spdy,
    streams::{ANSWERS_BYTES_MAX, Purpose, Streams},
    websocket::{self, Closing, Event},
};

/// What is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speech {
    /// The channels of a command, by WebSocket.
    Channels(Version),
    /// SPDY/3.1.
    Spdy(Purpose),
    /// SPDY/3.1 within a WebSocket.
    Tunnel(Purpose),
}

/// One stream.
#[derive(Debug)]
pub struct Relay {
    inner: Inner,
    socket: Option<Socket>,
}

#[derive(Debug)]
enum Inner {
    Channels(Channels),
    Spdy(Box<Spdy>),
}

#[derive(Debug)]
struct Spdy {
    client: spdy::Reader,
    server: spdy::Reader,
    streams: Streams,
}

/// Two WebSockets.
#[derive(Debug)]
struct Socket {
    client: Half,
    server: Half,
}

#[derive(Debug)]
struct Half {
    reader: websocket::Reader,
    /// Whether it was told that nothing more is sent to it.
    told: Told,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    No,
    Yes,
}

/// What bytes came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Went {
    /// They went on.
    On,
    /// The side closes: nothing more comes from it.
    Closes,
}

// === impl Relay ===

impl Relay {
    /// A stream that begins.
    pub fn new(speech: Speech) -> Self {
        let spdy = |purpose| {
            let client = spdy::Reader::new(Side::Client);
            let server = spdy::Reader::new(Side::Server);
            Inner::Spdy(Box::new(Spdy { client, server, streams: Streams::new(purpose) }))
        };
        let half = |side| Half { reader: websocket::Reader::new(side), told: Told::No };
        let socket = || Socket { client: half(Side::Client), server: half(Side::Server) };
        match speech {
            Speech::Channels(version) => {
                let inner = Inner::Channels(Channels::new(version));
                Self { inner, socket: Some(socket()) }
            }
            Speech::Spdy(purpose) => Self { inner: spdy(purpose), socket: None },
            Speech::Tunnel(purpose) => Self { inner: spdy(purpose), socket: Some(socket()) },
        }
    }

    /// Takes bytes of one side, however they are cut.
    ///
    /// # Errors
    ///
    /// When the stream cannot go on.
    pub fn take(
        &mut self,
        from: Side,
        bytes: &mut [u8],
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<Went, Cut> {
        let Self { inner, socket } = self;
        let Some(socket) = socket else {
            if let Inner::Spdy(spdy) = inner {
                spdy.take(from, bytes, tape, outs)?;
            }
            return Ok(Went::On);
        };
        let mut rest = bytes;
        while let Some(event) = socket.half(from).reader.next(&mut rest)? {
            match event {
                Event::Ping(said) => {
                    if outs.waiting(from) < ANSWERS_BYTES_MAX && socket.told(from) == Told::No {
                        websocket::pong(outs.to(from), from, &said)?;
                    }
                }
                Event::Pong => {}
                Event::Close(closing) => {
                    socket.tell(from.other(), &closing, outs)?;
                    socket.tell(from, &closing, outs)?;
                    return Ok(Went::Closes);
                }
                // Who was told that nothing more comes gets nothing more.
                _ if socket.told(from.other()) == Told::Yes => {}
                Event::Start | Event::Piece(_) | Event::End => match inner {
                    Inner::Channels(channels) => channels.take(from, &event, tape, outs)?,
                    Inner::Spdy(spdy) => {
                        if let Event::Piece(piece) = event {
                            spdy.wrapped(from, piece, tape, outs)?;
                        }
                    }
                },
            }
        }
        Ok(Went::On)
    }

    /// Asks one side whether it is still there.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn ping(&mut self, to: Side, outs: &mut Outs) -> Result<(), Cut> {
        match (&mut self.socket, &mut self.inner) {
            (Some(socket), _) if socket.told(to) == Told::No => websocket::ping(outs.to(to), to),
            (None, Inner::Spdy(spdy)) => {
                spdy.streams.ping(to, outs);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes how the gateway itself ends the stream, as far as it can still be told.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(&mut self, code: u16, why: &str, outs: &mut Outs) -> Result<(), Cut> {
        let Self { inner, socket } = self;
        match (&mut *inner, &*socket) {
            (Inner::Channels(channels), Some(socket)) if socket.client.told == Told::No => {
                channels.end(why, outs)?;
            }
            (Inner::Spdy(spdy), Some(_)) => {
                let mut within = Outs::default();
                spdy.streams.end(why, &mut within);
                wrap(&mut within, outs)?;
            }
            (Inner::Spdy(spdy), None) => spdy.streams.end(why, outs),
            (Inner::Channels(_), _) => {}
        }
        let Some(socket) = socket else { return Ok(()) };
        let reason = format!("iddio: {why}");
        let closing = Closing::new(code, &reason);
        let said = match inner {
            // The status on the error channel is what a client shows, if nothing else went wrong.
            Inner::Channels(_) => Closing::new(websocket::NORMAL, &reason),
            Inner::Spdy(_) => closing.clone(),
        };
        socket.tell(Side::Client, &said, outs)?;
        socket.tell(Side::Server, &closing, outs)
    }
}

// === impl Spdy ===

impl Spdy {
    fn take(
        &mut self,
        from: Side,
        bytes: &[u8],
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let Self { client, server, streams } = self;
        let reader = match from {
            Side::Client => client,
            Side::Server => server,
        };
        let mut rest = bytes;
        while let Some(frame) = reader.next(&mut rest)? {
            streams.take(from, frame, tape, outs)?;
        }
        Ok(())
    }

    /// Takes bytes that came in a message; what is to be written goes in messages, too.
    fn wrapped(
        &mut self,
        from: Side,
        bytes: &[u8],
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let mut within = Outs::default();
        self.take(from, bytes, tape, &mut within)?;
        wrap(&mut within, outs)
    }
}

// === impl Socket ===

impl Socket {
    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn told(&self, side: Side) -> Told {
        match side {
            Side::Client => self.client.told,
            Side::Server => self.server.told,
        }
    }

    /// Tells a side, once, that nothing more comes.
    fn tell(&mut self, side: Side, closing: &Closing, outs: &mut Outs) -> Result<(), Cut> {
        let half = self.half(side);
        if half.told == Told::Yes {
            return Ok(());
        }
        half.told = Told::Yes;
        websocket::close(outs.to(side), side, closing)
    }
}

/// Puts what is to be written into messages.
fn wrap(within: &mut Outs, outs: &mut Outs) -> Result<(), Cut> {
    for side in [Side::Client, Side::Server] {
        let bytes: &BytesMut = within.to(side);
        if !bytes.is_empty() {
            websocket::message(outs.to(side), side, &[bytes])?;
        }
    }
    Ok(())
}
