//! Recordings of what flowed, opened before the first byte does.

use std::io;

use crate::{digest::Digest, operation::OperationId};

/// Opens a recording before the first byte flows.
pub trait Recorder: Send + Sync {
    /// Opens a recording. If it fails, the operation is not forwarded.
    fn open(&self, id: OperationId) -> io::Result<Box<dyn Recording>>;
}

/// A recording in progress.
pub trait Recording: Send {
    /// Writes one frame. If it fails, the session is closed.
    fn frame(&mut self, direction: Direction, bytes: &[u8]) -> io::Result<()>;

    /// Ends the recording and returns the digest the closed record will carry, or `None` where
    /// policy asked for no content.
    fn seal(self: Box<Self>) -> io::Result<Option<Digest>>;
}

/// Which way a frame went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the principal to the upstream.
    Inward,
    /// From the upstream to the principal.
    Outward,
}

/// The recorder of operations whose record is their whole recording (`record: metadata`).
#[derive(Debug)]
pub struct MetadataOnly;

impl Recorder for MetadataOnly {
    fn open(&self, _: OperationId) -> io::Result<Box<dyn Recording>> {
        Ok(Box::new(Self))
    }
}

impl Recording for MetadataOnly {
    fn frame(&mut self, _: Direction, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn seal(self: Box<Self>) -> io::Result<Option<Digest>> {
        Ok(None)
    }
}
