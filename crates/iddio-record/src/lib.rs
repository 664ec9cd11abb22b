//! Recordings: what flowed, redacted before it reaches a disk, sealed, and found again.
//!
//! A gateway opens a [`store::Store`] in its home and takes from it the recorders of the core: one for
//! sessions (terminals, copies, forwarded ports), one for exchanges (requests and responses). What they
//! take goes through the redaction into memory, from there to one thread that writes, and is sealed by a
//! digest that the closed record of the operation carries.
//!
//! [`read`] reads recordings back, [`check`] holds them against the chain, [`cast`] turns a terminal into an asciicast, and
//! [`safe`] makes what a terminal was sent safe to show to another one.
//!
//! What this crate does not do: decide what is recorded, or hold the record that vouches for it.

pub mod cast;
pub mod check;
pub mod format;
pub mod read;
mod redact;
pub mod safe;
pub mod store;
mod track;
mod writer;

pub use redact::body::redacted_body;
pub use writer::{BUFFER_BYTES_MAX, HELD_BYTES_MAX, STALL_MAX, SYNC_EVERY, WRITE_EVERY};
