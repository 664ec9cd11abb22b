//! The client of the signer: what a gateway's minter and the log service have instead of a key.
//!
//! The signer keeps the keys under a user of its own and signs only what the host's log says was
//! decided. Here it is asked, over its socket, one call after the other.
//!
//! INVARIANT: the socket leads to the signer's own user or to root; anybody else there is a squatter,
//! and is told nothing.

pub mod wire;

use std::{
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use iddio_audit::wire::{HEADER_BYTES, WireError, put};
use iddio_core::{audit::checkpoint::Checkpoint, digest::Digest};

use self::wire::{Call, Code, FRAME_BYTES_MAX, No, Public, Reply, VERSION, Warranted};

/// A connection to the signer.
#[derive(Debug)]
pub struct Signer {
    stream: UnixStream,
}

/// The signer cannot be asked, or will not.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Nobody answers.
    #[error("the signer at `{}` is away ({source})", socket.display())]
    Away {
        /// Where it should be.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke, and whether something was signed is not known. It is not asked again:
    /// what was signed once is not signed twice.
    #[error("the signer went away ({0})")]
    Lost(io::Error),
    /// It will not.
    #[error("the signer refuses: {}", .0.reason)]
    No(No),
    /// What answers is not the signer.
    #[error("`{}` belongs to uid {uid}, not to the signer", socket.display())]
    Squatter {
        /// Where.
        socket: PathBuf,
        /// Who is there.
        uid: u32,
    },
    /// What it says is no message.
    #[error("the signer does not speak as it should: {0}")]
    Wire(#[from] WireError),
}

// === impl Signer ===

impl Signer {
    /// Connects to the signer at `socket`, which runs as the user `keeper`.
    ///
    /// # Errors
    ///
    /// When it is away, is somebody else, or speaks otherwise.
    pub fn connect(socket: &Path, keeper: u32) -> Result<Self, SignerError> {
        let away = |source| SignerError::Away { socket: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).map_err(away)?;
        let peer = rustix::net::sockopt::socket_peercred(stream.as_fd());
        let uid = peer.map_err(|errno| away(errno.into()))?.uid.as_raw();
        if uid != keeper && uid != 0 {
            return Err(SignerError::Squatter { socket: socket.to_owned(), uid });
        }
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(away)?;
        stream.set_write_timeout(Some(ANSWER_WAIT)).map_err(away)?;
        let mut signer = Self { stream };
        match signer.ask(&Call::Hello(VERSION))? {
            Reply::Hello(VERSION) => Ok(signer),
            other => Err(refused(other)),
        }
    }

    /// Returns the public keys.
    ///
    /// # Errors
    ///
    /// When the signer is away.
    pub fn public(&mut self) -> Result<Public, SignerError> {
        match self.ask(&Call::Public)? {
            Reply::Public(public) => Ok(public),
            other => Err(refused(other)),
        }
    }

    /// Returns which log was signed for last, and how many records it had.
    ///
    /// # Errors
    ///
    /// When the signer is away, or this is not the log service.
    pub fn last(&mut self) -> Result<(Option<String>, u64), SignerError> {
        match self.ask(&Call::Last)? {
            Reply::Last { log_id, size } => Ok((log_id, size)),
            other => Err(refused(other)),
        }
    }

    /// Has a checkpoint signed that `path` proves to begin with what was signed last.
    ///
    /// # Errors
    ///
    /// When the signer is away or will not.
    pub fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        path: &[Digest],
    ) -> Result<[u8; 64], SignerError> {
        let call = Call::Checkpoint { checkpoint: checkpoint.clone(), path: path.to_vec() };
        match self.ask(&call)? {
            Reply::Signature(signature) => Ok(signature),
            other => Err(refused(other)),
        }
    }

    /// Has an SSH user certificate made for `public_key`, as `record` decided.
    ///
    /// # Errors
    ///
    /// When the signer is away or will not.
    pub fn ssh(&mut self, record: Warranted, public_key: &str) -> Result<String, SignerError> {
        self.certificate(&Call::Ssh(record, public_key.to_owned()))
    }

    /// Has a client certificate made for `public_key`, a SubjectPublicKeyInfo in DER, as `record`
    /// decided.
    ///
    /// # Errors
    ///
    /// When the signer is away or will not.
    pub fn x509(&mut self, record: Warranted, public_key: &[u8]) -> Result<String, SignerError> {
        self.certificate(&Call::X509(record, public_key.to_vec()))
    }

    /// Has an approver's registry entry signed, as `record` decided; returns the entry and its
    /// signature.
    ///
    /// # Errors
    ///
    /// When the signer is away or will not.
    pub fn registry(&mut self, record: Warranted) -> Result<(String, String), SignerError> {
        match self.ask(&Call::Registry(record))? {
            Reply::Entry { entry, signature } => Ok((entry, signature)),
            other => Err(refused(other)),
        }
    }

    fn certificate(&mut self, call: &Call) -> Result<String, SignerError> {
        match self.ask(call)? {
            Reply::Certificate(certificate) => Ok(certificate),
            other => Err(refused(other)),
        }
    }

    fn ask(&mut self, call: &Call) -> Result<Reply, SignerError> {
        let mut frame = Vec::new();
        put(&mut frame, &call.to_bytes())?;
        self.stream.write_all(&frame).map_err(SignerError::Lost)?;
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).map_err(SignerError::Lost)?;
        let length = u32::from_be_bytes(header) as usize;
        if FRAME_BYTES_MAX < length {
            return Err(WireError::Length(length as u64).into());
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(SignerError::Lost)?;
        Ok(Reply::read(&body)?)
    }
}

fn refused(reply: Reply) -> SignerError {
    match reply {
        Reply::No(no) => SignerError::No(no),
        Reply::Certificate(_)
        | Reply::Entry { .. }
        | Reply::Hello(_)
        | Reply::Last { .. }
        | Reply::Public(_)
        | Reply::Signature(_) => SignerError::Wire(WireError::Shape),
    }
}

// === impl SignerError ===

impl SignerError {
    /// Returns why the signer will not, if it said so.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::No(No { code, .. }) => Some(*code),
            Self::Away { .. } | Self::Lost(_) | Self::Squatter { .. } | Self::Wire(_) => None,
        }
    }
}

/// How long an answer is waited for: longer than the signer waits for its disk and for the log.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
