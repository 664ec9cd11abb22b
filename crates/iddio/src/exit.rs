//! How a run ends: an exit code, and the words that go with it.

use iddio_execd::client::{FindError, VisitError};
use iddio_runtime::{
    agents::AgentError, home::HomeError, identity::IdentityError, store::StoreError,
};

/// Why a verb did not do what it was asked. The exit codes are those of `sysexits.h`, where one
/// fits.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read stdout has gone, and needs no more. Exit 141, as if by the signal.
    Closed,
    /// The answer is no: a log that does not verify, a policy that does not load. Exit 1.
    No,
    /// Somebody may not do what they asked for. Exit 77.
    Refused(String, Option<String>),
    /// Asked wrongly. Exit 64.
    Usage(String, Option<String>),
    /// Something that is needed is not there. Exit 69.
    Unavailable(String, Option<String>),
}

/// How a verb ends.
pub(crate) type Ended = Result<u8, Failure>;

// === impl Failure ===

impl Failure {
    /// Returns the failure of something that is needed.
    pub(crate) fn unavailable(what: impl ToString) -> Self {
        Self::Unavailable(what.to_string(), None)
    }

    /// Returns the failure of something that may not be done.
    pub(crate) fn refused(what: impl ToString) -> Self {
        Self::Refused(what.to_string(), None)
    }

    /// Returns the failure of a question that was asked wrongly.
    pub(crate) fn usage(what: impl ToString) -> Self {
        Self::Usage(what.to_string(), None)
    }

    /// Adds what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Closed => Self::Closed,
            Self::No => Self::No,
            Self::Refused(what, _) => Self::Refused(what, Some(hint.into())),
            Self::Usage(what, _) => Self::Usage(what, Some(hint.into())),
            Self::Unavailable(what, _) => Self::Unavailable(what, Some(hint.into())),
        }
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Closed => CLOSED,
            Self::No => NO,
            Self::Refused(..) => REFUSED,
            Self::Usage(..) => USAGE,
            Self::Unavailable(..) => UNAVAILABLE,
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let hint = error.hint();
        Self::unavailable(error).hint(hint)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Name(_) => Self::usage(error),
            IdentityError::Store(error) => error.into(),
            IdentityError::Roll(reason) => Self::unavailable(reason),
        }
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Exists(_) | AgentError::Name(_) | AgentError::Unknown(_) => {
                Self::usage(error)
            }
            AgentError::Handover { .. } | AgentError::Random(_) => Self::unavailable(error),
            AgentError::Store(error) => error.into(),
        }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        Self::unavailable(error).hint("nothing runs without the exec broker of this host")
    }
}

impl From<VisitError> for Failure {
    fn from(error: VisitError) -> Self {
        match error {
            VisitError::Find(error) => error.into(),
            VisitError::Away(_) => {
                Self::unavailable(error).hint("the record says what became of the command")
            }
            VisitError::Ignore(_) | VisitError::Large { .. } => {
                let hint = error.hint();
                let failure = Self::usage(&error);
                hint.into_iter().fold(failure, |failure, hint| failure.hint(hint))
            }
            VisitError::System { .. } => Self::unavailable(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // Only streams are written without a word of their own about what failed.
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::unavailable(error),
        }
    }
}

/// Done.
pub(crate) const DONE: u8 = 0;

/// The answer is no.
const NO: u8 = 1;

/// `EX_USAGE`.
pub(crate) const USAGE: u8 = 64;

/// `EX_UNAVAILABLE`.
pub(crate) const UNAVAILABLE: u8 = 69;

/// `EX_NOPERM`.
pub(crate) const REFUSED: u8 = 77;

/// What a shell reports of a program that `SIGPIPE` ended.
const CLOSED: u8 = 128 + 13;
