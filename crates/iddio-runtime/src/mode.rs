//! How decisions are taken on what runs within something larger: as policy says, or to look at policy.
//!
//! - [`Mode::Enforce`]: what policy says happens.
//! - [`Mode::Observe`]: what policy would refuse or ask about is allowed, up to tier 3, and the record says that it
//!   would have been refused or asked about. Tier 4 is decided as policy says: what is irreversible for many, an
//!   evasion, or not understood, teaches nothing by happening.
//! - [`Mode::Shadow`]: nothing is forwarded; the record says what policy would have done.
//!
//! INVARIANT: a record never states as policy's verdict what was not; the rule and the reason name the mode. Freezes
//! hold in every mode. A name that nobody proved, and a home without a policy that loads, are refused in every mode.

use std::sync::Arc;

use iddio_core::{
    digest::Digest,
    policy::{Decision, Evaluation, PolicyEvaluator, Query, Verdict},
    principal::Proof,
    tier::Tier,
};

use crate::policy::{HomePolicy, InForce};

/// How decisions are taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// As policy says.
    #[default]
    Enforce,
    /// What policy would refuse is allowed, and recorded as what it is.
    Observe,
    /// Nothing is forwarded.
    Shadow,
}

/// A policy, looked at in some mode.
pub(crate) struct Looked {
    inner: Arc<HomePolicy>,
    mode: Mode,
}

// === impl Mode ===

impl Mode {
    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Shadow => "shadow",
        }
    }

    /// Returns `policy` as it decides in this mode.
    pub(crate) fn over(self, policy: Arc<HomePolicy>) -> Arc<dyn PolicyEvaluator> {
        match self {
            Self::Enforce => policy,
            Self::Observe | Self::Shadow => Arc::new(Looked { inner: policy, mode: self }),
        }
    }

    fn turn(self, decision: Decision) -> Decision {
        let verdict = match (self, decision.verdict) {
            (Self::Enforce, _) | (Self::Observe, Verdict::Allow) => return decision,
            (Self::Observe, _) if decision.effective == Tier::BreakGlass => return decision,
            (Self::Observe, Verdict::Deny | Verdict::Escalate) => Verdict::Allow,
            (Self::Shadow, _) => Verdict::Deny,
        };
        let word = match decision.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Escalate => "escalate",
        };
        let why = decision.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let reason = format!("{}: policy would {word}{why}", self.name());
        let rule = format!("{} over {}", self.name(), decision.rule);
        Decision { verdict, rule: rule.into(), reason: Some(reason.into()), ..decision }
    }
}

// === impl Looked ===

impl PolicyEvaluator for Looked {
    fn evaluate<'a>(&'a self, query: &Query<'a>) -> Evaluation<'a> {
        let bound = self.mode == Mode::Observe
            && (query.principal.proof == Proof::Claimed
                || matches!(self.inner.in_force(), InForce::None { .. }));
        match self.inner.evaluate(query) {
            // Nobody is let through on a name alone, or without a policy.
            decided if bound => decided,
            Evaluation::Now(decision) => Evaluation::Now(self.mode.turn(decision)),
            Evaluation::Later(later) => {
                Evaluation::Later(Box::pin(async move { self.mode.turn(later.await) }))
            }
        }
    }

    fn version(&self) -> Digest {
        self.inner.version()
    }
}

#[cfg(test)]
mod tests {
    use iddio_core::policy::{Obligations, OverrideVerdict};

    use super::*;

    fn decision(verdict: Verdict, effective: Tier) -> Decision {
        Decision {
            verdict,
            effective,
            overrides: OverrideVerdict::Held,
            rule: "r".into(),
            runbook: None,
            reason: None,
            obligations: Arc::new(Obligations::NONE),
            policy: Digest::from_bytes([0; 32]),
        }
    }

    #[test]
    fn what_a_mode_makes_of_a_verdict_is_said_in_the_record() {
        use Verdict::{Allow, Deny, Escalate};
        for (mode, verdict, tier, becomes) in [
            (Mode::Enforce, Deny, Tier::Modify, Deny),
            (Mode::Observe, Allow, Tier::Modify, Allow),
            (Mode::Observe, Deny, Tier::Sensitive, Allow),
            (Mode::Observe, Escalate, Tier::Modify, Allow),
            (Mode::Observe, Deny, Tier::BreakGlass, Deny),
            (Mode::Observe, Escalate, Tier::BreakGlass, Escalate),
            (Mode::Shadow, Allow, Tier::Observe, Deny),
            (Mode::Shadow, Escalate, Tier::Modify, Deny),
            (Mode::Shadow, Deny, Tier::BreakGlass, Deny),
        ] {
            let turned = mode.turn(decision(verdict, tier));
            assert_eq!(turned.verdict, becomes, "{mode:?} {verdict:?} {tier:?}");
            let said = turned.reason.is_some_and(|reason| reason.starts_with(mode.name()));
            let differs = mode == Mode::Shadow || becomes != verdict;
            assert_eq!(said, differs, "{mode:?} {verdict:?} {tier:?}");
        }
    }
}
