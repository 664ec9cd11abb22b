//! A judgement in words and as data, for `iddio classify`.
//!
//! Every reason points into what was judged: the line that is shown, and where in it the words stand
//! that caused the tier. Operations come worst first, and exactly one reason is the deciding one.
//! What [`explanation`] returns holds foreign text as it is; what [`text()`] returns is fit for a
//! terminal. Nothing is decided here.

mod place;
mod text;

use iddio_core::{
    operation::{Names, Operation, OverrideKind, Span},
    text::RawText,
    tier::{Class, Tier},
};
use serde::Serialize;

use crate::command::Judged;
pub use text::text;

/// What was judged: where positions point into.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Text for a shell.
    Shell(&'a RawText),
    /// An argument vector. Positions are those of its words on one line, parted by spaces.
    Words(&'a [RawText]),
}

/// A judgement as `iddio classify --json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Explanation {
    /// The tier of the whole, 0 to 4: the greatest of its operations.
    pub tier: u8,
    /// Its word.
    pub label: &'static str,
    /// The class, at tier 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// The line that positions point into: the text for the shell, or the words.
    pub line: String,
    /// Everything that policy decides on, worst first.
    pub operations: Vec<ExplainedOperation>,
    /// Why, worst first: the deciding reason is the first.
    pub reasons: Vec<ExplainedReason>,
}

/// One operation: what one program does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ExplainedOperation {
    /// Its own tier.
    pub tier: u8,
    /// The word of that.
    pub label: &'static str,
    /// The class, at tier 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// Under whose rules it is decided.
    pub protocol: &'static str,
    /// The command in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its words.
    pub argv: Vec<String>,
    /// What overrides identity or route, and makes it break-glass unless policy grants it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<ExplainedOverride>,
    /// What it touches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<ExplainedScope>,
}

/// A reason.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ExplainedReason {
    /// The tier it alone gives.
    pub tier: u8,
    /// The catalog rule.
    pub rule: String,
    /// What it means.
    pub text: String,
    /// Which operation it is about, as its place in the list.
    pub operation: usize,
    /// The index in that operation's words of the one that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<u32>,
    /// Where it stands in the line, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<ExplainedSpan>,
    /// Whether it is the one that decides.
    pub decides: bool,
}

/// Where something stands, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ExplainedSpan {
    /// Its first byte.
    pub start: u32,
    /// The byte behind its last.
    pub end: u32,
}

/// An override.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ExplainedOverride {
    /// What sort: endpoint, profile, kubeconfig or env.
    pub kind: &'static str,
    /// Its value.
    pub value: String,
}

/// What is touched, of one kind.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ExplainedScope {
    /// The kind, as policy names it.
    pub key: &'static str,
    /// The names: `*` for all, `?` for what is not known.
    pub names: Vec<String>,
}

/// Explains a judgement of `subject`.
pub fn explanation(judged: &Judged, subject: Subject<'_>) -> Explanation {
    let operations = judged.operations();
    let operations = operations.worst_first();
    let mut reasons: Vec<ExplainedReason> = operations
        .iter()
        .enumerate()
        .flat_map(|(place, operation)| reasons(place, operation, subject))
        .collect();
    // Worst first; within a tier those of the worst operation, then in the order found.
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.tier));
    if let Some(first) = reasons.first_mut() {
        first.decides = true;
    }
    let tier = judged.tier();
    let class = operations.first().filter(|_| tier == Tier::BreakGlass);
    Explanation {
        tier: tier.number(),
        label: tier.label(),
        class: class.map(|operation| operation.native_class().name()),
        line: String::from_utf8_lossy(&place::line(subject)).into_owned(),
        operations: operations.into_iter().map(explained).collect(),
        reasons,
    }
}

fn explained(operation: &Operation) -> ExplainedOperation {
    let tier = operation.native_tier();
    ExplainedOperation {
        tier: tier.number(),
        label: tier.label(),
        class: class(tier, operation.native_class()),
        protocol: operation.protocol.name(),
        command: operation.description.command.clone(),
        argv: operation.description.argv.iter().map(shown).collect(),
        overrides: operation.overrides.iter().map(explained_override).collect(),
        scopes: operation.scopes.iter().map(|(key, names)| scope(key.name(), names)).collect(),
    }
}

fn class(tier: Tier, class: Class) -> Option<&'static str> {
    (tier == Tier::BreakGlass).then(|| class.name())
}

/// The reasons of one operation, and its overrides, which are reasons too.
fn reasons(place: usize, operation: &Operation, subject: Subject<'_>) -> Vec<ExplainedReason> {
    let span = |word, at| place::span(subject, operation, word, at).map(ExplainedSpan::from);
    let found = operation.reasons.iter().map(|reason| ExplainedReason {
        tier: reason.tier.number(),
        rule: reason.rule.clone(),
        text: reason.text.clone(),
        operation: place,
        word: reason.word,
        at: span(reason.word, reason.at),
        decides: false,
    });
    let overrides = operation.overrides.iter().map(|item| {
        let kind = override_kind(item.kind);
        let word = place::word_with(operation, &item.value);
        ExplainedReason {
            tier: Tier::BreakGlass.number(),
            rule: format!("override:{kind}"),
            text: format!("overrides the {kind}; only a grant of the policy permits it"),
            operation: place,
            word,
            at: span(word, None),
            decides: false,
        }
    });
    found.chain(overrides).collect()
}

fn explained_override(item: &iddio_core::operation::Override) -> ExplainedOverride {
    ExplainedOverride { kind: override_kind(item.kind), value: item.value.clone() }
}

fn override_kind(kind: OverrideKind) -> &'static str {
    match kind {
        OverrideKind::Endpoint => "endpoint",
        OverrideKind::Env => "environment",
        OverrideKind::Kubeconfig => "kubeconfig",
        OverrideKind::Profile => "profile",
    }
}

fn scope(key: &'static str, names: &Names) -> ExplainedScope {
    let names = match names {
        Names::Every => vec!["*".to_owned()],
        Names::Known(names) => names.clone(),
        Names::Unknown => vec!["?".to_owned()],
    };
    ExplainedScope { key, names }
}

fn shown(raw: &RawText) -> String {
    String::from_utf8_lossy(raw.as_bytes()).into_owned()
}

// === impl ExplainedSpan ===

impl From<Span> for ExplainedSpan {
    fn from(Span { start, end }: Span) -> Self {
        Self { start, end }
    }
}
