//! Keys: the only keeper of private keys.
//!
//! The key that signs checkpoints of the audit log ([`checkpoint`]), the keys that sign an approver's
//! answer ([`approver`]), the bearer tokens of agents ([`token`]), and, as features, the authority of a
//! home (`ca`) and the keys of TLS (`tls`, and `clients` who connect with a certificate).
//! A private key never leaves this crate: callers hand in bytes and get a signature. Where a host has
//! a signer, [`signer`] asks it, and the keys are in no process that asks.
//!
//! INVARIANT: nothing here prints, compares in variable time, or keeps a copy of a secret. Every
//! secret type shows `***`, is zeroed when dropped, and appears in no error.
//!
//! This crate starts no process and knows no async runtime; the one socket it opens is the signer's.

pub mod approver;
#[cfg(feature = "ca")]
pub mod ca;
pub mod checkpoint;
#[cfg(feature = "tls")]
pub mod clients;
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
