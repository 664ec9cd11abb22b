//! `iddio sessions`: recordings, listed, shown, searched, replayed, exported and removed.
//!
//! Whoever reads what flowed is on record before the first byte is shown (`recording.read`), and so is
//! whoever removes recordings (`recording.removed`). To list them and to show what they are of is not
//! reading them.
//!
//! What is shown is safe to show (`iddio_record::safe`), unless somebody asks for it raw.

mod export;
mod find;
mod play;

use std::{io, path::PathBuf, time::Duration};

use iddio_core::{
    audit::{AdminEvent, Field},
    json::Value as Told,
    operation::OperationId,
    principal::Principal,
    text::RawText,
};
use iddio_record::{read::End, store};
use iddio_runtime::{assemble::Runtime, home::Home};
use serde_json::{Value, json};

use self::find::{Found, Picked};
use crate::{
    cli::SessionsVerb,
    commands::{self, audit},
    exit::{DONE, Ended, Failure},
    output::{self, Voice, foreign},
};

pub(crate) fn run(verb: SessionsVerb, voice: Voice) -> Ended {
    match verb {
        SessionsVerb::Export(arguments) => export::run(&arguments, voice),
        SessionsVerb::List { agent, json } => list(agent.as_deref(), json),
        SessionsVerb::Prune { older_than, json } => prune(&older_than, json, voice),
        SessionsVerb::Replay(arguments) => play::run(&arguments, voice),
        SessionsVerb::Search(arguments) => play::search(&arguments, voice),
        SessionsVerb::Show { id, json } => show(&id, json),
    }
}

/// Where the recordings of the home are.
fn directory(home: &Home) -> PathBuf {
    home.recordings()
}

fn list(agent: Option<&str>, json: bool) -> Ended {
    let home = commands::home_there()?;
    for found in find::all(&directory(&home))? {
        let Found { recording, contents, .. } = &found;
        let of = |track: &&iddio_record::read::Track| {
            agent.is_none_or(|agent| {
                track.title.member("agent").and_then(Told::as_text) == Some(agent)
            })
        };
        let tracks: Vec<_> = contents.tracks.iter().filter(of).collect();
        let Some(first) = tracks.first() else { continue };
        if json {
            output::json(&json!({
                "recording": recording.to_string(),
                "bytes": contents.bytes,
                "operations": tracks.iter().map(|track| track_value(track)).collect::<Vec<_>>(),
            }))?;
            continue;
        }
        let text = |name| foreign(first.title.member(name).and_then(Told::as_text).unwrap_or("-"));
        let sealed = tracks.iter().filter(|track| matches!(track.end, End::Sealed(_))).count();
        let state = match (sealed, tracks.len()) {
            (sealed, all) if sealed == all => "sealed".to_owned(),
            (_, 1) => "unsealed".to_owned(),
            (sealed, all) => format!("{} of {all} unsealed", all - sealed),
        };
        let what = match tracks.len() {
            1 => about(&first.title),
            many => format!("{many} requests, the first {}", about(&first.title)),
        };
        output::line(format_args!(
            "{recording}  {}  {}  {}  {}  {}  {state}  {what}",
            text("began"),
            text("agent"),
            text("form"),
            lasted(&tracks),
            size(contents.bytes),
        ))?;
    }
    Ok(DONE)
}

/// How long the operations took together, as far as they ended.
fn lasted(tracks: &[&iddio_record::read::Track]) -> String {
    let int = |value: &Told, name| value.member(name).and_then(Told::as_int);
    let began = tracks.iter().filter_map(|track| int(&track.title, "at")).min();
    let ends = tracks.iter().filter_map(|track| match &track.end {
        End::Sealed(end) => Some(int(&track.title, "at")?.saturating_add(int(end, "micros")?)),
        End::Broken(_) | End::Unsealed => None,
    });
    match (began, ends.max()) {
        (Some(began), Some(end)) => {
            let tenths = end.saturating_sub(began) / 100_000;
            format!("{}.{}s", tenths / 10, tenths % 10)
        }
        _ => "-".to_owned(),
    }
}

/// What an operation is, in a few words.
fn about(title: &Told) -> String {
    let text = |name| title.member(name).and_then(Told::as_text);
    let what = match (text("method"), text("path"), text("command")) {
        (Some(method), Some(path), _) => format!("{method} {path}"),
        (Some(method), None, _) => method.to_owned(),
        (None, _, Some(command)) => command.to_owned(),
        (None, path, None) => path.unwrap_or("-").to_owned(),
    };
    foreign(&what)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes}B"),
        10_240..10_485_760 => format!("{}KiB", bytes >> 10),
        _ => format!("{}MiB", bytes >> 20),
    }
}

fn show(id: &str, json: bool) -> Ended {
    let home = commands::home_there()?;
    let Picked { recording, tracks, .. } = find::pick(&directory(&home), id)?;
    for track in &tracks {
        let records = audit::of_operation(track.operation)?;
        if json {
            let read = |line: &[u8]| serde_json::from_slice(line).unwrap_or(Value::Null);
            let records: Vec<Value> = records.iter().map(|record| read(&record.line)).collect();
            let mut value = track_value(track);
            if let Some(members) = value.as_object_mut() {
                members.insert("recording".to_owned(), json!(recording.to_string()));
                members.insert("records".to_owned(), json!(records));
            }
            output::json(&value)?;
            continue;
        }
        output::line(format_args!("recording {recording}"))?;
        let value = track_value(track);
        for (name, value) in value.as_object().into_iter().flatten() {
            let shown = value.as_str().map_or_else(|| value.to_string(), foreign);
            output::line(format_args!("  {name}: {shown}"))?;
        }
        for record in &records {
            audit::print_record(record)?;
        }
    }
    Ok(DONE)
}

/// What the first and the last block of an operation say.
fn track_value(track: &iddio_record::read::Track) -> Value {
    let read = |value: &Told| -> Value {
        serde_json::from_slice(&value.to_canonical()).unwrap_or(Value::Null)
    };
    let mut value = read(&track.title);
    if let Some(members) = value.as_object_mut() {
        members.insert("stored_bytes".to_owned(), json!(track.bytes));
        members.insert("offset".to_owned(), json!(track.offset));
        match &track.end {
            End::Sealed(end) => {
                members.insert("sealed".to_owned(), json!(true));
                members.extend(read(end).as_object().cloned().into_iter().flatten());
            }
            End::Broken(_) | End::Unsealed => {
                members.insert("sealed".to_owned(), json!(false));
            }
        }
    }
    value
}

fn prune(older_than: &str, json: bool, voice: Voice) -> Ended {
    let age = age(older_than).ok_or_else(|| {
        Failure::usage(format!("`{}` is no age", foreign(older_than))).hint("90d, 36h")
    })?;
    let home = commands::home_there()?;
    let caller = commands::human(&home)?;
    let dir = directory(&home);
    let old = store::old(&dir, age).map_err(Failure::unavailable)?;
    for some in old.chunks(IDS_PER_RECORD) {
        note(home.clone(), caller.principal(), "recording.removed", &[], some)?;
        store::remove(&dir, some).map_err(Failure::unavailable)?;
    }
    match json {
        true => {
            let ids: Vec<_> = old.iter().map(OperationId::to_string).collect();
            output::json(&json!({"removed": ids}))?;
        }
        false => output::line(format_args!("{} recordings removed", old.len()))?,
    }
    if !old.is_empty() {
        voice.say("that is on record: iddio audit query --event recording.removed");
    }
    Ok(DONE)
}

/// Reads `90d` or `36h`.
fn age(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "d" => 24 * 60 * 60,
        "h" => 60 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

/// Records that somebody reads recordings, before they do.
fn reading(home: Home, how: &'static str, recordings: &[OperationId]) -> Result<(), Failure> {
    let caller = commands::human(&home)?;
    let how = ("how", Field::Text(RawText::from(how)));
    for some in recordings.chunks(IDS_PER_RECORD) {
        note(home.clone(), caller.principal(), "recording.read", std::slice::from_ref(&how), some)?;
    }
    Ok(())
}

fn note(
    home: Home,
    caller: &Principal,
    event: &'static str,
    more: &[(&'static str, Field)],
    recordings: &[OperationId],
) -> Result<(), Failure> {
    let ids = recordings.iter().map(|id| Field::Text(RawText::from(id.to_string().as_str())));
    let mut fields = more.to_vec();
    fields.push(("recordings", Field::List(ids.collect())));
    let runtime = Runtime::open(home).map_err(Failure::unavailable)?;
    let event = AdminEvent { event, principal: Some(caller.clone()), fields };
    let _recorded = runtime.record(event).map_err(Failure::unavailable)?;
    runtime.finish().map_err(Failure::unavailable)
}

/// Returns the failure of a recording that cannot be read; output that nobody reads is none.
fn unreadable(error: iddio_record::read::ReadError) -> Failure {
    match error {
        iddio_record::read::ReadError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Failure::Closed
        }
        error => Failure::unavailable(format!("the recording cannot be read on: {error}"))
            .hint("iddio audit verify --recordings"),
    }
}

/// How many recordings one record names: a line of the log is bounded.
const IDS_PER_RECORD: usize = 500;
