//! The durable log of one home: many processes, one hash chain.
//!
//! [`Log`] appends, and is the only writer; [`verify`](verify::verify) and the other readers
//! take no lock, and never make a writer wait. The format is described
//! byte by byte in `docs/audit-format.md`; what a line says and whether a chain holds is decided in
//! [`iddio_core::audit`], which does no IO.
//!
//! What this crate does not do: hold a private key. Checkpoints are signed by whoever is lent as a
//! signer.
//!
//! Where a log service keeps the host's log, [`remote`] is the sink of everybody else, and [`wire`] is
//! what the two say to each other.

mod budget;
mod chain;
pub mod checkpoint;
pub mod clock;
pub mod commitments;
mod directory;
mod disk;
mod lock;
mod log;
mod pages;
pub mod query;
mod recover;
mod register;
pub mod remote;
mod segment;
mod status;
pub mod verify;
pub mod wire;

pub use budget::{Allowance, Budget, Charge};
pub use chain::Repaired;
pub use directory::FileError;
pub use disk::{Disk, Fault, Faults, Op};
pub use lock::LOCK_WAIT;
pub use log::{Adopted, Log, OpenError, Options, Owners};
pub use segment::SEGMENT_BYTES;
pub use status::{Health, Room, Status, status};
