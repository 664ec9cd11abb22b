//! Keys: the only keeper of private keys.
//!
//! Three kinds live here: the key that signs checkpoints of the audit log ([`checkpoint`]), the
//! keys that sign an approver's answer ([`approver`]), and the bearer tokens of agents ([`token`]).
//! A private key never leaves this crate: callers hand in bytes and get a signature. Where a host has
//! a signer, [`signer`] asks it, and the keys are in no process that asks.
//!
//! INVARIANT: nothing here prints, compares in variable time, or keeps a copy of a secret. Every
//! secret type shows `***`, is zeroed when dropped, and appears in no error.
//!
//! This crate starts no process and knows no async runtime; the one socket it opens is the signer's.

pub mod approver;
pub mod checkpoint;
mod file;
pub mod signer;
#[cfg(feature = "tls")]
pub mod tls;
pub mod token;
pub mod wrapping;

pub use approver::{ApproverKey, ApproverPublic, Passphrase};
pub use checkpoint::CheckpointKey;
pub use file::{FileError, open_private};
pub use token::{Token, TokenHash};
