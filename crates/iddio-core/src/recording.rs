//! Recordings of what flowed, opened before the first byte does.
//!
//! A recording is a sequence of frames, each on a [`Channel`] and at a time that the recording takes
//! by itself. Taking a frame never waits: whoever forwards asks for room before it reads on
//! ([`Recording::poll_room`]), so that a disk that is slow slows the stream and nothing else.
//!
//! INVARIANT: a frame is taken before its bytes are passed on. A recorder that cannot open, a frame
//! that is not taken and a room that does not come all end the operation (threat K23).
//!
//! What this module does not do: store, redact or tell the time.

use std::{
    io,
    task::{Context, Poll},
};

use crate::{audit::DecisionRecord, digest::Digest, operation::OperationId, policy::Recorded};

/// Opens a recording before the first byte flows.
pub trait Recorder: Send + Sync {
    /// Opens the recording of the operation `id`, which was decided so. If it fails, the operation is
    /// not forwarded.
    ///
    /// # Errors
    ///
    /// When nothing can be recorded, or not what policy wants.
    fn open(&self, id: OperationId, decided: &DecisionRecord) -> io::Result<Box<dyn Recording>>;
}

/// A recording in progress. One that is dropped before it is sealed stays unsealed.
pub trait Recording: Send {
    /// Takes one frame, without waiting. If it fails, the session is closed.
    ///
    /// # Errors
    ///
    /// When the recording is lost, or holds more than it may because nobody asked for room.
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()>;

    /// Is ready once there is room for frames. Whoever forwards waits for it before it reads on.
    ///
    /// # Errors
    ///
    /// When there will be none: the recording is lost, and the session is closed.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = context;
        Poll::Ready(Ok(()))
    }

    /// Ends the recording, durably, and returns what the closed record will say of it, or `None`
    /// where policy asked for no content.
    ///
    /// # Errors
    ///
    /// When a part of it is not stored.
    fn seal(self: Box<Self>) -> io::Result<Option<Sealed>>;
}

/// What a frame is of. A frame without bytes says that its channel was closed, except where bytes mean
/// nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Channel {
    /// What a forwarded port carried.
    Data {
        /// The port in the workload.
        port: u16,
        /// Which of the connections to it, counted by the gateway.
        connection: u32,
        /// From whom.
        way: Way,
    },
    /// The error channel of a stream: how it ended, or why a port could not be reached.
    Error,
    /// How the command ended: its exit code in decimal digits.
    Exit,
    /// A piece of the body of a request.
    Request,
    /// The head of a request: a line, and a line for each header.
    RequestHead,
    /// The terminal has another size. The bytes mean nothing.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// A piece of the body of a response.
    Response,
    /// The head of a response: a line, and a line for each header.
    ResponseHead,
    /// A signal for the command: its name, without `SIG`.
    Signal,
    /// The command's standard error.
    Stderr,
    /// The command's standard input.
    Stdin,
    /// The command's standard output, or its terminal.
    Stdout,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Way {
    /// From the principal to the upstream.
    Inward,
    /// From the upstream to the principal.
    Outward,
}

/// What the closed record says of a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Which recording: the first operation in it.
    pub recording: OperationId,
    /// Where in it the operation begins.
    pub offset: u64,
    /// How many bytes of it are the operation's, as stored.
    pub bytes: u64,
    /// The digest of those.
    pub digest: Digest,
}

/// The recorder of operations whose record is their whole recording (`record: metadata`). It opens
/// nothing where policy wants more, so that what is not recorded is not forwarded.
#[derive(Debug)]
pub struct MetadataOnly;

// === impl Channel ===

impl Channel {
    /// Returns the name it is shown by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data { way: Way::Inward, .. } => "data_in",
            Self::Data { way: Way::Outward, .. } => "data_out",
            Self::Error => "error",
            Self::Exit => "exit",
            Self::Request => "request",
            Self::RequestHead => "request_head",
            Self::Resize { .. } => "resize",
            Self::Response => "response",
            Self::ResponseHead => "response_head",
            Self::Signal => "signal",
            Self::Stderr => "stderr",
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
        }
    }
}

// === impl MetadataOnly ===

impl Recorder for MetadataOnly {
    fn open(&self, _: OperationId, decided: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        match decided.decision.obligations.record {
            Recorded::Metadata => Ok(Box::new(Self)),
            Recorded::Full => Err(io::Error::other(
                "policy wants a full recording, and none is made of operations of this kind",
            )),
        }
    }
}

impl Recording for MetadataOnly {
    fn frame(&mut self, _: Channel, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn seal(self: Box<Self>) -> io::Result<Option<Sealed>> {
        Ok(None)
    }
}
