//! What a client of the log service states of a record, read strictly.
//!
//! A client states everything that it alone can know: what was asked, what was decided, how it ended.
//! The service adds what the client could lie about: the place in the chain, the time, and who wrote
//! ([`Stamp`]). An end states no more than the end; what was decided is repeated from the record that
//! stands in the log.
//!
//! INVARIANT: a statement has only members that records have, each of its form, and its parts do not
//! contradict each other: what policy denied is refused, and what it escalated was approved by somebody
//! or is refused. Whether what it says is true, nobody can see from here.

use std::fmt;

use super::{Fragment, Kind, LineError, Members, REPLACED, admin, asked, closed, decided};
use crate::{
    audit::{
        Body, Entry, Outcome,
        checkpoint::{decode, encode},
        secret::{Commit, Commitment},
    },
    digest::Digest,
    json::Value,
    operation::OperationId,
    principal::{PrincipalId, Proof},
    time::Timestamp,
};

/// A record as a client states it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stated {
    id: OperationId,
    says: Says,
    members: Vec<(String, Value)>,
}

/// What a statement says, as far as the service must know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Says {
    /// Something happened to iddio itself.
    Admin {
        /// To or by whom, if anybody in particular.
        agent: Option<PrincipalId>,
    },
    /// It was allowed.
    Allowed {
        /// Who asked.
        claim: Claim,
        /// Whether a human was asked.
        answer: Answered,
    },
    /// A human is about to be asked.
    Asked(Claim),
    /// It ended.
    Closed {
        /// The decision it names.
        decided_seq: u64,
    },
    /// It was refused.
    Denied {
        /// Who asked.
        claim: Claim,
        /// Whether a human was asked.
        answer: Answered,
    },
}

/// Who is said to have asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The principal.
    pub agent: PrincipalId,
    /// How its name is said to have been proven.
    pub proof: Proof,
    /// For whom it is said to act, and whether in a tenant or on a task.
    pub behalf: Behalf,
}

/// Whether a principal is said to act for others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Behalf {
    /// For nobody else.
    Own,
    /// For these, nearest first; perhaps in a tenant, or on a task.
    Others(Vec<PrincipalId>),
}

/// Whether a decision ends an ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answered {
    /// It does not.
    No,
    /// It does.
    Yes,
}

/// What the service adds to a statement.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// When, by the service's clock.
    pub at: Timestamp,
    /// The Unix user at the other end of the socket, as the kernel has it.
    pub uid: u32,
    /// The process there: boot id, process id, start time.
    pub writer: &'a str,
    /// The number the client drew for this append, so that it can be asked again.
    pub request: u128,
}

/// A statement is not one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StatedError {
    /// Its parts contradict each other.
    Contradiction(&'static str),
    /// Clients do not state such an event.
    Event(String),
    /// A member is not of its form.
    Form(String),
    /// A member is missing.
    Missing(&'static str),
    /// Such a record has no such member.
    Name(String),
    /// It has more or fewer commitments than secrets.
    Secrets,
}

/// Appends to `out` what a client states of `entry`: its record without what the service adds, and an
/// end without its decision. Secrets are taken out, and handed to `commit`.
pub fn state(entry: &Entry, commit: &dyn Commit) -> Value {
    let mut members = Members::default();
    match &entry.body {
        Body::Admin(event) => admin(&mut members, event),
        Body::Asked(record) => asked(&mut members, record, commit),
        Body::Closed(record) => closed(&mut members, record),
        Body::Decided(record) => {
            decided(&mut members, record, commit);
            members.text("event", "decided");
        }
    }
    members.hex("id", &entry.id.0.to_be_bytes());
    let mut out = Vec::with_capacity(members.bytes.len() + 2);
    members.write_object(&mut out);
    // What was written here is canonical; an entry that is too long for a line is not, and is refused
    // as an empty statement.
    Value::read(&out).unwrap_or(Value::Object(Vec::new()))
}

// === impl Stated ===

impl Stated {
    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// When it is not one.
    pub fn of(value: Value) -> Result<Self, StatedError> {
        let Value::Object(members) = value else { return Err(StatedError::Missing("event")) };
        let fields = Fields(&members);
        let id = fields.text("id").and_then(OperationId::from_hex);
        let id = id.ok_or(StatedError::Missing("id"))?;
        let says = match fields.text("event").ok_or(StatedError::Missing("event"))? {
            "asked" => {
                fields.check(&[SUBJECT, ASKED], &[REQUIRED, &["ask_digest", "lapses"]])?;
                Says::Asked(fields.claim()?)
            }
            "closed" => {
                fields.check(&[CLOSED], &[&["decided_seq", "outcome"]])?;
                let outcome = fields.text("outcome").unwrap_or_default();
                if !OUTCOMES.iter().any(|known| known.name() == outcome) {
                    return Err(StatedError::Form("outcome".to_owned()));
                }
                Says::Closed { decided_seq: fields.int("decided_seq").unwrap_or_default() }
            }
            "decided" => {
                fields.check(&[SUBJECT, DECIDED], &[REQUIRED])?;
                fields.decision()?
            }
            event => {
                fields.check_admin(event)?;
                let agent = fields.text("agent").map(PrincipalId::new);
                let bad = || StatedError::Form("agent".to_owned());
                let agent = agent.map(|agent| agent.ok_or_else(bad)).transpose()?;
                Says::Admin { agent }
            }
        };
        Ok(Self { id, says, members })
    }

    /// Which operation, or the administrative record's own id.
    pub fn id(&self) -> OperationId {
        self.id
    }

    /// What it says.
    pub fn says(&self) -> &Says {
        &self.says
    }

    /// Puts commitments to `secrets` where the client left places for them, in order.
    ///
    /// # Errors
    ///
    /// When there are more or fewer places.
    pub fn commit(&mut self, secrets: &[&[u8]], commit: &dyn Commit) -> Result<(), StatedError> {
        let places = self.members.iter_mut().find(|(name, _)| name == "commitments");
        let places: &mut [Value] = match places {
            Some((_, Value::Array(places))) => places,
            Some(_) | None => &mut [],
        };
        if places.len() != secrets.len() {
            return Err(StatedError::Secrets);
        }
        for (place, secret) in places.iter_mut().zip(secrets) {
            let text = |name| place.member(name).and_then(Value::as_text).unwrap_or_default();
            let (field, kind) = (text("field").to_owned(), text("kind").to_owned());
            let Commitment { key, mac } = commit.commit(&field, secret);
            let mac = Digest::from_bytes(mac).to_hex();
            let members = [("field", field), ("hmac", mac), ("key", key), ("kind", kind)];
            let member = |(name, text): (&str, String)| (name.to_owned(), Value::Text(text));
            *place = Value::Object(members.map(member).to_vec());
        }
        Ok(())
    }

    /// Makes the record. `opening` is the line of the decision that an end names.
    ///
    /// # Errors
    ///
    /// When the record would be too long, or `opening` is no such line.
    pub fn fragment(
        &self,
        opening: Option<&[u8]>,
        stamp: &Stamp<'_>,
    ) -> Result<Fragment, LineError> {
        let Self { id, says, members } = self;
        let kind = match says {
            Says::Admin { .. } => Kind::Admin,
            Says::Allowed { .. } => Kind::Allowed,
            Says::Asked(_) => Kind::Asked,
            Says::Closed { .. } => Kind::Closed,
            Says::Denied { .. } => Kind::Denied,
        };
        let decision = match says {
            Says::Closed { decided_seq } => repeated(opening, *id, *decided_seq)?,
            Says::Admin { .. } | Says::Allowed { .. } | Says::Asked(_) | Says::Denied { .. } => {
                Vec::new()
            }
        };
        let Stamp { at, uid, writer, request } = stamp;
        let mut own = Members::default();
        members.iter().for_each(|(name, value)| own.value(name, value));
        let peer = Value::Object(vec![("uid".to_owned(), Value::Int(u64::from(*uid)))]);
        own.value("peer", &peer);
        own.hex("request", &request.to_be_bytes());
        own.text("timestamp", &at.to_string());
        own.text("writer", writer);
        let mut described = Members::default();
        decision.iter().for_each(|(name, value)| described.value(name, value));
        Fragment::of(*id, kind, &described, &own)
    }
}

/// Returns what an end repeats of its decision's line.
fn repeated(
    opening: Option<&[u8]>,
    id: OperationId,
    decided_seq: u64,
) -> Result<Vec<(String, Value)>, LineError> {
    let line = Value::read(opening.ok_or(LineError::Shape)?).map_err(|_| LineError::Shape)?;
    let text = |name| line.member(name).and_then(Value::as_text);
    let same = text("event") == Some("decided")
        && text("id").and_then(OperationId::from_hex) == Some(id)
        && line.member("seq").and_then(Value::as_int) == Some(decided_seq);
    match line {
        Value::Object(members) if same => {
            let kept = |(name, _): &(String, Value)| name != "id" && !REPLACED.contains(&&**name);
            Ok(members.into_iter().filter(kept).collect())
        }
        _ => Err(LineError::Shape),
    }
}

/// The members of a statement, to be looked at.
struct Fields<'a>(&'a [(String, Value)]);

// === impl Fields ===

impl Fields<'_> {
    fn member(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name).and_then(Value::as_text)
    }

    fn int(&self, name: &str) -> Option<u64> {
        self.member(name).and_then(Value::as_int)
    }

    /// Every member is one of `known` and of its form, and every one of `required` is there.
    fn check(
        &self,
        known: &[&[(&str, Form)]],
        required: &[&[&'static str]],
    ) -> Result<(), StatedError> {
        for (name, value) in self.0.iter().filter(|(name, _)| name != "event" && name != "id") {
            let form = known.iter().copied().flatten().find(|(own, _)| own == name);
            let (_, form) = form.ok_or_else(|| StatedError::Name(name.clone()))?;
            if !form.fits(value) {
                return Err(StatedError::Form(name.clone()));
            }
        }
        match required.iter().copied().flatten().find(|name| self.member(name).is_none()) {
            Some(name) => Err(StatedError::Missing(name)),
            None => Ok(()),
        }
    }

    /// An event of a home has a name with a dot, and members that are values of records and that
    /// nobody else assigns.
    fn check_admin(&self, event: &str) -> Result<(), StatedError> {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_';
        let own = SERVICE_EVENTS.iter().any(|prefix| event.starts_with(prefix));
        let named = event.len() <= NAME_BYTES_MAX && event.bytes().all(sound);
        if own || !named || !event.contains('.') {
            return Err(StatedError::Event(event.to_owned()));
        }
        for (name, value) in self.0 {
            let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let taken = ["hash", "prev_hash", "seq", "timestamp", "writer", "peer", "request"];
            let named = name.len() <= NAME_BYTES_MAX && name.bytes().all(sound);
            if !named || taken.contains(&name.as_str()) {
                return Err(StatedError::Name(name.clone()));
            }
            if !Form::Field.fits(value) {
                return Err(StatedError::Form(name.clone()));
            }
        }
        Ok(())
    }

    fn claim(&self) -> Result<Claim, StatedError> {
        let bad = |name: &str| StatedError::Form(name.to_owned());
        let agent = self.text("agent").and_then(PrincipalId::new).ok_or_else(|| bad("agent"))?;
        let proof = self.text("proof").unwrap_or_default();
        let proof = PROOFS.into_iter().find(|known| known.name() == proof);
        let proof = proof.ok_or_else(|| bad("proof"))?;
        let delegation = match self.member("delegation") {
            Some(Value::Array(names)) => {
                let name = |name: &Value| name.as_text().and_then(PrincipalId::new);
                let names: Option<Vec<_>> = names.iter().map(name).collect();
                names.ok_or_else(|| bad("delegation"))?
            }
            Some(_) | None => Vec::new(),
        };
        let alone = delegation.is_empty()
            && self.member("tenant").is_none()
            && self.member("task_id").is_none();
        let behalf = if alone { Behalf::Own } else { Behalf::Others(delegation) };
        Ok(Claim { agent, proof, behalf })
    }

    /// Reads a decision, whose parts must agree.
    fn decision(&self) -> Result<Says, StatedError> {
        let claim = self.claim()?;
        let refusal = self.text("refusal");
        let approved = self.member("approved_by").is_some();
        let verdict = self.text("decision").unwrap_or_default();
        let answered = approved
            || self.member("refused_by").is_some()
            || refusal.is_some_and(|refusal| !UNASKED.contains(&refusal));
        let answer = if answered { Answered::Yes } else { Answered::No };
        match (refusal, verdict, approved) {
            (None, "allow", _) | (None, "escalate", true) => Ok(Says::Allowed { claim, answer }),
            (Some(_), "allow" | "deny" | "escalate", false) => Ok(Says::Denied { claim, answer }),
            (None, "deny", _) => Err(StatedError::Contradiction("denied and allowed")),
            (None, "escalate", false) => Err(StatedError::Contradiction("approved by nobody")),
            (Some(_), _, true) => Err(StatedError::Contradiction("approved and refused")),
            (_, _, _) => Err(StatedError::Form("decision".to_owned())),
        }
    }
}

/// What the value of a member must be.
#[derive(Clone, Copy)]
enum Form {
    Approvers,
    Commitments,
    Digest,
    /// A value of an administrative event.
    Field,
    Id,
    IntTo(u64),
    /// A principal, or several.
    Names,
    Operations,
    /// Text, or bytes as tagged base64.
    Raw,
    Raws,
    Text,
}

// === impl Form ===

impl Form {
    fn fits(self, value: &Value) -> bool {
        let hex = |digits: usize| {
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            value.as_text().is_some_and(|t| t.len() == digits && t.bytes().all(digit))
        };
        match self {
            Self::Approvers => objects(value, APPROVER),
            Self::Commitments => objects(value, COMMITMENT),
            Self::Digest => hex(64),
            Self::Field => match value {
                Value::Array(items) => items.iter().all(|item| Self::Field.fits(item)),
                Value::Int(_) | Value::Text(_) => true,
                Value::Object(_) => Self::Raw.fits(value),
                Value::Bool(_) => false,
            },
            Self::Id => hex(32),
            Self::IntTo(max) => value.as_int().is_some_and(|n| n <= max),
            Self::Names => match value {
                Value::Array(names) => names.iter().all(|name| Self::Text.fits(name)),
                other => Self::Text.fits(other),
            },
            Self::Operations => objects(value, OPERATION),
            Self::Raw => match value {
                Value::Text(_) => true,
                Value::Object(members) => match members.as_slice() {
                    [(name, Value::Text(text))] => name == "base64" && decode(text).is_some(),
                    _ => false,
                },
                Value::Array(_) | Value::Bool(_) | Value::Int(_) => false,
            },
            Self::Raws => match value {
                Value::Array(items) => items.iter().all(|item| Self::Raw.fits(item)),
                _ => false,
            },
            Self::Text => value.as_text().is_some(),
        }
    }
}

fn objects(value: &Value, known: &[(&str, Form)]) -> bool {
    let Value::Array(items) = value else { return false };
    let fits = |(name, value): &(String, Value)| {
        known.iter().any(|(own, form)| own == name && form.fits(value))
    };
    items.iter().all(|item| match item {
        Value::Object(members) => members.iter().all(fits),
        Value::Array(_) | Value::Bool(_) | Value::Int(_) | Value::Text(_) => false,
    })
}

/// Returns bytes in the base64 that records use.
pub fn to_base64(bytes: &[u8]) -> String {
    encode(bytes)
}

/// Returns the bytes behind the base64 that records use, if it is the one text for them.
pub fn of_base64(text: &str) -> Option<Vec<u8>> {
    decode(text)
}

// === impl StatedError ===

impl fmt::Display for StatedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contradiction(what) => write!(f, "the statement contradicts itself: {what}"),
            Self::Event(event) => write!(f, "clients do not state `{event}`"),
            Self::Form(name) => write!(f, "`{name}` is not of its form"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::Name(name) => write!(f, "such a record has no `{name}`"),
            Self::Secrets => f.write_str("there are more or fewer secrets than commitments"),
        }
    }
}

impl std::error::Error for StatedError {}

const SUBJECT: &[(&str, Form)] = &[
    ("action_digest", Form::Digest),
    ("agent", Form::Text),
    ("argv", Form::Raws),
    ("cluster", Form::Raw),
    ("command", Form::Raw),
    ("commitments", Form::Commitments),
    ("decision", Form::Text),
    ("delegation", Form::Names),
    ("method", Form::Raw),
    ("namespace", Form::Raw),
    ("native_tier", Form::IntTo(TIER_MAX)),
    ("operations", Form::Operations),
    ("parent", Form::Id),
    ("path", Form::Raw),
    ("policy_version", Form::Digest),
    ("proof", Form::Text),
    ("protocol", Form::Text),
    ("reason", Form::Raw),
    ("resource", Form::Raw),
    ("rule", Form::Text),
    ("runbook", Form::Text),
    ("task_id", Form::Text),
    ("tenant", Form::Text),
    ("tier", Form::IntTo(TIER_MAX)),
    ("workspace", Form::Raw),
];

const ASKED: &[(&str, Form)] = &[("ask_digest", Form::Digest), ("lapses", Form::Text)];

const DECIDED: &[(&str, Form)] = &[
    ("approval_assurance", Form::Text),
    ("approved_by", Form::Names),
    ("approvers", Form::Approvers),
    ("latency_us", Form::IntTo(u64::MAX)),
    ("objection", Form::Raw),
    ("refusal", Form::Text),
    ("refused_by", Form::Text),
];

const CLOSED: &[(&str, Form)] = &[
    ("decided_seq", Form::IntTo(u64::MAX)),
    ("duration_ms", Form::IntTo(u64::MAX)),
    ("exit_code", Form::IntTo(255)),
    ("note", Form::Raw),
    ("outcome", Form::Text),
    ("recording", Form::Digest),
    ("recording_bytes", Form::IntTo(u64::MAX)),
    ("recording_id", Form::Id),
    ("recording_offset", Form::IntTo(u64::MAX)),
];

const OPERATION: &[(&str, Form)] = &[
    ("argv", Form::Raws),
    ("cluster", Form::Raw),
    ("command", Form::Raw),
    ("method", Form::Raw),
    ("namespace", Form::Raw),
    ("path", Form::Raw),
    ("protocol", Form::Text),
    ("resource", Form::Raw),
    ("tier", Form::IntTo(TIER_MAX)),
    ("workspace", Form::Raw),
];

const APPROVER: &[(&str, Form)] = &[
    ("assurance", Form::Text),
    ("by", Form::Text),
    ("statement", Form::Digest),
    ("ticket", Form::Text),
];

const COMMITMENT: &[(&str, Form)] =
    &[("field", Form::Text), ("hmac", Form::Digest), ("key", Form::Text), ("kind", Form::Text)];

/// What every ask and decision says.
const REQUIRED: &[&str] =
    &["action_digest", "agent", "decision", "policy_version", "proof", "protocol", "rule", "tier"];

const PROOFS: [Proof; 4] = [Proof::Certificate, Proof::Claimed, Proof::Token, Proof::UnixUser];

/// How an owner says its operation ended. Withdrawn asks are the service's to close.
const OUTCOMES: [Outcome; 5] = [
    Outcome::Abandoned,
    Outcome::Forwarded,
    Outcome::Frozen,
    Outcome::NotForwarded,
    Outcome::TimedOut,
];

/// Refusals that no human was asked about.
const UNASKED: [&str; 2] = ["misjudged", "policy"];

/// Events that are the log's own to state.
const SERVICE_EVENTS: [&str; 2] = ["log.", "refusals."];

const TIER_MAX: u64 = 4;

/// The longest name of an event or of one of its members.
const NAME_BYTES_MAX: usize = 64;
