//! Who may say what, by who they are.
//!
//! A peer is the Unix user that the kernel names at the other end of the socket. A gateway speaks for
//! any principal, since it identified them; everybody else speaks for themselves, for whom the
//! configuration lets them, and may say of anybody that they were refused under a name nobody proved.
//!
//! INVARIANT: what is charged to a principal was said by somebody who may speak for it, so nobody uses
//! up another's allowance (E24).

use std::collections::HashMap;

use iddio_audit::Charge;
use iddio_core::{
    audit::line::stated::{Answered, Behalf, Claim, Says},
    principal::{PrincipalId, Proof},
};
use nix::unistd::{Gid, Group, Uid, User};

use crate::config::Config;

/// Who may say what.
#[derive(Debug)]
pub(crate) struct Rights {
    config: Config,
    known: HashMap<u32, Person>,
}

/// A user, and what it may.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) own: PrincipalId,
    others: Vec<String>,
    speech: Speech,
    pub(crate) sight: Sight,
}

/// For whom a user speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speech {
    Anybody,
    Some,
}

/// Whether a user may read the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sight {
    Blind,
    Reads,
}

// === impl Rights ===

impl Rights {
    pub(crate) fn of(config: &Config) -> Self {
        Self { config: config.clone(), known: HashMap::new() }
    }

    /// Returns who the user `uid` is; `None` if the user database does not know.
    pub(crate) fn person(&mut self, uid: u32, gid: u32) -> Option<Person> {
        if let Some(person) = self.known.get(&uid) {
            return Some(person.clone());
        }
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten()?;
        let own = PrincipalId::new(&format!("local:{}", user.name))?;
        let Config { gateways, readers, reader_group, speaks, .. } = &self.config;
        let gateway = gateways.contains(&user.name);
        let group = Group::from_name(reader_group).ok().flatten();
        let member = group
            .is_some_and(|group| group.gid == Gid::from_raw(gid) || group.mem.contains(&user.name));
        let reads = uid == 0 || readers.contains(&user.name) || member;
        let person = Person {
            own,
            others: speaks.get(&user.name).cloned().unwrap_or_default(),
            speech: if gateway { Speech::Anybody } else { Speech::Some },
            sight: if reads { Sight::Reads } else { Sight::Blind },
        };
        if self.known.len() < KNOWN_MAX {
            self.known.insert(uid, person.clone());
        }
        Some(person)
    }

    /// Forgets who is who, so that a change of the user database counts.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }
}

// === impl Person ===

impl Person {
    /// Returns what a statement of this user is charged to, or why it may not make it.
    pub(crate) fn charge(&self, says: &Says) -> Result<Charge, String> {
        match says {
            Says::Admin { agent } => match agent {
                Some(agent) if !self.speaks_for(agent) => Err(self.not_for(agent)),
                Some(_) | None => Ok(Charge::Record(self.own.clone())),
            },
            Says::Allowed { claim, answer } => {
                self.vouches(claim)?;
                Ok(match answer {
                    // It ends an ask, which was charged.
                    Answered::Yes => Charge::Free,
                    Answered::No => Charge::Record(self.payer(claim)),
                })
            }
            Says::Asked(claim) => {
                self.vouches(claim)?;
                Ok(Charge::Record(self.payer(claim)))
            }
            Says::Closed { .. } => Ok(Charge::Free),
            Says::Denied { claim, answer } => {
                if claim.proof != Proof::Claimed {
                    self.vouches(claim)?;
                }
                Ok(match answer {
                    Answered::Yes => Charge::Free,
                    Answered::No => Charge::Refusal(self.payer(claim)),
                })
            }
        }
    }

    /// Whether this user may say that the principal of `claim` did something.
    fn vouches(&self, claim: &Claim) -> Result<(), String> {
        let Claim { agent, proof, behalf } = claim;
        if self.speech == Speech::Anybody {
            return Ok(());
        }
        if !self.speaks_for(agent) {
            return Err(self.not_for(agent));
        }
        let alone = match behalf {
            Behalf::Own => true,
            // An agent of this user acts for this user.
            Behalf::Others(names) => {
                *agent != self.own && names.iter().all(|name| *name == self.own)
            }
        };
        match (alone, proof) {
            (true, Proof::UnixUser) if *agent == self.own => Ok(()),
            (true, Proof::Token) if *agent != self.own => Ok(()),
            (false, _) => Err(format!("`{}` may not say for whom others act", self.own)),
            (true, _) => Err(format!("`{agent}` is not proven by {} here", proof.name())),
        }
    }

    fn speaks_for(&self, agent: &PrincipalId) -> bool {
        self.speech == Speech::Anybody
            || *agent == self.own
            || self.others.iter().any(|other| other == agent.as_str())
    }

    fn not_for(&self, agent: &PrincipalId) -> String {
        format!(
            "`{}` may not speak for `{agent}` (gateways and speaks in {})",
            self.own,
            crate::config::PATH
        )
    }

    /// Whoever is not a gateway pays for all it says itself.
    fn payer(&self, claim: &Claim) -> PrincipalId {
        match self.speech {
            Speech::Anybody => claim.agent.clone(),
            Speech::Some => self.own.clone(),
        }
    }
}

/// How many users are remembered between two looks at the user database.
const KNOWN_MAX: usize = 4_096;
