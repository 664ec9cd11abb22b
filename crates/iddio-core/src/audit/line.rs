//! From an entry to the line that is stored.
//!
//! A [`Fragment`] is a record in canonical form with three places left open: `hash`, `prev_hash`
//! and `seq`, which only the holder of the log's lock knows. Everything else is made beforehand, so
//! that under the lock there is nothing to do but to copy and to hash.
//!
//! INVARIANT: what [`Fragment::seal`] appends is one line of RFC 8785 canonical JSON, and its `hash`
//! is the SHA-256 of that line without the `hash` member. `docs/audit-format.md` says it byte by
//! byte.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{
    AdminEvent, AskRecord, Body, ClosedRecord, DecisionRecord, Entry, Field, Outcome, Refusal,
    Subject,
    chain::Head,
    checkpoint::encode,
    secret::{Commit, Commitment},
};
use crate::{
    approval::{Answer, Assurance, Grant},
    digest::Digest,
    json::{self, LINE_BYTES_MAX, Value},
    operation::{Description, Operation, OperationId, Operations},
    policy::Decision,
    redact::{self, Redacted},
    text::RawText,
    time::Timestamp,
};

/// A record without its place in the chain.
#[derive(Clone, Debug)]
pub struct Fragment {
    id: OperationId,
    kind: Kind,
    /// Every member, each with a comma before it, in order; the three open places between them.
    members: Vec<u8>,
    hash_at: usize,
    prev_at: usize,
    seq_at: usize,
}

/// What the records of one decision say of it, with its secrets taken out.
///
/// The record of the end repeats that of the decision. Looking for secrets is most of the work, so
/// it is done once for both.
#[derive(Clone, Debug)]
pub struct Described(Members<'static>);

/// What a record does to its operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Nothing: it is about iddio itself.
    Admin,
    /// It owes an end from here on.
    Asked,
    /// Its end.
    Closed,
    /// It is allowed, and owes an end from here on.
    Allowed,
    /// It is refused, and has ended.
    Denied,
}

/// An entry cannot be a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LineError {
    /// An administrative field has a name that the chain assigns, or one twice.
    Name(String),
    /// The record would be longer than [`LINE_BYTES_MAX`].
    Long(usize),
    /// The record to repeat is not one that this code wrote.
    Shape,
}

// === impl Described ===

impl Described {
    /// Describes a decision. Secrets are taken out, and `commit` commits to them.
    pub fn of(record: &DecisionRecord, commit: &dyn Commit) -> Self {
        Self(decided(record, commit))
    }
}

// === impl Fragment ===

impl Fragment {
    /// Makes the record of `entry` by `writer`. Secrets are taken out, and `commit` commits to them.
    ///
    /// # Errors
    ///
    /// When the record would be too long, or an administrative field has a name that is taken.
    pub fn new(entry: &Entry, writer: &str, commit: &dyn Commit) -> Result<Self, LineError> {
        let members = match &entry.body {
            Body::Admin(event) => admin(event),
            Body::Asked(record) => asked(record, commit),
            Body::Closed(record) => closed(record, decided(&record.decided, commit)),
            Body::Decided(record) => decided(record, commit),
        };
        Self::stamped(entry, writer, members)
    }

    /// Makes the record of `entry`, of whose decision `described` is the description.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; and when `entry` is about no decision.
    pub fn with(entry: &Entry, writer: &str, described: &Described) -> Result<Self, LineError> {
        let Described(members) = described;
        let members = match &entry.body {
            Body::Admin(_) | Body::Asked(_) => return Err(LineError::Shape),
            Body::Closed(record) => closed(record, members.clone()),
            Body::Decided(_) => members.clone(),
        };
        Self::stamped(entry, writer, members)
    }

    fn stamped(entry: &Entry, writer: &str, mut members: Members<'_>) -> Result<Self, LineError> {
        let Entry { id, at, body } = entry;
        let kind = match body {
            Body::Admin(_) => Kind::Admin,
            Body::Asked(_) => Kind::Asked,
            Body::Closed(_) => Kind::Closed,
            Body::Decided(record) if record.refusal.is_some() => Kind::Denied,
            Body::Decided(_) => Kind::Allowed,
        };
        members.push(("id", Value::Text(id.to_string())));
        members.push(("timestamp", timestamp(*at)));
        members.push(("writer", Value::text(writer)));
        Self::of(*id, kind, members)
    }

    /// Makes the record that closes an operation whose owner is gone, from the line that opened it:
    /// as abandoned if it was allowed, as withdrawn if it was only asked for.
    ///
    /// # Errors
    ///
    /// When `opening` is no such line.
    pub fn closing(opening: &[u8], at: Timestamp, writer: &str) -> Result<Self, LineError> {
        let record = Value::read(opening).map_err(|_| LineError::Shape)?;
        let text = |name| record.member(name).and_then(Value::as_text);
        let id = text("id").and_then(OperationId::from_hex).ok_or(LineError::Shape)?;
        let seq = record.member("seq").and_then(Value::as_int).ok_or(LineError::Shape)?;
        let decided = match text("event") {
            Some("decided") => Some(seq),
            Some("asked") => None,
            Some(_) | None => return Err(LineError::Shape),
        };
        let outcome = decided.map_or(Outcome::Withdrawn, |_| Outcome::Abandoned);
        let Value::Object(members) = &record else { return Err(LineError::Shape) };
        let kept = members.iter().filter(|(name, _)| !REPLACED.contains(&name.as_str()));
        let mut members: Vec<(&str, Value)> =
            kept.map(|(name, value)| (name.as_str(), value.clone())).collect();
        members.extend(decided.map(|seq| ("decided_seq", Value::Int(seq))));
        members.push(("event", Value::text("closed")));
        members.push(("outcome", Value::text(outcome.name())));
        members.push(("timestamp", timestamp(at)));
        members.push(("writer", Value::text(writer)));
        Self::of(id, Kind::Closed, members)
    }

    fn of(id: OperationId, kind: Kind, mut members: Vec<(&str, Value)>) -> Result<Self, LineError> {
        members.sort_by(|(one, _), (other, _)| json::order(one, other));
        if let Some(name) = taken(&members) {
            return Err(LineError::Name(name.to_owned()));
        }
        let mut out = Vec::with_capacity(1024);
        let before =
            |open: &str| members.partition_point(|(name, _)| json::order(name, open).is_lt());
        let counts = ASSIGNED.map(before);
        let mut places = [0; 3];
        for (count, (name, value)) in (1..).zip(&members) {
            out.push(b',');
            json::write_text(&mut out, name);
            out.push(b':');
            value.write(&mut out);
            for (place, _) in places.iter_mut().zip(counts).filter(|(_, before)| *before == count) {
                *place = out.len();
            }
        }
        let [hash_at, prev_at, seq_at] = places;
        match out.len().saturating_add(ASSIGNED_BYTES_MAX) {
            length if LINE_BYTES_MAX < length => Err(LineError::Long(length)),
            _ => Ok(Self { id, kind, members: out, hash_at, prev_at, seq_at }),
        }
    }

    /// Which operation, or the administrative record's own id.
    pub fn id(&self) -> OperationId {
        self.id
    }

    /// What it does to its operation.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes its line will have, at most.
    pub fn bytes_max(&self) -> usize {
        self.members.len() + ASSIGNED_BYTES_MAX
    }

    /// Appends the line that takes the next place after `head`, and returns its hash. The caller
    /// advances `head` with it.
    pub fn seal(&self, head: &Head, out: &mut Vec<u8>) -> Digest {
        let piece = |from: usize, to: usize| self.members.get(from..to).unwrap_or_default();
        let start = out.len();
        out.push(b'{');
        // The first member's comma is left out; `event` always stands before `hash`.
        out.extend_from_slice(piece(1, self.hash_at));
        let hash_at = out.len();
        out.extend_from_slice(b",\"hash\":\"");
        let digits_at = out.len();
        out.extend_from_slice(&[b'0'; 64]);
        out.push(b'"');
        let rest_at = out.len();
        out.extend_from_slice(piece(self.hash_at, self.prev_at));
        out.extend_from_slice(b",\"prev_hash\":\"");
        head.write_prev(out);
        out.push(b'"');
        out.extend_from_slice(piece(self.prev_at, self.seq_at));
        out.extend_from_slice(b",\"seq\":");
        json::write_int(out, head.seq());
        out.extend_from_slice(piece(self.seq_at, self.members.len()));
        out.push(b'}');
        let mut hasher = Sha256::new();
        hasher.update(out.get(start..hash_at).unwrap_or_default());
        hasher.update(out.get(rest_at..).unwrap_or_default());
        let hash = Digest::from_bytes(hasher.finalize().into());
        let digits = out.iter_mut().skip(digits_at);
        let hex = hash.as_bytes().iter().flat_map(|byte| json::hex_byte(*byte));
        digits.zip(hex).for_each(|(digit, hex)| *digit = hex);
        out.push(b'\n');
        hash
    }
}

/// Returns a name that the chain assigns, or that occurs twice. `members` are sorted.
fn taken<'a>(members: &[(&'a str, Value)]) -> Option<&'a str> {
    let assigned = members.iter().map(|(name, _)| *name).find(|name| ASSIGNED.contains(name));
    let twice = || {
        let pairs = members.iter().zip(members.iter().skip(1));
        pairs.map(|((one, _), (two, _))| (*one, *two)).find(|(one, two)| one == two)
    };
    assigned.or_else(|| twice().map(|(name, _)| name))
}

type Members<'a> = Vec<(&'a str, Value)>;

fn admin(event: &AdminEvent) -> Members<'static> {
    let AdminEvent { event, principal, fields } = event;
    let mut members = vec![("event", Value::text(*event))];
    members.extend(principal.as_ref().map(|who| ("agent", Value::text(who.id.as_str()))));
    members.extend(fields.iter().map(|(name, field)| (*name, field_value(field))));
    members
}

fn field_value(field: &Field) -> Value {
    match field {
        Field::Digest(digest) => hex(digest),
        Field::Int(n) => Value::Int(*n),
        Field::List(items) => Value::Array(items.iter().map(field_value).collect()),
        Field::Text(text) => raw_text(text),
    }
}

fn asked(record: &AskRecord, commit: &dyn Commit) -> Members<'static> {
    let AskRecord { subject, decision, ask_digest, lapses } = record;
    let mut members = vec![("event", Value::text("asked"))];
    describe(&mut members, subject, decision, commit);
    members.push(("ask_digest", hex(ask_digest)));
    members.push(("lapses", timestamp(*lapses)));
    members
}

fn decided(record: &DecisionRecord, commit: &dyn Commit) -> Members<'static> {
    let DecisionRecord { subject, decision, answer, refusal, latency_us } = record;
    let mut members = vec![("event", Value::text("decided"))];
    describe(&mut members, subject, decision, commit);
    settle(&mut members, answer.as_ref(), *refusal);
    members.push(("latency_us", Value::Int(*latency_us)));
    members
}

fn closed(record: &ClosedRecord, mut members: Members<'static>) -> Members<'static> {
    let ClosedRecord { decided_seq, decided: _, end } = record;
    members.retain(|(name, _)| *name != "event");
    members.push(("event", Value::text("closed")));
    members.push(("decided_seq", Value::Int(*decided_seq)));
    members.push(("outcome", Value::text(end.outcome.name())));
    members.extend(end.exit_code.map(|code| ("exit_code", Value::Int(u64::from(code)))));
    members.extend(end.duration_ms.map(|millis| ("duration_ms", Value::Int(millis))));
    members.extend(end.recording.as_ref().map(|digest| ("recording", hex(digest))));
    members.extend(end.note.as_deref().map(|note| ("note", masked(note))));
    members
}

/// Says who asked for what, and what policy said.
fn describe(
    members: &mut Members<'static>,
    subject: &Subject,
    decision: &Decision,
    commit: &dyn Commit,
) {
    let Subject { principal, parent, operations, action_digest } = subject;
    members.push(("action_digest", hex(action_digest)));
    members.push(("agent", Value::text(principal.id.as_str())));
    members.push(("proof", Value::text(principal.proof.name())));
    if !principal.delegation.is_empty() {
        let chain = principal.delegation.iter().map(|id| Value::text(id.as_str()));
        members.push(("delegation", Value::Array(chain.collect())));
    }
    members.extend(principal.tenant.as_deref().map(|tenant| ("tenant", Value::text(tenant))));
    members.extend(principal.task.as_deref().map(|task| ("task_id", Value::text(task))));
    members.extend(parent.map(|parent| ("parent", Value::Text(parent.to_string()))));
    let mut commitments = Vec::new();
    describe_operations(members, operations, commit, &mut commitments);
    if !commitments.is_empty() {
        members.push(("commitments", Value::Array(commitments)));
    }
    members.push(("decision", Value::text(decision.verdict.name())));
    members.push(("tier", Value::Int(u64::from(decision.effective.number()))));
    members.push(("native_tier", Value::Int(u64::from(operations.native_tier().number()))));
    members.push(("rule", Value::text(&*decision.rule)));
    members.extend(decision.runbook.as_deref().map(|name| ("runbook", Value::text(name))));
    let worst = operations.worst();
    let native = || worst.reasons.iter().max_by_key(|reason| reason.tier);
    let reason = decision.reason.as_deref().or_else(|| native().map(|reason| &*reason.text));
    members.extend(reason.map(|reason| ("reason", masked(reason))));
    members.push(("policy_version", hex(&decision.policy)));
}

/// Describes the most dangerous operation in the record's own members, and all of them in
/// `operations` where there are several.
fn describe_operations(
    members: &mut Members<'static>,
    operations: &Operations,
    commit: &dyn Commit,
    commitments: &mut Vec<Value>,
) {
    let worst = operations.worst();
    describe_one(members, worst, "", commit, commitments);
    if 1 < operations.iter().len() {
        let all = operations.iter().enumerate().map(|(place, operation)| {
            let mut own = vec![("tier", Value::Int(u64::from(operation.native_tier().number())))];
            let prefix = format!("operations/{place}/");
            describe_one(&mut own, operation, &prefix, commit, commitments);
            Value::Object(own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        });
        let all = all.collect();
        members.push(("operations", Value::Array(all)));
    }
}

fn describe_one(
    members: &mut Members<'static>,
    operation: &Operation,
    prefix: &str,
    commit: &dyn Commit,
    commitments: &mut Vec<Value>,
) {
    let Description { command, argv, method, path, namespace, resource, workspace } =
        &operation.description;
    members.push(("protocol", Value::text(operation.protocol.name())));
    if !argv.is_empty() {
        let words = redact::argv(argv).into_iter().enumerate().map(|(place, word)| {
            keep(&word, &format!("{prefix}argv/{place}"), commit, commitments)
        });
        let words = words.collect();
        members.push(("argv", Value::Array(words)));
    }
    let texts = [
        ("command", command),
        ("method", method),
        ("namespace", namespace),
        ("path", path),
        ("resource", resource),
        ("workspace", workspace),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let shown = redact::text(text.as_bytes());
            let field = format!("{prefix}{name}");
            members.push((name, keep(&shown, &field, commit, commitments)));
        }
    }
}

/// Returns what the record says of a value, with the kind of each secret in its place, and commits to
/// the secrets.
fn keep(shown: &Redacted, field: &str, commit: &dyn Commit, commitments: &mut Vec<Value>) -> Value {
    let text = shown.render(&mut |kind, secret| {
        let Commitment { key, mac } = commit.commit(field, secret);
        let members = [
            ("field", Value::text(field)),
            ("hmac", hex(&Digest::from_bytes(mac))),
            ("key", Value::Text(key)),
            ("kind", Value::text(kind.name())),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), value));
        commitments.push(Value::Object(members.to_vec()));
        format!("[{}]", kind.name())
    });
    raw_text(&text)
}

/// Says what the humans said and whether it was refused. A yes that does not count names nobody as
/// its approver.
fn settle(members: &mut Members<'static>, answer: Option<&Answer>, refusal: Option<Refusal>) {
    match (answer, refusal) {
        (Some(Answer::Grant(grants)), None) => approve(members, grants),
        (Some(Answer::Refuse { by }), _) => members.push(("refused_by", Value::text(by.as_str()))),
        (Some(Answer::Grant(_) | Answer::Lapse | Answer::Withdraw) | None, _) => {}
    }
    members.extend(refusal.map(|refusal| ("refusal", Value::text(refusal.name()))));
    if let Some(Refusal::Grant(objection)) = refusal {
        members.push(("objection", Value::Text(objection.to_string())));
    }
}

fn approve(members: &mut Members<'static>, grants: &[Grant]) {
    let names = grants.iter().map(|grant| Value::text(grant.by().as_str()));
    let mut names: Vec<Value> = names.collect();
    let several = 1 < names.len();
    match names.pop() {
        Some(one) if !several => members.push(("approved_by", one)),
        Some(last) => {
            names.push(last);
            members.push(("approved_by", Value::Array(names)));
        }
        None => return,
    }
    let weakest = grants.iter().map(Grant::assurance).min().unwrap_or(Assurance::None);
    members.push(("approval_assurance", Value::text(weakest.name())));
    let signed = |grant: &Grant| grant.statement().is_some() || grant.ticket().is_some();
    if several || grants.iter().any(signed) {
        members.push(("approvers", Value::Array(grants.iter().map(approver).collect())));
    }
}

fn approver(grant: &Grant) -> Value {
    let mut members = vec![
        ("assurance".to_owned(), Value::text(grant.assurance().name())),
        ("by".to_owned(), Value::text(grant.by().as_str())),
    ];
    members.extend(grant.statement().map(|digest| ("statement".to_owned(), hex(&digest))));
    members.extend(grant.ticket().map(|ticket| ("ticket".to_owned(), Value::text(ticket))));
    Value::Object(members)
}

fn timestamp(at: Timestamp) -> Value {
    Value::Text(at.to_string())
}

fn hex(digest: &Digest) -> Value {
    let mut digits = Vec::with_capacity(64);
    json::write_hex(&mut digits, digest.as_bytes());
    Value::Text(String::from_utf8(digits).unwrap_or_default())
}

/// Words of ours about an operation, which may quote it.
fn masked(text: &str) -> Value {
    raw_text(&redact::text(text.as_bytes()).masked())
}

/// Text as a string, other bytes as tagged base64: never lossily.
fn raw_text(text: &RawText) -> Value {
    match text.as_str() {
        Some(text) => Value::text(text),
        None => {
            let encoded = Value::Text(encode(text.as_bytes()));
            Value::Object(vec![("base64".to_owned(), encoded)])
        }
    }
}

// === impl LineError ===

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "the chain assigns the field `{name}`"),
            Self::Long(bytes) => {
                write!(f, "the record would have {bytes} bytes, more than {LINE_BYTES_MAX}")
            }
            Self::Shape => f.write_str("the record to close is not one that opens an operation"),
        }
    }
}

impl std::error::Error for LineError {}

/// What the chain assigns under its lock, in order.
const ASSIGNED: [&str; 3] = ["hash", "prev_hash", "seq"];

/// What the assigned members, braces and the newline take: two digests, a number, their names.
const ASSIGNED_BYTES_MAX: usize = 256;

/// The members of an opening record that its closing record does not repeat.
const REPLACED: [&str; 6] = ["event", "hash", "prev_hash", "seq", "timestamp", "writer"];
