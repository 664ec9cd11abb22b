//! A minter and a recorder that work or fail as told.

use std::{
    io,
    sync::{Arc, Mutex},
};

use iddio_core::{
    BoxFuture,
    audit::DecisionRecord,
    credential::{CredentialMinter, MintError},
    digest::Digest,
    operation::OperationId,
    pipeline::Warrant,
    recording::{Channel, Recorder, Recording, Sealed},
};

use crate::{action::TestAction, lock};

/// A minter of text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mint {
    /// Never answers.
    Hangs,
    /// Has nothing to give.
    Refuses,
    /// Gives `token for` and the action's body.
    Works,
}

impl CredentialMinter<TestAction> for Mint {
    type Credential = String;

    fn mint<'a>(
        &'a self,
        warrant: &'a Warrant<TestAction>,
    ) -> BoxFuture<'a, Result<String, MintError>> {
        let body = String::from_utf8_lossy(&warrant.action().body);
        let result = match self {
            Self::Hangs => return Box::pin(std::future::pending()),
            Self::Refuses => Err(MintError::Unavailable),
            Self::Works => Ok(format!("token for {body}")),
        };
        Box::pin(std::future::ready(result))
    }
}

/// A recorder into memory.
#[derive(Clone, Debug)]
pub struct Tape {
    state: TapeState,
    frames: Arc<Mutex<Vec<Frame>>>,
}

/// What flowed, and where.
pub type Frame = (Channel, Vec<u8>);

/// What a tape can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TapeState {
    /// It cannot be opened.
    Closed,
    /// It takes no frame.
    Full,
    /// It takes frames and cannot be sealed.
    Unsealable,
    /// It works.
    Works,
}

// === impl Tape ===

impl Tape {
    /// Returns a tape in `state`.
    pub fn new(state: TapeState) -> Self {
        Self { state, frames: Arc::default() }
    }

    /// Returns what was recorded.
    pub fn frames(&self) -> Vec<Frame> {
        lock(&self.frames).clone()
    }
}

impl Recorder for Tape {
    fn open(&self, _: OperationId, _: &DecisionRecord) -> io::Result<Box<dyn Recording>> {
        match self.state {
            TapeState::Closed => Err(io::Error::other("no tape")),
            TapeState::Full | TapeState::Unsealable | TapeState::Works => {
                Ok(Box::new(self.clone()))
            }
        }
    }
}

impl Recording for Tape {
    fn frame(&mut self, channel: Channel, bytes: &[u8]) -> io::Result<()> {
        if self.state == TapeState::Full {
            return Err(io::Error::other("tape is full"));
        }
        lock(&self.frames).push((channel, bytes.to_vec()));
        Ok(())
    }

    fn seal(self: Box<Self>) -> io::Result<Option<Sealed>> {
        let bytes: Vec<u8> =
            lock(&self.frames).iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        match self.state {
            TapeState::Unsealable => Err(io::Error::other("tape tore")),
            TapeState::Closed | TapeState::Full | TapeState::Works => {
                let (recording, digest) = (OperationId(0), Digest::of_bytes(&bytes));
                Ok(Some(Sealed { recording, offset: 0, bytes: bytes.len() as u64, digest }))
            }
        }
    }
}
