//! Frames of SPDY/3.1, without a socket.
//!
//! The reader takes bytes however they are cut and says what they are. Data passes in pieces, so that
//! a frame of any size costs no memory; frames that say something of streams are short and held whole.
//! Header blocks are compressed in one run for each direction, so each side has one decompressor and
//! one compressor for as long as the connection lives.
//!
//! INVARIANT: a frame is what one version of one protocol allows, or a fault, after which nothing is
//! read; what a header block unfolds to is bounded whatever it was compressed from.

use std::{fmt, num::NonZeroU32};

use bytes::{BufMut, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Cut, Side};

/// Reads the frames of one side.
pub struct Reader {
    side: Side,
    head: Vec<u8>,
    state: State,
    body: Vec<u8>,
    inflate: Decompress,
}

/// Writes frames for one side.
pub struct Writer(Compress);

/// A stream's number.
pub type Stream = NonZeroU32;

/// What came.
#[derive(Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// Bytes of a stream, or some of them.
    Data {
        /// Which.
        stream: Stream,
        /// The bytes.
        bytes: &'a [u8],
        /// Whether the side sends no more on it.
        fin: Fin,
    },
    /// Everything else.
    Control(Control),
}

/// Whether a side sends no more on a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fin {
    /// It may.
    No,
    /// It does not.
    Yes,
}

/// What is not data.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Control {
    /// The side goes away.
    GoAway {
        /// The last stream it heard of.
        last: u32,
        /// Why.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Which.
        stream: Stream,
        /// Whether it sends no more.
        fin: Fin,
    },
    /// A ping, or the answer to one.
    Ping(u32),
    /// A stream ends at once.
    Reset {
        /// Which.
        stream: Stream,
        /// Why.
        status: u32,
    },
    /// What the side wants the other to keep to: flags, names and values.
    Settings(Vec<(u8, u32, u32)>),
    /// A stream begins.
    SynStream {
        /// Which.
        stream: Stream,
        /// Its priority.
        priority: u8,
        /// Whether the side sends nothing on it.
        fin: Fin,
        /// What it is for, names in lower case.
        headers: Vec<(String, String)>,
    },
    /// A stream is taken.
    SynReply {
        /// Which.
        stream: Stream,
        /// Whether the side sends nothing on it.
        fin: Fin,
    },
    /// The side takes more bytes: of a stream, or of all where it is 0.
    Window {
        /// Which.
        stream: u32,
        /// How many more.
        delta: u32,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Data { stream: Stream, left: usize, fin: Fin, said: Said },
    Control { kind: u16, flags: u8, left: usize },
}

/// Whether anything was said of a data frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    No,
    Yes,
}

// === impl Reader ===

impl Reader {
    /// Reads what comes from `side`.
    pub fn new(side: Side) -> Self {
        let (head, body) = (Vec::with_capacity(HEAD_BYTES), Vec::new());
        Self { side, head, state: State::Head, body, inflate: Decompress::new(true) }
    }

    /// Returns what comes next in `rest`, and takes it from there; nothing where more bytes are
    /// needed.
    ///
    /// # Errors
    ///
    /// When the protocol is broken. Nothing may be read after that.
    pub fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Cut> {
        loop {
            match self.state {
                State::Head => {
                    let missing = HEAD_BYTES.saturating_sub(self.head.len());
                    self.head.extend_from_slice(take(rest, missing));
                    let Ok(head) = <[u8; HEAD_BYTES]>::try_from(self.head.as_slice()) else {
                        return Ok(None);
                    };
                    self.head.clear();
                    self.state = self.begin(head)?;
                }
                State::Data { left: 0, said: Said::Yes, .. } => self.state = State::Head,
                State::Data { left, said: Said::Yes, .. } if 0 < left && rest.is_empty() => {
                    return Ok(None);
                }
                State::Data { left, said: Said::No, .. } if 0 < left && rest.is_empty() => {
                    return Ok(None);
                }
                State::Data { stream, left, fin, said: _ } => {
                    let bytes = take(rest, left);
                    let left = left.saturating_sub(bytes.len());
                    self.state = State::Data { stream, left, fin, said: Said::Yes };
                    let fin = if left == 0 { fin } else { Fin::No };
                    return Ok(Some(Frame::Data { stream, bytes, fin }));
                }
                State::Control { kind, flags, left } => {
                    let more = take(rest, left);
                    self.body.extend_from_slice(more);
                    let left = left.saturating_sub(more.len());
                    if 0 < left {
                        self.state = State::Control { kind, flags, left };
                        return Ok(None);
                    }
                    self.state = State::Head;
                    let body = std::mem::take(&mut self.body);
                    return self.control(kind, flags, &body).map(|said| Some(Frame::Control(said)));
                }
            }
        }
    }

    fn begin(&mut self, head: [u8; HEAD_BYTES]) -> Result<State, Cut> {
        let [a, b, c, d, flags, e, f, g] = head;
        let left = usize::try_from(u32::from_be_bytes([0, e, f, g])).unwrap_or(usize::MAX);
        if a & CONTROL == 0 {
            let stream = Stream::new(u32::from_be_bytes([a, b, c, d]));
            let stream = stream.ok_or_else(|| self.broken("data of no stream"))?;
            let fin = self.fin(flags, FLAG_FIN)?;
            return Ok(State::Data { stream, left, fin, said: Said::No });
        }
        if [a & !CONTROL, b] != VERSION {
            return Err(self.broken("a frame of another version of SPDY"));
        }
        if CONTROL_BYTES_MAX < left {
            return Err(self.broken("a frame beyond the limit"));
        }
        self.body.clear();
        Ok(State::Control { kind: u16::from_be_bytes([c, d]), flags, left })
    }

    fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<Control, Cut> {
        let mut fields = Fields { rest: body, side: self.side };
        let control = match kind {
            SYN_STREAM => {
                let (stream, associated) = (fields.stream()?, fields.word()?);
                let priority = fields.byte()? >> PRIORITY_SHIFT;
                let slot = fields.byte()?;
                if associated != 0 || slot != 0 {
                    return Err(self.broken("a stream that belongs to another"));
                }
                let fin = self.fin(flags, FLAG_FIN)?;
                let headers = self.headers(fields.all())?;
                Control::SynStream { stream, priority, fin, headers }
            }
            SYN_REPLY | HEADERS => {
                let stream = fields.stream()?;
                let fin = self.fin(flags, FLAG_FIN)?;
                let _ = self.headers(fields.all())?;
                match kind {
                    SYN_REPLY => Control::SynReply { stream, fin },
                    _ => Control::Headers { stream, fin },
                }
            }
            RST_STREAM => Control::Reset { stream: fields.stream()?, status: fields.word()? },
            SETTINGS => {
                let mut entries = Vec::new();
                for _ in 0..fields.word()? {
                    let [flags, a, b, c] = fields.word()?.to_be_bytes();
                    entries.push((flags, u32::from_be_bytes([0, a, b, c]), fields.word()?));
                }
                Control::Settings(entries)
            }
            PING => Control::Ping(fields.word()?),
            GOAWAY => Control::GoAway { last: fields.word()?, status: fields.word()? },
            WINDOW_UPDATE => Control::Window { stream: fields.word()?, delta: fields.word()? },
            _ => return Err(self.broken("a frame of an unknown kind")),
        };
        match fields.rest {
            [] => Ok(control),
            _ => Err(self.broken("a frame longer than what it says")),
        }
    }

    fn fin(&self, flags: u8, allowed: u8) -> Result<Fin, Cut> {
        match flags {
            0 => Ok(Fin::No),
            flags if flags == allowed => Ok(Fin::Yes),
            _ => Err(self.broken("a frame with flags that mean nothing here")),
        }
    }

    /// Unfolds a header block and reads it.
    fn headers(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, Cut> {
        let broken = || Cut::Broken(self.side, "headers that cannot be read");
        let text = inflate(&mut self.inflate, block).ok_or_else(broken)?;
        let mut fields = Fields { rest: &text, side: self.side };
        let count = fields.word()?;
        if HEADERS_MAX < count {
            return Err(self.broken("more headers than there may be"));
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for _ in 0..count {
            let (name, value) = (fields.text()?, fields.text()?);
            let twice = headers.iter().any(|(own, _)| *own == name);
            if twice || name.is_empty() || name.bytes().any(|byte| !byte.is_ascii_graphic()) {
                return Err(self.broken("a header that stands twice, or has no name"));
            }
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                return Err(self.broken("a header whose name is in upper case"));
            }
            headers.push((name, value));
        }
        match fields.rest {
            [] => Ok(headers),
            _ => Err(self.broken("headers longer than what they say")),
        }
    }

    fn broken(&self, what: &'static str) -> Cut {
        Cut::Broken(self.side, what)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, state, .. } = self;
        f.debug_struct("Reader").field("side", side).field("state", state).finish_non_exhaustive()
    }
}

// === impl Writer ===

impl Writer {
    /// Writes frames on a new connection.
    pub fn new() -> Self {
        let mut deflate = Compress::new(Compression::fast(), true);
        // A compressor that took nothing yet takes a dictionary.
        let _ = deflate.set_dictionary(&dictionary());
        Self(deflate)
    }

    /// Writes data.
    pub fn data(&mut self, out: &mut BytesMut, stream: Stream, bytes: &[u8], fin: Fin) {
        // The length of a frame has three bytes; what is read at once is far shorter.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let [_, length @ ..] = length.to_be_bytes();
        out.put_u32(stream.get());
        out.put_u8(flag(fin));
        out.put_slice(&length);
        out.put_slice(bytes);
    }

    /// Writes anything else. Headers but for those of a new stream are not passed on.
    pub fn control(&mut self, out: &mut BytesMut, control: &Control) {
        let mut body = BytesMut::new();
        let (kind, flags) = match control {
            Control::SynStream { stream, priority, fin, headers } => {
                body.put_u32(stream.get());
                body.put_u32(0);
                body.put_u8(priority << PRIORITY_SHIFT);
                body.put_u8(0);
                self.headers(&mut body, headers);
                (SYN_STREAM, flag(*fin))
            }
            Control::SynReply { stream, fin } => {
                body.put_u32(stream.get());
                self.headers(&mut body, &[]);
                (SYN_REPLY, flag(*fin))
            }
            Control::Headers { stream, fin } => {
                body.put_u32(stream.get());
                self.headers(&mut body, &[]);
                (HEADERS, flag(*fin))
            }
            Control::Reset { stream, status } => {
                body.put_u32(stream.get());
                body.put_u32(*status);
                (RST_STREAM, 0)
            }
            Control::Settings(entries) => {
                body.put_u32(u32::try_from(entries.len()).unwrap_or(0));
                for (flags, name, value) in entries {
                    body.put_u32(u32::from(*flags) << FLAGS_SHIFT | name);
                    body.put_u32(*value);
                }
                (SETTINGS, 0)
            }
            Control::Ping(number) => {
                body.put_u32(*number);
                (PING, 0)
            }
            Control::GoAway { last, status } => {
                body.put_u32(*last);
                body.put_u32(*status);
                (GOAWAY, 0)
            }
            Control::Window { stream, delta } => {
                body.put_u32(*stream);
                body.put_u32(*delta);
                (WINDOW_UPDATE, 0)
            }
        };
        let [high, low] = VERSION;
        out.put_slice(&[CONTROL | high, low]);
        out.put_u16(kind);
        out.put_u32(u32::from(flags) << FLAGS_SHIFT | u32::try_from(body.len()).unwrap_or(0));
        out.put_slice(&body);
    }

    fn headers(&mut self, out: &mut BytesMut, headers: &[(String, String)]) {
        let mut text = Vec::new();
        let length = |text: &str| u32::try_from(text.len()).unwrap_or(0).to_be_bytes();
        text.put_u32(u32::try_from(headers.len()).unwrap_or(0));
        for part in headers.iter().flat_map(|(name, value)| [name, value]) {
            text.put_slice(&length(part));
            text.put_slice(part.as_bytes());
        }
        deflate(&mut self.0, &text, out);
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// What is left of a frame.
struct Fields<'a> {
    rest: &'a [u8],
    side: Side,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn word(&mut self) -> Result<u32, Cut> {
        let (word, rest) = self.rest.split_first_chunk().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*word))
    }

    fn byte(&mut self) -> Result<u8, Cut> {
        let (byte, rest) = self.rest.split_first().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*byte)
    }

    /// The number of a stream, without the bit that means nothing.
    fn stream(&mut self) -> Result<Stream, Cut> {
        let stream = Stream::new(self.word()? & STREAM_MASK);
        stream.ok_or(Cut::Broken(self.side, "a stream without a number"))
    }

    fn text(&mut self) -> Result<String, Cut> {
        let length = usize::try_from(self.word()?).unwrap_or(usize::MAX);
        let (text, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.short())?;
        self.rest = rest;
        let text = std::str::from_utf8(text);
        let text = text.ok().filter(|text| !text.chars().any(char::is_control));
        text.map(str::to_owned).ok_or(Cut::Broken(self.side, "a header that is not text"))
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn short(&self) -> Cut {
        Cut::Broken(self.side, "a frame shorter than what it says")
    }
}

fn take<'a>(rest: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, back) = rest.split_at(most.min(rest.len()));
    *rest = back;
    front
}

fn flag(fin: Fin) -> u8 {
    match fin {
        Fin::No => 0,
        Fin::Yes => FLAG_FIN,
    }
}

/// Unfolds one block, whole, or nothing where it is broken or unfolds to more than it may.
fn inflate(inflate: &mut Decompress, mut block: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(HEADER_BYTES_MAX);
    loop {
        let (taken, given) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress_vec(block, &mut text, FlushDecompress::Sync);
        let read = usize::try_from(inflate.total_in() - taken).ok()?;
        block = block.get(read..)?;
        match status {
            // The first block names the dictionary that it was folded with.
            Err(error) => {
                error.needs_dictionary()?;
                let _ = inflate.set_dictionary(&dictionary()).ok()?;
            }
            Ok(Status::StreamEnd) => return None,
            Ok(Status::Ok | Status::BufError) if block.is_empty() => {
                return (text.len() < HEADER_BYTES_MAX).then_some(text);
            }
            Ok(_) if read == 0 && inflate.total_out() == given => return None,
            Ok(_) => {}
        }
    }
}

/// Folds one block, to its end.
fn deflate(deflate: &mut Compress, mut text: &[u8], out: &mut BytesMut) {
    let mut piece = Vec::with_capacity(HEADER_BYTES_MAX);
    loop {
        let taken = deflate.total_in();
        let status = deflate.compress_vec(text, &mut piece, FlushCompress::Sync);
        let read = usize::try_from(deflate.total_in() - taken).unwrap_or(0);
        text = text.get(read..).unwrap_or_default();
        let full = piece.len() == piece.capacity();
        out.put_slice(&piece);
        piece.clear();
        if status.is_err() || text.is_empty() && !full {
            return;
        }
    }
}

/// What header blocks are folded with, as the protocol has it: words after their lengths, then text.
fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS.split(' ') {
        let word = word.replace('_', " ");
        bytes.put_u32(u32::try_from(word.len()).unwrap_or(0));
        bytes.put_slice(word.as_bytes());
    }
    bytes.put_slice(TEXT.as_bytes());
    bytes
}

/// How long the head of a frame is.
const HEAD_BYTES: usize = 8;

/// The bit of a frame that is not data.
const CONTROL: u8 = 0x80;

/// The version within a frame, which SPDY/3 and SPDY/3.1 share.
const VERSION: [u8; 2] = [0, 3];

/// The flag of the last frame of a stream.
const FLAG_FIN: u8 = 1;

/// Where flags stand in a word.
const FLAGS_SHIFT: u32 = 24;

/// Where a priority stands in its byte.
const PRIORITY_SHIFT: u32 = 5;

/// The bits of a stream's number.
const STREAM_MASK: u32 = 0x7fff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// The most bytes of a frame that is not data: those of Kubernetes have fewer than 200.
const CONTROL_BYTES_MAX: usize = 16 * 1024;

/// The most that a header block may unfold to.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// The most headers of a stream: Kubernetes sends three.
const HEADERS_MAX: u32 = 32;

/// The words of the dictionary; an underscore stands for a space.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
    accept-language accept-ranges age allow authorization cache-control connection content-base \
    content-encoding content-language content-length content-location content-md5 content-range \
    content-type date etag expect expires from host if-match if-modified-since if-none-match \
    if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url \
    public set-cookie keep-alive origin";

/// Its text.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416\
    417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad \
    Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not \
    Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
    Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
