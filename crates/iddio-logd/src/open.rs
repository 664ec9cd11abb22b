//! The operations that clients have open, and whether their owners live.
//!
//! INVARIANT: an operation is closed by the process that opened it, or, when that is gone, by the
//! service. A service that starts anew takes over what the one before left open.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use iddio_audit::{Adopted, Owners};
use iddio_core::operation::OperationId;
use iddio_service::peer::started;

/// What is open, and whose.
#[derive(Debug)]
pub(crate) struct Open {
    boot: u128,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    owners: HashMap<OperationId, Arc<str>>,
    counts: HashMap<Arc<str>, usize>,
}

/// Whether a process lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Life {
    Gone,
    Lives,
}

// === impl Open ===

impl Open {
    /// Returns the book of boot `boot`, with nothing in it.
    pub(crate) fn in_boot(boot: u128) -> Self {
        Self { boot, book: Mutex::default() }
    }

    /// Returns who owns `id`, if it is open.
    pub(crate) fn owner(&self, id: OperationId) -> Option<Arc<str>> {
        self.book().owners.get(&id).cloned()
    }

    /// Whether `id` is open and its owner lives.
    pub(crate) fn is_live(&self, id: OperationId) -> bool {
        self.owner(id).is_some_and(|owner| self.life(&owner) == Life::Lives)
    }

    /// Returns how many operations `writer` has open.
    pub(crate) fn count(&self, writer: &str) -> usize {
        self.book().counts.get(writer).copied().unwrap_or(0)
    }

    pub(crate) fn begin(&self, id: OperationId, writer: Arc<str>) {
        let mut book = self.book();
        if book.owners.insert(id, writer.clone()).is_none() {
            *book.counts.entry(writer).or_default() += 1;
        }
    }

    pub(crate) fn end(&self, id: OperationId) {
        self.book().remove(id);
    }

    /// Takes out the operations whose owners are gone.
    pub(crate) fn take_abandoned(&self) -> Vec<OperationId> {
        let owners: Vec<Arc<str>> = self.book().counts.keys().cloned().collect();
        let gone = owners.into_iter().filter(|owner| self.life(owner) == Life::Gone);
        let gone: HashSet<Arc<str>> = gone.collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let mut book = self.book();
        let lost = book.owners.iter().filter(|(_, owner)| gone.contains(*owner));
        let ids: Vec<OperationId> = lost.map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| book.remove(*id));
        ids
    }

    /// Whether the process lives that records call `writer`.
    fn life(&self, writer: &str) -> Life {
        let mut words = writer.split('-');
        let boot = words.next().and_then(|boot| u128::from_str_radix(boot, 16).ok());
        let pid = words.next().and_then(|pid| pid.parse::<i32>().ok());
        let start = words.next().and_then(|start| start.parse::<u64>().ok());
        match (pid, start) {
            (Some(pid), Some(start)) if boot == Some(self.boot) && started(pid) == Some(start) => {
                Life::Lives
            }
            _ => Life::Gone,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each operation is whole or absent, so a panic elsewhere leaves the book usable.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Book ===

impl Book {
    fn remove(&mut self, id: OperationId) {
        let Some(owner) = self.owners.remove(&id) else { return };
        if let Some(count) = self.counts.get_mut(&owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&owner);
            }
        }
    }
}

impl Owners for Open {
    fn adopt(&self, id: OperationId, writer: &str) -> Adopted {
        match self.life(writer) {
            Life::Gone => Adopted::Gone,
            Life::Lives => {
                self.begin(id, writer.into());
                Adopted::Lives
            }
        }
    }
}
