//! Freezes in the log: the record of one, and who is frozen according to all of them.

use std::{ops::ControlFlow, path::Path};

use iddio_audit::{
    FileError,
    query::{self, Filter, Record},
};
use iddio_core::{
    audit::{AdminEvent, Field},
    freeze::{Freeze, Whom},
    json::Value,
    operation::OperationId,
    principal::{Principal, PrincipalId},
    text::RawText,
    time::Timestamp,
};

/// Returns the record of a freeze, made by `principal`.
pub fn set_event(freeze: &Freeze, principal: &Principal) -> AdminEvent {
    let Freeze { id, whom, by, reason, since } = freeze;
    let text = |text: &str| Field::Text(RawText::from(text));
    let mut fields = vec![
        ("freeze", text(&id.to_string())),
        ("whom", text(whom.kind())),
        ("by", text(by.as_str())),
        ("since_us", Field::Int(since.0)),
    ];
    fields.extend(whom.name().map(|name| ("name", text(name))));
    fields.extend(reason.as_deref().map(|reason| ("reason", text(reason))));
    if let Whom::Operator { names, .. } = whom {
        let names = names.iter().map(|name| text(name.as_str()));
        fields.push(("names", Field::List(names.collect())));
    }
    AdminEvent { event: SET, principal: Some(principal.clone()), fields }
}

/// Returns who is frozen according to the log in `dir`. The log is believed here; whether it holds
/// is for the verifier.
///
/// # Errors
///
/// When it cannot be read.
pub fn recorded(dir: &Path) -> Result<Vec<Freeze>, FileError> {
    let mut freezes: Vec<Freeze> = Vec::new();
    query::query(dir, &Filter::default(), |record| {
        let id = || record.text("freeze").and_then(OperationId::from_hex);
        match record.text("event") {
            Some(SET) => {
                if let Some(freeze) = read(&record) {
                    freezes.retain(|known| known.id != freeze.id);
                    freezes.push(freeze);
                }
            }
            Some(LIFTED) => {
                if let Some(id) = id() {
                    freezes.retain(|known| known.id != id);
                }
            }
            Some(_) | None => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(freezes)
}

fn read(record: &Record) -> Option<Freeze> {
    let id = |text: &str| PrincipalId::new(text);
    let name = record.text("name");
    let whom = match record.text("whom")? {
        "agent" => Whom::Agent(id(name?)?),
        "all" => Whom::All,
        "operator" => {
            let Some(Value::Array(names)) = record.value.member("names") else { return None };
            let names = names.iter().map(|name| name.as_text().and_then(id));
            Whom::Operator { name: id(name?)?, names: names.collect::<Option<_>>()? }
        }
        "task" => Whom::Task(name?.to_owned()),
        _ => return None,
    };
    Some(Freeze {
        id: OperationId::from_hex(record.text("freeze")?)?,
        whom,
        by: id(record.text("by")?)?,
        reason: record.text("reason").map(str::to_owned),
        since: Timestamp(record.int("since_us")?),
    })
}

/// Somebody was frozen.
const SET: &str = "freeze.set";

/// Somebody was thawed.
pub(super) const LIFTED: &str = "freeze.lifted";
