//! Who calls, and how we know.
//!
//! Without a token the caller is its Unix user, `local:<name>`, as the kernel and the user database
//! have it. A token that verifies makes it the agent the token belongs to. A name without a token
//! that verifies is recorded as claimed, and policy treats it as unknown.

use iddio_core::principal::{Identified, Principal, PrincipalId, PrincipalKind, Proof};
use iddio_mint::token::Token;

use crate::{
    agents::{Agent, Agents, Roll},
    home::Home,
    store::StoreError,
};

/// What a caller shows of itself.
#[derive(Debug, Default)]
pub struct Credentials<'a> {
    /// `--agent NAME`.
    pub agent: Option<&'a str>,
    /// `IDDIO_TOKEN`.
    pub token: Option<&'a str>,
}

/// What a certificate says, which was verified: whose it is, and by whose word.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// Its serial number, where this home issued it: the one that is stored is good, and no other.
    /// Where another authority did, nobody here knows its numbers.
    pub serial: Option<&'a str>,
}

/// A caller could not be told from others.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The name has characters no principal has.
    #[error("`{0}` cannot be a principal")]
    Name(String),
    /// Who is an agent cannot be told.
    #[error("{0}")]
    Roll(String),
    /// The agents could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns who calls.
///
/// # Errors
///
/// When the stores cannot be read, or the name cannot be recorded.
pub fn identify(home: &Home, shown: &Credentials<'_>) -> Result<Identified, IdentityError> {
    let agents = Agents::of(home);
    let token = match (shown.token, shown.agent) {
        (Some(text), _) => Token::parse(text),
        (None, Some(name)) => agents.token(name)?,
        (None, None) => return local(home),
    };
    let bearer = match &token {
        Some(token) => agents.bearer(token)?,
        None => None,
    };
    let principal = match (bearer, shown.agent) {
        // Both present must agree.
        (Some(agent), Some(name)) if agent.name != name => claimed(name)?,
        (Some(agent), _) => proven(agent)?,
        (None, Some(name)) => claimed(name)?,
        (None, None) => claimed(UNKNOWN_BEARER)?,
    };
    Ok(Identified::assertion(principal))
}

/// Returns who calls from another process, which the kernel says is `user`'s. The store of agents is the
/// service's: only a token that the caller shows makes it an agent, never a name.
///
/// # Errors
///
/// When the stores cannot be read, or the name cannot be recorded.
pub fn identify_peer(
    home: &Home,
    user: &str,
    shown: &Credentials<'_>,
) -> Result<Identified, IdentityError> {
    match (shown.token, shown.agent) {
        (Some(_), _) => identify(home, shown),
        (None, Some(name)) => Ok(Identified::assertion(claimed(name)?)),
        (None, None) => {
            let id = principal_id(&format!("local:{user}"))?;
            Ok(Identified::assertion(principal(id, PrincipalKind::Human, Proof::UnixUser)))
        }
    }
}

/// Returns the agent whose token this is, if it is anybody's.
///
/// # Errors
///
/// When its name cannot be recorded.
pub fn bearer(roll: &Roll, token: &Token) -> Result<Option<Identified>, IdentityError> {
    let agent = roll.bearer(token).cloned().map(proven).transpose()?;
    Ok(agent.map(Identified::assertion))
}

/// Returns the agent that a certificate is of, unless it was revoked, has another certificate by now,
/// or shows a token that is not its own: whoever shows two things must be one by both (threat K28).
///
/// # Errors
///
/// When the name cannot be recorded.
pub fn certified(
    roll: &Roll,
    certificate: &Certificate<'_>,
    token: Option<&Token>,
) -> Result<Option<Identified>, IdentityError> {
    let Some(agent) = roll.named(certificate.agent) else { return Ok(None) };
    let stored = agent.certificate.as_ref().map(|stored| stored.serial.as_str());
    if certificate.serial.is_some() && certificate.serial != stored {
        return Ok(None);
    }
    let agrees = |token| roll.bearer(token).is_some_and(|bearer| bearer.name == agent.name);
    if !token.is_none_or(agrees) {
        return Ok(None);
    }
    let principal = Principal { proof: Proof::Certificate, ..proven(agent.clone())? };
    Ok(Some(Identified::assertion(principal)))
}

fn local(home: &Home) -> Result<Identified, IdentityError> {
    let id = principal_id(&format!("local:{}", home.user()))?;
    Ok(Identified::assertion(principal(id, PrincipalKind::Human, Proof::UnixUser)))
}

fn proven(agent: Agent) -> Result<Principal, IdentityError> {
    let Agent { name, on_behalf_of, groups, .. } = agent;
    let delegation = vec![principal_id(&on_behalf_of)?];
    let agent = principal(principal_id(&name)?, PrincipalKind::Agent, Proof::Token);
    Ok(Principal { delegation, groups, ..agent })
}

fn claimed(name: &str) -> Result<Principal, IdentityError> {
    Ok(principal(principal_id(name)?, PrincipalKind::Agent, Proof::Claimed))
}

fn principal(id: PrincipalId, kind: PrincipalKind, proof: Proof) -> Principal {
    Principal {
        id,
        kind,
        delegation: Vec::new(),
        proof,
        groups: Vec::new(),
        tenant: None,
        task: None,
    }
}

fn principal_id(name: &str) -> Result<PrincipalId, IdentityError> {
    PrincipalId::new(name).ok_or_else(|| IdentityError::Name(name.to_owned()))
}

/// How a token nobody knows is recorded: the token itself must not be.
const UNKNOWN_BEARER: &str = "unknown-bearer";
