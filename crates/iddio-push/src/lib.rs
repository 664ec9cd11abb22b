//! Takes checkpoints of a host's log to a place elsewhere, so that whoever takes over the host cannot
//! take back what it signed.
//!
//! The log service connects to nobody and the signer has no network, so this is a service of its own:
//! it reads checkpoints through the log service's socket, as any reader may, and posts each to one
//! address that root wrote down. It can neither write the log nor sign; what it could do wrong is not
//! to deliver, and that is a record.
//!
//! INVARIANT: it connects to that one address and no other, never to a metadata service, and in clear
//! only within this host.

pub mod config;
pub mod deliver;
pub mod post;
