//! The one end of the chain, as the holder of the append lock sees and moves it.
//!
//! Everything here happens under `write.lock`, but for the sync, which happens under `sync.lock`
//! after the append lock is released: an `fdatasync` covers every earlier byte of every process, so
//! one acknowledgement implies its whole prefix.
//!
//! Lock order: this process's [`Chain`], then `write.lock`, then `sync.lock`. Whoever holds the
//! sync lock never waits for the append lock.

use std::{
    collections::{HashMap, HashSet},
    os::fd::OwnedFd,
    sync::Arc,
};

use iddio_core::{
    audit::{
        AdminEvent, Body, Entry, Field, Receipt,
        chain::Head,
        line::{Fragment, Kind, LineError},
        secret::Commit,
        verify,
    },
    digest::Digest,
    json::Value,
    operation::OperationId,
    text::RawText,
    time::Clock,
};
use rustix::{fs::OFlags, io::Errno};
use thiserror::Error;

use crate::{
    budget::{Charge, Counted, Ledger, Verdict},
    commitments::random,
    directory::{Directory, FileError, io_error},
    lock::{self, LockError, Needless},
    log::{Adopted, Options},
    pages::{Health, Published, Space, Synced},
    recover::{self, Prefix},
    register::{self, Dead, Place, Register},
    segment,
};

/// The two locks of the log. Each process has its own, opened once.
#[derive(Debug)]
pub(crate) struct Locks {
    pub(crate) write: OwnedFd,
    pub(crate) sync: OwnedFd,
}

/// The end of the chain.
pub(crate) struct Chain {
    dir: Directory,
    writers: Directory,
    options: Options,
    clock: Arc<dyn Clock>,
    commit: Arc<dyn Commit>,
    register: Register,
    segment: Option<(u64, Arc<OwnedFd>)>,
    seen: Option<Published>,
    reaped: Option<u64>,
    torn: Vec<String>,
    unsynced: Option<(u64, u64)>,
    ledger: Ledger,
    reserve: Option<OwnedFd>,
}

/// A record on its way, and what it costs whom.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) fragment: Fragment,
    pub(crate) charge: Charge,
}

/// Why a turn at the end of the chain failed.
#[derive(Debug, Error)]
pub(crate) enum TurnError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("another process holds `{0}`")]
    Busy(&'static str),
    #[error("`{name}` is damaged below what was synced: byte {at}")]
    Damaged { name: String, at: u64 },
    #[error("an earlier sync failed, and what it covered may be lost; run `iddio audit repair`")]
    Poisoned,
    #[error("no space is left for records")]
    Full,
    #[error("the principal has used up its append budget")]
    Budget,
    #[error(transparent)]
    Line(#[from] LineError),
}

/// What a repair did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Repaired {
    /// There was nothing to repair.
    Nothing,
    /// So many bytes that may not have been synced were set aside. The next append says so.
    SetAside(u64),
}

/// Records sealed in order, not yet written.
struct Batch {
    head: Head,
    bytes: Vec<u8>,
    notes: Vec<(Kind, OperationId, usize)>,
}

/// What was found of operations that nobody will end.
#[derive(Default)]
struct Lost {
    found: Found,
    owed: HashMap<OperationId, Place>,
    dead: Vec<Dead>,
}

/// Whether records were found after the published end.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Found {
    #[default]
    Nothing,
    Tail,
}

// === impl Chain ===

impl Chain {
    pub(crate) fn new(
        dir: Directory,
        writers: Directory,
        options: Options,
        commit: Arc<dyn Commit>,
    ) -> Result<Self, FileError> {
        let register = Register::new(&writers, &writer_stem(&options))?;
        let clock = options.clock.clone();
        let ledger = Ledger::new(options.budget);
        Ok(Self {
            dir,
            writers,
            options,
            clock,
            commit,
            register,
            segment: None,
            seen: None,
            reaped: None,
            torn: Vec::new(),
            unsynced: None,
            ledger,
            reserve: None,
        })
    }

    pub(crate) fn writer(&self) -> &str {
        self.register.writer()
    }

    /// Appends `items`, after whatever else is due, and publishes the new end. Returns a receipt for
    /// each, or why it was not stored. Under the append lock.
    pub(crate) fn turn<'a>(
        &mut self,
        locks: &Locks,
        items: impl Iterator<Item = &'a Item>,
        orphans: &[OperationId],
    ) -> Result<Vec<Result<Receipt, TurnError>>, TurnError> {
        let (tail, lost) = self.arrive(locks)?;
        // A roll publishes, and what was just found unpublished is not dealt with yet.
        let mut tail = if lost.found == Found::Tail { tail } else { self.roll(locks, tail)? };
        let mut batch = Batch { head: tail.head, bytes: Vec::new(), notes: Vec::new() };
        self.begin(&mut batch)?;
        self.check_space(&mut tail, &mut batch)?;
        self.record_torn(&mut batch)?;
        self.close_lost(&mut batch, &lost)?;
        self.close_orphans(&mut batch, orphans)?;
        if tail.coalescing != 0 {
            self.record_counted(&mut tail, &mut batch)?;
        }
        let receipts = items.map(|item| self.place(&mut tail, &mut batch, item)).collect();
        match self.write(locks, tail, batch, lost) {
            Ok(()) => Ok(receipts),
            Err(error) => {
                self.ledger.forget();
                if matches!(error, TurnError::Full) && tail.space == Space::Plenty {
                    self.declare_full(locks, tail)?;
                }
                Err(error)
            }
        }
    }

    /// Seals one record, if there is room and its principal may.
    fn place(
        &mut self,
        tail: &mut Published,
        batch: &mut Batch,
        item: &Item,
    ) -> Result<Receipt, TurnError> {
        let Item { fragment, charge } = item;
        if tail.space == Space::Full && *charge != Charge::Free {
            return Err(TurnError::Full);
        }
        let (seq, hash) = match self.ledger.charge(&self.dir, charge, self.clock.now())? {
            Verdict::Store => (batch.head.seq(), batch.seal(fragment)),
            Verdict::Count(seq, hash) => (seq, hash),
            Verdict::Refuse => return Err(TurnError::Budget),
            Verdict::Begin => {
                let (Charge::Record(who) | Charge::Refusal(who)) = charge else {
                    return Err(TurnError::Budget);
                };
                let seq = batch.head.seq();
                let agent = Field::Text(RawText::from(who.as_str()));
                let hash = self.admin(batch, "refusals.counting", vec![("agent", agent)])?;
                self.ledger.told(who, seq, hash);
                tail.coalescing += 1;
                (seq, hash)
            }
        };
        Ok(Receipt::assertion(fragment.id(), seq, hash))
    }

    /// Records how many refusals were counted.
    fn record_counted(&mut self, tail: &mut Published, batch: &mut Batch) -> Result<(), TurnError> {
        for Counted { principal, count, since } in
            self.ledger.take_counted(&self.dir, self.clock.now())?
        {
            let fields = vec![
                ("agent", Field::Text(RawText::from(principal))),
                ("count", Field::Int(count)),
                ("since", Field::Text(RawText::from(since.to_string()))),
            ];
            self.admin(batch, "refusals.coalesced", fields)?;
            tail.coalescing = tail.coalescing.saturating_sub(1);
        }
        Ok(())
    }

    /// Keeps the reserve, and goes on after the disk was full once it can be kept again.
    fn check_space(&mut self, tail: &mut Published, batch: &mut Batch) -> Result<(), TurnError> {
        if tail.space == Space::Plenty && self.reserve.is_some() {
            return Ok(());
        }
        let room = self.keep_reserve().is_ok() && self.under_cap(tail)?;
        match (tail.space, room) {
            (Space::Full, true) => {
                tail.space = Space::Plenty;
                self.admin(batch, "log.resumed", Vec::new())?;
            }
            (Space::Plenty, true) | (Space::Full, false) => {}
            // Without a reserve the record that says so could not be written later.
            (Space::Plenty, false) => self.reserve = None,
        }
        Ok(())
    }

    /// Sets the reserve aside.
    fn keep_reserve(&mut self) -> Result<(), FileError> {
        let fail = |errno| io_error(RESERVE, errno);
        let file = self.dir.file_or_new(RESERVE, OFlags::RDWR)?;
        if segment::size(&file).map_err(fail)? < RESERVE_BYTES {
            self.dir.disk().allocate(&file, RESERVE_BYTES).map_err(fail)?;
        }
        self.reserve = Some(file);
        Ok(())
    }

    /// Whether the log is below the size that was configured, if one was.
    fn under_cap(&self, tail: &Published) -> Result<bool, FileError> {
        let Some(cap) = self.options.bytes_max else { return Ok(true) };
        let older = tail.segment.saturating_sub(1).saturating_mul(self.options.segment_bytes);
        Ok(older.saturating_add(tail.end) < cap)
    }

    /// Says in the log that it is full, in the space that was reserved for that.
    fn declare_full(&mut self, locks: &Locks, tail: Published) -> Result<(), TurnError> {
        if let Some(reserve) = self.reserve.take() {
            let freed = self.dir.disk().truncate(&reserve, 0);
            freed.map_err(|errno| io_error(RESERVE, errno))?;
        }
        let mut batch = Batch { head: tail.head, bytes: Vec::new(), notes: Vec::new() };
        self.begin(&mut batch)?;
        self.admin(&mut batch, "log.full", Vec::new())?;
        let tail = Published { space: Space::Full, ..tail };
        self.write(locks, tail, batch, Lost::default())
    }

    /// Returns the end of the chain, after mending what a crash left, and what was lost with it.
    fn arrive(&mut self, locks: &Locks) -> Result<(Published, Lost), TurnError> {
        self.dir.still_names(WRITE_LOCK, &locks.write)?;
        let boot = self.boot();
        let fail = |errno| io_error(WRITE_LOCK, errno);
        let synced = Synced::read(&locks.sync).map_err(|errno| io_error(SYNC_LOCK, errno))?;
        if synced.is_some_and(|page| page.boot == boot && page.health == Health::Poisoned) {
            return Err(TurnError::Poisoned);
        }
        let published = Published::read(&locks.write).map_err(fail)?;
        let (tail, found) = match published.filter(|page| page.boot == boot) {
            Some(page) => self.resume(locks, page, synced)?,
            None => self.scan(locks, synced)?,
        };
        let due = match self.reaped {
            None => true,
            Some(at) => at.saturating_add(REAP_MILLIS) <= self.clock.now().boot.millis,
        };
        let lost = if due || found.is_some() { self.lost(found)? } else { Lost::default() };
        Ok((tail, lost))
    }

    /// Takes up after the last published append of this boot.
    fn resume(
        &mut self,
        locks: &Locks,
        page: Published,
        synced: Option<Synced>,
    ) -> Result<(Published, Option<Prefix>), TurnError> {
        let known = self.seen == Some(page);
        if !known {
            self.ledger.forget();
        }
        let name = segment::name(page.segment);
        let file = self.file(page.segment)?;
        let size = segment::size(&*file).map_err(|errno| io_error(&name, errno))?;
        if size < page.end {
            return Err(TurnError::Damaged { name, at: size });
        }
        // Looked at once by each process; a damaged end is not built upon.
        if self.reaped.is_none() {
            ends_with(&file, &page)
                .map_err(|errno| io_error(&name, errno))?
                .ok_or(TurnError::Damaged { name, at: page.end })?;
        }
        if size == page.end {
            if self.reaped.is_none() {
                self.torn = recover::unrecorded(&self.dir)?;
            }
            return Ok((page, None));
        }
        let found = recover::prefix(&*file, page.segment, page.end, page.head)?;
        self.mend(locks, page.segment, &found, synced)?;
        Ok((Published { end: found.valid, head: found.head, ..page }, Some(found)))
    }

    /// Finds the end after a crash of the machine, or in a log that is new: the page is of another
    /// boot, or none.
    fn scan(
        &mut self,
        locks: &Locks,
        synced: Option<Synced>,
    ) -> Result<(Published, Option<Prefix>), TurnError> {
        let numbers = segment::numbers(&self.dir)?;
        let number = match numbers.last() {
            Some(last) => *last,
            None if synced.is_some_and(|page| 0 < page.end) => {
                return Err(TurnError::Damaged { name: segment::name(1), at: 0 });
            }
            None => {
                self.create(1)?;
                1
            }
        };
        let head = match number.checked_sub(1) {
            None | Some(0) => Head::GENESIS,
            Some(before) => recover::head_after(&self.dir, before)?
                .ok_or_else(|| TurnError::Damaged { name: segment::name(before), at: 0 })?,
        };
        let file = self.file(number)?;
        let found = recover::prefix(&*file, number, 0, head)?;
        self.mend(locks, number, &found, synced)?;
        let fail = |errno| io_error(SYNC_LOCK, errno);
        let boot = self.boot();
        self.dir.sync()?;
        let file = self.file(number)?;
        let done = Synced { boot, segment: number, end: found.valid, health: Health::Sound };
        let held = hold_sync(locks, &self.options)?;
        if let Err(errno) = self.dir.disk().sync(&*file) {
            self.poison(locks)?;
            return Err(io_error(&segment::name(number), errno).into());
        }
        done.write(&locks.sync, self.dir.disk()).map_err(fail)?;
        drop(held);
        self.ledger.forget();
        let coalescing = self.ledger.counting(&self.dir)?;
        let (end, head, space) = (found.valid, found.head, Space::Plenty);
        let tail = Published { boot, segment: number, end, head, space, coalescing };
        Ok((tail, Some(found)))
    }

    /// Sets a torn tail aside, if there is one and it is no worse than that.
    fn mend(
        &mut self,
        locks: &Locks,
        number: u64,
        found: &Prefix,
        synced: Option<Synced>,
    ) -> Result<(), TurnError> {
        let Prefix { valid, size, .. } = *found;
        let mark = synced.map(|page| (page.segment, page.end));
        if mark.is_some_and(|mark| (number, valid) < mark) {
            return Err(TurnError::Damaged { name: segment::name(number), at: valid });
        }
        if valid < size {
            let held = hold_sync(locks, &self.options)?;
            let file = self.file(number)?;
            recover::set_aside(&self.dir, &*file, number, valid, size)?;
            drop(held);
        }
        self.torn = recover::unrecorded(&self.dir)?;
        Ok(())
    }

    /// Finds what nobody will end: what dead writers owed, and what was opened by an append that was
    /// never published and so was acknowledged to nobody.
    fn lost(&mut self, found: Option<Prefix>) -> Result<Lost, TurnError> {
        let dead = register::dead(&self.writers, Some(self.register.name()))?;
        let (found, opened, ended) = match found {
            Some(Prefix { opened, ended, .. }) => (Found::Tail, opened, ended),
            None => (Found::Nothing, HashMap::new(), Vec::new()),
        };
        let mut owed: HashMap<OperationId, Place> =
            dead.iter().flat_map(|writer| writer.owed.iter().copied()).collect();
        for (id, (writer, place)) in opened {
            let own = self.register.place(id).is_some();
            // The lock of one found dead is held here, so asking again would find it alive.
            let gone = dead.iter().any(|dead| dead.writer() == writer);
            if !own && (gone || !register::lives(&self.writers, &writer)) {
                owed.insert(id, place);
            }
        }
        let ended: HashSet<OperationId> = ended.into_iter().collect();
        owed.retain(|id, _| !ended.contains(id));
        self.adopt(&mut owed)?;
        self.reaped = Some(self.clock.now().boot.millis);
        Ok(Lost { found, owed, dead })
    }

    /// Takes over those operations of `owed` whose owners live, and leaves the others. Their slots are
    /// written here, before the file of the writer that is gone goes.
    fn adopt(&mut self, owed: &mut HashMap<OperationId, Place>) -> Result<(), TurnError> {
        let Some(owners) = self.options.owners.clone() else { return Ok(()) };
        let mut adopted = Vec::new();
        for (id, place) in owed.iter() {
            let Ok(Some(line)) = segment::line(&self.dir, place.segment, place.offset) else {
                continue;
            };
            let Ok(record) = Value::read(&line) else { continue };
            let text = |name| record.member(name).and_then(Value::as_text);
            let same = text("id").and_then(OperationId::from_hex) == Some(*id);
            let writer = text("writer").filter(|_| same);
            if writer.is_some_and(|writer| owners.adopt(*id, writer) == Adopted::Lives) {
                adopted.push((*id, *place));
            }
        }
        for (id, place) in adopted {
            owed.remove(&id);
            self.register.note(Kind::Allowed, id, place);
        }
        Ok(self.register.write(self.dir.disk())?)
    }

    /// Returns the line of the record that opened `id`, if that is open and this process's.
    pub(crate) fn opening(&self, id: OperationId) -> Result<Option<Vec<u8>>, FileError> {
        match self.register.place(id) {
            Some(place) => segment::line(&self.dir, place.segment, place.offset),
            None => Ok(None),
        }
    }

    /// Goes on in the next segment, if this one is full. The old one is synced before the new one
    /// exists, so a sync of the new one covers both.
    fn roll(&mut self, locks: &Locks, tail: Published) -> Result<Published, TurnError> {
        if tail.end < self.options.segment_bytes {
            return Ok(tail);
        }
        let file = self.file(tail.segment)?;
        let name = segment::name(tail.segment);
        if let Err(errno) = self.dir.disk().sync(&*file) {
            let _held = hold_sync(locks, &self.options)?;
            self.poison(locks)?;
            return Err(io_error(&name, errno).into());
        }
        register::sync_all(&self.writers)?;
        let next = tail.segment + 1;
        self.create(next)?;
        // Published while it is empty, so that whoever dies in its first append left a known end.
        let tail = Published { segment: next, end: 0, ..tail };
        self.publish(locks, tail)?;
        Ok(tail)
    }

    /// Makes a segment, or takes up an empty one whose maker died.
    fn create(&mut self, number: u64) -> Result<(), TurnError> {
        let name = segment::name(number);
        let file = self.dir.file_or_new(&name, OFlags::RDWR | OFlags::APPEND)?;
        match segment::size(&file).map_err(|errno| io_error(&name, errno))? {
            0 => Ok(self.dir.sync()?),
            size => Err(TurnError::Damaged { name, at: size }),
        }
    }

    /// Writes the record that begins a log, if this is the beginning.
    fn begin(&self, batch: &mut Batch) -> Result<(), TurnError> {
        if batch.head != Head::GENESIS {
            return Ok(());
        }
        let log_id = OperationId(u128::from_le_bytes(random()));
        let key = Digest::from_bytes(self.options.checkpoint_key);
        let fields = vec![
            ("checkpoint_key", Field::Digest(key)),
            ("format", Field::Int(FORMAT)),
            ("host", Field::Text(RawText::from(self.options.host.as_str()))),
            ("log_id", Field::Text(RawText::from(log_id.to_string()))),
        ];
        self.admin(batch, "log.created", fields).map(drop)
    }

    /// Puts on record what was set aside.
    fn record_torn(&mut self, batch: &mut Batch) -> Result<(), TurnError> {
        for name in &self.torn {
            let fail = |errno| io_error(name, errno);
            let file = self.dir.file(name, OFlags::RDONLY)?;
            let size = segment::size(&file).map_err(fail)?;
            let bytes = segment::read(&file, 0, size).map_err(fail)?;
            let (segment, offset) = recover::torn_place(name).unwrap_or_default();
            let fields = vec![
                ("length", Field::Int(size)),
                ("offset", Field::Int(offset)),
                ("segment", Field::Int(segment)),
                ("sha256", Field::Digest(Digest::of_bytes(&bytes))),
            ];
            self.admin(batch, "log.recovered", fields)?;
        }
        Ok(())
    }

    fn admin(
        &self,
        batch: &mut Batch,
        event: &'static str,
        fields: Vec<(&'static str, Field)>,
    ) -> Result<Digest, TurnError> {
        let body = Body::Admin(AdminEvent { event, principal: None, fields });
        let id = OperationId(u128::from_le_bytes(random()));
        let entry = Entry { id, at: self.clock.now().wall, body };
        Ok(batch.seal(&Fragment::new(&entry, self.writer(), &*self.commit)?))
    }

    fn close_lost(&self, batch: &mut Batch, lost: &Lost) -> Result<(), TurnError> {
        let mut owed: Vec<(&OperationId, &Place)> = lost.owed.iter().collect();
        owed.sort_by_key(|(_, place)| (place.segment, place.offset));
        owed.into_iter().try_for_each(|(id, place)| self.close(batch, *id, *place))
    }

    fn close_orphans(&self, batch: &mut Batch, ids: &[OperationId]) -> Result<(), TurnError> {
        let owed = ids.iter().filter_map(|id| Some((*id, self.register.place(*id)?)));
        owed.into_iter().try_for_each(|(id, place)| self.close(batch, id, place))
    }

    /// Closes the operation whose opening record stands at `place`. A place where it does not stand
    /// is a slot from before a crash of the machine; there is nothing to close.
    fn close(&self, batch: &mut Batch, id: OperationId, place: Place) -> Result<(), TurnError> {
        let line = match segment::line(&self.dir, place.segment, place.offset) {
            Ok(Some(line)) => line,
            Ok(None) | Err(FileError::Io { errno: Errno::NOENT, .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let at = self.clock.now().wall;
        let fragment = Fragment::closing(&line, at, self.writer());
        if let Ok(fragment) = fragment
            && fragment.id() == id
        {
            batch.seal(&fragment);
        }
        Ok(())
    }

    /// Appends the batch in one write and publishes its end. A failed append leaves nothing; after a
    /// failed publication the records stay, and the next turn finds them as it finds those of a
    /// process that died there.
    fn write(
        &mut self,
        locks: &Locks,
        tail: Published,
        batch: Batch,
        lost: Lost,
    ) -> Result<(), TurnError> {
        if batch.bytes.is_empty() {
            self.ledger.write(&self.dir)?;
            self.forget(&lost)?;
            return Ok(self.publish(locks, tail)?);
        }
        self.seen = None;
        if tail.space == Space::Plenty && !self.under_cap(&tail)? {
            return Err(TurnError::Full);
        }
        self.append(&tail, &batch)?;
        for (kind, id, at) in &batch.notes {
            let place = Place { segment: tail.segment, offset: tail.end + *at as u64 };
            self.register.note(*kind, *id, place);
        }
        self.register.write(self.dir.disk())?;
        self.ledger.write(&self.dir)?;
        self.forget(&lost)?;
        let end = tail.end + batch.bytes.len() as u64;
        self.publish(locks, Published { end, head: batch.head, ..tail })?;
        self.unsynced = Some((tail.segment, end));
        Ok(())
    }

    fn append(&mut self, tail: &Published, batch: &Batch) -> Result<(), TurnError> {
        let disk = self.dir.disk().clone();
        let file = self.file(tail.segment)?;
        let error = match disk.append(&*file, &batch.bytes) {
            Ok(wrote) if wrote == batch.bytes.len() => return Ok(()),
            Ok(_) | Err(Errno::NOSPC | Errno::DQUOT) => TurnError::Full,
            Err(errno) => io_error(&segment::name(tail.segment), errno).into(),
        };
        // If this fails too, the next turn finds the bytes: whole records then stay, and stay open.
        let _ = disk.truncate(&*file, tail.end);
        Err(error)
    }

    fn publish(&mut self, locks: &Locks, page: Published) -> Result<(), FileError> {
        if self.seen != Some(page) {
            let wrote = page.write(&locks.write, self.dir.disk());
            wrote.map_err(|errno| io_error(WRITE_LOCK, errno))?;
            self.seen = Some(page);
        }
        Ok(())
    }

    /// Forgets what has been dealt with: dead writers' files, and the tails now on record. Before the
    /// append is published, so that whoever finds it unpublished knows what was dealt with.
    fn forget(&mut self, lost: &Lost) -> Result<(), FileError> {
        for writer in &lost.dead {
            self.writers.unlink(&writer.name)?;
        }
        for name in std::mem::take(&mut self.torn) {
            recover::recorded(&self.dir, &name)?;
        }
        Ok(())
    }

    /// Waits until everything this process appended is synced. Takes the sync lock, never the append
    /// lock.
    pub(crate) fn sync(&mut self, locks: &Locks) -> Result<(), TurnError> {
        self.ledger.sync(&self.dir)?;
        let Some((number, end)) = self.unsynced else { return Ok(()) };
        let boot = self.boot();
        let fail = |errno| io_error(SYNC_LOCK, errno);
        // Another process's sync may cover this one while its turn is waited for.
        let covered = || {
            let page = Synced::read(&locks.sync)?;
            let sound = page.filter(|page| page.health == Health::Sound);
            let covers = sound.is_some_and(|page| page.covers(boot, number, end));
            Ok(if covers { Needless::Yes } else { Needless::No })
        };
        let held = lock::hold_unless(&locks.sync, self.options.lock_wait, covered);
        let Some(_held) = held.map_err(|error| busy(SYNC_LOCK, error))? else {
            self.unsynced = None;
            return Ok(());
        };
        self.dir.still_names(SYNC_LOCK, &locks.sync)?;
        let synced = Synced::read(&locks.sync).map_err(fail)?.filter(|page| page.boot == boot);
        match synced {
            Some(page) if page.health == Health::Poisoned => return Err(TurnError::Poisoned),
            Some(page) if page.covers(boot, number, end) => {
                self.unsynced = None;
                return Ok(());
            }
            Some(_) | None => {}
        }
        // The published end is read before the sync: what is appended during it may not be covered.
        let page = Published::read(&locks.write).map_err(fail)?;
        let later =
            page.filter(|page| page.boot == boot && (number, end) < (page.segment, page.end));
        let (number, end) = later.map_or((number, end), |page| (page.segment, page.end));
        let file = self.file(number)?;
        let disk = self.dir.disk();
        if let Err(errno) = disk.sync(&*file) {
            self.poison(locks)?;
            return Err(io_error(&segment::name(number), errno).into());
        }
        let done = Synced { boot, segment: number, end, health: Health::Sound };
        done.write(&locks.sync, disk).map_err(fail)?;
        self.unsynced = None;
        Ok(())
    }

    /// Notes that a sync failed: what it covered may be lost, and no later sync brings it back. Under
    /// the sync lock.
    fn poison(&self, locks: &Locks) -> Result<(), FileError> {
        let fail = |errno| io_error(SYNC_LOCK, errno);
        let synced = Synced::read(&locks.sync).map_err(fail)?;
        let (segment, end) = synced.map_or((0, 0), |page| (page.segment, page.end));
        let page = Synced { boot: self.boot(), segment, end, health: Health::Poisoned };
        page.write(&locks.sync, self.dir.disk()).map_err(fail)
    }

    /// Makes a log usable again after a sync failed: sets aside what was not synced for certain, and
    /// clears the mark once the rest has been read, checked and synced. Under the append lock.
    pub(crate) fn repair(&mut self, locks: &Locks) -> Result<Repaired, TurnError> {
        let boot = self.boot();
        let sync_failed = |errno| io_error(SYNC_LOCK, errno);
        let write_failed = |errno| io_error(WRITE_LOCK, errno);
        let synced = Synced::read(&locks.sync).map_err(sync_failed)?;
        let page = Published::read(&locks.write).map_err(write_failed)?;
        let poisoned = synced.filter(|page| page.boot == boot && page.health == Health::Poisoned);
        let (Some(synced), Some(page)) = (poisoned, page.filter(|page| page.boot == boot)) else {
            return Ok(Repaired::Nothing);
        };
        // A segment begins only after the one before it was synced.
        let (number, end) = (synced.segment, synced.end).max((page.segment, 0));
        let file = self.file(number)?;
        let _held = hold_sync(locks, &self.options)?;
        let size =
            segment::size(&*file).map_err(|errno| io_error(&segment::name(number), errno))?;
        if end < size {
            recover::set_aside(&self.dir, &*file, number, end, size)?;
        }
        let head = match number.checked_sub(1) {
            None | Some(0) => Some(Head::GENESIS),
            Some(before) => recover::head_after(&self.dir, before)?,
        };
        let name = segment::name(number);
        let damaged = |at| TurnError::Damaged { name: name.clone(), at };
        let found = recover::prefix(&*file, number, 0, head.ok_or_else(|| damaged(0))?)?;
        if found.valid != end {
            return Err(damaged(found.valid));
        }
        let disk = self.dir.disk();
        disk.sync(&*file).map_err(|errno| io_error(&name, errno))?;
        let tail = Published { segment: number, end, head: found.head, ..page };
        tail.write(&locks.write, disk).map_err(write_failed)?;
        let done = Synced { boot, segment: number, end, health: Health::Sound };
        done.write(&locks.sync, disk).map_err(sync_failed)?;
        (self.seen, self.unsynced, self.reaped) = (None, None, None);
        Ok(Repaired::SetAside(size.saturating_sub(end)))
    }

    /// Syncs what this process appended and returns where what is synced ends, whoever appended it.
    pub(crate) fn synced_end(&mut self, locks: &Locks) -> Result<(u64, u64), TurnError> {
        self.sync(locks)?;
        let page = Synced::read(&locks.sync).map_err(|errno| io_error(SYNC_LOCK, errno))?;
        Ok(page.map_or((0, 0), |page| (page.segment, page.end)))
    }

    /// Ends this writer: what it still owes is closed by the next appender; if nothing is owed, its
    /// file goes.
    pub(crate) fn end(&mut self) {
        if self.register.is_clear() {
            // A file that stays is found dead and empty, and removed then.
            let _ = self.writers.unlink(self.register.name());
        }
    }

    fn file(&mut self, number: u64) -> Result<Arc<OwnedFd>, FileError> {
        let file = match self.segment.take() {
            Some((open, file)) if open == number => file,
            Some(_) | None => Arc::new(segment::open(&self.dir, number)?),
        };
        self.segment = Some((number, file.clone()));
        Ok(file)
    }

    fn boot(&self) -> u128 {
        self.clock.now().boot.boot_id
    }
}

// === impl Batch ===

impl Batch {
    fn seal(&mut self, fragment: &Fragment) -> Digest {
        let at = self.bytes.len();
        let seq = self.head.seq();
        let hash = fragment.seal(&self.head, &mut self.bytes);
        self.head = Head::after(seq, hash);
        self.notes.push((fragment.kind(), fragment.id(), at));
        hash
    }
}

/// Takes the sync lock.
fn hold_sync<'a>(locks: &'a Locks, options: &Options) -> Result<lock::Held<'a>, TurnError> {
    lock::hold(&locks.sync, options.lock_wait).map_err(|error| busy(SYNC_LOCK, error))
}

/// Says why a lock is not held.
pub(crate) fn busy(name: &'static str, error: LockError) -> TurnError {
    match error {
        LockError::Busy => TurnError::Busy(name),
        LockError::Io(errno) => io_error(name, errno).into(),
    }
}

/// Whether the record before the published end is the one that the page names; `None` if not.
fn ends_with(file: &OwnedFd, page: &Published) -> Result<Option<()>, Errno> {
    if page.end == 0 {
        return Ok(Some(()));
    }
    let line = segment::last_line(file, page.end)?;
    let scanned = line.and_then(|line| verify::scan(&line).ok());
    let head = scanned.map(|scanned| Head::after(scanned.seq, scanned.hash));
    Ok((head == Some(page.head)).then_some(()))
}

/// Returns the name of this process as a writer: boot, process id, start time. The start time tells
/// two processes with one id apart.
fn writer_stem(options: &Options) -> String {
    let boot = options.clock.now().boot.boot_id;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may hold spaces and parentheses; what follows the last one does not.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let start = after_name.split_whitespace().nth(START_TIME_FIELD).unwrap_or("0");
    format!("{boot:032x}-{}-{start}", std::process::id())
}

pub(crate) const WRITE_LOCK: &str = "write.lock";
pub(crate) const SYNC_LOCK: &str = "sync.lock";
const RESERVE: &str = "reserve";

/// What is set aside so that a full log can say that it is full, and operations in flight can end.
const RESERVE_BYTES: u64 = 1 << 20;

/// The version of the format, in the first record.
const FORMAT: u64 = 1;

/// How often a writer that lives long looks for dead ones: a second. One that begins looks at once.
const REAP_MILLIS: u64 = 1_000;

/// The start time among the fields of `/proc/self/stat` that follow the name.
const START_TIME_FIELD: usize = 19;
