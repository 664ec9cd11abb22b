//! How dangerous an operation is: one scale for every protocol.
//!
//! Classification only ever joins, so no rule can lower what another rule has raised. Lowering is
//! policy's business, through a runbook, and never from [`Tier::BreakGlass`].

use std::fmt;

/// The classification of an operation, from harmless to irreversible.
///
/// The order is the meaning: a greater tier is never less dangerous. The numbers are stored, so a
/// number is never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tier {
    /// Reads, with no blast radius.
    Observe = 0,
    /// Routine, well understood, reversible.
    Operate = 1,
    /// A standard write.
    Modify = 2,
    /// Irreversible or security-relevant: a delete, a secret read, an identity change.
    Sensitive = 3,
    /// A shell, a control object, mass destruction, evasion, or unknown.
    BreakGlass = 4,
}

impl Tier {
    /// Every tier, least dangerous first.
    pub const ALL: [Self; 5] =
        [Self::Observe, Self::Operate, Self::Modify, Self::Sensitive, Self::BreakGlass];

    /// The tier of anything we fail to understand.
    pub const UNKNOWN: Self = Self::BreakGlass;

    /// Returns the more dangerous of two tiers.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        self.max(other)
    }

    /// Returns the number that is stored and shown, 0 to 4.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the tier with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Observe),
            1 => Some(Self::Operate),
            2 => Some(Self::Modify),
            3 => Some(Self::Sensitive),
            4 => Some(Self::BreakGlass),
            _ => None,
        }
    }

    /// Returns the word people know the tier by.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Observe => "OBSERVE",
            Self::Operate => "OPERATE",
            Self::Modify => "MODIFY",
            Self::Sensitive => "SENSITIVE",
            Self::BreakGlass => "BREAK-GLASS",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{} {}", self.number(), self.label())
    }
}

/// What kind of break-glass an operation is. Policy that lets one through must name its class.
///
/// The numbers are stored, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Mass or irreversible destruction.
    Destroy = 1,
    /// An attempt to go around a control: encoded payloads, route or identity overrides.
    Evasion = 2,
    /// Who may do what: roles, bindings, access keys, admission.
    Identity = 3,
    /// An interactive session or tunnel into a workload.
    Session = 4,
    /// Not understood.
    Unknown = 5,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::Destroy, Self::Evasion, Self::Identity, Self::Session, Self::Unknown];

    /// Returns the word used in policy files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Evasion => "evasion",
            Self::Identity => "identity",
            Self::Session => "session",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}
