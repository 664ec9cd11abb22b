//! Frames of WebSockets (RFC 6455), without a socket.
//!
//! The reader takes bytes however they are cut and says what they are, piece by piece, so that a frame
//! of any size costs no memory. Heads are read and written by tungstenite; no extension is ever
//! agreed on, so what a frame holds is what was said.
//!
//! INVARIANT: the bytes of a stream mean the same events however they are split, but for where pieces
//! begin and end. Whatever the protocol does not allow is a fault, after which nothing is read.

use std::io::Cursor;

use bytes::{BufMut, BytesMut};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{Cut, Side};

/// Reads the frames of one side.
#[derive(Debug)]
pub struct Reader {
    side: Side,
    head: Vec<u8>,
    state: State,
    message: Message,
    control: Vec<u8>,
}

/// What came.
#[derive(Debug, Eq, PartialEq)]
pub enum Event<'a> {
    /// A message begins.
    Start,
    /// More of it.
    Piece(&'a [u8]),
    /// It ends.
    End,
    /// A ping, to be answered with the same.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The other side closes. It sends nothing more.
    Close(Closing),
}

/// Why a WebSocket is closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    /// The code, where one was given.
    pub code: Option<u16>,
    /// What was said of it.
    pub reason: String,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Data { left: u64, mask: Option<[u8; 4]>, at: usize, last: Last },
    Control { kind: Control, left: usize, mask: Option<[u8; 4]>, at: usize },
    Closed,
}

/// Whether a frame is the last of its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Last {
    No,
    Yes,
}

/// Whether a message is begun and not ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Message {
    Begun,
    None,
}

// === impl Reader ===

impl Reader {
    /// Reads what comes from `side`: a client masks, a server does not.
    pub fn new(side: Side) -> Self {
        let (head, control) = (Vec::new(), Vec::new());
        Self { side, head, state: State::Head, message: Message::None, control }
    }

    /// Returns what comes next in `rest`, and takes it from there; nothing where more bytes are
    /// needed. Pieces are unmasked where they lie.
    ///
    /// # Errors
    ///
    /// When the protocol is broken. Nothing may be read after that.
    pub fn next<'a>(&mut self, rest: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, Cut> {
        loop {
            match self.state {
                State::Closed => {
                    let _ = take(rest, usize::MAX);
                    return Ok(None);
                }
                State::Head => match self.head(rest)? {
                    Headed::Begun => return Ok(Some(Event::Start)),
                    Headed::Partly => return Ok(None),
                    Headed::Whole => {}
                },
                State::Data { left: 0, last, .. } => {
                    self.state = State::Head;
                    if last == Last::Yes {
                        self.message = Message::None;
                        return Ok(Some(Event::End));
                    }
                }
                State::Data { left, mask, at, last } => {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let piece = take(rest, usize::try_from(left).unwrap_or(usize::MAX));
                    apply(piece, mask, at);
                    let left = left.saturating_sub(piece.len() as u64);
                    let at = (at + piece.len()) % 4;
                    self.state = State::Data { left, mask, at, last };
                    return Ok(Some(Event::Piece(piece)));
                }
                State::Control { kind, left: 0, .. } => {
                    self.state = State::Head;
                    return self.told(kind).map(Some);
                }
                State::Control { kind, left, mask, at } => {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let piece = take(rest, left);
                    apply(piece, mask, at);
                    self.control.extend_from_slice(piece);
                    let (left, at) = (left.saturating_sub(piece.len()), (at + piece.len()) % 4);
                    self.state = State::Control { kind, left, mask, at };
                }
            }
        }
    }

    /// Reads a head, or as much of it as there is.
    fn head(&mut self, rest: &mut &mut [u8]) -> Result<Headed, Cut> {
        while let [byte] = take(rest, 1) {
            self.head.push(*byte);
            let parsed = FrameHeader::parse(&mut Cursor::new(&self.head));
            let parsed = parsed.map_err(|_| self.broken("a frame of an unknown kind"))?;
            if let Some((head, length)) = parsed {
                self.head.clear();
                return self.begin(&head, length);
            }
        }
        Ok(Headed::Partly)
    }

    fn begin(&mut self, head: &FrameHeader, length: u64) -> Result<Headed, Cut> {
        if head.rsv1 || head.rsv2 || head.rsv3 {
            return Err(self.broken("a frame of an extension that nobody agreed on"));
        }
        match (self.side, head.mask) {
            (Side::Client, None) => return Err(self.broken("a frame without a mask")),
            (Side::Server, Some(_)) => return Err(self.broken("a frame with a mask")),
            (Side::Client, Some(_)) | (Side::Server, None) => {}
        }
        let last = if head.is_final { Last::Yes } else { Last::No };
        let mask = head.mask;
        match head.opcode {
            OpCode::Control(kind) => {
                let left = usize::try_from(length).ok().filter(|left| *left <= CONTROL_BYTES_MAX);
                let left = left.filter(|_| last == Last::Yes);
                let left =
                    left.ok_or_else(|| self.broken("a control frame in parts or too long"))?;
                self.control.clear();
                self.state = State::Control { kind, left, mask, at: 0 };
                Ok(Headed::Whole)
            }
            OpCode::Data(kind) => {
                let begun = match (kind, self.message) {
                    (Data::Continue, Message::Begun) => Headed::Whole,
                    (Data::Text | Data::Binary, Message::None) => Headed::Begun,
                    _ => return Err(self.broken("a frame out of its message")),
                };
                if FRAME_BYTES_MAX < length {
                    return Err(self.broken("a frame beyond the limit"));
                }
                self.message = Message::Begun;
                self.state = State::Data { left: length, mask, at: 0, last };
                Ok(begun)
            }
        }
    }

    /// What a control frame says.
    fn told(&mut self, kind: Control) -> Result<Event<'static>, Cut> {
        let said = std::mem::take(&mut self.control);
        match kind {
            Control::Ping => Ok(Event::Ping(said)),
            Control::Pong => Ok(Event::Pong),
            Control::Close => {
                self.state = State::Closed;
                let closing = closing(&said);
                Ok(Event::Close(closing.ok_or_else(|| self.broken("a close that is none"))?))
            }
            Control::Reserved(_) => Err(self.broken("a frame of an unknown kind")),
        }
    }

    fn broken(&self, what: &'static str) -> Cut {
        Cut::Broken(self.side, what)
    }
}

/// What reading a head came to.
enum Headed {
    /// A message begins with it.
    Begun,
    /// There is more of it to come.
    Partly,
    /// It is read.
    Whole,
}

// === impl Closing ===

impl Closing {
    /// A close for a reason, which is cut where it is too long.
    pub fn new(code: u16, reason: &str) -> Self {
        let most = CONTROL_BYTES_MAX - size_of::<u16>();
        let end = reason.floor_char_boundary(most);
        Self { code: Some(code), reason: reason.get(..end).unwrap_or_default().to_owned() }
    }
}

/// Writes one message for `to`, in one frame, of some parts one after the other.
///
/// # Errors
///
/// When there are no random numbers for its mask.
pub fn message(out: &mut BytesMut, to: Side, parts: &[&[u8]]) -> Result<(), Cut> {
    frame(out, to, OpCode::Data(Data::Binary), parts)
}

/// Writes a ping for `to`.
///
/// # Errors
///
/// When there are no random numbers for its mask.
pub fn ping(out: &mut BytesMut, to: Side) -> Result<(), Cut> {
    frame(out, to, OpCode::Control(Control::Ping), &[])
}

/// Writes the answer to a ping of `to`.
///
/// # Errors
///
/// When there are no random numbers for its mask.
pub fn pong(out: &mut BytesMut, to: Side, said: &[u8]) -> Result<(), Cut> {
    frame(out, to, OpCode::Control(Control::Pong), &[said])
}

/// Writes a close for `to`.
///
/// # Errors
///
/// When there are no random numbers for its mask.
pub fn close(out: &mut BytesMut, to: Side, closing: &Closing) -> Result<(), Cut> {
    let code = closing.code.map(u16::to_be_bytes);
    let code = code.as_ref().map_or(&[][..], |code| &code[..]);
    frame(out, to, OpCode::Control(Control::Close), &[code, closing.reason.as_bytes()])
}

fn frame(out: &mut BytesMut, to: Side, opcode: OpCode, parts: &[&[u8]]) -> Result<(), Cut> {
    let mask = match to {
        Side::Client => None,
        Side::Server => {
            let mut mask = [0; 4];
            getrandom::fill(&mut mask).map_err(|_| Cut::Dice)?;
            Some(mask)
        }
    };
    let head = FrameHeader { is_final: true, opcode, mask, ..FrameHeader::default() };
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    // Memory takes what it is given.
    let _ = head.format(length as u64, &mut out.writer());
    let mut at = 0;
    for part in parts {
        let from = out.len();
        out.extend_from_slice(part);
        apply(out.get_mut(from..).unwrap_or_default(), mask, at);
        at = (at + part.len()) % 4;
    }
    Ok(())
}

/// Reads what a close says: nothing, or a code that may be sent and text.
fn closing(said: &[u8]) -> Option<Closing> {
    let Some((code, reason)) = said.split_first_chunk() else {
        return said.is_empty().then(|| Closing { code: None, reason: String::new() });
    };
    let code = u16::from_be_bytes(*code);
    let sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    let reason = std::str::from_utf8(reason).ok()?.to_owned();
    sent.then_some(Closing { code: Some(code), reason })
}

/// Takes up to `most` bytes from the front.
fn take<'a>(rest: &mut &'a mut [u8], most: usize) -> &'a mut [u8] {
    let all = std::mem::take(rest);
    let (front, back) = all.split_at_mut(most.min(all.len()));
    *rest = back;
    front
}

/// Masks or unmasks bytes whose first is at `at` within the mask.
fn apply(bytes: &mut [u8], mask: Option<[u8; 4]>, at: usize) {
    let Some(mut mask) = mask else { return };
    mask.rotate_left(at % 4);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    let word = u32::from_ne_bytes(mask);
    for own in words {
        *own = (u32::from_ne_bytes(*own) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The most bytes of a frame, as API servers have it. It passes in pieces, none of them held back.
pub const FRAME_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The most bytes of a control frame, by the protocol.
const CONTROL_BYTES_MAX: usize = 125;

/// The close code of an end that is as it should be.
pub const NORMAL: u16 = 1000;

/// The close code of what a rule does not let pass.
pub const POLICY: u16 = 1008;

/// The close code of what the protocol does not allow.
pub const PROTOCOL: u16 = 1002;

/// The close code of a side that cannot go on.
pub const FAILED: u16 = 1011;
