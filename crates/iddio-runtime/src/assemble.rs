//! Puts the parts of a home together: its log, its policy, its queue, one pipeline.

use std::{path::PathBuf, sync::Arc};

use iddio_approve::{Form, Queue, QueueApprover, QueueError, Setting};
// What a gateway needs of asking, so that it knows no approver.
pub use iddio_approve::{Cancel, Notice, Prompt};
use iddio_audit::{OpenError, Options, checkpoint::CheckpointError};
use iddio_core::{
    audit::{
        AdminEvent, AuditError, AuditSink, Body, Durability, Entry, Field, Receipt,
        checkpoint::CheckpointSigner,
    },
    digest::Digest,
    pipeline::Pipeline,
    principal::Identified,
    time::Clock,
};
use iddio_mint::{
    checkpoint::{CheckpointKey, CheckpointKeyError},
    token::Token,
};
use iddio_policy::Trusted;

pub use crate::tally::Records;
use crate::{
    agents::Roll,
    block_on::block_on,
    clock::{SystemClock, draw_id},
    freezes::Freezes,
    home::{Home, Keeping},
    identity::{self, Certificate, IdentityError},
    mode::Mode,
    policy::{HomePolicy, InForce},
    recorder::{Recorder, ServiceError},
    stamped::Stamped,
    store::{self, StoreError},
    tally::{Counted, Tally},
    tools::{By, Tools},
};

/// Everything a gateway works with, opened.
pub struct Runtime {
    home: Home,
    clock: Arc<SystemClock>,
    recorder: Recorder,
    tally: Arc<Tally>,
    sink: Arc<dyn AuditSink>,
    policy: Arc<HomePolicy>,
    freezes: Arc<Freezes>,
    roll: Stamped<Result<Arc<Roll>, String>>,
    mode: Mode,
}

/// Why a home cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The checkpoint key could not be read.
    #[error("checkpoint key: {0}")]
    Key(#[from] CheckpointKeyError),
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A record could not be stored.
    #[error(transparent)]
    Record(#[from] AuditError),
    /// The host's log service is configured in a way that cannot be used.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A small file of the home could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl Runtime ===

impl Runtime {
    /// Opens what a home holds. A policy that is not the one last recorded is recorded first.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened or written.
    pub fn open(home: Home) -> Result<Self, AssembleError> {
        let clock = Arc::new(SystemClock::new());
        let options = || -> Result<Options, AssembleError> {
            Ok(Options::of_home(clock.clone(), host(), public_key(&home)?))
        };
        let recorder = Recorder::open(&home.log(), options)?;
        let policy = Arc::new(HomePolicy::open(home.policy()));
        let tally = Arc::<Tally>::default();
        let sink: Arc<dyn AuditSink> = Arc::new(Counted::over(recorder.sink(), tally.clone()));
        let freezes = Arc::new(Freezes::of(&home));
        let roll = Stamped::new(home.agents(), |path| Roll::read(path).map(Arc::new));
        let mode = Mode::Enforce;
        let runtime = Self { home, clock, recorder, tally, sink, policy, freezes, roll, mode };
        runtime.record_policy()?;
        Ok(runtime)
    }

    /// Lets its pipelines decide in `mode`.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The clock.
    pub fn clock(&self) -> Arc<SystemClock> {
        self.clock.clone()
    }

    /// The policy.
    pub fn policy(&self) -> &HomePolicy {
        &self.policy
    }

    /// Returns the programs that policy or `iddio tool trust` names, with their contents.
    ///
    /// # Errors
    ///
    /// When the store of programs cannot be read.
    pub fn trusted(&self) -> Result<Vec<(PathBuf, Digest)>, StoreError> {
        trusted(&self.home, &self.policy.in_force())
    }

    /// Assembles the pipeline. What happens to an ask meanwhile is told to `notice`.
    pub fn pipeline(
        &self,
        cancel: Cancel,
        prompt: Prompt,
        notice: Arc<dyn Fn(Notice) + Send + Sync>,
    ) -> Pipeline {
        self.assemble(self.mode, cancel, prompt, notice)
    }

    /// Assembles a pipeline that decides as policy says, in whatever mode the others do.
    pub fn enforcing_pipeline(
        &self,
        cancel: Cancel,
        prompt: Prompt,
        notice: Arc<dyn Fn(Notice) + Send + Sync>,
    ) -> Pipeline {
        self.assemble(Mode::Enforce, cancel, prompt, notice)
    }

    fn assemble(
        &self,
        mode: Mode,
        cancel: Cancel,
        prompt: Prompt,
        notice: Arc<dyn Fn(Notice) + Send + Sync>,
    ) -> Pipeline {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let approver =
            QueueApprover::new(setting(&self.home), clock.clone(), cancel, prompt, notice);
        Pipeline {
            freezer: self.freezes.clone(),
            policy: mode.over(self.policy.clone()),
            approver: Arc::new(approver),
            sink: self.sink.clone(),
            clock,
        }
    }

    /// Records something that happened to iddio itself, durably.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    pub fn record(&self, event: AdminEvent) -> Result<Receipt, AuditError> {
        let id = draw_id().map_err(|error| AuditError::not_stored(error.to_string()))?;
        let entry = Entry { id, at: self.clock.now().wall, body: Body::Admin(event) };
        block_on(self.sink.append(&entry, Durability::Sync))
    }

    /// Returns the agent whose token this is, as its store has it now.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: nobody can be told from anybody.
    pub fn bearer(&self, token: &Token) -> Result<Option<Identified>, IdentityError> {
        identity::bearer(&*self.roll()?, token)
    }

    /// Returns the agent that a certificate is of, and a token beside it if there is one, as their store
    /// has it now.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: nobody can be told from anybody.
    pub fn certified(
        &self,
        certificate: &Certificate<'_>,
        token: Option<&Token>,
    ) -> Result<Option<Identified>, IdentityError> {
        identity::certified(&*self.roll()?, certificate, token)
    }

    /// Returns the agents, as their store has them now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn roll(&self) -> Result<Arc<Roll>, IdentityError> {
        Result::clone(&self.roll.now()).map_err(IdentityError::Roll)
    }

    /// Returns how many agents there are.
    ///
    /// # Errors
    ///
    /// With the reason why that cannot be told.
    pub fn agents_live(&self) -> Result<u64, String> {
        let roll = self.roll().map_err(|error| error.to_string())?;
        Ok(u64::try_from(roll.count()).unwrap_or(u64::MAX))
    }

    /// The freezes.
    pub fn freezes(&self) -> &Freezes {
        &self.freezes
    }

    /// Returns what became of the records of this process.
    pub fn records(&self) -> Records {
        self.tally.records()
    }

    /// Says whether records can be stored. Where the last one could not, it tries: a record says how
    /// many were not.
    ///
    /// # Errors
    ///
    /// With the reason why they cannot.
    pub fn recording(&self) -> Result<(), String> {
        if let Some((count, reason)) = self.tally.failing() {
            let fields = vec![("refused", Field::Int(count))];
            let event = AdminEvent { event: "recording.resumed", principal: None, fields };
            return self.record(event).map(|_| ()).map_err(|_| reason);
        }
        self.recorder.ready()
    }

    /// The digest of the agents' store.
    pub(crate) fn roll_version(&self) -> Digest {
        let unread = Digest::of_bytes(b"");
        self.roll().map_or(unread, |roll| roll.version())
    }

    /// Signs the head of the home's log; where the host has a log service, returns what that signed last.
    ///
    /// # Errors
    ///
    /// When the log is not what was signed before, or cannot be read.
    pub fn checkpoint(&self, key: &CheckpointKey) -> Result<String, CheckpointError> {
        self.recorder.checkpoint(&Lent(key))
    }

    /// Makes everything written so far durable, before the process ends.
    ///
    /// # Errors
    ///
    /// When it cannot be synced.
    pub fn finish(&self) -> Result<(), AuditError> {
        self.recorder.finish()
    }

    /// Records which policy is in force, if it is not the one last recorded.
    fn record_policy(&self) -> Result<(), AssembleError> {
        let in_force = self.policy.in_force();
        let new = in_force.version();
        let old = store::read_bytes(&self.policy_version())?
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let old = old.and_then(|text| Digest::from_hex(text.trim_end()));
        if old == Some(new) {
            return Ok(());
        }
        let event = match &in_force {
            InForce::Good(_) => "policy.loaded",
            InForce::None { .. } => "policy.refused",
        };
        let mut fields = vec![("policy_version", Field::Digest(new))];
        fields.extend(old.map(|old| ("policy_before", Field::Digest(old))));
        if let InForce::None { reason, .. } = &in_force {
            fields.push(("reason", Field::Text(reason.as_str().into())));
        }
        let _recorded = self.record(AdminEvent { event, principal: None, fields })?;
        self.remember_policy(new)?;
        Ok(())
    }

    /// Notes which policy was recorded last.
    pub(crate) fn remember_policy(&self, version: Digest) -> Result<(), StoreError> {
        store::write_bytes(&self.policy_version(), format!("{version}\n").as_bytes())
    }

    fn policy_version(&self) -> PathBuf {
        self.home.root().join("policy.version")
    }
}

/// The checkpoint key, lent to the log for one signature.
struct Lent<'a>(&'a CheckpointKey);

impl CheckpointSigner for Lent<'_> {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes)
    }

    fn public(&self) -> [u8; 32] {
        self.0.public()
    }
}

/// Returns the programs, scripts and catalogs that policy or a human trusted, with their contents.
///
/// # Errors
///
/// When the store of programs cannot be read.
pub fn trusted(home: &Home, policy: &InForce) -> Result<Vec<(PathBuf, Digest)>, StoreError> {
    let by_hand = Tools::of(home).list()?.into_iter().filter(|known| known.by == By::Trust);
    let by_hand = by_hand.filter_map(|known| Some((known.path, Digest::from_hex(&known.sha256)?)));
    let by_policy = match policy {
        InForce::Good(loaded) => {
            let pair = |known: &Trusted| (PathBuf::from(&known.path), known.sha256);
            loaded.trusted.iter().map(pair).collect()
        }
        InForce::None { .. } => Vec::new(),
    };
    Ok(by_hand.chain(by_policy).collect())
}

/// Opens the queue of a home.
///
/// # Errors
///
/// When it cannot be opened.
pub fn queue(home: &Home, clock: Arc<dyn Clock>) -> Result<Queue, QueueError> {
    Queue::open(setting(home), clock)
}

/// Returns where the queue of a home is and what it may take for granted.
pub fn setting(home: &Home) -> Setting {
    let form = match home.keeping() {
        Keeping::Personal => Form::Personal,
        Keeping::Service => Form::Service,
    };
    Setting { dir: home.root().to_owned(), user: home.user().to_owned(), form }
}

/// Reads the public half of the checkpoint key, and leaves it beside the key for the next time, so
/// that the private half is opened only to sign.
fn public_key(home: &Home) -> Result<[u8; 32], AssembleError> {
    let path = home.checkpoint_key().with_extension("pub");
    let stored = store::read_bytes(&path)?.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(public) = stored.and_then(|text| Digest::from_hex(text.trim_end())) {
        return Ok(*public.as_bytes());
    }
    let public = CheckpointKey::open(&home.checkpoint_key())?.public();
    store::write_bytes(&path, format!("{}\n", Digest::from_bytes(public)).as_bytes())?;
    Ok(public)
}

fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
