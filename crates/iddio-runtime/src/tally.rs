//! What became of records: counted, so that a service can say whether it is able to record.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use iddio_core::{
    BoxFuture,
    audit::{AuditError, AuditSink, Durability, Entry, Receipt},
    operation::OperationId,
};

/// The counts of one process.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stored: AtomicU64,
    failed: AtomicU64,
    head: AtomicU64,
    /// How many failed since one was stored.
    failing: AtomicU64,
    reason: Mutex<String>,
}

/// A sink whose records are counted.
pub(crate) struct Counted {
    inner: Arc<dyn AuditSink>,
    tally: Arc<Tally>,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Records {
    /// How many this process stored.
    pub stored: u64,
    /// How many it could not store.
    pub failed: u64,
    /// The number of the last one it stored.
    pub head: u64,
}

// === impl Tally ===

impl Tally {
    /// Returns the counts.
    pub(crate) fn records(&self) -> Records {
        Records {
            stored: self.stored.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            head: self.head.load(Ordering::Relaxed),
        }
    }

    /// Returns how many failed since the last one was stored, and why.
    pub(crate) fn failing(&self) -> Option<(u64, String)> {
        let count = self.failing.load(Ordering::Acquire);
        let reason = || self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (0 < count).then(|| (count, reason()))
    }

    fn note(&self, stored: &Result<Receipt, AuditError>) {
        match stored {
            Ok(receipt) => {
                let _ = self.stored.fetch_add(1, Ordering::Relaxed);
                let _ = self.head.fetch_max(receipt.seq(), Ordering::Relaxed);
                if self.failing.load(Ordering::Relaxed) != 0 {
                    self.failing.store(0, Ordering::Release);
                }
            }
            Err(error) => {
                let _ = self.failed.fetch_add(1, Ordering::Relaxed);
                let reason = error.to_string();
                *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
                let _ = self.failing.fetch_add(1, Ordering::Release);
            }
        }
    }
}

// === impl Counted ===

impl Counted {
    /// Counts what `inner` stores.
    pub(crate) fn over(inner: Arc<dyn AuditSink>, tally: Arc<Tally>) -> Self {
        Self { inner, tally }
    }
}

impl AuditSink for Counted {
    fn append<'a>(
        &'a self,
        entry: &'a Entry,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Receipt, AuditError>> {
        Box::pin(async move {
            let stored = self.inner.append(entry, durability).await;
            self.tally.note(&stored);
            stored
        })
    }

    fn orphan(&self, id: OperationId) {
        self.inner.orphan(id);
    }
}
