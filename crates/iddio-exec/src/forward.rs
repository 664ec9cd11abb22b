//! Starts the child and stays with it to the end.

use std::time::Duration;

use iddio_core::{
    audit::{End, Outcome},
    freeze::Hold,
};
use iddio_runtime::freezes::Watch;
use iddio_spawn::{Ended, Limits, Output, RunTime, SpawnError, Status, WaitError};

use crate::{
    hand::{CredentialOf, Hand, Run},
    operation::CommandAction,
};

/// Why there is no end to report.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The caller was frozen before anything was started.
    #[error("{}", .0.reason())]
    Frozen(Hold),
    /// Nothing was started.
    #[error(transparent)]
    NotStarted(#[from] SpawnError),
    /// It could not be confined, and nothing was started.
    #[error("the command could not be confined: {0}")]
    NotConfined(String),
    /// Its caller went away while it ran, and took it along.
    #[error("its caller went away, and all of it was ended")]
    Left,
    /// The child was started and then lost sight of.
    #[error("the command was started and could not be waited for: {0}")]
    Lost(#[from] WaitError),
}

/// Runs the action in `hand` with its standard output going to `stdout`, for no longer than the action's
/// own limit and `millis_max`, and ends it once `watch` says that its caller is frozen.
///
/// # Errors
///
/// When nothing could be started, the caller went away, or the system lost the child.
pub fn run<H: Hand>(
    hand: &mut H,
    action: &CommandAction,
    credential: CredentialOf<H::Minter>,
    stdout: Output,
    millis_max: Option<u64>,
    watch: &Watch,
) -> Result<Ended, ForwardError> {
    if let Some(hold) = watch.hold() {
        return Err(ForwardError::Frozen(hold));
    }
    let limits = shortened(action.material.limits, millis_max);
    hand.run(Run { action, stdout, limits, watch }, credential)
}

/// Returns the shorter of the tool's own limit and what policy lets it have.
fn shortened(limits: Limits, millis_max: Option<u64>) -> Limits {
    let Some(policy) = millis_max.map(Duration::from_millis) else { return limits };
    let run_time = match limits.run_time {
        RunTime::AtMost(own) => RunTime::AtMost(own.min(policy)),
        RunTime::Unlimited => RunTime::AtMost(policy),
    };
    Limits { run_time, ..limits }
}

/// Returns the code that `iddio exec` ends with: the child's own, but for what a freeze ended.
pub fn exit_code(ended: &Ended) -> u8 {
    match ended.status {
        Status::Cancelled => REFUSED,
        status => status.exit_code(),
    }
}

/// Returns the end that the record states.
pub fn end(ended: &Ended) -> End {
    let outcome = match ended.status {
        // Only a freeze cancels.
        Status::Cancelled => Outcome::Frozen,
        Status::TimedOut => Outcome::TimedOut,
        Status::Exited(_) | Status::Signalled(_) | Status::TooMuchOutput => Outcome::Forwarded,
    };
    let stragglers = ended.stragglers;
    let note = (0 < stragglers.outlived).then(|| {
        let (outlived, remaining) = (stragglers.outlived, stragglers.remaining);
        format!("{outlived} processes outlived the command and were ended; {remaining} remain")
    });
    End {
        exit_code: Some(exit_code(ended)),
        duration_ms: Some(u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX)),
        note,
        ..End::of(outcome)
    }
}

/// How long a run has between being asked to end and being killed once its caller is frozen. Shorter
/// than when time runs out: whoever freezes wants it over, and what is not over by then has not heard.
pub const FREEZE_GRACE: Duration = Duration::from_secs(3);

/// `EX_NOPERM`, as for a refusal.
const REFUSED: u8 = 77;
