//! `iddio approvals` and `iddio wait`: what humans answer.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use iddio_approve::{
    Approval, ApproveError, Denial, Filter, PassphraseSource, Queue, QueueError, Registry,
    Reviewed, Signer, State, Word, read_passphrase, render, statement::NAMESPACE, watch,
};
use iddio_core::time::Clock;
use iddio_mint::approver::ApproverKey;
use iddio_runtime::{assemble, clock::SystemClock, home::Home};
use serde_json::{Value, json};

use crate::{
    cli::{ApprovalsVerb, Detached, Signing, WaitArgs},
    commands,
    exit::{DONE, Ended, Failure, REFUSED},
    output::{self, Voice},
};

pub(crate) fn run(verb: ApprovalsVerb, voice: Voice) -> Ended {
    let home = commands::home_there()?;
    let mut queue = open(&home)?;
    match verb {
        ApprovalsVerb::List { all, json } => list(&mut queue, all, json, voice),
        ApprovalsVerb::Show { id, json } => show(&mut queue, &id, json),
        ApprovalsVerb::Statement { id, operator, deny, ticket, json } => {
            let word = if deny { Word::Refuse } else { Word::Grant };
            let ticket = ticket.as_deref().map(millis).transpose()?;
            statement(&mut queue, &id, &operator, word, ticket, json)
        }
        ApprovalsVerb::Watch { signing } => {
            let _human = commands::human(&home)?;
            let key = signing_key(&home, signing)?;
            watch::run(queue, key.as_ref()).map_err(|error| {
                Failure::unavailable(error).hint("without a terminal: iddio approvals list")
            })?;
            Ok(DONE)
        }
        ApprovalsVerb::Deny { id, reason, signing, detached, json } => {
            let _human = commands::human(&home)?;
            // Nobody types a passphrase for an ask that is not there.
            let _entry = queue.show(&id).map_err(failure)?;
            let (key, handed) = (signing_key(&home, signing)?, handed(detached)?);
            let signer = signer(key.as_ref(), handed.as_ref());
            deny(&mut queue, &id, Denial { signer, reason: reason.as_deref() }, json, voice)
        }
        ApprovalsVerb::Approve { id, signing, ticket, reviewed, detached, json } => {
            let _human = commands::human(&home)?;
            // Nobody types a passphrase for an ask that is not there.
            let _entry = queue.show(&id).map_err(failure)?;
            let (key, handed) = (signing_key(&home, signing)?, handed(detached)?);
            let approval = Approval {
                signer: signer(key.as_ref(), handed.as_ref()),
                ticket_millis: ticket.as_deref().map(millis).transpose()?,
                reviewed: reviewed.as_deref().map_or(Reviewed::NotSaid, Reviewed::Digest),
            };
            approve(&mut queue, &id, approval, json, voice)
        }
    }
}

/// `iddio wait ID`: 0 granted, 77 refused or over, 69 still waiting at the timeout.
pub(crate) fn wait(arguments: &WaitArgs) -> Ended {
    let WaitArgs { id, timeout, json } = arguments;
    let home = commands::home_there()?;
    let mut queue = open(&home)?;
    let timeout = Duration::from_secs(timeout.unwrap_or(WAIT_SECONDS_MAX).min(WAIT_SECONDS_MAX));
    let entry = queue.wait(id, timeout).map_err(failure)?;
    let state = entry.state;
    match json {
        true => output::json(&render::json(&entry, queue.now()))?,
        false => output::line(format_args!("{} {}", entry.id.as_str(), state.name()))?,
    }
    Ok(match state {
        State::Consumed => DONE,
        State::Pending => crate::exit::UNAVAILABLE,
        State::Refused | State::Lapsed | State::Withdrawn => REFUSED,
    })
}

fn list(queue: &mut Queue, all: bool, json: bool, voice: Voice) -> Ended {
    let filter = if all { Filter::All } else { Filter::Open };
    let listed = queue.list(filter).map_err(failure)?;
    let now = queue.now();
    if json {
        let entries = listed.entries.iter().map(|entry| render::json(entry, now));
        output::json(&Value::Array(entries.collect()))?;
        return Ok(DONE);
    }
    for entry in &listed.entries {
        output::line(render::row(entry, now))?;
    }
    for damaged in &listed.damaged {
        voice.tell(format_args!("{} is damaged and cannot be answered", damaged.as_str()));
    }
    if listed.entries.is_empty() {
        voice.say("nothing waits");
    }
    Ok(DONE)
}

fn show(queue: &mut Queue, id: &str, json: bool) -> Ended {
    let entry = queue.show(id).map_err(failure)?;
    match json {
        true => output::json(&render::json(&entry, queue.now()))?,
        false => {
            let shown = render::show(&entry, queue.now(), render::View::Full);
            output::line(shown.trim_end_matches('\n'))?;
        }
    }
    Ok(DONE)
}

fn approve(queue: &mut Queue, id: &str, approval: Approval<'_>, json: bool, voice: Voice) -> Ended {
    let approved = queue.approve(id, approval).map_err(refused)?;
    let (id, by) = (approved.entry.id.as_str(), approved.by.as_str());
    let assurance = approved.assurance.name();
    if json {
        output::json(&json!({
            "id": id, "approved_by": by, "approval_assurance": assurance,
            "have": approved.have, "need": approved.need,
        }))?;
        return Ok(DONE);
    }
    let whose = match assurance {
        "none" => "; same Unix user".to_owned(),
        _ => format!("; {by}"),
    };
    output::line(format_args!("approved {id} (assurance: {assurance}{whose})"))?;
    if approved.have < approved.need {
        voice.say(format_args!("{} of {} approvers so far", approved.have, approved.need));
    }
    Ok(DONE)
}

fn statement(
    queue: &mut Queue,
    id: &str,
    operator: &str,
    word: Word,
    ticket_millis: Option<u64>,
    json: bool,
) -> Ended {
    let statement = queue.statement(id, operator, word, ticket_millis).map_err(refused)?;
    let text = statement.to_string();
    match json {
        true => output::json(&json!({"statement": text, "namespace": NAMESPACE}))?,
        // What is signed ends with its own newline and nothing else.
        false => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(DONE)
}

fn deny(queue: &mut Queue, id: &str, denial: Denial<'_>, json: bool, voice: Voice) -> Ended {
    let entry = queue.deny(id, denial).map_err(refused)?;
    match json {
        true => output::json(&render::json(&entry, queue.now()))?,
        false => voice.say(format_args!("denied {}", entry.id.as_str())),
    }
    Ok(DONE)
}

/// An answer that was signed elsewhere.
struct Handed {
    statement: String,
    signature: String,
}

fn handed(detached: Detached) -> Result<Option<Handed>, Failure> {
    let Detached { statement: Some(statement), signature: Some(signature) } = detached else {
        return Ok(None);
    };
    let (statement, signature) = (commands::text(&statement)?, commands::text(&signature)?);
    Ok(Some(Handed { statement, signature }))
}

fn signer<'a>(key: Option<&'a ApproverKey>, handed: Option<&'a Handed>) -> Signer<'a> {
    match (key, handed) {
        (Some(key), _) => Signer::Key(key),
        (None, Some(Handed { statement, signature })) => Signer::Detached { statement, signature },
        (None, None) => Signer::Unsigned,
    }
}

/// Opens the key of the operator who signs here, if one is named.
pub(crate) fn signing_key(home: &Home, signing: Signing) -> Result<Option<ApproverKey>, Failure> {
    let Signing { operator, passphrase_fd } = signing;
    operator.map(|operator| key(home, &operator, passphrase_fd)).transpose()
}

/// Opens an operator's key with their passphrase.
fn key(home: &Home, operator: &str, descriptor: Option<i32>) -> Result<ApproverKey, Failure> {
    let registry = Registry::open(home.root()).map_err(Failure::unavailable)?;
    let found = registry.find(operator).filter(|operator| operator.revoked.is_none());
    let found = found.ok_or_else(|| {
        Failure::usage(format!("no operator `{operator}`")).hint("iddio operator list")
    })?;
    let path = found.key.as_ref().and_then(|key| key.file.as_ref());
    let path = path.ok_or_else(|| {
        Failure::usage(format!("`{operator}` has no key here"))
            .hint(format!("iddio operator enroll {operator}"))
    })?;
    let question = format!("Passphrase of {operator}: ");
    let phrase = read_passphrase(source(descriptor)?, &question, iddio_approve::Typing::Once)
        .map_err(Failure::unavailable)?;
    ApproverKey::open(path, &phrase).map_err(Failure::unavailable)
}

/// Returns where a passphrase comes from: the terminal, or a descriptor of this process.
pub(crate) fn source(descriptor: Option<i32>) -> Result<PassphraseSource, Failure> {
    match descriptor {
        Some(number) => {
            let file = File::open(format!("/proc/self/fd/{number}"))
                .map_err(|_| Failure::usage(format!("descriptor {number} is not open")))?;
            Ok(PassphraseSource::Descriptor(file.into()))
        }
        None if io::stderr().is_terminal() || io::stdin().is_terminal() => {
            Ok(PassphraseSource::Terminal)
        }
        None => Err(Failure::usage("there is no terminal to ask for the passphrase on")
            .hint("pass --passphrase-fd N")),
    }
}

fn open(home: &Home) -> Result<Queue, Failure> {
    let clock = std::sync::Arc::new(SystemClock::new());
    let clock: std::sync::Arc<dyn Clock> = clock;
    assemble::queue(home, clock).map_err(failure)
}

fn failure(error: QueueError) -> Failure {
    match error {
        QueueError::Unknown(_) | QueueError::Ambiguous(_) => {
            Failure::usage(error).hint("iddio approvals list --all")
        }
        error => Failure::unavailable(error),
    }
}

fn refused(error: ApproveError) -> Failure {
    let hint = match &error {
        ApproveError::Queue(_) => None,
        ApproveError::NeedsKey(_) => {
            Some("an operator with a key signs: iddio approvals approve ID --as OPERATOR")
        }
        ApproveError::Objection(_) => {
            Some("somebody else with a key can: iddio approvals approve ID --as OPERATOR")
        }
        ApproveError::NotReviewed(_) => {
            Some("iddio approvals show ID, then approve ID --reviewed DIGEST")
        }
        ApproveError::KeyUnknown => Some("iddio operator list"),
        _ => None,
    };
    let failure = match error {
        ApproveError::Queue(error) => failure(error),
        ApproveError::Registry(_) | ApproveError::Sign(_) => Failure::unavailable(error),
        error => Failure::refused(error),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Reads `90s`, `15m` or a number of seconds.
fn millis(text: &str) -> Result<u64, Failure> {
    let (digits, unit) = match text.strip_suffix('m') {
        Some(digits) => (digits, 60_000),
        None => (text.strip_suffix('s').unwrap_or(text), 1_000),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| Failure::usage(format!("`{text}` is no time")).hint("90s, 15m"))
}

/// The longest wait: longer than any ask lives.
const WAIT_SECONDS_MAX: u64 = 25 * 60 * 60;
