//! What the home's authority issues, and the record of it.
//!
//! INVARIANT: a certificate is on record before anybody gets it. One that could not be recorded is
//! dropped with its key.

use std::path::{Path, PathBuf};

use iddio_core::{
    audit::{AdminEvent, AuditError, Field},
    principal::Principal,
    text::RawText,
    time::{Clock, Timestamp},
};
use iddio_mint::ca::{Authority, CaError, Facts, Issued, Opened};

use crate::assemble::Runtime;

/// Nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority cannot be used.
    #[error("the home's authority: {0}")]
    Authority(#[from] CaError),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] AuditError),
}

/// Opens the home's authority, making it where there is none.
///
/// # Errors
///
/// When it cannot be read or made, or a new one not recorded.
pub fn open(runtime: &Runtime, by: Option<&Principal>) -> Result<Authority, AuthorityError> {
    match Authority::open_or_make(&runtime.home().tls(), now(runtime))? {
        Opened::Found(authority) => Ok(authority),
        Opened::Made(authority) => {
            record(runtime, "ca.made", by, Vec::new())?;
            Ok(authority)
        }
    }
}

/// Issues a certificate for the gateway, in the place of the one whose fingerprint is `old`, and
/// returns where it is kept, with its key.
///
/// # Errors
///
/// When a name is none, or it cannot be recorded or stored.
pub fn server(
    runtime: &Runtime,
    authority: &Authority,
    names: &[String],
    old: Option<&str>,
    by: Option<&Principal>,
) -> Result<PathBuf, AuthorityError> {
    let issued = authority.server(names, now(runtime))?;
    let mut fields = facts(&issued.facts);
    fields.push(("names", Field::List(names.iter().map(|name| text(name)).collect())));
    fields.extend(old.map(|old| ("fingerprint_before", text(old))));
    record(runtime, "tls.issued", by, fields)?;
    let path = server_path(&runtime.home().tls());
    issued.store(&path)?;
    Ok(path)
}

/// Issues a certificate for an agent that is registered. It is good once the store of agents has its
/// number.
///
/// # Errors
///
/// When it cannot be made or recorded.
pub fn agent(
    runtime: &Runtime,
    authority: &Authority,
    name: &str,
    by: Option<&Principal>,
) -> Result<Issued, AuthorityError> {
    let issued = authority.agent(name, now(runtime))?;
    let mut fields = facts(&issued.facts);
    fields.push(("subject", text(name)));
    record(runtime, "agent.certified", by, fields)?;
    Ok(issued)
}

/// Records that a gateway shows another certificate than before, which somebody else renewed.
///
/// # Errors
///
/// When it cannot be recorded.
pub fn replaced(runtime: &Runtime, old: &str, new: &str) -> Result<(), AuthorityError> {
    let fields = vec![("fingerprint", text(new)), ("fingerprint_before", text(old))];
    Ok(record(runtime, "tls.replaced", None, fields)?)
}

/// Where a home keeps its gateway's certificate and key, in the directory of its authority.
pub fn server_path(tls: &Path) -> PathBuf {
    tls.join("server.pem")
}

fn facts(facts: &Facts) -> Vec<(&'static str, Field)> {
    let Facts { serial, fingerprint, until } = facts;
    vec![
        ("fingerprint", text(fingerprint)),
        ("serial", text(serial)),
        ("until", text(&until.to_string())),
    ]
}

fn record(
    runtime: &Runtime,
    event: &'static str,
    by: Option<&Principal>,
    fields: Vec<(&'static str, Field)>,
) -> Result<(), AuditError> {
    let _recorded = runtime.record(AdminEvent { event, principal: by.cloned(), fields })?;
    Ok(())
}

fn text(text: &str) -> Field {
    Field::Text(RawText::from(text))
}

fn now(runtime: &Runtime) -> Timestamp {
    runtime.clock().now().wall
}
