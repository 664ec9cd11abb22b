//! The queue: asks that wait for a human, in one file of the home.
//!
//! ```text
//! pending ──▶ consumed     enough yes, and the asker took them
//!         ──▶ refused      somebody said no
//!         ──▶ lapsed       nobody answered in time
//!         ──▶ withdrawn    the asker went away
//! ```
//!
//! INVARIANT: an ask leaves `pending` once, and is consumed only by the process that put it, after
//! it has verified every vote against the ask it holds in memory and the registry as it is now.
//! What a script writes into the file can end an ask, and can never grant one that a signature is
//! needed for (E07).
//!
//! Every look at the queue first ends what has lapsed and what nobody waits for any more. Deadlines
//! are boot time: a clock moved back revives nothing (A15), and neither does a suspend (E27).

mod answer;
mod db;
mod liveness;
mod put;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use iddio_core::{
    approval::Ask,
    digest::Digest,
    principal::PrincipalId,
    time::{Clock, Moment, Timestamp},
};
use iddio_mint::FileError;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use self::answer::{Approval, ApproveError, Approved, Denial, Reviewed, Signer};
pub use self::put::{
    ASK_BYTES_MAX, BACK_OFF_MILLIS, BACK_OFF_MILLIS_MAX, Hold, Ignored, PENDING_MAX,
    PENDING_PER_PRINCIPAL_MAX, PutError, REFUSALS_FREE, TICKET_MILLIS_MAX,
};
pub(crate) use self::put::{Enqueued, Step};
use self::{
    db::{AskRow, Won},
    liveness::Asker,
};
use crate::{
    bell::{Bell, Rung},
    id::AskId,
    stored::{self, Damaged},
};

/// The queue of one home.
pub struct Queue {
    setting: Setting,
    db: Connection,
    clock: Arc<dyn Clock>,
}

/// Where a queue is, and what it may take for granted.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The home.
    pub dir: PathBuf,
    /// The Unix user who owns it.
    pub user: String,
    /// Whether one person has it for themselves.
    pub form: Form,
}

/// What sort of home it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// One person's: answers without a signature count below T3, with assurance `none`.
    Personal,
    /// A service's: every answer is signed.
    Service,
}

/// One ask, as it is stored.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub id: AskId,
    /// What was asked.
    pub ask: Ask,
    /// How it stands.
    pub state: State,
    /// Milliseconds since boot from which it is shown.
    pub shown: u64,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
    /// What was said about it. Nothing here is verified.
    pub votes: Vec<Vote>,
}

/// How an ask stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// It waits.
    Pending,
    /// It was granted, and the grant was used.
    Consumed,
    /// Somebody said no.
    Refused,
    /// Nobody answered in time.
    Lapsed,
    /// The asker went away.
    Withdrawn,
}

/// How an ask ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Who ended it, as far as the file says.
    pub by: Option<String>,
    /// Why, in their words. Unsanitised.
    pub reason: Option<String>,
}

/// What somebody said about an ask, unverified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vote {
    /// The statement.
    pub statement: String,
    /// The signature over it, if it is signed.
    pub signature: Option<String>,
    /// When it was cast, by the wall clock.
    pub cast: Timestamp,
}

/// Which asks to list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Filter {
    /// Those that can be answered now.
    Open,
    /// All that are kept.
    All,
}

/// What a list found.
#[derive(Clone, Debug)]
pub struct Listed {
    /// In the order they were put.
    pub entries: Vec<Entry>,
    /// Those whose stored ask was changed: nobody can answer them.
    pub damaged: Vec<AskId>,
}

/// The queue could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// No ask has that name.
    #[error("there is no ask `{0}`")]
    Unknown(String),
    /// Several asks begin so.
    #[error("several asks begin with `{0}`")]
    Ambiguous(String),
    /// The file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process held the file for too long.
    #[error("the approval queue is busy")]
    Busy,
    /// There is no room left.
    #[error("no room for the approval queue")]
    DiskFull,
    /// The file, or the ask in it, was changed.
    #[error("the approval queue is damaged: {0}")]
    Damaged(#[from] Damage),
    /// A later iddio made the file.
    #[error("the approval queue has version {0}, which this iddio does not know")]
    Newer(i64),
    /// The system gave no way to wait.
    #[error("cannot wait: {0}")]
    Wait(std::io::Error),
    /// The database said no.
    #[error("the approval queue failed: {0}")]
    Database(String),
}

/// Something stored is not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("what is stored is not what was asked; nobody can answer it")]
pub struct Damage;

// === impl Queue ===

impl Queue {
    /// Opens the queue of a home, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// When its file is open to others, not ours, damaged, or of a later version.
    pub fn open(setting: Setting, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let db = db::open(&setting.dir)?;
        Ok(Self { setting, db, clock })
    }

    /// Returns asks in the order they were put.
    ///
    /// # Errors
    ///
    /// When the queue cannot be used.
    pub fn list(&mut self, filter: Filter) -> Result<Listed, QueueError> {
        let now = self.clock.now();
        let dir = self.setting.dir.clone();
        let tx = begin(&mut self.db)?;
        sweep(&tx, &dir, now)?;
        let mut listed = Listed { entries: Vec::new(), damaged: Vec::new() };
        for row in db::asks(&tx, filter == Filter::All)? {
            let held = row.state == State::Pending && now.boot.millis < row.shown;
            if held && filter == Filter::Open {
                continue;
            }
            let id = row.id.clone();
            match entry(&tx, row) {
                Ok(entry) => listed.entries.push(entry),
                Err(QueueError::Damaged(_)) => listed.damaged.push(id),
                Err(error) => return Err(error),
            }
        }
        tx.commit()?;
        Ok(listed)
    }

    /// Returns the ask with this name, or the only one whose name begins so.
    ///
    /// # Errors
    ///
    /// When there is none, or several, or its stored form was changed.
    pub fn show(&mut self, name: &str) -> Result<Entry, QueueError> {
        let now = self.clock.now();
        let dir = self.setting.dir.clone();
        let tx = begin(&mut self.db)?;
        sweep(&tx, &dir, now)?;
        let row = find(&tx, name)?;
        let entry = entry(&tx, row)?;
        tx.commit()?;
        Ok(entry)
    }

    /// Waits until the ask has ended, or for `timeout`, and returns how it stands then.
    ///
    /// # Errors
    ///
    /// As [`Queue::show`].
    pub fn wait(&mut self, name: &str, timeout: Duration) -> Result<Entry, QueueError> {
        let bell = Bell::new(&self.file()).map_err(QueueError::Wait)?;
        let start = self.clock.now();
        let deadline = start.plus_millis(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        loop {
            let entry = self.show(name)?;
            let left = self.clock.now().boot.until(deadline.boot);
            match (entry.state, left) {
                (State::Pending, Some(left)) => match bell.wait(left) {
                    Rung::Cancelled => return Ok(entry),
                    Rung::Changed => {}
                },
                _ => return Ok(entry),
            }
        }
    }

    /// Returns the clock the queue goes by.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Where the queue is.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Returns the path of the queue's file, whose every change is a change of the queue.
    pub(crate) fn file(&self) -> PathBuf {
        self.setting.dir.join(db::FILE)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("setting", &self.setting).finish_non_exhaustive()
    }
}

// === impl Setting ===

impl Setting {
    /// Returns the principal of whoever holds the home's Unix user.
    pub fn local(&self) -> Option<PrincipalId> {
        PrincipalId::new(&format!("local:{}", self.user))
    }
}

// === impl Entry ===

impl Entry {
    /// Returns the digest a yes must name, computed from what is stored.
    pub fn digest(&self) -> Digest {
        self.ask.digest()
    }

    /// Returns the milliseconds until the ask lapses, or `None` if it has.
    pub fn lapses_in(&self, now: Moment) -> Option<u64> {
        now.boot.until(self.ask.lapses.boot)
    }
}

// === impl State ===

impl State {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Consumed, Self::Refused, Self::Lapsed, Self::Withdrawn];

    /// Returns the word that is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Consumed => "consumed",
            Self::Refused => "refused",
            Self::Lapsed => "lapsed",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl From<Damaged> for QueueError {
    fn from(_: Damaged) -> Self {
        Self::Damaged(Damage)
    }
}

fn begin(db: &mut Connection) -> Result<Transaction<'_>, QueueError> {
    Ok(db.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Ends what has lapsed and what nobody waits for any more.
fn sweep(tx: &Connection, dir: &Path, now: Moment) -> Result<(), QueueError> {
    for row in db::pending(tx)? {
        let lapsed = row.boot_id != db::boot(now) || row.lapses <= now.boot.millis;
        let state = match lapsed {
            true => State::Lapsed,
            false if liveness::asker(dir, &row.id) == Asker::Gone => State::Withdrawn,
            false => continue,
        };
        let _: Won = db::end(tx, &row.id, state, None, None, now.wall)?;
    }
    Ok(())
}

fn find(tx: &Connection, name: &str) -> Result<AskRow, QueueError> {
    let unknown = || QueueError::Unknown(name.to_owned());
    let beginning = AskId::beginning(name).ok_or_else(unknown)?;
    let mut rows = db::beginning(tx, &beginning)?;
    match (rows.pop(), rows.pop()) {
        (Some(row), None) => Ok(row),
        (None, _) => Err(unknown()),
        (Some(_), Some(_)) => Err(QueueError::Ambiguous(name.to_owned())),
    }
}

fn entry(tx: &Connection, row: AskRow) -> Result<Entry, QueueError> {
    let AskRow { id, body, state, shown, ended } = row;
    let votes = db::votes(tx, &id)?;
    Ok(Entry { ask: stored::read(&body)?, id, state, shown, ended, votes })
}
