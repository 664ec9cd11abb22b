//! The log as a sink: whoever comes first leads, and commits for all who wait.
//!
//! There is no writer thread. A caller puts its record into the queue; if nobody leads, it leads: it
//! takes the append lock, drains the queue, appends everything in one write, releases the lock, and
//! syncs once for all. Those who came meanwhile are led by the next of them. One caller alone pays
//! for its own commit and nothing else; many share one sync.
//!
//! Cancellation: a dropped append whose record is still queued takes it back; one whose record was
//! drained may have happened. In both cases the pipeline's debt tells [`AuditSink::orphan`].

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread::JoinHandle,
    time::Duration,
};

use iddio_core::{
    BoxFuture,
    audit::{
        AuditError, AuditSink, Body, DecisionRecord, Durability, Entry, Receipt,
        checkpoint::CheckpointSigner,
        line::{Described, Fragment, LineError},
        secret::Commit,
    },
    operation::OperationId,
    time::Clock,
};
use rustix::fs::OFlags;

use crate::{
    budget::{Budget, Charge},
    chain::{Chain, Item, Locks, Repaired, SYNC_LOCK, TurnError, WRITE_LOCK, busy},
    checkpoint::{self, CheckpointError, Notary},
    commitments::{COMMITMENTS, Commitments},
    directory::{Directory, FileError},
    disk::Disk,
    lock::{self, LOCK_WAIT},
    segment::SEGMENT_BYTES,
};

/// The durable log of one home, open for appending.
///
/// Any number of processes may have it open. Dropping it syncs what is written.
pub struct Log {
    inner: Arc<Inner>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

/// What a log is opened with.
#[derive(Clone)]
pub struct Options {
    /// Tells the time, and the boot.
    pub clock: Arc<dyn Clock>,
    /// The name of the host, for the first record.
    pub host: String,
    /// The public key that will sign checkpoints, for the first record.
    pub checkpoint_key: [u8; 32],
    /// The file system, which a test may break.
    pub disk: Disk,
    /// How long to wait for a lock before refusing.
    pub lock_wait: Duration,
    /// When a segment is full.
    pub segment_bytes: u64,
    /// How large the log may become, if there is a limit besides the disk's.
    pub bytes_max: Option<u64>,
    /// How many records each principal may cause. `None`: any number.
    pub budget: Option<Budget>,
    /// Who knows the owners of operations that this process appends for others. `None`: this process
    /// is the owner of all it appends.
    pub owners: Option<Arc<dyn Owners>>,
}

/// Knows whether the owner of an operation lives, where that is not the process that appends.
pub trait Owners: Send + Sync {
    /// Takes over the operation `id`, which `writer` owns and a log service that is gone appended;
    /// or says that its owner is gone too, and then it is closed.
    fn adopt(&self, id: OperationId, writer: &str) -> Adopted;
}

/// What becomes of an operation that a log service which is gone left open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Adopted {
    /// Its owner is gone: it is closed.
    Gone,
    /// Its owner lives: it stays open.
    Lives,
}

struct Inner {
    path: PathBuf,
    disk: Disk,
    locks: Locks,
    writer: String,
    commit: Arc<dyn Commit>,
    /// What the decisions said whose operations are open.
    described: Mutex<DescribedById>,
    chain: Mutex<Chain>,
    queue: Mutex<Queue>,
    flush: Mutex<Flush>,
    flush_due: Condvar,
    lock_wait: Duration,
}

type DescribedById = HashMap<OperationId, (Arc<DecisionRecord>, Arc<Described>)>;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Ticket>>,
    orphans: Vec<OperationId>,
    lead: Lead,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Lead {
    #[default]
    Free,
    Taken,
}

#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Flush {
    Due,
    #[default]
    Idle,
    Stop,
}

/// A record on its way.
struct Ticket {
    item: Item,
    durability: Durability,
    state: Mutex<TicketState>,
}

#[derive(Default)]
struct TicketState {
    done: Option<Result<Receipt, AuditError>>,
    waker: Option<Waker>,
}

/// The log could not be opened.
pub type OpenError = FileError;

// === impl Options ===

impl Options {
    /// Returns the options of a home's own log: the limits as documented, the disk as it is.
    pub fn of_home(clock: Arc<dyn Clock>, host: String, checkpoint_key: [u8; 32]) -> Self {
        Self {
            clock,
            host,
            checkpoint_key,
            disk: Disk::default(),
            lock_wait: LOCK_WAIT,
            segment_bytes: SEGMENT_BYTES,
            bytes_max: None,
            budget: Some(Budget::HOME),
            owners: None,
        }
    }
}

// === impl Log ===

impl Log {
    /// Opens the log in `dir`, and makes it if there is none. Nothing is read or mended before the
    /// first append.
    ///
    /// # Errors
    ///
    /// When a file of the log is not this user's own, or cannot be made.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let disk = options.disk.clone();
        let home = Directory::open(dir, &disk)?;
        let writers = Directory::open(&dir.join(WRITERS), &disk)?;
        let keys = Directory::open(&dir.join(COMMITMENTS), &disk)?;
        let locks = Locks {
            write: home.file_or_new(WRITE_LOCK, OFlags::RDWR)?,
            sync: home.file_or_new(SYNC_LOCK, OFlags::RDWR)?,
        };
        let commit: Arc<dyn Commit> = Arc::new(Commitments::new(keys, options.clock.clone()));
        let lock_wait = options.lock_wait;
        let chain = Chain::new(home, writers, options, commit.clone())?;
        let inner = Inner {
            path: dir.to_owned(),
            disk,
            locks,
            writer: chain.writer().to_owned(),
            commit,
            described: Mutex::default(),
            chain: Mutex::new(chain),
            queue: Mutex::default(),
            flush: Mutex::default(),
            flush_due: Condvar::new(),
            lock_wait,
        };
        Ok(Self { inner: Arc::new(inner), flusher: Mutex::new(None) })
    }

    /// Where the log lies.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Appends a record that another process stated, charged as `charge` says.
    ///
    /// Cancellation: as [`AuditSink::append`].
    pub fn append_stated(
        &self,
        fragment: Fragment,
        charge: Charge,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Receipt, AuditError>> {
        let item = Item { fragment, charge };
        let ticket = Ticket { item, durability, state: Mutex::default() };
        Box::pin(Append { log: self, ticket: Arc::new(ticket), stage: Stage::New })
    }

    /// Returns the line of the record that opened `id`, if that is open here.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn opening(&self, id: OperationId) -> Result<Option<Vec<u8>>, AuditError> {
        self.inner.chain()?.opening(id).map_err(|error| not_stored(error.into()))
    }

    /// Returns what commits to secrets in records of this log.
    pub fn committing(&self) -> Arc<dyn Commit> {
        self.inner.commit.clone()
    }

    /// Closes what the pipeline lost track of, and waits until everything is synced.
    ///
    /// # Errors
    ///
    /// When that fails. What was acknowledged as synced is not affected.
    pub fn finish(&self) -> Result<(), AuditError> {
        let orphans = std::mem::take(&mut self.inner.queue().orphans);
        let mut chain = self.inner.chain()?;
        if !orphans.is_empty() {
            let appended = self.inner.end_orphans(&mut chain, &orphans);
            if appended.is_err() {
                self.inner.queue().orphans.extend(orphans);
            }
            appended.map_err(not_stored)?;
        }
        chain.sync(&self.inner.locks).map_err(not_stored)
    }

    /// Makes the log usable again after a sync failed in this boot. What may not have been synced is
    /// set aside, never dropped, and the next append records that.
    ///
    /// # Errors
    ///
    /// When what is left is damaged or cannot be synced; the log then stays closed.
    pub fn repair(&self) -> Result<Repaired, AuditError> {
        let inner = &*self.inner;
        let mut chain = inner.chain()?;
        let held = lock::hold(&inner.locks.write, inner.lock_wait);
        let _held = held.map_err(|error| not_stored(busy(WRITE_LOCK, error)))?;
        chain.repair(&inner.locks).map_err(not_stored)
    }

    /// Signs what is synced, and returns the checkpoint's text.
    ///
    /// # Errors
    ///
    /// When the log cannot be read or synced, or is not the one that was signed before.
    pub fn checkpoint(&self, signer: &dyn CheckpointSigner) -> Result<String, CheckpointError> {
        self.checkpoint_by(&checkpoint::Own(signer))
    }

    /// Has what is synced signed by somebody elsewhere, and returns the checkpoint's text.
    ///
    /// # Errors
    ///
    /// As [`Self::checkpoint`]; and when it is not signed.
    pub fn checkpoint_by(&self, notary: &dyn Notary) -> Result<String, CheckpointError> {
        let inner = &*self.inner;
        let sync = |error: AuditError| CheckpointError::Sync(error.to_string());
        let until = inner.chain().map_err(sync)?.synced_end(&inner.locks);
        let until = until.map_err(|error| sync(not_stored(error)))?;
        checkpoint::make(&inner.path, &inner.disk, until, notary)
    }

    /// Makes sure that what is written and not synced will be, soon.
    fn flush_soon(&self) {
        let mut flush = self.inner.flush.lock().unwrap_or_else(PoisonError::into_inner);
        if *flush == Flush::Idle {
            *flush = Flush::Due;
            self.inner.flush_due.notify_one();
        }
        drop(flush);
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        if flusher.is_none() {
            let inner = self.inner.clone();
            let thread = std::thread::Builder::new().name("iddio-audit-sync".to_owned());
            // Without the thread, the sync happens with the next one, or when the log is closed.
            *flusher = thread.spawn(move || inner.flush()).ok();
        }
    }
}

impl AuditSink for Log {
    fn append<'a>(
        &'a self,
        entry: &'a Entry,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Receipt, AuditError>> {
        match self.inner.fragment(entry) {
            Ok(fragment) => {
                let item = Item { fragment, charge: Charge::of(entry) };
                let ticket = Ticket { item, durability, state: Mutex::default() };
                Box::pin(Append { log: self, ticket: Arc::new(ticket), stage: Stage::New })
            }
            Err(error) => Box::pin(std::future::ready(Err(not_stored(error.into())))),
        }
    }

    fn orphan(&self, id: OperationId) {
        self.inner.described().remove(&id);
        self.inner.queue().orphans.push(id);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        *self.inner.flush.lock().unwrap_or_else(PoisonError::into_inner) = Flush::Stop;
        self.inner.flush_due.notify_all();
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(flusher) = flusher {
            // A flusher that panicked has told standard error; the sync below is tried all the same.
            let _ = flusher.join();
        }
        // Nobody is left to tell. What was promised as synced already is; the rest is in the page
        // cache, which survives this process.
        let _ = self.finish();
        if let Ok(mut chain) = self.inner.chain.lock() {
            chain.end();
        }
    }
}

/// One append, as a future.
struct Append<'a> {
    log: &'a Log,
    ticket: Arc<Ticket>,
    stage: Stage,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    Done,
    New,
    Queued,
}

impl Future for Append<'_> {
    type Output = Result<Receipt, AuditError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = &*self.log.inner;
        if self.stage == Stage::New {
            self.ticket.state().waker = Some(context.waker().clone());
            inner.queue().waiting.push_back(self.ticket.clone());
            self.stage = Stage::Queued;
            // Whoever shares this thread gets to queue as well before one of them leads.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        {
            let mut state = self.ticket.state();
            if let Some(done) = state.done.take() {
                drop(state);
                self.stage = Stage::Done;
                return Poll::Ready(done);
            }
            // Before the queue is looked at: whoever stops leading looks at the queue first and for
            // a waker then.
            state.waker = Some(context.waker().clone());
        }
        if inner.take_lead() == Lead::Free {
            let led = Leading(inner);
            inner.lead(self.log);
            drop(led);
            // The queue was drained up to a limit, so the own record may have to wait its turn.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Append<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::Queued {
            let inner = &*self.log.inner;
            inner.queue().waiting.retain(|ticket| !Arc::ptr_eq(ticket, &self.ticket));
            // This one may have been the one that was woken to lead.
            inner.wake_next();
        }
    }
}

/// Whoever leads. Dropping it lets the next one lead, even if this one panicked.
struct Leading<'a>(&'a Inner);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.queue().lead = Lead::Free;
        self.0.wake_next();
    }
}

// === impl Inner ===

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole at every step, so a panic elsewhere leaves it usable.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the record of `entry`. The end of an operation takes over what its decision said.
    fn fragment(&self, entry: &Entry) -> Result<Fragment, LineError> {
        let Self { writer, commit, .. } = self;
        match &entry.body {
            Body::Decided(record) if record.refusal.is_none() => {
                let fresh = Arc::new(Described::of(record, &**commit));
                let mut described = self.described();
                if described.len() < DESCRIBED_MAX {
                    described.insert(entry.id, (record.clone(), fresh.clone()));
                }
                drop(described);
                Fragment::with(entry, writer, &fresh)
            }
            Body::Closed(closed) => {
                let known = self.described().remove(&entry.id);
                match known.filter(|(record, _)| Arc::ptr_eq(record, &closed.decided)) {
                    Some((_, known)) => Fragment::with(entry, writer, &known),
                    None => Fragment::new(entry, writer, &**commit),
                }
            }
            Body::Admin(_) | Body::Asked(_) | Body::Decided(_) => {
                Fragment::new(entry, writer, &**commit)
            }
        }
    }

    fn described(&self) -> MutexGuard<'_, DescribedById> {
        // Each entry is whole or absent, so a panic elsewhere leaves the map usable.
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chain(&self) -> Result<MutexGuard<'_, Chain>, AuditError> {
        self.chain.lock().map_err(|_| AuditError::not_stored("an earlier append panicked"))
    }

    /// Takes the lead if it is free, and returns what it was.
    fn take_lead(&self) -> Lead {
        std::mem::replace(&mut self.queue().lead, Lead::Taken)
    }

    fn wake_next(&self) {
        let queue = self.queue();
        let next = queue.waiting.front().filter(|_| queue.lead == Lead::Free).cloned();
        drop(queue);
        if let Some(waker) = next.and_then(|ticket| ticket.state().waker.clone()) {
            waker.wake();
        }
    }

    /// Commits for everybody in the queue.
    fn lead(&self, log: &Log) {
        let mut chain = match self.chain() {
            Ok(chain) => chain,
            Err(error) => return self.refuse(&self.drain(), &error),
        };
        let held = match lock::hold(&self.locks.write, self.lock_wait) {
            Ok(held) => held,
            Err(error) => {
                let error = not_stored(busy(WRITE_LOCK, error));
                return self.refuse(&self.drain(), &error);
            }
        };
        // Drained only now: whoever came while the lock was waited for is in this batch.
        let tickets = self.drain();
        let orphans = std::mem::take(&mut self.queue().orphans);
        let items = tickets.iter().map(|ticket| &ticket.item);
        let turn = chain.turn(&self.locks, items, &orphans);
        drop(held);
        let receipts = match turn {
            Ok(receipts) => receipts,
            Err(error) => {
                self.queue().orphans.extend(orphans);
                return self.refuse(&tickets, &not_stored(error));
            }
        };
        let mut acks = Vec::with_capacity(tickets.len());
        for (ticket, receipt) in tickets.into_iter().zip(receipts) {
            match receipt {
                Ok(receipt) => acks.push((ticket, receipt)),
                Err(error) => ticket.finish(Err(not_stored(error))),
            }
        }
        let (sync, write): (Vec<_>, Vec<_>) =
            acks.into_iter().partition(|(ticket, _)| ticket.durability == Durability::Sync);
        write.into_iter().for_each(|(ticket, receipt)| ticket.finish(Ok(receipt)));
        if sync.is_empty() {
            return log.flush_soon();
        }
        let synced = chain.sync(&self.locks).map_err(not_stored);
        drop(chain);
        for (ticket, receipt) in sync {
            ticket.finish(synced.clone().map(|()| receipt));
        }
    }

    /// Appends without a queue what the pipeline lost track of.
    fn end_orphans(&self, chain: &mut Chain, orphans: &[OperationId]) -> Result<(), TurnError> {
        let _held = lock::hold(&self.locks.write, self.lock_wait)
            .map_err(|error| busy(WRITE_LOCK, error))?;
        chain.turn(&self.locks, std::iter::empty(), orphans).map(drop)
    }

    /// Takes records out of the queue, up to the limit of a batch.
    fn drain(&self) -> Vec<Arc<Ticket>> {
        let mut queue = self.queue();
        let mut tickets = Vec::with_capacity(queue.waiting.len().min(BATCH_RECORDS_MAX));
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX && tickets.len() < BATCH_RECORDS_MAX {
            let Some(ticket) = queue.waiting.pop_front() else { break };
            bytes += ticket.item.fragment.bytes_max();
            tickets.push(ticket);
        }
        tickets
    }

    fn refuse(&self, tickets: &[Arc<Ticket>], error: &AuditError) {
        tickets.iter().for_each(|ticket| ticket.finish(Err(error.clone())));
    }

    /// Syncs what was acknowledged when it was written, soon after it was. Runs on its own thread.
    fn flush(&self) {
        let mut flush = self.flush.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *flush {
                Flush::Stop => return,
                Flush::Idle => {
                    let woken = self.flush_due.wait(flush);
                    flush = woken.unwrap_or_else(PoisonError::into_inner);
                }
                Flush::Due => {
                    let woken = self.flush_due.wait_timeout(flush, FLUSH_AFTER);
                    flush = woken.unwrap_or_else(PoisonError::into_inner).0;
                    if *flush == Flush::Stop {
                        return;
                    }
                    *flush = Flush::Idle;
                    drop(flush);
                    if let Ok(mut chain) = self.chain.lock() {
                        // A failed sync poisons the log, and the next append says so.
                        let _ = chain.sync(&self.locks);
                    }
                    flush = self.flush.lock().unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

// === impl Ticket ===

impl Ticket {
    fn state(&self) -> MutexGuard<'_, TicketState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, result: Result<Receipt, AuditError>) {
        let mut state = self.state();
        state.done = Some(result);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn not_stored(error: TurnError) -> AuditError {
    AuditError::not_stored(error.to_string())
}

const WRITERS: &str = "writers";

/// How many open operations' descriptions are kept: some 3 KiB each. Others are described again.
const DESCRIBED_MAX: usize = 1_024;

/// The most records in one write: what a thousand callers may have waiting, several times over.
const BATCH_RECORDS_MAX: usize = 4_096;

/// The most bytes in one write, but for the last record of it.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// When a record that was acknowledged as written is synced. Less than the 50 ms that are promised,
/// since the sync itself takes time.
const FLUSH_AFTER: Duration = Duration::from_millis(40);
