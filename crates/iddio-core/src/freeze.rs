//! Freezes: who is stopped, by whom and why, and whether that holds a caller.
//!
//! A freeze comes before policy: whoever it holds is refused, whatever policy says, and what it
//! already runs is ended. INVARIANT: what is frozen cannot be told is frozen; there is no error
//! that a gateway could mistake for "nobody is".
//!
//! What this module does not do: keep freezes, or watch them change. That is a [`Freezer`]'s work.

use std::fmt;

use crate::{
    approval::Grant,
    operation::OperationId,
    principal::{Principal, PrincipalId},
    sanitise,
    time::Timestamp,
};

/// Says who is frozen now.
pub trait Freezer: Send + Sync {
    /// Looks. What cannot be told is [`Frozen::Unknown`], which holds everybody.
    fn look(&self) -> Frozen;
}

/// Who is frozen.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Frozen {
    /// These.
    These(Vec<Freeze>),
    /// It cannot be told, so everybody is.
    Unknown {
        /// Why not, for people.
        reason: String,
    },
}

/// One freeze.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Freeze {
    /// Its name in the log: 128 random bits.
    pub id: OperationId,
    /// Who is frozen.
    pub whom: Whom,
    /// Who froze them.
    pub by: PrincipalId,
    /// What they said about it.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Who is frozen, or to be thawed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Whom {
    /// The agent, workload or human of this name.
    Agent(PrincipalId),
    /// Everybody.
    All,
    /// A human, and all who act for them.
    Operator {
        /// The name it was asked for.
        name: PrincipalId,
        /// Every name this human has: `human:ada`, `local:ada`.
        names: Vec<PrincipalId>,
    },
    /// Whoever works on this task.
    Task(String),
}

/// Why a caller is held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hold {
    /// This freeze.
    By(Freeze),
    /// Nobody can tell who is frozen.
    Unknown {
        /// Why not.
        reason: String,
    },
}

// === impl Frozen ===

impl Frozen {
    /// Returns what holds `principal`, the widest freeze first.
    pub fn hold(&self, principal: &Principal) -> Option<Hold> {
        self.first(|whom| whom.covers(principal))
    }

    /// Returns the freeze that makes a yes of this approver count for nothing.
    ///
    /// Only a freeze of the human themselves does: everybody being frozen leaves answers standing,
    /// since nobody they could let through gets through.
    pub fn silence(&self, grant: &Grant) -> Option<Hold> {
        self.first(|whom| match whom {
            Whom::Operator { names, .. } => grant.names().any(|name| names.contains(name)),
            Whom::Agent(_) | Whom::All | Whom::Task(_) => false,
        })
    }

    fn first(&self, covers: impl Fn(&Whom) -> bool) -> Option<Hold> {
        match self {
            Self::Unknown { reason } => Some(Hold::Unknown { reason: reason.clone() }),
            Self::These(freezes) => {
                let held = freezes.iter().filter(|freeze| covers(&freeze.whom));
                held.min_by_key(|freeze| freeze.whom.width()).cloned().map(Hold::By)
            }
        }
    }
}

// === impl Whom ===

impl Whom {
    /// Whether `principal` is one of them. An operator is whoever the caller is, or acts for.
    fn covers(&self, principal: &Principal) -> bool {
        let Principal { id, delegation, task, .. } = principal;
        match self {
            Self::Agent(name) => name == id,
            Self::All => true,
            Self::Operator { names, .. } => {
                names.contains(id) || delegation.iter().any(|name| names.contains(name))
            }
            Self::Task(name) => task.as_deref() == Some(name),
        }
    }

    /// Whether the human of these names is the one who is frozen.
    pub fn is_human(&self, own: &[PrincipalId]) -> bool {
        match self {
            Self::Agent(name) => own.contains(name),
            Self::Operator { names, .. } => own.iter().any(|name| names.contains(name)),
            Self::All | Self::Task(_) => false,
        }
    }

    /// Whether a freeze of `other` is a freeze of the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Agent(one), Self::Agent(two)) => one == two,
            (Self::All, Self::All) => true,
            (Self::Operator { names: one, .. }, Self::Operator { names: two, .. }) => {
                one.iter().any(|name| two.contains(name))
            }
            (Self::Task(one), Self::Task(two)) => one == two,
            (Self::Agent(_) | Self::All | Self::Operator { .. } | Self::Task(_), _) => false,
        }
    }

    /// Returns the word of its kind, as records and the command line have it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::All => "all",
            Self::Operator { .. } => "operator",
            Self::Task(_) => "task",
        }
    }

    /// Returns its name, but for everybody.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Agent(name) | Self::Operator { name, .. } => Some(name.as_str()),
            Self::All => None,
            Self::Task(name) => Some(name),
        }
    }

    /// Returns the words that select it: `--agent NAME`.
    pub fn selector(&self) -> String {
        match self.name() {
            Some(name) => format!("--{} {}", self.kind(), shown(name)),
            None => "--all".to_owned(),
        }
    }

    fn width(&self) -> u8 {
        match self {
            Self::All => 0,
            Self::Operator { .. } => 1,
            Self::Task(_) => 2,
            Self::Agent(_) => 3,
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {}", self.kind(), shown(name)),
            None => f.write_str("everybody"),
        }
    }
}

// === impl Hold ===

impl Hold {
    /// Returns the rule that records name.
    pub fn rule(&self) -> String {
        match self {
            Self::By(freeze) => format!("frozen: {}", freeze.whom),
            Self::Unknown { .. } => "frozen: state unreadable".to_owned(),
        }
    }

    /// Returns who froze, when and why.
    pub fn reason(&self) -> String {
        match self {
            Self::By(Freeze { whom, by, reason, since, .. }) => {
                let verb = if matches!(whom, Whom::All) { "everybody is" } else { "is" };
                let who =
                    if matches!(whom, Whom::All) { String::new() } else { format!("{whom} ") };
                let why =
                    reason.as_deref().map_or_else(String::new, |why| format!(": {}", shown(why)));
                format!("{who}{verb} frozen since {since} by {by}{why}")
            }
            Self::Unknown { reason } => {
                format!("who is frozen cannot be told, so everybody is: {}", shown(reason))
            }
        }
    }

    /// Returns what a human does about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::By(freeze) => format!("a human lifts it: iddio thaw {}", freeze.whom.selector()),
            Self::Unknown { .. } => {
                "a human makes it anew from the log: iddio freeze repair".into()
            }
        }
    }
}

fn shown(text: &str) -> String {
    sanitise::line(text.as_bytes())
}

/// The most bytes the reason of a freeze, or the name of a task, may have: both are repeated in
/// every refusal.
pub const TEXT_BYTES_MAX: usize = 512;

/// The most freezes at a time, but for that of everybody. Whoever needs more freezes everybody.
pub const FREEZES_MAX: usize = 1_024;
