//! Checkpoints: signed while there are new records, and left where the service's own disk is not the
//! only witness.
//!
//! The places are files: the service connects to nobody. A place that cannot be written is named on
//! standard error and gets the next one; a checkpoint covers all before it (L09).

use std::{
    fs::OpenOptions,
    io::Write,
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    task::{Context as Poller, Poll, Waker},
    time::Duration,
};

use anyhow::{Context, Result};
use iddio_audit::{
    Log, Options,
    checkpoint::{Notary, last_checkpoint},
    query::{Filter, Record, query},
};
use iddio_core::{
    audit::{
        AdminEvent, AuditSink, Body, Durability, Entry, Field,
        checkpoint::{Checkpoint, Note},
    },
    digest::Digest,
    operation::OperationId,
    text::RawText,
    time::Clock,
};
use iddio_mint::{
    CheckpointKey,
    signer::{Signer, SignerError},
};

use crate::config::Config;

/// What signs: a key of the service's own, or the signer, who has it.
pub(crate) enum Key {
    Own(CheckpointKey),
    Signer { socket: PathBuf, keeper: u32, public: [u8; 32] },
}

/// What makes checkpoints and takes them to their places.
pub(crate) struct Keeper {
    pub(crate) log: Arc<Log>,
    pub(crate) key: Key,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) second: Option<Log>,
}

// === impl Key ===

impl Key {
    /// Opens the key that the configuration names, or makes it; or finds out which one the signer has.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let Some(socket) = &config.signer else {
            let path = &config.checkpoint_key;
            let key = match path.exists() {
                true => CheckpointKey::open(path),
                false => CheckpointKey::create(path),
            };
            return Ok(Self::Own(key.context("checkpoint key")?));
        };
        let user = config.signer_user.as_deref().context("`signer` without `signer_user`")?;
        let known = nix::unistd::User::from_name(user).context("the user database")?;
        let keeper = known.with_context(|| format!("there is no user `{user}`"))?.uid.as_raw();
        // A log that is there names its key; only the first one needs the signer to begin.
        let public = match named_key(&config.directory) {
            Some(public) => public,
            None => Signer::connect(socket, keeper)?.public()?.checkpoint,
        };
        Ok(Self::Signer { socket: socket.clone(), keeper, public })
    }
}

impl Notary for Key {
    fn last(&self, log_id: &str) -> Result<u64, String> {
        match self {
            Self::Own(_) => Ok(0),
            Self::Signer { socket, keeper, public } => {
                let last = || {
                    let mut signer = Signer::connect(socket, *keeper)?;
                    Ok::<_, SignerError>((signer.public()?.checkpoint, signer.last()?))
                };
                match last().map_err(|error| error.to_string())? {
                    (other, _) if other != *public => {
                        Err("the log was begun with another key than the signer has".to_owned())
                    }
                    (_, (Some(other), _)) if other != log_id => {
                        Err(format!("the signer signs for the log {other}"))
                    }
                    (_, (_, size)) => Ok(size),
                }
            }
        }
    }

    fn sign(&self, checkpoint: &Checkpoint, path: &[Digest]) -> Result<[u8; 64], String> {
        match self {
            Self::Own(key) => Ok(key.sign(checkpoint.text().as_bytes())),
            Self::Signer { socket, keeper, .. } => {
                let signer = Signer::connect(socket, *keeper);
                let signed = signer.and_then(|mut signer| signer.checkpoint(checkpoint, path));
                signed.map_err(|error| error.to_string())
            }
        }
    }

    fn public(&self) -> [u8; 32] {
        match self {
            Self::Own(key) => key.public(),
            Self::Signer { public, .. } => *public,
        }
    }
}

/// Returns the key that the log in `dir` names in its first record, if there is a log.
fn named_key(dir: &Path) -> Option<[u8; 32]> {
    let mut named = None;
    let first = |record: Record| {
        named = record.text("checkpoint_key").and_then(Digest::from_hex);
        ControlFlow::Break(())
    };
    // One that cannot be read is found out when it is opened.
    query(dir, &Filter::default(), first).ok()?;
    named.map(|digest| *digest.as_bytes())
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
        let note = self.log.checkpoint_by(&self.key)?;
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
