//! One operation's part of a file: frames, redacted, in blocks that hang together.

use iddio_core::{
    json::Value,
    operation::OperationId,
    recording::{Channel, Sealed},
};

use crate::{
    format::{self, CONTENT_BYTES_MAX, FRAME_BYTES_MAX, Frame, Frames, Kind, Place},
    redact::{body::Exchange, session::Session},
};

/// One operation's part of a file, as it is written.
#[derive(Debug)]
pub(crate) struct Track {
    operation: OperationId,
    place: Place,
    frames: Frames,
    scrub: Scrub,
    /// Where in the file it begins.
    offset: Option<u64>,
    /// How many bytes of the file it takes.
    stored: u64,
    count: u64,
    bytes: u64,
    last: u64,
}

/// How its secrets are found.
#[derive(Debug)]
pub(crate) enum Scrub {
    /// By heads and bodies.
    Exchange(Box<Exchange>),
    /// As a terminal, or what is like one.
    Session(Box<Session>),
}

/// Frames as they came, in one stretch of memory.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    heads: Vec<(u64, Channel, usize)>,
    bytes: Vec<u8>,
}

// === impl Raw ===

impl Raw {
    /// Takes a frame.
    pub(crate) fn push(&mut self, micros: u64, channel: Channel, bytes: &[u8]) {
        self.heads.push((micros, channel, bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }

    /// How much memory they take, near enough.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.heads.len() * size_of::<(u64, Channel, usize)>()
    }

    fn each(&self, mut each: impl FnMut(Frame<'_>)) {
        let mut rest = self.bytes.as_slice();
        for (micros, channel, length) in &self.heads {
            let (bytes, tail) = rest.split_at_checked(*length).unwrap_or_default();
            rest = tail;
            each(Frame { micros: *micros, channel: *channel, bytes });
        }
    }
}

// === impl Track ===

impl Track {
    /// Begins the track of an operation.
    pub(crate) fn new(operation: OperationId, scrub: Scrub) -> Self {
        Self {
            operation,
            place: Place::START,
            frames: Frames::default(),
            scrub,
            offset: None,
            stored: 0,
            count: 0,
            bytes: 0,
            last: 0,
        }
    }

    /// Writes the first block, which says what it is.
    pub(crate) fn title(&mut self, title: &Value, out: &mut Vec<u8>) {
        self.block(Kind::Title, &title.to_canonical(), out);
    }

    /// Writes what of the frames is ready.
    pub(crate) fn take(&mut self, raw: &Raw, out: &mut Vec<u8>) {
        raw.each(|frame| {
            self.last = self.last.max(frame.micros);
            self.scrubbed(out, |scrub, each| match scrub {
                Scrub::Exchange(exchange) => exchange.frame(frame, each),
                Scrub::Session(session) => session.frame(frame, each),
            });
        });
        self.flush(out);
    }

    /// Writes what waits, and the last block.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        self.rest(out);
        let secrets = match &self.scrub {
            Scrub::Exchange(exchange) => exchange.secrets,
            Scrub::Session(session) => session.secrets,
        };
        let int = |name: &str, n: u64| (name.to_owned(), Value::Int(n));
        let end = Value::Object(vec![
            int("bytes", self.bytes),
            int("frames", self.count),
            int("micros", self.last),
            int("redacted", secrets),
        ]);
        self.block(Kind::End, &end.to_canonical(), out);
    }

    /// Writes what waits, and no last block: it stays unsealed.
    pub(crate) fn rest(&mut self, out: &mut Vec<u8>) {
        let last = self.last;
        self.scrubbed(out, |scrub, each| match scrub {
            Scrub::Exchange(exchange) => exchange.finish(last, each),
            Scrub::Session(session) => session.finish(each),
        });
        self.flush(out);
    }

    /// Notes that what was written stands in the file from `offset` on.
    pub(crate) fn placed(&mut self, offset: u64, bytes: usize) {
        self.offset.get_or_insert(offset);
        self.stored += bytes as u64;
    }

    /// How many bytes of the file it takes.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// What the closed record says of it, once it has ended.
    pub(crate) fn sealed(&self, recording: OperationId) -> Sealed {
        Sealed {
            recording,
            offset: self.offset.unwrap_or_default(),
            bytes: self.stored,
            digest: self.place.link,
        }
    }

    fn scrubbed(
        &mut self,
        out: &mut Vec<u8>,
        work: impl FnOnce(&mut Scrub, &mut dyn FnMut(Frame<'_>)),
    ) {
        let Self { scrub, frames, place, operation, count, bytes, .. } = self;
        work(scrub, &mut |frame| {
            *count += 1;
            *bytes += frame.bytes.len() as u64;
            // An empty frame is one piece of none.
            let mut rest = frame.bytes;
            loop {
                let (piece, tail) = rest.split_at_checked(FRAME_BYTES_MAX).unwrap_or((rest, &[]));
                if BLOCK_BYTES < frames.content().len() + piece.len() {
                    *place = format::write(out, Kind::Frames, *operation, *place, frames.content());
                    frames.clear();
                }
                frames.push(Frame { bytes: piece, ..frame });
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
        });
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.frames.content().is_empty() {
            let frames = std::mem::take(&mut self.frames);
            self.block(Kind::Frames, frames.content(), out);
        }
    }

    fn block(&mut self, kind: Kind, content: &[u8], out: &mut Vec<u8>) {
        self.place = format::write(out, kind, self.operation, self.place, content);
    }
}

/// How much one block holds, unpacked: enough to pack well, and little to lose.
const BLOCK_BYTES: usize = 128 << 10;

const _: () = assert!(BLOCK_BYTES + FRAME_BYTES_MAX + 64 < CONTENT_BYTES_MAX);
