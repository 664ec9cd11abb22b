//! `iddio audit verify --recordings`: every byte of every recording, against the chain.

use std::{collections::HashSet, io, ops::ControlFlow};

use iddio_audit::query::{Filter, Record};
use iddio_core::{digest::Digest, json::Value as Told, operation::OperationId, recording::Sealed};
use iddio_record::check::{self, Findings, Named};
use serde_json::{Value, json};

use super::source::Source;
use crate::{
    commands,
    exit::Failure,
    output::{self, Paint, Voice, foreign},
};

/// Holds the recordings of the home against the records of a log. What was removed on record is not
/// missing.
pub(super) fn check(source: &Source) -> Result<Findings, Failure> {
    let dir = commands::home_there()?.recordings();
    let mut named = Vec::new();
    let mut removed = HashSet::new();
    source.each(&Filter::default(), |record| {
        match record.text("event") {
            Some("closed") => named.extend(sealed(&record)),
            Some("recording.removed") => removed.extend(ids(&record)),
            Some(_) | None => {}
        }
        ControlFlow::Continue(())
    })?;
    let mut found = check::check(&dir, &named).map_err(Failure::unavailable)?;
    found.missing.retain(|named| !removed.contains(&named.sealed.recording));
    Ok(found)
}

/// What a closed record says of a recording.
fn sealed(record: &Record) -> Option<Named> {
    let id = |name: &str| OperationId::from_hex(record.text(name)?);
    let sealed = Sealed {
        recording: id("recording_id")?,
        offset: record.int("recording_offset")?,
        bytes: record.int("recording_bytes")?,
        digest: Digest::from_hex(record.text("recording")?)?,
    };
    Some(Named { operation: id("id")?, sealed })
}

fn ids(record: &Record) -> Vec<OperationId> {
    match record.value.member("recordings") {
        Some(Told::Array(ids)) => {
            ids.iter().filter_map(|id| OperationId::from_hex(id.as_text()?)).collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn tell(found: &Findings, voice: Voice) -> io::Result<()> {
    let word = match found.is_sound() {
        true => voice.paint(Paint::Green, "ok"),
        false => voice.paint(Paint::Red, "BAD"),
    };
    let Findings { sound, bytes, changed, missing, unsealed } = found;
    output::line(format_args!(
        "{word}  {sound} recorded operations as sealed, {bytes} bytes, {} changed, {} missing, {} unsealed",
        changed.len(),
        missing.len(),
        unsealed.len(),
    ))?;
    for (Named { operation, sealed }, why) in changed {
        let recording = sealed.recording;
        output::line(format_args!("changed   {operation} in {recording}: {}", foreign(why)))?;
    }
    for Named { operation, sealed } in missing {
        output::line(format_args!("missing   {operation} in {}", sealed.recording))?;
    }
    for (operation, recording, how) in unsealed {
        output::line(format_args!("unsealed  {operation} in {recording}: {}", foreign(how)))?;
    }
    Ok(())
}

pub(super) fn value(found: &Findings) -> Value {
    let Findings { sound, bytes, changed, missing, unsealed } = found;
    let one = |operation: &OperationId, recording: &OperationId, why: &str| json!({"operation": operation.to_string(), "recording": recording.to_string(), "why": why});
    let of = |named: &Named, why: &str| one(&named.operation, &named.sealed.recording, why);
    json!({
        "ok": found.is_sound(),
        "sealed": sound,
        "bytes": bytes,
        "changed": changed.iter().map(|(named, why)| of(named, why)).collect::<Vec<_>>(),
        "missing": missing.iter().map(|named| of(named, "it is not there")).collect::<Vec<_>>(),
        "unsealed": unsealed.iter().map(|(op, rec, how)| one(op, rec, how)).collect::<Vec<_>>(),
    })
}
