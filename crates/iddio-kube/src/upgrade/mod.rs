//! Streams into workloads: `exec`, `attach`, `cp` and `port-forward`, which take a connection over.
//!
//! The gateway ends both protocols and speaks them anew: every frame of either side is read
//! ([`websocket`], [`spdy`]), becomes bytes of a channel ([`channels`], [`streams`]), is recorded, and
//! only then is written for the other side. What is not read is not passed on, so there is nothing
//! that went by the recording.
//!
//! INVARIANT: bytes are recorded before they are delivered, and a recording that cannot take them
//! ends the stream (threat K23). Only an answer of 101 for a protocol that was asked for makes a
//! stream; after any other both connections are closed (K21).
//!
//! What this module does not do: decide, or turn one protocol into the other.

mod carry;
pub mod channels;
mod exit;
mod open;
pub mod relay;
pub mod spdy;
pub mod streams;
pub mod websocket;
pub mod wish;

use std::{fmt, io};

use bytes::BytesMut;
use iddio_core::recording::Channel;

pub(crate) use open::{Opening, open};

/// Who is at one end of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Who asked for it.
    Client,
    /// The API server.
    Server,
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// What came is not what may come.
    #[error("{0} sent {1}")]
    Broken(Side, &'static str),
    /// No random numbers are to be had for masks.
    #[error("iddio has no random numbers")]
    Dice,
    /// The recording is lost.
    #[error("it could not be recorded: {0}")]
    Recording(io::Error),
}

/// Takes what flows, before it goes on.
pub trait Tape {
    /// Takes one frame.
    ///
    /// # Errors
    ///
    /// When it is not recorded: the bytes may not go on.
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()>;
}

/// What is to be written, to each side.
#[derive(Debug, Default)]
pub struct Outs {
    client: BytesMut,
    server: BytesMut,
}

// === impl Side ===

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client",
            Self::Server => "the API server",
        })
    }
}

// === impl Outs ===

impl Outs {
    /// What is to be written to one side.
    pub fn to(&mut self, side: Side) -> &mut BytesMut {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// How much waits to be written to one side.
    pub fn waiting(&self, side: Side) -> usize {
        match side {
            Side::Client => self.client.len(),
            Side::Server => self.server.len(),
        }
    }
}
