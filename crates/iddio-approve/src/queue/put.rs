//! The asker's side of the queue: putting an ask, looking for its end, taking a grant.

use std::{collections::BTreeSet, io, path::Path};

use iddio_core::{
    approval::{Answer, Ask, Grant, Objection},
    policy::SharedApproval,
    principal::PrincipalId,
    tier::Tier,
    time::Moment,
};
use rusqlite::Connection;

use super::{
    Queue, QueueError, State, begin,
    db::{self, NewRow, Refusals, Stir, Won},
    liveness::Presence,
    sweep,
};
use crate::{
    approver::Notice,
    ballot::{self, Worthless},
    id::AskId,
    likeness::{kin, likeness},
    operators::Registry,
    statement::{Statement, Word},
    stored,
};

/// An ask that was put.
#[derive(Debug)]
pub(crate) struct Enqueued {
    pub(crate) id: AskId,
    pub(crate) hold: Hold,
    pub(crate) presence: Presence,
}

/// Whether an ask is shown at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hold {
    /// It is held back, because like asks were refused.
    Millis(u64),
    /// It is.
    None,
}

/// An ask could not be put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The caller has as many asks waiting as it may have.
    #[error("`{0}` has {PENDING_PER_PRINCIPAL_MAX} asks waiting already")]
    PrincipalFull(PrincipalId),
    /// As many asks wait as may.
    #[error("{PENDING_MAX} asks are waiting already")]
    Full,
    /// The ask is larger than an approver could judge.
    #[error("the ask has {0} bytes, more than {ASK_BYTES_MAX}")]
    TooLarge(usize),
    /// Its time is over before it began.
    #[error("the ask has lapsed already")]
    Lapsed,
    /// No name was free.
    #[error("no free name for the ask")]
    NoName,
    /// The asker's lock could not be taken.
    #[error("cannot hold the ask's lock: {0}")]
    Presence(io::Error),
    /// The queue could not be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What an asker sees when it looks.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is over.
    Answered(Answer),
    /// Not yet.
    Waiting,
}

impl Queue {
    /// Puts an ask, and says who asks by a lock that ends with this process.
    pub(crate) fn put(&mut self, ask: &Ask) -> Result<Enqueued, PutError> {
        let now = self.clock.now();
        let body = stored::write(ask).map_err(QueueError::from)?;
        if ASK_BYTES_MAX < body.len() {
            return Err(PutError::TooLarge(body.len()));
        }
        let left = now.boot.until(ask.lapses.boot).ok_or(PutError::Lapsed)?;
        let dir = self.setting.dir.clone();
        let tx = begin(&mut self.db)?;
        sweep(&tx, &dir, now)?;
        let principal = &ask.principal.id;
        let (all, own) = db::depth(&tx, principal.as_str()).map_err(QueueError::from)?;
        if PENDING_MAX <= all {
            return Err(PutError::Full);
        }
        if PENDING_PER_PRINCIPAL_MAX <= own {
            return Err(PutError::PrincipalFull(principal.clone()));
        }
        let kin = kin(ask).to_hex();
        let refusals = db::refusals(&tx, &kin).map_err(QueueError::from)?;
        let hold = hold(refusals.as_ref(), now);
        let (likeness, held) = (likeness(ask).to_hex(), held_millis(hold));
        let lapses = now.boot.millis.saturating_add(left);
        let (principal, body, asked) = (principal.as_str(), body.as_str(), now);
        let shown = now.boot.millis.saturating_add(held);
        for attempt in 0..NAMES_TRIED {
            let id = AskId::derive(ask.id, attempt);
            let presence = Presence::take(&dir, &id).map_err(PutError::Presence)?;
            let Some(presence) = presence else { continue };
            let new = NewRow {
                id: &id,
                principal,
                body,
                likeness: &likeness,
                kin: &kin,
                asked,
                shown,
                lapses,
            };
            if db::insert(&tx, &new).map_err(QueueError::from)? == Won::Here {
                db::prune(&tx).map_err(QueueError::from)?;
                tx.commit().map_err(QueueError::from)?;
                return Ok(Enqueued { id, hold, presence });
            }
        }
        Err(PutError::NoName)
    }

    /// Looks whether `ask`, which this process put as `id`, is over; takes the grants if there are
    /// enough. What is ignored is told to `notice` once.
    pub(crate) fn step(
        &mut self,
        id: &AskId,
        ask: &Ask,
        told: &mut BTreeSet<String>,
        notice: &dyn Fn(Notice),
    ) -> Result<Step, QueueError> {
        let now = self.clock.now();
        // Nearly every look ends here, without a lock that others would wait for.
        let in_time = now.boot.until(ask.lapses.boot).is_some();
        if in_time && db::stir(&self.db, id)? == Stir::Quiet {
            return Ok(Step::Waiting);
        }
        let registry = self.registry(&mut |unreadable| {
            if told.insert(REGISTRY.to_owned()) {
                notice(unreadable);
            }
        });
        let setting = self.setting.clone();
        let tx = begin(&mut self.db)?;
        sweep(&tx, &setting.dir, now)?;
        let row = db::ask(&tx, id)?.ok_or_else(|| QueueError::Unknown(id.to_string()))?;
        if row.state != State::Pending {
            let by = refuser(&tx, id, ask, &registry, &setting)?;
            tx.commit()?;
            return Ok(Step::Answered(ended(row.state, by)));
        }
        let digest = ask.digest();
        let mut grants = Vec::new();
        for vote in db::votes(&tx, id)? {
            let worth = ballot::weigh(&vote, id, digest, &registry, &setting);
            let grant = match worth {
                Ok(counted) if counted.statement.word == Word::Grant => counted.vouched,
                Ok(_) => continue,
                Err(why) => {
                    ignore(&vote.statement, Ignored::Worthless(why), told, &|ignored| {
                        notice(Notice::Ignored { id: id.clone(), why: ignored });
                    });
                    continue;
                }
            };
            let grant = ballot::grant(grant);
            match ask.objection(std::slice::from_ref(&grant), now) {
                None | Some(Objection::TooFew) => grants.push(grant),
                Some(objection) => {
                    ignore(&vote.statement, Ignored::Objection(objection), told, &|ignored| {
                        notice(Notice::Ignored { id: id.clone(), why: ignored });
                    });
                }
            }
        }
        let step = take(&tx, id, ask, grants, now)?;
        tx.commit()?;
        Ok(step)
    }

    /// Answers `ask` with the bounded tickets that cover it, if they are enough.
    pub(crate) fn redeem(
        &mut self,
        id: &AskId,
        ask: &Ask,
        notice: &dyn Fn(Notice),
    ) -> Result<Step, QueueError> {
        let now = self.clock.now();
        if may_share(ask).is_none() {
            return Ok(Step::Waiting);
        }
        let registry = self.registry(&mut |unreadable| notice(unreadable));
        let setting = self.setting.clone();
        let tx = begin(&mut self.db)?;
        let mut grants = Vec::new();
        for row in db::alike(&tx, &likeness(ask).to_hex())? {
            // A damaged or dissimilar ask gives no ticket; the column is only an index.
            let Ok(given_on) = stored::read(&row.body) else { continue };
            if likeness(&given_on) != likeness(ask) || may_share(&given_on).is_none() {
                continue;
            }
            for vote in db::votes(&tx, &row.id)? {
                let counted = ballot::weigh(&vote, &row.id, given_on.digest(), &registry, &setting);
                let Ok(counted) = counted else { continue };
                let Some(until) = ticket_end(&counted.statement, &given_on, now) else { continue };
                let mut vouched = counted.vouched;
                vouched.ask = ask.digest();
                vouched.expires = until;
                vouched.ticket = Some(row.id.to_string());
                let grant = ballot::grant(vouched);
                match ask.objection(std::slice::from_ref(&grant), now) {
                    None | Some(Objection::TooFew) => grants.push(grant),
                    Some(_) => {}
                }
            }
        }
        let step = take(&tx, id, ask, grants, now)?;
        tx.commit()?;
        Ok(step)
    }

    /// Withdraws an ask, unless it is over.
    pub(crate) fn withdraw(&mut self, id: &AskId) -> Result<(), QueueError> {
        let now = self.clock.now();
        let _: Won = db::end(&self.db, id, State::Withdrawn, None, None, now.wall)?;
        Ok(())
    }

    /// A registry that cannot be read has no operators: nothing signed counts.
    fn registry(&self, notice: &mut dyn FnMut(Notice)) -> Registry {
        let dir: &Path = &self.setting.dir;
        Registry::open(dir).unwrap_or_else(|error| {
            notice(Notice::NoRegistry { reason: error.to_string() });
            Registry::none(dir)
        })
    }
}

/// Why a vote was ignored.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Ignored {
    /// It proves nothing.
    #[error("{0}")]
    Worthless(Worthless),
    /// It is a human's, and does not count here.
    #[error("{0}")]
    Objection(Objection),
}

/// Consumes the ask if `grants` are a yes and nobody ended it meanwhile.
fn take(
    tx: &Connection,
    id: &AskId,
    ask: &Ask,
    grants: Vec<Grant>,
    now: Moment,
) -> Result<Step, QueueError> {
    if grants.is_empty() || ask.objection(&grants, now).is_some() {
        return Ok(Step::Waiting);
    }
    let by: Vec<_> = grants.iter().map(|grant| grant.by().as_str()).collect();
    match db::end(tx, id, State::Consumed, Some(&by.join(",")), None, now.wall)? {
        Won::Here => {
            db::forgiven(tx, &kin(ask).to_hex())?;
            Ok(Step::Answered(Answer::Grant(grants)))
        }
        Won::Elsewhere => Ok(Step::Waiting),
    }
}

/// The answer of an ask that this process did not consume itself. Consumed by somebody else is no
/// yes here: fail closed.
fn ended(state: State, by: Option<PrincipalId>) -> Answer {
    match (state, by) {
        (State::Refused, Some(by)) => Answer::Refuse { by },
        (State::Withdrawn, _) => Answer::Withdraw,
        (State::Refused | State::Pending | State::Consumed | State::Lapsed, _) => Answer::Lapse,
    }
}

/// Who refused: the operator whose signed no verifies, else whoever holds the home's Unix user.
fn refuser(
    tx: &Connection,
    id: &AskId,
    ask: &Ask,
    registry: &Registry,
    setting: &super::Setting,
) -> Result<Option<PrincipalId>, QueueError> {
    let digest = ask.digest();
    let said_no = |vote: &super::Vote| {
        let counted = ballot::weigh(vote, id, digest, registry, setting).ok()?;
        (counted.statement.word == Word::Refuse).then_some(counted.vouched.by)
    };
    let named = db::votes(tx, id)?.iter().find_map(said_no);
    Ok(named.or_else(|| setting.local()))
}

/// Whether asks like this one may share a yes: T2 at most, and policy does not forbid it.
pub(super) fn may_share(ask: &Ask) -> Option<()> {
    let low = ask.tier() <= Tier::Modify && ask.operations.native_tier() <= Tier::Modify;
    let permitted = ask.decision.obligations.shared_approval == SharedApproval::Permitted;
    (low && permitted).then_some(())
}

/// Returns when the ticket in `statement` ends, if it has one that is not over. One that runs
/// longer than a ticket may is none.
fn ticket_end(statement: &Statement, given_on: &Ask, now: Moment) -> Option<Moment> {
    let until = statement.ticket.filter(|_| statement.word == Word::Grant)?;
    now.boot.until(until.boot)?;
    let latest = given_on.lapses.boot.millis.saturating_add(TICKET_MILLIS_MAX);
    (until.boot.millis <= latest).then_some(until)
}

fn ignore(statement: &str, why: Ignored, told: &mut BTreeSet<String>, notice: &dyn Fn(Ignored)) {
    if told.insert(statement.to_owned()) {
        notice(why);
    }
}

/// How long an ask of a kin that was refused is held back.
fn hold(refusals: Option<&Refusals>, now: Moment) -> Hold {
    let Some(refusals) = refusals.filter(|refusals| refusals.boot_id == db::boot(now)) else {
        return Hold::None;
    };
    let Some(over) = refusals.count.checked_sub(REFUSALS_FREE) else { return Hold::None };
    let wait = BACK_OFF_MILLIS.saturating_mul(1 << over.min(16)).min(BACK_OFF_MILLIS_MAX);
    let since = now.boot.millis.saturating_sub(refusals.last);
    match wait.checked_sub(since) {
        Some(0) | None => Hold::None,
        Some(left) => Hold::Millis(left),
    }
}

fn held_millis(hold: Hold) -> u64 {
    match hold {
        Hold::Millis(millis) => millis,
        Hold::None => 0,
    }
}

/// How many asks wait at most: more than people can read, so the rest are refused (A11).
pub const PENDING_MAX: u64 = 256;

/// How many asks of one principal wait at most, so that it leaves room for the others (A11).
pub const PENDING_PER_PRINCIPAL_MAX: u64 = 32;

/// The most bytes of a stored ask. What is longer nobody reads; it is refused, not cut.
pub const ASK_BYTES_MAX: usize = 1 << 20;

/// How many refusals in a row have no consequence.
pub const REFUSALS_FREE: u32 = 3;

/// How long the first ask after them is held back. Each further refusal doubles it.
pub const BACK_OFF_MILLIS: u64 = 30 * 1_000;

/// The longest an ask is held back: as long as it lives by default, so that it lapses unseen.
pub const BACK_OFF_MILLIS_MAX: u64 = 15 * 60 * 1_000;

/// The longest a ticket may run (product contract, section 6).
pub const TICKET_MILLIS_MAX: u64 = 15 * 60 * 1_000;

/// What is told once about the registry, among the statements that are.
const REGISTRY: &str = "registry";

/// How many names are tried for one ask.
const NAMES_TRIED: u32 = 16;
