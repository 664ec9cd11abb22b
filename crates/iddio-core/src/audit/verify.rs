//! Whether a log is what was written, and what it tells.
//!
//! Two questions, kept apart. [`scan`] and [`Verifier::link`] ask whether the chain holds: the first
//! record that does not is the first bad one, and nothing after it is believed. The story then asks
//! what became of the operations: which are open, which ended twice, which never began.
//!
//! Memory is bounded by the operations open at one time, plus the last [`RECENT_MAX`] that ended.
//! Scanning a line needs nothing but the line, so lines can be scanned on many threads and linked
//! in order on one.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use sha2::{Digest as _, Sha256};

use super::chain::{GENESIS_WORD, Head};
use crate::{
    digest::Digest,
    json::{self, JsonError, Member, Raw},
    operation::OperationId,
};

/// What one line says of its place in the chain and of its operation. Made by [`scan`] alone.
#[derive(Clone, Copy, Debug)]
pub struct Scanned {
    /// Its place.
    pub seq: u64,
    /// The hash it states, which is the hash it has.
    pub hash: Digest,
    /// What it says it follows; `None` for the first.
    pub prev: Option<Digest>,
    /// Whose record it is.
    pub id: OperationId,
    /// What it does to its operation.
    pub event: Event,
    /// What the clock said, as text: it sorts by time.
    time: [u8; 27],
}

/// What a record does to its operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// Nothing: it is about iddio itself.
    Admin,
    /// A human was about to be asked.
    Asked,
    /// It was allowed.
    Allowed,
    /// It was refused.
    Denied,
    /// It ended.
    Closed {
        /// The decision it names, if it was decided.
        decided_seq: Option<u64>,
        /// How.
        outcome: Ending,
    },
}

/// How an operation ended, as far as the story cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Its owner was lost. A late, true end may follow.
    Abandoned,
    /// It was asked for and never decided.
    Withdrawn,
    /// Its owner said how.
    Told,
}

/// Why a line does not stand where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// It has no end, and yet something follows.
    Cut,
    /// It is not canonical JSON.
    Json(JsonError),
    /// A member that every such record has is missing, or is not of its kind.
    Shape(&'static str),
    /// The hash it states is not the hash it has.
    Hash,
    /// It does not follow the record before it.
    Prev,
    /// Its number is not the next one.
    Seq {
        /// The next number.
        wanted: u64,
        /// The number it states.
        found: u64,
    },
}

/// Something an auditor should look at in a chain that holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What.
    pub what: Oddity,
    /// Whose.
    pub id: OperationId,
    /// The record that shows it.
    pub seq: u64,
}

/// What an auditor should look at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Oddity {
    /// An ask without an end.
    AskOpen,
    /// An ask for an operation that was already decided.
    AskedLate,
    /// An end of an operation that had ended.
    ClosedTwice,
    /// A decision on an operation that was already decided.
    DecidedTwice,
    /// An end that names another decision than the operation had.
    DecisionMisnamed,
    /// A second log begins inside this one.
    LogBegins,
    /// An allowed operation without an end.
    Open,
    /// An end of an operation that was never decided.
    Orphan,
}

/// What a log tells, once all of it is read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Story {
    /// Records that hold.
    pub records: u64,
    /// Operations that were decided.
    pub decided: u64,
    /// Of these, refused.
    pub denied: u64,
    /// Allowed operations that ended.
    pub closed: u64,
    /// Of these, first given up as abandoned.
    pub abandoned: u64,
    /// True ends that came after an operation was given up: legal, and told apart.
    pub closed_late: u64,
    /// Asks that were withdrawn without a decision.
    pub withdrawn: u64,
    /// Records whose clock reads earlier than the record before. Order is `seq`; this is a note.
    pub clock_back: u64,
    /// The oddities, in order; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many oddities there were.
    pub findings_total: u64,
}

/// Links scanned lines into a chain and follows the operations.
#[derive(Debug)]
pub struct Verifier {
    head: Head,
    open: HashMap<OperationId, Open>,
    recent: HashMap<OperationId, Ended>,
    recent_order: VecDeque<OperationId>,
    last_time: [u8; 27],
    story: Story,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    seq: u64,
    state: OpenState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OpenState {
    Allowed,
    Asked,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    Abandoned,
    Done,
}

/// Reads one line, without its newline, and checks its form and its hash.
///
/// # Errors
///
/// When the line is not a record, or not the record whose hash it states.
pub fn scan(line: &[u8]) -> Result<Scanned, Broken> {
    let mut parts = Parts::default();
    json::members(line, |member| parts.take(member))?;
    let (start, end) = parts.hash_span.ok_or(Broken::Shape("hash"))?;
    // The member and one comma: the one before it, since `event` always precedes it.
    let before = start.checked_sub(1).ok_or(Broken::Shape("hash"))?;
    let mut hasher = Sha256::new();
    hasher.update(line.get(..before).unwrap_or_default());
    hasher.update(line.get(end..).unwrap_or_default());
    let hash = Digest::from_bytes(hasher.finalize().into());
    // The stated digits are compared as they stand: there is one way to write a hash.
    if parts.hash != Some(hash.as_bytes().map(json::hex_byte).as_flattened()) {
        return Err(Broken::Hash);
    }
    Ok(Scanned {
        seq: parts.seq.ok_or(Broken::Shape("seq"))?,
        hash,
        prev: parts.prev.ok_or(Broken::Shape("prev_hash"))?,
        id: parts.id.ok_or(Broken::Shape("id"))?,
        event: parts.event()?,
        time: parts.time.ok_or(Broken::Shape("timestamp"))?,
    })
}

/// The members that the chain and the story look at.
#[derive(Default)]
struct Parts<'a> {
    action_digest: bool,
    decided_seq: Option<u64>,
    denial: bool,
    event: Option<&'a [u8]>,
    hash: Option<&'a [u8]>,
    hash_span: Option<(usize, usize)>,
    id: Option<OperationId>,
    outcome: Option<&'a [u8]>,
    prev: Option<Option<Digest>>,
    refusal: bool,
    seq: Option<u64>,
    time: Option<[u8; 27]>,
    writer: bool,
}

impl<'a> Parts<'a> {
    fn take(&mut self, member: Member<'a>) -> Result<(), Broken> {
        let Member { name, value, start, end } = member;
        match (name, value) {
            (b"action_digest", Raw::Text(text)) => {
                self.action_digest = is_hex_digest(text);
            }
            (b"decided_seq", Raw::Int(n)) => self.decided_seq = Some(n),
            (b"decided_seq", _) => return Err(Broken::Shape("decided_seq")),
            (b"decision", Raw::Text(word)) => self.denial = word == b"deny",
            (b"event", Raw::Text(word)) => self.event = Some(word),
            (b"hash", Raw::Text(text)) => {
                self.hash = Some(text);
                self.hash_span = Some((start, end));
            }
            (b"id", Raw::Text(text)) => self.id = hex_id(text),
            (b"outcome", Raw::Text(word)) => self.outcome = Some(word),
            (b"prev_hash", Raw::Text(GENESIS_WORD)) => self.prev = Some(None),
            (b"prev_hash", Raw::Text(text)) => self.prev = hex_digest(text).map(Some),
            (b"refusal", Raw::Text(_)) => self.refusal = true,
            (b"refusal", _) => return Err(Broken::Shape("refusal")),
            (b"seq", Raw::Int(n)) => self.seq = Some(n),
            (b"timestamp", Raw::Text(text)) => self.time = text.try_into().ok(),
            (b"writer", Raw::Text(_)) => self.writer = true,
            _ => {}
        }
        Ok(())
    }

    fn event(&self) -> Result<Event, Broken> {
        if !self.writer {
            return Err(Broken::Shape("writer"));
        }
        let event = match self.event.ok_or(Broken::Shape("event"))? {
            b"asked" => Event::Asked,
            b"decided" if self.refusal => Event::Denied,
            b"decided" if self.denial => return Err(Broken::Shape("refusal")),
            b"decided" => Event::Allowed,
            b"closed" => self.closed()?,
            name => return admin(name),
        };
        match self.action_digest {
            true => Ok(event),
            false => Err(Broken::Shape("action_digest")),
        }
    }

    fn closed(&self) -> Result<Event, Broken> {
        let outcome = match self.outcome {
            Some(b"abandoned") => Ending::Abandoned,
            Some(b"withdrawn") => Ending::Withdrawn,
            Some(b"forwarded" | b"frozen" | b"not_forwarded" | b"timed_out") => Ending::Told,
            Some(_) | None => return Err(Broken::Shape("outcome")),
        };
        Ok(Event::Closed { decided_seq: self.decided_seq, outcome })
    }
}

/// An administrative event has a dotted lower-case name.
fn admin(name: &[u8]) -> Result<Event, Broken> {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_' | b'-');
    match name.contains(&b'.') && name.iter().all(letter) {
        true => Ok(Event::Admin),
        false => Err(Broken::Shape("event")),
    }
}

fn is_hex_digest(text: &[u8]) -> bool {
    let bad =
        |digit: u8| u8::from(9 < digit.wrapping_sub(b'0')) & u8::from(5 < digit.wrapping_sub(b'a'));
    text.len() == 64 && text.iter().fold(0, |seen, digit| seen | bad(*digit)) == 0
}

fn hex_digest(text: &[u8]) -> Option<Digest> {
    let mut bytes = [0; 32];
    hex_into(text, &mut bytes)?;
    Some(Digest::from_bytes(bytes))
}

fn hex_id(text: &[u8]) -> Option<OperationId> {
    let mut bytes = [0; 16];
    hex_into(text, &mut bytes)?;
    Some(OperationId(u128::from_be_bytes(bytes)))
}

/// Decodes lower-case hexadecimal digits, exactly as many as `bytes` takes.
fn hex_into(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    if text.len() != bytes.len() * 2 {
        return None;
    }
    let digit = |digit: u8| {
        let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        let letter = if letter < 6 { letter + 10 } else { 0xff };
        if number < 10 { number } else { letter }
    };
    let mut bad = 0;
    let (pairs, _) = text.as_chunks();
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (digit(*high), digit(*low));
        bad |= high | low;
        *byte = high << 4 | (low & 15);
    }
    (bad < 16).then_some(())
}

// === impl Verifier ===

impl Verifier {
    /// Begins before the first record of a log.
    pub fn new() -> Self {
        Self::from(Head::GENESIS)
    }

    /// Begins at `head`, for a part of a log. Operations opened before it are unknown.
    pub fn from(head: Head) -> Self {
        Self {
            head,
            open: HashMap::new(),
            recent: HashMap::new(),
            recent_order: VecDeque::new(),
            last_time: [0; 27],
            story: Story::default(),
        }
    }

    /// Where the next record goes.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Checks that `line` is the next record.
    ///
    /// # Errors
    ///
    /// When it is not, and why. Nothing after it can be believed.
    pub fn feed(&mut self, line: &[u8]) -> Result<Scanned, Broken> {
        let scanned = scan(line)?;
        self.link(&scanned)?;
        Ok(scanned)
    }

    /// Checks that a scanned line is the next record, and follows its operation.
    ///
    /// # Errors
    ///
    /// When it is not the next record.
    pub fn link(&mut self, scanned: &Scanned) -> Result<(), Broken> {
        let wanted = self.head.seq();
        if scanned.seq != wanted {
            return Err(Broken::Seq { wanted, found: scanned.seq });
        }
        if scanned.prev != self.head.prev() {
            return Err(Broken::Prev);
        }
        self.head = Head::after(scanned.seq, scanned.hash);
        self.story.records += 1;
        self.story.clock_back += u64::from(scanned.time < self.last_time);
        self.last_time = scanned.time;
        self.follow(scanned);
        Ok(())
    }

    /// Returns what the log told. Operations still open become findings.
    pub fn finish(mut self) -> Story {
        let mut open: Vec<(OperationId, Open)> = self.open.drain().collect();
        open.sort_by_key(|(_, open)| open.seq);
        for (id, Open { seq, state }) in open {
            let what = match state {
                OpenState::Allowed => Oddity::Open,
                OpenState::Asked => Oddity::AskOpen,
            };
            self.note(what, id, seq);
        }
        self.story
    }

    fn follow(&mut self, scanned: &Scanned) {
        let Scanned { seq, id, event, .. } = *scanned;
        let open = self.open.get(&id).copied();
        match event {
            Event::Admin => {}
            Event::Asked => match open {
                Some(Open { state: OpenState::Allowed, .. }) => {
                    self.note(Oddity::AskedLate, id, seq);
                }
                Some(Open { state: OpenState::Asked, .. }) | None => {
                    if self.recent.contains_key(&id) {
                        self.note(Oddity::AskedLate, id, seq);
                    }
                    self.open.insert(id, Open { seq, state: OpenState::Asked });
                }
            },
            Event::Allowed | Event::Denied => self.follow_decision(seq, id, event, open),
            Event::Closed { decided_seq, outcome } => {
                self.follow_end(seq, id, open, decided_seq, outcome);
            }
        }
    }

    fn follow_decision(&mut self, seq: u64, id: OperationId, event: Event, open: Option<Open>) {
        let again = matches!(open, Some(Open { state: OpenState::Allowed, .. }));
        if again || self.recent.contains_key(&id) {
            self.note(Oddity::DecidedTwice, id, seq);
        }
        self.story.decided += 1;
        if event == Event::Denied {
            self.story.denied += 1;
            self.open.remove(&id);
            self.remember(id, Ended::Done);
        } else {
            self.open.insert(id, Open { seq, state: OpenState::Allowed });
        }
    }

    fn follow_end(
        &mut self,
        seq: u64,
        id: OperationId,
        open: Option<Open>,
        decided_seq: Option<u64>,
        outcome: Ending,
    ) {
        let Some(open) = open else {
            return self.follow_late_end(seq, id, outcome);
        };
        let named = match open.state {
            OpenState::Allowed => decided_seq == Some(open.seq),
            OpenState::Asked => decided_seq.is_none() && outcome == Ending::Withdrawn,
        };
        if !named {
            self.note(Oddity::DecisionMisnamed, id, seq);
        }
        self.open.remove(&id);
        match open.state {
            OpenState::Allowed => self.story.closed += 1,
            OpenState::Asked => self.story.withdrawn += 1,
        }
        let abandoned = outcome == Ending::Abandoned;
        self.story.abandoned += u64::from(abandoned);
        self.remember(id, if abandoned { Ended::Abandoned } else { Ended::Done });
    }

    fn follow_late_end(&mut self, seq: u64, id: OperationId, outcome: Ending) {
        match (self.recent.get(&id), outcome) {
            (Some(Ended::Abandoned), Ending::Told | Ending::Withdrawn) => {
                self.story.closed_late += 1;
                self.recent.insert(id, Ended::Done);
            }
            (Some(_), _) => self.note(Oddity::ClosedTwice, id, seq),
            (None, _) => self.note(Oddity::Orphan, id, seq),
        }
    }

    fn remember(&mut self, id: OperationId, ended: Ended) {
        if self.recent.insert(id, ended).is_none() {
            self.recent_order.push_back(id);
        }
        if RECENT_MAX < self.recent_order.len()
            && let Some(oldest) = self.recent_order.pop_front()
        {
            self.recent.remove(&oldest);
        }
    }

    fn note(&mut self, what: Oddity, id: OperationId, seq: u64) {
        self.story.findings_total += 1;
        if self.story.findings.len() < FINDINGS_MAX {
            self.story.findings.push(Finding { what, id, seq });
        }
    }
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Broken ===

impl From<JsonError> for Broken {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("it is cut short, and yet something follows"),
            Self::Json(error) => error.fmt(f),
            Self::Shape(name) => write!(f, "member `{name}` is missing or malformed"),
            Self::Hash => f.write_str("the record is not the one whose hash it states"),
            Self::Prev => f.write_str("it does not follow the record before it"),
            Self::Seq { wanted, found } => write!(f, "it is numbered {found}, not {wanted}"),
        }
    }
}

impl std::error::Error for Broken {}

// === impl Oddity ===

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AskOpen => "asked, and neither decided nor withdrawn",
            Self::AskedLate => "asked for again after it was decided",
            Self::ClosedTwice => "closed twice",
            Self::DecidedTwice => "decided twice",
            Self::DecisionMisnamed => "closed under another decision than its own",
            Self::LogBegins => "a second log begins inside this one",
            Self::Open => "allowed, and not closed",
            Self::Orphan => "closed without a decision",
        })
    }
}

/// How many ended operations are remembered, to tell a second end from an end without a beginning.
/// Some 4 MB; a second end farther away shows as [`Oddity::Orphan`].
pub const RECENT_MAX: usize = 1 << 16;

/// How many findings are kept: enough to act on, and a bound on memory.
pub const FINDINGS_MAX: usize = 1_000;
