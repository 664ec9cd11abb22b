//! From an entry to the line that is stored.
//!
//! A [`Fragment`] is a record in canonical form with three places left open: `hash`, `prev_hash`
//! and `seq`, which only the holder of the log's lock knows. Everything else is made beforehand, so
//! that under the lock there is nothing to do but to copy and to hash.
//!
//! INVARIANT: what [`Fragment::seal`] appends is one line of RFC 8785 canonical JSON, and its `hash`
//! is the SHA-256 of that line without the `hash` member. `docs/audit-format.md` says it byte by
//! byte.

pub mod stated;

use std::{fmt, ops::Range};

use sha2::{Digest as _, Sha256};

use super::{
    AdminEvent, AskRecord, Body, ClosedRecord, DecisionRecord, End, Entry, Field, Outcome, Refusal,
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
    recording::Sealed,
    redact::{self, Looked},
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

/// Members as they stand in a line, each with a comma before it, and where each stands.
#[derive(Clone, Debug, Default)]
struct Members<'a> {
    bytes: Vec<u8>,
    places: Vec<(&'a str, Range<usize>)>,
}

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
        let mut members = Members::sized(DESCRIBED_BYTES, DESCRIBED_MEMBERS);
        decided(&mut members, record, commit);
        members.places.sort_by(|(one, _), (other, _)| json::order(one, other));
        Self(members)
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
        let none = Members::default();
        match &entry.body {
            Body::Admin(event) => {
                let mut members = Members::default();
                admin(&mut members, event);
                Self::stamped(entry, writer, &none, members)
            }
            Body::Asked(record) => {
                let mut members = Members::default();
                asked(&mut members, record, commit);
                Self::stamped(entry, writer, &none, members)
            }
            Body::Closed(ClosedRecord { decided, .. }) | Body::Decided(decided) => {
                Self::with(entry, writer, &Described::of(decided, commit))
            }
        }
    }

    /// Makes the record of `entry`, of whose decision `described` is the description.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; and when `entry` is about no decision.
    pub fn with(entry: &Entry, writer: &str, described: &Described) -> Result<Self, LineError> {
        let mut own = Members::sized(DESCRIBED_BYTES / 2, DESCRIBED_MEMBERS / 2);
        match &entry.body {
            Body::Admin(_) | Body::Asked(_) => return Err(LineError::Shape),
            Body::Closed(record) => closed(&mut own, record),
            Body::Decided(_) => own.text("event", "decided"),
        }
        Self::stamped(entry, writer, &described.0, own)
    }

    fn stamped(
        entry: &Entry,
        writer: &str,
        described: &Members<'_>,
        mut own: Members<'_>,
    ) -> Result<Self, LineError> {
        let Entry { id, at, body } = entry;
        let kind = match body {
            Body::Admin(_) => Kind::Admin,
            Body::Asked(_) => Kind::Asked,
            Body::Closed(_) => Kind::Closed,
            Body::Decided(record) if record.refusal.is_some() => Kind::Denied,
            Body::Decided(_) => Kind::Allowed,
        };
        own.hex("id", &id.0.to_be_bytes());
        own.text("timestamp", &at.to_string());
        own.text("writer", writer);
        Self::of(*id, kind, described, &own)
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
        let mut own = Members::default();
        kept.for_each(|(name, value)| own.value(name, value));
        if let Some(seq) = decided {
            own.int("decided_seq", seq);
        }
        own.text("event", "closed");
        own.text("outcome", outcome.name());
        own.text("timestamp", &at.to_string());
        own.text("writer", writer);
        Self::of(id, Kind::Closed, &Members::default(), &own)
    }

    fn of(
        id: OperationId,
        kind: Kind,
        described: &Members<'_>,
        own: &Members<'_>,
    ) -> Result<Self, LineError> {
        let mut members: Vec<(&str, &[u8])> = described.iter().chain(own.iter()).collect();
        members.sort_by(|(one, _), (other, _)| json::order(one, other));
        if let Some(name) = taken(&members) {
            return Err(LineError::Name(name.to_owned()));
        }
        let mut out = Vec::with_capacity(described.bytes.len() + own.bytes.len());
        let before =
            |open: &str| members.partition_point(|(name, _)| json::order(name, open).is_lt());
        let counts = ASSIGNED.map(before);
        let mut places = [0; 3];
        for (count, (_, member)) in (1..).zip(&members) {
            out.extend_from_slice(member);
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
        let hex = hash.as_bytes().map(json::hex_byte);
        digits.zip(hex.as_flattened()).for_each(|(digit, hex)| *digit = *hex);
        out.push(b'\n');
        hash
    }
}

/// Returns a name that the chain assigns, or that occurs twice. `members` are sorted.
fn taken<'a>(members: &[(&'a str, &[u8])]) -> Option<&'a str> {
    let assigned = members.iter().map(|(name, _)| *name).find(|name| ASSIGNED.contains(name));
    let twice = || {
        let pairs = members.iter().zip(members.iter().skip(1));
        pairs.map(|((one, _), (two, _))| (*one, *two)).find(|(one, two)| one == two)
    };
    assigned.or_else(|| twice().map(|(name, _)| name))
}

// === impl Members ===

impl<'a> Members<'a> {
    fn sized(bytes: usize, places: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), places: Vec::with_capacity(places) }
    }

    fn iter(&self) -> impl Iterator<Item = (&'a str, &[u8])> {
        let member = |span: &Range<usize>| self.bytes.get(span.clone()).unwrap_or_default();
        self.places.iter().map(move |(name, span)| (*name, member(span)))
    }

    /// Adds the member whose value `write` appends.
    fn put(&mut self, name: &'a str, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.push(b',');
        json::write_text(&mut self.bytes, name);
        self.bytes.push(b':');
        write(&mut self.bytes);
        self.places.push((name, start..self.bytes.len()));
    }

    fn text(&mut self, name: &'a str, text: &str) {
        self.put(name, |out| json::write_text(out, text));
    }

    fn int(&mut self, name: &'a str, n: u64) {
        self.put(name, |out| json::write_int(out, n));
    }

    fn hex(&mut self, name: &'a str, bytes: &[u8]) {
        self.put(name, |out| write_digits(out, bytes));
    }

    fn value(&mut self, name: &'a str, value: &Value) {
        self.put(name, |out| value.write(out));
    }

    /// Words of ours about an operation, which may quote it.
    fn masked(&mut self, name: &'a str, text: &str) {
        let shown = redact::look(text.as_bytes());
        self.put(name, |out| match shown.plain() {
            Some(_) => json::write_text(out, text),
            None => write_raw(out, shown.cut().masked().as_bytes()),
        });
    }

    /// Appends the members as an object.
    fn write_object(&self, out: &mut Vec<u8>) {
        let mut members: Vec<(&str, &[u8])> = self.iter().collect();
        members.sort_by(|(one, _), (other, _)| json::order(one, other));
        out.push(b'{');
        for (place, (_, member)) in members.into_iter().enumerate() {
            // The first one's comma is left out.
            out.extend_from_slice(member.get(usize::from(place == 0)..).unwrap_or_default());
        }
        out.push(b'}');
    }
}

fn admin(members: &mut Members<'static>, event: &AdminEvent) {
    let AdminEvent { event, principal, fields } = event;
    members.text("event", event);
    if let Some(who) = principal {
        members.text("agent", who.id.as_str());
    }
    for (name, field) in fields {
        members.put(name, |out| write_field(out, field));
    }
}

fn write_field(out: &mut Vec<u8>, field: &Field) {
    match field {
        Field::Digest(digest) => write_digits(out, digest.as_bytes()),
        Field::Int(n) => json::write_int(out, *n),
        Field::List(items) => write_array(out, items, write_field),
        Field::Text(text) => write_raw(out, text.as_bytes()),
    }
}

fn write_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place != 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn asked(members: &mut Members<'static>, record: &AskRecord, commit: &dyn Commit) {
    let AskRecord { subject, decision, ask_digest, lapses } = record;
    members.text("event", "asked");
    describe(members, subject, decision, commit);
    members.hex("ask_digest", ask_digest.as_bytes());
    members.text("lapses", &lapses.to_string());
}

fn decided(members: &mut Members<'static>, record: &DecisionRecord, commit: &dyn Commit) {
    let DecisionRecord { subject, decision, answer, refusal, latency_us } = record;
    describe(members, subject, decision, commit);
    settle(members, answer.as_ref(), *refusal);
    members.int("latency_us", *latency_us);
}

/// Says how an operation ended; what its decision said is described apart.
fn closed(members: &mut Members<'static>, record: &ClosedRecord) {
    let ClosedRecord { decided_seq, decided: _, end } = record;
    let End { outcome, exit_code, duration_ms, recording, note } = end;
    members.text("event", "closed");
    members.int("decided_seq", *decided_seq);
    members.text("outcome", outcome.name());
    if let Some(code) = exit_code {
        members.int("exit_code", u64::from(*code));
    }
    if let Some(millis) = duration_ms {
        members.int("duration_ms", *millis);
    }
    if let Some(Sealed { recording, offset, bytes, digest }) = recording {
        members.hex("recording", digest.as_bytes());
        members.int("recording_bytes", *bytes);
        members.text("recording_id", &recording.to_string());
        members.int("recording_offset", *offset);
    }
    if let Some(note) = note {
        members.masked("note", note);
    }
}

/// Says who asked for what, and what policy said.
fn describe(
    members: &mut Members<'static>,
    subject: &Subject,
    decision: &Decision,
    commit: &dyn Commit,
) {
    let Subject { principal, parent, operations, action_digest } = subject;
    members.hex("action_digest", action_digest.as_bytes());
    members.text("agent", principal.id.as_str());
    members.text("proof", principal.proof.name());
    if !principal.delegation.is_empty() {
        members.put("delegation", |out| {
            write_array(out, &principal.delegation, |out, id| json::write_text(out, id.as_str()));
        });
    }
    if let Some(tenant) = &principal.tenant {
        members.text("tenant", tenant);
    }
    if let Some(task) = &principal.task {
        members.text("task_id", task);
    }
    if let Some(parent) = parent {
        members.hex("parent", &parent.0.to_be_bytes());
    }
    let mut commitments = Vec::new();
    describe_operations(members, operations, commit, &mut commitments);
    if !commitments.is_empty() {
        members.value("commitments", &Value::Array(commitments));
    }
    members.text("decision", decision.verdict.name());
    members.int("tier", u64::from(decision.effective.number()));
    members.int("native_tier", u64::from(operations.native_tier().number()));
    members.text("rule", &decision.rule);
    if let Some(name) = &decision.runbook {
        members.text("runbook", name);
    }
    let worst = operations.worst();
    let native = || worst.reasons.iter().max_by_key(|reason| reason.tier);
    let reason = decision.reason.as_deref().or_else(|| native().map(|reason| &*reason.text));
    if let Some(reason) = reason {
        members.masked("reason", reason);
    }
    members.hex("policy_version", decision.policy.as_bytes());
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
        members.put("operations", |out| {
            write_array(out, operations.iter().enumerate(), |out, (place, operation)| {
                let mut own = Members::default();
                own.int("tier", u64::from(operation.native_tier().number()));
                let prefix = format!("operations/{place}/");
                describe_one(&mut own, operation, &prefix, commit, commitments);
                own.write_object(out);
            });
        });
    }
}

fn describe_one(
    members: &mut Members<'static>,
    operation: &Operation,
    prefix: &str,
    commit: &dyn Commit,
    commitments: &mut Vec<Value>,
) {
    let Description { command, argv, method, path, namespace, resource, workspace, cluster } =
        &operation.description;
    members.text("protocol", operation.protocol.name());
    if !argv.is_empty() {
        members.put("argv", |out| {
            write_array(out, redact::look_argv(argv).enumerate(), |out, (place, word)| {
                keep(out, word, || format!("{prefix}argv/{place}"), commit, commitments);
            });
        });
    }
    let texts = [
        ("cluster", cluster),
        ("command", command),
        ("method", method),
        ("namespace", namespace),
        ("path", path),
        ("resource", resource),
        ("workspace", workspace),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let shown = redact::look(text.as_bytes());
            members.put(name, |out| {
                keep(out, shown, || format!("{prefix}{name}"), commit, commitments);
            });
        }
    }
}

/// Appends what the record says of a value, with the kind of each secret in its place, and commits to
/// the secrets.
fn keep(
    out: &mut Vec<u8>,
    shown: Looked<'_>,
    field: impl FnOnce() -> String,
    commit: &dyn Commit,
    commitments: &mut Vec<Value>,
) {
    if let Some(plain) = shown.plain() {
        return write_raw(out, plain);
    }
    let field = field();
    let text = shown.cut().render(&mut |kind, secret| {
        let Commitment { key, mac } = commit.commit(&field, secret);
        let members = [
            ("field", Value::text(field.as_str())),
            ("hmac", hex(&Digest::from_bytes(mac))),
            ("key", Value::Text(key)),
            ("kind", Value::text(kind.name())),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), value));
        commitments.push(Value::Object(members.to_vec()));
        format!("[{}]", kind.name())
    });
    write_raw(out, text.as_bytes());
}

/// Says what the humans said and whether it was refused. A yes that does not count names nobody as
/// its approver.
fn settle(members: &mut Members<'static>, answer: Option<&Answer>, refusal: Option<Refusal>) {
    match (answer, refusal) {
        (Some(Answer::Grant(grants)), None) => approve(members, grants),
        (Some(Answer::Refuse { by }), _) => members.text("refused_by", by.as_str()),
        (Some(Answer::Grant(_) | Answer::Lapse | Answer::Withdraw) | None, _) => {}
    }
    if let Some(refusal) = refusal {
        members.text("refusal", refusal.name());
    }
    if let Some(Refusal::Grant(objection)) = refusal {
        members.text("objection", &objection.to_string());
    }
}

fn approve(members: &mut Members<'static>, grants: &[Grant]) {
    let names = grants.iter().map(|grant| Value::text(grant.by().as_str()));
    let mut names: Vec<Value> = names.collect();
    let several = 1 < names.len();
    match names.pop() {
        Some(one) if !several => members.value("approved_by", &one),
        Some(last) => {
            names.push(last);
            members.value("approved_by", &Value::Array(names));
        }
        None => return,
    }
    let weakest = grants.iter().map(Grant::assurance).min().unwrap_or(Assurance::None);
    members.text("approval_assurance", weakest.name());
    let signed = |grant: &Grant| grant.statement().is_some() || grant.ticket().is_some();
    if several || grants.iter().any(signed) {
        members.value("approvers", &Value::Array(grants.iter().map(approver).collect()));
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

fn hex(digest: &Digest) -> Value {
    Value::Text(digest.to_hex())
}

fn write_digits(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    json::write_hex(out, bytes);
    out.push(b'"');
}

/// Appends text as a string, other bytes as tagged base64: never lossily.
fn write_raw(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => json::write_text(out, text),
        Err(_) => {
            out.extend_from_slice(b"{\"base64\":");
            json::write_text(out, &encode(bytes));
            out.push(b'}');
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

/// What the description of a usual decision takes, so that it is not moved while it grows.
const DESCRIBED_BYTES: usize = 768;
const DESCRIBED_MEMBERS: usize = 20;

/// What the chain assigns under its lock, in order.
const ASSIGNED: [&str; 3] = ["hash", "prev_hash", "seq"];

/// What the assigned members, braces and the newline take: two digests, a number, their names.
const ASSIGNED_BYTES_MAX: usize = 256;

/// The members of an opening record that its closing record does not repeat.
const REPLACED: [&str; 8] =
    ["event", "hash", "peer", "prev_hash", "request", "seq", "timestamp", "writer"];
