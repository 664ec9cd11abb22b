//! The tests of `iddio-core`, as one crate.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod bench;
mod compile;
mod digest;
mod faults;
mod freezes;
mod grants;
mod pipeline;
mod session;
mod sim;
