//! The hash chain: what is recorded, and how it hangs together.
//!
//! Every allowed operation leaves two records: [`Body::Decided`], durable before anything is
//! forwarded, and [`Body::Closed`], written after. One that asked a human leaves [`Body::Asked`]
//! before both. A refused one ends with its decision. An operation without its end is visible as
//! such to the verifier.
//!
//! The core builds records; the sink assigns `seq`, `prev_hash`, `hash` and `writer`, because only
//! it knows the order.

pub mod chain;
pub mod checkpoint;
pub mod line;
pub mod secret;
pub mod tree;
pub mod verify;

use std::{fmt, sync::Arc};

use crate::{
    BoxFuture,
    approval::{Answer, Objection},
    digest::Digest,
    operation::{OperationId, Operations},
    policy::Decision,
    principal::Principal,
    recording::Sealed,
    text::RawText,
    tier::Tier,
    time::Timestamp,
};

/// Stores entries, in one order.
pub trait AuditSink: Send + Sync {
    /// Appends `entry` and returns when it is as durable as `durability` says.
    ///
    /// Cancellation: a dropped append may or may not have happened; the caller's debt stands.
    fn append<'a>(
        &'a self,
        entry: &'a Entry,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Receipt, AuditError>>;

    /// Notes that the pipeline has lost track of `id`.
    ///
    /// Called from `Drop`, so it must neither block nor fail. The sink closes the operation as
    /// [`Outcome::Abandoned`], or a mere ask as [`Outcome::Withdrawn`], when it can, and does
    /// nothing if the operation is not open.
    fn orphan(&self, id: OperationId);
}

/// When an append may be acknowledged.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// When it is written: it survives the process, and is synced within 50 ms.
    Write = 1,
    /// When it is synced: it survives a power cut.
    Sync = 2,
}

/// One record, before it has a place in the chain.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The operation this is about, or an id of its own for an administrative record.
    pub id: OperationId,
    /// When, by the writer's clock. Order is `seq`, never this.
    pub at: Timestamp,
    /// What is said.
    pub body: Body,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Body {
    /// Something happened to iddio itself.
    Admin(AdminEvent),
    /// A human is about to be asked.
    Asked(Arc<AskRecord>),
    /// The operation has ended.
    Closed(ClosedRecord),
    /// The operation was allowed or refused.
    Decided(Arc<DecisionRecord>),
}

/// What is known of an operation from its first moment.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Who asked.
    pub principal: Principal,
    /// The operation this one happened inside, if any.
    pub parent: Option<OperationId>,
    /// What was asked.
    pub operations: Operations,
    /// The digest of the action, over raw bytes.
    pub action_digest: Digest,
}

/// An ask, recorded before anyone sees it.
#[derive(Clone, Debug)]
pub struct AskRecord {
    /// Who and what.
    pub subject: Subject,
    /// What policy said.
    pub decision: Decision,
    /// The digest a grant must name.
    pub ask_digest: Digest,
    /// When the ask lapses.
    pub lapses: Timestamp,
}

/// Everything that led to a decision, so that a reader needs nothing else.
#[derive(Clone, Debug)]
pub struct DecisionRecord {
    /// Who and what.
    pub subject: Subject,
    /// What policy said last.
    pub decision: Decision,
    /// What the humans said, if any were asked.
    pub answer: Option<Answer>,
    /// Why it was refused. `None` means it may be forwarded.
    pub refusal: Option<Refusal>,
    /// Microseconds from the request to this decision, without the time a human took.
    pub latency_us: u64,
}

/// The end of an operation. It repeats the decision, so that it can be read alone.
#[derive(Clone, Debug)]
pub struct ClosedRecord {
    /// The `seq` of the decision.
    pub decided_seq: u64,
    /// The decision.
    pub decided: Arc<DecisionRecord>,
    /// How it ended.
    pub end: End,
}

/// How an operation ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End {
    /// In one word.
    pub outcome: Outcome,
    /// The child's exit code, where there was a child.
    pub exit_code: Option<u8>,
    /// Milliseconds from forwarding to the end.
    pub duration_ms: Option<u64>,
    /// The sealed recording, if there is one.
    pub recording: Option<Sealed>,
    /// What an operator should know: `2 processes outlived the command and were killed`.
    pub note: Option<String>,
}

/// How an allowed operation ended. The numbers are stored, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The gateway lost track of it.
    Abandoned = 1,
    /// It ran, or the upstream answered.
    Forwarded = 2,
    /// It ran, and was ended because its caller was frozen.
    Frozen = 6,
    /// It was never sent.
    NotForwarded = 3,
    /// It ran out of time and was ended.
    TimedOut = 4,
    /// Its asker went away before an answer.
    Withdrawn = 5,
}

/// Something that happened to iddio itself: a policy reload, an agent added, a recovery.
#[derive(Clone, Debug)]
pub struct AdminEvent {
    /// The event, a dotted lower-case name outside `asked`, `decided`, `closed`:
    /// `log.recovered`, `policy.loaded`, `agent.added`.
    pub event: &'static str,
    /// Who did it, if anybody in particular.
    pub principal: Option<Principal>,
    /// What there is to say, by field name. Names are unique and none is one the chain assigns.
    pub fields: Vec<(&'static str, Field)>,
}

/// A value in a record.
#[derive(Clone, Debug)]
pub enum Field {
    /// A digest, as hexadecimal.
    Digest(Digest),
    /// An integer below 2^53.
    Int(u64),
    /// Several values.
    List(Vec<Field>),
    /// Text, or bytes.
    Text(RawText),
}

/// Why an operation was refused. The numbers are stored, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// A human said no.
    Approver,
    /// The caller is frozen, or somebody whose yes it needed is.
    Frozen,
    /// A human said yes, and it does not count.
    Grant(Objection),
    /// Nobody answered.
    Lapse,
    /// Policy judged at a tier it may not give this operation.
    Misjudged,
    /// Policy said no.
    Policy,
    /// Policy became stricter while a human thought.
    PolicyMoved,
    /// The asker went away.
    Withdrawn,
}

/// The witness that an entry has a place in the chain, as durable as was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Receipt {
    id: OperationId,
    seq: u64,
    hash: Digest,
}

/// An entry could not be stored.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuditError {
    reason: String,
}

// === impl Durability ===

impl Durability {
    /// Returns the durability of a tier: reads wait for the write, all else for the sync.
    pub const fn of(tier: Tier) -> Self {
        match tier {
            Tier::Observe => Self::Write,
            Tier::Operate | Tier::Modify | Tier::Sensitive | Tier::BreakGlass => Self::Sync,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Returns the word used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Forwarded => "forwarded",
            Self::Frozen => "frozen",
            Self::NotForwarded => "not_forwarded",
            Self::TimedOut => "timed_out",
            Self::Withdrawn => "withdrawn",
        }
    }
}

// === impl End ===

impl End {
    /// Returns an end of which only the outcome is known.
    pub fn of(outcome: Outcome) -> Self {
        Self { outcome, exit_code: None, duration_ms: None, recording: None, note: None }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Returns the word used in records: how an ask ended, or why there was none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approver => "refused",
            Self::Frozen => "frozen",
            Self::Grant(_) => "grant_objected",
            Self::Lapse => "lapsed",
            Self::Misjudged => "misjudged",
            Self::Policy => "policy",
            Self::PolicyMoved => "policy_moved",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approver => f.write_str("an approver refused it"),
            Self::Frozen => f.write_str("the caller is frozen"),
            Self::Grant(objection) => write!(f, "the grant does not count: {objection}"),
            Self::Lapse => f.write_str("nobody answered in time"),
            Self::Misjudged => f.write_str("policy judged it at a tier it may not have"),
            Self::Policy => f.write_str("policy denies it"),
            Self::PolicyMoved => f.write_str("policy became stricter while the ask waited"),
            Self::Withdrawn => f.write_str("the caller went away"),
        }
    }
}

// === impl Receipt ===

impl Receipt {
    /// Vouches that the entry with `id` stands at `seq` with `hash`, as durable as was asked.
    ///
    /// Only a sink calls this; `cargo xtask tidy` holds the list of files that may.
    pub fn assertion(id: OperationId, seq: u64, hash: Digest) -> Self {
        Self { id, seq, hash }
    }

    /// Which operation.
    pub fn id(&self) -> OperationId {
        self.id
    }

    /// Its place in the chain.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The hash of its line.
    pub fn hash(&self) -> Digest {
        self.hash
    }
}

// === impl AuditError ===

impl AuditError {
    /// Returns the error of a sink that could not store an entry, with the reason for operators.
    pub fn not_stored(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audit record was not stored: {}", self.reason)
    }
}

impl std::error::Error for AuditError {}
