//! An explanation as lines for people.
//!
//! INVARIANT: every foreign text in it went through [`sanitise`] here, once; no line holds a control
//! byte.

use iddio_core::sanitise;

use super::{ExplainedOperation, ExplainedReason, Explanation, Subject, explanation, place};
use crate::command::Judged;

/// Lines of text: the tier; the line that was judged, with the words underlined that decide; then,
/// worst first, every operation with its reasons.
pub fn text(judged: &Judged, subject: Subject<'_>) -> Vec<String> {
    let explanation = explanation(judged, subject);
    let mut lines = vec![match explanation.class {
        Some(class) => format!("T{} {} ({class})", explanation.tier, explanation.label),
        None => format!("T{} {}", explanation.tier, explanation.label),
    }];
    lines.extend(window(&place::line(subject), explanation.reasons.first()));
    let many = explanation.operations.len();
    for (place, operation) in explanation.operations.iter().take(OPERATIONS_SHOWN_MAX).enumerate() {
        lines.extend(block(&explanation, place, operation));
    }
    if OPERATIONS_SHOWN_MAX < many {
        let more = many - OPERATIONS_SHOWN_MAX;
        lines.push(format!("  … and {more} more, none of them worse"));
    }
    lines
}

/// One operation: its tier and words, then a line for each of its reasons.
fn block(explanation: &Explanation, place: usize, operation: &ExplainedOperation) -> Vec<String> {
    let own = |reason: &&ExplainedReason| reason.operation == place;
    let reasons: Vec<_> = explanation.reasons.iter().filter(own).collect();
    let shown = match operation.argv.is_empty() {
        true => operation.command.clone().unwrap_or_default(),
        false => operation.argv.join(" "),
    };
    let shown = sanitise::clip_line(shown.as_bytes(), COMMAND_COLUMNS);
    let cut = if 0 < shown.omitted { "…" } else { "" };
    let tier = match operation.class {
        Some(class) => format!("T{} {class}", operation.tier),
        None => format!("T{}", operation.tier),
    };
    let head = format!("  {tier:<TIER_COLUMNS$} {}{cut}{}", shown.text, aside(operation));
    std::iter::once(head).chain(reasons.into_iter().map(told)).collect()
}

fn told(reason: &ExplainedReason) -> String {
    let words = sanitise::line(reason.text.as_bytes());
    let rule = sanitise::line(reason.rule.as_bytes());
    let at = reason.at.map(|at| format!("  bytes {}..{}", at.start, at.end)).unwrap_or_default();
    let mark = if reason.decides { "  <- decides" } else { "" };
    format!("     T{}  {words} ({rule}){at}{mark}", reason.tier)
}

/// The protocol and the scopes, where they say more than the words do.
fn aside(operation: &ExplainedOperation) -> String {
    if operation.protocol == "command" {
        return String::new();
    }
    let scopes = operation.scopes.iter().map(|scope| {
        let names: Vec<_> =
            scope.names.iter().map(|name| sanitise::line(name.as_bytes())).collect();
        format!(", {} {}", scope.key, names.join(" "))
    });
    format!("  [{}{}]", operation.protocol, scopes.collect::<String>())
}

/// The line, and below it a mark under what decides. A long line is shown around that alone.
fn window(line: &[u8], decides: Option<&ExplainedReason>) -> Vec<String> {
    let at = decides.and_then(|reason| reason.at).and_then(|at| {
        let (start, end) = (usize::try_from(at.start).ok()?, usize::try_from(at.end).ok()?);
        Some((line.get(..start)?, line.get(start..end)?, line.get(end..)?))
    });
    let Some((before, marked, after)) = at else {
        return vec![format!("  {}", ending(&sanitise::line(line), LINE_COLUMNS))];
    };
    let before = sanitise::line(before);
    let before = beginning(&before, LEAD_COLUMNS);
    let marked = ending(&sanitise::line(marked), MARK_COLUMNS);
    let used = columns(&before) + columns(&marked);
    let after = ending(&sanitise::line(after), LINE_COLUMNS.saturating_sub(used).max(1));
    let (blank, mark) = (" ".repeat(columns(&before)), "^".repeat(columns(&marked)));
    vec![format!("  {before}{marked}{after}"), format!("  {blank}{mark}")]
}

/// Returns the last columns of a text, and shows that it began earlier.
fn beginning(text: &str, most: usize) -> String {
    let count = columns(text);
    if count <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - most + 1).collect();
    format!("…{kept}")
}

/// Returns the first columns of a text, and shows that it goes on.
fn ending(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

/// How many operations are shown: two screens. All of them are in the JSON.
const OPERATIONS_SHOWN_MAX: usize = 40;

/// The widest command: a longer one is in the line above.
const COMMAND_COLUMNS: usize = 72;

/// How wide the line that was judged is shown.
const LINE_COLUMNS: usize = 96;

/// How much of the line is shown before what decides.
const LEAD_COLUMNS: usize = 48;

/// How much is underlined at most.
const MARK_COLUMNS: usize = 40;

/// How wide the column of tiers is: `T4 identity`.
const TIER_COLUMNS: usize = 11;
