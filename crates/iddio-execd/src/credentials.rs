//! Credentials of one run: made after the decision, for it alone, never in the caller's sight.
//!
//! The host's configuration names [`Source`]s: which runs they are for, and where the value comes from. A
//! run of theirs gets what it needs ([`Issued`]): variables, files, or an endpoint on its own loopback that
//! gives AWS credentials out to whoever knows the run's token. INVARIANT: every value that is given to a
//! run is in [`Issued::secrets`], and nothing of it is written to a disk.
//!
//! What can be taken back is taken back when the run is over, in whatever way: leases of Vault, tokens of Kubernetes. What cannot is
//! asked for as short as it can be, and runs out; the record of the run says until when.

mod aws;
mod endpoint;
mod http;
mod kubernetes;
mod value;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use iddio_core::{
    BoxFuture,
    audit::Subject,
    credential::{self, CredentialMinter},
    operation::{Operation, Operations, Protocol},
    pipeline::Warrant,
};
use iddio_exec::operation::CommandAction;
use iddio_spawn::sandbox::Place;
use serde::Deserialize;

use crate::{
    scrub::{Scrubber, Secrets, VALUE_BYTES_MIN},
    server::Terms,
    tree::Cleaning,
};
use kubernetes::Bound;
use value::{Answers, Lease};

pub use aws::{Role, session_policy};
pub(crate) use endpoint::{PORT, answer};
pub use http::HttpError;
pub use kubernetes::{Account, Cluster};
pub use value::{From, Value};

/// What a host gives to which runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The protocols it is for: a command of one of these, or with one of these in it.
    #[serde(rename = "for")]
    pub protocols: Vec<String>,
    /// The principals it is for, by name; without, all.
    #[serde(default)]
    pub agents: Vec<String>,
    /// AWS credentials of a role, narrowed to the operation.
    #[serde(rename = "aws-role")]
    pub aws_role: Option<Role>,
    /// A kubeconfig whose helper gives a token out.
    pub kubernetes: Option<Cluster>,
    /// A variable.
    pub variable: Option<Variable>,
}

/// A variable that runs get.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: From,
}

/// Makes what the runs of one command are given. It makes nothing without a warrant, which is a decision that
/// is durable, and nothing that is not for what was decided on.
#[derive(Clone)]
pub(crate) struct Minter {
    terms: Arc<Terms>,
    given: Given,
}

/// The secrets of all runs of one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(Arc<Mutex<Vec<Secrets>>>);

/// What one run was given. Dropped, what can be taken back is taken back.
///
/// INVARIANT: there is none but what [`Minter`] made for a warrant; a run without one does not compile.
#[derive(Debug)]
pub(crate) struct Issued {
    /// Variables.
    pub(crate) variables: Vec<(String, Value)>,
    /// Variables of the caller's that must not stand beside them.
    pub(crate) instead_of: Vec<&'static str>,
    /// Files.
    pub(crate) places: Vec<Place>,
    /// What the endpoint on the run's loopback gives out.
    pub(crate) aws: Option<endpoint::Offer>,
    /// Everything that must not leave the run.
    pub(crate) secrets: Secrets,
    /// What is taken back at its end.
    loans: Vec<Loan>,
    /// Until when there is what nobody takes back.
    until: Option<String>,
}

/// Why a run gets no credential, and does not start.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A file could not be read.
    #[error("`{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Whoever gives it out could not be asked.
    #[error("`{from}`: {source}")]
    Http {
        /// Who.
        from: String,
        /// Why.
        source: HttpError,
    },
    /// The answer is not what it should be.
    #[error("`{from}` gave no {what}")]
    Missing {
        /// Who.
        from: String,
        /// What was looked for.
        what: String,
    },
    /// There are no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// A value is too short to be kept out of what a run says.
    #[error("a value is shorter than {VALUE_BYTES_MIN} bytes")]
    Short,
}

/// Makes what `sources` give to a run of these operations by `principal`.
fn issue(
    sources: &[Source],
    operations: &Operations,
    principal: &str,
) -> Result<Issued, MintError> {
    let mut issued = Issued::nothing();
    let mut values: Vec<Value> = Vec::new();
    let mut answers = Answers::default();
    for source in sources.iter().filter(|source| source.is_for(operations, principal)) {
        if let Some(role) = &source.aws_role {
            let credentials = role.assume(operations, principal)?;
            issued.until = Some(credentials.expiration.clone());
            let offer = endpoint::Offer::of(credentials)?;
            values.extend(offer.values());
            issued.variables.extend(offer.variables());
            issued.instead_of.extend(aws::INSTEAD_OF);
            issued.aws = Some(offer);
        }
        if let Some(cluster) = &source.kubernetes {
            let token = cluster.token(&mut answers, &mut issued.loans)?;
            issued.places.extend(cluster.places(&token)?);
            issued.variables.push(("KUBECONFIG".into(), Value::new(kubernetes::CONFIG.into())));
            values.push(token);
        }
        if let Some(Variable { name, value }) = &source.variable {
            let value = value.value(&mut answers, &mut issued.loans)?;
            values.push(value.clone());
            issued.variables.push((name.clone(), value));
        }
    }
    if values.iter().any(|value| value.expose().len() < VALUE_BYTES_MIN) {
        return Err(MintError::Short);
    }
    issued.secrets = Secrets::new(values.iter().map(|value| value.expose().as_bytes()));
    Ok(issued)
}

/// What was lent to a run, and is taken back.
#[derive(Debug)]
enum Loan {
    Bound(Bound),
    Lease(Lease),
}

// === impl Minter ===

impl Minter {
    pub(crate) fn new(terms: Arc<Terms>) -> Self {
        Self { terms, given: Given::default() }
    }

    /// What was given so far, and must not leave.
    pub(crate) fn given(&self) -> &Given {
        &self.given
    }
}

impl CredentialMinter<CommandAction> for Minter {
    type Credential = Issued;

    fn mint<'a>(
        &'a self,
        warrant: &'a Warrant<CommandAction>,
    ) -> BoxFuture<'a, Result<Issued, credential::MintError>> {
        let Subject { operations, principal, .. } = &warrant.record().subject;
        let issued = issue(&self.terms.credentials, operations, principal.id.as_str());
        let issued = issued.map_err(|error| credential::MintError::Refused(error.to_string()));
        if let Ok(issued) = &issued {
            self.given.add(issued.secrets.clone());
        }
        Box::pin(std::future::ready(issued))
    }
}

// === impl Given ===

impl Given {
    fn add(&self, secrets: Secrets) {
        self.all().push(secrets);
    }

    /// Returns `bytes` without any of them.
    pub(crate) fn clean(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.all().iter().fold(bytes, |bytes, secrets| secrets.clean(bytes))
    }

    /// Begins to take all of them out of what comes in parts.
    pub(crate) fn cleaning(&self) -> Cleaning<'static> {
        let mut all: Vec<_> = self.all().iter().cloned().map(Scrubber::new).collect();
        Box::new(move |part| match part {
            Some(part) => all.iter_mut().fold(part.to_vec(), |bytes, one| one.push(&bytes)),
            // The end of what one lets go is behind what the next one has yet to see.
            None => all.iter_mut().fold(Vec::new(), |bytes, one| {
                let mut out = one.push(&bytes);
                out.extend(one.finish());
                out
            }),
        })
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Secrets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Issued ===

impl Issued {
    fn nothing() -> Self {
        Self {
            variables: Vec::new(),
            instead_of: Vec::new(),
            places: Vec::new(),
            aws: None,
            secrets: Secrets::default(),
            loans: Vec::new(),
            until: None,
        }
    }

    /// Takes back what can be taken back, and says what became of everything that was lent.
    pub(crate) fn give_up(&mut self) -> Vec<String> {
        let loans = std::mem::take(&mut self.loans);
        let revoked = loans.iter().map(|loan| match loan {
            Loan::Bound(bound) => bound.revoke(),
            Loan::Lease(lease) => lease.revoke(),
        });
        let until = self.until.take();
        let until = until.map(|until| format!("the AWS session runs out at {until}, not before"));
        revoked.chain(until).collect()
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        // Where the run came to an end its record says it; where it did not there is nothing to add to.
        self.give_up();
    }
}

// === impl Source ===

impl Source {
    fn is_for(&self, operations: &Operations, principal: &str) -> bool {
        let named = |operation: &Operation| {
            let name = operation.protocol.name();
            self.protocols.iter().any(|protocol| protocol == name)
        };
        let whom = self.agents.is_empty() || self.agents.iter().any(|agent| agent == principal);
        whom && operations.iter().any(named)
    }

    /// Returns the first protocol it names that there is none of.
    pub fn unknown_protocol(&self) -> Option<&str> {
        let known = |name: &String| Protocol::ALL.iter().any(|protocol| protocol.name() == name);
        self.protocols.iter().find(|name| !known(name)).map(String::as_str)
    }
}
