//! Deterministic stand-ins for everything outside the core.
//!
//! A test built on these reads no clock, draws no random number, opens no file and sleeps nowhere:
//! what it does follows from its seed. The sink is the exception in the other direction: it writes
//! real records through the core's own chain code, so that what a test leaves behind is verified
//! as a log would be.
//!
//! What this crate does not do: stand in for the adapters. Those are tested with real files,
//! processes and keys in their own crates.

#![expect(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod action;
mod approver;
mod clock;
mod dice;
mod effect;
mod freezer;
mod policy;
mod run;
mod sink;

pub use action::{TestAction, caller, id, operation, principal, request};
pub use approver::{MakeGrants, Reply, ScriptedApprover, vouched};
pub use clock::TestClock;
pub use dice::Dice;
pub use effect::{Frame, Mint, Tape, TapeState};
pub use freezer::{ScriptedFreezer, freeze};
pub use policy::{ScriptedPolicy, decision};
pub use run::{block_on, cancel, cancel_after, poll_once};
pub use sink::{Fault, MemorySink, Noted};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another test thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
