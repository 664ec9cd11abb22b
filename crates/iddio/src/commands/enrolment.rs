//! Compares the registry of operators with the log.
//!
//! Whoever can write the registry's file can put a key into it. iddio records every key it enrols,
//! so a key that no record mentions was put there some other way.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use iddio_approve::{Operator, Registry};
use iddio_audit::{
    FileError,
    query::{self, Filter},
};
use iddio_core::json::Value;

/// What the log knows of every operator: the last record of each says it whole.
pub(crate) struct Enrolments {
    last: BTreeMap<String, Enrolment>,
}

struct Enrolment {
    key: Option<String>,
    assurance: Option<String>,
    names: Vec<String>,
    groups: Vec<String>,
    revoked: Revoked,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Revoked {
    No,
    Yes,
}

// === impl Enrolments ===

impl Enrolments {
    /// Reads what the log in `dir` says. It is believed here; whether it holds is for the verifier.
    pub(crate) fn read(dir: &Path) -> Result<Self, FileError> {
        let mut last = BTreeMap::new();
        query::query(dir, &Filter::default(), |record| {
            let event = record.text("event").unwrap_or_default();
            if let (Some(name), true) = (record.text("operator"), EVENTS.contains(&event)) {
                let texts = |name| texts(record.value.member(name));
                let owned = |name: &str| record.text(name).map(str::to_owned);
                let enrolment = Enrolment {
                    key: owned("key"),
                    assurance: owned("assurance"),
                    names: texts("aliases"),
                    groups: texts("groups"),
                    revoked: if event == REVOKED { Revoked::Yes } else { Revoked::No },
                };
                last.insert(name.to_owned(), enrolment);
            }
            ControlFlow::Continue(())
        })?;
        Ok(Self { last })
    }

    /// Returns what is wrong with every operator whose answers count and who is not as the log says.
    pub(crate) fn strangers<'a>(
        &'a self,
        registry: &'a Registry,
    ) -> impl Iterator<Item = (&'a Operator, &'static str)> {
        let live = registry.operators().iter().filter(|operator| operator.revoked.is_none());
        live.filter_map(|operator| Some((operator, self.objection(operator)?)))
    }

    fn objection(&self, operator: &Operator) -> Option<&'static str> {
        let Some(known) = self.last.get(operator.id.as_str()) else {
            return Some("was not enrolled through iddio");
        };
        let Enrolment { key, assurance, names, groups, revoked } = known;
        let line = operator.key.as_ref().map(|key| key.public.to_line());
        let worth = operator.key.as_ref().map(|key| key.assurance.name());
        let own: Vec<_> = operator.aliases.iter().map(|alias| alias.as_str()).collect();
        if *revoked == Revoked::Yes {
            Some("was revoked through iddio and is live again")
        } else if line != *key {
            Some("has a key that was not enrolled through iddio")
        } else if worth != assurance.as_deref() {
            Some("has an assurance that iddio did not give")
        } else if own != *names || operator.groups != *groups {
            Some("has names or groups that iddio did not give")
        } else {
            None
        }
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let Some(Value::Array(items)) = value else { return Vec::new() };
    items.iter().filter_map(Value::as_text).map(str::to_owned).collect()
}

/// What leaves a record of an operator.
const EVENTS: [&str; 3] = ["operator.added", "operator.enrolled", REVOKED];

const REVOKED: &str = "operator.revoked";
