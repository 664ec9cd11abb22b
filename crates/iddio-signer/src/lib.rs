//! The signer: keeps the keys of a host, and signs what its log says was decided.
//!
//! It has a user of its own, no network, and no file but its own. Checkpoints it signs for the log
//! service alone, of one log, which only grows. Everything else it signs only against a record of a
//! decision, which it reads back from the log service itself, and what it certifies comes from that
//! record: who, as whom, where, for how long, to do what. Once for each record, which is written down
//! and synced before the signature leaves.
//!
//! INVARIANT: no private key leaves [`keys`], and no signature leaves [`service`] that the ledger or
//! the standing does not know.
//!
//! `docs/signer.md` says how it is set up, what may be asked, and what is refused.

pub mod config;
pub mod derive;
pub mod issue;
pub mod keys;
pub mod ledger;
pub mod service;
pub mod standing;
