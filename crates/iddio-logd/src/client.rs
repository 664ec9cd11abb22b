//! One connection: bytes in, frames out, and how long it may take.
//!
//! INVARIANT: what a client makes the service keep is bounded: one frame in, [`OUT_BYTES_MAX`] and one
//! page out. Who has more to say waits; who does not finish a sentence, or does not listen, is cut.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use iddio_audit::wire::{self, Code, No, Reply, WireError};

use crate::rights::Person;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) peer: Peer,
    pub(crate) stage: Stage,
    /// What the kernel was asked to tell: whether there is something to hear, and room to speak.
    pub(crate) watched: (bool, bool),
    input: Vec<u8>,
    output: Vec<u8>,
    /// When the sentence that is being said or heard began.
    since: Instant,
}

/// Who is at the other end, as the kernel has it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) writer: Arc<str>,
    pub(crate) person: Person,
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// It is cut as soon as the last answer is out.
    Ending,
    /// It has not said hello.
    New,
    /// It may be asked anything.
    Ready,
    /// A page is being made for it.
    Reading,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Going {
    On,
    Over,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(stream: UnixStream, peer: Peer) -> Self {
        let (input, output) = (Vec::new(), Vec::new());
        let (stage, watched) = (Stage::New, (true, false));
        Self { stream, peer, stage, watched, input, output, since: Instant::now() }
    }

    /// Reads what there is, up to a turn's worth.
    pub(crate) fn receive(&mut self) -> Going {
        if FRAME_AND_MORE <= self.input.len() {
            return Going::On;
        }
        let mut chunk = [0; READ_BYTES];
        match self.stream.read(&mut chunk) {
            Ok(0) => Going::Over,
            Ok(read) => {
                if self.input.is_empty() {
                    self.since = Instant::now();
                }
                self.input.extend_from_slice(chunk.get(..read).unwrap_or_default());
                Going::On
            }
            Err(error) if is_patience(&error) => Going::On,
            Err(_) => Going::Over,
        }
    }

    /// Returns the next frame, if it is all there and this client's answers are not waiting.
    pub(crate) fn frame(&self) -> Result<Option<(&[u8], usize)>, WireError> {
        match self.stage {
            Stage::New | Stage::Ready if self.output.len() < OUT_BYTES_MAX => {
                wire::frame(&self.input)
            }
            Stage::Ending | Stage::New | Stage::Ready | Stage::Reading => Ok(None),
        }
    }

    /// Drops the frame that was taken.
    pub(crate) fn taken(&mut self, bytes: usize) {
        self.input.drain(..bytes.min(self.input.len()));
        if self.input.is_empty() {
            // A frame may have been large, and the next one is not.
            self.input.shrink_to(READ_BYTES);
        }
        self.since = Instant::now();
    }

    /// Says something, and sends what the socket takes.
    pub(crate) fn say(&mut self, reply: &Reply) -> Going {
        self.say_bytes(&reply.to_bytes())
    }

    /// Says bytes in a frame of their own.
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> Going {
        if self.output.is_empty() {
            self.since = Instant::now();
        }
        match wire::put(&mut self.output, bytes) {
            Ok(()) => self.send(),
            Err(_) => Going::Over,
        }
    }

    /// Says why not.
    pub(crate) fn refuse(&mut self, code: Code, reason: impl Into<String>) -> Going {
        self.say(&Reply::No(No { code, reason: reason.into() }))
    }

    /// Sends what the socket takes.
    pub(crate) fn send(&mut self) -> Going {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return Going::Over,
                Ok(sent) => {
                    self.output.drain(..sent);
                    self.since = Instant::now();
                }
                Err(error) if is_patience(&error) => return Going::On,
                Err(_) => return Going::Over,
            }
        }
        if self.stage == Stage::Ending { Going::Over } else { Going::On }
    }

    /// Whether more is to be heard from it now: not while a whole frame waits for its turn.
    pub(crate) fn is_heard(&self) -> bool {
        self.stage != Stage::Ending && !matches!(wire::frame(&self.input), Ok(Some(_)))
    }

    /// Whether it is saying something long.
    pub(crate) fn is_large(&self) -> bool {
        READ_BYTES < self.input.len()
    }

    /// Whether there is something left to send.
    pub(crate) fn is_owed(&self) -> bool {
        !self.output.is_empty()
    }

    /// Whether it is too slow: with its hello, the rest of a frame, or in taking an answer.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        let whole = matches!(wire::frame(&self.input), Ok(Some(_)));
        let midway = !self.input.is_empty() && !whole;
        let waits = midway || self.is_owed() || matches!(self.stage, Stage::New | Stage::Ending);
        waits && SENTENCE_MAX <= now.saturating_duration_since(self.since)
    }

    /// How long nothing was said, if nothing is under way.
    pub(crate) fn idle(&self, now: Instant) -> Option<Duration> {
        let quiet = self.input.is_empty() && !self.is_owed() && self.stage == Stage::Ready;
        quiet.then(|| now.saturating_duration_since(self.since))
    }
}

fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// How much is read from one client in a turn.
const READ_BYTES: usize = 64 << 10;

/// How much of what a client says is kept: the longest frame, and the beginning of the next.
const FRAME_AND_MORE: usize = wire::HEADER_BYTES + wire::FRAME_BYTES_MAX;

/// How much may wait for a client to take it before nothing more is heard from it.
const OUT_BYTES_MAX: usize = 64 << 10;

/// How long a hello, a frame or an answer may take.
const SENTENCE_MAX: Duration = Duration::from_secs(10);
