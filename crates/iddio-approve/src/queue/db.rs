//! The queue's file: opening it, its tables, and the few statements that change it.
//!
//! A rollback journal, not a write-ahead log: the writers are many short-lived processes and the
//! traffic is a few asks a minute, so there is nothing to win by a shared memory file, and a file
//! that nobody is writing is whole by itself.
//!
//! INVARIANT: an ask leaves `pending` once. Every end is one statement of the form `UPDATE … WHERE
//! state = 'pending'`, and whoever changed a row has won.

use std::{path::Path, time::Duration};

use iddio_core::time::{Moment, Timestamp};
use iddio_mint::{FileError, open_private};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use rustix::fs::{Mode, OFlags};

use super::{Damage, Ended, QueueError, State, Vote};
use crate::id::AskId;

/// A row of `asks`, before its body is read.
pub(crate) struct AskRow {
    pub(crate) id: AskId,
    pub(crate) body: String,
    pub(crate) state: State,
    /// Milliseconds since boot from which it is shown.
    pub(crate) shown: u64,
    pub(crate) ended: Option<Ended>,
}

/// A row to be.
pub(crate) struct NewRow<'a> {
    pub(crate) id: &'a AskId,
    pub(crate) principal: &'a str,
    pub(crate) body: &'a str,
    pub(crate) likeness: &'a str,
    pub(crate) kin: &'a str,
    pub(crate) asked: Moment,
    pub(crate) shown: u64,
    pub(crate) lapses: u64,
}

/// A pending row, as the sweep needs it.
pub(crate) struct PendingRow {
    pub(crate) id: AskId,
    pub(crate) boot_id: String,
    pub(crate) lapses: u64,
}

/// How often asks of a kin were refused in a row.
pub(crate) struct Refusals {
    pub(crate) count: u32,
    pub(crate) boot_id: String,
    pub(crate) last: u64,
}

/// Who ended an ask, if it was still open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Won {
    Here,
    Elsewhere,
}

/// Whether there is anything to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stir {
    /// The ask is pending, and nobody said anything.
    Quiet,
    /// Something is there, or the ask is not.
    Stirred,
}

/// Opens the file in `dir`, or makes it, private to its owner.
pub(crate) fn open(dir: &Path) -> Result<Connection, QueueError> {
    let path = dir.join(FILE);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(FileError::Io { path, source: errno.into() }.into()),
    }
    let _checked = open_private(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLite refuses a path with a link anywhere in it; the directory was the home's to resolve.
    let real = dir.canonicalize().map_err(|source| FileError::Io { path, source })?;
    let db = Connection::open_with_flags(real.join(FILE), flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", "ON")?;
    match version(&db)? {
        0 => make(&db)?,
        VERSION => {}
        newer => return Err(QueueError::Newer(newer)),
    }
    Ok(db)
}

fn make(db: &Connection) -> Result<(), QueueError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    // Another process may have made the tables while we waited.
    let made = match version(db) {
        Ok(0) => db.execute_batch(SCHEMA),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    db.execute_batch(end)?;
    Ok(made?)
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Adds a pending ask. Whether it was added: the name may be taken.
pub(crate) fn insert(db: &Connection, new: &NewRow<'_>) -> rusqlite::Result<Won> {
    let boot_id = boot(new.asked);
    let rows = db.execute(
        "INSERT OR IGNORE INTO asks
            (id, principal, body, likeness, kin, boot_id, asked, shown, lapses, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'pending')",
        params![
            new.id.as_str(),
            new.principal,
            new.body,
            new.likeness,
            new.kin,
            boot_id,
            whole(new.asked.boot.millis),
            whole(new.shown),
            whole(new.lapses)
        ],
    )?;
    Ok(won(rows))
}

/// Ends an ask, if it is still pending.
pub(crate) fn end(
    db: &Connection,
    id: &AskId,
    state: State,
    by: Option<&str>,
    reason: Option<&str>,
    at: Timestamp,
) -> rusqlite::Result<Won> {
    let rows = db.execute(
        "UPDATE asks SET state = ?2, ended_by = ?3, reason = ?4, ended = ?5
         WHERE id = ?1 AND state = 'pending'",
        params![id.as_str(), state.name(), by, reason, whole(at.0)],
    )?;
    Ok(won(rows))
}

/// Returns one ask.
pub(crate) fn ask(db: &Connection, id: &AskId) -> Result<Option<AskRow>, QueueError> {
    let sql = format!("SELECT {COLUMNS} FROM asks WHERE id = ?1");
    Ok(db.query_row(&sql, [id.as_str()], ask_row).optional()?)
}

/// Returns whether anything happened to an ask, without taking a lock to write.
pub(crate) fn stir(db: &Connection, id: &AskId) -> rusqlite::Result<Stir> {
    let sql = "SELECT 1 FROM asks WHERE id = ?1 AND state = 'pending'
               AND NOT EXISTS (SELECT 1 FROM votes WHERE ask = ?1)";
    let mut statement = db.prepare_cached(sql)?;
    match statement.exists([id.as_str()])? {
        true => Ok(Stir::Quiet),
        false => Ok(Stir::Stirred),
    }
}

/// Returns the asks whose name begins so; two are enough to know that it is not unique. No letter
/// of a name comes after the tilde.
pub(crate) fn beginning(db: &Connection, beginning: &str) -> Result<Vec<AskRow>, QueueError> {
    let sql = format!("SELECT {COLUMNS} FROM asks WHERE id BETWEEN ?1 AND ?1 || '~' LIMIT 2");
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map([beginning], ask_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns asks in the order they were put: the pending, or all, newest last.
pub(crate) fn asks(db: &Connection, all: bool) -> Result<Vec<AskRow>, QueueError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM
            (SELECT * FROM asks WHERE ?1 OR state = 'pending' ORDER BY seq DESC LIMIT {LISTED_MAX})
         ORDER BY seq"
    );
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map([all], ask_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns every pending ask.
pub(crate) fn pending(db: &Connection) -> Result<Vec<PendingRow>, QueueError> {
    let sql = "SELECT id, boot_id, lapses FROM asks WHERE state = 'pending'";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let (lapses, id) = (count(row, 2)?, name(row, 0)?);
        Ok(PendingRow { id, boot_id: row.get(1)?, lapses })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns how many asks are pending, in all and of one principal.
pub(crate) fn depth(db: &Connection, principal: &str) -> rusqlite::Result<(u64, u64)> {
    db.query_row(
        "SELECT count(*), count(*) FILTER (WHERE principal = ?1) FROM asks WHERE state = 'pending'",
        [principal],
        |row| Ok((count(row, 0)?, count(row, 1)?)),
    )
}

/// Returns the consumed asks that are like another one.
pub(crate) fn alike(db: &Connection, likeness: &str) -> Result<Vec<AskRow>, QueueError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM asks WHERE likeness = ?1 AND state = 'consumed'
         ORDER BY seq DESC LIMIT {ALIKE_MAX}"
    );
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map([likeness], ask_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a vote, up to a limit.
pub(crate) fn vote(db: &Connection, id: &AskId, vote: &Vote) -> rusqlite::Result<Won> {
    let rows = db.execute(
        "INSERT INTO votes (ask, statement, signature, cast_at)
         SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM votes WHERE ask = ?1) < ?5",
        params![
            id.as_str(),
            vote.statement,
            vote.signature,
            whole(vote.cast.0),
            whole(VOTES_MAX as u64)
        ],
    )?;
    Ok(won(rows))
}

/// Returns the votes on an ask, in the order they were cast.
pub(crate) fn votes(db: &Connection, id: &AskId) -> Result<Vec<Vote>, QueueError> {
    let sql =
        "SELECT statement, signature, cast_at FROM votes WHERE ask = ?1 ORDER BY seq LIMIT ?2";
    let mut statement = db.prepare(sql)?;
    let limit = whole(VOTES_MAX as u64);
    let rows = statement.query_map(params![id.as_str(), limit], |row| {
        let cast = Timestamp(count(row, 2)?);
        Ok(Vote { statement: row.get(0)?, signature: row.get(1)?, cast })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns how often asks of this kin were refused in a row.
pub(crate) fn refusals(db: &Connection, kin: &str) -> rusqlite::Result<Option<Refusals>> {
    let sql = "SELECT count, boot_id, last FROM refusals WHERE kin = ?1";
    let read = |row: &Row<'_>| {
        let count_ = u32::try_from(count(row, 0)?).unwrap_or(u32::MAX);
        Ok(Refusals { count: count_, boot_id: row.get(1)?, last: count(row, 2)? })
    };
    db.query_row(sql, [kin], read).optional()
}

/// Notes one more refusal, and forgets those of other boots.
pub(crate) fn refused(db: &Connection, kin: &str, count: u32, now: Moment) -> rusqlite::Result<()> {
    db.execute("DELETE FROM refusals WHERE boot_id <> ?1", [boot(now)])?;
    db.execute(
        "INSERT INTO refusals (kin, count, boot_id, last) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (kin) DO UPDATE SET count = ?2, boot_id = ?3, last = ?4",
        params![kin, count, boot(now), whole(now.boot.millis)],
    )?;
    Ok(())
}

/// Forgets the refusals of a kin: a human said yes.
pub(crate) fn forgiven(db: &Connection, kin: &str) -> rusqlite::Result<()> {
    db.execute("DELETE FROM refusals WHERE kin = ?1", [kin])?;
    Ok(())
}

/// Forgets all but the newest ended asks.
pub(crate) fn prune(db: &Connection) -> rusqlite::Result<()> {
    db.execute(
        "DELETE FROM asks WHERE state <> 'pending' AND seq <=
            (SELECT max(seq) FROM asks) - ?1",
        [whole(ENDED_MAX)],
    )?;
    Ok(())
}

/// Returns the boot id as it is stored.
pub(crate) fn boot(moment: Moment) -> String {
    format!("{:032x}", moment.boot.boot_id)
}

fn ask_row(row: &Row<'_>) -> rusqlite::Result<AskRow> {
    let state: String = row.get(2)?;
    let state = State::from_name(&state).ok_or(rusqlite::Error::InvalidQuery)?;
    let ended = match row.get::<_, Option<i64>>(4)? {
        Some(_) => {
            Some(Ended { at: Timestamp(count(row, 4)?), by: row.get(5)?, reason: row.get(6)? })
        }
        None => None,
    };
    Ok(AskRow { id: name(row, 0)?, body: row.get(1)?, state, shown: count(row, 3)?, ended })
}

fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<AskId> {
    let text: String = row.get(column)?;
    AskId::parse(&text).ok_or(rusqlite::Error::InvalidQuery)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn won(rows: usize) -> Won {
    if rows == 0 { Won::Elsewhere } else { Won::Here }
}

impl From<rusqlite::Error> for QueueError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
        };
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => Self::Busy,
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(Damage),
            Some(DiskFull) => Self::DiskFull,
            _ => Self::Database(error.to_string()),
        }
    }
}

/// The queue's file in the home.
pub(crate) const FILE: &str = "approvals.db";

/// How long to wait for another process: writes take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many asks are listed at most.
const LISTED_MAX: u32 = 1_000;

/// How many consumed asks are searched for a ticket.
const ALIKE_MAX: u32 = 16;

/// How many ended asks are kept. The audit log keeps them all.
const ENDED_MAX: u64 = 1_000;

/// How many votes an ask can hold: more than any quorum.
pub(crate) const VOTES_MAX: usize = 64;

/// The version of the tables.
const VERSION: i64 = 1;

const COLUMNS: &str = "id, body, state, shown, ended, ended_by, reason";

const SCHEMA: &str = "
CREATE TABLE asks (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    principal TEXT NOT NULL,
    body      TEXT NOT NULL,
    likeness  TEXT NOT NULL,
    kin       TEXT NOT NULL,
    boot_id   TEXT NOT NULL,
    asked     INTEGER NOT NULL,
    shown     INTEGER NOT NULL,
    lapses    INTEGER NOT NULL,
    state     TEXT NOT NULL
              CHECK (state IN ('pending', 'consumed', 'refused', 'lapsed', 'withdrawn')),
    ended     INTEGER,
    ended_by  TEXT,
    reason    TEXT
) STRICT;
CREATE INDEX asks_pending ON asks (state) WHERE state = 'pending';
CREATE INDEX asks_likeness ON asks (likeness);
CREATE TABLE votes (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    ask       TEXT NOT NULL REFERENCES asks (id) ON DELETE CASCADE,
    statement TEXT NOT NULL,
    signature TEXT,
    cast_at   INTEGER NOT NULL,
    UNIQUE (ask, statement)
) STRICT;
CREATE TABLE refusals (
    kin     TEXT PRIMARY KEY,
    count   INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    last    INTEGER NOT NULL
) STRICT;
PRAGMA application_id = 1768186223;
PRAGMA user_version = 1;
";
