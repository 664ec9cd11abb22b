//! Who is asking, for whom, and how we know.

use std::{fmt, sync::Arc};

use crate::digest::{Canonical, Encoder};

/// The stable name of a principal, exactly as policy's `agents:` names it: `claude-code`,
/// `local:ada`, `human:bob`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PrincipalId(Arc<str>);

/// A caller.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The stable name.
    pub id: PrincipalId,
    /// What sort of caller this is.
    pub kind: PrincipalKind,
    /// On whose behalf, nearest delegator first, root human last. Empty for a human who acts for
    /// themselves.
    pub delegation: Vec<PrincipalId>,
    /// How the name was proven.
    pub proof: Proof,
    /// The groups and roles policy may name.
    pub groups: Vec<String>,
    /// The tenant, from a token and never from what the caller says.
    pub tenant: Option<String>,
    /// The task the caller works on: as whoever started it outside says, or else as it says itself.
    pub task: Option<String>,
}

/// The name of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskName(String);

/// What sort of caller a principal is. The numbers are hashed, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrincipalKind {
    /// An autonomous agent.
    Agent = 1,
    /// A person.
    Human = 2,
    /// A service or a job.
    Workload = 3,
}

/// How a name was proven. The numbers are hashed, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Proof {
    /// A client certificate.
    Certificate = 1,
    /// Nothing: the caller only says so. Policy treats it as an unknown agent.
    Claimed = 2,
    /// A bearer token that verified.
    Token = 3,
    /// The Unix user, as the kernel tells it.
    UnixUser = 4,
}

/// The witness that somebody looked at who is calling.
///
/// Constructed only by [`Identified::assertion`], so the places that can vouch for a caller are
/// found with one search. `cargo xtask tidy` holds the list of files that may call it.
#[derive(Debug)]
#[must_use]
pub struct Identified(Principal);

// === impl PrincipalId ===

impl PrincipalId {
    /// The most bytes a name may have: it is repeated in every record.
    pub const BYTES_MAX: usize = 128;

    /// Reads a name: 1 to [`Self::BYTES_MAX`] bytes of `a-z A-Z 0-9 . _ - : / @`.
    ///
    /// A strict charset, because names travel into records, certificates and terminals.
    pub fn new(name: &str) -> Option<Self> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
        let fits = (1..=Self::BYTES_MAX).contains(&name.len());
        (fits && name.bytes().all(sound)).then(|| Self(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Canonical for PrincipalId {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.text(&self.0);
    }
}

// === impl TaskName ===

impl TaskName {
    /// The most bytes a name may have: it is repeated in every record.
    pub const BYTES_MAX: usize = 128;

    /// Reads a name: 1 to [`Self::BYTES_MAX`] bytes of `a-z A-Z 0-9 . _ - : / @ #`.
    ///
    /// A strict charset, because names travel into records and terminals.
    pub fn new(name: &str) -> Option<Self> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@#".contains(&byte);
        let fits = (1..=Self::BYTES_MAX).contains(&name.len());
        (fits && name.bytes().all(sound)).then(|| Self(name.to_owned()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Principal ===

impl Principal {
    /// Returns the human at the root of the delegation chain: the last delegator, or the caller
    /// itself when it acts for nobody else and is a human.
    pub fn root_human(&self) -> Option<&PrincipalId> {
        match (self.delegation.last(), self.kind) {
            (Some(root), _) => Some(root),
            (None, PrincipalKind::Human) => Some(&self.id),
            (None, PrincipalKind::Agent | PrincipalKind::Workload) => None,
        }
    }
}

impl Canonical for Principal {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { id, kind, delegation, proof, groups, tenant, task } = self;
        id.encode(encoder);
        encoder.tag(*kind as u8);
        encoder.list(delegation);
        encoder.tag(*proof as u8);
        encoder.list(groups);
        encoder.option(tenant.as_ref());
        encoder.option(task.as_ref());
    }
}

// === impl Proof ===

impl Proof {
    /// Returns the word used in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Claimed => "claimed",
            Self::Token => "token",
            Self::UnixUser => "unix-user",
        }
    }
}

// === impl Identified ===

impl Identified {
    /// Vouches that `principal` is who calls, as far as `principal.proof` says.
    pub fn assertion(principal: Principal) -> Self {
        Self(principal)
    }

    /// Says which task the caller works on, where nobody has said so before: what was said first, by whoever
    /// is nearer to the outside, stands.
    pub fn on_task(self, task: Option<TaskName>) -> Self {
        let Self(principal) = self;
        let task = principal.task.clone().or(task.map(|TaskName(name)| name));
        Self(Principal { task, ..principal })
    }

    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.0
    }
}
