//! Programs within a command line whose surroundings nobody prepares.
//!
//! A low tier of many tools is a claim about a prepared run: an environment of its own, settings
//! that were looked at, inputs that were sealed. A gateway prepares the program that it starts; what
//! that program runs in turn gets none of it, so that the claim does not hold (product contract:
//! without it a command is tier 3).
//!
//! It says nothing about programs that need no preparation: those stay as judged.

use std::sync::LazyLock;

use iddio_core::{
    operation::{Pattern, Reason},
    tier::{Class, Tier},
};

use super::{
    Judged,
    line::Line,
    plan::{self, EnvironmentValue, RunPlan},
};
use crate::catalog::format::Environment;

/// Raises what would have to be prepared, and keeps runbooks for prepared runs from covering it.
pub(super) fn raise(mut judged: Judged, line: &Line) -> Judged {
    if !needs_preparation(&judged.plan) {
        return judged;
    }
    let operation = &mut judged.operation;
    operation.pattern = Pattern::Unmatchable;
    if operation.tier < Tier::Sensitive {
        let text = "another program runs it, so that its surroundings are not made safe: give it \
                    to iddio exec by itself";
        let (rule, text) = ("program:unprepared".to_owned(), text.to_owned());
        let at = line.words.first().and_then(|word| word.span);
        let reason = Reason { tier: Tier::Sensitive, rule, text, word: Some(0), at };
        judged.raise(reason, Class::Unknown);
    }
    judged
}

/// Whether a run of it would be prepared by more than what every program gets, those that run others
/// among them, and by more than variables which are empty: those are not passed on anyway.
fn needs_preparation(plan: &RunPlan) -> bool {
    let RunPlan { environment, inputs, neutralise, needs, staged, .. } = plan;
    let empty = EnvironmentValue::Text(String::new());
    let own = |set: &&(String, EnvironmentValue)| set.1 != empty && !COMMON.contains(set);
    let sets = environment.set.iter().any(|set| own(&set));
    sets || !inputs.is_empty() || !neutralise.is_empty() || !needs.is_empty() || staged.is_some()
}

/// What a catalog sets that says nothing about it.
static COMMON: LazyLock<Vec<(String, EnvironmentValue)>> = LazyLock::new(|| {
    let common = Environment::default().set.into_iter();
    common.map(|(name, value)| (name, plan::set_to(&value))).collect()
});
