//! The walk over a program for a shell: which commands it may run, with what words.

use iddio_core::{
    operation::{Description, Operation, Pattern, Protocol, Reason, ScopeKey, Scopes, Span},
    text::RawText,
    tier::{Class, Tier},
};

use crate::command::{
    Ambient, Judged, RunPlan,
    line::{Feed, Judging},
};

/// Judges a line for a shell. No shell is read yet, so nobody knows what it does.
pub(crate) fn line(text: &RawText, ambient: &Ambient) -> Judged {
    let judging = Judging::new(ambient);
    let mut operations = judge_text(text.as_bytes(), &Feed::Inherited, &judging, None).into_iter();
    let operation = operations.next().unwrap_or_else(|| unread(text.as_bytes(), None));
    Judged { operation, within: operations.collect(), plan: RunPlan::nothing() }
}

/// Judges text that a program hands to a shell: what a wrapper's argument holds.
///
/// `at` is where the text stands in the outermost one; without it, this text is the outermost.
pub(crate) fn judge_text(
    text: &[u8],
    _feed: &Feed,
    _judging: &Judging<'_>,
    at: Option<Span>,
) -> Vec<Operation> {
    vec![unread(text, at)]
}

fn unread(text: &[u8], at: Option<Span>) -> Operation {
    let reason = Reason {
        tier: Tier::UNKNOWN,
        rule: "shell:unread".to_owned(),
        text: "text for a shell, which is judged in a later version".to_owned(),
        word: None,
        at,
    };
    let mut scopes = Scopes::default();
    scopes.add_name(ScopeKey::Commands, "sh");
    Operation {
        protocol: Protocol::Command,
        tier: Tier::UNKNOWN,
        class: Class::Unknown,
        scopes,
        overrides: Vec::new(),
        pattern: Pattern::Unmatchable,
        reasons: vec![reason],
        description: Description {
            command: Some("sh -c".to_owned()),
            argv: vec![RawText::new(text)],
            ..Description::default()
        },
    }
}
