//! The one place that words a denial.
//!
//! A refusal is made from a `Rejection`, which exists only once the refusal is durable. It says what,
//! why, which rule, where it is recorded and what would be allowed; every foreign text in it is
//! sanitised.

use iddio_core::{
    audit::Refusal,
    operation::{Operation, Operations, Span},
    pipeline::Rejection,
    policy::{Decision, Verdict},
    sanitise,
    tier::Tier,
};
use serde_json::{Value, json};

/// What there is to say about a refusal.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The tier it was judged at.
    pub tier: Tier,
    /// The command in a few words.
    pub command: String,
    /// Why it has that tier, in the words of the deciding reason.
    pub because: String,
    /// Where the words stand that gave it that tier.
    pub at: Option<At>,
    /// The other operations that are more than reads, worst first, each with its reason.
    pub also: Vec<String>,
    /// Why it was refused, where policy's rule alone does not say.
    pub refusal: String,
    /// The rule that decided.
    pub rule: String,
    /// The operation, whose records can be looked up.
    pub record: String,
    /// The ask, if a human was asked.
    pub ask: Option<String>,
    /// Whether asking again can help: nobody answered, or the ask was withdrawn.
    pub retry: Retry,
    /// What would be allowed instead.
    pub instead: Vec<String>,
}

/// Where the word stands that decided.
#[derive(Clone, Debug)]
pub struct At {
    /// The word.
    pub word: String,
    /// Its index in the words of its operation.
    pub index: u32,
    /// Where it stands in the text for a shell, if there is one.
    pub span: Option<Span>,
}

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// The same answer would come.
    Useless,
    /// Another answer may come.
    Useful,
}

impl Refused {
    /// Puts a rejection in words. `operation` is the one that the rule is about, `said` what the
    /// approver said, if anything.
    pub fn from_rejection(
        rejection: &Rejection,
        operation: &Operation,
        ask: Option<String>,
        said: Option<String>,
        instead: Vec<String>,
    ) -> Self {
        let record = rejection.record();
        let decision = &record.decision;
        let refusal = match (rejection.reason(), said) {
            (Refusal::Approver, Some(said)) => format!("an approver refused it: {said}"),
            (Refusal::Frozen | Refusal::Policy, _) => {
                decision.reason.as_deref().unwrap_or("policy denies it").to_owned()
            }
            (reason, _) => reason.to_string(),
        };
        Self {
            tier: decision.effective,
            command: line(&command(operation)),
            because: line(&because(operation)),
            at: at(operation),
            also: also(&record.subject.operations, operation),
            refusal: line(&refusal),
            rule: line(&rule(decision)),
            record: rejection.receipt().id().to_string(),
            ask,
            retry: retry(rejection.reason()),
            instead: instead.iter().map(|text| line(text)).collect(),
        }
    }

    /// Returns the lines for people. The first begins with `refused`.
    pub fn lines(&self) -> Vec<String> {
        let Self { tier, command, because, at, also, refusal, rule, record, instead, .. } = self;
        let record = record.get(..RECORD_SHOWN).unwrap_or(record);
        let mut lines = vec![format!("refused  {tier}  {command}: {because}")];
        if let Some(At { word, index: _, span: Some(Span { start, end }) }) = at {
            lines.push(format!("  at     `{word}`, bytes {start}..{end}"));
        }
        lines.extend(also.iter().take(ALSO_SHOWN).map(|also| format!("  also   {also}")));
        if ALSO_SHOWN < also.len() {
            lines.push(format!("  also   {} more", also.len() - ALSO_SHOWN));
        }
        lines.push(format!("  why    {refusal}"));
        lines.push(format!("  rule   {rule}  record {record}"));
        lines.extend(instead.iter().map(|instead| format!("  hint:  {instead}")));
        lines
    }

    /// Returns the one line for programs.
    pub fn json(&self) -> Value {
        let Self { tier, command, because, at, also, refusal, rule, record, ask, retry, instead } =
            self;
        let span = |span: Span| json!({"start": span.start, "end": span.end});
        let at = at
            .as_ref()
            .map(|at| json!({"word": at.index, "text": at.word, "at": at.span.map(span)}));
        json!({"refused": {
            "tier": tier.number(),
            "tier_label": tier.label(),
            "command": command,
            "because": because,
            "cause": at,
            "also": also,
            "refusal": refusal,
            "rule": rule,
            "record": record,
            "ask": ask,
            "retry": *retry == Retry::Useful,
            "allowed_instead": instead,
        }})
    }
}

/// Returns the command of an operation in a few words.
pub fn command(operation: &Operation) -> String {
    operation.description.command.clone().unwrap_or_else(|| "a command".to_owned())
}

/// Returns the text of the reason that gave an operation its tier.
pub fn because(operation: &Operation) -> String {
    let decisive = operation.deciding_reason();
    decisive.map_or_else(|| "unknown".to_owned(), |reason| reason.text.clone())
}

/// Returns where the word stands that gave an operation its tier.
fn at(operation: &Operation) -> Option<At> {
    let reason = operation.deciding_reason()?;
    let index = reason.word?;
    let word = operation.description.argv.get(usize::try_from(index).ok()?)?;
    Some(At { word: sanitise::line(word.as_bytes()), index, span: reason.at })
}

/// Returns what else would have been done, but for reads, worst first.
fn also(operations: &Operations, shown: &Operation) -> Vec<String> {
    let others = operations.worst_first().into_iter();
    let others = others.filter(|operation| !std::ptr::eq(*operation, shown));
    let others = others.filter(|operation| Tier::Observe < operation.native_tier());
    let told = |operation: &Operation| {
        let (tier, command) = (operation.native_tier().number(), command(operation));
        line(&format!("T{tier} {command}: {}", because(operation)))
    };
    others.map(told).collect()
}

/// Says what the rule that refused an operation lets through: tiers that run, tiers that ask.
pub fn instead(operation: &Operation, verdict: impl Fn(Tier) -> Verdict) -> Vec<String> {
    let tiers = |wanted: Verdict| {
        let these = Tier::ALL.into_iter().filter(|tier| *tier != Tier::BreakGlass);
        let these = these.filter(|tier| verdict(*tier) == wanted);
        these.map(|tier| format!("T{}", tier.number())).collect::<Vec<_>>().join(" ")
    };
    let (runs, asks) = (tiers(Verdict::Allow), tiers(Verdict::Escalate));
    let protocol = operation.protocol.name();
    let mut lines = hint(operation).into_iter().collect::<Vec<_>>();
    lines.push(match (runs.is_empty(), asks.is_empty()) {
        (true, true) => format!("nothing of {protocol} is allowed to this caller here"),
        (false, true) => format!("{protocol}: {runs} runs"),
        (true, false) => format!("{protocol}: {asks} asks a human"),
        (false, false) => format!("{protocol}: {runs} runs, {asks} asks a human"),
    });
    lines
}

/// Returns the narrower command that could be approved, for commands that have one.
fn hint(operation: &Operation) -> Option<String> {
    let destroys =
        operation.reasons.iter().any(|reason| reason.rule.starts_with("terraform:destroy"));
    destroys.then(|| {
        "a saved plan that destroys one resource is T3 and can be approved: terraform plan -destroy -target=… -out=p".to_owned()
    })
}

fn rule(decision: &Decision) -> String {
    match &decision.runbook {
        Some(runbook) => format!("{} (runbook {runbook})", decision.rule),
        None => decision.rule.to_string(),
    }
}

fn retry(reason: Refusal) -> Retry {
    match reason {
        Refusal::Lapse | Refusal::Withdrawn | Refusal::PolicyMoved | Refusal::Grant(_) => {
            Retry::Useful
        }
        Refusal::Approver | Refusal::Frozen | Refusal::Misjudged | Refusal::Policy => {
            Retry::Useless
        }
    }
}

fn line(text: &str) -> String {
    sanitise::line(text.as_bytes())
}

/// How many further operations people are shown. All of them are in the JSON.
const ALSO_SHOWN: usize = 5;

/// How many digits of a record's id people are shown: enough to paste, unique in any log.
const RECORD_SHOWN: usize = 12;
