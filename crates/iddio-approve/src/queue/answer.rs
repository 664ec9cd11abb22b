//! The approver's side of the queue: saying yes, saying no.

use iddio_core::{
    approval::{Ask, Assurance, Grant, Objection},
    principal::PrincipalId,
    tier::Tier,
    time::Moment,
};
use iddio_mint::{ApproverKey, approver::KeyError};
use rusqlite::Connection;

use super::{
    Entry, Form, Queue, QueueError, State, Vote, begin, db,
    db::Won,
    entry, find,
    put::{TICKET_MILLIS_MAX, may_share},
    sweep,
};
use crate::{
    ballot::{self, Worthless},
    likeness::kin,
    operators::{Registry, RegistryError},
    render,
    statement::{NAMESPACE, Statement, Word},
};

/// A yes.
#[derive(Clone, Copy, Debug)]
pub struct Approval<'a> {
    /// Who says it, and how they prove it.
    pub signer: Signer<'a>,
    /// For how many milliseconds it may serve like asks as well.
    pub ticket_millis: Option<u64>,
    /// Whether they opened the ask in full.
    pub reviewed: Reviewed<'a>,
}

/// A no.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    /// Who says it, and how they prove it.
    pub signer: Signer<'a>,
    /// Why, in their words.
    pub reason: Option<&'a str>,
}

/// How an answer is proven.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// By a signature made elsewhere over a statement of [`Queue::statement`].
    Detached {
        /// The statement.
        statement: &'a str,
        /// The armoured signature.
        signature: &'a str,
    },
    /// By the operator's key, here.
    Key(&'a ApproverKey),
    /// Not at all: whoever holds the home's Unix user.
    Unsigned,
}

/// Whether the approver opened in full what is too long to show at once.
#[derive(Clone, Copy, Debug)]
pub enum Reviewed<'a> {
    /// They name the beginning of the digest that stands at the end of the full view.
    Digest(&'a str),
    /// They did not say so.
    NotSaid,
}

/// A yes that was taken.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The ask, as it was when it was approved.
    pub entry: Entry,
    /// Who said yes.
    pub by: PrincipalId,
    /// How sure we are.
    pub assurance: Assurance,
    /// How many different humans have said yes now.
    pub have: usize,
    /// How many are needed.
    pub need: usize,
}

/// A yes or no was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApproveError {
    /// The ask is over.
    #[error("`{id}` is over: {}", .state.name())]
    Ended {
        /// Which.
        id: String,
        /// How.
        state: State,
    },
    /// It is held back.
    #[error("`{id}` is held back for {seconds} s: like asks were refused")]
    HeldBack {
        /// Which.
        id: String,
        /// For how long.
        seconds: u64,
    },
    /// The answer needs a signature.
    #[error("`{0}` needs the signature of an approver")]
    NeedsKey(String),
    /// It is too long to approve without opening it.
    #[error("`{0}` is too long to approve unseen: open it in full and name the digest at its end")]
    NotReviewed(String),
    /// The yes would not count.
    #[error("this yes would not count: {0}")]
    Objection(Objection),
    /// The statement or its signature is not sound.
    #[error("this answer proves nothing: {0}")]
    Worthless(Worthless),
    /// A statement made for a yes was used for a no, or the reverse, or it asks for another ticket.
    #[error("the statement says something else")]
    OtherStatement,
    /// A ticket is not possible here.
    #[error("no ticket for `{id}`: {reason}")]
    NoTicket {
        /// Which.
        id: String,
        /// Why.
        reason: &'static str,
    },
    /// The key is nobody's.
    #[error("this key is not enrolled, or its operator was revoked")]
    KeyUnknown,
    /// This was said before, or too much was said.
    #[error("this answer was given already")]
    Twice,
    /// There are no random bytes, or the key failed.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// The registry could not be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The queue could not be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Queue {
    /// Says yes to the ask with this name.
    ///
    /// The asker verifies it again before it acts on it.
    ///
    /// # Errors
    ///
    /// When the ask is over, the yes would not count, or it is not proven as the ask needs it.
    pub fn approve(
        &mut self,
        name: &str,
        approval: Approval<'_>,
    ) -> Result<Approved, ApproveError> {
        let now = self.clock.now();
        let registry = Registry::open(&self.setting.dir)?;
        let setting = self.setting.clone();
        let tx = begin(&mut self.db)?;
        let found = open_entry(&tx, &setting.dir, name, now)?;
        if now.boot.millis < found.shown {
            let seconds = found.shown.saturating_sub(now.boot.millis).div_ceil(1_000);
            return Err(ApproveError::HeldBack { id: found.id.to_string(), seconds });
        }
        reviewed(&found, approval.reviewed)?;
        let vote = match approval.signer {
            Signer::Unsigned => {
                let free = found.ask.assurance_required() == Assurance::None;
                if !free || setting.form == Form::Service {
                    return Err(ApproveError::NeedsKey(found.id.to_string()));
                }
                let local = setting.local().ok_or(ApproveError::KeyUnknown)?;
                let ticket = ticket(&found, approval.ticket_millis, now)?;
                let statement = statement(&found, local, Word::Grant, ticket)?;
                Vote { statement: statement.to_string(), signature: None, cast: now.wall }
            }
            Signer::Key(key) => {
                let operator = registry.by_key(&key.public()).ok_or(ApproveError::KeyUnknown)?;
                let ticket = ticket(&found, approval.ticket_millis, now)?;
                let said = statement(&found, operator.id.clone(), Word::Grant, ticket)?;
                sign(&said, key, now)?
            }
            Signer::Detached { statement, signature } => {
                let said = Statement::parse(statement);
                let said = said.ok_or(ApproveError::Worthless(Worthless::NotAStatement))?;
                if let Some(until) = said.ticket {
                    let left = now.boot.until(until.boot).ok_or(ApproveError::OtherStatement)?;
                    ticket(&found, Some(left), now)?;
                }
                Vote {
                    statement: statement.to_owned(),
                    signature: Some(signature.to_owned()),
                    cast: now.wall,
                }
            }
        };
        let counted = ballot::weigh(&vote, &found.id, found.digest(), &registry, &setting);
        let counted = counted.map_err(ApproveError::Worthless)?;
        if counted.statement.word != Word::Grant {
            return Err(ApproveError::OtherStatement);
        }
        let (by, assurance) = (counted.vouched.by.clone(), counted.vouched.assurance);
        let grant = ballot::grant(counted.vouched);
        match found.ask.objection(std::slice::from_ref(&grant), now) {
            None | Some(Objection::TooFew) => {}
            Some(objection) => return Err(ApproveError::Objection(objection)),
        }
        if db::vote(&tx, &found.id, &vote).map_err(QueueError::from)? == Won::Elsewhere {
            return Err(ApproveError::Twice);
        }
        let votes = db::votes(&tx, &found.id)?;
        tx.commit().map_err(QueueError::from)?;
        let weigh = |vote| ballot::weigh(vote, &found.id, found.digest(), &registry, &setting);
        let said = votes.iter().filter_map(|vote| weigh(vote).ok());
        let yes = said.filter(|counted| counted.statement.word == Word::Grant);
        let grants: Vec<_> = yes.map(|counted| ballot::grant(counted.vouched)).collect();
        let (have, need) =
            (people(&found.ask, &grants, now), found.ask.approvers_required().into());
        Ok(Approved { entry: Entry { votes, ..found }, by, assurance, have, need })
    }

    /// Says no to the ask with this name, which ends it.
    ///
    /// Whoever holds the home's Unix user may say no, to anything: that is always safe.
    ///
    /// # Errors
    ///
    /// When the ask is over, or the proof offered is not sound.
    pub fn deny(&mut self, name: &str, denial: Denial<'_>) -> Result<Entry, ApproveError> {
        let now = self.clock.now();
        let registry = Registry::open(&self.setting.dir)?;
        let setting = self.setting.clone();
        let tx = begin(&mut self.db)?;
        let found = open_entry(&tx, &setting.dir, name, now)?;
        let local = setting.local().ok_or(ApproveError::KeyUnknown)?;
        let vote = match denial.signer {
            Signer::Unsigned => None,
            Signer::Key(key) => {
                let operator = registry.by_key(&key.public()).ok_or(ApproveError::KeyUnknown)?;
                let said = statement(&found, operator.id.clone(), Word::Refuse, None)?;
                Some(sign(&said, key, now)?)
            }
            Signer::Detached { statement, signature } => Some(Vote {
                statement: statement.to_owned(),
                signature: Some(signature.to_owned()),
                cast: now.wall,
            }),
        };
        let by = match &vote {
            None => local,
            Some(vote) => {
                let counted = ballot::weigh(vote, &found.id, found.digest(), &registry, &setting);
                let counted = counted.map_err(ApproveError::Worthless)?;
                if counted.statement.word != Word::Refuse {
                    return Err(ApproveError::OtherStatement);
                }
                let _: Won = db::vote(&tx, &found.id, vote).map_err(QueueError::from)?;
                counted.vouched.by
            }
        };
        let reason = denial.reason.map(|reason| clipped(reason, REASON_BYTES_MAX));
        let ended = db::end(&tx, &found.id, State::Refused, Some(by.as_str()), reason, now.wall);
        if ended.map_err(QueueError::from)? == Won::Elsewhere {
            return Err(ApproveError::Twice);
        }
        let kin = kin(&found.ask).to_hex();
        let earlier = db::refusals(&tx, &kin).map_err(QueueError::from)?;
        let same_boot = earlier.filter(|refusals| refusals.boot_id == db::boot(now));
        let count = same_boot.map_or(0, |refusals| refusals.count).saturating_add(1);
        db::refused(&tx, &kin, count, now).map_err(QueueError::from)?;
        let row = find(&tx, found.id.as_str())?;
        let over = entry(&tx, row)?;
        tx.commit().map_err(QueueError::from)?;
        Ok(over)
    }

    /// Returns the statement `operator` would sign to answer the ask with this name, for a key
    /// that is used elsewhere: `ssh-keygen -Y sign -n iddio-approval`.
    ///
    /// # Errors
    ///
    /// When the ask is over, or there is no such operator.
    pub fn statement(
        &mut self,
        name: &str,
        operator: &str,
        word: Word,
        ticket_millis: Option<u64>,
    ) -> Result<Statement, ApproveError> {
        let now = self.clock.now();
        let registry = Registry::open(&self.setting.dir)?;
        let named = registry.find(operator).filter(|operator| operator.revoked.is_none());
        let id = named.ok_or(ApproveError::KeyUnknown)?.id.clone();
        let dir = self.setting.dir.clone();
        let tx = begin(&mut self.db)?;
        let found = open_entry(&tx, &dir, name, now)?;
        tx.commit().map_err(QueueError::from)?;
        let ticket = ticket(&found, ticket_millis, now)?;
        statement(&found, id, word, ticket)
    }
}

/// Counts the people behind `grants`, leaving out what does not count.
pub(crate) fn people(ask: &Ask, grants: &[Grant], now: Moment) -> usize {
    let counts = |grant: &&Grant| {
        let objection = ask.objection(std::slice::from_ref(*grant), now);
        matches!(objection, None | Some(Objection::TooFew))
    };
    let sound: Vec<_> = grants.iter().filter(counts).cloned().collect();
    Grant::people(&sound)
}

fn open_entry(
    tx: &Connection,
    dir: &std::path::Path,
    name: &str,
    now: Moment,
) -> Result<Entry, ApproveError> {
    sweep(tx, dir, now)?;
    let found = entry(tx, find(tx, name)?)?;
    // The columns are only an index: what counts is the ask itself.
    let lapsed = now.boot.until(found.ask.lapses.boot).is_none();
    match found.state {
        State::Pending if lapsed => {
            Err(ApproveError::Ended { id: found.id.to_string(), state: State::Lapsed })
        }
        State::Pending => Ok(found),
        state => Err(ApproveError::Ended { id: found.id.to_string(), state }),
    }
}

fn reviewed(found: &Entry, reviewed: Reviewed<'_>) -> Result<(), ApproveError> {
    let seen = match (render::length(&found.ask), reviewed) {
        (render::Length::Short, _) => true,
        (render::Length::Long, Reviewed::NotSaid) => false,
        (render::Length::Long, Reviewed::Digest(prefix)) => {
            DIGEST_DIGITS_MIN <= prefix.len() && found.digest().to_hex().starts_with(prefix)
        }
    };
    seen.then_some(()).ok_or_else(|| ApproveError::NotReviewed(found.id.to_string()))
}

fn ticket(found: &Entry, millis: Option<u64>, now: Moment) -> Result<Option<Moment>, ApproveError> {
    let no = |reason| ApproveError::NoTicket { id: found.id.to_string(), reason };
    match millis {
        None => Ok(None),
        Some(_) if Tier::Modify < found.ask.tier() => Err(no("tickets end at T2")),
        Some(_) if may_share(&found.ask).is_none() => Err(no("policy forbids it")),
        Some(0) => Err(no("it would end at once")),
        Some(millis) if TICKET_MILLIS_MAX < millis => Err(no("15 minutes at most")),
        Some(millis) => Ok(Some(now.plus_millis(millis))),
    }
}

fn statement(
    found: &Entry,
    operator: PrincipalId,
    word: Word,
    ticket: Option<Moment>,
) -> Result<Statement, ApproveError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|_| ApproveError::Sign("no random bytes".to_owned()))?;
    Ok(Statement {
        ask: found.id.clone(),
        digest: found.digest(),
        word,
        operator,
        expires: found.ask.lapses,
        ticket,
        nonce: u128::from_be_bytes(nonce),
    })
}

fn sign(statement: &Statement, key: &ApproverKey, now: Moment) -> Result<Vote, ApproveError> {
    let text = statement.to_string();
    let signature = key.sign(NAMESPACE, text.as_bytes());
    let signature = signature.map_err(|error: KeyError| ApproveError::Sign(error.to_string()))?;
    Ok(Vote { statement: text, signature: Some(signature), cast: now.wall })
}

/// Cuts at a character, not inside one.
fn clipped(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// How many digits of the digest an approver must name to show that they saw its end.
const DIGEST_DIGITS_MIN: usize = 8;

/// The most bytes of a reason for a no.
const REASON_BYTES_MAX: usize = 1_024;
