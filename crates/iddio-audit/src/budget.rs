//! How many records a principal may cause.
//!
//! A loop of refused commands must not fill the disk (E24), nor hide the others (L04). Each
//! principal has two allowances, kept in the file `budget` under the append lock, so all processes
//! count together. Over the one for refusals, refusals are counted instead of recorded: one record
//! says that counting began, another, a minute later, how many there were. Over the one for the
//! rest, nothing is recorded, and so nothing is allowed. What ends an operation is never charged: a
//! debt can always be paid.

use std::{collections::HashMap, os::fd::OwnedFd};

use iddio_core::{
    audit::{Body, Entry, Refusal},
    digest::Digest,
    principal::PrincipalId,
    time::{Moment, Timestamp},
};
use rustix::{fs::OFlags, io::Errno};

use crate::{
    directory::{Directory, FileError, io_error},
    segment,
};

/// The allowances of every principal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// For asks and allowed operations.
    pub records: Allowance,
    /// For refusals that no human was asked about.
    pub refusals: Allowance,
}

/// So many at once, and so many more each second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// At once.
    pub burst: u32,
    /// Each second.
    pub per_second: u32,
}

/// What a record is charged to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Charge {
    /// Nothing: it ends something, or is about iddio itself.
    Free,
    /// A principal's allowance for asks and allowed operations.
    Record(PrincipalId),
    /// A principal's allowance for refusals.
    Refusal(PrincipalId),
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is counted, and the record that says so is to be written first.
    Begin,
    /// It is counted. The record that says so has this place and hash.
    Count(u64, Digest),
    /// It is not stored.
    Refuse,
    /// It is stored.
    Store,
}

/// Refusals that were counted and are now to be recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Counted {
    pub(crate) principal: String,
    pub(crate) count: u64,
    pub(crate) since: Timestamp,
}

/// The file, and what is known of it.
#[derive(Debug)]
pub(crate) struct Ledger {
    budget: Option<Budget>,
    file: Option<OwnedFd>,
    known: HashMap<u64, Slot>,
    dirty: Vec<u64>,
    counts: Counts,
}

/// Whether counts changed since they were last made durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Counts {
    Changed,
    Durable,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Slot {
    principal: String,
    boot: u128,
    millis: u64,
    records: u64,
    refusals: u64,
    counted: u64,
    since: Timestamp,
    told: (u64, Digest),
}

// === impl Budget ===

impl Budget {
    /// The allowances of a home. A person at a terminal or a gateway under its usual load never
    /// meets them; a loop does within seconds.
    pub const HOME: Self = Self {
        records: Allowance { burst: 50_000, per_second: 2_000 },
        refusals: Allowance { burst: 300, per_second: 2 },
    };
}

// === impl Charge ===

impl Charge {
    pub(crate) fn of(entry: &Entry) -> Self {
        match &entry.body {
            Body::Admin(_) | Body::Closed(_) => Self::Free,
            Body::Asked(record) => Self::Record(record.subject.principal.id.clone()),
            Body::Decided(record) => {
                let who = || record.subject.principal.id.clone();
                match (&record.answer, record.refusal) {
                    // These end an ask, which was charged.
                    (Some(_), _) | (None, Some(Refusal::PolicyMoved)) => Self::Free,
                    (None, Some(_)) => Self::Refusal(who()),
                    (None, None) => Self::Record(who()),
                }
            }
        }
    }
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(budget: Option<Budget>) -> Self {
        Self {
            budget,
            file: None,
            known: HashMap::new(),
            dirty: Vec::new(),
            counts: Counts::Durable,
        }
    }

    /// Forgets what was read: another process may have written since.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.dirty.clear();
    }

    /// Charges a record and says what becomes of it.
    pub(crate) fn charge(
        &mut self,
        dir: &Directory,
        charge: &Charge,
        now: Moment,
    ) -> Result<Verdict, FileError> {
        let Some(budget) = self.budget else { return Ok(Verdict::Store) };
        let (principal, refusal) = match charge {
            Charge::Free => return Ok(Verdict::Store),
            Charge::Record(principal) => (principal, None),
            Charge::Refusal(principal) => (principal, Some(())),
        };
        let number = self.slot(dir, principal, budget, now)?;
        let Some(slot) = self.known.get_mut(&number) else { return Ok(Verdict::Refuse) };
        slot.refill(budget, now);
        let purse = if refusal.is_some() { &mut slot.refusals } else { &mut slot.records };
        let paid = match purse.checked_sub(ONE) {
            // While refusals are being counted, the next ones are as well, until the minute is over.
            Some(left) if refusal.is_none() || slot.counted == 0 => {
                *purse = left;
                Some(())
            }
            Some(_) | None => None,
        };
        let verdict = match (paid, refusal) {
            (Some(()), _) => Verdict::Store,
            (None, None) => Verdict::Refuse,
            (None, Some(())) if slot.counted == 0 => {
                slot.since = now.wall;
                Verdict::Begin
            }
            (None, Some(())) => Verdict::Count(slot.told.0, slot.told.1),
        };
        if matches!(verdict, Verdict::Begin | Verdict::Count(..)) {
            slot.counted += 1;
            self.counts = Counts::Changed;
        }
        self.dirty.push(number);
        Ok(verdict)
    }

    /// Notes where the record stands that says that `principal`'s refusals are being counted.
    pub(crate) fn told(&mut self, principal: &PrincipalId, seq: u64, hash: Digest) {
        for slot in self.known.values_mut() {
            if slot.principal == principal.as_str() {
                slot.told = (seq, hash);
            }
        }
    }

    /// Takes the counts whose minute is over.
    pub(crate) fn take_counted(
        &mut self,
        dir: &Directory,
        now: Moment,
    ) -> Result<Vec<Counted>, FileError> {
        let mut due = Vec::new();
        for number in 0..SLOTS {
            self.load(dir, number)?;
            let Some(slot) = self.known.get_mut(&number).filter(|slot| slot.counted != 0) else {
                continue;
            };
            let age = now.wall.0.saturating_sub(slot.since.0);
            // A clock that was set back must not keep a count open for ever.
            if age < WINDOW_MICROS && slot.since <= now.wall {
                continue;
            }
            let principal = slot.principal.clone();
            due.push(Counted { principal, count: slot.counted, since: slot.since });
            slot.counted = 0;
            self.dirty.push(number);
        }
        Ok(due)
    }

    /// Returns how many principals' refusals are being counted.
    pub(crate) fn counting(&mut self, dir: &Directory) -> Result<u32, FileError> {
        (0..SLOTS).try_for_each(|number| self.load(dir, number))?;
        let counting = self.known.values().filter(|slot| slot.counted != 0).count();
        Ok(u32::try_from(counting).unwrap_or(u32::MAX))
    }

    /// Writes what changed.
    pub(crate) fn write(&mut self, dir: &Directory) -> Result<(), FileError> {
        let fail = |errno| io_error(FILE, errno);
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for number in dirty {
            let Some(slot) = self.known.get(&number).map(Slot::encode) else { continue };
            let file = open(&mut self.file, dir)?;
            let wrote = dir.disk().overwrite(file, &slot, number * SLOT_BYTES);
            if wrote.map_err(fail)? != slot.len() {
                return Err(fail(Errno::NOSPC));
            }
        }
        Ok(())
    }

    /// Makes the counts durable.
    pub(crate) fn sync(&mut self, dir: &Directory) -> Result<(), FileError> {
        if let (Counts::Changed, Some(file)) = (self.counts, &self.file) {
            dir.disk().sync(file).map_err(|errno| io_error(FILE, errno))?;
            self.counts = Counts::Durable;
        }
        Ok(())
    }

    /// Returns the slot of `principal`. Where too many share a neighbourhood, the last of it is
    /// shared: stricter, never looser.
    fn slot(
        &mut self,
        dir: &Directory,
        principal: &PrincipalId,
        budget: Budget,
        now: Moment,
    ) -> Result<u64, FileError> {
        let digest = Digest::of_bytes(principal.as_str().as_bytes());
        let [first, second, ..] = *digest.as_bytes();
        let home = u64::from(u16::from_le_bytes([first, second])) & (SLOTS - 1);
        let places = (0..NEIGHBOURS).map(|step| (home + step) & (SLOTS - 1));
        let mut last = home;
        for number in places {
            last = number;
            self.load(dir, number)?;
            match self.known.get(&number) {
                Some(slot) if slot.principal == principal.as_str() => return Ok(number),
                Some(slot) if !slot.is_idle(budget, now) => {}
                Some(_) | None => {
                    self.known.insert(number, Slot::new(principal.as_str(), budget, now));
                    return Ok(number);
                }
            }
        }
        Ok(last)
    }

    fn load(&mut self, dir: &Directory, number: u64) -> Result<(), FileError> {
        if self.known.contains_key(&number) {
            return Ok(());
        }
        let at = number * SLOT_BYTES;
        let file = open(&mut self.file, dir)?;
        let bytes = segment::read(file, at, at + SLOT_BYTES);
        let bytes = bytes.map_err(|errno| io_error(FILE, errno))?;
        if let Some(slot) = Slot::decode(&bytes) {
            self.known.insert(number, slot);
        }
        Ok(())
    }
}

// === impl Slot ===

impl Slot {
    fn new(principal: &str, budget: Budget, now: Moment) -> Self {
        Self {
            principal: principal.to_owned(),
            boot: now.boot.boot_id,
            millis: now.boot.millis,
            records: u64::from(budget.records.burst) * ONE,
            refusals: u64::from(budget.refusals.burst) * ONE,
            counted: 0,
            since: now.wall,
            told: (0, Digest::from_bytes([0; 32])),
        }
    }

    fn refill(&mut self, budget: Budget, now: Moment) {
        let Budget { records, refusals } = budget;
        let passed = match now.boot.boot_id == self.boot {
            true => now.boot.millis.saturating_sub(self.millis),
            false => u64::MAX,
        };
        let fill = |purse: u64, Allowance { burst, per_second }: Allowance| {
            // A token is a thousand parts, so parts a millisecond are tokens a second.
            let gained = passed.saturating_mul(u64::from(per_second));
            purse.saturating_add(gained).min(u64::from(burst) * ONE)
        };
        self.records = fill(self.records, records);
        self.refusals = fill(self.refusals, refusals);
        (self.boot, self.millis) = (now.boot.boot_id, now.boot.millis);
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&self, budget: Budget, now: Moment) -> bool {
        let mut full = self.clone();
        full.refill(budget, now);
        let fresh = Self::new(&self.principal, budget, now);
        self.counted == 0 && (full.records, full.refusals) == (fresh.records, fresh.refusals)
    }

    fn encode(&self) -> Vec<u8> {
        let Self { principal, boot, millis, records, refusals, counted, since, told } = self;
        let mut bytes = Vec::with_capacity(SLOT_BYTES as usize);
        let name = principal.as_bytes();
        bytes.push(u8::try_from(name.len()).unwrap_or(0));
        bytes.extend_from_slice(name);
        bytes.resize(1 + PrincipalId::BYTES_MAX, 0);
        bytes.extend_from_slice(&boot.to_le_bytes());
        let numbers = [*millis, *records, *refusals, *counted, since.0, told.0];
        bytes.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend_from_slice(told.1.as_bytes());
        let sum = Digest::of_bytes(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        bytes.truncate(SLOT_BYTES as usize);
        bytes.resize(SLOT_BYTES as usize, 0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(PrincipalId::BYTES_MAX)?;
        let name = name.get(..usize::from(*length))?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (numbers, rest) = rest.split_at_checked(6 * 8)?;
        let (hash, _) = rest.split_first_chunk()?;
        let (numbers, _) = numbers.as_chunks();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let mut next = || numbers.next();
        let slot = Self {
            principal: String::from_utf8(name.to_vec()).ok().filter(|name| !name.is_empty())?,
            boot: u128::from_le_bytes(*boot),
            millis: next()?,
            records: next()?,
            refusals: next()?,
            counted: next()?,
            since: Timestamp(next()?),
            told: (next()?, Digest::from_bytes(*hash)),
        };
        (slot.encode() == bytes).then_some(slot)
    }
}

fn open<'a>(file: &'a mut Option<OwnedFd>, dir: &Directory) -> Result<&'a OwnedFd, FileError> {
    let open = match file.take() {
        Some(open) => open,
        None => {
            let fail = |errno| io_error(FILE, errno);
            let open = dir.file_or_new(FILE, OFlags::RDWR)?;
            // All of it at once, so that a full disk cannot keep a count from being written.
            if segment::size(&open).map_err(fail)? < SLOTS * SLOT_BYTES {
                dir.disk().allocate(&open, SLOTS * SLOT_BYTES).map_err(fail)?;
            }
            open
        }
    };
    Ok(file.insert(open))
}

const FILE: &str = "budget";

/// A token in parts.
const ONE: u64 = 1_000;

/// How long refusals are counted before the count is recorded: a minute.
const WINDOW_MICROS: u64 = 60 * 1_000_000;

/// How many principals are told apart: as many as a busy host has, several times over. 128 KiB.
const SLOTS: u64 = 512;
const SLOT_BYTES: u64 = 256;

/// How many places a principal's slot may be in.
const NEIGHBOURS: u64 = 8;
