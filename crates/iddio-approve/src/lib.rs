//! Approvers: the queue, the terminal, and grants that are signatures.
//!
//! Every ask goes to the [`queue`], a file in the home; [`QueueApprover`] puts it there and waits.
//! A human looks at it through [`render`] or [`watch`] and answers; what the answer is worth is
//! decided by the asker, from the [`statement`] and its signature, against the registry of
//! [`operators`]. The [`prompt`] on the caller's own terminal is another way to answer the queue,
//! and worth no more than that terminal.
//!
//! INVARIANT: authority is a key or another Unix user, never a row in a file. Silence, failure and
//! doubt are refusals.
//!
//! This crate opens no socket and tells nobody: whoever wants to be told watches the queue.

pub mod approver;
mod ballot;
mod bell;
mod id;
mod likeness;
pub mod operators;
pub mod prompt;
pub mod queue;
pub mod render;
#[cfg(test)]
mod sample;
pub mod statement;
mod stored;
mod terminal;
pub mod thaw;
pub mod watch;

pub use approver::{Notice, QueueApprover};
pub use ballot::Worthless;
pub use bell::Cancel;
pub use id::AskId;
pub use operators::{Custody, Operator, Profile, Registry, RegistryError};
pub use prompt::Prompt;
pub use queue::{
    Approval, ApproveError, Approved, Denial, Entry, Filter, Form, Hold, Ignored, Listed, Queue,
    QueueError, Reviewed, Setting, Signer, State,
};
pub use statement::{Statement, Word};
pub use terminal::{PassphraseSource, ReadPassphraseError, Typing, read_passphrase};
