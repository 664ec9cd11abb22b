//! Asking a human.
//!
//! An ask is durable before anyone sees it. A grant is an answer to the ask with one digest and to
//! no other, is used once, and is checked again just before forwarding. There is no error: silence
//! is a refusal, and so is an approver that cannot be reached.

use std::fmt;

use crate::{
    BoxFuture,
    digest::{Canonical, Digest, Encoder},
    operation::{Context, Effect, OperationId, Operations},
    policy::{Decision, FourEyes},
    principal::{Principal, PrincipalId, PrincipalKind},
    tier::{Class, Tier},
    time::Moment,
};

/// Puts a question to humans and waits for the answer.
pub trait Approver: Send + Sync {
    /// Asks, and waits until the answer is there or `ask.lapses` has passed.
    ///
    /// An approver that is unreachable or times out answers [`Answer::Lapse`].
    /// Cancellation: dropping the future withdraws the ask.
    fn ask<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Answer>;
}

/// The question: exactly what will be forwarded if the answer is yes.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation in question.
    pub id: OperationId,
    /// Who asks.
    pub principal: Principal,
    /// The digest of the action, over raw bytes: what a yes is bound to.
    pub action_digest: Digest,
    /// What would be done.
    pub operations: Operations,
    /// What a yes would do, worst first.
    pub effects: Vec<Effect>,
    /// What else the human should see: directory, inputs, the caller's own words.
    pub context: Context,
    /// Why a human is asked, and what the answer must satisfy.
    pub decision: Decision,
    /// When it was asked.
    pub asked: Moment,
    /// When it lapses.
    pub lapses: Moment,
}

/// How sure we are that an answer came from the human it names. The numbers are hashed and stored,
/// so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Assurance {
    /// Not at all: whoever holds the caller's own Unix user can answer.
    None = 1,
    /// The kernel vouches for another Unix user.
    Uid = 2,
    /// A signature by an enrolled key that a passphrase protects.
    Passphrase = 3,
    /// A signature by an enrolled key that hardware protects.
    Hardware = 4,
}

/// The answer.
#[derive(Clone, Debug)]
#[must_use]
pub enum Answer {
    /// Yes, from one or more humans.
    Grant(Vec<Grant>),
    /// Nobody answered in time, or nobody could be asked.
    Lapse,
    /// No.
    Refuse {
        /// Who said no.
        by: PrincipalId,
    },
    /// The caller went away.
    Withdraw,
}

/// The witness of one yes: an approver adapter looked at it and vouches for its fields.
///
/// Constructed only by [`Grant::assertion`]; `cargo xtask tidy` holds the list of files that may
/// call it.
#[derive(Clone, Debug)]
pub struct Grant {
    by: PrincipalId,
    aliases: Vec<PrincipalId>,
    kind: PrincipalKind,
    groups: Vec<String>,
    assurance: Assurance,
    ask: Digest,
    expires: Moment,
    ticket: Option<String>,
    statement: Option<Digest>,
}

/// What an adapter vouches for when it makes a [`Grant`].
#[derive(Clone, Debug)]
pub struct Vouched {
    /// Who said yes.
    pub by: PrincipalId,
    /// Other names of the same person, for example their Unix user.
    pub aliases: Vec<PrincipalId>,
    /// What sort of principal that is. Only a human's yes counts.
    pub kind: PrincipalKind,
    /// The groups the approver belongs to now.
    pub groups: Vec<String>,
    /// How sure we are.
    pub assurance: Assurance,
    /// The digest of the ask they said yes to.
    pub ask: Digest,
    /// When the yes runs out.
    pub expires: Moment,
    /// The ask a bounded ticket was given on, where the yes is a ticket's and not the ask's own.
    pub ticket: Option<String>,
    /// The digest of the signed statement, where there is one, so that a record leads to it.
    pub statement: Option<Digest>,
}

/// Why a yes is not a yes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Objection {
    /// The grant came from an agent or a workload.
    NotHuman = 1,
    /// The grant answers another question.
    OtherAsk = 2,
    /// The approver is the requester, or stands in its delegation chain.
    OwnRequest = 3,
    /// The approver is in none of the groups policy names.
    OutsideGroups = 4,
    /// The grant ran out before it could be used.
    Expired = 5,
    /// Fewer humans said yes than policy asks for.
    TooFew = 6,
    /// The assurance is below what the tier or policy asks for.
    WeakAssurance = 7,
}

// === impl Ask ===

impl Ask {
    /// Returns the tier policy judged the action at.
    pub fn tier(&self) -> Tier {
        self.decision.effective
    }

    /// Returns the digest a grant must name.
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }

    /// Returns how many different humans must say yes: what the rule says, else two for
    /// break-glass, else one; one for the class `session`.
    pub fn approvers_required(&self) -> u8 {
        let session = self.operations.worst().native_class() == Class::Session;
        match (self.decision.obligations.required_approvers, self.tier()) {
            (0, Tier::BreakGlass) if !session => 2,
            (0, _) => 1,
            (named, _) => named,
        }
    }

    /// Returns the least assurance a grant must have: what policy says, and never
    /// [`Assurance::None`] from T3 up.
    pub fn assurance_required(&self) -> Assurance {
        let floor = match self.tier() < Tier::Sensitive {
            true => Assurance::None,
            false => Assurance::Uid,
        };
        self.decision.obligations.assurance.max(floor)
    }

    /// Returns what is wrong with `grants` as an answer to this ask at `now`, or `None` if they
    /// are a yes.
    ///
    /// Grants by one person, under whatever names, count once. A single objectionable grant spoils
    /// the answer: an adapter that passes one on is not to be trusted with the rest.
    pub fn objection(&self, grants: &[Grant], now: Moment) -> Option<Objection> {
        let digest = self.digest();
        let wrong = grants.iter().find_map(|grant| self.grant_objection(grant, digest, now));
        let too_few = || {
            let humans = distinct(grants);
            (humans < usize::from(self.approvers_required())).then_some(Objection::TooFew)
        };
        wrong.or_else(too_few)
    }

    fn grant_objection(&self, grant: &Grant, digest: Digest, now: Moment) -> Option<Objection> {
        let groups = &self.decision.obligations.approvers;
        let outside = !groups.is_empty() && !grant.groups.iter().any(|own| groups.contains(own));
        let checks = [
            (grant.ask != digest, Objection::OtherAsk),
            (grant.kind != PrincipalKind::Human, Objection::NotHuman),
            (self.excludes(grant), Objection::OwnRequest),
            (outside, Objection::OutsideGroups),
            (grant.assurance < self.assurance_required(), Objection::WeakAssurance),
            (now.boot.until(grant.expires.boot).is_none(), Objection::Expired),
        ];
        checks.into_iter().find_map(|(wrong, objection)| wrong.then_some(objection))
    }

    /// Whether the approver is excluded: the requester and every name in its delegation chain are,
    /// except the root human below T3 where policy does not ask for four eyes.
    fn excludes(&self, grant: &Grant) -> bool {
        let Principal { id, delegation, .. } = &self.principal;
        let root_may = self.tier() < Tier::Sensitive
            && self.decision.obligations.four_eyes == FourEyes::Waived;
        let root = self.principal.root_human().filter(|_| root_may);
        let involved = |name: &PrincipalId| name == id || delegation.contains(name);
        grant.names().any(|name| involved(name) && Some(name) != root)
    }
}

impl Canonical for Ask {
    fn encode(&self, encoder: &mut Encoder) {
        let Self {
            id,
            principal,
            action_digest,
            operations,
            effects,
            context,
            decision,
            asked,
            lapses,
        } = self;
        id.encode(encoder);
        principal.encode(encoder);
        encoder.digest(*action_digest);
        operations.encode(encoder);
        encoder.list(effects);
        context.encode(encoder);
        decision.encode(encoder);
        asked.encode(encoder);
        lapses.encode(encoder);
    }
}

// === impl Assurance ===

impl Assurance {
    /// Every assurance, weakest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Uid, Self::Passphrase, Self::Hardware];

    /// Returns the word used in policy files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Uid => "uid",
            Self::Passphrase => "passphrase",
            Self::Hardware => "hardware",
        }
    }

    /// Returns the assurance with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assurance| assurance.name() == name)
    }
}

// === impl Grant ===

impl Grant {
    /// Vouches for a yes.
    pub fn assertion(vouched: Vouched) -> Self {
        let Vouched { by, aliases, kind, groups, assurance, ask, expires, ticket, statement } =
            vouched;
        Self { by, aliases, kind, groups, assurance, ask, expires, ticket, statement }
    }

    /// Who said yes.
    pub fn by(&self) -> &PrincipalId {
        &self.by
    }

    /// How sure we are.
    pub fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// When the yes runs out.
    pub fn expires(&self) -> Moment {
        self.expires
    }

    /// Returns how many different people are behind `grants`: two that share any name are one
    /// person's.
    pub fn people(grants: &[Self]) -> usize {
        distinct(grants)
    }

    /// The ask a bounded ticket was given on, if the yes is a ticket's.
    pub fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref()
    }

    /// The digest of the signed statement, if the yes was signed.
    pub fn statement(&self) -> Option<Digest> {
        self.statement
    }

    /// Every name of the person.
    pub(crate) fn names(&self) -> impl Iterator<Item = &PrincipalId> {
        std::iter::once(&self.by).chain(&self.aliases)
    }
}

/// Counts the people behind `grants`: two grants that share any name are one person's.
fn distinct(grants: &[Grant]) -> usize {
    let same =
        |one: &Grant, other: &Grant| one.names().any(|name| other.names().any(|o| o == name));
    let earlier = |place: usize| grants.iter().take(place);
    let first = |(place, grant): &(usize, &Grant)| !earlier(*place).any(|other| same(other, grant));
    grants.iter().enumerate().filter(first).count()
}

// === impl Objection ===

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHuman => "the approver is not a human",
            Self::OtherAsk => "the grant answers another ask",
            Self::OwnRequest => "the approver is the requester or acts for it",
            Self::OutsideGroups => "the approver is in none of the groups policy names",
            Self::Expired => "the grant has expired",
            Self::TooFew => "not enough approvers",
            Self::WeakAssurance => "the grant's assurance is too weak for this tier or policy",
        })
    }
}
