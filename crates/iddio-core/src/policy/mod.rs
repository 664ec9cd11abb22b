//! What policy says.
//!
//! Evaluation is pure and cannot fail: an evaluator that meets an error answers
//! [`Verdict::Deny`]. That is why nothing here returns a `Result` and there is no `?` for an error
//! to leave by. The native engine is [`engine`]; the words of a policy file become its types in
//! `iddio-policy`.

pub mod engine;
pub mod pattern;
pub mod runbook;

use std::sync::Arc;

use crate::{
    BoxFuture,
    approval::Assurance,
    audit::Durability,
    digest::{Canonical, Digest, Encoder},
    operation::Operation,
    principal::Principal,
    tier::Tier,
    time::Moment,
};

/// Decides, from values alone.
pub trait PolicyEvaluator: Send + Sync {
    /// Decides one operation.
    ///
    /// A remote evaluator that is unreachable, slow or wrong answers with a denial.
    fn evaluate<'a>(&'a self, query: &Query<'a>) -> Evaluation<'a>;

    /// Returns the digest of the policy in force, which every record carries.
    fn version(&self) -> Digest;
}

/// A decision, now or later.
pub enum Evaluation<'a> {
    /// The native engine decides at once and allocates nothing.
    Now(Decision),
    /// A remote evaluator takes its time.
    Later(BoxFuture<'a, Decision>),
}

/// Everything a policy may look at.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What is asked.
    pub operation: &'a Operation,
    /// When it is asked.
    pub now: Moment,
}

/// A verdict and where it came from.
#[derive(Clone, Debug)]
#[must_use]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// The tier policy judged the operation at. A runbook may make it less than the native tier;
    /// the pipeline refuses if it is more, or if [`Tier::BreakGlass`] was lowered at all.
    pub effective: Tier,
    /// What became of the operation's overrides.
    pub overrides: OverrideVerdict,
    /// The rule that decided, for people and records: `claude-code / terraform / tier 2`.
    pub rule: Arc<str>,
    /// The runbook that lowered the tier, if one did.
    pub runbook: Option<Arc<str>>,
    /// Why, where the rule alone does not say: an unknown agent, a default.
    pub reason: Option<Arc<str>>,
    /// What must also be kept.
    pub obligations: Arc<Obligations>,
    /// The policy that holds the rule.
    pub policy: Digest,
}

/// What policy wants done. The numbers are hashed, so a number is never reused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Verdict {
    /// Forward.
    Allow = 1,
    /// Refuse.
    Deny = 2,
    /// Ask a human first.
    Escalate = 3,
}

/// What became of the settings that override identity or route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OverrideVerdict {
    /// The deciding rule grants every one of them.
    Granted = 1,
    /// They are held against the operation, or there are none.
    Held = 2,
}

/// What must be kept besides the verdict. Stricter is always greater, so two sets are joined field
/// by field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Obligations {
    /// The groups whose members may answer. Empty: any operator who is not excluded.
    pub approvers: Vec<String>,
    /// How many different humans must say yes. 0: as many as the tier and class ask for.
    pub required_approvers: u8,
    /// Whether even the root human of the chain is excluded below T3.
    pub four_eyes: FourEyes,
    /// The least assurance a grant must have.
    pub assurance: Assurance,
    /// Milliseconds an ask waits before it lapses. `None`: the channel's own default.
    pub ask_millis: Option<u64>,
    /// Where to tell people about asks. Sorted, so that joining is idempotent.
    pub notify: Vec<String>,
    /// Milliseconds an allowed operation may run. `None`: the tool's own.
    pub run_millis_max: Option<u64>,
    /// How much is recorded.
    pub record: Recorded,
    /// How durable a record must be, whatever the tier says.
    pub durability: Option<Durability>,
    /// Whether a credential may be used more than once.
    pub credential: CredentialReuse,
    /// Whether one yes may serve like asks (a bounded ticket).
    pub shared_approval: SharedApproval,
    /// A check to run after the operation, by name.
    pub verify: Option<String>,
}

/// Whether the human an agent works for may approve it below T3.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum FourEyes {
    /// The root human may approve.
    Waived = 1,
    /// Somebody else must.
    Required = 2,
}

/// How much of an operation is recorded.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Recorded {
    /// The records alone.
    Metadata = 1,
    /// The records and what flowed.
    Full = 2,
}

/// How often a credential may be used.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum CredentialReuse {
    /// As the gateway does by default.
    Default = 1,
    /// Reused within its lifetime.
    Reuse = 2,
    /// Minted for each request.
    PerRequest = 3,
}

/// Whether one yes may serve like asks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SharedApproval {
    /// An approver may grant a bounded ticket.
    Permitted = 1,
    /// Every ask is answered by itself.
    Forbidden = 2,
}

// === impl Decision ===

impl Decision {
    /// Joins the decisions on two operations of one action: Deny beats Escalate beats Allow, the
    /// greater tier names the rule, obligations add up.
    pub fn join(self, other: Self) -> Self {
        let obligations = match Arc::ptr_eq(&self.obligations, &other.obligations) {
            true => self.obligations.clone(),
            false => Arc::new(self.obligations.join(&other.obligations)),
        };
        let weight = |decision: &Self| (decision.verdict.strictness(), decision.effective);
        let effective = self.effective.join(other.effective);
        let overrides = match (self.overrides, other.overrides) {
            (OverrideVerdict::Granted, _) | (_, OverrideVerdict::Granted) => {
                OverrideVerdict::Granted
            }
            (OverrideVerdict::Held, OverrideVerdict::Held) => OverrideVerdict::Held,
        };
        let winner = if weight(&self) < weight(&other) { other } else { self };
        Self { effective, overrides, obligations, ..winner }
    }

    /// Whether a yes given under `self` still stands under `fresh`, decided after policy moved
    /// (design decision 4): not a denial, and neither tier, obligations nor approvers stricter.
    pub fn covers(&self, fresh: &Self) -> bool {
        match fresh.verdict {
            Verdict::Deny => false,
            Verdict::Allow => fresh.effective <= self.effective,
            Verdict::Escalate => {
                fresh.effective <= self.effective
                    && self.obligations.join(&fresh.obligations) == *self.obligations
            }
        }
    }
}

impl Canonical for Decision {
    fn encode(&self, encoder: &mut Encoder) {
        let Self { verdict, effective, overrides, rule, runbook, reason, obligations, policy } =
            self;
        encoder.tag(*verdict as u8);
        encoder.tag(*effective as u8);
        encoder.tag(*overrides as u8);
        encoder.text(rule);
        encoder.text(runbook.as_deref().unwrap_or_default());
        encoder.text(reason.as_deref().unwrap_or_default());
        obligations.encode(encoder);
        encoder.digest(*policy);
    }
}

// === impl Verdict ===

impl Verdict {
    /// Returns the word used in policy files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Escalate => "escalate",
        }
    }

    /// Returns 0 for the most permissive verdict and 2 for the strictest.
    pub const fn strictness(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Escalate => 1,
            Self::Deny => 2,
        }
    }
}

// === impl Obligations ===

impl Obligations {
    /// The obligations of a rule that names none.
    pub const NONE: Self = Self {
        approvers: Vec::new(),
        required_approvers: 0,
        four_eyes: FourEyes::Waived,
        assurance: Assurance::None,
        ask_millis: None,
        notify: Vec::new(),
        run_millis_max: None,
        record: Recorded::Metadata,
        durability: None,
        credential: CredentialReuse::Default,
        shared_approval: SharedApproval::Permitted,
        verify: None,
    };

    /// Returns the obligations that satisfy both.
    ///
    /// Approver groups: where both name some, only those named by both may answer; if none is,
    /// the impossible group `""` remains, which has no members.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self {
            approvers: both(&self.approvers, &other.approvers),
            required_approvers: self.required_approvers.max(other.required_approvers),
            four_eyes: self.four_eyes.max(other.four_eyes),
            assurance: self.assurance.max(other.assurance),
            ask_millis: least(self.ask_millis, other.ask_millis),
            notify: union(&self.notify, &other.notify),
            run_millis_max: least(self.run_millis_max, other.run_millis_max),
            record: self.record.max(other.record),
            durability: self.durability.max(other.durability),
            credential: self.credential.max(other.credential),
            shared_approval: self.shared_approval.max(other.shared_approval),
            verify: self.verify.clone().or_else(|| other.verify.clone()),
        }
    }
}

impl Canonical for Obligations {
    fn encode(&self, encoder: &mut Encoder) {
        let Self {
            approvers,
            required_approvers,
            four_eyes,
            assurance,
            ask_millis,
            notify,
            run_millis_max,
            record,
            durability,
            credential,
            shared_approval,
            verify,
        } = self;
        encoder.list(approvers);
        encoder.tag(*required_approvers);
        encoder.tag(*four_eyes as u8);
        encoder.tag(*assurance as u8);
        encoder.int(ask_millis.map_or(0, |millis| u128::from(millis) + 1));
        encoder.list(notify);
        encoder.int(run_millis_max.map_or(0, |millis| u128::from(millis) + 1));
        encoder.tag(*record as u8);
        encoder.tag(durability.map_or(0, |durability| durability as u8));
        encoder.tag(*credential as u8);
        encoder.tag(*shared_approval as u8);
        encoder.option(verify.as_ref());
    }
}

fn both(one: &[String], other: &[String]) -> Vec<String> {
    match (one, other) {
        ([], named) | (named, []) => named.to_vec(),
        (one, other) => {
            let shared: Vec<_> = one.iter().filter(|name| other.contains(name)).cloned().collect();
            if shared.is_empty() { vec![String::new()] } else { shared }
        }
    }
}

fn union(one: &[String], other: &[String]) -> Vec<String> {
    let mut all: Vec<_> = one.iter().chain(other).cloned().collect();
    all.sort();
    all.dedup();
    all
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
