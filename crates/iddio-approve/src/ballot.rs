//! What a vote is worth.
//!
//! A vote is a row, and a row can be written by whoever can write the file. So a vote is worth what
//! its signature proves against the registry as it is now, and without a signature no more than
//! "somebody who holds this home's Unix user said so": assurance `none`.

use std::collections::BTreeSet;

use iddio_core::{
    approval::{Assurance, Grant, Vouched},
    digest::Digest,
    principal::{PrincipalId, PrincipalKind},
};

use crate::{
    id::AskId,
    operators::Registry,
    queue::{Form, Setting, Vote},
    statement::{NAMESPACE, Statement},
};

/// Why a vote is worth nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Worthless {
    /// It is no statement.
    #[error("it is not a statement")]
    NotAStatement,
    /// It is about another ask, or the ask was changed after it was signed.
    #[error("it answers another ask")]
    OtherAsk,
    /// It bears no signature where one is needed, or claims a name without one.
    #[error("it is not signed")]
    Unsigned,
    /// Its operator is not enrolled, has no key, or was revoked.
    #[error("its operator is unknown or revoked")]
    UnknownOperator,
    /// The signature is not the operator's.
    #[error("its signature does not verify")]
    BadSignature,
}

/// A vote that counts: what it says, and for whom.
pub(crate) struct Counted {
    pub(crate) statement: Statement,
    pub(crate) vouched: Vouched,
}

/// Weighs `vote` on the ask `id` with `digest`.
pub(crate) fn weigh(
    vote: &Vote,
    id: &AskId,
    digest: Digest,
    registry: &Registry,
    setting: &Setting,
) -> Result<Counted, Worthless> {
    let statement = Statement::parse(&vote.statement).ok_or(Worthless::NotAStatement)?;
    if statement.ask != *id || statement.digest != digest {
        return Err(Worthless::OtherAsk);
    }
    let vouched = match &vote.signature {
        Some(signature) => signed(&statement, &vote.statement, signature, registry)?,
        None => unsigned(&statement, registry, setting)?,
    };
    Ok(Counted { statement, vouched })
}

/// Vouches for a yes.
pub(crate) fn grant(vouched: Vouched) -> Grant {
    Grant::assertion(vouched)
}

fn signed(
    statement: &Statement,
    text: &str,
    signature: &str,
    registry: &Registry,
) -> Result<Vouched, Worthless> {
    let operator = registry.active(&statement.operator).ok_or(Worthless::UnknownOperator)?;
    let key = operator.key.as_ref().ok_or(Worthless::UnknownOperator)?;
    let verified = key.public.verify(NAMESPACE, text.as_bytes(), signature);
    verified.map_err(|_| Worthless::BadSignature)?;
    Ok(Vouched {
        by: operator.id.clone(),
        aliases: operator.names(),
        kind: PrincipalKind::Human,
        groups: operator.groups.clone(),
        assurance: key.assurance,
        ask: statement.digest,
        expires: statement.expires,
        ticket: None,
        statement: Some(statement.text_digest()),
    })
}

/// Somebody with the home's Unix user said so. Which human that was, nobody knows; they are every
/// operator who is that user, so that none of them is counted twice.
fn unsigned(
    statement: &Statement,
    registry: &Registry,
    setting: &Setting,
) -> Result<Vouched, Worthless> {
    let local = setting.local().ok_or(Worthless::Unsigned)?;
    if setting.form == Form::Service || statement.operator != local {
        return Err(Worthless::Unsigned);
    }
    let (mut aliases, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for operator in registry.by_alias(&local) {
        aliases.insert(operator.id.clone());
        aliases.extend(operator.names());
        groups.extend(operator.groups.iter().cloned());
    }
    Ok(Vouched {
        by: local,
        aliases: aliases.into_iter().collect::<Vec<PrincipalId>>(),
        kind: PrincipalKind::Human,
        groups: groups.into_iter().collect(),
        assurance: Assurance::None,
        ask: statement.digest,
        expires: statement.expires,
        ticket: None,
        statement: None,
    })
}
