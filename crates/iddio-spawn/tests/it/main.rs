//! The spawner, tried on real programs.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests fails the test"
)]

mod confined;
mod kit;
mod limits;
mod opening;
mod running;
mod sealed;
mod signals;
mod terminal;
