//! The streams of a SPDY connection, as channels: of a command, or of forwarded ports.
//!
//! A client opens streams and says in their headers what they are; a server takes them. Streams keep
//! their numbers, so flow control is between the two ends: data is passed on as it is, and so is what
//! either end says of how much it takes. Pings are answered here, each connection by itself.
//!
//! INVARIANT: only streams that a client opened for a known purpose carry anything, each in the
//! direction that it is for.

use std::collections::BTreeMap;

use iddio_core::recording::{Channel, Way};

use super::{
    Cut, Outs, Side, Tape,
    channels::Resizes,
    spdy::{Control, Fin, Frame, Stream, Writer},
};

/// What the streams of a connection are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A command: one stream for each of its channels.
    Command,
    /// Ports: two streams for each connection to one.
    Ports,
}

/// The streams of one connection.
#[derive(Debug)]
pub struct Streams {
    purpose: Purpose,
    open: BTreeMap<Stream, Open>,
    last: u32,
    connections: BTreeMap<(u16, String), u32>,
    counted: u32,
    pings: u32,
    resizes: Resizes,
    to_client: Writer,
    to_server: Writer,
}

/// A stream that carries something.
#[derive(Clone, Debug)]
struct Open {
    kind: Kind,
    client: Fin,
    server: Fin,
}

/// What a stream carries.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    /// Bytes of a channel of a command.
    Of(Channel),
    /// Sizes of its terminal.
    Resize,
    /// What a port carries.
    Data { port: u16, request: String, connection: u32 },
}

// === impl Streams ===

impl Streams {
    /// The streams of a connection that begins.
    pub fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            open: BTreeMap::new(),
            last: 0,
            connections: BTreeMap::new(),
            counted: 0,
            pings: 0,
            resizes: Resizes::default(),
            to_client: Writer::new(),
            to_server: Writer::new(),
        }
    }

    /// Takes what a frame of `from` brings: records it, and writes it for the other side.
    ///
    /// # Errors
    ///
    /// When it may not come, or is not recorded.
    pub fn take(
        &mut self,
        from: Side,
        frame: Frame<'_>,
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        match frame {
            Frame::Data { stream, bytes, fin } => self.data(from, stream, bytes, fin, tape, outs),
            Frame::Control(control) => self.control(from, control, tape, outs),
        }
    }

    /// Asks one side whether it is still there.
    pub fn ping(&mut self, to: Side, outs: &mut Outs) {
        self.pings = self.pings.wrapping_add(2);
        // As who is asked knows us: a server's pings are even, a client's odd.
        let number = match to {
            Side::Client => self.pings,
            Side::Server => self.pings.wrapping_add(1),
        };
        self.write(to, &Control::Ping(number), outs);
    }

    /// Writes how the gateway itself ends the connection.
    pub fn end(&mut self, why: &str, outs: &mut Outs) {
        let of = |kind: &Kind| matches!(kind, Kind::Of(Channel::Error));
        let errors = self.open.iter().filter(|(_, open)| of(&open.kind) && open.server == Fin::No);
        let errors: Vec<_> = errors.map(|(stream, _)| *stream).collect();
        let said = match self.purpose {
            Purpose::Command => super::exit::failed(why),
            Purpose::Ports => format!("iddio cut the stream: {why}"),
        };
        for stream in errors {
            self.to_client.data(outs.to(Side::Client), stream, said.as_bytes(), Fin::Yes);
        }
        for side in [Side::Client, Side::Server] {
            let last = if side == Side::Client { self.last } else { 0 };
            self.write(side, &Control::GoAway { last, status: 0 }, outs);
        }
    }

    fn data(
        &mut self,
        from: Side,
        stream: Stream,
        bytes: &[u8],
        fin: Fin,
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let Some(open) = self.open.get_mut(&stream) else {
            // What was on its way when the stream ended means nothing any more.
            return match stream.get() <= self.last {
                true => Ok(()),
                false => Err(Cut::Broken(from, "data of a stream that there is not")),
            };
        };
        let own = match from {
            Side::Client => &mut open.client,
            Side::Server => &mut open.server,
        };
        if *own == Fin::Yes {
            return Err(Cut::Broken(from, "data on a stream that it had ended"));
        }
        *own = fin;
        let kind = open.kind.clone();
        let ended = open.client == Fin::Yes && open.server == Fin::Yes;
        self.pass(from, stream, &kind, bytes, fin, tape, outs)?;
        if ended {
            self.forget(stream);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a frame is, and where it goes")]
    fn pass(
        &mut self,
        from: Side,
        stream: Stream,
        kind: &Kind,
        bytes: &[u8],
        fin: Fin,
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let to = from.other();
        let wrong = Cut::Broken(from, "data on a stream of the other side");
        let (writer, out) = match to {
            Side::Client => (&mut self.to_client, outs.to(to)),
            Side::Server => (&mut self.to_server, outs.to(to)),
        };
        let channel = match (kind, from) {
            (Kind::Resize, Side::Client) => {
                let mut rest = bytes;
                while let Some(size) = self.resizes.next(&mut rest)? {
                    tape.frame(size.channel(), &[]).map_err(Cut::Recording)?;
                    writer.data(out, stream, size.json().as_bytes(), Fin::No);
                }
                if fin == Fin::Yes {
                    writer.data(out, stream, &[], fin);
                }
                return Ok(());
            }
            (Kind::Of(channel @ Channel::Stdin), Side::Client) => Some(*channel),
            (Kind::Of(Channel::Stdin), Side::Server) => None,
            (Kind::Of(channel), Side::Server) => Some(*channel),
            (Kind::Data { port, connection, .. }, _) => {
                let way = if from == Side::Client { Way::Inward } else { Way::Outward };
                Some(Channel::Data { port: *port, connection: *connection, way })
            }
            (Kind::Of(_), Side::Client) | (Kind::Resize, Side::Server) => None,
        };
        match channel {
            None if !bytes.is_empty() => return Err(wrong),
            None => {}
            Some(channel) => {
                if !bytes.is_empty() {
                    tape.frame(channel, bytes).map_err(Cut::Recording)?;
                }
                if fin == Fin::Yes && channel != Channel::Error {
                    tape.frame(channel, &[]).map_err(Cut::Recording)?;
                }
            }
        }
        writer.data(out, stream, bytes, fin);
        Ok(())
    }

    fn control(
        &mut self,
        from: Side,
        control: Control,
        tape: &mut dyn Tape,
        outs: &mut Outs,
    ) -> Result<(), Cut> {
        let to = from.other();
        match &control {
            Control::SynStream { .. } if from == Side::Server => {
                return Err(Cut::Broken(from, "a stream of its own"));
            }
            Control::SynStream { .. } => return self.syn(control, outs),
            Control::SynReply { .. } if from == Side::Client => {
                return Err(Cut::Broken(from, "a reply to no stream"));
            }
            Control::SynReply { stream, fin } | Control::Headers { stream, fin } => {
                if !self.open.contains_key(stream) {
                    return Ok(());
                }
                let (stream, fin) = (*stream, *fin);
                let passed = match control {
                    Control::SynReply { .. } => Control::SynReply { stream, fin: Fin::No },
                    _ => Control::Headers { stream, fin: Fin::No },
                };
                self.write(to, &passed, outs);
                if fin == Fin::Yes {
                    return self.data(from, stream, &[], fin, tape, outs);
                }
                return Ok(());
            }
            Control::Reset { stream, .. } => {
                if !self.open.contains_key(stream) {
                    return Ok(());
                }
                self.forget(*stream);
            }
            Control::Window { stream, .. } => {
                let known = Stream::new(*stream).is_none_or(|own| self.open.contains_key(&own));
                if !known {
                    return Ok(());
                }
            }
            Control::Ping(number) => {
                // Ours come back; what either side asks is answered, unless it does not read answers.
                let own = (number % 2 == 1) == (from == Side::Server);
                if !own && outs.waiting(from) < ANSWERS_BYTES_MAX {
                    self.write(from, &control, outs);
                }
                return Ok(());
            }
            Control::GoAway { .. } | Control::Settings(_) => {}
        }
        self.write(to, &control, outs);
        Ok(())
    }

    fn syn(&mut self, control: Control, outs: &mut Outs) -> Result<(), Cut> {
        let Control::SynStream { stream, priority, fin, headers } = control else { return Ok(()) };
        let broken = |what| Cut::Broken(Side::Client, what);
        if stream.get() % 2 == 0 || stream.get() <= self.last {
            return Err(broken("a stream out of order"));
        }
        if STREAMS_MAX <= self.open.len() {
            return Err(broken("more streams than there may be"));
        }
        let kind = self.kind(&headers)?;
        if self.purpose == Purpose::Command && self.open.values().any(|open| open.kind == kind) {
            return Err(broken("one channel twice"));
        }
        self.last = stream.get();
        let _ = self.open.insert(stream, Open { kind, client: fin, server: Fin::No });
        let known = |name: &str| ["streamtype", "port", "requestid"].contains(&name);
        let headers = headers.into_iter().filter(|(name, _)| known(name)).collect();
        let passed = Control::SynStream { stream, priority, fin, headers };
        self.write(Side::Server, &passed, outs);
        Ok(())
    }

    /// What a stream is for, by its headers.
    fn kind(&mut self, headers: &[(String, String)]) -> Result<Kind, Cut> {
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let kind = match (self.purpose, header("streamtype")) {
            (Purpose::Command, Some("stdin")) => Some(Kind::Of(Channel::Stdin)),
            (Purpose::Command, Some("stdout")) => Some(Kind::Of(Channel::Stdout)),
            (Purpose::Command, Some("stderr")) => Some(Kind::Of(Channel::Stderr)),
            (Purpose::Command | Purpose::Ports, Some("error")) => Some(Kind::Of(Channel::Error)),
            (Purpose::Command, Some("resize")) => Some(Kind::Resize),
            (Purpose::Ports, Some("data")) => {
                let port = header("port").and_then(|port| port.parse().ok());
                port.filter(|port| *port != 0).map(|port: u16| {
                    let request = header("requestid").unwrap_or_default().to_owned();
                    let connection = self.connection(port, &request);
                    Kind::Data { port, request, connection }
                })
            }
            _ => None,
        };
        kind.ok_or(Cut::Broken(Side::Client, "a stream for a purpose that is not known"))
    }

    /// Counts the connections to ports.
    fn connection(&mut self, port: u16, request: &str) -> u32 {
        let counted = &mut self.counted;
        let connection = self.connections.entry((port, request.to_owned()));
        *connection.or_insert_with(|| {
            *counted = counted.wrapping_add(1);
            *counted
        })
    }

    fn forget(&mut self, stream: Stream) {
        if let Some(Open { kind: Kind::Data { port, request, .. }, .. }) = self.open.remove(&stream)
        {
            let _ = self.connections.remove(&(port, request));
        }
    }

    fn write(&mut self, to: Side, control: &Control, outs: &mut Outs) {
        match to {
            Side::Client => self.to_client.control(outs.to(to), control),
            Side::Server => self.to_server.control(outs.to(to), control),
        }
    }
}

/// The most streams at once: two for each connection to a port, and whoever opens more at once than a
/// browser does forwards something else.
const STREAMS_MAX: usize = 2048;

/// How much may wait for a side before its pings are not answered: it does not read.
pub(super) const ANSWERS_BYTES_MAX: usize = 64 * 1024;
