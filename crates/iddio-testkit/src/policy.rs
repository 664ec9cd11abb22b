//! A policy that says what the test tells it to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use iddio_core::{
    digest::Digest,
    policy::{Decision, Evaluation, Obligations, OverrideVerdict, PolicyEvaluator, Query, Verdict},
    tier::Tier,
};

use crate::lock;

type Rule = Box<dyn Fn(&Query<'_>) -> Decision + Send + Sync>;

/// A policy made of one closure, which can be exchanged while requests wait.
pub struct ScriptedPolicy {
    rule: Mutex<Rule>,
    asked: AtomicUsize,
}

// === impl ScriptedPolicy ===

impl ScriptedPolicy {
    /// Decides by `rule`.
    pub fn new(rule: impl Fn(&Query<'_>) -> Decision + Send + Sync + 'static) -> Self {
        Self { rule: Mutex::new(Box::new(rule)), asked: AtomicUsize::new(0) }
    }

    /// Says `verdict` to everything, at its native tier.
    pub fn always(verdict: Verdict) -> Self {
        Self::new(move |query| decision(verdict, query.operation.native_tier()))
    }

    /// Allows everything, at `tier`, whatever was asked.
    pub fn allows_at(tier: Tier) -> Self {
        Self::new(move |_| decision(Verdict::Allow, tier))
    }

    /// Says each of `decisions` in turn, and the last for ever.
    pub fn in_turn(decisions: Vec<Decision>) -> Self {
        let next = AtomicUsize::new(0);
        Self::new(move |_| {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let last = decisions.len().saturating_sub(1);
            decisions.get(turn.min(last)).cloned().expect("a decision")
        })
    }

    /// Puts another rule in force.
    pub fn reload(&self, rule: impl Fn(&Query<'_>) -> Decision + Send + Sync + 'static) {
        *lock(&self.rule) = Box::new(rule);
    }

    /// Returns how often it was consulted.
    pub fn consulted(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl PolicyEvaluator for ScriptedPolicy {
    fn evaluate<'a>(&'a self, query: &Query<'a>) -> Evaluation<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Evaluation::Now(lock(&self.rule)(query))
    }

    fn version(&self) -> Digest {
        Digest::of_bytes(b"scripted")
    }
}

/// Returns a decision with nothing else in it.
pub fn decision(verdict: Verdict, effective: Tier) -> Decision {
    Decision {
        verdict,
        effective,
        overrides: OverrideVerdict::Held,
        rule: Arc::from("scripted"),
        runbook: None,
        reason: None,
        obligations: Arc::new(Obligations::NONE),
        policy: Digest::of_bytes(b"scripted"),
    }
}
