//! An audit log in memory, with faults.
//!
//! Records are made, sealed and linked by the core's own code, so that [`MemorySink::story`] is
//! what a verifier would say about the same log on a disk.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::Poll,
};

use iddio_core::{
    BoxFuture,
    audit::{
        AuditError, AuditSink, Durability, Entry, Receipt,
        chain::Head,
        line::{Fragment, Kind},
        secret::{Commit, Commitment},
        verify::{Story, Verifier},
    },
    digest::Digest,
    operation::OperationId,
    time::Timestamp,
};

use crate::lock;

/// What goes wrong with an append.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// Says no and stores nothing.
    Fail,
    /// Says no and stores it anyway.
    FailAfterWrite,
    /// Stores it and never answers.
    Hang,
    /// Stores nothing and never answers.
    HangBeforeWrite,
    /// Stores it and vouches for some other entry.
    Lie,
    /// Nothing.
    #[default]
    None,
    /// Stores it at the second look, and answers at the third.
    Slow,
}

/// An entry that was stored.
#[derive(Clone, Debug)]
pub struct Noted {
    /// What was stored. `None` for an end that recovery wrote.
    pub entry: Option<Entry>,
    /// Whose it is.
    pub id: OperationId,
    /// What it does to its operation.
    pub kind: Kind,
    /// How durable it was asked to be.
    pub durability: Durability,
}

/// An audit log in memory.
#[derive(Default)]
pub struct MemorySink {
    state: Arc<Mutex<State>>,
}

struct State {
    head: Head,
    lines: Vec<Vec<u8>>,
    noted: Vec<Noted>,
    orphans: Vec<OperationId>,
    faults: VecDeque<Fault>,
}

// === impl MemorySink ===

impl MemorySink {
    /// Lets the next appends go wrong, in order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state).faults.extend(faults);
    }

    /// Forgets faults that did not happen yet.
    pub fn heal(&self) {
        lock(&self.state).faults.clear();
    }

    /// Returns what was stored, in order.
    pub fn noted(&self) -> Vec<Noted> {
        lock(&self.state).noted.clone()
    }

    /// Returns what was stored of one operation, as kinds.
    pub fn kinds(&self, id: OperationId) -> Vec<Kind> {
        lock(&self.state)
            .noted
            .iter()
            .filter(|noted| noted.id == id)
            .map(|noted| noted.kind)
            .collect()
    }

    /// Returns the operations the pipeline gave up and nobody has closed yet.
    pub fn orphans(&self) -> Vec<OperationId> {
        lock(&self.state).orphans.clone()
    }

    /// Returns the lines of the log.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        lock(&self.state).lines.clone()
    }

    /// Closes what was given up: what a real log does in the background, and again at start.
    pub fn recover(&self) {
        lock(&self.state).recover();
    }

    /// Verifies the log and returns what it tells. A broken chain fails the test.
    pub fn story(&self) -> Story {
        let state = lock(&self.state);
        let mut verifier = Verifier::new();
        for line in &state.lines {
            if let Err(broken) = verifier.feed(line) {
                panic!("{broken:?} in {}", String::from_utf8_lossy(line));
            }
        }
        verifier.finish()
    }
}

impl AuditSink for MemorySink {
    fn append<'a>(
        &'a self,
        entry: &'a Entry,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Receipt, AuditError>> {
        let mut state = lock(&self.state);
        let result = match state.faults.pop_front().unwrap_or_default() {
            Fault::Fail => Err(AuditError::not_stored("told to fail")),
            Fault::FailAfterWrite => {
                let _stored = state.write(entry, durability);
                Err(AuditError::not_stored("told to fail after writing"))
            }
            Fault::Hang => {
                let _stored = state.write(entry, durability);
                return Box::pin(std::future::pending());
            }
            Fault::HangBeforeWrite => return Box::pin(std::future::pending()),
            Fault::Lie => {
                let Receipt { .. } = state.write(entry, durability);
                let other = OperationId(entry.id.0 ^ 1);
                Ok(Receipt::assertion(other, 0, Digest::of_bytes(b"a lie")))
            }
            Fault::None => Ok(state.write(entry, durability)),
            Fault::Slow => return Box::pin(slow(self.state.clone(), entry, durability)),
        };
        Box::pin(std::future::ready(result))
    }

    fn orphan(&self, id: OperationId) {
        lock(&self.state).orphans.push(id);
    }
}

async fn slow(
    state: Arc<Mutex<State>>,
    entry: &Entry,
    durability: Durability,
) -> Result<Receipt, AuditError> {
    look_away().await;
    let receipt = lock(&state).write(entry, durability);
    look_away().await;
    Ok(receipt)
}

/// Is pending once.
async fn look_away() {
    let mut looked = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut looked, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

// === impl State ===

impl Default for State {
    fn default() -> Self {
        Self {
            head: Head::GENESIS,
            lines: Vec::new(),
            noted: Vec::new(),
            orphans: Vec::new(),
            faults: VecDeque::new(),
        }
    }
}

impl State {
    fn write(&mut self, entry: &Entry, durability: Durability) -> Receipt {
        let fragment = Fragment::new(entry, "testkit", &Plain).expect("an entry that fits");
        self.seal(&fragment, Some(entry.clone()), durability)
    }

    fn seal(
        &mut self,
        fragment: &Fragment,
        entry: Option<Entry>,
        durability: Durability,
    ) -> Receipt {
        let mut line = Vec::new();
        let hash = fragment.seal(&self.head, &mut line);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let seq = self.head.seq();
        self.head = Head::after(seq, hash);
        self.lines.push(line);
        let (id, kind) = (fragment.id(), fragment.kind());
        self.noted.push(Noted { entry, id, kind, durability });
        Receipt::assertion(id, seq, hash)
    }

    fn recover(&mut self) {
        for id in std::mem::take(&mut self.orphans) {
            let last = self.noted.iter().zip(&self.lines).rfind(|(noted, _)| noted.id == id);
            let opening = match last {
                Some((Noted { kind: Kind::Allowed | Kind::Asked, .. }, line)) => line.clone(),
                _ => continue,
            };
            let closing = Fragment::closing(&opening, Timestamp(0), "testkit");
            let fragment = closing.expect("a line this sink wrote");
            let _closed = self.seal(&fragment, None, Durability::Sync);
        }
    }
}

/// Commits without a key: tests have nothing to hide.
struct Plain;

impl Commit for Plain {
    fn commit(&self, field: &str, bytes: &[u8]) -> Commitment {
        let both = [field.as_bytes(), b"\0", bytes].concat();
        Commitment { key: "testkit".to_owned(), mac: *Digest::of_bytes(&both).as_bytes() }
    }
}
