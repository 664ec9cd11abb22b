//! A judgement in words and as data, for `iddio classify`.
//!
//! Text comes from whoever wrote the command line: the one who shows it takes out what steers a
//! terminal. Nothing is decided here.

use iddio_core::{
    operation::{Names, Operation},
    text::RawText,
    tier::Tier,
};
use serde::Serialize;

use crate::command::Judged;

/// A judgement as `iddio classify --json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Explanation {
    /// The tier, 0 to 4.
    pub tier: u8,
    /// Its word.
    pub label: &'static str,
    /// The class, at tier 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// Under whose rules it is decided.
    pub protocol: &'static str,
    /// The command in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Why, in the order found.
    pub reasons: Vec<ExplainedReason>,
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
    /// The index of the word that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<u32>,
    /// Whether it is the first of the greatest tier.
    pub decides: bool,
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

/// Explains a judgement.
pub fn explanation(judged: &Judged) -> Explanation {
    let operation = &judged.operation;
    let tier = operation.native_tier();
    let greatest = operation.reasons.iter().map(|reason| reason.tier).max();
    let mut decided = operation.tier < tier;
    let reasons = operation
        .reasons
        .iter()
        .map(|reason| {
            let decides = !decided && Some(reason.tier) == greatest;
            decided |= decides;
            ExplainedReason {
                tier: reason.tier.number(),
                rule: reason.rule.clone(),
                text: reason.text.clone(),
                word: reason.word,
                decides,
            }
        })
        .collect();
    Explanation {
        tier: tier.number(),
        label: tier.label(),
        class: (tier == Tier::BreakGlass).then(|| operation.native_class().name()),
        protocol: operation.protocol.name(),
        command: operation.description.command.clone(),
        reasons,
        overrides: overrides(operation),
        scopes: operation.scopes.iter().map(|(key, names)| scope(key.name(), names)).collect(),
    }
}

/// Lines of text: the tier, then a line for every reason, the deciding one marked.
///
/// The first column is what the reason is about: the command, or the words it points at.
pub fn text(judged: &Judged) -> Vec<String> {
    let explanation = explanation(judged);
    let argv = &judged.operation.description.argv;
    let subject = |word: Option<u32>| {
        let whole = || explanation.command.clone().unwrap_or_default();
        word.map_or_else(whole, |word| {
            let raw = usize::try_from(word).ok().and_then(|word| argv.get(word));
            raw.map_or_else(whole, shown)
        })
    };
    let mut rows: Vec<(String, u8, String, bool)> = explanation
        .reasons
        .iter()
        .map(|reason| {
            let text = format!("{} ({})", reason.text, reason.rule);
            (subject(reason.word), reason.tier, text, reason.decides)
        })
        .collect();
    rows.extend(explanation.overrides.iter().enumerate().map(|(place, item)| {
        let text = format!("overrides the {}; only a grant of the policy permits it", item.kind);
        let decides = place == 0 && judged.operation.tier < Tier::BreakGlass;
        (item.value.clone(), Tier::BreakGlass.number(), text, decides)
    }));
    let width = rows.iter().map(|(subject, ..)| subject.chars().count()).max().unwrap_or(0);
    let width = width.min(COLUMN_WIDTH_MAX);
    let head = match explanation.class {
        Some(class) => format!("T{} {} ({class})", explanation.tier, explanation.label),
        None => format!("T{} {}", explanation.tier, explanation.label),
    };
    let line = |(subject, tier, text, decides): (String, u8, String, bool)| {
        let mark = if decides { "  <- decides" } else { "" };
        format!("  {subject:<width$}  T{tier}  {text}{mark}")
    };
    std::iter::once(head).chain(rows.into_iter().map(line)).collect()
}

fn overrides(operation: &Operation) -> Vec<ExplainedOverride> {
    use iddio_core::operation::OverrideKind;
    let name = |kind| match kind {
        OverrideKind::Endpoint => "endpoint",
        OverrideKind::Env => "env",
        OverrideKind::Kubeconfig => "kubeconfig",
        OverrideKind::Profile => "profile",
    };
    operation
        .overrides
        .iter()
        .map(|item| ExplainedOverride { kind: name(item.kind), value: item.value.clone() })
        .collect()
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

/// The widest first column: a longer subject pushes its own line only.
const COLUMN_WIDTH_MAX: usize = 48;
