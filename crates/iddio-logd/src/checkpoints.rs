//! Checkpoints: signed while there are new records, and left where the service's own disk is not the
//! only witness.
//!
//! The places are files: the service connects to nobody. A place that cannot be written is named on
//! standard error and gets the next one; a checkpoint covers all before it (L09).

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    task::{Context as Poller, Poll, Waker},
    time::Duration,
};

use anyhow::{Context, Result};
use iddio_audit::{Log, Options, checkpoint::last_checkpoint};
use iddio_core::{
    audit::{
        AdminEvent, AuditSink, Body, Durability, Entry, Field,
        checkpoint::{CheckpointSigner, Note},
    },
    operation::OperationId,
    text::RawText,
    time::Clock,
};
use iddio_mint::CheckpointKey;

use crate::config::Config;

/// The key, lent to the log for one signature.
pub(crate) struct Lent(pub(crate) CheckpointKey);

/// What makes checkpoints and takes them to their places.
pub(crate) struct Keeper {
    pub(crate) log: Arc<Log>,
    pub(crate) key: Lent,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) second: Option<Log>,
}

impl CheckpointSigner for Lent {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes)
    }

    fn public(&self) -> [u8; 32] {
        self.0.public()
    }
}

// === impl Keeper ===

impl Keeper {
    /// Makes checkpoints until the other end of `stop` is dropped, and then one more.
    pub(crate) fn run(self, stop: &Receiver<()>) {
        let wait = Duration::from_secs(self.config.checkpoint_secs);
        loop {
            let last = stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
            if let Err(error) = self.round() {
                eprintln!("iddio-logd: checkpoint: {error:#}");
            }
            if last {
                return;
            }
        }
    }

    fn round(&self) -> Result<()> {
        let before = last_checkpoint(self.log.path())?;
        let size = |note: &str| Note::read(note).map(|note| note.checkpoint.size);
        let note = self.log.checkpoint(&self.key)?;
        if before.as_deref().and_then(size) == size(&note) {
            return Ok(());
        }
        if let Some(path) = &self.config.checkpoint_file {
            leave(path, &note).with_context(|| format!("`{}`", path.display()))?;
        }
        if let Some(second) = &self.second {
            let fields = vec![("note", Field::Text(RawText::from(note.as_str())))];
            let event = AdminEvent { event: "checkpoint.kept", principal: None, fields };
            let id = OperationId(u128::from_be_bytes(draw()?));
            let entry = Entry { id, at: self.clock.now().wall, body: Body::Admin(event) };
            settle(second.append(&entry, Durability::Sync)).map(drop)?;
        }
        Ok(())
    }
}

/// Opens the second log, if there is to be one.
pub(crate) fn second_log(config: &Config, options: Options) -> Result<Option<Log>> {
    let open = |path: &std::path::PathBuf| {
        Log::open(path, options).with_context(|| format!("`{}`", path.display()))
    };
    config.second_log.as_ref().map(open).transpose()
}

/// Appends a checkpoint to a file, durably.
fn leave(path: &Path, note: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).append(true).mode(0o644).open(path)?;
    file.write_all(format!("{note}\n").as_bytes())?;
    Ok(file.sync_data()?)
}

/// Polls a future of the log's to its end. It leads itself, so it is ready after a few polls.
pub(crate) fn settle<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Poller::from_waker(Waker::noop())) {
            return value;
        }
    }
}

/// Draws random bytes for an id.
pub(crate) fn draw() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let drawn = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    drawn.context("no random bytes")?;
    Ok(bytes)
}
