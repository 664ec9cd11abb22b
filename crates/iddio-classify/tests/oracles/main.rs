//! The reader of shell programs against readers that others wrote: two parsers, and what bash and
//! dash accept.
//!
//! It is a test binary of its own because the parsers take long to link.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops where it is"
)]

mod acceptance;
mod brush;
mod compare;
#[path = "../shell/kit.rs"]
#[expect(dead_code, reason = "nothing is run here")]
mod kit;
mod names;
#[path = "../shell/programs.rs"]
mod programs;
#[path = "../shell/rows.rs"]
mod rows;
mod sitter;
mod texts;
#[path = "../shell/visit.rs"]
mod visit;
