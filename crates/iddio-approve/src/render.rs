//! How an ask is shown. Pure functions from an entry and a time to text.
//!
//! INVARIANT: everything that came from a caller passes through [`iddio_core::sanitise`] here, once,
//! and what is shown contains no control byte but the newlines of this module.
//!
//! INVARIANT: an ask is shown whole, or its view says that it is not and shows no digest. Only the
//! digest at the end of the full view lets somebody approve what is too long for the brief one
//! (I10, A06).

use iddio_core::{
    approval::{Ask, Assurance},
    operation::{Description, Effect, Input, Operation, Reason, Span},
    principal::Principal,
    sanitise,
    text::RawText,
    tier::Tier,
    time::Moment,
};
use serde_json::{Value, json};

use crate::{
    queue::{Entry, State},
    statement::Statement,
    stored,
};

/// How much of an ask is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum View {
    /// As much as a person takes in at once.
    Brief,
    /// All of it.
    Full,
}

/// Whether an ask fits the brief view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Length {
    /// It does not, and cannot be approved without opening it in full.
    Long,
    /// It does.
    Short,
}

/// Returns one line for a list: name, tier, what, who, how long it has.
pub fn row(entry: &Entry, now: Moment) -> String {
    let Entry { id, ask, .. } = entry;
    let what = cut(&headline(ask), ROW_COLUMNS);
    let who = cut(&word(ask.principal.id.as_str().as_bytes()), WHO_COLUMNS);
    format!(
        "{id}  {tier:<14}  {what:<ROW_COLUMNS$}  {who:<WHO_COLUMNS$}  {standing}",
        tier = ask.tier().to_string(),
        standing = standing(entry, now)
    )
}

/// Returns the view of one ask, in lines that begin with two spaces.
pub fn show(entry: &Entry, now: Moment, view: View) -> String {
    let mut lines = body(&entry.ask, entry, now);
    let brief = view == View::Brief && length(&entry.ask) == Length::Long;
    if brief {
        let (all, bytes) = (lines.len(), lines.iter().map(String::len).sum::<usize>());
        lines.truncate(BRIEF_LINES);
        lines = lines.iter().map(|line| cut(line, BRIEF_COLUMNS)).collect();
        lines.push(format!(
            "  …        CUT: {all} lines, {bytes} bytes in all. Open it before you answer: \
             iddio approvals show {}",
            entry.id
        ));
    } else {
        lines.push(format!("  ask      sha256 {}", entry.digest()));
    }
    lines.join("\n") + "\n"
}

/// Returns an ask as JSON: everything that is stored, how it stands, and the digest a yes names.
pub fn json(entry: &Entry, now: Moment) -> Value {
    let Entry { id, ask, state, shown, ended, votes } = entry;
    let stored = stored::write(ask).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let vote = |statement: &str, signed: bool| {
        let said = Statement::parse(statement);
        json!({
            "operator": said.as_ref().map(|said| said.operator.to_string()),
            "verdict": said.as_ref().map(|said| said.word.name()),
            "ticket": said.as_ref().map(|said| said.ticket.is_some()),
            "signed": signed,
        })
    };
    json!({
        "id": id.as_str(),
        "state": state.name(),
        "digest": entry.digest().to_hex(),
        "tier": ask.tier().number(),
        "tier_label": ask.tier().label(),
        "agent": ask.principal.id.as_str(),
        "headline": headline(ask),
        "asked": ask.asked.wall.to_string(),
        "expires_at": ask.lapses.wall.to_string(),
        "lapses_in_ms": entry.lapses_in(now),
        "held_back_ms": shown.checked_sub(now.boot.millis).filter(|held| 0 < *held),
        "approvers_required": ask.approvers_required(),
        "assurance_required": ask.assurance_required().name(),
        "long": length(ask) == Length::Long,
        "votes": votes.iter()
            .map(|cast| vote(&cast.statement, cast.signature.is_some())).collect::<Vec<_>>(),
        "ended": ended.as_ref().map(|ended| json!({
            "at": ended.at.to_string(), "by": ended.by, "reason": ended.reason,
        })),
        "ask": stored,
    })
}

/// Returns whether an ask fits the brief view.
pub fn length(ask: &Ask) -> Length {
    let mut lines = subject(ask);
    lines.extend(grounds(ask));
    let long =
        BRIEF_LINES < lines.len() || lines.iter().any(|line| BRIEF_COLUMNS < line.chars().count());
    if long { Length::Long } else { Length::Short }
}

/// Returns what is asked in a few words: `terraform apply`.
pub fn headline(ask: &Ask) -> String {
    let worst = ask.operations.worst();
    let more = ask.operations.iter().len().saturating_sub(1);
    let what = summary(worst);
    match more {
        0 => what,
        more => format!("{what} (+{more} more)"),
    }
}

/// Returns a time span as people say it: `12 s`, `14 min`, `2 h`.
pub fn span(millis: u64) -> String {
    let rounded = |unit: u64| millis.saturating_add(unit / 2) / unit;
    match rounded(SECOND_MILLIS) {
        seconds @ 0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", rounded(60 * SECOND_MILLIS)),
        _ => format!("{} h", rounded(3_600 * SECOND_MILLIS)),
    }
}

fn standing(entry: &Entry, now: Moment) -> String {
    let yes = entry.votes.len();
    match (entry.state, entry.lapses_in(now)) {
        (State::Pending, Some(left)) => {
            let need = entry.ask.approvers_required();
            let count =
                if need < 2 { String::new() } else { format!(", {yes} of {need} answered") };
            match entry.shown.checked_sub(now.boot.millis) {
                Some(held) if 0 < held => format!("held back {}", span(held)),
                _ => format!("lapses in {}{count}", span(left)),
            }
        }
        (State::Pending, None) => State::Lapsed.name().to_owned(),
        (state, _) => match entry.ended.as_ref().and_then(|ended| ended.by.as_deref()) {
            Some(by) => format!("{} by {}", state.name(), word(by.as_bytes())),
            None => state.name().to_owned(),
        },
    }
}

fn body(ask: &Ask, entry: &Entry, now: Moment) -> Vec<String> {
    let ago = now.boot.millis.saturating_sub(ask.asked.boot.millis);
    let who = labelled("who", &caller(&ask.principal));
    let mut lines =
        vec![aside(&who, &format!("asked {} ago, {}", span(ago), standing(entry, now)))];
    lines.extend(subject(ask));
    lines.extend(grounds(ask));
    lines.extend(entry.votes.iter().map(|vote| said(&vote.statement, vote.signature.is_some())));
    let reason = entry.ended.as_ref().and_then(|ended| ended.reason.as_deref());
    lines.extend(reason.map(|reason| labelled("because", &word(reason.as_bytes()))));
    lines
}

/// What would happen: the commands whole and their effects, both worst first, and what they read.
fn subject(ask: &Ask) -> Vec<String> {
    let mut lines = Vec::new();
    let place = ask.context.directory.as_ref().map(|directory| word(directory.as_bytes()));
    for operation in ask.operations.worst_first() {
        let what = labelled("what", &whole(operation, place.as_deref()));
        let tier = format!("T{}", operation.native_tier().number());
        lines.push(if 1 < ask.operations.iter().len() { aside(&what, &tier) } else { what });
        for setting in &operation.overrides {
            lines.push(labelled("override", &word(setting.value.as_bytes())));
        }
    }
    let mut effects: Vec<&Effect> = ask.effects.iter().collect();
    effects.sort_by_key(|effect| std::cmp::Reverse(effect.tier));
    for Effect { tier, sign, text } in effects {
        let effect = format!("{} {}", word(sign.as_bytes()), word(text.as_bytes()));
        lines.push(aside(&labelled("effect", &effect), &format!("T{}", tier.number())));
    }
    for Input { name, digest } in &ask.context.inputs {
        lines.push(match digest {
            Some(digest) => aside(
                &labelled("input", &word(name.as_bytes())),
                &format!("sha256 {digest}, these bytes are what will be read"),
            ),
            None => aside(
                &labelled("UNBOUND", &word(name.as_bytes())),
                "what is read may differ from what was there when you looked",
            ),
        });
    }
    lines
}

/// Why a human is asked, what their answer must satisfy, and what the caller says.
fn grounds(ask: &Ask) -> Vec<String> {
    let mut lines = Vec::new();
    let many = 1 < ask.operations.iter().len();
    for operation in ask.operations.worst_first() {
        lines.extend(reasons(operation, many.then(|| summary(operation))));
    }
    let decision = &ask.decision;
    let policy: String = decision.policy.to_hex().chars().take(12).collect();
    let rule = labelled("rule", &word(decision.rule.as_bytes()));
    lines.push(aside(&rule, &format!("policy {policy}…")));
    if let Some(runbook) = &decision.runbook {
        lines.push(labelled("runbook", &word(runbook.as_bytes())));
    }
    if let Some(reason) = &decision.reason {
        lines.push(labelled("because", &word(reason.as_bytes())));
    }
    lines.extend(needs(ask).map(|needs| labelled("needs", &needs)));
    if let Some(explanation) = &ask.context.explanation {
        let mut label = "says";
        for line in paragraphs(explanation) {
            let line = labelled(label, &format!("| {line}"));
            let note = "the caller's own words, UNTRUSTED";
            lines.push(if label == "says" { aside(&line, note) } else { line });
            label = "";
        }
    }
    lines
}

/// Why an operation has its tier, worst first, each reason with the word that caused it. Reasons of
/// tier 0 are left out where another one decides. `of` says which operation, where there are several.
fn reasons(operation: &Operation, of: Option<String>) -> Vec<String> {
    let mut reasons: Vec<&Reason> = operation.reasons.iter().collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.tier));
    let worst = reasons.first().map_or(Tier::Observe, |reason| reason.tier);
    reasons.retain(|reason| Tier::Observe < reason.tier || worst == Tier::Observe);
    let of = of.map(|of| format!("{of}: ")).unwrap_or_default();
    let told = reasons.into_iter().map(|reason| {
        let (text, rule) = (word(reason.text.as_bytes()), word(reason.rule.as_bytes()));
        let label = format!("why T{}", reason.tier.number());
        let line = labelled(&label, &format!("{of}{text} ({rule})"));
        match cause(operation, reason) {
            Some(cause) => aside(&line, &cause),
            None => line,
        }
    });
    told.collect()
}

/// The word that caused a reason, and where it stands in the text for a shell.
fn cause(operation: &Operation, reason: &Reason) -> Option<String> {
    let place = usize::try_from(reason.word?).ok()?;
    let said = word(operation.description.argv.get(place)?.as_bytes());
    Some(match reason.at {
        Some(Span { start, end }) => format!("at `{said}`, bytes {start}..{end}"),
        None => format!("at `{said}`"),
    })
}

fn needs(ask: &Ask) -> Option<String> {
    let mut needs = Vec::new();
    match ask.approvers_required() {
        0 | 1 => {}
        many => needs.push(format!("{many} different approvers")),
    }
    match ask.assurance_required() {
        Assurance::None => {}
        assurance => {
            needs.push(format!("a signed answer (assurance {} or more)", assurance.name()))
        }
    }
    let groups = &ask.decision.obligations.approvers;
    if !groups.is_empty() {
        let names: Vec<_> = groups.iter().map(|group| word(group.as_bytes())).collect();
        needs.push(format!("from {}", names.join(" or ")));
    }
    (!needs.is_empty()).then(|| needs.join(", "))
}

fn said(statement: &str, signed: bool) -> String {
    let how = if signed { "signed" } else { "not signed" };
    match Statement::parse(statement) {
        Some(said) => {
            let ticket = if said.ticket.is_some() { ", with a ticket" } else { "" };
            let who = word(said.operator.as_str().as_bytes());
            labelled("answer", &format!("{} by {who} ({how}{ticket})", said.word.name()))
        }
        None => labelled("answer", "unreadable, ignored"),
    }
}

fn caller(principal: &Principal) -> String {
    let id = word(principal.id.as_str().as_bytes());
    let proof = principal.proof.name();
    match principal.delegation.as_slice() {
        [] => format!("{id} ({proof}), for themselves"),
        chain => {
            let chain: Vec<_> = chain.iter().map(|name| word(name.as_str().as_bytes())).collect();
            format!("{id} ({proof}), for {}", chain.join(", for "))
        }
    }
}

/// An operation with nothing left out.
fn whole(operation: &Operation, directory: Option<&str>) -> String {
    let Description { command, argv, method, path, namespace, resource, workspace, cluster } =
        &operation.description;
    let mut what = match (argv.as_slice(), method, path) {
        ([], None, None) => summary(operation),
        ([], method, path) => {
            let parts = [method.as_deref(), path.as_deref()];
            let parts: Vec<_> =
                parts.into_iter().flatten().map(|part| word(part.as_bytes())).collect();
            parts.join(" ")
        }
        (argv, ..) => sanitise::words(argv),
    };
    if let (Some(command), []) = (command, argv.as_slice())
        && (method.is_some() || path.is_some())
    {
        what = format!("{}: {what}", word(command.as_bytes()));
    }
    let named = [
        ("cluster", cluster),
        ("namespace", namespace),
        ("resource", resource),
        ("workspace", workspace),
    ];
    let named = named.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| format!("{name} {}", word(value.as_bytes())))
    });
    let place: Vec<_> = directory.map(str::to_owned).into_iter().chain(named).collect();
    match place.is_empty() {
        true => what,
        false => format!("{what}  ({})", place.join(", ")),
    }
}

fn summary(operation: &Operation) -> String {
    let Description { command, argv, method, path, .. } = &operation.description;
    let parts = [method.as_deref(), path.as_deref()];
    match (command, argv.first()) {
        (Some(command), _) => word(command.as_bytes()),
        (None, Some(program)) => word(program.as_bytes()),
        (None, None) if parts.iter().any(Option::is_some) => {
            let parts: Vec<_> =
                parts.into_iter().flatten().map(|part| word(part.as_bytes())).collect();
            parts.join(" ")
        }
        (None, None) => operation.protocol.name().to_owned(),
    }
}

fn paragraphs(text: &RawText) -> Vec<String> {
    text.as_bytes().split(|byte| *byte == b'\n').map(sanitise::line).collect()
}

fn word(bytes: &[u8]) -> String {
    sanitise::line(bytes)
}

fn labelled(label: &str, text: &str) -> String {
    format!("  {label:<LABEL_COLUMNS$} {text}").trim_end().to_owned()
}

/// Puts a remark to the right, where there is room, and after it otherwise.
fn aside(line: &str, remark: &str) -> String {
    format!("{line:<ASIDE_COLUMN$}  {remark}")
}

/// Cuts a line that was sanitised, and says so. An escape that is cut shows its beginning only,
/// which is no other character.
fn cut(line: &str, columns: usize) -> String {
    match line.char_indices().nth(columns) {
        None => line.to_owned(),
        Some(_) => {
            let kept: String = line.chars().take(columns.saturating_sub(1)).collect();
            kept + "…"
        }
    }
}

/// How many lines the brief view has: two screens.
const BRIEF_LINES: usize = 60;

/// How many columns a line of the brief view has: a few wrapped lines.
const BRIEF_COLUMNS: usize = 400;

/// How wide the column of labels is.
const LABEL_COLUMNS: usize = 8;

/// Where remarks begin.
const ASIDE_COLUMN: usize = 54;

/// How wide the column of commands is in a list.
const ROW_COLUMNS: usize = 36;

/// How wide the column of callers is in a list.
const WHO_COLUMNS: usize = 20;

const SECOND_MILLIS: u64 = 1_000;
